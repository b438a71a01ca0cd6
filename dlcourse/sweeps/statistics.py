"""The numbers behind a sweep's conclusions: means over folds, the best point, bias, variance and noise.

Pure functions of numbers; nothing here knows of configs or folders.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROUNDING = 8 * float(np.finfo(float).eps)
"""Numbers that differ by less than this share of them are equal: the mean of equal ones is off by its own rounding."""


@dataclass(frozen=True)
class Summary:
    """Mean of n repetitions and its standard error ``se = sd / sqrt(n)``, sd with n - 1; None where n is below 2."""

    mean: float
    se: float | None
    n: int

    @property
    def sd(self) -> float | None:
        """Standard deviation of one repetition, with n - 1; None where n is below 2."""
        return None if self.se is None else self.se * math.sqrt(self.n)


def summarize(values: Sequence[float]) -> Summary:
    """Mean and standard error over folds or seeds (Hastie, Tibshirani & Friedman, section 7.10).

    Folds share training data, so their errors are correlated and the standard error is an estimate from below.
    """
    n = len(values)
    if n == 0:
        raise ValueError("summarize needs at least one value")
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    se = float(array.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    if se is not None and np.ptp(array) <= _ROUNDING * abs(mean):
        se = 0.0
    return Summary(mean, se, n)


def best_index(values: Sequence[float | None], higher_is_better: bool) -> int | None:
    """Where the best value is; None and non-finite values do not count, of equal ones the first wins."""
    candidates = [(value, index) for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    if not candidates:
        return None
    return min(candidates, key=lambda pair: (-pair[0] if higher_is_better else pair[0], pair[1]))[1]


def one_standard_error(
    summaries: Sequence[Summary | None], complexity: Sequence[tuple[float, ...]], higher_is_better: bool
) -> int | None:
    """The simplest model that is no worse than the best by more than one standard error of the best.

    Breiman, Friedman, Olshen & Stone 1984; Hastie et al., section 7.10: the data cannot tell these models apart, so
    take the least complex of them.

    Args:
        summaries: one for each candidate; None for one that has no result.
        complexity: one sortable key for each candidate (:func:`complexity`); of equal keys the better mean wins.

    Returns:
        Its index; None if there is no best, if the best has no standard error (a single fold), or if all candidates
        are equally complex, so that the rule has nothing to choose by.
    """
    best = best_index([None if summary is None else summary.mean for summary in summaries], higher_is_better)
    chosen = None if best is None else summaries[best]
    if chosen is None or chosen.se is None or len(set(complexity)) < 2:
        return None
    sign = -1.0 if higher_is_better else 1.0
    limit = sign * chosen.mean + chosen.se
    within = [
        (complexity[index], sign * summary.mean, index)
        for index, summary in enumerate(summaries)
        if summary is not None and math.isfinite(summary.mean) and sign * summary.mean <= limit
    ]
    return min(within)[2]


@dataclass(frozen=True)
class Decomposition:
    """Where the expected squared error of a fitted model comes from, each averaged over the inputs.

    Attributes:
        bias2: squared distance of the mean prediction from the true curve.
        bias2_se: its standard error; a bias2 below it cannot be distinguished from 0. None for two training sets.
        variance: spread of the predictions about their mean.
        noise: variance of the targets about the curve; no model gets below it.
        expected: bias2 + variance + noise.
        mse: mean squared error measured against fresh noisy targets, which ``expected`` foretells.
        fits: number of training sets R.
    """

    bias2: float
    bias2_se: float | None
    variance: float
    noise: float
    expected: float
    mse: float
    fits: int


def decompose(outputs: np.ndarray, curve: np.ndarray, noise: float, targets: np.ndarray) -> Decomposition:
    """Bias, variance and noise of a model over R training sets:

        E[(y - f_D(x))^2] = (E_D f_D(x) - f(x))^2 + E_D (f_D(x) - E_D f_D(x))^2 + noise^2

    (Geman, Bienenstock & Doursat 1992; lecture 2). Both first terms are estimated without bias of their own: the
    variance divides by R - 1, and from the squared distance of the mean prediction its expected share variance / R is
    taken off, without which a model that only scatters would seem to be biased. Their sum is still the mean squared
    distance from the curve, exactly, unless the bias comes out below zero and is set to it.

    Args:
        outputs: predictions f_D(x), shape (R, M) or (R, M, K), one row for each training set, R at least 2.
        curve: the true E[y|x], shape (M,) or (M, K).
        noise: the noise's standard deviation.
        targets: noisy targets at the same inputs that no training set held, shape of ``outputs``.
    """
    outputs, targets = np.asarray(outputs, dtype=float), np.asarray(targets, dtype=float)
    variance = float(np.mean(outputs.var(axis=0, ddof=1)))
    bias2 = max(0.0, float(np.mean((outputs.mean(axis=0) - curve) ** 2)) - variance / len(outputs))
    return Decomposition(
        bias2=bias2,
        bias2_se=_bias2_error((outputs - curve).reshape(len(outputs), -1)),
        variance=variance,
        noise=float(noise) ** 2,
        expected=bias2 + variance + float(noise) ** 2,
        mse=float(np.mean((targets - outputs) ** 2)),
        fits=len(outputs),
    )


def _bias2_error(away: np.ndarray) -> float | None:
    """The standard error of bias^2 by the jackknife, from the fits' distances from the curve, (R, M).

    bias^2 = (|S|^2 - Q) / (R (R - 1) M) with S the sum of the R rows and Q the sum of their squared lengths, so leaving
    out a row takes no second pass.
    """
    count, width = away.shape
    if count < 3:
        return None
    total, lengths = away.sum(axis=0), (away * away).sum(axis=1)
    without = total @ total - 2 * away @ total + 2 * lengths - lengths.sum()
    without /= (count - 1) * (count - 2) * width
    return math.sqrt((count - 1) * without.var())


def estimator_errors(estimates: Sequence[float], truth: float) -> dict[str, float]:
    """Bias, variance, ``mse = bias^2 + variance`` and standard error of an estimator over many samples.

    The standard error here is the estimator's own standard deviation: for the mean of m values it is sigma / sqrt(m).
    """
    array = np.asarray(estimates, dtype=float)
    bias, variance = float(array.mean() - truth), float(array.var())
    return {"bias": bias, "variance": variance, "mse": bias**2 + variance, "se": math.sqrt(variance)}
