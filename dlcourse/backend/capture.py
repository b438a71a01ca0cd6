"""How a whole training step is run: eagerly on a CPU, on a GPU captured once and replayed as one launch.

The training step asks for a runner and hands it every step; what differs between devices stays here.
"""

import os
from typing import Any, Protocol

from dlcourse import backend
from dlcourse.backend import random
from dlcourse.backend.device import Array

SWITCH = "DLCOURSE_CAPTURE"
"""Environment variable: ``0`` runs every step eagerly on a GPU too."""


class Step(Protocol):
    """What a runner needs of a training step."""

    step: int
    """Steps done before this one: what random draws depend on."""
    optimizer: Any
    """Has ``lr`` and ``steps``, the only other numbers that change from step to step."""
    model: Any

    def lr_at(self, step: int) -> float:
        """The learning rate of a step."""

    def settings(self) -> tuple:
        """What else an update depends on: another graph is captured where it changes."""

    def update(self, x: Array, y: Array) -> Array:
        """One update with a batch on the device; returns the cost, still there."""


class Feed(Protocol):
    """Batches of a data set that lies on the device, of which each is a function of the step alone."""

    x_shape: tuple[int, ...]
    x_dtype: Any
    y_shape: tuple[int, ...]
    y_dtype: Any
    whole: tuple[Array, Array] | None
    """x and y of every step, where there is nothing to be made."""

    def steps_left(self, step: int) -> int:
        """How many steps, from this one on, have batches of these shapes before the order of the samples changes."""

    def prepare(self, step: int) -> None:
        """Have the order of this step's epoch on the device, always in the same place."""

    def write(self, step: Any, x: Array, y: Array) -> None:
        """Make the batch of a step, which may be a :class:`~dlcourse.backend.device_counter.DeviceCounter`."""


class EagerRunner:
    """Runs steps operation by operation."""

    def __call__(self, step: Step, x: Array, y: Array) -> Array:
        random.begin_step(step.step, getattr(step, "stream", None))
        return step.update(x, y)

    def several(self, step: Step, loader: Any, most: int) -> Array | None:
        """The costs (k,) of up to ``most`` steps in one launch, with the batches of ``loader.feed``, a :class:`Feed`;
        None where the next step is to be called by itself."""
        return None


eager = EagerRunner()


def runner(of: Array) -> Any:
    """The way to run steps on the device that an array lies on."""
    device = backend.of(of)
    if device.kind == "cpu" or os.environ.get(SWITCH) == "0":
        return eager
    from dlcourse.backend.cuda.graph import CapturedSteps

    return CapturedSteps(device)
