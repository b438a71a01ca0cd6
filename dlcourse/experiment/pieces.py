"""From a resolved config to the objects that it names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dlcourse import registry
from dlcourse.autograd import Parameter
from dlcourse.backend import Backend, memory, precision, random
from dlcourse.config.rules import metric_labels
from dlcourse.config.sections import Augment
from dlcourse.data import Data, Loader, Split, prepare
from dlcourse.data.fingerprint import Fingerprint, fingerprint
from dlcourse.errors import ConfigError, Problem, UserError
from dlcourse.experiment.compatibility import check_output, mismatches
from dlcourse.experiment.lone_values import lone_values
from dlcourse.experiment.number_range import check_range
from dlcourse.models.base import Model
from dlcourse.training.closed_form import ClosedFormStep
from dlcourse.training.evaluation import LossMetric, outputs
from dlcourse.training.step import TrainStep

EVALUATION_BATCH = 256
"""Samples that go through a model at once where no gradient is wanted, if training does not take more."""

_PAST_RATES = 1000  # learning rates of steps taken that are compared where a run is to become longer


@dataclass
class Pieces:
    """What a config stands for: data, model, loss, metrics, and how to step.

    Attributes:
        config: the resolved config, plain nested mappings.
        backend: the device.
        data: split and normalized.
        model: on the device, in the config's precision.
        metrics: by label: a metric's name, with its parameters where two share a name; ``loss`` where it is watched or
            nothing else is measured.
    """

    config: Mapping[str, Any]
    backend: Backend
    data: Data
    model: Any
    loss: Any
    metrics: dict[str, Any]

    @property
    def train(self) -> Mapping[str, Any]:
        """The config's ``train`` section."""
        return self.config["train"]

    @property
    def dtype(self) -> np.dtype:
        """The floating-point type of the run."""
        return precision.dtype(self.config["precision"])

    @cached_property
    def closed_form(self) -> bool:
        """Whether the optimizer solves instead of stepping."""
        return registry.lookup("optimizer", self.config["optimizer"]["name"]).closed_form

    @cached_property
    def solved_in(self) -> np.dtype:
        """The floating-point type of the training batches: the run's, or a wider one that a closed form needs."""
        optimizer = registry.lookup("optimizer", self.config["optimizer"]["name"])
        wide = self.closed_form and optimizer.wants_float64(self.model)
        return np.dtype(np.float64) if wide else self.dtype

    @cached_property
    def loader(self) -> Loader:
        """The training batches; a closed form gets the whole split as one."""
        batch_size = "full" if self.closed_form else self.train["batch_size"]
        drop_last = self.train["drop_last"]
        how = {"augment": self.data.augment, "dtype": self.solved_in, "drop_last": drop_last}
        return self._loader("train", batch_size, shuffle=True, **how)

    @cached_property
    def loaders(self) -> dict[str, Loader]:
        """By split, for evaluation: in the data's order, in batches of a size that suits it."""
        size = max(self.loader.batch_size, EVALUATION_BATCH)
        wanted = [split for split in self.data.splits if split in self.train["evaluate"]]
        same = self.solved_in == self.dtype
        return {
            split: self.loader.in_batches_of(size)
            if split == "train" and same
            else self._loader(split, size, shuffle=False)
            for split in wanted
        }

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Of the data."""
        return fingerprint(self.data)

    @property
    def total_steps(self) -> int:
        """When training is done."""
        if self.closed_form:
            return 1
        return self.train["steps"] or (self.train["epochs"] or 1) * self.loader.steps_per_epoch

    def watch(self, section: str) -> Mapping[str, Any] | None:
        """Metric and split of ``train.early_stopping`` or ``train.best``.

        The best is by default what early stopping watches, else the first metric on the validation split, if there are.
        """
        named = self.train[section]
        if named is not None or section == "early_stopping":
            return named
        if self.train["early_stopping"] is not None:
            return self.train["early_stopping"]
        first = next(iter(self.metrics), None)
        return None if first is None or "val" not in self.loaders else {"metric": first, "split": "val"}

    @property
    def watched_loaders(self) -> dict[str, Loader]:
        """Those of the splits that are measured during training: train, val, and any that something is chosen by."""
        chosen_by = {watched["split"] for section in ("early_stopping", "best") if (watched := self.watch(section))}
        return {split: each for split, each in self.loaders.items() if split in {"train", "val"} | chosen_by}

    def train_step(self) -> TrainStep | ClosedFormStep:
        """A new step with a new optimizer."""
        spec = {key: value for key, value in self.config["optimizer"].items() if key != "schedule"}
        optimizer = registry.build("optimizer", spec, params=list(self.model.parameters()))
        if self.closed_form:
            return ClosedFormStep(self.model, self.loss, optimizer)
        schedule = self.schedule(self.total_steps)
        settings = {key: self.train[key] for key in ("clip_norm", "accumulate", "l1", "l2", "ema")}
        return TrainStep(self.model, self.loss, optimizer, schedule=schedule, **settings)

    def schedule(self, total_steps: int) -> Any:
        """The learning rate's schedule over a training of that length; None where there is none."""
        spec = self.config["optimizer"].get("schedule")
        return None if spec is None else registry.build("schedule", spec, total_steps=total_steps)

    def check_past(self, total_steps: int | None, step: int, config: str) -> None:
        """Check that the steps of a run that goes on would have been the same in a training as long as it is to be.

        Args:
            total_steps: how long it was to be when they were taken; None: no schedule asked.
            step: how many they are.
            config: the run's config file, for the message.
        Raises:
            ConfigError: the schedule would have given them other learning rates.
        """
        if total_steps is None or total_steps == self.total_steps:
            return
        before, now = self.schedule(total_steps), self.schedule(self.total_steps)
        for each in range(0, step, max(1, step // _PAST_RATES)):
            if before.factor(each) != now.factor(each):
                break
        else:
            return
        epochs = self.train["steps"] is None
        length = f"train.epochs={self.train['epochs'] or 1}" if epochs else f"train.steps={self.train['steps']}"
        last = step - 1
        raise ConfigError(
            f"optimizer.schedule: {self.config['optimizer']['schedule']['name']} is spread over the whole training: "
            f"the {step} steps taken belong to one of {total_steps} steps, in one of {self.total_steps} they would "
            f"have had other learning rates (step {step}: {before.factor(last):.4g} of optimizer.lr, now "
            f"{now.factor(last):.4g}); start a new run of that length: dlcourse run {config} {length}"
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The model's outputs for raw inputs (N, *in_shape), both on the host."""
        subset = Split(x, np.zeros((len(x), 1)), np.arange(len(x)))
        loader = Loader(subset, self.data.normalizer, self.backend, self.dtype, EVALUATION_BATCH, 0, shuffle=False)
        return np.concatenate([self.backend.to_host(output) for _, output, _ in outputs(self.model, loader)])

    def one_sample(self) -> Any:
        """A training sample as the model takes it, (1, ...)."""
        return self._loader("train", 1, shuffle=False).batch(0)[0]

    def _loader(
        self,
        split: str,
        batch_size: int | str,
        shuffle: bool,
        augment: Augment | None = None,
        dtype: np.dtype | None = None,
        drop_last: bool = False,
    ) -> Loader:
        subset, seed, dtype = self.data.splits[split], self.config["seed"], dtype or self.dtype
        settings = self.data.normalizer, self.backend, dtype, batch_size, seed, shuffle, augment, drop_last
        return Loader(subset, *settings)


def assemble(config: Mapping[str, Any], backend: Backend, first_batches: bool = False) -> Pieces:
    """Load the data and make the model with its initial weights; call it with ``backend`` as the current device.

    Args:
        config: resolved.
        first_batches: keep of each split only as many samples as one batch has.
    Raises:
        UserError: something in the config does not go with something else.
    """
    random.manual_seed(config["seed"])
    data = prepare(config["data"], config["seed"])
    if first_batches:
        data = _shortened(data, config["train"]["batch_size"])
    model = build_model(config, data)
    dtype = precision.use(config["precision"])
    check_range(data, dtype)
    model.to(dtype=dtype)
    model.feature_names = data.dataset.feature_names
    loss = None if config["loss"] is None else registry.build("loss", config["loss"])
    pieces = Pieces(config, backend, data, model, loss, build_metrics(config, loss))
    check(pieces)
    if type(model).adapt is not Model.adapt:  # all images at once in floating point would be a lot of memory
        model.adapt(*pieces.loader.in_batches_of(pieces.loader.samples).batch(0))
    if not pieces.closed_form:
        check_output(config, data, model, pieces.one_sample)
    return pieces


def build_model(config: Mapping[str, Any], data: Data) -> Any:
    """The model with its initial weights.

    Raises:
        ConfigError: its constructor refuses, or there is no memory for its weights, or for what training keeps of each.
    """
    try:
        model = registry.build("model", config["model"], in_shape=data.in_shape, out_features=data.out_features)
        count = sum(parameter.size for parameter in model.parameters())
        # Optimizers hold the weights and the gradients in buffers of their own, and most of them one array more.
        memory.require(12 * count, f"training {count:,} parameters", on_device=True)
    except ConfigError:
        raise
    except (UserError, ValueError) as error:
        raise ConfigError([Problem("model", str(error))]) from error
    return model


def build_metrics(config: Mapping[str, Any], loss: Any) -> dict[str, Any]:
    """What a config measures, by label; the loss too where it is watched or nothing else is measured, if there is one.

    Args:
        config: resolved.
        loss: the loss that it names, or None.
    """
    specs = config["metrics"]
    metrics = {label: registry.build("metric", spec) for label, spec in zip(metric_labels(specs), specs, strict=True)}
    watched = [config["train"][section] for section in ("early_stopping", "best")]
    if loss is not None and (not metrics or any(each and each["metric"] == "loss" for each in watched)):
        metrics["loss"] = LossMetric(loss)
    return metrics


def _shortened(data: Data, batch_size: int | str) -> Data:
    """The first batch of each split; all of them where a batch is the whole split."""
    if batch_size == "full":
        return data
    subsets = {
        split: Split(subset.x[:batch_size], subset.y[:batch_size], subset.index[:batch_size])
        for split, subset in data.splits.items()
    }
    return replace(data, splits=subsets)


def _refusals(spec: Mapping[str, Any], total_steps: int) -> Iterator[Problem]:
    """What the constructors of optimizer and schedule refuse, tried with one parameter."""
    own = {key: value for key, value in spec.items() if key != "schedule"}
    tried = [("optimizer", "optimizer", own, {"params": [Parameter(np.zeros(1, "float32"))]})]
    if spec.get("schedule") is not None:
        tried.append(("optimizer.schedule", "schedule", spec["schedule"], {"total_steps": total_steps}))
    for path, kind, each, supplied in tried:
        try:
            registry.build(kind, each, **supplied)
        except ConfigError as error:
            yield from error.problems
        except (UserError, ValueError) as error:
            yield Problem(path, str(error))


def check(pieces: Pieces) -> None:
    """Find before training what would else be found after it: what a config asks of data that are not like that.

    Raises:
        ConfigError: all problems at once.
    """
    problems = []
    for section in ("early_stopping", "best"):
        watched = pieces.train[section]
        if watched is not None and watched["split"] not in pieces.data.splits:
            known = ", ".join(pieces.data.splits)
            problems.append(Problem(f"train.{section}.split", f"there is no {watched['split']} split, only: {known}"))
    problems += _refusals(pieces.config["optimizer"], pieces.total_steps)
    problems += mismatches(pieces.config, pieces.data, pieces.model, pieces.metrics)
    if not problems and not pieces.closed_form:
        problems += lone_values(pieces.model, pieces.train, len(pieces.data.splits["train"]), pieces.one_sample)
    if problems:
        raise ConfigError(problems)
