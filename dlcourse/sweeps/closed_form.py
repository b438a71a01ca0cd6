"""Solve the polynomial fits of a sweep together: one triangular factor a training set serves all degrees.

A stacked point is its numbers in the sweep's own files (metrics, number of parameters, its share of the time). It has
no folder: no weights, checkpoint, log or report; ``dlcourse run`` with its overrides makes them. What a point's numbers
are the ordinary run defines; a test checks that both give the same.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from dlcourse import registry
from dlcourse.backend import Backend
from dlcourse.data import prepare
from dlcourse.data.dataset import Data, Dataset
from dlcourse.sweeps import resample
from dlcourse.sweeps.statistics import decompose
from dlcourse.training.atomic import finite

MIN_POINTS = 500
"""From how many points on a sweep is stacked unasked: below, run folders that one can look into cost little."""

_BATCH = 64  # training sets solved at once: their arrays stay in cache

Outcome = dict[str, Any]


def unsupported_reason(config: Mapping[str, Any], device: Backend) -> str | None:
    """What keeps a point from being stacked, or None.

    Args:
        config: the point's, resolved.
        device: where it would run.
    """
    model, optimizer, data, train = (config[key] for key in ("model", "optimizer", "data", "train"))
    hook = _hook(config)
    if not hook:
        return f"optimizer {optimizer['name']}: it has no stacked solution"
    if not hasattr(registry.lookup("model", model["name"]), hook):
        return f"model {model['name']}: it has no stacked solution by {optimizer['name']}"
    if optimizer.get("method", "qr") != "qr":
        return f"optimizer.method {optimizer['method']}: the stacked solution is by qr"
    if config["precision"] != "float64":
        return f"precision {config['precision']}: stacked points are float64"
    fitting = [set(spec) == {"name"} and _takes_many(spec["name"]) for spec in config["metrics"]]
    if not fitting or not all(fitting):
        known = ", ".join(filter(_takes_many, registry.names("metric")))
        return f"metrics: stacked points know {known}, at least one, without parameters"
    named = data.get("target", data.get("target_name"))
    if isinstance(named, list | tuple) and len(named) > 1:
        return "data.target: several targets are measured each by itself, which stacked points are not"
    if not device.is_host:
        return f"device {device.kind}: stacked points are solved on the CPU"
    unwanted = {
        "data.augment": data["augment"],
        "data.bootstrap": data["bootstrap"] is not None,
        "logging": config["logging"],
        **{f"train.{key}": train[key] for key in ("l2", "l1", "ema", "swa")},
    }
    return next((f"{key}: has no place in a stacked point" for key, value in unwanted.items() if value), None)


def _takes_many(metric: str) -> bool:
    takes_many = getattr(registry.lookup("metric", metric), "takes_many", None)  # a plugin's may be no Metric
    return takes_many is not None and takes_many()


def _hook(config: Mapping[str, Any]) -> str:
    """The method of the model by which the optimizer solves many at once; empty where it has none."""
    return getattr(registry.lookup("optimizer", config["optimizer"]["name"]), "hook_for_many", "")


def solve(configs: Sequence[Mapping[str, Any]]) -> list[Outcome | None]:
    """The outcomes of points for which :func:`unsupported_reason` has nothing to say.

    Returns:
        In order, as :func:`~dlcourse.sweeps.point.execute` gives them; None for a point that has to run by itself:
        its data cannot be used, or do not determine all its coefficients (that run tells the user so).
    """
    began = time.perf_counter()
    sets: dict[str, list[int]] = defaultdict(list)
    for index, config in enumerate(configs):
        sets[repr([config["data"], config["seed"]])].append(index)
    # Training sets of one shape, with points of the same settings, make a stack.
    stacks: dict[Any, list[tuple[Data, list[int]]]] = defaultdict(list)
    outcomes: list[Outcome | None] = [None] * len(configs)
    read: dict[str, Dataset] = {}  # the last, of which the folds come one after another
    alike: dict[str, Data] = {}  # one of those that differ in the data set's own seed alone
    last: tuple[list, str] = [], ""  # the settings of a set's points, and their name: mostly those of the set before
    for members in sets.values():
        config = configs[members[0]]
        source = repr([{**config["data"], "kfold": None}, config["seed"]])
        kind = repr([{**config["data"], "seed": None}, config["seed"]])
        try:
            data = prepare(config["data"], config["seed"], dataset=read.get(source), like=alike.get(kind))
        except Exception:  # the ordinary run says what is wrong, for each point
            continue
        if source not in read and not data.dataset.fill_missing:
            read = {source: data.dataset}
        alike.setdefault(kind, data)
        if data.task != "regression":
            continue
        shapes = tuple((name, split.x.shape, split.y.shape) for name, split in data.splits.items())
        own = [_setting(configs[index]) for index in members]
        if own != last[0]:
            last = own, repr(own)
        stacks[shapes, last[1]].append((data, members))
    for found in stacks.values():
        for start in range(0, len(found), _BATCH):
            _solve_stack(configs, found[start : start + _BATCH], outcomes)
    share = (time.perf_counter() - began) / max(1, len(configs))
    for outcome in outcomes:
        if outcome is not None:
            outcome["seconds"] = share
    return outcomes


def _setting(config: Mapping[str, Any]) -> tuple:
    return config["model"], config["optimizer"], config["metrics"], config["train"]["evaluate"]


def _solver(config: Mapping[str, Any]) -> tuple[str, str]:
    """What points have in common that are solved at once: the kind of model and the optimizer."""
    return config["model"]["name"], repr(config["optimizer"])


def _solve_stack(
    configs: Sequence[Mapping[str, Any]], stack: Sequence[tuple[Data, list[int]]], outcomes: list[Outcome | None]
) -> None:
    """Solve training sets of one shape at every setting, and put the outcomes in their places."""
    splits = list(stack[0][0].splits)
    x = {split: np.stack([_inputs(data, data.splits[split].x) for data, _ in stack]) for split in splits}  # (G, N, D)
    y = {split: np.stack([data.splits[split].y for data, _ in stack]).astype(float) for split in splits}  # (G, N, K)
    first = [configs[index] for index in stack[0][1]]  # a config of each setting
    for solver in dict.fromkeys(map(_solver, first)):
        chosen = [(i, config) for i, config in enumerate(first) if _solver(config) == solver]
        ridge = chosen[0][1]["optimizer"]["ridge"]
        fit = getattr(registry.lookup("model", solver[0]), _hook(chosen[0][1]))
        predicted, sound, parameters = fit([config["model"] for _, config in chosen], x, y["train"], ridge)
        wanted = {spec["name"]: spec for _, config in chosen for spec in config["metrics"]}
        metrics = {name: registry.build("metric", spec) for name, spec in wanted.items()}
        values: dict[tuple[str, str], list[list[float]]] = {}
        infinite = False
        for split in splits:
            errors = y[split][..., None] - predicted[split]
            sound &= np.isfinite(np.einsum("gnkp,gnkp->gp", errors, errors))
            found = {(split, name): each.compute_many(errors, y[split]) for name, each in metrics.items()}
            infinite |= any(not np.isfinite(each).all() for each in found.values())
            values |= {key: each.tolist() for key, each in found.items()}
        usable = sound.tolist()
        for p, (i, config) in enumerate(chosen):
            keys = [(s, spec["name"]) for s in splits if s in config["train"]["evaluate"] for spec in config["metrics"]]
            columns = [(".".join(key), values[key]) for key in keys]
            for g in (g for g in range(len(stack)) if usable[g][p]):
                measured = {key: rows[g][p] for key, rows in columns}
                measured = finite(measured) if infinite else measured
                done = {"status": "done", "error": None, "metrics": measured, "parameters": parameters[p]}
                outcomes[stack[g][1][i]] = done


def _inputs(data: Data, x: Any) -> np.ndarray:
    """Rows (N, D) as the model sees them."""
    return data.normalizer.apply(np.asarray(x, dtype=float)).reshape(len(x), -1)


def resampled(
    configs: Sequence[Mapping[str, Any]], data_seeds: Sequence[int], x: np.ndarray
) -> list[tuple[dict[str, Any], dict[str, np.ndarray]] | None]:
    """What :func:`dlcourse.sweeps.resample.curves` finds of each point; points of one data set share the draws, and
    all degrees their factors.

    Args:
        configs: as of :func:`solve`.
        data_seeds: one for each training set.
        x: where the fits are compared, (M, *in_shape).
    Returns:
        In order; None for a point whose fits have to run by themselves, as those of :func:`solve`.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for index, config in enumerate(configs):
        alike[repr([config["data"], config["seed"], _solver(config)])].append(index)
    found: list[Any] = [None] * len(configs)
    for members in alike.values():
        try:
            data, outputs, sound = _refitted([configs[index] for index in members], data_seeds, x)
        except Exception:  # the ordinary fits say what is wrong
            continue
        curve, noise = np.asarray(data.dataset.curve(x), dtype=float), float(data.dataset.noise)
        targets = resample.fresh_targets(curve, noise, data_seeds)
        for index, fits, usable in zip(members, outputs, sound, strict=True):
            if usable:
                record = asdict(decompose(fits, curve, noise, targets))
                found[index] = record, {"outputs": fits.astype(np.float32), "curve": curve}
    return found


