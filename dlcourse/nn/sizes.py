"""The check that layers share: sizes are whole numbers."""

from typing import Any

from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentError

__all__: list[str] = []


def check_batch_first(layer: str, batch_first: bool) -> None:
    """Raise ArgumentError where sequences are to be (T, N, D)."""
    if batch_first is not True:
        raise ArgumentError(
            f"{layer}: batch_first is True, got {batch_first!r}: sequences are (N, T, D) always; x.transpose(0, 1) "
            "makes them so of (T, N, D)"
        )


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise TypeError, with the size's name, where one is no whole number: 3.0, "3" or True."""
    for name, size in sizes.items():
        if isinstance(size, bool | Tensor) or not hasattr(size, "__index__"):
            raise TypeError(f"{layer}: {name} is a whole number, got {size!r}")
