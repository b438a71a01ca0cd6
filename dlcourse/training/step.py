"""TrainStep: one whole update of a model, the very object that the trainer runs."""

from collections.abc import Callable, Iterable
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import capture
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.optim import average_step
from dlcourse.backend.kernels.penalty import add_penalty
from dlcourse.optim.clip import clip_grad_norm


class TrainStep:
    """Forward, loss, backward, penalty, clip, optimizer: ``loss = step(x, y)``.

    The cost is loss + l1 sum |w| + l2/2 sum w^2 over the weights w, biases and gains (one axis) left out. Randomness
    inside (dropout) is a function of the seed and the number of steps done, so a step resumed is the same step.

    Args:
        model: a Module (or a callable of a tensor).
        loss_fn: ``loss_fn(outputs, targets)``, a scalar Tensor. Where it has ``reduction = "sum"`` parts of a batch add
            up; else each counts by its share of the samples.
        optimizer: an optimizer over the model's parameters.
        schedule: ``schedule.factor(step)`` times the optimizer's initial rate is the rate of that step.
        clip_norm: the largest Euclidean norm of the whole gradient; a longer one is scaled down.
        accumulate: how many parts a batch is cut into, one after another, to save memory; the update is the same.
        l1, l2: strengths of the penalties.
        ema: the decay of an exponential moving average of the parameters, see :meth:`averaged`; None for none.
    Attributes:
        capture: whether a GPU may record the step and replay it as one launch; see ``dlcourse/backend/capture.py``.
    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        loss_fn: Callable[[Tensor, Any], Tensor],
        optimizer: Any,
        *,
        schedule: Any = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        l1: float = 0.0,
        l2: float = 0.0,
        ema: float | None = None,
    ):
        if accumulate < 1 or l1 < 0 or l2 < 0 or (clip_norm is not None and clip_norm <= 0):
            raise ValueError("TrainStep: accumulate is at least 1, clip_norm above 0, l1 and l2 are not negative")
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.schedule, self.clip_norm, self.accumulate, self.l1, self.l2 = schedule, clip_norm, accumulate, l1, l2
        self.step = 0
        self.base_lr = optimizer.lr
        self.flat = optimizer.flat
        self._penalised = self.flat.mask(_weights(self.flat.parameters)) if l1 or l2 else None
        self.ema = ema
        self.capture = True
        self._run: Any = None
        self._average = self.flat.data.copy() if ema is not None else None

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Do one update with the batch (x, y), arrays or tensors; returns the cost before it, still on the device."""
        if self.schedule is not None:
            self.optimizer.lr = self.base_lr * self.schedule.factor(self.step)
        if self._run is None:
            self._run = capture.runner(self.flat.data)
        loss = self._run(self, self._input(x), self._input(y))
        self.step += 1
        return Tensor(loss)

    def settings(self) -> tuple:
        """All numbers that :meth:`update` takes as they are: a recorded step is recorded anew where one changes."""
        kinds, changing = (bool, int, float, tuple), ("lr", "steps")
        own = self.loss_fn, self.clip_norm, self.accumulate, self.l1, self.l2, self.ema
        items = vars(self.optimizer).items()
        return own + tuple(value for name, value in items if isinstance(value, kinds) and name not in changing)

    def update(self, x: Array, y: Array) -> Array:
        """One update with a batch on the device: what :meth:`__call__` runs, on a GPU recorded and replayed.

        Numbers that change from step to step are the optimizer's ``lr`` and ``steps`` and the step that random draws
        depend on, and :meth:`settings`, no others: whatever else Python decides here is decided once.
        """
        self.optimizer.zero_grad()
        loss = self._gradients(x, y)
        if self._penalised is not None:
            loss = loss + add_penalty(self.flat.ready_grad(), self.flat.data, self._penalised, self.l1, self.l2)
        if self.clip_norm is not None:
            clip_grad_norm(self.flat, self.clip_norm)
        self.optimizer.step()
        if self._average is not None:
            average_step(self._average, self.flat.data, self.ema)
        # NumPy makes a scalar of a sum of arrays without axes; a tensor always holds an array.
        return backend.array_module(loss).asarray(loss)

    def _gradients(self, x: Array, y: Array) -> Array:
        """Accumulate the gradient of the loss over the batch, part by part; returns the loss as an array."""
        if self.accumulate == 1:
            loss = self.loss_fn(self.model(Tensor(x)), y)
            loss.backward()
            return loss.data
        count, total = len(x), None
        summed = getattr(self.loss_fn, "reduction", "mean") == "sum"
        size = -(-count // self.accumulate)
        for start in range(0, count, size):
            part = slice(start, start + size)
            loss = self.loss_fn(self.model(Tensor(x[part])), y[part])
            if not summed:
                loss = loss * (len(x[part]) / count)
            loss.backward()
            total = loss.data if total is None else total + loss.data
        return total

    def _input(self, value: Any) -> Array:
        array = value.data if isinstance(value, Tensor) else value
        here = backend.of(self.flat.data)
        if backend.array_module(array) is not here.xp or not hasattr(array, "dtype"):
            array = here.asarray(array)
        # Floating-point inputs take the parameters' type; labels, token indices and pixels stay whole numbers.
        return array.astype(self.flat.data.dtype, copy=False) if array.dtype.kind == "f" else array

    def averaged(self) -> "_Averaged":
        """``with step.averaged():`` the model holds the moving average of its parameters, where one is kept."""
        return _Averaged(self)

    def state_dict(self) -> dict:
        """What has to be known to go on: ``{"step": int, "optimizer": {...}, "arrays": {...}}``, arrays on the host."""
        arrays = {} if self._average is None else {"ema": backend.to_host(self._average).copy()}
        return {"step": self.step, "base_lr": self.base_lr, "optimizer": self.optimizer.state_dict(), "arrays": arrays}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state that :meth:`state_dict` gave; the model's own state is loaded apart."""
        self.step, self.base_lr = int(state["step"]), float(state["base_lr"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average[...] = backend.of(self._average).asarray(state["arrays"]["ema"])


class _Averaged:
    """Swaps the moving average in, and the parameters back."""

    def __init__(self, step: TrainStep):
        self.step = step

    def __enter__(self) -> None:
        if self.step._average is not None:
            self.kept = self.step.flat.data.copy()
            self.step.flat.data[...] = self.step._average

    def __exit__(self, *_: Any) -> None:
        if self.step._average is not None:
            self.step.flat.data[...] = self.kept


def _weights(parameters: Iterable[Parameter]) -> list[Parameter]:
    return [p for p in parameters if p.ndim > 1]


__all__ = ["TrainStep"]
