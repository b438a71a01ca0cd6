"""Solve the polynomial fits of a sweep together: one triangular factor a training set serves all degrees.

A stacked point is its numbers in the sweep's own files (metrics, number of parameters, its share of the time). It has
no folder: no weights, checkpoint, log or report; ``dlcourse run`` with its overrides makes them. What a point's numbers
are is said by the ordinary run; a test holds that both give the same.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlcourse.backend.linalg import nested_least_squares
from dlcourse.data import prepare
from dlcourse.data.dataset import Data
from dlcourse.models.polynomial import basis_terms
from dlcourse.text import canonical
from dlcourse.training.atomic import finite

MIN_POINTS = 500
"""From how many points on a sweep is stacked unasked: below, run folders that one can look into cost little."""

_BATCH = 64  # training sets solved at once: their arrays stay in cache

Outcome = dict[str, Any]


def _r2(error: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """As :class:`~dlcourse.metrics.r2.R2`: the mean over outputs of 1 - error / spread."""
    if targets.shape[1] < 2:
        return np.full((len(error), error.shape[3]), np.nan)
    shifted = targets - targets[:, :1]
    spread = ((shifted - shifted.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)[:, :, None]  # (G, K, 1)
    squares = np.einsum("gnkp,gnkp->gkp", error, error)
    share = 1 - squares / np.where(spread == 0, 1, spread)
    return np.where(spread == 0, squares == 0, share).mean(axis=1)


def _mse(error: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.einsum("gnkp,gnkp->gp", error, error) / (error.shape[1] * error.shape[2])


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mse": _mse,
    "half_sse": lambda error, targets: np.einsum("gnkp,gnkp->gp", error, error) / 2,
    "rmse": lambda error, targets: np.sqrt(_mse(error, targets)),
    "mae": lambda error, targets: np.abs(error).mean(axis=(1, 2)),
    "r2": _r2,
}
"""Of errors (G, N, K, P) and targets (G, N, K), one value for each training set and size, (G, P)."""


def unsupported_reason(config: Mapping[str, Any], device: str) -> str | None:
    """What keeps a point from being stacked, or None.

    Args:
        config: the point's, resolved.
        device: the kind that it would run on.
    """
    model, optimizer, data, train = (config[key] for key in ("model", "optimizer", "data", "train"))
    names = [each["name"] if isinstance(each, Mapping) else each for each in config["metrics"]]
    labeled = any(isinstance(each, Mapping) and set(each) != {"name"} for each in config["metrics"])
    if model["name"] != "polynomial":
        return f"model {model['name']}: only polynomial is solved stacked"
    if optimizer["name"] != "least_squares":
        return f"optimizer {optimizer['name']}: only least_squares is solved stacked"
    if optimizer.get("method", "qr") != "qr":
        return f"optimizer.method {optimizer['method']}: the stacked solution is by qr"
    if config["precision"] != "float64":
        return f"precision {config['precision']}: stacked points are float64"
    if not names or labeled or not set(names) <= set(METRICS):
        return f"metrics: stacked points know {', '.join(METRICS)}, at least one, without parameters"
    if device != "cpu":
        return f"device {device}: stacked points are solved on the CPU"
    if config["sweep"] is not None and config["sweep"].get("resample"):
        return "sweep.resample: its fits run one by one; an axis data.seed with kfold draws training sets that stack"
    for name, value in (("attack", config.get("attack")), ("data.augment", data.get("augment"))):
        if value:
            return f"{name}: has no place in a stacked point"
    for key in ("l2", "l1", "ema"):
        if train.get(key):
            return f"train.{key}: has no place in a stacked point"
    return None


def solve(configs: Sequence[Mapping[str, Any]]) -> list[Outcome | None]:
    """The outcomes of points for which :func:`unsupported_reason` has nothing to say.

    Returns:
        In order, as :func:`~dlcourse.sweeps.point.execute` gives them; None for a point that has to run by itself:
        its data cannot be used, or do not determine all its coefficients (that run tells the user so).
    """
    began = time.perf_counter()
    sets: dict[str, list[int]] = defaultdict(list)
    for index, config in enumerate(configs):
        sets[canonical([config["data"], config["seed"]])].append(index)
    # Training sets of one shape, with points of the same settings, make a stack.
    stacks: dict[Any, list[tuple[Data, list[int]]]] = defaultdict(list)
    outcomes: list[Outcome | None] = [None] * len(configs)
    for members in sets.values():
        config = configs[members[0]]
        try:
            data = prepare(config["data"], config["seed"])
        except Exception:  # the ordinary run says what is wrong, for each point
            continue
        if data.task != "regression":
            continue
        shapes = tuple((name, split.x.shape, split.y.shape) for name, split in data.splits.items())
        settings = tuple(_setting(configs[index]) for index in members)
        stacks[shapes, settings].append((data, members))
    for (_, settings), found in stacks.items():
        for start in range(0, len(found), _BATCH):
            _solve_stack(configs, found[start : start + _BATCH], settings, outcomes)
    share = (time.perf_counter() - began) / max(1, len(configs))
    for outcome in outcomes:
        if outcome is not None:
            outcome["seconds"] = share
    return outcomes


def _setting(config: Mapping[str, Any]) -> tuple[str, float, int, tuple[str, ...]]:
    model, metrics = config["model"], config["metrics"]
    names = tuple(each["name"] if isinstance(each, Mapping) else each for each in metrics)
    return model.get("basis", "legendre"), config["optimizer"].get("ridge", 0.0), model["degree"], names


def _solve_stack(
    configs: Sequence[Mapping[str, Any]],
    stack: Sequence[tuple[Data, list[int]]],
    settings: Sequence[tuple[str, float, int, tuple[str, ...]]],
    outcomes: list[Outcome | None],
) -> None:
    """Solve training sets of one shape at every setting, and put the outcomes in their places."""
    splits = list(stack[0][0].splits)
    x = {name: np.stack([_inputs(data, name) for data, _ in stack]) for name in splits}  # (G, N, D)
    y = {name: np.stack([data.splits[name].y for data, _ in stack]).astype(float) for name in splits}  # (G, N, K)
    rows, features = x["train"].shape[1:]
    outputs = y["train"].shape[2]
    for basis, ridge in dict.fromkeys((basis, ridge) for basis, ridge, _, _ in settings):
        chosen = [i for i, setting in enumerate(settings) if setting[:2] == (basis, ridge)]
        degrees = [settings[i][2] for i in chosen]
        # Without a penalty no more columns than rows: the others run by themselves, and say what they lack.
        most = max(degrees) if ridge else min(max(degrees), (rows - 1) // features)
        if most < 1:
            continue
        design = _design(x, basis, most)
        others = [name for name in splits if name != "train"]
        rest = np.concatenate([design[name] for name in others] or [design["train"][:, :0]], axis=1)
        there, elsewhere, sound = nested_least_squares(design["train"], y["train"], rest, ridge)
        columns = features * np.arange(1, most + 1)  # the last column of each degree
        predicted, start = {"train": there[..., columns]}, 0
        for name in others:
            predicted[name] = elsewhere[:, start : start + y[name].shape[1]][..., columns]
            start += y[name].shape[1]
        names = dict.fromkeys(name for i in chosen for name in settings[i][3])
        values = {
            f"{split}.{name}": METRICS[name](y[split][..., None] - predicted[split], y[split]).tolist()
            for split in splits
            for name in names
        }
        usable = (sound[:, columns] & np.isfinite(_finiteness(values))).tolist()
        for g, (_, members) in enumerate(stack):
            for i, degree in zip(chosen, degrees, strict=True):
                if degree > most or not usable[g][degree - 1]:
                    continue
                asked = [split for split in splits if split in configs[members[i]]["train"]["evaluate"]]
                metrics = {f"{p}.{n}": values[f"{p}.{n}"][g][degree - 1] for p in asked for n in settings[i][3]}
                outcomes[members[i]] = {
                    "status": "done",
                    "error": None,
                    "metrics": finite(metrics),
                    "parameters": outputs * (features * degree + 1),
                }


def _finiteness(values: Mapping[str, Any]) -> np.ndarray:
    """One number a training set and size that is infinite or NaN where any metric is, but for r2 of one sample."""
    told = [np.asarray(value) for key, value in values.items() if not key.endswith(".r2")]
    return np.sum(told, axis=0) if told else np.zeros(1)


def _inputs(data: Data, split: str) -> np.ndarray:
    """Rows (N, D) as the model sees them."""
    x = np.asarray(data.splits[split].x, dtype=float)
    return data.normalizer.apply(x).reshape(len(x), -1)


def _design(x: Mapping[str, np.ndarray], basis: str, degree: int) -> dict[str, np.ndarray]:
    """(G, N, 1 + D degree) of every split: the constant, then all features' p_1, then all features' p_2, ..."""
    low, high = x["train"].min(axis=1, keepdims=True), x["train"].max(axis=1, keepdims=True)
    half = (high - low) / 2
    center, half = (low + high) / 2, np.where(half > 0, half, 1)
    design = {}
    for name, rows in x.items():
        z = (rows - center) / half
        terms = basis_terms(basis, degree, np.ones_like(z), lambda term, z=z: z * term)
        design[name] = np.concatenate([np.ones((*z.shape[:2], 1)), *terms], axis=2)
    return design
