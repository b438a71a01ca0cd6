"""Of which numbers a run is made: ``float32``, ``float64``, or ``tf32``.

TF32 is float32 whose matrix products round their factors to 10 bits of mantissa, on a GPU's tensor cores; sums and all
else stay float32. A CPU has no such products: there, as in PyTorch, it is float32.
"""

import numpy as np

_current = "float32"


def dtype(name: str) -> np.dtype:
    """The type of the arrays of a run in that precision."""
    return np.dtype("float32" if name == "tf32" else name)


def use(name: str) -> np.dtype:
    """Compute in that precision from now on; returns :func:`dtype` of it."""
    global _current
    _current = name
    return dtype(name)


def tensor_float() -> bool:
    """Whether float32 products may be TF32."""
    return _current == "tf32"
