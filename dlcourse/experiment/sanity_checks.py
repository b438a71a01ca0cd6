"""Two quick checks of an experiment: overfit one batch, and a smoke test of every part."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlcourse import backend, nn
from dlcourse.config import Config
from dlcourse.errors import UserError
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.result import Result
from dlcourse.special_tokens import PAD
from dlcourse.training.callback import Callback, Every
from dlcourse.training.evaluation import evaluate, outputs
from dlcourse.training.history import History
from dlcourse.training.log import Log
from dlcourse.training.progress import Progress
from dlcourse.training.run_history import RunHistory

OVERFIT_STEPS = 1000
_NO_REGULARIZATION = {
    ("data", "augment"): None,
    ("train", "l1"): 0.0,
    ("train", "l2"): 0.0,
    ("train", "ema"): None,
    ("train", "swa"): None,
    ("train", "early_stopping"): None,
    ("train", "best"): None,
    ("optimizer", "weight_decay"): 0.0,
    ("optimizer", "ridge"): 0.0,
    ("optimizer", "schedule"): None,
    ("model", "dropout"): 0.0,
    ("loss", "label_smoothing"): 0.0,
}


def one_step(config: Config) -> Config:
    """The config of a run of a single step, evaluated at its end only: nothing to choose from, nothing to stop by."""
    step: dict[str, Any] = {"train.epochs": None, "train.steps": 1, "train.eval_every": 0}
    if "metric" in (config.data["optimizer"].get("schedule") or {}):
        step["optimizer.schedule"] = None
    if config.data["attacks"]:
        few = [{**attack, "count": 2} for attack in config.data["attacks"]]
        few = [attack | {"sizes": 1} if "epsilon" in attack else attack for attack in few]
        step["attacks"] = [attack for place, attack in enumerate(few) if attack not in few[:place]]
    return config.apply_overrides({**step, "train.early_stopping": None, "train.best": None, "train.swa": None})


def _without_decay(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group of parameters, or its optimizer, without weight decay."""
    found = dict(group)
    if "weight_decay" in found:
        found["weight_decay"] = 0.0
    if found.get("optimizer"):
        found["optimizer"] = _without_decay(found["optimizer"])
    return found


def overfit_batch(config: Config, device: backend.Backend, log: Log) -> Result:
    """Learn the first training batch by heart: always that batch, judged on it too, nothing dropped, nothing penalized.

    Memorized means: every label right and the loss down to a tenth of the first, or 99 percent of the targets' variance
    explained. It stops there, or after ``OVERFIT_STEPS`` steps.

    Raises:
        UserError: the data hold nothing to memorize.
    """
    overrides: dict[str, Any] = {
        f"{section}.{key}": value
        for (section, key), value in _NO_REGULARIZATION.items()
        if key in (config.data[section] or ())
    }
    if config.data["optimizer"].get("groups"):
        overrides["optimizer.groups"] = [_without_decay(group) for group in config.data["optimizer"]["groups"]]
    experiment = Experiment.from_config(config.apply_overrides(overrides), device)
    if experiment.loss is None and not experiment.has_objective:
        raise UserError("nothing to memorize: this config has no loss")
    if experiment.has_objective and not experiment.model.answers:
        raise UserError(f"nothing to memorize: the model {config.data['model']['name']} predicts no targets")
    if experiment.data.task == "estimation":
        raise UserError("nothing to memorize: these data are samples for an estimator")
    for module in experiment.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    batch = _OneBatch(*experiment.loader.batch(0), experiment.data.target_normalizer)
    history = History(None, experiment.train["log_every"])
    goal = _Memorized(experiment, batch, history)
    steps = 1 if experiment.closed_form else OVERFIT_STEPS
    trainer = experiment.trainer([history, goal, Progress(history, log.quiet)], batch, steps)
    trainer.run()
    goal.judge(trainer)
    verdict = "memorized" if goal.reached else "did not memorize"
    hint = "" if goal.reached else "; the model may be too small for that, the lr wrong, or the code"
    found = f"loss {goal.loss:.4g} after {trainer.step} steps, {goal.words}"
    log(f"{verdict} the first batch ({batch.samples} samples): {found}{hint}")
    metrics = evaluate(experiment.model, batch, experiment.metrics)
    return Result({"train": metrics, "val": metrics}, experiment.model.eval(), history=RunHistory(history.events))


class _OneBatch:
    """A loader that knows one batch."""

    def __init__(self, x: Any, y: Any, targets: Any = None):
        self._batch, self.targets = (x.copy(), y.copy()), targets
        self.samples = self.samples_per_epoch = self.batch_size = len(x)
        self.steps_per_epoch = 1

    def batch(self, step: int) -> tuple[Any, Any]:
        return self._batch

    def batches(self) -> Iterator[tuple[Any, Any]]:
        yield self._batch


class _Memorized(Callback):
    """Stops training once the batch is known by heart; looks at log points."""

    def __init__(self, experiment: Experiment, batch: _OneBatch, history: History):
        self.experiment, self.batch, self.history = experiment, batch, history
        self.due = Every(experiment.train["log_every"])
        self.reached, self.words, self.loss = False, "", float("nan")

    def after_step(self, trainer: Any) -> None:
        self.judge(trainer)
        if self.reached:
            trainer.stop("memorized")

    def judge(self, trainer: Any) -> None:
        """Compare the outputs, in evaluation mode, with the targets of the batch."""
        _, output, y = (backend.to_host(array) for array in next(iter(outputs(trainer.model, self.batch))))
        self.loss = trainer.loss.item()
        if self.experiment.data.task == "classification":
            told = y != PAD if self.experiment.model.answers else np.ones(y.shape, bool)
            right, of = int(((output.argmax(axis=-1) == y) & told).sum()), int(told.sum())
            self.words = f"{right} of {of} labels right"
            small = self.experiment.closed_form or self.loss <= 0.1 * (self.history.events[0]["loss"] or 0.0)
            self.reached = right == of and small
        else:
            output, y = (array.reshape(-1, array.shape[-1]) for array in (output, y))  # of a sequence, each step
            errors, spreads = ((array**2).mean(axis=0) for array in (output[:, : y.shape[1]] - y, y - y.mean(axis=0)))
            if several := bool(self.experiment.data.dataset.named_targets):  # of units of their own
                size = np.where(spreads > 0, spreads, 1)
                errors, spreads = errors / size, spreads / size
            error, spread = errors.mean(), spreads.mean()
            of_each = ", in standard deviations of each target" if several else ""
            self.words = f"root mean square error {error**0.5:.4g} of a spread of {spread**0.5:.4g}{of_each}"
            self.reached = bool(error <= 0.01 * spread + 1e-12)
