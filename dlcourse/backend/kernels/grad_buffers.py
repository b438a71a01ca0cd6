"""Write a gradient into the parameter's part of the flat buffer, which saves a copy."""

from typing import Any

from dlcourse.backend.device import Array


def takes(destination: Array | None, dtype: Any) -> bool:
    """Whether a kernel can write elements of that type straight into the destination; so it can where there is none."""
    return destination is None or (destination.dtype == dtype and destination.flags.c_contiguous)


def copy_into(value: Array, destination: Array | None) -> Array:
    """The value, copied into the destination where there is one: for a computation that cannot write there itself."""
    if destination is None:
        return value
    destination[...] = value
    return destination
