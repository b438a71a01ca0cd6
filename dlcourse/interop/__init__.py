"""Models and arrays that come from other programs, or go to them: PyTorch, ONNX."""

import importlib
from types import ModuleType

__all__ = ["onnx", "torch"]


def __getattr__(name: str) -> ModuleType:
    """``dlcourse.interop.torch`` and its siblings, imported when they are first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