def _refitted(
    configs: Sequence[Mapping[str, Any]], data_seeds: Sequence[int], x: np.ndarray
) -> tuple[Any, np.ndarray, np.ndarray]:
    """P models fitted to R training sets: the first of these, what the fits predict at x, (P, R, M, K), and booleans
    (P,): whether all training sets determine the model."""
    section, seed, ridge = configs[0]["data"], configs[0]["seed"], configs[0]["optimizer"]["ridge"]
    fit = getattr(registry.lookup("model", configs[0]["model"]["name"]), _hook(configs[0]))
    like, outputs, sound = None, np.empty(0), np.ones(len(configs), dtype=bool)
    for start in range(0, len(data_seeds), _BATCH):
        drawn = []
        for own in data_seeds[start : start + _BATCH]:
            drawn.append(prepare({**section, "seed": own}, seed, like=like))
            like = like or drawn[0]
        rows = {
            "train": np.stack([_inputs(data, data.splits["train"].x) for data in drawn]),
            "there": np.stack([_inputs(data, x) for data in drawn]),
        }
        y = np.stack([data.splits["train"].y for data in drawn]).astype(float)
        predicted, determined, _ = fit([config["model"] for config in configs], rows, y, ridge)
        part = predicted["there"]  # (G, M, K, P), turned about while it is in the cache
        if start == 0:
            outputs = np.empty((len(configs), len(data_seeds), *part.shape[1:3]), dtype=part.dtype)
        outputs[:, start : start + _BATCH] = np.moveaxis(part, 3, 0)
        sound &= determined.all(axis=0) & np.isfinite(part).all(axis=(0, 1, 2))
    return like, outputs, sound
