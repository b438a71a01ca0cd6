"""Rows of an array that may lie in a memory-mapped file; they are copied when they are needed."""

from collections.abc import Iterator
from typing import Any

import numpy as np


class Rows:
    """``array[index]`` that is not made: a slice or an index of it is, and all of it where NumPy wants an array.

    Args:
        array: (N, ...), in memory or memory-mapped.
        index: (n,) the rows.
    """

    def __init__(self, array: np.ndarray, index: np.ndarray):
        self.array, self.index = array, index
        self.dtype, self.ndim = array.dtype, array.ndim
        self.shape = (len(index), *array.shape[1:])
        self.size = int(np.prod(self.shape))
        self.nbytes = self.size * array.itemsize

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: slice | np.ndarray | int) -> np.ndarray:
        """The rows of a slice, of an array of indices or of booleans, or one row; a new array, or of one row a view."""
        return self.array[self.index[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array[self.index], dtype=dtype)


def chunks(array: np.ndarray | Rows, numbers: int, max_rows: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of an array, about so many numbers at a time: what is memory-mapped never lies in memory as a whole.

    Returns:
        Pairs of the first row's index and the rows.
    """
    step = max(1, numbers * len(array) // max(array.size, 1))
    step = step if max_rows is None else min(step, max_rows)
    for start in range(0, len(array), step):
        yield start, np.asarray(array[start : start + step])
