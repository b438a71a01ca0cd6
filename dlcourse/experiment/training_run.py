"""One run in its folder: callbacks put together, training, the last evaluation, and what is written about it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dlcourse.backend import collectives, memory, tracing
from dlcourse.config import choosing_metric, metric_facts
from dlcourse.errors import CheckpointError, DivergenceError, DlcourseError, Interrupted, OutOfMemoryError
from dlcourse.experiment.attacking import AttackResult, attack_table
from dlcourse.experiment.baseline import Judgement, judge
from dlcourse.experiment.building import metric_units
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.generation import sampler
from dlcourse.experiment.identity import check_data
from dlcourse.experiment.masking import masking_notes
from dlcourse.experiment.notes import notes
from dlcourse.experiment.past_steps import check_past
from dlcourse.experiment.ranks import evaluate_together
from dlcourse.experiment.result import Result
from dlcourse.records.run import AdviceFacts, BaselineState, RunState
from dlcourse.training.advice.rules import advise
from dlcourse.training.checkpoints.callback import Checkpointing
from dlcourse.training.checkpoints.content import RunIdentity, apply_average, capture, load_evaluated, restore
from dlcourse.training.checkpoints.file_format import Checkpoint
from dlcourse.training.checkpoints.store import CheckpointStore
from dlcourse.training.divergence import DivergenceGuard
from dlcourse.training.evaluation import Evaluation
from dlcourse.training.explanations import explain_run
from dlcourse.training.folder import RunFolder
from dlcourse.training.history import History
from dlcourse.training.log import Log
from dlcourse.training.monitor import BestTracker, EarlyStopping, Judge, Pruning, ScheduleWatch
from dlcourse.training.predictions import write_predictions
from dlcourse.training.profile import Profile
from dlcourse.training.progress import Progress
from dlcourse.training.ranks import share
from dlcourse.training.run_history import RunHistory
from dlcourse.training.samples import KeepSamples
from dlcourse.training.shared import of_a_sweep
from dlcourse.training.signals import Signals
from dlcourse.training.summary import estimate_lines, metric_table
from dlcourse.training.trace import Trace
from dlcourse.training.trainer import Trainer
from dlcourse.training.watch import Watch


class Run:
    """Trains what a config stands for in a run folder, from the start or from a checkpoint.

    Args:
        experiment: data, model, and how to step.
        folder: the run's; the caller holds its lock.
        log: says what happens.
        identity: what the checkpoints say of the run.
        overrides: what was asked for beside the config, for ``result.json``.
        profile: time the parts of a step.
        alone: False for one of several runs in lockstep: signals and progress are those of all together.
        judge: of a search, which may end the run.
    Attributes:
        metrics: by split, once :meth:`run` is done.
        estimates: the model's fitted numbers.
        advice: what the rules found, once it has ended.
        attacked: what the config's attacks did to the model, once it has ended.
        history: the events of ``metrics.jsonl``.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        log: Log,
        identity: RunIdentity,
        overrides: Mapping[str, Any],
        profile: bool = False,
        alone: bool = True,
        judge: Judge | None = None,
    ):
        self.experiment, self.folder, self.log, self.overrides = experiment, folder, log, dict(overrides)
        self.identity = identity
        self.found: Checkpoint | None = None
        self.metrics: dict[str, dict[str, float]] = {}
        self.estimates: dict[str, float] = {}
        self.judgement: Judgement | None = None
        self.advice: list[AdviceFacts] = []
        self.attacked: list[AttackResult] = []
        train = experiment.train
        self.store = CheckpointStore(folder.checkpoints)
        self.history = History(folder.metrics, train["log_every"], log)
        self.evaluation = Evaluation(
            experiment.watched_loaders, experiment.metrics, train["eval_every"], self.history, experiment.evaluator
        )
        draw = sampler(experiment)
        samples = None if draw is None else KeepSamples(folder.kept_samples, draw, log)
        self.best = experiment.watcher(BestTracker, "best")
        self.stopping = experiment.watcher(EarlyStopping, "early_stopping", "patience", "min_delta")
        watched = choosing_metric(experiment.config)
        self.pruning = None if judge is None else Pruning(watched["metric"], watched["split"], judge)
        self.profile = Profile(folder.path / "trace.json", kernels=True) if profile else None
        # A closed form takes one step: a best would be the last once more (of nearest neighbors, all training data).
        best = None if experiment.closed_form else self.best
        self.checkpointing = Checkpointing(
            self.store, lambda trainer: capture(trainer, identity), self.history, best, train["checkpoint_every"]
        )
        # Callbacks that decide come before those that save the decision; the signals' own save comes last.
        self.trainer = experiment.trainer(
            [
                self.history,
                *experiment.loggers(folder.path, self.history),
                Trace(train["log_every"], self.history) if experiment.traced else None,
                self.evaluation,
                Watch(train["eval_every"], self.history) if train["watch"] else None,
                samples,
                self.best,
                self.stopping,
                self.pruning,
                ScheduleWatch(log) if experiment.watch("schedule") else None,
                self.checkpointing,
                Progress(self.history, log.quiet) if alone else None,
                self.profile,
                Signals(self.checkpointing.save) if alone else None,
            ]
        )

    @property
    def result(self) -> Result:
        """What :meth:`run` came to."""
        return Result(
            self.metrics,
            self.experiment.model,
            self.folder.path,
            RunHistory(self.history.events),
            self.estimates,
            advice=[each["text"] for each in self.advice],
            baseline={} if self.judgement is None else self.judgement.scores,
        )

    def restore(self, found: Checkpoint) -> None:
        """Go on from a checkpoint; nothing is written yet.

        Raises:
            CheckpointError: it belongs to another model.
            ChangedDataError: it was trained on other data.
            ConfigError: the steps taken would have been others in a training of this length.
        """
        path = self.folder.path
        check_data(self.experiment.data, found.state, path, "restore the data, or start a new run")
        check_past(self.experiment, found.state.get("schedule_steps"), found.state["step"], str(self.folder.config))
        restore(self.trainer, found, self.identity)
        self.found = found

    def run(self) -> None:
        """Train to the end, evaluate, and write everything.

        Raises:
            DivergenceError, Interrupted, OutOfMemoryError, DlcourseError: ``result.json`` says what happened.
        """
        with self.recorded():
            self.begin()
            share(self.experiment.model)
            with self.log.warnings():
                self.trainer.run()
                self.end()
                self.conclude()
        self.report()

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Inside the ``with`` block ``result.json`` says what an error was, and where it happened."""
        try:
            yield
        except BaseException as error:
            collectives.group().announce_failure()
            if not memory.out_of_memory(error):
                self._fail(error)
                raise
            full = self._out_of_memory(error)
            self._fail(full)
            raise full from error

    # The parts of :meth:`run`: a stack of runs takes each for all of them, see ``Member`` in lockstep.py.

    @property
    def may_choose_weights(self) -> bool:
        """Whether the best weights may be taken at the end instead of the last."""
        return self.stopping is not None

    def join(self, count: int, clock: Callable[[], float]) -> None:
        """Train in lockstep with others, ``count`` in all, by a clock that shows the seconds of each."""
        self.checkpointing.together = count
        self.history.use_clock(clock)

    def evaluates(self, callback: Any) -> bool:
        """Whether this callback of the trainer measures the model."""
        return callback is self.evaluation

    def save(self) -> None:
        """Write a checkpoint."""
        self.checkpointing.save(self.trainer)

    def begin(self) -> None:
        """Before the trainer."""
        if self.found is not None:
            self.store.restart_from(self.found)
        for note in notes(self.experiment):
            self.log(f"note: {note}")
        for line in self.experiment.initial:
            self.log(line)
        group = collectives.group()
        if group.size > 1:
            batch = self.experiment.loader.batch_size
            self.log(f"{group.size} ranks by {group.library} train together, each on its share of a batch of {batch}")
        self._write_result("running")
        memory.start_counting()

    def end(self) -> None:
        """After the trainer: the last evaluation, and the model gets the weights that count."""
        if self.trainer.stop_reason:
            self.log(self.trainer.stop_reason)
        with tracing.listening_to_phases(self.profile.phase if self.profile else None):
            self.evaluation.at_end(self.trainer)
        self.checkpointing.save_best(self.trainer)
        self._weights = self._choose_weights()

    def conclude(self) -> None:
        """Evaluate, and write the results."""
        trainer, experiment = self.trainer, self.experiment
        weights, step, _ = self._weights
        self.metrics = evaluate_together(experiment, trainer.metrics if weights == "last" else None)
        with collectives.alone():
            self._record(weights, step)

    def _record(self, weights: str, step: int) -> None:
        """Write the results, the predictions, and what is drawn from them."""
        trainer, experiment = self.trainer, self.experiment
        with self.log.going_on("no estimates"):
            self.estimates = experiment.model.estimates(experiment.data.normalizer)
        self.history.record(trainer, "final", metrics=self.metrics, weights=weights, weights_step=step)
        config = experiment.config
        names = {
            "model": config["model"]["name"],
            "loss": None if config["loss"] is None else config["loss"]["name"],
            "metrics": list(experiment.metrics),
        }
        arrays = write_predictions(
            self.folder,
            experiment.data,
            experiment.model,
            experiment.loaders,
            experiment.predict,
            names,
            experiment.answering,
            experiment.loader,
            experiment.evaluator,
            self.log,
        )
        self._explain(list(experiment.loaders))
        self.judgement = judge(experiment, arrays)
        self._advise("done")
        self._attack()
        pruned: dict[str, Any] = (
            {} if self.pruning is None or self.pruning.pruned is None else {"pruned": self.pruning.pruned}
        )
        self._write_result("done", weights={"from": weights, "step": step}, baseline=self._baseline, **pruned)

    def _attack(self) -> None:
        """Measure the model under the config's attacks; one that fails costs nothing of the run."""
        for label in self.experiment.attacks.named:
            with self.log.going_on(f"the attack {label} was not measured"):  # not each model has a gradient
                found = self.experiment.attacked(label, self.folder.path)
                self.attacked.append(found)
                self.metrics.setdefault(found.split, {}).update(found.metrics)

    def _explain(self, measured: list[str]) -> None:
        """Write what pictures of what a net sees are drawn from; what goes wrong in it costs nothing of the run."""
        if of_a_sweep(self.folder.path):
            return
        with self.log.going_on("no pictures of what the net sees"):
            explain_run(self.folder.path, self.experiment.data, self.experiment.model, measured)

    def _advise(self, status: str) -> None:
        """Let the rules look at how it went; what goes wrong in them costs nothing of the run."""
        with self.log.going_on("no advice"):
            self.advice = advise(self.experiment.evidence(self.history.events, self.metrics, status))

    def report(self) -> None:
        """Say what came of it: whatever happens from here on, the run is done."""
        self.log.settle()
        trainer, experiment, weights = self.trainer, self.experiment, self._weights[2]
        if experiment.metrics:
            units = metric_units(experiment.metrics, experiment.data.dataset.target_unit)
            self.log(f"metrics of {weights}\n{metric_table(self.metrics, units, self._baseline)}")
        if self.judgement is not None:
            for text in self.judgement.texts():
                self.log(text)
        if trainer.train_step.skipped:
            self.log(_loss_scale(trainer))
        if self.attacked:
            self.log(f"under attack\n{attack_table(self.attacked)}")
            for note in masking_notes(self.attacked):
                self.log(f"note: {note}")
        if self.estimates:
            self.log(estimate_lines(self.estimates))
        if self.profile is not None:
            self.log(self.profile.report())
        self.log(memory.format_peaks(memory.peaks()))
        self._say_advice(self.log)

    def _say_advice(self, log: Log) -> None:
        for each in self.advice:
            log(f"advice: {each['text']}")

    @property
    def _baseline(self) -> BaselineState | None:
        return None if self.judgement is None else self.judgement.baseline

    def _choose_weights(self) -> tuple[str, int, str]:
        """Take the best weights after early stopping, else the last: which they are, their step, and both in words."""
        best, last, model = self.best, self.trainer.step, self.experiment.model
        if self.stopping is not None and best is not None and best.step not in (None, last):
            try:
                found = self.store.load("best")
                if found.state["step"] != best.step:
                    raise CheckpointError(f"{found.path}: holds step {found.state['step']}, not {best.step}")
            except CheckpointError as error:
                self.log(f"{error}; the last weights are taken instead of the best")
            else:
                load_evaluated(model, found)
                step = found.state["step"]
                return "best", step, f"the best weights (step {step}, by {best.split} {best.metric})"
        apply_average(model, self.trainer.train_step)
        swa = self.trainer.train_step.swa
        if swa is not None and swa.count:
            return "last", last, f"the mean of the weights after {swa.count} steps (the last is {last})"
        return "last", last, f"the last weights (step {last})"

    def _out_of_memory(self, error: BaseException) -> OutOfMemoryError:
        """The error to raise: says the batch that did not fit, what is left of the run, and what to change."""
        size, saved = self.experiment.loader.batch_size, self.checkpointing.saved
        intact = "no checkpoint was written yet" if saved is None else f"the last checkpoint (step {saved}) is intact"
        if self.experiment.closed_form:
            fix = "a closed form takes all samples at once: data.limit takes fewer"
        else:
            fix = "lower train.batch_size, or raise train.accumulate, which cuts a batch into parts"
        reason = (str(error).splitlines() or ["there is no more"])[0]
        steps = self.trainer.step
        where = f"after {steps} step{'' if steps == 1 else 's'} with batches of {size} samples"
        return OutOfMemoryError(f"out of memory {where}: {reason}; {intact}; {fix}")

    def _fail(self, error: BaseException) -> None:
        """Record what ended the run; where even that cannot be written the error itself matters more."""
        interrupted = isinstance(error, Interrupted | KeyboardInterrupt)
        diverged = {"diverged_at": error.step} if isinstance(error, DivergenceError) else {}
        status = "diverged" if diverged else "interrupted" if interrupted else "failed"
        message = str(error) or type(error).__name__
        quiet_log = Log(self.log.path, quiet=True)
        with contextlib.suppress(DlcourseError):
            quiet_log(f"{status}: {message}")
        with contextlib.suppress(DlcourseError):
            if isinstance(error, DivergenceError) and error.step is not None:
                self._show_divergence(error.step)
                if self.log.quiet and self.advice:
                    error.advice = self.advice[0]["text"]
        with contextlib.suppress(DlcourseError):
            self._write_result(status, error=message, **diverged)

    def _show_divergence(self, step: int) -> None:
        """Keep and say the loss of every step around a divergence, and what the rules make of it."""
        guard = next(each for each in self.trainer.callbacks if isinstance(each, DivergenceGuard))
        around = [(at, loss) for at, loss in guard.recent if abs(at - step) <= guard.around]
        for at, loss in around:
            lr = self.trainer.train_step.lr_at(at - 1)
            self.history.record(self.trainer, "divergence", at, loss=loss, lr=lr)
        near = [f"{at}: {loss:.4g}" for at, loss in around if step - 8 <= at <= step + 2]
        if near:
            self.log(f"loss by step: {', '.join(near)}")
        self._advise("diverged")
        self._say_advice(self.log)

    def _write_result(self, status: str, error: str | None = None, **more: Any) -> None:
        result: Any = {
            **first_result(self.experiment, self.identity, self.overrides),
            "status": status,
            "error": error,
            **self.trainer.position(),
            "seconds": round(self.history.seconds, 4),
            "peak_memory": memory.peaks(),
            "metrics": self.metrics,
            "estimates": self.estimates,
            "best": None if self.best is None else self.best.describe(),
            "advice": self.advice,
            **more,
        }
        self.folder.write_result(result)


def first_result(experiment: Experiment, identity: RunIdentity, overrides: Mapping[str, Any]) -> RunState:
    """The ``result.json`` of a run that has not begun: it is there from the moment that the folder can be seen.

    Args:
        overrides: what was asked for beside the config file.
    """
    result: Any = {
        "status": "running",
        "name": experiment.name,
        "step": 0,
        "parameters": sum(p.size for p in experiment.model.parameters()),
        "flops": experiment.flops,
        "metric_facts": {label: metric_facts(label, metric.unit) for label, metric in experiment.metrics.items()},
        "config_overrides": dict(overrides),
        "config_hash": identity.config_hash,
        "data": identity.fingerprint,
    }
    return result


def _loss_scale(trainer: Trainer) -> str:
    """What a run in float16 lost to its loss scale: without it skipped steps look like a bad model."""
    skipped, steps = trainer.train_step.skipped, trainer.step
    message = f"loss scale: the gradient overflowed float16 in {skipped} of {steps} steps, which changed nothing"
    # The first scale is high on purpose: a few steps at the start find the right one.
    many = 10 * skipped >= steps
    return message + ("; more steps, smaller inputs or targets, or precision: bf16 mend that" if many else "")
