"""A step number and rates that lie on the device, so that a captured step reads their values at each launch."""

import operator
from dataclasses import dataclass
from typing import Any

from dlcourse.backend.device import Array


@dataclass(frozen=True)
class DeviceCounter:
    """The step number that a counter on the device holds, plus ``ahead``.

    Adding whole numbers moves no data; our kernels read the counter themselves. Other arithmetic, as in an optimizer
    written in array code, gives arrays.

    Attributes:
        counter: int64 without axes, on the device.
        ahead: so many steps later.
    """

    counter: Array
    ahead: int

    def __add__(self, other: Any) -> Any:
        return DeviceCounter(self.counter, self.ahead + other) if isinstance(other, int) else self.value + other

    def __sub__(self, other: Any) -> Any:
        return self + -other

    @property
    def value(self) -> Array:
        """The number, computed on the device."""
        return self.counter + self.ahead


class DeviceRates(list):
    """Learning rates that lie on the device one after another: of each an array without axes.

    Args:
        array: all of them (n,), which ``array`` is.
    """

    def __init__(self, array: Array):
        super().__init__(array[i : i + 1].reshape(()) for i in range(array.size))
        self.array = array


def _by_value(name: str) -> Any:
    compute = getattr(operator, name)
    return (
        lambda self, other: compute(self.value, other),
        lambda self, other: compute(other, self.value),
    )


for _name in ("mul", "truediv", "pow"):
    _forward, _backward = _by_value(_name)
    setattr(DeviceCounter, f"__{_name}__", _forward)
    setattr(DeviceCounter, f"__r{_name}__", _backward)
for _name in ("add", "sub"):
    setattr(DeviceCounter, f"__r{_name}__", _by_value(_name)[1])
