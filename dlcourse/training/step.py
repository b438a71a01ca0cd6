"""TrainStep: one whole update of a model; the trainer uses it too."""

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, at_once, lent
from dlcourse.backend import capture, collectives, random, tracing
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import scaling
from dlcourse.backend.kernels.optim import average_step
from dlcourse.backend.kernels.penalty import add_penalty
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError
from dlcourse.nn import Module, hooks
from dlcourse.optim.base import Optimizer
from dlcourse.optim.clip import clip_grad_norm, clip_grad_value_
from dlcourse.training import reduction
from dlcourse.training.carried_state import CarriedState
from dlcourse.training.host_state import HostState
from dlcourse.training.weight_averaging import WeightMean, showing

_CHANGING = (
    "step stream base_rates schedule group_schedules capture optimizer flat runner host_state outside swa".split()
)
_OPTIMIZER_CHANGING = "lr steps skipped skipped_steps flat members group stretch numbers".split()
"""Attributes of a step and of an optimizer that a captured step does not take in, or that its key has otherwise."""


def microbatch_size(batch: int, accumulate: int) -> int:
    """How many samples the microbatches have that a batch is cut into; the last microbatch has what is left."""
    return -(-batch // accumulate)


class TrainStep:
    """Forward, loss, backward, penalty, clip, optimizer: ``loss = step(x, y)``.

    The cost is loss + l1 sum |w| + l2/2 sum w^2 over the weights w, biases and gains (one axis) left out. What received
    no gradient from the loss, or is frozen, does not move: the penalties change only what the loss does. Randomness
    inside (dropout) is a function of the seed and the number of steps done, so a step resumed is the same step; it
    differs from that of other TrainSteps made under the seed or another, as the members of an ensemble have to.

    A model in half precision has its loss computed in float32. In float16 the loss is scaled before the backward pass,
    by a factor that follows what the gradients can bear (Micikevicius et al. 2018); a step whose gradient overflows
    changes nothing. The factor lives on the device: nothing waits for it.

    Args:
        model: a Module (or a callable of a tensor).
        loss_fn: ``loss_fn(outputs, targets)``, a scalar Tensor. With ``accumulate`` its attribute ``reduction`` says
            how the losses of microbatches make that of the batch: "sum", they add up, or "mean", each counts by
            its share of the samples. Where it has none, the values of the first batch tell; a loss that is neither is
            refused. None: the model's own :meth:`~dlcourse.models.base.Model.objective`.
        optimizer: an optimizer over the model's parameters.
        schedule: ``schedule.factor(step)`` times the optimizer's initial rate is the rate of that step.
        group_schedules: by the number of a parameter group, what takes the schedule's place there.
        clip_norm: the largest Euclidean norm of the whole gradient; a longer one is scaled down.
        clip_value: the largest absolute value of an element of the gradient; before the norm is clipped.
        accumulate: the number of microbatches of a batch, one after another, to save memory; the update is the same,
            but that batch normalization takes its statistics, and dropout its masks, microbatch by microbatch.
        l1, l2: strengths of the penalties.
        ema: the decay of an exponential moving average of the parameters, see :meth:`averaged`; None for none.
        carry_state: N where a batch has the next pieces of the N sequences whose pieces the batch before had: the model
            begins each with the state that the one before left, as a constant, see :class:`CarriedState`.
            ``step.carried.reset()`` begins new sequences.
        attack: changes the inputs first, ``attack(model, x, y, step)``, so that the step is against it (Madry et al.
            2017); see :mod:`dlcourse.attacks`.
    Attributes:
        capture: whether a GPU may record the step and replay it as one launch; see ``dlcourse/backend/capture.py``.
        carried: the state that goes on from batch to batch; None without ``carry_state``.
        swa: the mean of weights that a config's ``train.swa`` asks for, see :meth:`averaged`; None for none.
    Raises:
        ValueError: a setting is out of range.
        TypeError: the optimizer is none; in a step, the model returns nothing or the loss is no tensor.
    Example:
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> labels = (x[:, 0] > 0).astype(int)
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters(), lr=0.01))
        >>> losses = [step(x, labels).item() for _ in range(50)]
        >>> losses[-1] < losses[0]
        True
    """

    loss_shape = ()

    def __init__(
        self,
        model: Any,
        loss_fn: Callable[[Tensor, Any], Tensor] | None,
        optimizer: Any,
        *,
        schedule: Any = None,
        group_schedules: Mapping[int, Any] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        l1: float = 0.0,
        l2: float = 0.0,
        ema: float | None = None,
        carry_state: int | None = None,
        attack: Callable[..., Array] | None = None,
    ):
        sound = accumulate >= 1 and l1 >= 0 and l2 >= 0 and all(c is None or c > 0 for c in (clip_norm, clip_value))
        if not sound or (ema is not None and not 0 <= ema < 1):
            raise ValueError(
                "TrainStep: accumulate is at least 1, clip_norm and clip_value above 0, l1 and l2 are not negative, "
                "ema is at least 0 and below 1"
            )
        if not isinstance(optimizer, Optimizer):
            came = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else f"a {type(optimizer).__name__}"
            wanted = "expected an optimizer, such as optim.SGD(model.parameters(), lr=0.1)"
            raise ArgumentTypeError(f"TrainStep: {wanted}, got {came}")
        if loss_fn is None and not (hasattr(model, "objective") and getattr(model, "objective_units", True)):
            wanted = "expected a loss, such as F.cross_entropy, or a model with an objective of its own"
            raise ArgumentTypeError(f"TrainStep: {wanted}, got None and a {type(model).__name__}")
        if loss_fn is None and hasattr(model, "players") and model.players and type(self) is TrainStep:
            raise ArgumentTypeError(
                f"TrainStep: the players of {type(model).__name__} move in turn, by an optimizer each: "
                "dl.AlternatingStep(model, {player: optimizer, ...})"
            )
        if loss_fn is None and attack is not None:
            raise ArgumentError("TrainStep: an attack raises a loss, and the model has an objective of its own")
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.schedule, self.accumulate, self.l1, self.l2 = schedule, accumulate, l1, l2
        self.group_schedules = dict(group_schedules or {})
        self.clip_norm, self.clip_value, self.attack = clip_norm, clip_value, attack
        if optimizer.needs_closure and (clip_norm is not None or clip_value is not None):
            name = type(optimizer).__name__
            raise ArgumentError(f"TrainStep: {name} searches along the cost, whose gradient is not to be clipped")
        if carry_state is not None and (accumulate > 1 or attack or loss_fn is None or optimizer.needs_closure):
            raise ArgumentError(
                "TrainStep: carry_state goes with one pass for each step: without accumulate, attack, an objective of "
                "the model's own, and an optimizer that evaluates the cost several times"
            )
        self.step = 0
        self.stream = random.new_stream()
        self.base_rates: list[float] = list(optimizer.rates)
        self.flat = optimizer.flat
        self.flat.hold()
        self.outside  # noqa: B018  # those of the model as it is now
        self._penalized = self.flat.mask(_weights(self.flat.parameters)) if l1 or l2 else None
        self.ema = ema
        self.capture = True
        self._measured: tuple[Any, str | None] = None, None
        self._average = self.flat.data.copy() if ema is not None else None
        self.carried = None if carry_state is None else CarriedState(model, carry_state)
        self.swa: WeightMean | None = None
        if self.flat.half is not None and self.flat.half.dtype == np.float16:
            self.flat.scaler = scaling.new_scaler(self.flat.half)

    def __call__(self, x: Any, y: Any) -> Tensor:
        """Do one update with the batch (x, y), arrays or tensors; returns the cost before it, still on the device."""
        return Tensor(self.runner.run(self, *self.batch_of(x, y)))

    def batch_of(self, x: Any, y: Any) -> tuple[Array, Array]:
        """A batch from anywhere as :meth:`update` takes it: arrays on the device, of the step's types."""
        return self._input(x, self.compute_dtype), self._input(y, self.flat.data.dtype)

    def __getstate__(self) -> dict:
        """Without the way that steps are run and what is known of it, so that a copy finds its own."""
        return {name: value for name, value in vars(self).items() if name not in ("runner", "host_state", "outside")}

    @functools.cached_property
    def runner(self) -> capture.EagerRunner:
        """How updates are run on this device, one or several at once, see ``dlcourse/backend/capture.py``."""
        return capture.runner(self.flat.data)

    @property
    def can_capture(self) -> bool:
        """Whether :meth:`update` may be captured: not while the losses of microbatches are to be looked at, and not
        where the model has hooks, which run with each step, nor an optimizer that looks at values."""
        if self.optimizer.needs_closure:
            return False
        if collectives.group().size > 1:
            return False
        return self.capture and (self.accumulate == 1 or self._reduction is not None) and not hooks.are_in(self.model)

    def rates_at(self, step: int) -> list[float]:
        """The learning rates of a step, one for each of the optimizer's groups."""
        schedules = [self.group_schedules.get(i, self.schedule) for i in range(len(self.base_rates))]
        known = zip(schedules, self.base_rates, self.optimizer.rates, strict=True)
        return [rate if schedule is None else base * schedule.factor(step) for schedule, base, rate in known]

    def lr_at(self, step: int) -> float:
        """The learning rate of a step; of several groups that of the first."""
        return self.rates_at(step)[0]

    def begin(self) -> None:
        """Set the learning rate of the next step, and the step that random draws depend on."""
        self.optimizer.rates = self.rates_at(self.step)
        random.begin_step(self.step, self.stream)

    def settings(self) -> tuple:
        """All that :meth:`update` takes as it is: a captured step is captured anew where one of these changes."""
        return self.host_state.number, *(p.requires_grad for p in self.flat.parameters), self.optimizer.progress

    @functools.cached_property
    def host_state(self) -> HostState:
        """What model, loss, optimizer and the step itself hold, but for what changes from step to step."""
        return HostState(*self.holders(), but=self.flat.parameters)

    def holders(self) -> list[tuple[Any, Collection[str]]]:
        """The step and its optimizers, each with the names of what changes from step to step."""
        optimizers = dict.fromkeys((self.optimizer, *self.optimizer.members))
        return [(self, _CHANGING), *((each, _OPTIMIZER_CHANGING) for each in optimizers)]

    def update(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        """One update with a batch on the device: what :attr:`runner` runs, on a GPU captured and replayed.

        The cost is written into ``loss_buffer``, zero-dimensional, where one is given.

        Numbers that change from step to step are the optimizer's ``lr`` and ``steps`` and the step that random draws
        depend on, and :meth:`settings`, no others: whatever else Python decides here is decided once.
        """
        if self.optimizer.needs_closure:
            loss = self.apply_gradient(x, y)
        else:
            loss = self.take_gradient(x, y, loss_buffer)
            self.apply_gradient(x, y)
        self.finish_update()
        if loss_buffer is not None and loss is not loss_buffer:
            loss_buffer[...] = loss
        # NumPy makes a scalar of a sum of arrays without axes; a tensor always holds an array.
        return backend.array_module(loss).asarray(loss) if loss_buffer is None else loss_buffer

    def complete_gradient(self, loss: Array) -> Array:
        """Add penalties to the gradient that is in the buffer, as of a replica whose stack took it, and clip it.

        Args:
            loss: without penalties.
        Returns:
            The cost.
        """
        cost = self._penalize(loss)
        self._clip()
        return cost

    def finish_update(self) -> None:
        """What follows the optimizer in an update: the average."""
        if len(self.flat.absent) == len(self.flat.parameters):
            raise RuntimeError(
                "TrainStep: no parameter of the optimizer received a gradient from this loss; give the optimizer the "
                "parameters of the model that is trained"
            )
        if self._average is not None:
            average_step(self._average, self.flat.data, self.ema)

    def take_gradient(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        """The first part of :meth:`update`: the cost, and its gradient before it is clipped, penalties included."""
        self.optimizer.zero_grad()
        with at_once(loss_buffer, self._note_outside):
            loss = self._gradients(x, y)
        if collectives.group().size > 1:
            loss = self._over_ranks(loss)
        return self._penalize(loss)

    def _penalize(self, loss: Array) -> Array:
        """Add the penalties' gradient; the cost with them."""
        if self._penalized is None:
            return loss
        cost = loss + add_penalty(self.flat.gather_grad(), self.flat.data, self._penalized, self.l1, self.l2)
        self.flat.clear_absent()
        return cost

    @functools.cached_property
    def outside(self) -> dict[int, Parameter]:
        """By identity, parameters that no optimizer holds and that may get a gradient: the model's when this was made,
        and such as the loss may have."""
        return {id(p): p for _, p in self._named_parameters() if p._flat is None}

    def _named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return self.model.named_parameters() if isinstance(self.model, Module) else iter(())

    def _note_outside(self, parameter: Parameter) -> None:
        """Refuse a parameter of the model that was not there when this was made: it would stay as it is."""
        if id(parameter) in self.outside:
            return
        name = next((name for name, p in self._named_parameters() if p is parameter), None)
        if name is not None:
            raise RuntimeError(
                f"TrainStep: {name} came into the model after the optimizer was made, which does not hold it: make "
                "the optimizer and the TrainStep anew, or freeze it by requires_grad = False"
            )
        self.outside[id(parameter)] = parameter

    def apply_gradient(self, x: Array, y: Array) -> Any:
        """The second part: clip, and let the optimizer move the weights; one with a closure takes the gradient itself.

        Returns:
            The cost before the step, where the optimizer took it.
        """

        def closure() -> Array:
            random.begin_step(self.step, self.stream)  # the same masks at each evaluation
            return self.take_gradient(x, y)

        if self.optimizer.needs_closure:
            tracing.phase("optimizer")
            return self.optimizer.step(closure)
        self._clip()
        tracing.phase("optimizer")
        self.optimizer.step()
        tracing.phase(None)
        return None

    def _clip(self) -> None:
        if self.clip_value is not None:
            clip_grad_value_(self.flat, self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm(self.flat, self.clip_norm)

    def _gradients(self, x: Array, y: Array) -> Array:
        """Accumulate the gradient of the loss over the microbatches, of each this rank's part; returns the loss as an
        array."""
        group = collectives.group()
        if self.accumulate == group.size == 1:
            loss = self._cost(x, y)
            self._backward(loss)
            return loss.data
        count, total = len(x), None
        size = microbatch_size(count, self.accumulate)
        for index, start in enumerate(range(0, count, size)):
            part = group.part(start, min(start + size, count))
            rows = slice(part.start, part.stop)
            random.begin_microbatch(index, (part.start - start, part.stop - part.start, part.total))
            loss = self._cost(x[rows], y[rows], measured=self._reduction is not None)
            share = 1 / part.copies if self._reduction == "sum" else part.share * part.total / count
            if share != 1:
                loss = loss * share
            self._backward(loss)
            if start + size < count:
                self.flat.begin_microbatch()
            total = loss.data if total is None else total + loss.data
        return total

    def _over_ranks(self, loss: Array) -> Array:
        """The sum over all ranks of the loss and, in its place, of the gradient: those of the whole batch."""
        group, scaler = collectives.group(), self.flat.scaler
        group.all_reduce(self.flat.gather_grad())
        if scaler is not None:  # where the gradient of one rank overflowed, none takes the step
            overflow = scaler[scaling.OVERFLOW : scaling.OVERFLOW + 1]
            overflow[...] = group.all_reduce(overflow.copy()) > 0
        total = group.sum_over_ranks(float(loss))
        return backend.array_module(loss).asarray(total, dtype=loss.dtype)

    @property
    def _reduction(self) -> str | None:
        """The loss's reduction, "sum" or "mean": as the loss declares it, else as measured; None if not known yet."""
        if self.loss_fn is None:
            return "mean"
        measured = self._measured[1] if self._measured[0] is self.loss_fn else None
        return reduction.declared(self.loss_fn) or measured

    def _cost(self, x: Array, y: Array, measured: bool = True) -> Tensor:
        """The cost of a batch or a microbatch; unless it is ``measured`` how those add up, that is found out."""
        tracing.phase("forward")
        if self.loss_fn is None:
            return self._full(self._scalar(self._objective(lent(x), y), self.model))
        if self.attack is not None:
            x = self.attack(self.model, x, y, random.current_step())
        outputs = (self.carried or self.model)(lent(x))
        if outputs is None:
            raise ArgumentTypeError(f"TrainStep: {_called(self.model)} returned None: it lacks a return")
        outputs = self._full(outputs)
        tracing.phase("forward")  # a bar of its own in a trace
        loss = self._scalar(self.loss_fn(outputs, y), self.loss_fn)
        if not measured:
            self._measured = self.loss_fn, reduction.measured(self.loss_fn, outputs, y)
        return loss

    def _objective(self, x: Tensor, y: Array) -> Any:
        """The cost of a batch, where that is the model's own affair."""
        return self.model.objective(x, y, random.current_step())

    def _full(self, value: Tensor) -> Tensor:
        """Out of half precision."""
        return value if self.flat.half is None else value.to(dtype=self.flat.data.dtype)

    def _scalar(self, loss: Any, function: Any) -> Tensor:
        if isinstance(loss, Tensor):
            return loss
        came = "None: it lacks a return" if loss is None else f"a {type(loss).__name__}, which has no gradient"
        raise ArgumentTypeError(f"TrainStep: expected the loss as a tensor; {_called(function)} returned {came}")

    def _backward(self, loss: Tensor) -> None:
        tracing.phase("backward")
        scaler = self.flat.scaler
        if scaler is None:
            loss.backward()
            return
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is what the scale is there for
            loss.backward(scaler[scaling.SCALE])

    @property
    def compute_dtype(self) -> np.dtype:
        """The type that the model computes in."""
        return self.flat.data.dtype if self.flat.half is None else self.flat.half.dtype

    @property
    def skipped(self) -> int:
        """How many steps overflowed float16, and so changed nothing; reads the device."""
        return 0 if self.flat.scaler is None else int(self.flat.scaler[scaling.SKIPPED])

    def _input(self, value: Any, dtype: np.dtype) -> Array:
        array = value.data if isinstance(value, Tensor) else value
        here = backend.of(self.flat.data)
        if backend.array_module(array) is not here.xp or not hasattr(array, "dtype"):
            array = here.asarray(array)
        # Floating-point inputs take the model's type, targets that of the loss; labels, token indices and pixels stay.
        return array.astype(dtype, copy=False) if is_floating(array.dtype) else array

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """``with step.averaged():`` the model holds the average of its parameters, where one is kept."""
        if self.swa is not None:
            average: Any = self.swa.shown()
        else:
            average = contextlib.nullcontext() if self._average is None else showing(self.flat, self._average)
        with average:
            yield

    def state_dict(self) -> dict:
        """What has to be known to go on: ``{"step": int, "optimizer": {...}, "arrays": {...}}``, arrays on the host."""
        held = {"ema": self._average, "scaler": self.flat.scaler}
        watching = {} if not hasattr(self.schedule, "observe") else {"schedule": self.schedule.state_dict()}
        arrays = {name: backend.to_host(array).copy() for name, array in held.items() if array is not None}
        numbers = {"step": self.step, "base_lr": list(self.base_rates), "stream": list(self.stream)}
        own = {**numbers, **watching, **self._layout(), "optimizer": self.optimizer.state_dict(), "arrays": arrays}
        apart = {"swa": self.swa, "carried": self.carried}
        return own | {name: each.state_dict() for name, each in apart.items() if each is not None}

    def _layout(self) -> dict[str, list[int]]:
        """Where the groups put the model's parameters in another order: the place in the model of each."""
        if len(self.optimizer.members) == 1 or not isinstance(self.model, Module):
            return {}
        places = {id(p): i for i, p in enumerate(self.model.parameters())}
        return {"layout": [places.get(id(p), -1) for p in self.flat.all_parameters]}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state that :meth:`state_dict` gave; the model's own state is loaded apart."""
        rates = state["base_lr"]
        self.step, self.base_rates = int(state["step"]), list(rates) if isinstance(rates, list) else [float(rates)]
        self.stream = tuple(state.get("stream", self.stream))
        self.optimizer.load_state_dict(state["optimizer"])
        if "schedule" in state and hasattr(self.schedule, "observe"):
            self.schedule.load_state_dict(state["schedule"])
        if self._average is not None:
            self._average[...] = backend.of(self._average).asarray(state["arrays"]["ema"])
        if self.swa is not None:
            self.swa.load_state_dict(state["swa"])
        if self.carried is not None:
            self.carried.load_state_dict(state["carried"])
        # The state of a step at full precision has no scale: a model that goes on in float16 begins with the first.
        if self.flat.scaler is not None and "scaler" in state["arrays"]:
            self.flat.scaler[...] = backend.of(self.flat.scaler).asarray(state["arrays"]["scaler"])


def _called(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _weights(parameters: Iterable[Parameter]) -> list[Parameter]:
    return [p for p in parameters if p.ndim > 1]


__all__ = ["TrainStep"]
