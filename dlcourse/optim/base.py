"""The base class of optimizers: a rule that turns the flat gradient into a change of the weights."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import FlatParameters, Parameter, enable_grad
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.scaling import OVERFLOW
from dlcourse.errors import ArgumentError, CheckpointError
from dlcourse.habits import missing
from dlcourse.positional import PositionalCheck
from dlcourse.text import call_text

__all__ = ["Optimizer"]


def require(condition: bool, message: str) -> None:
    """Raise ArgumentError, a ValueError, with that message where the condition does not hold."""
    if not condition:
        raise ArgumentError(message)


def require_non_negative(**settings: float) -> None:
    """Raise ArgumentError for the first setting that is below 0 or NaN."""
    for name, value in settings.items():
        require(value >= 0, f"{name} has to be at least 0, got {value}")


class Optimizer(PositionalCheck):
    """Base of the optimizers. A subclass names its state arrays and writes :meth:`update`.

    As in PyTorch: a parameter without gradient does not move, whatever momentum and weight decay say, and neither does
    one that is frozen (``requires_grad`` is False), even where it has a gradient from before. The steps that skip it
    do not count as its own, which Adam's bias correction asks for; in float16 under a
    :class:`~dlcourse.training.step.TrainStep` they do.

    Attributes:
        flat: the parameters in one buffer, see :class:`~dlcourse.autograd.FlatParameters`.
        lr: the learning rate of the next step; a schedule may set it.
        steps: how many steps were taken.
        skipped: indices in ``flat.parameters`` of those that the last step did not move.
        skipped_steps: by index, how many of these steps did not move a parameter; 0 where it is not there.
        state: arrays of the buffer's length, zeros at first, by name.
        skips_overflow: whether :meth:`update` itself changes nothing where the loss scale says that the gradient
            overflowed, see ``backend/kernels/scaling.py``: that saves the copies with which :meth:`step` sees to it.

    Raises:
        ValueError: there is no parameter, or ``lr`` is negative or not finite.
    """

    closed_form = False
    skips_overflow = False

    def __init__(self, params: Iterable[Parameter], lr: float, state: Iterable[str] = ()):
        require(0 <= lr < float("inf"), f"lr has to be a finite number of at least 0, got {lr}")
        params = list(params)
        strange = next((type(p).__name__ for p in params if not isinstance(p, Parameter)), None)
        require(strange is None, f"an optimizer takes parameters, such as model.parameters(), got a {strange}")
        require(bool(params), "an optimizer needs at least one parameter, got none; closed_form may fit the model")
        self.flat = FlatParameters.of(params)
        self.lr = float(lr)
        self.steps = 0
        self.skipped_steps: dict[int, int] = {}
        self.skipped: tuple[int, ...] = ()
        xp = backend.array_module(self.flat.data)
        self.state: dict[str, Array] = {name: xp.zeros_like(self.flat.data) for name in state}

    def __repr__(self) -> str:
        count, steps = self.flat.data.size, self.steps
        return f"{call_text(self)[:-1]}; {count:,} parameters, {steps:,} step{'' if steps == 1 else 's'} taken)"

    def __getattr__(self, name: str) -> Any:
        """Only for what is not there: advice for names that PyTorch has."""
        raise missing("optimizer", name, f"'{type(self).__name__}' object has no attribute '{name}'", self)

    def update(self, weight: Array, grad: Array) -> None:
        """Change the weights in place by step number ``self.steps`` (from 1); the gradient is only read.

        Where some parameters do not move it is called for each stretch of those that do, with these parts of the
        weights, the gradient and the arrays in ``state``.

        In float16 the gradient may have overflowed: :meth:`step` then takes back what this changed in the weights and
        in ``state``, unless the class says that it looks at ``self.flat.scaler`` itself, see :attr:`skips_overflow`.
        """
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step from the gradients that backward left.

        Args:
            closure: computes the loss and goes backward, before the step; what it gives is returned, as in PyTorch.
        Raises:
            RuntimeError: parameters were moved to another device or type after this one was made.
        """
        loss = None if closure is None else self._evaluated(closure)
        grad, scaler = self.flat.gather_grad(), self.flat.scaler
        self.steps += 1
        self.skipped = self.flat.unmoved()
        for index in self.skipped:
            self.skipped_steps[index] = self.skipped_steps.get(index, 0) + 1
        if scaler is None or self.skips_overflow:
            self._update(grad)
        else:
            self._update_or_not(grad, scaler)
        self.flat.refresh_half_weights(scaler)
        self.flat.mark_changed("an optimizer's step", self.skipped)
        return loss

    @staticmethod
    def _evaluated(closure: Callable[[], Any]) -> Any:
        with enable_grad():
            return closure()

    def _update(self, grad: Array) -> None:
        """:meth:`update`, for all at once or for those that move."""
        if not self.skipped_steps:
            self.update(self.flat.data, grad)
            return
        state, steps = self.state, self.steps
        try:
            for stretch, skipped in self._stretches():
                self.state, self.steps = {name: array[stretch] for name, array in state.items()}, steps - skipped
                self.update(self.flat.data[stretch], grad[stretch])
        finally:
            self.state, self.steps = state, steps

    def _stretches(self) -> list[tuple[slice, int]]:
        """The longest parts of the buffer whose parameters all move, with as many steps skipped, and that number."""
        found: list[tuple[slice, int]] = []
        skipped, open_ended = set(self.skipped), False
        for index in range(len(self.flat.parameters)):
            if index in skipped:
                open_ended = False
                continue
            stretch = self.flat.slice_of(index)
            steps = self.skipped_steps.get(index, 0) if self.flat.scaler is None else 0
            if open_ended and found[-1][1] == steps:
                stretch = slice(found.pop()[0].start, stretch.stop)
            found.append((stretch, steps))
            open_ended = True
        return found

    def count_recorded(self, steps: int) -> None:
        """Count steps that were taken without :meth:`step`, by replaying recorded ones like the last."""
        self.steps += steps
        for index in self.skipped:
            self.skipped_steps[index] += steps
        self.flat.replayed()

    @property
    def progress(self) -> tuple:
        """Which parameters the last step skipped, and how often others were skipped: a captured step fixes both."""
        return self.skipped, tuple((i, n) for i, n in self.skipped_steps.items() if i not in self.skipped)

    def _update_or_not(self, grad: Array, scaler: Array) -> None:
        """Update, and take it back where the gradient overflowed; nothing is read from the device."""
        changed = [self.flat.data, *self.state.values()]
        saved = [array.copy() for array in changed]
        with np.errstate(all="ignore"):  # of what is taken back
            self._update(grad)
        xp = backend.array_module(grad)
        for array, before in zip(changed, saved, strict=True):
            array[...] = xp.where(scaler[OVERFLOW] > 0, before, array)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` those that are there become zeros, and count."""
        self.flat.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": int, "arrays": {name: host array}}``: with the parameters, all that a later step depends on.

        Where steps skipped parameters, ``"skipped_steps"`` is how many, of each. The learning rate is not in it: it
        follows from the config and the step.
        """
        state = {"steps": self.steps, "arrays": {name: backend.to_host(a).copy() for name, a in self.state.items()}}
        if self.skipped_steps:
            state["skipped_steps"] = [self.skipped_steps.get(index, 0) for index in range(len(self.flat.parameters))]
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises:
            CheckpointError: it belongs to another optimizer or to a model of another size.
        """
        arrays = state["arrays"]
        if set(arrays) != set(self.state):
            raise CheckpointError(
                f"{type(self).__name__} keeps {sorted(self.state)}, the state to load holds {sorted(arrays)}"
            )
        for name, array in arrays.items():
            if array.shape != self.state[name].shape:
                raise CheckpointError(
                    f"optimizer state {name!r}: expected shape {self.state[name].shape}, got {array.shape}"
                )
        for name, array in arrays.items():
            self.state[name][...] = backend.of(self.flat.data).asarray(array)
        self.steps = int(state["steps"])
        self.skipped_steps = {index: n for index, n in enumerate(state.get("skipped_steps", ())) if n}
