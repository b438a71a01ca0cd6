"""Views of arrays that share memory."""

from typing import Any

from dlcourse.backend.device import Array, address, array_module


def as_stacked_view(parts: tuple[Any, ...]) -> Array | None:
    """``stack(parts)`` as a view, without a copy; None where they are not equally spaced slices of one array."""
    first: Any = parts[0]
    base = getattr(first, "base", None)
    if not isinstance(base, type(first)) or any(part is None or part.base is None for part in parts):
        return None
    addresses = [address(part) for part in parts]
    gap = addresses[1] - addresses[0] if len(parts) > 1 else 0
    alike = all(part.shape == first.shape and part.strides == first.strides for part in parts)
    same_base = all(address(part.base) == address(base) for part in parts)
    evenly = addresses == [addresses[0] + i * gap for i in range(len(parts))]
    if not alike or not same_base or gap <= 0 or not evenly:
        return None
    as_strided = array_module(first).lib.stride_tricks.as_strided
    return as_strided(first, (len(parts), *first.shape), (gap, *first.strides))
