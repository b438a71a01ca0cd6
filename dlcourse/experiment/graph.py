"""The computational graph of the model and the loss that a config names, or of the net in a run's folder."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import backend, registry
from dlcourse.autograd import as_tensor
from dlcourse.backend import random
from dlcourse.backend.precision import is_half
from dlcourse.config import resolve
from dlcourse.config.overrides import Overrides
from dlcourse.data.files import looking_in
from dlcourse.errors import UserError
from dlcourse.experiment.components import code_of
from dlcourse.experiment.ensemble import TrainedEnsemble
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.identity import check_data
from dlcourse.experiment.loading import load_run
from dlcourse.graphs import Graph, record
from dlcourse.nn import Module
from dlcourse.text import format_number
from dlcourse.training.environment import started_in

__all__ = ["Drawn", "draw_graph"]

_SAMPLES = 2, 3
"""What goes through a model twice, to tell the axis of the batch from the others."""


@dataclass(frozen=True)
class Drawn:
    """A graph and what is to be said of it.

    Attributes:
        graph: of model and loss; None where there is none.
        name: of the config.
        notes: lines: the loss of the example, what is not drawn, or why there is no graph.
    """

    graph: Graph | None
    name: str
    notes: tuple[str, ...] = ()


def draw_graph(
    path: str, overrides: Overrides = (), device: str | None = None, split: str = "train", example: int | None = None
) -> Drawn:
    """The graph of one training step's loss, or with values and gradients that of one example.

    Args:
        path: a config, or the folder of a run, whose trained weights are taken.
        overrides: other values, for a config only.
        device: instead of the config's.
        split: where the example is from.
        example: its place in the split, from 0; it goes through in evaluation mode. None: no numbers, in training mode.
    Raises:
        UserError: the config is wrong, the run is an ensemble, or the example or the split is not there.
        ChangedDataError: the data of the run changed since.
    """
    with _experiment(path, overrides, device) as found:
        if isinstance(found, Drawn):
            return found
        with backend.use(found.backend):
            notes = (() if example is None else (_example(found, split, example),)) + tuple(_penalties(found))
            graph = _shapes(found) if example is None else _walked(found, split, example)
        return Drawn(graph, found.name, notes)


@contextlib.contextmanager
def _experiment(path: str, overrides: Overrides, device: str | None) -> Iterator[Experiment | Drawn]:
    """The experiment of a config, or of a run with its trained weights; or why it has no graph."""
    if not _is_run(path):
        config = resolve(path, overrides).without_sweep()
        if _without_cost(config.data):
            yield _no_graph(config.data)
            return
        with backend.use(backend.get(device or config.data["device"])) as chosen:
            yield Experiment.from_config(config, chosen)
        return
    if overrides:
        raise UserError(f"{path} is a run, whose weights belong to its config: leave out {' '.join(overrides)}")
    trained = load_run(path, device)
    if isinstance(trained, TrainedEnsemble):
        raise UserError(f"{path}: graph takes the run of one model; name that of a member of the ensemble")
    if _without_cost(trained.config.data):
        yield _no_graph(trained.config.data)
        return
    with code_of(trained.folder, lambda text: None), looking_in(started_in(trained.folder)):
        with backend.use(trained.backend):
            experiment = Experiment.from_config(trained.config, trained.backend, goes_on=True)
        check_data(experiment.data, trained.source.state, trained.folder.path, "restore the data")
        experiment.model = trained.model
        yield experiment


def _is_run(path: str) -> bool:
    return os.path.isdir(path) or path.endswith(".safetensors")


def _without_cost(config: Any) -> bool:
    model = registry.lookup("model", config["model"]["name"])
    return config["loss"] is None and not getattr(model, "objective_units", None)


def _no_graph(config: Any) -> Drawn:
    why = f"{config['model']['name']} is solved in closed form and the config names no loss: there is no graph to draw"
    return Drawn(None, config["name"], (why,))


def _shapes(experiment: Experiment) -> Graph:
    """The graph in training mode, without numbers; lengths that grow with the batch are shown as N."""
    found = []
    for count in _SAMPLES:
        x, y = experiment.samples("train", count)
        random.begin_step(0)
        experiment.model.train()
        found.append((len(x), _recorded(experiment, x, y, keep=False)))
    (size, graph), (other, larger) = found
    if size != other and len(graph) == len(larger):
        for node, beside in zip(graph, larger, strict=True):
            for value, grown in zip(node.values, beside.values, strict=False):
                pairs = zip(value.shape, grown.shape, strict=False)
                value.axes = tuple(_axis(a, b, size, other) for a, b in pairs)
    return graph


def _axis(length: int, grown: int, size: int, other: int) -> str:
    """``N`` for the batch axis, ``64 N`` for one that holds the steps of its sequences too."""
    times, rest = divmod(length, size)
    if length == grown or rest or times * other != grown:
        return str(length)
    return "N" if times == 1 else f"{times} N"


def _walked(experiment: Experiment, split: str, example: int) -> Graph:
    experiment.model.eval()
    x, y = experiment.samples(split, 1, example)
    return _recorded(experiment, x, y, keep=True)


def _recorded(experiment: Experiment, x: Any, y: Any, keep: bool) -> Graph:
    if experiment.has_objective:
        return record(_Objective(experiment.model), (x, y), keep=keep, title=experiment.name)
    in_float32 = "float32" if is_half(experiment.dtype) else None  # as a training step computes its loss
    return record(experiment.model, (x, y), experiment.loss, keep=keep, title=experiment.name, loss_dtype=in_float32)


class _Objective(Module):
    """A model's own objective as a forward pass."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, x: Any, y: Any) -> Any:
        return self.model.objective(as_tensor(x), y, random.current_step())


def _example(experiment: Experiment, split: str, example: int) -> str:
    """Which example it is, in words.

    Raises:
        UserError: there is no such one.
    """
    splits = experiment.data.splits
    if split not in splits:
        raise UserError(f"--split {split}: there is none in this config; there are: {', '.join(splits)}")
    count = len(splits[split])
    if not 0 <= example < count:
        raise UserError(f"--example {example}: the {split} split has the examples 0 to {count - 1}")
    y, names = np.asarray(splits[split].y[example]), experiment.data.dataset.class_names
    if y.size > 1:
        return f"example {example} of the {split} split, in evaluation mode"
    known = experiment.data.task == "classification" and names
    target = repr(names[int(y.item())]) if known else format_number(float(y.item()), 6)
    return f"example {example} of the {split} split, with the target {target}, in evaluation mode"


def _penalties(experiment: Experiment) -> Iterator[str]:
    for key in ("l1", "l2"):
        if experiment.train[key]:
            yield f"train.{key} = {experiment.train[key]:g} adds a penalty to the cost, which is not drawn"
