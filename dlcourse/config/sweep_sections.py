"""The sections that make many runs of a config, ``sweep`` and ``ensemble``; see :mod:`dlcourse.config.sections`."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le, MinLen

from dlcourse.types import Seed

__all__ = [
    "MAX_MEMBERS",
    "MAX_POINTS",
    "EnsembleOptions",
    "RandomSearch",
    "Range",
    "SearchOptions",
    "SweepOptions",
]


@dataclass(frozen=True)
class Range:
    """A range to draw from.

    Args:
        low: lower end.
        high: upper end.
        log: the logarithm is uniform, instead of the number.
        int: whole numbers, both ends included.
    """

    low: float
    high: float
    log: bool = False
    int: bool = False


MAX_POINTS = 100_000
"""Points of a sweep: at a tenth of a second each, hours; more is a slip."""
MAX_RESAMPLES = 100_000
MAX_MEMBERS = 1_000

Values = Annotated[list[Any], MinLen(1)]
"""What a sweep tries."""


@dataclass(frozen=True)
class RandomSearch:
    """Settings drawn at random.

    Args:
        samples: how many.
        space: for each path of the config, a list of choices or {low, high, log, int}.
    """

    samples: Annotated[int, Ge(1), Le(MAX_POINTS)]
    space: Annotated[dict[str, Values | Range], MinLen(1)]


MAX_TRIALS = 10_000
"""Of a search: what is drawn next is found from all trials before."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Settings that a search picks one after another, each from what the ones before have reached (Optuna).

    Args:
        name: tpe, the tree of Parzen estimators (Bergstra et al. 2011); cmaes, an evolution strategy for numbers
            (Hansen and Ostermeier 2001), which draws choices at random; random.
        trials: how many settings are run.
        space: for each path of the config, a list of choices or {low, high, log, int}.
        metric: what is to be best, higher or lower as the metric says; by default what the best is chosen by, see
            train.best.
        split: where it is measured; by default val.
        pruner: what ends a trial early by its evaluations so far: median, where its best is worse than the median of
            the other trials at that evaluation; hyperband, where it is not among the best third that goes on (Li et
            al. 2018); none.
        seed: decides what is drawn; by default the config's.
    """

    name: Literal["tpe", "cmaes", "random"] = "tpe"
    trials: Annotated[int, Ge(1), Le(MAX_TRIALS)]
    space: Annotated[dict[str, Values | Range], MinLen(1)]
    metric: str | None = None
    split: Literal["train", "val", "test"] | None = None
    pruner: Literal["hyperband", "median", "none"] = "none"
    seed: Seed | None = None


@dataclass(frozen=True)
class SweepOptions:
    """Many runs of one config. All that is given is combined.

    Args:
        grid: for each path of the config, such as model.degree, a list of values; every combination is run.
        zip: the same, but the lists go side by side and are equally long.
        random: settings drawn at random.
        search: settings picked one after another by what was reached so far; it does not combine with the others.
        seeds: run every setting with so many seeds (seed, seed + 1, ...), or with those of a list; tables have means.
        kfold: run every setting once for each of so many folds.
        resample: fit every setting on so many newly drawn training sets; gives bias and variance.
        execution: whether the runs are taken one by one, or those of one architecture as one model with a leading axis
            of replicas, as --stacked does.
    """

    grid: dict[str, Values] | None = None
    zip: dict[str, Values] | None = None
    random: RandomSearch | None = None
    search: SearchOptions | None = None
    seeds: Annotated[int, Ge(2), Le(MAX_POINTS)] | Annotated[list[Seed], MinLen(2)] | None = None
    kfold: Annotated[int, Ge(2), Le(MAX_POINTS)] | None = None
    resample: Annotated[int, Ge(2), Le(MAX_RESAMPLES)] | None = None
    execution: Literal["points", "stacked"] = "points"


@dataclass(frozen=True)
class EnsembleOptions:
    """Several models of one config, whose probabilities (outputs in a regression) are averaged.

    Args:
        size: how many; the k-th is trained with train.seed = seed + k, on the same split.
        bagging: train each on a resample of its own of the training split, drawn with replacement (Breiman 1996).
    """

    EXAMPLE: ClassVar[str] = "{size: 5, bagging: true}"

    size: Annotated[int, Ge(2), Le(MAX_MEMBERS)]
    bagging: bool = False
