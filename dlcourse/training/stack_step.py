"""StackStep: a step of a whole stack with one batch, which a GPU records and replays as one launch."""

import functools
from itertools import chain
from typing import Any

from dlcourse.autograd import Tensor
from dlcourse.backend import capture, random
from dlcourse.backend.device import Array
from dlcourse.training.host_state import HostState
from dlcourse.training.joint_optimizer import JointOptimizer


class StackStep:
    """A :class:`~dlcourse.backend.capture.Step` of all replicas, which have their batches in common.

    The rates of all are one array on the device; what is a replica's own, such as random draws and the optimizer, is
    called for one after another, and recorded so.

    Args:
        stack: a :class:`~dlcourse.training.stack.Stack`.
    """

    def __init__(self, stack: Any):
        self.stack, self.model, self._steps = stack, stack.model, stack.steps
        self.optimizer = JointOptimizer([step.optimizer for step in self._steps])
        self.loss_shape = (len(self._steps),)
        self.runner = capture.runner(self._steps[0].flat.data)
        for step in self._steps:  # which take no step by themselves
            vars(step)["runner"] = self.runner

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Do one update of each with the batch (x, y); returns their costs (R,), still on the device."""
        return Tensor(self.runner.run(self, *self._steps[0].batch_of(x, y)))

    @property
    def step(self) -> int:
        """Steps done."""
        return self._steps[0].step

    @step.setter
    def step(self, value: int) -> None:
        for each in self._steps:
            each.step = value

    @property
    def stream(self) -> random.Stream:
        """Of which training the draws of the first are."""
        return self._steps[0].stream

    @property
    def can_capture(self) -> bool:
        """As of :class:`~dlcourse.training.step.TrainStep`, of all; not where they are at different steps."""
        alike = len({(each.step, each.optimizer.steps) for each in self._steps}) == 1
        return alike and all(each.can_capture and each.flat.holds_its_parameters() for each in self._steps)

    def rates_at(self, step: int) -> list[float]:
        """The learning rates of a step, those of the first replica's groups first."""
        return list(chain.from_iterable(each.rates_at(step) for each in self._steps))

    def begin(self) -> None:
        """Set what changes from step to step."""
        self.optimizer.rates = self.rates_at(self.step)
        random.begin_step(self.step, self.stream)

    def settings(self) -> tuple:
        """All that :meth:`update` takes as it is."""
        draws = [(each.stream, own.seed) for each, own in zip(self._steps, self.stack.replicas.draws, strict=True)]
        trained = [p.requires_grad for p in self.stack.parameters]
        return self.host_state.number, *draws, *trained, *(each.optimizer.progress for each in self._steps)

    @functools.cached_property
    def host_state(self) -> HostState:
        """What model, loss and the replicas' steps and optimizers hold, but for what changes from step to step."""
        holders = chain.from_iterable(each.holders() for each in self._steps)
        parameters = [p for each in self._steps for p in each.flat.parameters]
        return HostState((self.model, ()), (self.stack.loss, ()), *holders, but=[*self.stack.parameters, *parameters])

    def update(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        """One update of each with a batch on the device; their costs (R,), in ``loss_buffer`` if given."""
        now = random.current_step()
        for number in self.stack.replicas.each():
            random.begin_step(now, self._steps[number].stream)
        return self.stack.update([(x, y)] * len(self._steps), loss_buffer)
