"""What the packages export is what their modules make public, and tools see the same."""

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import dlcourse as dl
from dlcourse import functional, models, nn, ops, optim

EXPORTED_MODULES = {"functional", "init", "lr_scheduler", "swa_utils", "utils"}
"""Modules that a package exports whole, as ``torch.nn.init`` is: their names are not the package's own."""


def public(package: ModuleType) -> dict[str, object]:
    """Each line of import that a package's exports have to hold, and what it stands for."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if info.name.rpartition(".")[2] in EXPORTED_MODULES:
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            assert name not in found, f"{info.name} makes {name!r} public, as another module does"
            found[name] = (f"from {info.name} import *", getattr(module, name))
    return found


@pytest.mark.parametrize(
    ("exports", "package"), [(functional, ops), (models, models), (nn, nn), (optim, optim)], ids=lambda m: m.__name__
)
def test_exports_are_the_public_names_of_the_modules(exports: ModuleType, package: ModuleType) -> None:
    expected, exported = public(package), set(exports.__all__) - EXPORTED_MODULES
    if exports is functional:  # activations stand beside their layers
        homes = nn.activation, nn.activation_channels, nn.activation_formulas
        names = {name for home in homes for name in home.__all__ if name.islower()}
        beside = {name: line for name, line in public(nn).items() if name in names}
        expected |= beside
    missing = sorted({line for name, (line, _) in expected.items() if name not in exported})
    assert not missing, f"add to {exports.__file__}:\n" + "\n".join(missing)
    assert not exported - set(expected), f"in the __all__ of no module of {package.__name__}"
    for name, (_, value) in expected.items():
        assert getattr(exports, name) is value


def typed_names() -> dict[str, str]:
    """What ``dlcourse/__init__.py`` imports for tools: the public name, and where it comes from."""
    tree = ast.parse(Path(dl.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    lines = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    named = {alias.asname: f"{node.module}.{alias.name}" for node in lines for alias in node.names if alias.asname}
    whole = [node.module for node in lines if node.names[0].name == "*"]
    functions = [(module, name) for module in whole for name in importlib.import_module(module).__all__]
    return named | {name: f"{module}.{name}" for module, name in functions if not name.endswith("_")}


def test_tools_see_the_names_that_are_there() -> None:
    names = typed_names()
    assert set(names) == set(dl.__all__)
    for name, origin in names.items():
        home, _, attribute = origin.rpartition(".")
        module = importlib.import_module(home)
        there = getattr(module, attribute) if hasattr(module, attribute) else importlib.import_module(origin)
        assert getattr(dl, name) is there, f"{name} is not {origin}"
