"""How a whole training step is run: call by call on a CPU, on a GPU recorded once and replayed as one launch.

The training step asks for a runner and hands it every step; what differs between devices stays here.
"""

import os
from collections.abc import Callable
from typing import Any, Protocol

from dlcourse import backend
from dlcourse.backend import random
from dlcourse.backend.device import Array

SWITCH = "DLCOURSE_CAPTURE"
"""Environment variable: ``0`` runs every step call by call on a GPU too."""


class Step(Protocol):
    """What a runner needs of a training step."""

    step: int
    """Steps done before this one: what random draws depend on."""
    optimizer: Any
    """Has ``lr`` and ``steps``, the only other numbers that change from step to step."""
    model: Any

    def settings(self) -> tuple:
        """What else an update depends on: another graph is recorded where it changes."""

    def update(self, x: Array, y: Array) -> Array:
        """One update with a batch on the device; returns the cost, still there."""


def by_calls(step: Step, x: Array, y: Array) -> Array:
    """Run a step operation by operation."""
    random.begin_step(step.step)
    return step.update(x, y)


def runner(of: Array) -> Callable[[Step, Array, Array], Array]:
    """The way to run steps on the device that an array lies on."""
    device = backend.of(of)
    if device.kind == "cpu" or os.environ.get(SWITCH) == "0":
        return by_calls
    from dlcourse.backend.cuda.graph import CapturedSteps

    return CapturedSteps(device)
