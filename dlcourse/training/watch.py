"""Watch the layers of a net while it trains: gradients, weights, updates, outputs (``train.watch``)."""

import copy
import math
from functools import partial
from typing import Any, cast

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.autograd.graph import Node
from dlcourse.backend import collectives, tracing
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentTypeError, UserError, named
from dlcourse.explain.through_time import following
from dlcourse.nn import Module
from dlcourse.nn.activation import Activation
from dlcourse.nn.calls import noting_calls
from dlcourse.training.alternating import AlternatingStep
from dlcourse.training.callback import Callback
from dlcourse.training.history import History
from dlcourse.training.step import TrainStep

SAMPLES = 256
"""Of a larger batch so many are watched."""
ROWS = 4096
"""Of a layer's outputs so many vectors, evenly spread, give mean and spread: all of a convolution's would take as long
as a step."""
BINS = 40
"""Parts of an activation's histogram."""
_STEPS = "through_time."
_OFTEN = 512
"""Steps until which there is one look, at an evaluation, each time that their number doubles; then one in 256."""


class Watch(Callback):
    """Writes a ``watch`` line at the start and at evaluations: what a step does to each layer, see
    :func:`inspect_step`.

    It looks at a copy of the training step, always with the first training batch, so that training goes on exactly as
    without it. An evaluation that comes within 256 steps of the last look is passed over, which keeps the share of the
    time below 3 %: a look takes 1.3 (a convolutional net) to 3.5 steps (a tiny one); one at a recurrent net, which is
    followed step by step, up to 11. Early in training looks are closer.

    Args:
        every: epochs between evaluations.
        history: where the lines go.
    """

    def __init__(self, every: int, history: History):
        self.every, self.history = every, history
        self._between = 0
        self._batch: tuple[Array, Array] | None = None

    def start(self, trainer: Any) -> None:
        self._between = self.every * trainer.loader.steps_per_epoch
        x, y = trainer.loader.batch(0)
        chosen = slice(None, None, max(1, len(x) // SAMPLES))
        self._batch = x[chosen][:SAMPLES].copy(), y[chosen][:SAMPLES].copy()
        if trainer.step == 0:
            self._look(trainer)

    def after_evaluation(self, trainer: Any) -> None:
        # A function of the step alone, as a run that is resumed has to look at the same steps.
        last = trainer.step - (trainer.step % self._between or self._between) if self._between else 0
        if _looks_until(trainer.step) > _looks_until(last):
            self._look(trainer)

    def _look(self, trainer: Any) -> None:
        hooked = Node.watched
        with tracing.listening_to_phases(None), collectives.alone():
            found = inspect_step(trainer.train_step, *self._batch)  # type: ignore[misc]
            self.history.record(trainer, "watch", layers=found)
        Node.watched = hooked  # a recurrent layer kept gradients of its states, which are gone: steps may be captured


def _looks_until(step: int) -> int:
    if step < _OFTEN:
        return int(math.log2(step)) + 1 if step else 0
    return 8 + step // 256


def inspect_step(train_step: TrainStep | AlternatingStep, x: Any, y: Any) -> dict[str, dict[str, Any]]:
    """What the next update would do to each layer, with this batch; nothing changes, as a copy does it.

    Args:
        train_step: of the model that is trained; a state that it carries from batch to batch is taken as 0. Of players
            each is looked at by itself, before any of them moves.
        x, y: a batch, as the step itself takes it.
    Returns:
        By the name of each module with parameters of its own: their number ``size``, the norms of their ``gradient``
        (penalties included, before clipping) and of themselves, ``weight``, and by which part of that norm the update
        moves them, ``ratio`` (infinite where they are zero). Of these modules and of activations the ``mean`` and the
        standard deviation ``std`` of their outputs, of activations also the share of ``dead`` units, those with one
        and the same output for all samples, and ``counts``: how many outputs lie in each of 40 equal parts between
        ``low`` and ``high``. ``kind`` is the class. Of a recurrent layer ``through_time`` has the norms of the gradient
        at each step, see :func:`~dlcourse.explain.gradients_through_time`.
    Raises:
        TypeError: it is no TrainStep.
        UserError: the model holds something that cannot be copied.
    Example:
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> layers = dl.inspect_step(step, x, (x[:, 0] > 0).astype(int))
        >>> list(layers), layers["1"]["dead"]
        (['0', '1', '2'], 0.0)
    """
    if isinstance(train_step, AlternatingStep):
        return {
            name: facts
            for player, each in train_step.players.items()
            for name, facts in inspect_step(each, x, y).items()
            if name.split(".")[0] == player
        }
    if not isinstance(train_step, TrainStep):
        raise ArgumentTypeError(f"inspect_step: expected a TrainStep, got a {type(train_step).__name__}")
    try:
        probe = copy.deepcopy(train_step)
    except Exception as error:  # a copy runs code of the user's own, which may raise anything
        raise UserError(f"inspect_step needs a copy of the model, which cannot be made: {named(error)}") from error
    x, y = probe.batch_of(x, y)
    if probe.carried is not None:
        probe.carried.reset()
    flat, model = probe.flat, cast(Module, probe.model)
    outputs: dict[int, dict[str, Array]] = {}
    watched = {name or "(model)": each for name, each in model.named_modules() if _is_layer(each)}
    before = flat.data.copy()
    probe.begin()
    with noting_calls(watched.values(), partial(_note, outputs)), following(model) as recurrences:
        probe.take_gradient(x, y)
    if flat.scaler is not None:  # the gradients are the loss scale's multiples
        recurrences.clear()
    through_time = {each: call.norms() for each, call in recurrences.items()}  # with the weights as they are now
    gradient = flat.gather_grad().copy()
    probe.apply_gradient(x, y)
    places = {id(p): flat.slice_of(i) for i, p in enumerate(flat.parameters)}
    found: dict[str, dict[str, Any]] = {}
    numbers: list[Array] = []
    keys: list[tuple[str, str]] = []
    for name, module in watched.items():
        own = [places[id(p)] for _, p in module.own_parameters() if id(p) in places]
        facts: dict[str, Array] = dict(outputs.get(id(module), {}))
        found[name] = {"kind": type(module).__name__}
        if own:
            found[name]["size"] = sum(place.stop - place.start for place in own)
            facts |= {"gradient": _norm(gradient, own), "weight": _norm(before, own)}
            with np.errstate(divide="ignore", invalid="ignore"):  # weights may be zero, as those of a linear model are
                facts["ratio"] = _norm(flat.data - before, own) / facts["weight"]
        if id(module) in through_time:
            found[name]["through_time"] = {}
            facts |= {f"{_STEPS}{state}": norms for state, norms in through_time[id(module)].items()}
        keys += [(name, fact) for fact in facts]
        numbers += facts.values()
    xp = backend.array_module(before)
    ends = np.cumsum([value.size for value in numbers])
    values = np.split(backend.to_host(xp.concatenate([value.ravel() for value in numbers])), ends[:-1])
    for (name, fact), part in zip(keys, values, strict=True):
        if fact.startswith(_STEPS):
            found[name]["through_time"][fact.removeprefix(_STEPS)] = [float(f"{each:.6g}") for each in part]
        else:
            found[name][fact] = part.astype(int).tolist() if fact == "counts" else float(f"{part.item():.6g}")
    return found


def _is_layer(module: Module) -> bool:
    return isinstance(module, Activation) or any(True for _ in module.own_parameters())


def _note(outputs: dict[int, dict[str, Array]], module: Module, inputs: tuple[Any, ...], output: Any) -> None:
    first = output[0] if isinstance(output, tuple) else output
    if not isinstance(first, Tensor) or not first.size:
        return
    units = first.data.reshape(-1, first.shape[-1]) if first.ndim else first.data.reshape(1, 1)
    sample = units[:: -(-len(units) // ROWS)].astype("float64")
    facts = {"mean": sample.mean(), "std": sample.std()}
    if isinstance(module, Activation) and len(units) > 1:
        facts["dead"] = (units.max(axis=0) == units.min(axis=0)).mean(dtype="float64")
    if isinstance(module, Activation):
        facts |= _histogram(sample)
    outputs[id(module)] = facts


def _histogram(sample: Array) -> dict[str, Array]:
    """Counts in equal parts from the least value to the largest; by sorting, which reads nothing back."""
    xp, values = backend.array_module(sample), sample.ravel()
    values.sort()
    low, high = values[0], values[-1]
    edges = low + (high - low) * xp.linspace(0, 1, BINS + 1)[1:-1]
    below = xp.searchsorted(values, edges)
    counts = xp.diff(below, prepend=0, append=values.size).astype("float64")
    return {"low": low, "high": high, "counts": counts}


def _norm(values: Array, places: list[slice]) -> Array:
    """In float64, where squares of a gradient that vanishes are no zeros."""
    xp = backend.array_module(values)
    parts = [values[place].astype("float64") for place in places]
    return xp.sqrt(sum(xp.vdot(part, part) for part in parts))


__all__ = ["Watch", "inspect_step"]
