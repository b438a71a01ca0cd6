"""How arrays lie in memory."""

from dlcourse.backend.device import Array, address, array_module


def as_stacked_view(parts: tuple[Array | None, ...]) -> Array | None:
    """The array of which these are the slices along a first axis, in order, without a copy; None where they are not."""
    first = parts[0]
    base = getattr(first, "base", None)
    if not isinstance(base, type(first)) or any(part is None or part.base is None for part in parts):
        return None
    places = [address(part) for part in parts]
    gap = places[1] - places[0] if len(parts) > 1 else 0
    alike = all(part.shape == first.shape and part.strides == first.strides for part in parts)
    one = all(address(part.base) == address(base) for part in parts)
    if not alike or not one or gap <= 0 or places != [places[0] + i * gap for i in range(len(parts))]:
        return None
    as_strided = array_module(first).lib.stride_tricks.as_strided
    return as_strided(first, (len(parts), *first.shape), (gap, *first.strides))
