"""What each part may import: the table of the README's architecture section, held against the code."""

import ast
from pathlib import Path

import pytest

import dlcourse

ROOT = Path(dlcourse.__file__).parent

LEAVES = {"characters", "errors", "types", "resources", "streams", "filesystem", "text"}
"""Import nothing of ours; everyone may import them."""

MAY_IMPORT = {
    "registry": set(),
    "positional": set(),
    "signals": set(),
    "config": {"registry"},
    "records": set(),
    "backend": set(),
    "autograd": {"backend"},
    "ops": {"autograd"},
    "nn": {"ops", "registry", "positional"},
    "models": {"nn"},
    "optim": {"autograd", "registry", "positional"},
    "data": {"backend", "registry", "config"},
    "metrics": {"backend", "registry"},
    "training": {"nn", "optim", "data", "metrics", "records", "signals", "tensorfile"},
    "plots": {"config", "records"},
    "tensorfile": {"backend"},
    "serialize": {"autograd", "tensorfile"},
    "functional": {"ops"},
    "experiment": {"training", "models", "config", "plots", "serialize"},
    "sweeps": {"experiment"},
    "commands": {"sweeps"},
    "cli": {"commands"},
}
"""Each part, and the parts right below it; what those may import, it may too."""


def allowed(part: str) -> set[str]:
    """A part itself and everything under it."""
    below = {part} | LEAVES
    for name in MAY_IMPORT.get(part, ()):
        below |= allowed(name)
    return below


def modules() -> list[Path]:
    public_face = ROOT / "__init__.py", ROOT / "__main__.py"
    return [path for path in sorted(ROOT.rglob("*.py")) if path not in public_face]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_table_names_every_part() -> None:
    parts = {part_of(path) for path in modules()}
    assert parts - LEAVES <= set(MAY_IMPORT), "a part without a place in the table"
    assert set(MAY_IMPORT) <= parts, "the table names a part that is not there"


def test_the_readme_draws_the_table() -> None:
    """A part of the drawing imports only from lines below its own, and every part that is a folder is drawn."""
    readme = Path(__file__).parents[1] / "README.md"
    drawing = readme.read_text(encoding="utf-8").split("## How it is built")[1].split("```")[1]
    lines = [line.split("  ")[0].split(", ") for line in drawing.strip().splitlines()]
    row = {part: number for number, parts in enumerate(lines) for part in parts}
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - LEAVES
    assert folders <= set(row) <= set(MAY_IMPORT), "the drawing lacks a part, or has one that is not there"
    for part in row:
        below = (allowed(part) - LEAVES - {part}) & set(row)
        assert all(row[part] < row[other] for other in below), f"{part} imports from its own line or one above"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    part = part_of(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("dlcourse.")}
    used -= {"__version__"}
    permitted = set() if part in LEAVES else allowed(part)
    assert used <= permitted, f"{part} imports {sorted(used - permitted)}, which stand beside or above it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_cupy_and_device_names_stay_in_the_backend(path: Path) -> None:
    if part_of(path) == "backend":
        return
    assert not {name for name in imports(path) if name.split(".")[0] in ("cupy", "cupyx", "cupy_backends")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            text = ast.unparse(node)
            assert "device ==" not in text and "kind == 'cuda'" not in text, f"line {node.lineno}: {text}"


def test_components_register_themselves() -> None:
    """No file lists components: a name appears in its own module's decorator and nowhere else in the package."""
    from dlcourse import registry

    for kind in registry.KINDS:
        for name in registry.names(kind):
            home = registry.lookup(kind, name).__module__
            if not home.startswith("dlcourse."):  # a component that another test made
                continue
            assert home.startswith(registry.KINDS[kind].package + "."), f"{kind} {name} lives in {home}"
