"""Several optimizers as one: those of the players of a GAN, and those of the replicas of a stack."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from dlcourse.autograd.flat import FlatParameters
from dlcourse.backend.device import Array
from dlcourse.backend.device_counter import DeviceRates
from dlcourse.optim.base import Optimizer


class JointOptimizer:
    """Optimizers that step equally often under the face of one, as far as a runner and the trainer look at it."""

    needs_closure = closed_form = False

    def __init__(self, optimizers: Sequence[Optimizer]):
        self._all = optimizers
        self.device_rates: Array | None = None
        """:attr:`rates` as one array, where they lie on the device."""

    @property
    def flat(self) -> FlatParameters:
        return self._all[0].flat

    @property
    def lr(self) -> Any:
        return self._all[0].lr

    @property
    def rates(self) -> list[Any]:
        return list(chain.from_iterable(each.rates for each in self._all))

    @rates.setter
    def rates(self, values: list[Any]) -> None:
        self.device_rates = values.array if isinstance(values, DeviceRates) else None
        left = iter(values)
        for each in self._all:
            each.rates = [next(left) for _ in each.members]

    @property
    def steps(self) -> Any:
        return self._all[0].steps

    @steps.setter
    def steps(self, value: Any) -> None:
        for each in self._all:
            each.steps = value

    @property
    def skipped_steps(self) -> dict[int, dict[int, int]]:
        return {i: dict(each.skipped_steps) for i, each in enumerate(self._all)}

    @skipped_steps.setter
    def skipped_steps(self, value: dict[int, dict[int, int]]) -> None:
        for i, each in enumerate(self._all):
            each.skipped_steps = value[i]

    def count_recorded(self, steps: int) -> None:
        for each in self._all:
            each.count_recorded(steps)
