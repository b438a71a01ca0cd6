"""One group's part of a step: for which parts of the buffer its update is called, and when that is taken back."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.scaling import OVERFLOW


def update_member(optimizer: Any, member: Any, grad: Array) -> None:
    """Call the update of one group, for all its parameters at once or for those that move.

    Args:
        optimizer: whose step it is; of one group the member itself.
        grad: of the whole buffer.
    """
    if not (optimizer.skipped_steps or member.elementwise or member.maximize or member is not optimizer):
        optimizer.update(optimizer.flat.data, grad)
        return
    state, steps, span, weight = member.state, optimizer.steps, member.span, optimizer.flat.data
    stretches = _stretches(optimizer, member.places) if optimizer.skipped_steps else [(span, 0)]
    whole = grad[span]
    if member.maximize:
        backend.array_module(grad).negative(whole, out=whole)
    try:
        for place, skipped in stretches:
            member.steps = steps - skipped
            for piece in _pieces(place, weight) if member.elementwise else [place]:
                own = slice(piece.start - span.start, piece.stop - span.start)
                member.stretch, member.state = piece, {name: array[own] for name, array in state.items()}
                member.update(weight[piece], grad[piece])
    finally:
        member.state, member.steps, member.stretch = state, steps, span
        if member.maximize:
            backend.array_module(grad).negative(whole, out=whole)


def update_unless_overflow(optimizer: Any, member: Any, grad: Array, scaler: Array) -> None:
    """:func:`update_member`, taken back where the gradient overflowed; nothing is read from the device."""
    changed = [optimizer.flat.data[member.span], *member.state.values()]
    saved = [array.copy() for array in changed]
    with np.errstate(all="ignore"):  # of what is taken back
        update_member(optimizer, member, grad)
    xp = backend.array_module(grad)
    for array, before in zip(changed, saved, strict=True):
        array[...] = xp.where(scaler[OVERFLOW] > 0, before, array)


def _stretches(optimizer: Any, places: range) -> list[tuple[slice, int]]:
    """The longest parts of the buffer whose parameters all move, with as many steps skipped, and that number.

    Args:
        places: of the parameters that count.
    """
    found: list[tuple[slice, int]] = []
    flat, skipped, open_ended = optimizer.flat, set(optimizer.skipped), False
    for index in places:
        if index in skipped:
            open_ended = False
            continue
        stretch = flat.slice_of(index)
        steps = optimizer.skipped_steps.get(index, 0) if flat.scaler is None else 0
        if open_ended and found[-1][1] == steps:
            stretch = slice(found.pop()[0].start, stretch.stop)
        found.append((stretch, steps))
        open_ended = True
    return found


def _pieces(place: slice, weight: Array) -> list[slice]:
    """A stretch in parts that stay in a CPU's cache."""
    parts = backend.of(weight).cached_parts(place.stop - place.start, weight.itemsize)
    return [slice(place.start + part.start, place.start + part.stop) for part in parts]
