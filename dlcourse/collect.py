"""Gather what the modules of a package make public, so that a new file needs no entry in any list."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def public_names(package: ModuleType) -> dict[str, Any]:
    """Every name in the ``__all__`` of a package's modules, with what it stands for.

    Raises:
        ImportError: two modules make the same name public.
    """
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            if name in found and found[name] is not getattr(module, name):
                raise ImportError(f"{info.name} makes {name!r} public, as another module of {package.__name__} does")
            found[name] = getattr(module, name)
    return found
