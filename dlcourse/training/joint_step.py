"""JointStep: steps of several, taken as one: those of the players of a GAN, and those of the replicas of a stack."""

import functools
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from dlcourse.autograd import Tensor
from dlcourse.backend import capture, random
from dlcourse.backend.device import Array
from dlcourse.training.host_state import HostState
from dlcourse.training.joint_optimizer import JointOptimizer


class JointStep:
    """A :class:`~dlcourse.backend.capture.Step` made of several, which a GPU records and replays as one launch.

    A subclass has :meth:`update`.

    Args:
        model: what the steps train together.
        steps: a :class:`~dlcourse.training.step.TrainStep` of each; they see the same batch.
    Attributes:
        loss_shape: of the cost of a step, as of :class:`~dlcourse.backend.capture.Step`.
        optimizer: theirs under the face of one.
        capture: as of :class:`~dlcourse.training.step.TrainStep`.
    """

    loss_shape: tuple[int, ...] = ()

    def __init__(self, model: Any, steps: Sequence[Any]):
        self.model, self._steps = model, list(steps)
        self.optimizer: Any = JointOptimizer([each.optimizer for each in steps])
        self.capture = True

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Do one update of each with the batch (x, y); returns what :meth:`update` does, still on the device."""
        return Tensor(self.runner.run(self, *self.batch_of(x, y)))

    def batch_of(self, x: Any, y: Any) -> tuple[Array, Array]:
        """As of :class:`~dlcourse.training.step.TrainStep`."""
        return self._steps[0].batch_of(x, y)

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name not in ("runner", "host_state")}

    @functools.cached_property
    def runner(self) -> capture.EagerRunner:
        """As of :class:`~dlcourse.training.step.TrainStep`."""
        return capture.runner(self._steps[0].flat.data)

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

    @stream.setter
    def stream(self, value: random.Stream) -> None:
        self._steps[0].stream = value

    @property
    def can_capture(self) -> bool:
        """As of :class:`~dlcourse.training.step.TrainStep`, of all; not where they are at different steps."""
        alike = len({(each.step, each.optimizer.steps) for each in self._steps}) == 1
        held = all(each.flat.holds_its_parameters() for each in self._steps)
        return self.capture and alike and held and all(each.can_capture for each in self._steps)

    def rates_at(self, step: int) -> list[float]:
        """The learning rates of a step, those of the first one's groups first."""
        return list(chain.from_iterable(each.rates_at(step) for each in self._steps))

    def begin(self) -> None:
        """Set what changes from step to step."""
        self.optimizer.rates = self.rates_at(self.step)
        random.begin_step(self.step, self.stream)

    @property
    def parameters(self) -> list[Any]:
        """All that the steps move."""
        return [p for each in self._steps for p in each.flat.parameters]

    def settings(self) -> tuple:
        """All that :meth:`update` takes as it is."""
        progress = [each.optimizer.progress for each in self._steps]
        return self.host_state.number, *(p.requires_grad for p in self.parameters), *progress

    def holders(self) -> list[tuple[Any, Collection[str]]]:
        """What :attr:`host_state` is of."""
        return list(chain.from_iterable(each.holders() for each in self._steps))

    @functools.cached_property
    def host_state(self) -> HostState:
        """What the steps and their optimizers hold, but for what changes from step to step."""
        own = chain.from_iterable(each.flat.parameters for each in self._steps)
        return HostState(*self.holders(), but=[*self.parameters, *own])

    def update(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        """One update of each with a batch on the device; its cost, in ``loss_buffer`` if given."""
        raise NotImplementedError
