"""StackStep: a step of a whole stack with one batch, which a GPU records and replays as one launch."""

from collections.abc import Collection
from typing import Any

from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.training.joint_step import JointStep


class StackStep(JointStep):
    """A :class:`~dlcourse.backend.capture.Step` of all replicas, which have their batches in common.

    The cost is that of each, (R,). The rates of all are one array on the device, which one update of all reads where
    their optimizers are alike; what is a replica's own, such as a clip or an average, is called for one after another,
    and recorded so.

    Args:
        stack: a :class:`~dlcourse.training.stack.Stack`.
    """

    def __init__(self, stack: Any):
        super().__init__(stack.model, stack.steps)
        self.stack, self.loss_shape = stack, (len(stack.steps),)
        for step in self._steps:  # which take no step by themselves
            vars(step)["runner"] = self.runner

    @property
    def parameters(self) -> list[Any]:
        """Those of the stack, in which the replicas' lie."""
        return self.stack.parameters

    def settings(self) -> tuple:
        draws = [(each.stream, own.seed) for each, own in zip(self._steps, self.stack.replicas.draws, strict=True)]
        return *super().settings(), *draws

    def holders(self) -> list[tuple[Any, Collection[str]]]:
        """Model and loss of the stack too."""
        return [(self.model, ()), (self.stack.loss, ()), *super().holders()]

    def update(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        now = random.current_step()
        for number in self.stack.replicas.each():
            random.begin_step(now, self._steps[number].stream)
        return self.stack.update([(x, y)] * len(self._steps), loss_buffer, self.optimizer.device_rates)
