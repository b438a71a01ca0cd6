"""The check that layers share: sizes are whole numbers."""

from typing import Any

from dlcourse.autograd import Tensor

__all__: list[str] = []


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise TypeError, with the size's name, where one is no whole number: 3.0, "3" or True."""
    for name, size in sizes.items():
        if isinstance(size, bool | Tensor) or not hasattr(size, "__index__"):
            raise TypeError(f"{layer}: {name} is a whole number, got {size!r}")
