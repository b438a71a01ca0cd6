"""RunView: the results, history and predictions of one run for the plots, read from its folder when needed."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.config.config import config_hash
from dlcourse.config.reader import parse_yaml
from dlcourse.errors import ConfigError
from dlcourse.plots.reading import Folder, as_dict, as_float
from dlcourse.plots.text import clip, label
from dlcourse.records.run import Environment, ExplanationFacts, JudgedRun, JudgedSamples, PredictionFacts, RunState
from dlcourse.text import SPLITS, leading_comment

_SHOWN_STEPS = 8
"""Evaluations whose samples are shown."""

_MODEL_WORDS = {
    "char_rnn": "Character RNN",
    "cnn": "CNN",
    "dcgan_discriminator": "DCGAN discriminator",
    "dcgan_generator": "DCGAN generator",
    "gan": "GAN",
    "googlenet": "GoogLeNet",
    "gpt": "GPT",
    "gru": "GRU",
    "knn": "Nearest neighbors",
    "lenet": "LeNet",
    "lstm": "LSTM",
    "masked_lm": "Masked language model",
    "mlp": "MLP",
    "mobilenet": "MobileNet",
    "pca": "Principal components",
    "resnet": "ResNet",
    "rnn": "RNN",
    "seq2seq": "Encoder-decoder",
    "svm": "Linear SVM",
    "vae": "VAE",
    "vgg": "VGG",
    "vit": "Vision transformer",
    "wide_resnet": "Wide ResNet",
}
"""Models whose name in a title is another than its component's name with a capital letter."""


@dataclass(frozen=True)
class SplitArrays:
    """A split's data with the model's outputs.

    Attributes:
        x: (N, D) inputs in the data's own units, or None where the folder does not hold them.
        y: (N, K) targets, or (N,) class labels.
        output: (N, K) predictions, (N, 2 K) means and log standard deviations, or (N, C) logits.
    """

    x: np.ndarray | None
    y: np.ndarray
    output: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(N, K) predictions of a regression, without standard deviations."""
        return self.output[:, : self.y.shape[1]]

    @property
    def residuals(self) -> np.ndarray:
        """(N, K) targets - predictions."""
        return self.y - self.mean

    def rms(self, target: int | None = None) -> float:
        """Root mean square of the residuals that are finite, of one target or of all; NaN if there are none."""
        residuals = self.residuals if target is None else self.residuals[:, target]
        values = residuals[np.isfinite(residuals)]
        return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


@dataclass(frozen=True)
class Explanation:
    """What a picture of what a net sees is drawn from."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    def get(self, name: str, *shape: int | None) -> np.ndarray | None:
        """An array of numbers of that shape, None standing for any length but 0; None where there is none such."""
        array = self.arrays.get(name)
        if array is None or array.dtype.kind not in "iuf" or array.ndim != len(shape) or not array.size:
            return None
        return array if all(want in (None, there) for want, there in zip(shape, array.shape, strict=True)) else None

    def images(self, name: str = "images") -> np.ndarray | None:
        """Images (M, H, W, 1 or 3) in bytes, likewise."""
        array = self.get(name, None, None, None, None)
        return array if array is not None and array.dtype == np.uint8 and array.shape[3] in (1, 3) else None

    def words(self, name: str) -> list[str]:
        """A list of texts, of one line or more, among the facts."""
        found = self.facts.get(name)
        return ["\n".join(map(str, lines)) for lines in found] if isinstance(found, list) else []


