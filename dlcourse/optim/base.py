"""What every optimizer by gradient descent is: a rule that turns the flat gradient into a change of the weights."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import FlatParameters, Parameter
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.scaling import OVERFLOW
from dlcourse.errors import ArgumentError, CheckpointError

__all__ = ["Optimizer"]


def require(condition: bool, message: str) -> None:
    """Raise ArgumentError, a ValueError, with that message where the condition does not hold."""
    if not condition:
        raise ArgumentError(message)


class Optimizer:
    """Base of the optimizers. A subclass names its state arrays and writes :meth:`update`.

    As in PyTorch, with two exceptions. A parameter which received no gradient counts as one with gradient zero:
    momentum and weight decay still move it. And a parameter lies in the buffer of one optimizer: several optimizers of
    a model work where no two share a parameter; one made over some parameters of an earlier one takes them from it,
    which then refuses to step.

    Attributes:
        flat: the parameters in one buffer, see :class:`~dlcourse.autograd.FlatParameters`.
        lr: the learning rate of the next step; a schedule may set it.
        steps: how many steps were taken.
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
        xp = backend.array_module(self.flat.data)
        self.state: dict[str, Array] = {name: xp.zeros_like(self.flat.data) for name in state}

    def update(self, weight: Array, grad: Array) -> None:
        """Change the weights in place by step number ``self.steps`` (from 1); the gradient is only read.

        In float16 the gradient may have overflowed: :meth:`step` then takes back what this changed in the weights and
        in ``state``, unless the class says that it looks at ``self.flat.scaler`` itself, see :attr:`skips_overflow`.
        """
        raise NotImplementedError

    def step(self) -> None:
        """Take one step from the gradients that backward left.

        Raises:
            RuntimeError: parameters were moved to another device or type, or taken by another optimizer, after this
                one was made.
        """
        if not self.flat.holds_its_parameters():
            raise RuntimeError(
                "parameters of this optimizer were moved, or taken by another optimizer, after it was made: call "
                "module.to(...) first and make the optimizer after it, and give no parameter to two optimizers"
            )
        self.steps += 1
        grad, scaler = self.flat.ready_grad(), self.flat.scaler
        if scaler is None or self.skips_overflow:
            self.update(self.flat.data, grad)
        else:
            self._update_or_not(grad, scaler)
        self.flat.publish(scaler)

    def _update_or_not(self, grad: Array, scaler: Array) -> None:
        """Update, and take it back where the gradient overflowed; nothing is read from the device."""
        changed = [self.flat.data, *self.state.values()]
        kept = [array.copy() for array in changed]
        with np.errstate(all="ignore"):  # of what is taken back
            self.update(self.flat.data, grad)
        xp = backend.array_module(grad)
        for array, before in zip(changed, kept, strict=True):
            array[...] = xp.where(scaler[OVERFLOW] > 0, before, array)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.flat.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": int, "arrays": {name: host array}}``: with the parameters, all that a later step depends on.

        The learning rate is not in it: it follows from the config and the step.
        """
        return {"steps": self.steps, "arrays": {name: backend.to_host(a).copy() for name, a in self.state.items()}}

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
