"""Average trained models: the members of a sweep that ``ensemble`` made, as one model."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.cast import astype
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.data import prepare
from dlcourse.errors import UserError
from dlcourse.experiment import stored
from dlcourse.experiment.components import code_of
from dlcourse.experiment.trained import TrainedModel, metrics_of
from dlcourse.experiment.views import TestTime
from dlcourse.models import Model
from dlcourse.nn import ModuleList
from dlcourse.records.reading import read
from dlcourse.records.sweep import EnsembleState, SweepState
from dlcourse.text import flat_metrics
from dlcourse.training.atomic import finite
from dlcourse.training.evaluation import outputs


def average(found: Array, classes: bool) -> Array:
    """What models say together, (N, ..., K), from the outputs of each, (M, N, ..., K).

    Of classes p = 1/M sum_m softmax(z_m), as its logarithm, whose softmax is p again; else the mean of the outputs.
    """
    if not classes:
        return found.mean(axis=0)
    xp = array_module(found)
    logs = found - found.max(axis=-1, keepdims=True)
    logs -= xp.log(xp.exp(logs).sum(axis=-1, keepdims=True))
    top = logs.max(axis=0)
    return top + xp.log(xp.exp(logs - top).mean(axis=0))


class SideBySide(Model):
    """What each of several trained models says, (M, N, ..., K), 16-bit outputs as float32."""

    def __init__(self, models: Sequence[Model]):
        super().__init__(models[0].in_shape, models[0].out_features)
        self.models = ModuleList(models)
        self.every_step, self.target_names = models[0].every_step, models[0].target_names

    def forward(self, x: Tensor) -> Tensor:
        found = [model(x).data for model in self.models]
        return Tensor(array_module(found[0]).stack([astype(each, accumulation_dtype(each.dtype)) for each in found]))


class Averaged(SideBySide):
    """The :func:`average` of what several trained models say.

    Args:
        models: in evaluation mode.
        classes: whether their outputs are logits of classes.
    """

    def __init__(self, models: Sequence[Model], classes: bool):
        super().__init__(models)
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        return Tensor(average(super().forward(x).data, self.classes))


@dataclass(frozen=True, repr=False)
class TrainedEnsemble(TrainedModel):
    """Several trained models as one that averages what they say; ``members`` are the single ones.

    What the first member says of data, config and inputs holds for all. ``run.predict(x)``, ``run.members[0].history``.
    """

    path: Path
    members: tuple[TrainedModel, ...]

    def with_tta(self, tta: TestTime | None) -> Self:
        members = tuple(each.with_tta(tta) for each in self.members)
        return replace(self, tta=tta, members=members)

    @property
    def answering(self) -> Any:
        return Averaged([each.answering for each in self.members], self.inputs.task == "classification").eval()

    @property
    def where(self) -> str:
        return f"{self.path}, the average of {len(self.members)} models"

    @cached_property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """What the ensemble reached at its end, by split and label."""
        found: dict[str, dict[str, float | None]] = {}
        for key, value in _chosen(read(self.path / "sweep.json", SweepState), self.path)["metrics"].items():
            split, _, label = key.partition(".")
            found.setdefault(split, {})[label] = value
        return found

    def export(self, path: str | os.PathLike, *, torch: bool = False, with_normalization: bool = False) -> str:
        raise UserError(f"{self.path}: several models have no weights to export as one; export {self.folder.path}")


def is_ensemble(path: Path) -> bool:
    """Whether a folder holds an ensemble, finished or not."""
    file = path / "sweep.json"
    return file.is_file() and bool(read(file, SweepState).config.get("ensemble"))


def load_ensemble(path: str | os.PathLike, device: str | None = None, which: str | None = None) -> TrainedEnsemble:
    """The ensemble in a sweep's folder; of several settings that of the best.

    Raises:
        UserError: it is not finished, or a member cannot be loaded.
    """
    path = Path(path)
    state = read(path / "sweep.json", SweepState)
    folders = {point.id: path / (point.folder or "") for point in state.points}
    return join(path, [folders[point] for point in _chosen(state, path)["points"]], device, which)


def join(path: Path, folders: Sequence[Path], device: str | None = None, which: str | None = None) -> TrainedEnsemble:
    """The models of these run folders as one."""
    members = tuple(TrainedModel(**vars(stored.load(folder, device, which))) for folder in folders)
    first = members[0]
    if first.inputs.tokens:
        raise UserError(f"{path}: an ensemble does not go on with a text; ask one of its models: {first.folder.path}")
    model = Averaged([each.model for each in members], first.inputs.task == "classification").eval()
    return TrainedEnsemble(**{**vars(first), "model": model}, path=path, members=members)


def _chosen(state: SweepState, path: Path) -> EnsembleState:
    """The ensemble with the best value of what the sweep chooses by, or the only one."""
    if not state.ensembles:
        raise UserError(f"{path}: the ensemble is not finished: dlcourse sweep --resume {path}")
    key, sign = f"{state.select['split']}.{state.select['metric']}", 1 if state.select["higher_is_better"] else -1
    values = [each["metrics"].get(key) for each in state.ensembles]
    ranks = [-np.inf if value is None else sign * value for value in values]
    return state.ensembles[int(np.argmax(ranks))]


def measure_growing(ensemble: TrainedEnsemble) -> list[dict[str, float | None]]:
    """The metrics, flat, of the average of the first member, of the first two, and so on to all.

    Each member goes over each split once.
    """
    each_model = SideBySide([each.answering for each in ensemble.members])
    section, seed = ensemble.config.data["data"], ensemble.config.data["seed"]
    classes, size = ensemble.inputs.task == "classification", len(ensemble.members)
    with code_of(ensemble.folder, _silent), backend.use(ensemble.backend):
        splits = prepare(section, seed).splits
        found: list[dict[str, Any]] = [{} for _ in range(size)]
        for split in (each for each in splits if each in ensemble.config.data["train"]["evaluate"]):
            growing = [metrics_of(ensemble) for _ in range(size)]
            loader = ensemble.loader(splits[split])
            for _, said, target in outputs(each_model, loader):
                for count, metrics in enumerate(growing, 1):
                    output = average(said[:count], classes)
                    for metric in metrics.values():
                        metric.update(output, target)
            for record, metrics in zip(found, growing, strict=True):
                record[split] = {label: metric.compute() for label, metric in metrics.items()}
    return [finite(flat_metrics(each)) for each in found]


def _silent(text: str) -> None:
    """Say nothing: loading has warned already."""