class RunView(Folder):
    """A run's folder. Whatever a run did not write, or not yet, is empty here."""

    kind, file = "run", ("result.json", RunState)

    def __init__(self, path: Path, explained: Path | None = None):
        """
        Args:
            explained: the folder of what a net sees; by default the run's own.
        """
        super().__init__(path)
        self._explained = "explain" if explained is None else str(explained.absolute())

    @property
    def target_unit(self) -> str:
        return self.target[1] if self.task == "regression" else ""

    @cached_property
    def config_text(self) -> str:
        """The resolved config as it was written."""
        return self.text("config.yaml")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return self.yaml("config.yaml")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device and git state."""
        return self.json("environment.json", Environment)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Task, names and units: ``facts`` in ``predictions.npz``, or as earlier versions wrote them."""
        facts = self.predictions.get("facts")
        if facts is None:
            return self.json("predictions.json", PredictionFacts)
        return self.record(str(facts).encode(), "predictions.npz", PredictionFacts)

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """``predictions.npz``, and ``samples.npz`` where a point of a sweep has it."""
        return self.arrays("samples.npz") | self.arrays("predictions.npz")

    def explanation(self, name: str) -> "Explanation":
        """A file of ``explain/``; without arrays where there is none."""
        file = f"{self._explained}/{name}.npz"
        arrays = self.arrays(file)
        facts = arrays.pop("facts", None)
        known = {} if facts is None else self.record(str(facts).encode(), file, ExplanationFacts)
        return Explanation(arrays, known)

    @cached_property
    def samples_by_step(self) -> dict[int, np.ndarray | str]:
        """What the model generated at some of the evaluations, evenly spread: arrays (N, ...), or a text."""
        paths = {path.stem.removeprefix("step-"): path.name for path in self.path.glob("samples/step-*")}
        steps = sorted(int(step) for step in paths if step.isdecimal())
        if not steps:
            return {}
        chosen = {steps[round(i)] for i in np.linspace(0, len(steps) - 1, min(len(steps), _SHOWN_STEPS))}
        found: dict[int, np.ndarray | str] = {}
        for step in sorted(chosen):
            name = f"samples/{paths[str(step)]}"
            if name.endswith(".txt"):
                found[step] = self.text(name)
            elif (array := self.arrays(name).get("x")) is not None and len(array):
                found[step] = array
        return found

    @cached_property
    def judged(self) -> list[dict[str, Any]]:
        """What classifiers said of samples of the model."""
        found = self.json("judged.json", JudgedRun).get("judged") if (self.path / "judged.json").exists() else None
        return [each for each in found or [] if each.get("shares") and len(each) == len(JudgedSamples.__annotations__)]

    @cached_property
    def history(self) -> "History":
        """``metrics.jsonl``."""
        return History(self.events("metrics.jsonl"))

    def note_changed_config(self) -> None:
        """Add to the damage where ``config.yaml`` is not what the run was trained under."""
        trained = self.outcome.get("config_hash")
        with contextlib.suppress(ConfigError, RecursionError):
            config = parse_yaml(self.config_text, "config.yaml").data
            if trained and isinstance(config, dict) and config_hash(config) != trained:
                self.damage.append("config.yaml was changed after the run, which was trained under another config")

    @property
    def description(self) -> str:
        return leading_comment(self.config_text)

    @property
    def task(self) -> str:
        return str(self.facts.get("task") or "")

    @property
    def model(self) -> str:
        """The model in words, for a title: ``Polynomial of degree 3``."""
        model = as_dict(self.config.get("model"))
        name = str(model.get("name") or self.facts.get("model") or "model")
        words = _MODEL_WORDS | {"linear": "Straight line" if self.features == 1 else "Linear model"}
        title = words.get(name, name.replace("_", " ").capitalize())
        return f"{title} of degree {model['degree']}" if "degree" in model else title

    @cached_property
    def advice(self) -> dict[str, str]:
        """What the rules found in the run's numbers, a sentence by the rule's name."""
        found = self.outcome.get("advice")
        return {str(each.get("rule")): str(each.get("text")) for each in found or [] if isinstance(each, dict)}

    @property
    def loss_label(self) -> str:
        """What training reduces, for an axis: the loss by its name, a model's own objective with its unit."""
        name = self.facts.get("loss") or as_dict(self.config.get("loss")).get("name")
        return f"training loss: {self.metric_name(str(name))}" if name else f"training {self.metric_label('loss')}"

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The last metrics by split; splits in their usual order."""
        found = as_dict(self.outcome.get("metrics")) or self.history.last_metrics()
        order = [split for split in SPLITS if split in found] + [split for split in found if split not in SPLITS]
        return {split: {name: as_float(value) for name, value in as_dict(found[split]).items()} for split in order}

    @property
    def baseline(self) -> dict[str, Any]:
        """What a model that ignores its inputs scores; empty where the folder does not say."""
        return as_dict(self.outcome.get("baseline"))

    def higher_is_better(self, metric: str) -> bool:
        """Whether more of a metric is better."""
        declared = self.facts.get("higher_is_better")  # where an earlier version wrote it
        return metric in declared if isinstance(declared, list) else self.metric_facts(metric)["higher_is_better"]

    @property
    def features(self) -> int:
        """How many input features the data has; 0 if the folder does not say."""
        return len(self.facts.get("feature_names") or ())

    def feature(self, index: int) -> tuple[str, str]:
        """Name and unit of an input feature."""
        name = "x" if self._width == 1 else f"x{index + 1}"
        return _nth(self.facts.get("feature_names"), index, name), _nth(self.facts.get("feature_units"), index, "")

    @property
    def _width(self) -> int:
        """How many numbers an input has, as far as the folder says."""
        x = next((subset.x for subset in self.splits.values() if subset.x is not None), None)
        return x.shape[1] if x is not None else self.features or 1

    @property
    def target(self) -> tuple[str, str]:
        """Name and unit of the target."""
        return str(self.facts.get("target_name") or "y"), str(self.facts.get("target_unit") or "")

    @property
    def targets(self) -> list[tuple[str, str]]:
        """Name and unit of each target, as many as the arrays have; of several without names their numbers."""
        count = next((subset.y.shape[1] for subset in self.splits.values() if subset.y.ndim == 2), 1)
        if count == 1:
            return [self.target]
        names, units = self.facts.get("target_names"), self.facts.get("target_units")
        own = isinstance(names, list) and len(names) == count
        return [
            (_nth(names, i, f"target {i + 1}"), _nth(units, i, "") if own else self.target[1]) for i in range(count)
        ]

    def class_name(self, index: int) -> str:
        return label(clip(_nth(self.facts.get("class_names"), index, f"class {index}")))

    @cached_property
    def splits(self) -> dict[str, SplitArrays]:
        """The splits whose targets and outputs the folder holds, shapes checked."""
        found = {}
        for split in SPLITS:
            y, output = self.predictions.get(f"{split}_y"), self.predictions.get(f"{split}_output")
            if y is None or output is None or output.ndim != 2 or len(y) != len(output) or not len(y):
                continue
            if self.task == "regression" and (y.ndim != 2 or output.shape[1] not in (y.shape[1], 2 * y.shape[1])):
                continue
            if self.task == "classification" and y.ndim != 1:
                continue
            x = self.predictions.get(f"{split}_x")
            x = x.reshape(len(x), -1) if x is not None and len(x) == len(y) else None
            found[split] = SplitArrays(x, y, output)
        return found

    @property
    def many(self) -> bool:
        """Whether there are so many samples that an image shows them small."""
        return max((len(subset.y) for subset in self.splits.values()), default=0) > 400

    @property
    def selection_split(self) -> str:
        """The split that says most about new data: validation, else test, else training; empty without predictions."""
        return next((split for split in ("val", "test", "train") if split in self.splits), "")

    @property
    def report_split(self) -> str:
        """The split of the final word: test, else validation, else training; empty without predictions."""
        return next((split for split in ("test", "val", "train") if split in self.splits), "")

    def images(self, name: str) -> np.ndarray | None:
        """An array of images (..., H, W, 1 or 3) among the predictions, as bytes; None where there are none."""
        array = self.predictions.get(name)
        if array is None or array.ndim < 4 or array.shape[-1] not in (1, 3) or not array.size:
            return None
        if array.dtype == np.uint8:
            return array
        return np.round(255 * np.clip(np.nan_to_num(array), 0, 1)).astype(np.uint8)

    def labels(self, name: str, like: np.ndarray) -> np.ndarray | None:
        """Class labels among the predictions that belong to such images; None where there are none that do."""
        array = self.predictions.get(name)
        if array is None or array.shape != like.shape[:-3] or array.dtype.kind not in "iu":
            return None
        return None if np.any(array < 0) else array


class History:
    """The lines of ``metrics.jsonl``, one for each step; of two with the same step the later one counts."""

    def __init__(self, events: Sequence[Mapping[str, Any]]):
        self.train = _by_step(event for event in events if event.get("event") == "train")
        self.evals = _by_step(event for event in events if event.get("event") == "eval")
        self.divergence = _by_step(event for event in events if event.get("event") == "divergence")
        self.watch = _by_step(event for event in events if event.get("event") == "watch")
        self.trace = _by_step(event for event in events if event.get("event") == "trace")
        self.final: Mapping[str, Any] = next((event for event in reversed(events) if event.get("event") == "final"), {})

    def column(self, key: str) -> np.ndarray:
        """One value of every training line."""
        return np.array([as_float(event.get(key)) for event in self.train])

    def losses(self, batch_size: Any) -> tuple[np.ndarray, np.ndarray]:
        """Steps and training losses, without those of an epoch's last batch where that is less than half a batch."""
        steps, losses, epochs = self.column("step"), self.column("loss"), self.column("epoch")
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.round(self.column("samples") / epochs) % as_float(batch_size)
        small = (epochs % 1 == 0) & (left > 0) & (left < as_float(batch_size) / 2)
        return (steps[~small], losses[~small]) if not small.all() else (steps, losses)

    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (M,) and the points (M, D) at which the model was then; M = 0 where none were recorded."""
        width = max((len(event.get("point") or ()) for event in self.trace), default=0)
        points = [[as_float(each) for each in event.get("point") or ()] for event in self.trace]
        kept = [(event, point) for event, point in zip(self.trace, points, strict=True) if len(point) == width > 0]
        steps = np.array([as_float(event.get("step")) for event, _ in kept])
        return steps, np.array([point for _, point in kept], dtype=float).reshape(len(kept), width)

    def metric_names(self) -> list[str]:
        """All metrics of the evaluation lines, in the order in which they came."""
        names = (name for event in self.evals for values in as_dict(event.get("metrics")).values() for name in values)
        return list(dict.fromkeys(names))

    def metric(self, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of a metric on a split, where it was measured."""
        pairs = [
            (as_float(event.get("step")), as_float(values[name]))
            for event in self.evals
            if name in (values := as_dict(as_dict(event.get("metrics")).get(split)))
        ]
        array = np.array(pairs, dtype=float).reshape(-1, 2)
        return array[:, 0], array[:, 1]

    def last_metrics(self) -> dict[str, Any]:
        """Metrics of the final line, else of the last evaluation."""
        last = self.final or (self.evals[-1] if self.evals else {})
        return as_dict(last.get("metrics"))

    def steps_per_epoch(self) -> float:
        """How many steps an epoch has, from the last line that counts both; 0 if none does."""
        for event in [self.final, *reversed(self.evals), *reversed(self.train)]:
            step, epoch = as_float(event.get("step")), as_float(event.get("epoch"))
            if step > 0 and epoch > 0:
                return step / epoch
        return 0.0


def _by_step(events: Any) -> list[Mapping[str, Any]]:
    latest = {as_float(event.get("step")): event for event in events}
    return [latest[step] for step in sorted(step for step in latest if np.isfinite(step))]


def _nth(values: Any, index: int, otherwise: str) -> str:
    return str(values[index]) if isinstance(values, list) and index < len(values) and values[index] else otherwise


def is_run(path: Path) -> bool:
    """Whether a folder looks like a run, finished or not."""
    return any((path / name).is_file() for name in ("result.json", "metrics.jsonl")) or all(
        (path / name).is_file() for name in ("config.yaml", "environment.json")
    )
