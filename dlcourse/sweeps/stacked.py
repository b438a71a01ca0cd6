"""Train points of a sweep stacked: those of one architecture as one model with a leading axis of replicas.

:func:`plan` puts points into groups, and says of the others why they run by themselves; :class:`Stacking` runs all.
Each point is an ordinary run in its own folder, as :func:`~dlcourse.sweeps.point.execute` makes it, and each way can go
on with what the other has begun.
"""

import contextlib
import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlcourse import registry
from dlcourse.autograd import Tensor
from dlcourse.autograd.replicas import NotStackable
from dlcourse.backend import Backend, current, memory, precision, random
from dlcourse.config import Config
from dlcourse.errors import named
from dlcourse.experiment.building import build_loss, build_model
from dlcourse.experiment.experiment import Experiment, training_seed
from dlcourse.experiment.lockstep import Lockstep, SharedData, Together
from dlcourse.experiment.runner import Options, new_training, resumed_training
from dlcourse.experiment.training_run import Run
from dlcourse.models.base import Model
from dlcourse.nn.summary import summarize
from dlcourse.signals import handle_termination
from dlcourse.sweeps import point
from dlcourse.sweeps.point import Task, outcome_of
from dlcourse.sweeps.processes import Event
from dlcourse.text import canonical, format_bytes
from dlcourse.training.log import Log
from dlcourse.training.stack import signature

MAX_REPLICAS = 256
"""Each holds the lock of its folder open, and a process may have about a thousand files."""
_COPIES = 6
"""Arrays of the parameters' length that a replica keeps: its model's at the start, weights, gradients, two of the
optimizer, and those of a checkpoint that is to be written."""
_PASSES = 3
"""Arrays of the size of a batch and all layers' outputs that are held at once in a step."""
_SHARED = {True: "architecture and batch size", False: "architecture and batches"}
"""What a group has in common, by whether it is on the CPU."""
_SHARE = 0.5
"""Of the memory that is left, what a group may take."""


