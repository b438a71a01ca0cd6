"""Load the model of a run: evaluate it on any data, ask it for predictions, export its weights."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.backend import precision
from dlcourse.config import Config
from dlcourse.config.overrides import Overrides, parse_overrides
from dlcourse.config.rules import watched_by
from dlcourse.data import Data, Loader, Split, prepare
from dlcourse.data.dataset import DataSchema
from dlcourse.data.files import looking_in
from dlcourse.data.preparation import COMMON
from dlcourse.data.samples import Samples
from dlcourse.data.text import token_sizes
from dlcourse.errors import (
    ChangedDataError,
    ConfigError,
    DamagedFileError,
    DataError,
    Problem,
    UserError,
)
from dlcourse.experiment import stored
from dlcourse.experiment.answers import answer_texts
from dlcourse.experiment.baseline import Baseline
from dlcourse.experiment.building import build_loss, build_metrics, metric_units
from dlcourse.experiment.components import code_of
from dlcourse.experiment.export import export
from dlcourse.experiment.identity import check_data
from dlcourse.experiment.outputs import EVALUATION_BATCH, predict
from dlcourse.experiment.views import TestTime, check_images, over_views
from dlcourse.markup import html_text
from dlcourse.records.run import BaselineState
from dlcourse.training.environment import started_in
from dlcourse.training.evaluation import evaluate
from dlcourse.training.input_spec import InputSpec
from dlcourse.training.run_history import RunHistory


@dataclass(frozen=True, repr=False)
class TrainedModel(stored.StoredModel):
    """A trained model and all that it takes to use it; no data file is needed.

    ``run.model``, ``run.config["optimizer.lr"]``, ``run.predict(x)``, ``run.history["loss"]``, ``run.metrics["test"]``.

    Attributes:
        tta: test-time augmentation in place of the config's ``train.tta``, see :meth:`with_tta`.
    """

    tta: TestTime | None = field(default=None, kw_only=True)

    def with_tta(self, tta: TestTime | None) -> Self:
        """The same with another test-time augmentation: "none", "flip", "flip_shift"; None as the config says.

        Raises:
            UserError: there is no such one, or inputs are no images.
        """
        check_images(tta or "none", tuple(self.inputs.in_shape), "tta")
        return replace(self, tta=tta)

    @property
    def answering(self) -> Any:
        """The model as it is asked: with test-time augmentation where that is wanted."""
        return over_views(self.model, self.tta or self.config.data["train"]["tta"])

    @cached_property
    def history(self) -> RunHistory:
        """The events of the run's ``metrics.jsonl``, and its columns, see :class:`RunHistory`."""
        return RunHistory(self.folder.read_history())

    @property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """What the run measured at its end, by split and label; empty for one that has not ended."""
        return dict(self.folder.read_result().get("metrics", {}))

    @property
    def where(self) -> str:
        """Which weights these are, in words."""
        return f"{self.source.path}, step {self.source.state['step']}"

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.inputs.in_shape))
        what = f"{self.config.data['model']['name']}, {self.inputs.task} of inputs {shape}"
        return f"TrainedModel({what}, weights of step {self.source.state['step']}; {self.folder.path})"

    def _repr_html_(self) -> str:
        """The model, and where it comes from, for a notebook."""
        return html_text(repr(self.model), repr(self))

    @property
    def dtype(self) -> np.dtype:
        """The model's floating-point type."""
        return precision.dtype(self.config.data["precision"])

    def loader(self, subset: Split, batch_size: int = EVALUATION_BATCH) -> Loader:
        """Raw samples, normalized as the model wants them; in the streams of the training, where it had such."""
        train = self.config.data["train"]
        streams, targets = train["carry_state"], self.inputs.target_normalizer
        where = self.normalizer, self.backend, self.dtype, train["batch_size"] if streams else batch_size, 0
        return Loader(subset, *where, shuffle=False, targets=targets, streams=streams)

    def predict(self, x: np.ndarray | Samples) -> np.ndarray:
        """The model's outputs for raw inputs (N, *in_shape), in the targets' own units, both on the host.

        A classification's outputs are logits (N, K): ``argmax(axis=1)`` gives the classes, softmax over the last axis
        the probabilities. Of a csv file: ``run.predict(run.inputs.read("file.csv"))``, or ``dlcourse predict RUN
        file.csv``.

        Args:
            x: inputs as the data's files have them, for the run's own normalization is applied here; or a split of
                ``dl.load_data``, of which the raw inputs are taken. A warning says where numbers look normalized
                already.
        Raises:
            UserError: the inputs are not as the model takes them; or too large for the numbers it computes with.
        """
        self.check_predicts()
        x = np.asarray(x.split.x if isinstance(x, Samples) else x)
        if not self.inputs.tokens:
            x = self.inputs.checked(x)
            for note in (self.inputs.other_scale(x), self.inputs.normalized_before(x, self.normalizer)):
                if note is not None:
                    warnings.warn(note, stacklevel=2)
        with np.errstate(over="ignore", invalid="ignore"):
            targets = self.inputs.target_normalizer
            found = predict(self.answering, x, self.normalizer, self.backend, self.dtype, targets)
        lost = np.isnan(found) if self.inputs.task == "classification" else ~np.isfinite(found)
        if lost.any():
            row = int(lost.reshape(len(found), -1).any(axis=1).argmax())
            raise UserError(f"input {row + 1}: the model's answer is no finite number: too large for {self.dtype}?")
        return found

    def check_predicts(self) -> None:
        """Raise UserError where the model was trained by an objective of its own, and predicts no targets."""
        if getattr(self.model, "objective_units", None):
            name = self.config.data["model"]["name"]
            what = "answers texts: run.answer([...])" if self.inputs.pairs else "predicts no targets"
            raise UserError(f"{self.folder.path}: the model {name} {what}; evaluate measures it")

    def answer(self, texts: Sequence[str]) -> list[str]:
        """The likeliest answers of a model such as ``seq2seq`` to texts: ``run.answer(["2 mar 1987"])``.

        Raises:
            UserError: the model answers no texts, a text is empty, or one of its characters is unknown.
        """
        if not self.inputs.pairs:
            raise UserError(f"the model {self.config.data['model']['name']} answers no texts, as seq2seq does")
        return answer_texts(self.model, texts, self.inputs, self.backend)

    def export(self, path: str | os.PathLike, *, torch: bool = False, with_normalization: bool = False) -> str:
        """Write the model for other programs, in the format that the file's name says.

        - ``.safetensors`` or ``.npz``: parameters and buffers, and ``normalizer.shift`` and ``normalizer.scale``. The
          config is YAML text under the key ``config``, in the file's metadata (safetensors) or as an array of text
          (npz, readable without pickle); ``inputs``, JSON, says what the features and classes are. Where the model
          learned scaled targets, they are shift + scale z of its outputs z, by ``target_normalizer.shift`` and
          ``target_normalizer.scale``.
        - ``.safetensors`` with ``torch``: parameters and buffers alone, as a module of PyTorch has them, see
          :mod:`dlcourse.interop.torch`; all else is text in the metadata.
        - ``.onnx``: all that the model computes in evaluation mode, see :mod:`dlcourse.interop.onnx`, with the texts
          above and the names of classes and features in ``metadata_props``. It takes inputs as the model does; with
          ``with_normalization`` as the data's files have them, and its outputs are in the targets' own units.

        Returns:
            What was written, in words.
        Raises:
            UserError: the file's name ends otherwise, its folder is not there, it is a file that a run needs, or the
                format cannot say it.
            DlcourseError: it cannot be written.
        """
        return export(self, Path(path), torch, with_normalization)


