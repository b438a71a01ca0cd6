"""What each part may import: the table of the README's architecture section, held against the code."""

import ast
import functools
from pathlib import Path

import pytest

import dlcourse

ROOT = Path(dlcourse.__file__).parent

LEAVES = {
    "characters",
    "component",
    "errors",
    "habits",
    "markup",
    "types",
    "resources",
    "shades",
    "special_tokens",
    "streams",
    "filesystem",
    "text",
}
"""Import nothing of ours; everyone may import them."""

MAY_IMPORT = {
    "registry": set(),
    "plugins": {"registry"},
    "positional": set(),
    "signals": set(),
    "config": {"plugins"},
    "records": set(),
    "backend": set(),
    "distributed": {"backend"},
    "autograd": {"backend"},
    "ops": {"autograd"},
    "nn": {"ops", "registry", "positional"},
    "graphs": {"nn", "registry"},
    "models": {"nn"},
    "explain": {"nn"},
    "attacks": {"explain", "registry"},
    "optim": {"autograd", "registry", "positional"},
    "data": {"autograd", "registry", "config"},
    "metrics": {"backend", "registry"},
    "training": {"explain", "optim", "data", "metrics", "records", "signals", "tensorfile"},
    "plots": {"config", "records", "metrics"},
    "tensorfile": {"backend"},
    "serialize": {"autograd", "tensorfile"},
    "functional": {"nn"},
    "interop": {"nn", "serialize"},
    "experiment": {"distributed", "training", "attacks", "models", "config", "plots", "interop", "graphs"},
    "sweeps": {"experiment"},
    "checks": {"experiment"},
    "grading": {"experiment"},
    "commands": {"sweeps", "checks", "grading"},
    "cli": {"commands"},
}
"""Each part, and the parts right below it; what those may import, it may too."""


BACKEND_MAY_IMPORT = {
    "precision": set(),
    "determinism": set(),
    "diagnostics.driver": set(),
    "diagnostics.cudnn_check": set(),
    "diagnostics.probe": {"diagnostics.driver"},
    "device": {"diagnostics.probe"},
    "device_counter": {"device"},
    "presence": {"device"},
    "layout": {"device"},
    "linalg": {"device"},
    "memory": {"device"},
    "collectives": {"device"},
    "tracing": {"device"},
    "kernels": {"memory", "precision"},
    "random": {"kernels", "device_counter"},
    "capture": {"random", "tracing"},
    "autotune": {"device"},
    "cpu": {"kernels", "autotune", "determinism"},
    "cuda": {"capture", "layout", "autotune", "determinism"},
    "diagnostics": {"cpu", "cuda"},
    "": {"random", "collectives"},
}
"""The same inside ``backend``, for its modules and folders; a module named here stands apart from its folder."""


def allowed(part: str, table: dict[str, set[str]] = MAY_IMPORT) -> set[str]:
    """A part itself and everything under it."""
    below = {part} | (LEAVES if table is MAY_IMPORT else set())
    for name in table.get(part, ()):
        below |= allowed(name, table)
    return below


def modules() -> list[Path]:
    public_face = ROOT / "__init__.py", ROOT / "__main__.py"
    templates = ROOT / "commands" / "templates"  # a user's own files to be, which import the public face
    return [path for path in sorted(ROOT.rglob("*.py")) if path not in public_face and path.parent != templates]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def module_name(path: Path) -> str:
    """``dlcourse.nn`` of dlcourse/nn/__init__.py, ``dlcourse.nn.linear`` of dlcourse/nn/linear.py."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def walk(path: Path) -> list[ast.AST]:
    """All nodes of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path, for_types: bool = True) -> set[str]:
    """Every module that a file imports, anywhere in it, as dotted names.

    Args:
        for_types: also what only a type checker imports.
    """
    found: set[str] = set()
    nodes = walk(path)
    skipped = [] if for_types else [node for node in nodes if _asks_for_type_checking(node)]
    ignored = {id(below) for node in skipped for statement in node.body for below in ast.walk(statement)}
    for node in nodes:
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _asks_for_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Each module of the package and those that it imports, also inside its functions."""
    paths = {module_name(path): path for path in ROOT.rglob("*.py")}
    graph = {}
    for name, path in paths.items():
        used = imports(path, for_types=False)
        # A name imported from a package is a module of it or something that the package itself holds.
        homes = {each if each in paths else each.rpartition(".")[0] for each in used}
        graph[name] = (homes & set(paths)) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> dict[str, list[str]]:
    """Of each node that reaches itself, those of its neighbors by which it does."""

    def reached(start: str) -> set[str]:
        found, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    below = {name: reached(name) for name in graph}
    return {name: sorted(each for each in graph[name] if name in below[each]) for name in graph if name in below[name]}


def test_a_circle_of_imports_is_found() -> None:
    assert circles({"a": {"b", "d"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == {"a": ["b"], "b": ["c"], "c": ["a"]}
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_no_modules_import_each_other() -> None:
    """Not by way of others either, and not inside a function."""
    assert not circles(import_graph())


def backend_part(name: str) -> str:
    """The entry of the backend's table that holds for a module."""
    inside = name.removeprefix("dlcourse.backend").removeprefix(".")
    return inside if inside in BACKEND_MAY_IMPORT else inside.split(".")[0]


def test_imports_inside_the_backend_go_down() -> None:
    graph = {name: used for name, used in import_graph().items() if name.split(".")[1:2] == ["backend"]}
    assert {backend_part(name) for name in graph} == set(BACKEND_MAY_IMPORT)
    for name, used in graph.items():
        part = backend_part(name)
        parts = {backend_part(each) for each in used if each.startswith("dlcourse.backend")}
        wrong = parts - allowed(part, BACKEND_MAY_IMPORT)
        assert not wrong, f"{name} imports {sorted(wrong)}, which stand beside or above it"


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
    for node in walk(path):
        assert not _asks_which_device(node), f"line {node.lineno}: {ast.unparse(node)}"


def _asks_which_device(node: ast.AST) -> bool:
    """Whether a comparison or a test of a prefix names a device."""
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
        operands = node.args
    else:
        return False
    return any(isinstance(each, ast.Constant) and each.value in ("cpu", "cuda", "cuda:") for each in operands)


def test_components_register_themselves() -> None:
    """No file lists components: a name appears in its own module's decorator and nowhere else in the package."""
    from dlcourse import registry

    for kind in registry.KINDS:
        for name in registry.names(kind):
            home = registry.lookup(kind, name).__module__
            if not home.startswith("dlcourse."):  # a component that another test made
                continue
            assert home.startswith(registry.KINDS[kind].package + "."), f"{kind} {name} lives in {home}"
