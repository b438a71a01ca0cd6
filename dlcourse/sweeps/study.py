"""A search's study: Optuna picks settings and prunes trials, without files of its own."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

from dlcourse.backend import random
from dlcourse.errors import UserError
from dlcourse.sweeps.axes import rounded

_ENOUGH = 4
"""Of fewer trials nothing can be said of what matters."""


class Study:
    """Draws settings, is told what they reached, and says which trials to end early.

    Each trial has a sampler of its own, whose random numbers follow from the seed and the trial's number; so a study
    that is told the same again, from what a sweep stored, goes on as if it had never stopped.

    Args:
        section: ``sweep.search`` of a resolved config.
        seed: of the draws.
        higher_is_better: the metric's direction.
    Raises:
        UserError: Optuna is not installed.
    """

    def __init__(self, section: Mapping[str, Any], seed: int, higher_is_better: bool):
        self._section, self._seed = section, seed
        self._sign = 1.0 if higher_is_better else -1.0
        self._optuna = installed(section["name"])
        pruners = self._optuna.pruners
        made = {"hyperband": pruners.HyperbandPruner, "median": pruners.MedianPruner, "none": pruners.NopPruner}
        # Hyperband puts trials into brackets by the study's name.
        self._study = self._optuna.create_study(
            direction="maximize" if higher_is_better else "minimize",
            pruner=made[section["pruner"]](),
            study_name="search",
        )
        self._trials: list[Any] = []

    def ask(self, drawn: Mapping[str, int | float] | None = None) -> dict[str, int | float]:
        """Draw the next trial: by path a number, of choices the index.

        Args:
            drawn: what was drawn for this trial before, to take again.
        """
        self._study.sampler = self._sampler(len(self._trials))
        if drawn is not None:
            self._study.enqueue_trial(dict(drawn))
        trial = self._study.ask()
        _ = trial.relative_params  # drawn in any case: an evolution strategy keeps its state beside what it draws
        self._trials.append(trial)
        return {path: _suggest(trial, path, spec) for path, spec in self._section["space"].items()}

    def judge(self, number: int, evaluation: int, value: float) -> bool:
        """Whether a trial is to end, by its evaluation of this number, from 1."""
        self._trials[number].report(value, evaluation)
        return bool(self._trials[number].should_prune())

    def tell(self, number: int, status: str, value: float | None, evaluations: int = 0) -> None:
        """A trial came to its end.

        Args:
            status: of its point.
            value: what it reached; None where that is no finite number, which is worse than any.
            evaluations: how many were judged.
        """
        trial, states = self._trials[number], self._optuna.trial.TrialState
        if status == "failed":
            self._study.tell(trial, state=states.FAIL)
        elif status == "done" and value is not None and math.isfinite(value):
            self._study.tell(trial, value)
        else:
            if status != "pruned":
                trial.report(-self._sign * math.inf, evaluations + 1)
            self._study.tell(trial, state=states.PRUNED)

    def importance(self) -> dict[str, float]:
        """Of each path that varies the share that it has in what makes trials good (PED-ANOVA, Watanabe et al. 2023),
        largest first; empty where too few trials came to their end."""
        if len(self._study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))) < _ENOUGH:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
                found = self._optuna.importance.get_param_importances(self._study, evaluator=evaluator)
            except (RuntimeError, ValueError):  # such as where all trials reached the same
                return {}
        return {path: float(share) for path, share in found.items() if math.isfinite(share)}

    def _sampler(self, number: int) -> Any:
        seed = int(random.generator(self._seed, f"search {number}").integers(2**31))
        samplers = self._optuna.samplers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an argument is new there
            if self._section["name"] == "random":
                return samplers.RandomSampler(seed=seed)
            if self._section["name"] == "tpe":
                return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            pruned = self._section["pruner"] != "none"
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, consider_pruned_trials=pruned)


def value_of(spec: Any, drawn: int | float) -> Any:
    """What a number that was drawn stands for in a config."""
    if isinstance(spec, list):
        return spec[int(drawn)]
    return int(drawn) if spec["int"] else rounded(drawn, spec["low"], spec["high"])


def _suggest(trial: Any, path: str, spec: Any) -> int | float:
    if isinstance(spec, list):
        return int(trial.suggest_categorical(path, tuple(range(len(spec)))))
    if spec["int"]:
        return int(trial.suggest_int(path, int(spec["low"]), int(spec["high"]), log=spec["log"]))
    return float(trial.suggest_float(path, spec["low"], spec["high"], log=spec["log"]))


def installed(name: str) -> Any:
    """Optuna, with what a search of this name needs.

    Raises:
        UserError: it is not installed; says how to get it.
    """
    try:
        import optuna

        if name == "cmaes":
            import cmaes  # noqa: F401
    except ImportError as error:
        package = (error.name or "optuna").partition(".")[0]
        message = f"sweep.search needs the package {package}, which is not installed"
        raise UserError(f'{message}: pip install "dlcourse[search]"') from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