def own_data(trained: TrainedModel) -> Data:
    """The data that a run was trained on.

    Raises:
        ChangedDataError: they are others now.
    """
    with code_of(trained.folder, _silent), looking_in(started_in(trained.folder)):
        schema = DataSchema(trained.inputs.encoder, tuple(trained.inputs.class_names))
        data = prepare(trained.config.data["data"], trained.config.data["seed"], schema)
        check_data(data, trained.source.state, trained.folder.path, "restore the data")
    return data


def evaluate_run(
    trained: TrainedModel, split: str | None = None, data: Overrides = (), allow_changed_data: bool = False
) -> dict[str, dict[str, float]]:
    """The run's metrics, by split.

    Args:
        split: ``train``, ``val``, ``test``, or ``all``: every sample as one. By default those that the run measured;
            ``all`` with other data.
        data: changes to the config's data section, such as ``["data.path=other.csv"]``. The training statistics stay
            those of the run.
        allow_changed_data: measure the run's own data as they are now, though they changed since: the splits are dealt
            anew then, and may hold samples that the model was trained on. A warning says what changed.
    Raises:
        UserError: there is no such split, or the data do not fit the model.
        ChangedDataError: the run's own data changed since.
    """
    return measure_run(trained, split, data, allow_changed_data)[0]