@dataclass
class Plan:
    """Which points are trained together.

    Attributes:
        groups: their indices.
        sizes: bytes that a replica of each group takes, about.
        alone: of the other points, why each runs by itself.
        fits: how many of a point's fits to training sets drawn anew are trained as one model, where they can be.
        single_fits: of the other points, why these fits are made one after another.
    """

    groups: list[list[int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    alone: dict[int, str] = field(default_factory=dict)
    fits: dict[int, int] = field(default_factory=dict)
    single_fits: dict[int, str] = field(default_factory=dict)

    def lines(self, names: Sequence[str]) -> Iterator[str]:
        """What it is, in words.

        Args:
            names: of the points.
        """
        count = sum(map(len, self.groups))
        if count:
            groups = f"{len(self.groups)} group{'s' * (len(self.groups) != 1)}"
            yield f"stacked: {count} of {len(names)} points in {groups}"
        for group, size in zip(self.groups, self.sizes, strict=True):
            ends, bytes_ = f"{names[group[0]]} to {names[group[-1]]}", format_bytes(len(group) * size)
            yield f"  {ends}: {len(group)} points, about {bytes_}"
        for reason, indices in _by_value(self.alone):
            verb = "run by themselves" if len(indices) > 1 else "runs by itself"
            yield f"{len(indices)} of {len(names)} points {verb} ({_shown(indices, names)}): {reason}"
        for count, indices in _by_value(self.fits):
            of = f"{len(indices)} of {len(names)} points ({_shown(indices, names)})"
            yield f"fits to training sets drawn anew of {of}: stacked, up to {count} at once"
        for reason, indices in _by_value(self.single_fits):
            of = f"{len(indices)} of {len(names)} points ({_shown(indices, names)})"
            yield f"fits to training sets drawn anew of {of}: one after another: {reason}"


def _by_value(found: Mapping[int, Any]) -> list[tuple[Any, list[int]]]:
    """Each value with the points that have it."""
    indices: dict[Any, list[int]] = defaultdict(list)
    for index, value in found.items():
        indices[value].append(index)
    return list(indices.items())


def _shown(indices: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[index] for index in indices[:3]) + (", ..." if len(indices) > 3 else "")


def unsupported_reason(config: Mapping[str, Any], device: Backend) -> str | None:
    """What keeps a point from being trained stacked, whatever the others are; None for nothing.

    Args:
        config: the point's, resolved.
        device: where it would run.
    """
    train, optimizer = config["train"], registry.lookup("optimizer", config["optimizer"]["name"])
    model = registry.lookup("model", config["model"]["name"])
    name = config["optimizer"]["name"]
    if optimizer.closed_form:
        return f"optimizer {name} solves in one step"
    if getattr(optimizer, "needs_closure", False):
        return f"optimizer {name} evaluates the cost several times in a step"
    if getattr(model, "objective_units", None) or config["loss"] is None:
        return f"model {config['model']['name']} has an objective of its own"
    if precision.is_half(precision.dtype(config["precision"])):
        return f"precision {config['precision']}: stacks compute in float32 or float64"
    unwanted = {key: train[key] for key in ("attack", "swa", "carry_state")} | {"accumulate": train["accumulate"] > 1}
    found = next((key for key, value in unwanted.items() if value), None)
    return None if found is None else f"train.{found} is taken by each model alone"


def plan(configs: Sequence[Config], device: Backend, shared: SharedData, resamples: int = 0) -> Plan:
    """Put points into groups that can be one model, and that fit into memory.

    Args:
        configs: of the points.
        device: where they would run.
        shared: has the data, which are loaded to see the models' sizes.
        resamples: to how many training sets drawn anew each point is fitted beside.
    """
    found, keys = Plan(), defaultdict(list)
    describe = functools.cache(functools.partial(_describe, shared))
    sizes: dict[Any, int] = {}
    for index, config in enumerate(configs):
        reason = unsupported_reason(config.data, device)
        if reason is None:
            try:
                kind, size = describe(_Described(config))
            except Exception as error:  # the ordinary run says it, with file and line
                reason = f"its model cannot be looked at: {named(error)}"
        if reason is not None:
            found.alone[index] = reason
            if resamples:
                found.single_fits[index] = reason
            continue
        keys[_key(config.data, kind, device)].append(index)
        sizes[index] = size
    left = memory.available() if device.is_host else device.free_bytes()
    for index, size in sizes.items() if resamples else ():
        model, most = configs[index].data["model"]["name"], _fitting(left, size)
        if getattr(registry.lookup("model", model), "adapt", Model.adapt) is not Model.adapt:
            found.single_fits[index] = f"model {model} holds what it takes from its training set beside its weights"
        elif most < 2:
            found.single_fits[index] = "memory for one only"
        else:
            found.fits[index] = -(-resamples // -(-resamples // most))
    for indices in keys.values():
        size = max(sizes[index] for index in indices)
        most = _fitting(left, size)
        if len(indices) == 1 or most < 2:
            why = f"no other point has its {_SHARED[device.is_host]}" if len(indices) == 1 else "memory for one only"
            found.alone |= dict.fromkeys(indices, why)
            continue
        groups = -(-len(indices) // most)
        each, rest = divmod(len(indices), groups)
        start = 0
        for number in range(groups):
            end = start + each + (number < rest)
            found.groups.append(indices[start:end])
            found.sizes.append(size)
            start = end
    return found


def _fitting(left: int | None, size: int) -> int:
    """How many replicas of so many bytes are trained as one, at most."""
    return MAX_REPLICAS if left is None else min(MAX_REPLICAS, int(_SHARE * left // max(1, size)))


class _Described:
    """A config by what its model, loss and data are: those that are equal are looked at once."""

    def __init__(self, config: Config):
        self.config = config.data
        own = {key: self.config[key] for key in ("data", "model", "loss", "seed", "precision")}
        self._key = canonical([own, self.config["train"]["batch_size"]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Described) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _describe(shared: SharedData, described: _Described) -> tuple[tuple, int]:
    """What has to be equal in a group, and the bytes that a replica takes, about."""
    config = described.config
    data = shared.prepare(config["data"], config["seed"])
    with random.drawing(random.Draws()):
        model, loss = build_model(config["model"], data), build_loss(config["loss"])
    kind: tuple = signature(model), signature(loss), data.in_shape, data.out_features, data.every_step
    if type(model).adapt is not Model.adapt or getattr(loss, "class_weights", None) is not None:
        kind = *kind, canonical([config["data"], config["seed"]])  # what they take from the data is in no replica's row
    count = len(data.splits["train"])
    batch = count if config["train"]["batch_size"] == "full" else min(config["train"]["batch_size"], count)
    with random.drawing(random.Draws()):
        sample = data.normalizer.apply(data.splits["train"].x[:1], precision.dtype(config["precision"]))
        found = summarize(model, Tensor(current().asarray(sample)))
    passing = (found.activation_bytes + sample.nbytes) * batch * _PASSES
    return kind, found.parameter_bytes * _COPIES + passing


def _key(config: Mapping[str, Any], kind: tuple, device: Backend) -> Any:
    """What points of a group have in common: the architecture, and what decides which numbers meet in a step; on a GPU
    the batches too, without which it records no step."""
    train, groups = config["train"], config["optimizer"].get("groups") or ()
    layout = [(group["match"], group.get("ndim")) for group in groups]
    alike = [train["batch_size"], train["freeze"], config["precision"], layout]
    if not device.is_host:
        alike += [config["data"], config["seed"], training_seed(config), train["drop_last"]]
    return kind, canonical(alike)


@dataclass(frozen=True)
class Stacking:
    """That the points of a sweep are to be trained stacked.

    Attributes:
        device: where.
        asked: the device that the command line names, if any.
    """

    device: Backend
    asked: str | None

    def events(self, tasks: Sequence[Task], names: Sequence[str], jobs: int, log: Log) -> Iterator[Event]:
        """As :func:`dlcourse.sweeps.point.events`: those of the groups, then of the points that run by themselves.

        Args:
            names: of the points.
            jobs: how many of the latter run at the same time.
            log: says which points are trained together.
        """
        shared, options = SharedData(), Options(self.asked, quiet=True, plots=False)
        resamples = max((len(task.resampling.seeds) for task in tasks if task.resampling is not None), default=0)
        if resamples:
            tasks = self._with_fits(tasks, names, resamples, shared, log)
        new = [index for index, task in enumerate(tasks) if task.start != "skip"]
        found = plan([tasks[index].config for index in new], self.device, shared)
        for line in found.lines([names[index] for index in new]):
            log(line)
        alone = sorted({*range(len(tasks))} - {new[i] for group in found.groups for i in group})
        for group in found.groups:
            fitted_next: list[int] = []
            for kind, index, outcome in _group_events(tasks, [new[i] for i in group], options, shared):
                if kind == "alone":
                    log(f"{names[index]} runs by itself: {outcome['reason']}")
                    alone.append(index)
                elif kind == "outcome" and outcome["status"] == "done" and tasks[index].resampling is not None:
                    fitted_next.append(index)
                else:
                    yield kind, index, outcome
            for index in fitted_next:  # its run is kept, the fits follow
                yield "outcome", index, point.execute(replace(tasks[index], start="skip"))
        del shared  # the data: each of the others has its own
        again = [replace(tasks[index], start=point.start_again(tasks[index])) for index in alone]
        for kind, index, outcome in point.events(again, jobs):
            yield kind, alone[index], outcome

    def _with_fits(
        self, tasks: Sequence[Task], names: Sequence[str], resamples: int, shared: SharedData, log: Log
    ) -> list[Task]:
        """The tasks, told how many of their fits to training sets drawn anew are trained as one; says it."""
        found = plan([task.config for task in tasks], self.device, shared, resamples)
        for line in Plan(fits=found.fits, single_fits=found.single_fits).lines(names):
            log(line)
        told = list(tasks)
        for index, count in found.fits.items():
            if (resampling := tasks[index].resampling) is not None:
                told[index] = replace(tasks[index], resampling=replace(resampling, at_once=count))
        return told


def _group_events(tasks: Sequence[Task], group: Sequence[int], options: Options, shared: SharedData) -> Iterator[Event]:
    """Run a group; yields as :func:`dlcourse.sweeps.point.events`, and ("alone", index, {"reason": ...}) for a point
    that turned out to run by itself.

    Raises:
        Interrupted: a signal came; the points that were running have written their checkpoints.
    """
    lockstep = Lockstep()
    indices: dict[Any, int] = {}
    with handle_termination() as request, contextlib.ExitStack() as held:
        for index in group:
            yield "started", index, {}
            draws = random.Draws()
            try:
                with random.drawing(draws):
                    run = held.enter_context(_training(tasks[index], options, shared, lockstep))
            except Exception as error:  # the ordinary run tells what is wrong, or waits, or begins anew
                yield "alone", index, {"reason": named(error)}
                continue
            lockstep.add(run, draws)
            indices[run] = index
        with request.deferred(lambda number: None):
            try:
                for ended, ended_by in lockstep.train(lambda: request.received):
                    index = indices.pop(ended)
                    yield "outcome", index, outcome_of(tasks[index].folder, ended_by)
            except NotStackable as error:
                for index in indices.values():
                    yield "alone", index, {"reason": str(error)}


@contextlib.contextmanager
def _training(task: Task, options: Options, shared: SharedData, lockstep: Lockstep) -> Iterator[Run]:
    def build(config: Config, goes_on: bool) -> Experiment:
        experiment = Experiment.from_config(config, current(), goes_on=goes_on, prepare=shared.prepare)
        experiment.evaluator = Together(lockstep)
        shared.share(experiment)
        return experiment

    if task.start == "resume":
        with resumed_training(task.folder, options, build) as run:
            yield run
    else:
        with new_training(build(task.config, False), task.config, task.folder, options, alone=False) as run:
            yield run
