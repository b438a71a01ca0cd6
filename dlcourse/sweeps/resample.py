"""Repeat an experiment over many new training sets: bias and variance of a model, the spread of an estimator.

Nothing is written for a single fit: R of them take about as long as the arithmetic.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Data
from dlcourse.errors import ConfigError, DivergenceError, Problem
from dlcourse.sweeps.statistics import decompose, estimator_errors

MAX_INPUTS = 200
"""How many inputs the fits are compared at."""

FitAll = Callable[[Sequence[Mapping[str, Any]]], Iterable[Any]]
"""``experiment.fit_all``: of each resolved config an object with ``model``, ``estimates`` and ``experiment``, or a
DivergenceError."""


def seeds(seed: int, count: int) -> list[int]:
    """The seed of each training set, the same for all points of a sweep, so that they are compared on the same data."""
    return generator(seed, "sweep resample").integers(2**31, size=count).tolist()


def check(data: Data) -> None:
    """Raise ConfigError unless the truth behind a data set is known and it can be drawn anew."""
    known = data.dataset.true_parameters if data.task == "estimation" else data.dataset.curve
    if not known or (data.task != "estimation" and data.dataset.noise is None):
        message = (
            "needs data drawn from a known curve with known noise (such as polynomial_curve, westwood_rent) or from "
            f"known parameters (gaussian_samples); this data set is a {data.task} without them"
        )
        raise ConfigError([Problem("sweep.resample", message)])


def common_inputs(data: Data) -> np.ndarray:
    """Where all fits of a sweep are compared, (M, *in_shape): evenly over the range of the training inputs if there is
    one feature, so that each split of the range counts the same; else at the first test (or training) inputs."""
    if data.in_shape == (1,):
        x = np.asarray(data.splits["train"].x)
        return np.linspace(x.min(), x.max(), MAX_INPUTS, dtype=np.float64)[:, None]
    return data.splits["test" if "test" in data.splits else "train"].x[:MAX_INPUTS]


def with_data_seed(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The config with its data drawn from another seed; all else, such as initial weights, as it was."""
    return {**config, "data": {**copy.deepcopy(dict(config["data"])), "seed": seed}}


def curves(
    config: Mapping[str, Any], data_seeds: Sequence[int], x: np.ndarray, fit_all: FitAll
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fit a regression to every training set and take its squared error apart, see
    :func:`~dlcourse.sweeps.statistics.decompose`.

    Args:
        config: a resolved config.
        data_seeds: one for each training set.
        x: where the fits are compared, (M, *in_shape).
        fit_all: ``experiment.fit_all``.
    Returns:
        The splits as in ``sweep.json``, and the arrays ``outputs`` (R, M, K) and ``curve`` (M, K).
    Raises:
        DivergenceError: fewer than two fits did not diverge.
    """
    outputs, fitted_seeds = [], []
    curve: Any = None
    noise: Any = None
    for seed, fitted in _fits(config, data_seeds, fit_all):
        dataset = fitted.experiment.data.dataset
        if curve is None:
            curve, noise = np.asarray(dataset.curve(x), dtype=float), float(dataset.noise)
        # A model of a whole distribution puts out more than the mean; the mean comes first.
        outputs.append(np.asarray(fitted.experiment.predict(x), dtype=float)[:, : curve.shape[1]])
        fitted_seeds.append(seed)
    fits, targets = np.stack(outputs), fresh_targets(curve, noise, fitted_seeds)
    return asdict(decompose(fits, curve, noise, targets)), {"outputs": fits, "curve": curve}


def fresh_targets(curve: np.ndarray, noise: float, data_seeds: Sequence[int]) -> np.ndarray:
    """Targets that no training set holds, for each one's fit, (R, *curve.shape)."""
    draws = [generator(seed, "sweep resample targets").standard_normal(curve.shape) for seed in data_seeds]
    return curve + noise * np.stack(draws)


def estimators(config: Mapping[str, Any], data_seeds: Sequence[int], fit_all: FitAll) -> dict[str, Any]:
    """Estimate from every sample and hold bias, variance and mean squared error of each estimator against the truth
    and against what the model's ``theory`` says of them.

    Returns:
        ``{"fits": R, "estimates": {name: {"truth", "bias", "variance", "mse", "se", "theory"}}}``, where ``theory`` has
        bias, variance and mse by the formulas, or is None where the model knows none.
    """
    fits = [fitted for _, fitted in _fits(config, data_seeds, fit_all)]
    model, data = fits[0].model, fits[0].experiment.data
    truth = data.dataset.true_parameters
    targets = getattr(model, "estimated", {name: name for name in fits[0].estimates})
    theory = model.theory(truth, len(data.splits["train"])) if hasattr(model, "theory") else {}
    found: dict[str, Any] = {}
    for name, parameter in targets.items():
        if parameter not in truth:
            continue
        formula = None
        if name in theory:
            expectation, variance = theory[name]
            bias = expectation - truth[parameter]
            formula = {"bias": bias, "variance": variance, "mse": bias**2 + variance}
        measured = estimator_errors([each.estimates[name] for each in fits], truth[parameter])
        found[name] = {"truth": truth[parameter], **measured, "theory": formula}
    return {"fits": len(fits), "estimates": found}


def _fits(config: Mapping[str, Any], data_seeds: Sequence[int], fit_all: FitAll) -> Iterator[tuple[int, Any]]:
    """One fit for each seed; those that diverge are left out, and counted by what is missing from ``fits``."""
    last: DivergenceError | None = None
    count = 0
    configs = [with_data_seed(config, seed) for seed in data_seeds]
    for seed, fitted in zip(data_seeds, fit_all(configs), strict=True):
        if isinstance(fitted, DivergenceError):
            last = fitted
            continue
        count += 1
        yield seed, fitted
    if count < 2:
        message = f"only {count} of {len(data_seeds)} fits to training sets drawn anew did not diverge"
        raise DivergenceError(message) from last
