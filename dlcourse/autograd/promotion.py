"""Type promotion where the operands' types differ: PyTorch's rules.

A fraction outranks a whole number, whatever their widths, and a whole number outranks a boolean. Of one rank an array
with axes decides over one without, and that over a Python number. So float32 stays float32 beside integers of 64 bits,
beside Python's numbers and beside a float64 that has no axes; beside a float64 array with axes it becomes float64.
"""

from typing import Any

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.precision import is_floating, is_half
from dlcourse.errors import ShapeError

DEFAULT_DTYPE = np.dtype(np.float32)
_FULL = (np.dtype(np.float32), np.dtype(np.float64))


def rank(kind: np.dtype) -> int:
    """0 for booleans, 1 for whole numbers, 2 for fractions."""
    return 2 if is_floating(kind) else 0 if kind.kind == "b" else 1


def promoted(first: np.dtype, second: np.dtype) -> np.dtype:
    """The type that holds both, of two arrays that count alike."""
    ranks = rank(first), rank(second)
    if ranks == (2, 2):
        if first == second or first.itemsize != second.itemsize:
            return first if first.itemsize >= second.itemsize else second
        return DEFAULT_DTYPE  # float16 and bfloat16
    if 2 in ranks:
        return first if ranks[0] == 2 else second
    both = np.promote_types(first, second)
    return both if both.kind in "biu" else np.dtype(np.int64)


def result_type(first: Array, second: Array) -> np.dtype:
    """The type of a result of two arrays."""
    if first.dtype == second.dtype:
        return first.dtype
    if bool(first.ndim) == bool(second.ndim):
        return promoted(first.dtype, second.dtype)
    strong, weak = (first.dtype, second.dtype) if first.ndim else (second.dtype, first.dtype)
    return promoted(strong, weak) if rank(weak) > rank(strong) else strong


def beside_number(kind: np.dtype, number: float) -> np.dtype:
    """The type of a result of an array of that type and a Python number."""
    if kind in _FULL or is_floating(kind):
        return kind
    if isinstance(number, float):
        return DEFAULT_DTYPE
    return np.dtype(np.int64) if kind.kind == "b" and not isinstance(number, bool) else kind


def beside_numbers(kind: np.dtype, numbers: np.dtype) -> np.dtype:
    """The same for Python numbers that NumPy holds in the type ``numbers``."""
    if rank(numbers) <= rank(kind):
        return kind
    return DEFAULT_DTYPE if rank(numbers) == 2 else np.dtype(np.int64)


def common_type(arrays: Any) -> np.dtype:
    """The type of several arrays joined."""
    kinds = [array.dtype for array in arrays]
    found = kinds[0]
    for kind in kinds[1:]:
        found = promoted(found, kind)
    return found


def floated(array: Any) -> Any:
    """Whole numbers and booleans as float32, what has a fraction as it is."""
    if not hasattr(array, "dtype") or array.dtype in _FULL or is_half(array.dtype) or array.dtype.kind not in "biu":
        return array
    return array.astype(DEFAULT_DTYPE)


def refuse_whole(name: str, arrays: Any) -> None:
    """Say which types came where all have to have a fraction.

    Raises:
        ShapeError: one holds whole numbers or booleans.
    """
    for array in arrays:
        kind = getattr(array, "dtype", None)
        if kind not in _FULL and kind is not None and kind.kind in "biu":
            kinds = ", ".join(str(one.dtype) for one in arrays if hasattr(one, "dtype"))
            raise ShapeError(
                f"{name}: expected numbers with a fraction, such as float32, got inputs of type {kinds}; bring "
                "them there, as in x.astype('float32'), and images of 0..255 to about -1..1 at once"
            )