def measure_run(
    trained: TrainedModel, split: str | None = None, data: Overrides = (), allow_changed_data: bool = False
) -> tuple[dict[str, dict[str, float]], BaselineState | None]:
    """As :func:`evaluate_run`, with what the run's baseline scores on the last of the splits, if the run has one."""
    with code_of(trained.folder, _silent), looking_in(started_in(trained.folder)):
        config = _with_data(trained.config, data)
        if split is None and config is not trained.config:
            split = "all"
        section = dict(config.data["data"])
        if split == "all":
            section |= {"split": {"train": None, "val": 0, "test": 0}, "kfold": None, "stratify": False}
        schema = DataSchema(trained.inputs.encoder, tuple(trained.inputs.class_names))
        found = prepare(section, config.data["seed"], schema)
        if _source(config) == _source(trained.config):  # the same file is not other data because of another limit
            again = split == "all" or config is not trained.config
            own = prepare(trained.config.data["data"], config.data["seed"]) if again else found
            _check_unchanged(own, trained, allow_changed_data)
        _check_fits(found, trained)
        subsets = {"all": _joined(found.splits)} if split == "all" else found.splits
        if split is not None and split not in subsets:
            raise UserError(f"there is no {split} split in this run; there are: {', '.join(subsets)}, all")
        metrics = metrics_of(trained)
        chosen = [name for name in subsets if name in config.data["train"]["evaluate"]] if split is None else [split]
        with backend.use(trained.backend):
            values = {name: evaluate(trained.answering, trained.loader(subsets[name]), metrics) for name in chosen}
        return values, _baseline(trained, subsets, metrics, chosen)


def _baseline(
    trained: TrainedModel, subsets: Mapping[str, Split], metrics: Mapping[str, Any], measured: Sequence[str]
) -> BaselineState | None:
    try:
        state = trained.folder.read_result().get("baseline")
    except DamagedFileError:
        return None
    if not state or not measured:
        return None
    split, found = measured[-1], Baseline.of_state(state, trained.inputs.task == "classification")
    return found.state(split, found.measure(subsets[split].y, metrics), "")


def units(trained: TrainedModel) -> dict[str, str]:
    """The unit of each of the run's metrics."""
    with code_of(trained.folder, _silent):
        return metric_units(metrics_of(trained), trained.inputs.target_unit)


def metrics_of(trained: TrainedModel) -> dict[str, Any]:
    """What the run measures, by label."""
    config, inputs = trained.config.data, trained.inputs
    loss = build_loss(config["loss"], inputs.class_names, inputs.class_counts)
    deciding = {watched["metric"] for _, watched in watched_by(config)}
    targets, named, classes = inputs.target_normalizer, inputs.named_targets, inputs.class_names
    sizes = token_sizes(classes, inputs.tokenizer) if inputs.tokens and inputs.every_step else None
    return build_metrics(config["metrics"], deciding, loss, targets, named, classes, trained.model, sizes)


def _silent(text: str) -> None:
    """Say nothing: :func:`load_run` has warned already."""


def _with_data(config: Config, overrides: Overrides) -> Config:
    values, source = parse_overrides(overrides)
    wrong = [path for path in values if path.split(".")[0] != "data"]
    if wrong:
        raise ConfigError([Problem(path, "only data.* can be changed to evaluate a run", source) for path in wrong])
    return config.apply_overrides(overrides)


def _source(config: Config) -> dict[str, Any]:
    """What names the data set, without how it is split."""
    return {key: value for key, value in config.data["data"].items() if key not in COMMON}


def _check_unchanged(data: Data, trained: TrainedModel, allowed: bool) -> None:
    fix = (
        "restore the data; or measure them as they are now, where each split may hold samples that the model was "
        "trained on: --allow-changed-data; or measure all of another file: data.path=FILE"
    )
    try:
        check_data(data, trained.source.state, trained.folder.path, fix)
    except ChangedDataError as error:
        if not allowed:
            raise
        warnings.warn(str(error).rpartition(f"; {fix}")[0], stacklevel=3)


def _joined(subsets: Mapping[str, Split]) -> Split:
    x, y, index = (
        np.concatenate([getattr(subset, name) for subset in subsets.values()]) for name in ("x", "y", "index")
    )
    return Split(x, y, index)


def _check_fits(data: Data, trained: TrainedModel) -> None:
    """Raise DataError where other data have other features or classes than the model was trained with; warn where
    images have another range."""
    was, now = trained.inputs, InputSpec.of(data)
    # Labels that are bare numbers, as in a file of arrays, count the classes that the model knows by name.
    counted = now.class_names and now.class_names == [str(c) for c in range(len(was.class_names))][: now.out_features]
    for what in ("task", "in_shape", "feature_names", "class_names", "out_features"):
        before, after = getattr(was, what), getattr(now, what)
        if before != after and not (counted and what in ("class_names", "out_features")):
            name = what.replace("_", " ")
            raise DataError(f"these data do not fit the model: {name} {after}, trained with {before}")
    note = was.other_scale(np.array([now.largest or 0.0]))
    if note is not None:
        warnings.warn(note, stacklevel=3)
