"""``fit``: a config's experiment in memory; ``fit_all``: many of them, one after another or stacked."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dlcourse.autograd.replicas import NotStackable
from dlcourse.backend import get, random, use
from dlcourse.config import Config
from dlcourse.errors import DivergenceError
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.lockstep import Lockstep, Together
from dlcourse.experiment.result import Result
from dlcourse.training.checkpoints.content import apply_average

__all__ = ["Fit", "fit", "fit_all"]


class Fit:
    """Trains and evaluates in memory, without a folder, a log or checkpoints: a
    :class:`~dlcourse.experiment.lockstep.Member`.

    Attributes:
        result: once it has ended.
    """

    may_choose_weights = False

    def __init__(self, experiment: Experiment):
        self.experiment, self.trainer = experiment, experiment.trainer()
        self.result: Result | None = None

    def run(self) -> Result:
        """Train to the end and evaluate.

        Raises:
            DivergenceError: the loss became infinite or NaN.
        """
        self.trainer.run()
        self.end()
        self.conclude()
        assert self.result is not None
        return self.result

    def end(self) -> None:
        """The model gets the weights that count."""
        apply_average(self.experiment.model, self.trainer.train_step)

    def conclude(self) -> None:
        """Evaluate."""
        experiment, model = self.experiment, self.experiment.model
        metrics = experiment.evaluate()
        self.result = Result(
            metrics, model, estimates=model.estimates(experiment.data.normalizer), experiment=experiment
        )

    # What else a run in lockstep does: a fit keeps and says nothing.

    def join(self, count: int, clock: Callable[[], float]) -> None:
        """It takes no time down."""

    def recorded(self) -> contextlib.AbstractContextManager[None]:
        """Errors are the caller's."""
        return contextlib.nullcontext()

    def begin(self) -> None:
        """Nothing."""

    def evaluates(self, callback: Any) -> bool:
        """Only at the end."""
        return False

    def save(self) -> None:
        """Nothing is kept."""

    def report(self) -> None:
        """Nothing is said."""


def fit(config: Config | Mapping[str, Any], device: str | None = None) -> Result:
    """Train and evaluate in memory, without a folder, a log or checkpoints: resampling does so thousands of times.

    Args:
        config: resolved (a mapping is taken as it is, unchecked).
        device: instead of the config's.
    Raises:
        DivergenceError: the loss became infinite or NaN.
    """
    own = (config.data if isinstance(config, Config) else config)["device"]
    with use(get(device or own)) as chosen:
        return Fit(Experiment.from_config(config, chosen)).run()


def fit_all(
    configs: Sequence[Mapping[str, Any]],
    device: str | None = None,
    at_once: int = 1,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Result | DivergenceError]:
    """:func:`fit` each config; yields in order what came of each, the error of one that diverged.

    Args:
        configs: resolved, on one device; with ``at_once`` of one architecture and batch size.
        device: instead of the configs'.
        at_once: how many are trained as one model with a leading axis of replicas.
        note: is told, once, why they are fitted one after another after all.
    """
    start = 0
    while start < len(configs) and at_once > 1:
        try:
            found = _stacked(configs[start : start + at_once], device)
        except NotStackable as error:
            note(f"fits to training sets drawn anew are made one after another: {error}")
            break
        yield from found
        start += at_once
    for config in configs[start:]:
        try:
            fitted: Result | DivergenceError = fit(config, device)
        except DivergenceError as error:
            fitted = error
        yield fitted


def _stacked(configs: Sequence[Mapping[str, Any]], device: str | None) -> list[Result | DivergenceError]:
    """The fits of configs as one model.

    Raises:
        NotStackable: they cannot be one.
    """
    lockstep, fits = Lockstep(), []
    found: dict[Any, Result | DivergenceError] = {}
    with use(get(device or configs[0]["device"])) as chosen:
        for config in configs:
            draws = random.Draws()
            with random.drawing(draws):
                experiment = Experiment.from_config(config, chosen)
                experiment.evaluator = Together(lockstep)
                fits.append(Fit(experiment))
            lockstep.add(fits[-1], draws)
        for fitted, ended_by in lockstep.train(lambda: None):
            if ended_by is not None and not isinstance(ended_by, DivergenceError):
                raise ended_by
            result = fitted.result if isinstance(fitted, Fit) else None
            found[fitted] = ended_by or result  # type: ignore[assignment]
    return [found[each] for each in fits]
