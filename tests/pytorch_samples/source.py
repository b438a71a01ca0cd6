"""Where the samples come from: private modules of PyTorch, which may be absent or may want packages that are."""

import importlib
import sys
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

MAX_SAMPLES = 60
"""So many samples of one operator or module run: of more, as many at even distances."""

_HOMES = {
    "op_db": "common_methods_invocations",
    "module_db": "common_modules",
    "optim_db": "common_optimizers",
}


@cache
def _table(name: str) -> Any:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # PyTorch imports setuptools, which asserts that its distutils is the one that Python finds: with tests of
        # packaging in the same process it is not.
        if sys.version_info < (3, 12):
            patch.setenv("SETUPTOOLS_USE_DISTUTILS", "stdlib")
        try:
            return getattr(importlib.import_module(f"torch.testing._internal.{_HOMES[name]}"), name)
        except Exception as error:  # private: whatever is the matter with it, the program is not to blame
            return f"{type(error).__name__}: {error}"


def table(name: str) -> list:
    """PyTorch's ``op_db``, ``module_db`` or ``optim_db``; skips the test, with the reason, where it is not there."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its samples do not run")
    found = _table(name)
    if isinstance(found, str):
        pytest.skip(f"PyTorch's samples are not to be had: {found}")
    return found


def spread(samples: Iterable, limit: int = MAX_SAMPLES) -> tuple[list, int]:
    """At most so many of the samples, evenly taken; and how many were left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everything = list(samples)
    step = -(-len(everything) // limit) or 1
    taken = everything[::step]
    return taken, len(everything) - len(taken)
