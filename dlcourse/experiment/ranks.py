"""One run on several ranks: rank 0 decides and writes; the others train with it, and leave no files."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlcourse import backend, plugins
from dlcourse.backend import collectives, determinism
from dlcourse.data.files import looking_in
from dlcourse.errors import DlcourseError, Interrupted
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.result import Result
from dlcourse.signals import handle_termination
from dlcourse.training.checkpoints.content import RunIdentity, restore
from dlcourse.training.checkpoints.file_format import Checkpoint
from dlcourse.training.evaluation import Evaluation
from dlcourse.training.history import History
from dlcourse.training.monitor import BestTracker, EarlyStopping, ScheduleWatch
from dlcourse.training.ranks import share
from dlcourse.training.signals import Signals


@dataclass(frozen=True)
class Plan:
    """What rank 0 is about to train, for the others.

    Attributes:
        config: resolved, plain nested mappings.
        device: the name of its device.
        found: the checkpoint that it goes on from; None for a start.
        identity: what checkpoints say of the run.
        started_in: where relative paths of data start, beside the current folder.
        first_batches: train on one batch of each split only.
        plugins: the files with components of the user's own.
        deterministic: nothing is chosen by the clock.
    """

    config: Mapping[str, Any]
    device: str
    found: Checkpoint | None
    identity: RunIdentity
    started_in: str | None
    first_batches: bool
    plugins: list[str]
    deterministic: bool


class _Led:
    """Whether the others wait for a plan."""

    waiting = False


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """Inside the ``with`` block rank 0 may :func:`announce` a plan; where it ends without one, the others end too, with
    the same error where there is one."""
    if collectives.group().size == 1 or _Led.waiting:
        yield
        return
    _Led.waiting = True
    try:
        yield
    except BaseException as error:
        _tell(error)
        raise
    finally:
        _tell(None)


def _tell(said: Plan | BaseException | None) -> None:
    if _Led.waiting:
        _Led.waiting = False
        collectives.group().wait_for_all()
        collectives.group().broadcast(_plain(said) if isinstance(said, BaseException) else said)


def _plain(error: BaseException) -> BaseException:
    """An error that another process can read."""
    if isinstance(error, Interrupted):
        return Interrupted(str(error), error.exit_code - 128)
    plain = DlcourseError(str(error))
    plain.exit_code = getattr(error, "exit_code", 1)
    return plain


def announce(plan: Plan) -> None:
    """Let the other ranks train too."""
    _tell(plan)


def follow(device: str | None = None) -> Result:
    """Train as rank 0 announces it; the result has the metrics and the model, and no folder.

    Args:
        device: of this rank, instead of the plan's.
    Raises:
        DlcourseError: what rank 0 met before there was anything to train.
    """
    group = collectives.group()
    group.wait_for_all()
    plan = group.broadcast(None)
    if plan is None:
        return Result({}, None)
    if isinstance(plan, BaseException):
        raise plan
    if plan.deterministic:
        determinism.demand()
    with group.together(), handle_termination(), backend.use(backend.get(on_this_rank(device or plan.device))):
        for path in plan.plugins:
            plugins.load(path)
        with looking_in(plan.started_in):
            # Its weights come from rank 0, as they do from a checkpoint.
            experiment = Experiment.from_config(plan.config, backend.current(), plan.first_batches, goes_on=True)
        return Replica(experiment, plan).run()


def on_this_rank(device: str) -> str:
    """The device of that name for this rank: of ``cuda`` the GPU of its number on its machine."""
    group = collectives.group()
    return device if group.size == 1 else backend.device.numbered(device, group.local_rank)


class Replica:
    """The part that a rank other than 0 takes in a run: it trains and evaluates with the others, and writes nothing."""

    def __init__(self, experiment: Experiment, plan: Plan):
        self.experiment, self.plan = experiment, plan
        train, history = experiment.train, History(None, experiment.train["log_every"])
        loaders, metrics = experiment.watched_loaders, experiment.metrics
        self.evaluation = Evaluation(loaders, metrics, train["eval_every"], history, experiment.evaluator)
        self.trainer = experiment.trainer(
            [
                self.evaluation,
                experiment.watcher(BestTracker, "best"),
                experiment.watcher(EarlyStopping, "early_stopping", "patience", "min_delta"),
                ScheduleWatch(lambda line: None) if experiment.watch("schedule") else None,
                Signals(lambda trainer: None),
            ]
        )
        if plan.found is not None:
            restore(self.trainer, plan.found, plan.identity)

    def run(self) -> Result:
        """Train, and take part in the last evaluation."""
        share(self.experiment.model)
        self.trainer.run()
        self.evaluation.at_end(self.trainer)
        metrics = evaluate_together(self.experiment, None)
        return Result(metrics, self.experiment.model)


def evaluate_together(experiment: Experiment, known: Mapping[str, Any] | None) -> dict[str, dict[str, float]]:
    """The metrics at the end, of the weights that rank 0 has, measured on all ranks.

    Args:
        known: those of some splits, as rank 0 knows them.
    """
    share(experiment.model)
    return experiment.evaluate(collectives.group().broadcast(known))
