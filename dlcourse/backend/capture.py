"""Runners of whole training steps: eager on a CPU, on a GPU captured once and replayed as one launch.

A runner takes steps: :meth:`~EagerRunner.run` one with a batch that is given, :meth:`~EagerRunner.advance` as many as
the device takes at once, with a loader's batches. What differs between devices stays here.
"""

import os
from typing import Any, Protocol

from dlcourse.backend import device, random, tracing
from dlcourse.backend.device import Array

SWITCH = "DLCOURSE_CAPTURE"
"""Environment variable: ``0`` runs every step eagerly on a GPU too."""


class Step(Protocol):
    """What a runner needs of a training step."""

    step: int
    """Steps done before this one: what random draws depend on."""
    optimizer: Any
    """Has ``rates`` and ``steps``, the only other numbers that change from step to step."""
    model: Any

    @property
    def stream(self) -> random.Stream:
        """Of which training its draws are."""

    @property
    def loss_shape(self) -> tuple[int, ...]:
        """Of its cost: () of one model, (R,) of a stack of R."""

    @property
    def can_capture(self) -> bool:
        """Whether its updates may be captured."""

    def rates_at(self, step: int) -> list[float]:
        """The learning rates of a step, one for each of the optimizer's groups."""

    def begin(self) -> None:
        """Set what changes from step to step: the learning rate, and the step that random draws depend on."""

    @property
    def host_state(self) -> Any:
        """Has ``arrays``, which an update may read, and ``last_changed``, the name of what changed last in settings."""

    def settings(self) -> tuple:
        """What else an update depends on: another graph is captured where it changes."""

    def update(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        """One update with a batch on the device; returns the cost, still there: in ``loss_buffer``, if given."""

    def __call__(self, x: Any, y: Any) -> Any:
        """:meth:`EagerRunner.run` with a batch from anywhere; returns the cost as a tensor."""


class EagerRunner:
    """Runs steps operation by operation.

    Attributes:
        takes_several: whether :meth:`advance` may take several steps at once, which the host does not wait for.
    """

    takes_several = False

    def run(self, step: Step, x: Array, y: Array) -> Array:
        """One step with a batch on the device; returns its cost."""
        step.begin()
        loss = step.update(x, y)
        step.step += 1
        return loss

    def advance(self, step: Any, loader: Any, max_steps: int) -> Array | None:
        """Up to ``max_steps`` steps with the loader's next batches, here one; returns their costs (k,), if any.

        Args:
            step: a :class:`Step`, or any ``step(x, y)`` that counts ``step.step``.
        """
        tracing.phase("data")
        batch = loader.batch(step.step)
        tracing.phase(None)
        loss = step(*batch)
        return None if loss is None else loss.data[None]


eager = EagerRunner()


def runner(of: Array) -> EagerRunner:
    """The runner of steps for the device of this array."""
    if os.environ.get(SWITCH) == "0":
        return eager
    return device.of(of).step_runner() or eager
