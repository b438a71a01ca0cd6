"""An experiment: the data, model, loss and metrics that a resolved config names, and what is done with them.

experiment = Experiment.from_config(config.data, backend.get("cpu"))
experiment.trainer().run()
experiment.evaluate()                       # {"train": {"mse": 0.1}, ...}
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlcourse import nn, registry
from dlcourse.autograd import Tensor
from dlcourse.backend import Backend, collectives, precision, random
from dlcourse.config import Config, choosing_metric
from dlcourse.config.config import config_hash, settings
from dlcourse.config.rules import task_mismatches, watched_by
from dlcourse.data import Data, Loader, Split, prepare
from dlcourse.data.files import MissingDataError
from dlcourse.data.fingerprint import Fingerprint, fingerprint
from dlcourse.data.text import token_sizes
from dlcourse.errors import ConfigError, DataError, Problem
from dlcourse.experiment import initial_weights
from dlcourse.experiment.attacking import Attacked, AttackResult, Attacks
from dlcourse.experiment.building import build_attack, build_loss, build_metrics, build_model
from dlcourse.experiment.compatibility import (
    check_compatible,
    check_output,
    check_range,
    mixing_problems,
    view_problems,
)
from dlcourse.experiment.optimizer import build_optimizer, group_schedules, refusals
from dlcourse.experiment.outputs import EVALUATION_BATCH, predict
from dlcourse.experiment.views import over_views
from dlcourse.models.base import Model
from dlcourse.nn.summary import summarize
from dlcourse.records.run import Event
from dlcourse.training.advice.evidence import Evidence, Guessing
from dlcourse.training.alternating import AlternatingStep
from dlcourse.training.callback import Callback
from dlcourse.training.carried_state import EpochStart, carrying_problems
from dlcourse.training.checkpoints.content import RunIdentity
from dlcourse.training.closed_form import ClosedFormStep
from dlcourse.training.divergence import DivergenceGuard
from dlcourse.training.evaluation import Evaluator
from dlcourse.training.input_spec import InputSpec, class_counts
from dlcourse.training.step import TrainStep, microbatch_size
from dlcourse.training.trainer import Trainer
from dlcourse.training.weight_averaging import (
    WeightAveraging,
    WeightMean,
    averaging_problems,
    averaging_steps,
)

_LARGE_TARGET = 10.0  # mean size of targets from which they should be scaled


@dataclass
class Experiment:
    """What a config stands for: data, model, loss, metrics; how they are trained, evaluated and asked.

    Attributes:
        config: the resolved config, plain nested mappings.
        backend: the device.
        data: split and normalized.
        model: on the device, in the config's precision.
        metrics: by label: a metric's name, with its parameters where two share a name; ``loss`` where it is watched or
            nothing else is measured.
        initial: where the initial weights came from, and which are frozen, in lines for the log.
        evaluator: measures, and gives the outputs over a split.
        attacks: what the trained model is attacked by at the end.
    """

    config: Mapping[str, Any]
    backend: Backend
    data: Data
    model: Any
    loss: Any
    metrics: dict[str, Any]
    initial: list[str] = field(default_factory=list)
    evaluator: Evaluator = field(default_factory=Evaluator)
    attacks: Attacks = field(default_factory=Attacks)

    @classmethod
    def from_config(
        cls,
        config: Config | Mapping[str, Any],
        backend: Backend,
        first_batches: bool = False,
        goes_on: bool = False,
        prepare: Callable[[Mapping[str, Any], int], Data] = prepare,
    ) -> "Experiment":
        """Load the data and make the model with its initial weights; ``backend`` is the current device.

        Args:
            config: resolved (a mapping is taken as it is, unchecked).
            first_batches: keep of each split only as many samples as one batch has.
            goes_on: the weights will come from a checkpoint: ``train.init_from`` is not read, and a source of attacks
                that cannot be used costs their figures only.
            prepare: gives the data of a ``data`` section and a seed.
        Raises:
            UserError: something in the config does not go with something else; names its file and line.
        """
        if isinstance(config, Config):
            with _located(config):
                return cls.from_config(config.data, backend, first_batches, goes_on, prepare)
        source = None if goes_on else initial_weights.named_by(config["train"])
        attacks = Attacks.of(config, backend.name, goes_on)
        random.manual_seed(training_seed(config))
        data = prepare(config["data"], config["seed"])
        counts, whole = class_counts(data), data
        if first_batches:
            data = _shortened(data, config["train"]["batch_size"])
        model = build_model(config["model"], data)
        dtype = precision.use(config["precision"])
        check_range(data, dtype)
        model.to(dtype=dtype)
        model.feature_names, model.target_scaling = data.dataset.feature_names, data.target_normalizer
        model.target_names = data.dataset.target_names
        targets, named, classes = data.target_normalizer, data.dataset.named_targets, data.dataset.class_names
        loss = build_loss(config["loss"], classes, counts, data)
        deciding = {watched["metric"] for _, watched in watched_by(config)}
        sizes = token_sizes(classes, data.dataset.tokenizer) if data.dataset.tokens and data.every_step else None
        metrics = build_metrics(config["metrics"], deciding, loss, targets, named, classes, model, sizes)
        experiment = cls(config, backend, data, model, loss, metrics)
        check_compatible(
            config["train"],
            data,
            model,
            experiment.optimizer,
            metrics,
            experiment.one_sample,
            watched=watched_by(config),
            mismatches=task_mismatches(config, data.task),
            refusals=refusals(config["optimizer"], model, experiment.total_steps),
        )
        experiment.attacks = attacks
        attacks.check(data)
        experiment.initial += attacks.notes()
        problems = [*carrying_problems(config["train"], whole), *view_problems(config["train"]["tta"], data)]
        problems += mixing_problems(config, data, loss)
        if (swa := config["train"]["swa"]) is not None:
            problems += averaging_problems(swa, experiment.total_steps, experiment.loader.steps_per_epoch)
        if problems:
            raise ConfigError(problems)
        if type(model).adapt is not Model.adapt:  # all images at once in floating point would be a lot of memory
            samples = experiment.loader.samples
            model.adapt(*experiment.loader.in_batches_of(min(samples, model.adapts_to or samples)).batch(0))
        if not experiment.closed_form and not experiment.has_objective:
            check_output(data, model, experiment.one_sample)
        if source is not None:
            experiment.initial += initial_weights.load_into(model, source, config["train"]["reinit"])
            experiment.initial += initial_weights.notes(source, data, config["train"]["reinit"])
        experiment.initial += initial_weights.freeze(model, config["train"]["freeze"])
        if config["train"]["sync_batch_norm"]:
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return experiment

    @property
    def name(self) -> str:
        """The run's name."""
        return self.config["name"]

    def identity(self, given: Mapping[str, Any]) -> RunIdentity:
        """What every checkpoint of this experiment says of it.

        Args:
            given: what the run's ``config.yaml`` says; without the defaults of keys that only this version of the
                program knows.
        """
        inputs, normalizer = InputSpec.of(self.data).to_json(), self.data.normalizer.state_dict()
        return RunIdentity(
            training_seed(self.config), config_hash(given), settings(given), self.fingerprint, inputs, normalizer
        )

    @property
    def train(self) -> Mapping[str, Any]:
        """The config's ``train`` section."""
        return self.config["train"]

    @property
    def dtype(self) -> np.dtype:
        """The floating-point type of the run."""
        return precision.dtype(self.config["precision"])

    @cached_property
    def optimizer(self) -> Any:
        """The class of the optimizer."""
        return registry.lookup("optimizer", self.config["optimizer"]["name"])

    @property
    def has_objective(self) -> bool:
        """Whether the model is trained by an objective of its own, and predicts no targets."""
        return bool(getattr(self.model, "objective_units", None))

    def cost(self, x: Any, y: Any) -> Tensor:
        """The cost of a batch on the device, without penalties."""
        if self.has_objective:
            return self.model.objective(Tensor(x), y, random.current_step())
        return self.loss(self.model(Tensor(x)), y)

    @cached_property
    def closed_form(self) -> bool:
        """Whether the optimizer solves instead of stepping."""
        return self.optimizer.closed_form

    @cached_property
    def solved_in(self) -> np.dtype:
        """The floating-point type of the training batches: the run's, or a wider one that a closed form needs."""
        wide = self.closed_form and self.optimizer.wants_float64(self.model)
        return np.dtype(np.float64) if wide else self.dtype

    @cached_property
    def loader(self) -> Loader:
        """The training batches; a closed form gets the whole split as one."""
        batch_size: int | Literal["full"] = "full" if self.closed_form else self.train["batch_size"]
        augment, drop_last = self.data.augment, self.train["drop_last"]
        more: dict[str, Any] = {"augment": augment, "drop_last": drop_last, "streams": self.train["carry_state"]}
        return self._loader("train", batch_size, self.solved_in, shuffle=True, **more)

    @cached_property
    def loaders(self) -> dict[str, Loader]:
        """By split, for evaluation: in the data's order, in batches of a size that suits it."""
        size, streams = self.loader.batch_size, self.train["carry_state"]
        size = size if streams else max(size, EVALUATION_BATCH)
        wanted = [split for split in self.data.splits if split in self.train["evaluate"]]
        same = self.solved_in == self.dtype and self.data.bootstrap is None
        return {
            split: self.loader.in_batches_of(size)
            if split == "train" and same
            else self._loader(split, size, self.dtype, streams=streams)
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

    @property
    def traced(self) -> bool:
        """Whether the model shows where training stands."""
        return getattr(type(self.model), "trace", Model.trace) is not Model.trace

    def watch(self, section: str) -> Mapping[str, Any] | None:
        """Metric and split of ``train.early_stopping``, ``train.best`` or ``optimizer.schedule``.

        Of the best by default what :func:`~dlcourse.config.rules.choosing_metric` says, if that split is there.
        """
        if section != "best":
            return next((each for path, each in watched_by(self.config) if path[-1] == section), None)
        chosen = choosing_metric(self.config)
        if self.model.players and chosen["metric"] == "loss" and not self.train["best"]:
            return None  # the sum of the players' costs says nothing of how good they are
        return chosen if chosen["metric"] in self.metrics and chosen["split"] in self.loaders else None

    def watcher(self, cls: type, section: str, *settings: str) -> Any:
        """A callback that watches what ``train.early_stopping`` or ``train.best`` says; None where there is none.

        Args:
            settings: keys of the section that it takes too.
        """
        watched = self.watch(section)
        if watched is None:
            return None
        direction = self.metrics[watched["metric"]].higher_is_better
        return cls(watched["metric"], watched["split"], direction, **{key: watched[key] for key in settings})

    @property
    def watched_loaders(self) -> dict[str, Loader]:
        """Those of the splits that are measured during training: train, val, and any that something is chosen by."""
        sections = "early_stopping", "best", "schedule"
        chosen_by = {watched["split"] for section in sections if (watched := self.watch(section))}
        return {split: each for split, each in self.loaders.items() if split in {"train", "val"} | chosen_by}

    def train_step(self) -> TrainStep | AlternatingStep | ClosedFormStep:
        """A new step with a new optimizer, or with one for each of the model's players."""
        spec, named = self.config["optimizer"], dict(self.model.named_parameters())
        if self.closed_form:
            return ClosedFormStep(self.model, self.loss, build_optimizer(spec, named))
        schedule, watched = self.schedule(self.total_steps), self.watch("schedule")
        if watched and watched["metric"] in self.metrics:
            schedule.measured_by(self.metrics[watched["metric"]])
        settings: dict[str, Any] = {
            key: self.train[key] for key in ("clip_norm", "clip_value", "accumulate", "l1", "l2", "ema")
        }
        settings["attack"] = None if self.train["attack"] is None else build_attack(self.train["attack"], self.data)
        settings["schedule"] = schedule
        if players := self.model.players:
            optimizers = {player: build_optimizer(spec, named, player) for player in players}
            own = {player: group_schedules(spec, named, self.total_steps, player) for player in players}
            return AlternatingStep(self.model, optimizers, group_schedules=own, **settings)
        by_group = group_schedules(spec, named, self.total_steps)
        settings["carry_state"] = self.loader.batch_size if self.train["carry_state"] else None
        step = TrainStep(self.model, self.loss, build_optimizer(spec, named), group_schedules=by_group, **settings)
        if self.train["swa"] is not None:
            share = isinstance(self.train["swa"]["start"], float)
            step.swa = WeightMean(self.model, step.flat, lambda: self._training_inputs(step.stream), share)
        return step

    def _training_inputs(self, stream: Any) -> Iterator[Any]:
        """The inputs of an epoch as training has them, the same at each call: in the order of the first."""
        for step in range(self.loader.steps_per_epoch):
            x = self.loader.batch(step)[0]
            size = microbatch_size(len(x), self.train["accumulate"])
            random.begin_step(step, stream)
            with collectives.alone():  # each rank computes the same statistics
                yield from (x[start : start + size] for start in range(0, len(x), size))

    def schedule(self, total_steps: int) -> Any:
        """The learning rate's schedule over a training of that length; None where there is none."""
        spec = self.config["optimizer"].get("schedule")
        return None if spec is None else registry.build("schedule", spec, total_steps=total_steps)

    def loggers(self, path: Path, history: Any) -> list[Callback]:
        """The callbacks that the config's ``logging`` names, for a run in the folder ``path``."""
        specs = self.config.get("logging") or ()
        return [registry.build("logging", spec, path=path, history=history) for spec in specs]

    def check_loggers(self) -> None:
        """Raise DlcourseError where the config's ``logging`` needs a package that is not there."""
        for spec in self.config.get("logging") or ():
            getattr(registry.lookup("logging", spec["name"]), "check", lambda: None)()  # a plugin's need not have it

    def trainer(
        self, callbacks: Iterable[Callback | None] = (), loader: Any = None, total_steps: int | None = None
    ) -> Trainer:
        """A trainer with a new step; it stops where the loss becomes infinite or NaN.

        Args:
            callbacks: called after that guard; None is left out.
            loader: instead of all training batches.
            total_steps: instead of the config's.
        """
        loader, total_steps = loader or self.loader, total_steps or self.total_steps
        used: list[Callback] = [DivergenceGuard(self.train["log_every"])]
        if self.train["swa"] is not None:  # before those that look at the mean
            due = averaging_steps(self.train["swa"], total_steps, loader.steps_per_epoch)
            used.append(WeightAveraging(due))
        if self.train["carry_state"]:  # before the checkpoint of the step
            used.append(EpochStart(loader.steps_per_epoch))
        used += [each for each in callbacks if each is not None]
        return Trainer(self.model, self.train_step(), loader, total_steps, used)

    def evaluate(self, known: Mapping[str, dict[str, float]] | None = None) -> dict[str, dict[str, float]]:
        """The metrics of each split of ``train.evaluate``; the model is in evaluation mode after it.

        Args:
            known: those of some splits, of the model alone, which are not measured again.
        """
        known = known if known and self.train["tta"] == "none" else {}
        found = {
            split: known.get(split) or self.evaluator.measure(self.answering, loader, self.metrics)
            for split, loader in self.loaders.items()
        }
        self.model.eval()
        return found

    @property
    def answering(self) -> Any:
        """The model as it is asked at the end: with test-time augmentation where the config says so."""
        return over_views(self.model, self.train["tta"])

    def attacked(self, label: str, folder: Path) -> AttackResult:
        """What one of the config's ``attacks`` does to the model; its file goes into the folder."""
        net = Attacked(self.model.eval(), self.data, self.data.normalizer, self.dtype, self.backend)
        return self.attacks.measure(net, label, folder)

    def evidence(
        self, events: list[Event], metrics: Mapping[str, Mapping[str, float]], status: str = "done"
    ) -> Evidence:
        """What the rules of :mod:`dlcourse.training.advice` look at.

        Args:
            events: of the run's history.
            metrics: at the end, by split.
        """
        classes, splits = self.data.task == "classification" and not self.has_objective, self.data.splits
        return Evidence(
            events,
            metrics,
            {label: metric.higher_is_better for label, metric in self.metrics.items()},
            {split: subset.y.size if classes else len(subset) for split, subset in splits.items()},
            Guessing.of(splits["train"].y) if classes else None,
            stops_early=self.train["early_stopping"] is not None,
            begins_trained=self.train["init_from"] is not None,
            images=len(self.data.in_shape) == 3,
            weighted=getattr(self.loss, "class_weights", None) is not None,
            normalized=not self.data.normalizer.identity,
            large_targets=_large_targets(self.data),
            tests_rates=(self.config["optimizer"].get("schedule") or {}).get("name") == "range_test",
            has_players=bool(self.model.players),
            status=status,
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The model's outputs for raw inputs (N, *in_shape), in the targets' own units, both on the host."""
        data = self.data
        return predict(self.answering, x, data.normalizer, self.backend, self.dtype, data.target_normalizer)

    @cached_property
    def flops(self) -> int | None:
        """Floating-point operations of a forward pass of one image; None for other inputs, and for a model that has to
        see the training samples first."""
        if len(self.data.in_shape) != 3 or self.closed_form:
            return None
        return summarize(self.model, self.one_sample()).flops

    def one_sample(self) -> Any:
        """A training sample as the model takes it, (1, ...)."""
        return self.samples("train", 1)[0]

    def samples(self, split: str, count: int, first: int = 0) -> tuple[Any, Any]:
        """``count`` samples of a split and their targets, as the model takes them, the ``first``-th such group."""
        return self._loader(split, count, self.dtype).batch(first)

    def _loader(
        self, split: str, batch_size: int | Literal["full"], dtype: np.dtype, shuffle: bool = False, **more: Any
    ) -> Loader:
        subset = self.data.to_train_on if shuffle else self.data.splits[split]
        seed, targets = training_seed(self.config), self.data.target_normalizer
        return Loader(
            subset,
            self.data.normalizer,
            self.backend,
            dtype,
            batch_size,
            seed,
            shuffle,
            targets=targets,
            classes=self.data.out_features,
            **more,
        )


def training_seed(config: Mapping[str, Any]) -> int:
    """What decides all that is random in the training itself: ``train.seed``, or the config's ``seed``."""
    own = config["train"].get("seed")
    return config["seed"] if own is None else own


@contextlib.contextmanager
def _located(config: Config) -> Iterator[None]:
    """Add the file and line to errors that only the data show, and to a missing file that it is not in the config's
    folder either."""
    try:
        yield
    except DataError as error:
        beside = None if config.path is None else config.path.absolute().parent
        elsewhere = isinstance(error, MissingDataError) and beside not in (None, Path.cwd())
        message = f"{error}; nor is it in {beside}" if elsewhere else str(error)
        (problem,) = config.locate(ConfigError([Problem("data", message)])).problems
        raise type(error)(str(problem) if problem.line else message) from error
    except ConfigError as error:
        raise config.locate(error) from error


def _large_targets(data: Data) -> bool:
    """Whether a regression's targets are numbers that a net with usual weights is long in reaching."""
    if data.task != "regression" or data.target_normalizer is not None:
        return False
    return bool(np.abs(data.splits["train"].y).mean() > _LARGE_TARGET)


def _shortened(data: Data, batch_size: int | str) -> Data:
    """The first batch of each split; all of them where a batch is the whole split."""
    if batch_size == "full":
        return data
    subsets = {
        split: Split(subset.x[:batch_size], subset.y[:batch_size], subset.index[:batch_size])
        for split, subset in data.splits.items()
    }
    return replace(data, splits=subsets)
