"""The precision of a run: ``float32``, ``float64``, ``tf32``, ``fp16`` or ``bf16``, and its NumPy types.

TF32 is float32 whose matrix products round their factors to 10 bits of mantissa, on a GPU's tensor cores; sums and all
else stay float32. A CPU has no such products: there, as in PyTorch, it is float32.

fp16 and bf16 are mixed precision (Micikevicius et al. 2018): weights as the model computes with them, activations and
their gradients have 16 bits, half the memory and on a GPU the tensor cores' rate; every operation computes in float32
and rounds its result. The weights that the optimizer changes, its state, running statistics, losses and metrics stay
float32. fp16 has 10 bits of mantissa and ends at 65504, so its gradients need a loss scale; bf16 has 7 and float32's
range. A CPU gives the same numbers, but slower than float32: it has no such arithmetic.
"""

import functools
from typing import Any

import numpy as np

from dlcourse.errors import UserError

_current = "float32"


def dtype(name: str) -> np.dtype:
    """The type of the arrays that a model of that precision computes with.

    Raises:
        UserError: it needs a package that is not installed.
    """
    if name == "bf16":
        return _bfloat16()
    return np.dtype({"tf32": "float32", "fp16": "float16"}.get(name, name))


def as_dtype(kind: Any) -> np.dtype:
    """NumPy's type of that name; besides NumPy's own names ``bfloat16``, ``bf16`` and ``fp16``.

    Raises:
        UserError: it needs a package that is not installed.
    """
    return dtype({"bfloat16": "bf16"}.get(kind, kind)) if isinstance(kind, str) else np.dtype(kind)


_TYPES = frozenset(
    {"bool", "float", "float16", "float32", "float64", "bfloat16", "bf16", "fp16", "half", "double", "long"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in ("", 8, 16, 32, 64)}
)


def split_destination(first: Any, kind: Any = None) -> tuple[str | None, Any]:
    """The device and the type that PyTorch's ``to(...)`` names, whose first argument may be either or a tensor.

    Args:
        first: as given.
        kind: the type, where that was given too.
    """
    if hasattr(first, "dtype") and hasattr(first, "device") and hasattr(first, "shape"):
        return str(first.device), first.dtype if kind is None else kind
    if isinstance(first, np.dtype | type) or (isinstance(first, str) and first in _TYPES):
        return (None if kind is None else str(kind)), first
    return (None if first is None else str(first)), kind


def use(name: str) -> np.dtype:
    """Compute in that precision from now on; returns :func:`dtype` of it."""
    global _current
    kind, _current = dtype(name), name
    return kind


def tensor_float() -> bool:
    """Whether float32 products may be TF32."""
    return _current == "tf32"


def is_half(kind: np.dtype) -> bool:
    """Whether numbers of that type have 16 bits."""
    return kind.itemsize == 2 and kind.name in ("float16", "bfloat16")


def is_floating(kind: np.dtype) -> bool:
    """Whether that is a floating-point type; NumPy itself does not know that bfloat16 is one."""
    return kind.kind == "f" or is_half(kind)


def largest(kind: np.dtype) -> float:
    """The largest number of a floating-point type."""
    return float(np.finfo(kind).max) if kind.kind == "f" else (2 - 2.0**-7) * 2.0**127


def accumulation_dtype(kind: np.dtype) -> np.dtype:
    """The type in which numbers of that type are summed and stored: float32 for those of 16 bits, else itself."""
    return np.dtype(np.float32) if is_half(kind) else np.dtype(kind)


@functools.cache
def _bfloat16() -> np.dtype:
    try:
        import ml_dtypes
    except ImportError:
        raise UserError("precision bf16 needs the package ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)
