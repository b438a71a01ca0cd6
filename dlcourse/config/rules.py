"""Checks between keys, which no single section's signature can hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dlcourse import registry
from dlcourse.config.check import Finding
from dlcourse.config.labels import attack_labels, metric_labels, other_names
from dlcourse.config.reader import Path
from dlcourse.config.sections import AttackOptions
from dlcourse.config.sweep_sections import EnsembleOptions, SweepOptions
from dlcourse.errors import UserError

# What a closed form, which solves in one step, has no use for, and the value that says so.
_IDLE: dict[str, Any] = {"clip_norm": None, "clip_value": None, "accumulate": 1, "l1": 0.0, "l2": 0.0, "ema": None}
_IDLE |= {"attack": None, "swa": None, "early_stopping": None}
_IDLE |= {"init_from": None, "reinit": [], "freeze": [], "watch": False, "carry_state": False}


def cross_check(config: dict[str, Any], has_folds: bool = False) -> Iterator[Finding]:
    """What is wrong between the keys of a config that is filled in, as far as its sections are right.

    Also fills in ``train.epochs`` where neither epochs nor steps are given, writes ``ensemble: 5`` out, which is a
    sweep over its members, and calls watched metrics by their labels.

    Args:
        config: with defaults; sections that were wrong are missing.
        has_folds: a sweep gives the config folds, and so a validation split.
    """
    yield from _duration(config.get("train", {}))
    yield from _initial_weights(config.get("train", {}))
    yield from _averages(config.get("train", {}))
    yield from _split(config.get("data", {}))
    yield from _model(config.get("model") or {})
    yield from _loss(config)
    yield from _twice("metrics", config.get("metrics", []))
    yield from _twice("logging", config.get("logging", []))
    yield from _twice("attacks", config.get("attacks", []))
    yield from _search(config)
    yield from _watched(config, has_folds)
    yield from _closed_form(config)
    yield from _attacks(config)
    yield from _carried_state(config)
    yield from _groups(config.get("optimizer") or {})
    yield from _searching(config)
    yield from _players(config)
    yield from _ensemble(config)
    task = _task(config.get("data", {}))
    if task is not None:
        yield from task_mismatches(config, task)


_TASK_HINTS = {
    "regression": "; where the target's whole numbers are classes, say data.task: classification",
    "classification": "; a target of texts is one of classes, and where its whole numbers are quantities, say "
    "data.task: regression",
}
"""What to change where the data set has a ``task``."""


def task_mismatches(config: Mapping[str, Any], task: str) -> Iterator[Finding]:
    """Model, loss, optimizer and metrics that are not for data of this task.

    Args:
        config: with defaults; sections that were wrong are missing.
        task: the data's: ``regression``, ``classification`` or ``estimation``.
    """
    # Beside an objective of the model's own no loss is right, whatever it is for: see _loss.
    kinds = ("model", "optimizer") if _objective(config) else ("model", "loss", "optimizer")
    specs: list[tuple[Path, str, Any]] = [((kind, "name"), kind, config.get(kind)) for kind in kinds]
    specs += [(("metrics", i), "metric", spec) for i, spec in enumerate(config.get("metrics", []))]
    hint = _TASK_HINTS.get(task, "") if "task" in config.get("data", {}) else ""
    for path, kind, spec in specs:
        if not spec:
            continue
        cls = registry.lookup(kind, spec["name"])
        tasks = getattr(cls, "tasks", (task,))  # a plugin's need not say
        if task not in tasks:
            fix = _own_tasks(cls, task) or hint
            yield Finding(path, f"{spec['name']} is for {' and '.join(tasks)}, the data are for {task}{fix}")
            hint = ""  # once is enough


def _own_tasks(cls: type, task: str) -> str:
    """What a class of a plugin has to say to be for a task, where it has its tasks from a class of this program."""
    own = [each for each in cls.__mro__ if not each.__module__.startswith("dlcourse.")]
    if not cls.__module__.startswith("dlcourse.") and not any("tasks" in vars(each) for each in own):
        return f'; where it is for {task}, say so in {cls.__qualname__}: tasks = ("{task}",)'
    return ""


def _task(data: Mapping[str, Any]) -> str | None:
    """What the data are for, where that is known before they are loaded."""
    if "name" not in data:
        return None
    task = data.get("task") or getattr(registry.lookup("data", data["name"]), "task", None)
    return task if task in ("regression", "classification", "estimation") else None


def choosing_metric(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metric and split by which the best weights of a run and the best point of a sweep are chosen: those of a search,
    else of ``train.best``, else what early stopping watches, else the first metric on the validation split."""
    first = {"metric": next(iter(metric_labels(config["metrics"])), "loss"), "split": "val"}
    search = (config.get("sweep") or {}).get("search")
    return search or config["train"]["best"] or config["train"]["early_stopping"] or first


def _duration(train: dict[str, Any]) -> Iterator[Finding]:
    if not {"epochs", "steps"} <= train.keys():
        return
    if train["epochs"] is not None and train["steps"] is not None:
        yield Finding(("train", "steps"), "epochs and steps exclude each other; give one of them")
    elif train["epochs"] is None and train["steps"] is None:
        train["epochs"] = 1


def _initial_weights(train: Mapping[str, Any]) -> Iterator[Finding]:
    if train.get("reinit") and train.get("init_from", "") is None:
        yield Finding(("train", "reinit"), "all weights are new without train.init_from; leave it out, or give both")


def _averages(train: Mapping[str, Any]) -> Iterator[Finding]:
    if train.get("swa") is not None and train.get("ema") is not None:
        yield Finding(("train", "swa"), "ema and swa exclude each other: one average is evaluated; give one of them")


def _split(data: Mapping[str, Any]) -> Iterator[Finding]:
    split = data.get("split", {})
    fractions = {name: share for name, share in split.items() if isinstance(share, float)}
    total = sum(fractions.values())
    if total > 1 + 1e-9:
        shown = " + ".join(f"{share:g}" for share in fractions.values())
        yield Finding(("data", "split"), f"the fractions add up to more than 1: {shown} = {total:g}")
    elif split.get("train") is None and total > 1 - 1e-9:
        yield Finding(("data", "split"), "val and test take everything; nothing is left for training")
    if split.get("train") == 0 and split.get("train") is not None:
        yield Finding(("data", "split", "train"), "there is no training without samples")
    kfold = data.get("kfold") or {}
    if {"folds", "fold"} <= kfold.keys() and kfold["fold"] >= kfold["folds"]:
        yield Finding(("data", "kfold", "fold"), f"expected 0 to {kfold['folds'] - 1}, got {kfold['fold']}")


def _objective(config: Mapping[str, Any]) -> Mapping[str, str]:
    """What the model's own objective measures, by name, with units; empty for one that is trained by a loss."""
    name = (config.get("model") or {}).get("name")
    return getattr(registry.lookup("model", name), "objective_units", {}) if name else {}


def _model(model: Mapping[str, Any]) -> Iterator[Finding]:
    check = getattr(registry.lookup("model", model["name"]), "check_settings", None) if "name" in model else None
    if check is not None:  # a plugin's may be no Model
        try:
            check(model)
        except UserError as error:
            yield Finding(("model",), str(error))


def _loss(config: Mapping[str, Any]) -> Iterator[Finding]:
    if own := _objective(config):
        name = config["model"]["name"]
        if config.get("loss") is not None:
            yield Finding(("loss",), f"the model {name} has an objective of its own; leave it out")
        if not all(_of_drawn(config)):
            others = ", ".join(each for each in registry.names("metric") if _judges_drawn(each))
            why = f"the model {name} measures {', '.join(own)} by itself; leave them out"
            yield Finding(("metrics",), f"{why} (what a gan or vae draws is judged by: {others})")
        if config.get("ensemble"):
            yield Finding(("ensemble",), f"averages predictions, and the model {name} makes none")
        return
    if any(_of_drawn(config)):
        yield Finding(("metrics",), "judges what a model draws, and this one draws nothing; gan and vae do")
    if config.get("loss", "") is None and "optimizer" in config and not is_closed_form(config):
        yield Finding(("loss",), f"required, but missing (valid: {', '.join(registry.names('loss'))})")


def _of_drawn(config: Mapping[str, Any]) -> list[bool]:
    """Of each metric whether it judges what a model draws."""
    return [_judges_drawn(spec["name"]) for spec in config.get("metrics", [])]


def _judges_drawn(metric: str) -> bool:
    return bool(getattr(registry.lookup("metric", metric), "of_drawn", False))


def _players(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Of a model whose players move in turn: what has no meaning there."""
    model, optimizer = config.get("model") or {}, config.get("optimizer") or {}
    if "name" not in model or not getattr(registry.lookup("model", model["name"]), "players", ()):
        return
    why = f"the players of {model['name']} move in turn, each along a cost that the others change"
    if "name" in optimizer and getattr(registry.lookup("optimizer", optimizer["name"]), "needs_closure", False):
        yield Finding(("optimizer", "name"), f"{optimizer['name']} searches along one cost, and {why}")
    if (config.get("train") or {}).get("swa") is not None:
        yield Finding(("train", "swa"), f"{why}; ema averages the weights of each")


def _ensemble(config: dict[str, Any]) -> Iterator[Finding]:
    if not config.get("ensemble"):
        return
    if isinstance(config["ensemble"], int):
        config["ensemble"] = asdict(EnsembleOptions(config["ensemble"]))
    bagging = config["ensemble"].get("bagging", True)
    config["sweep"] = sweep = config.get("sweep") or asdict(SweepOptions())
    data = config.get("data", {})
    for key in ("seeds", "kfold", "resample"):
        if sweep.get(key):
            yield Finding(("sweep", key), "does not combine with ensemble; grid, zip and random do")
    if _task(data) == "estimation":
        yield Finding(("ensemble",), "averages predictions, and estimates are none; sweep.resample shows their spread")
    if bagging and data.get("bootstrap") is not None:
        yield Finding(
            ("data", "bootstrap"), "ensemble.bagging draws the members' samples itself; leave one of them out"
        )
    if not bagging and "optimizer" in config and is_closed_form(config):
        name = config["optimizer"]["name"]
        yield Finding(("ensemble",), f"{name} leaves nothing to chance: all members would be one model; bagging: true")


def _twice(section: str, specs: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    labels = {"metrics": metric_labels, "attacks": attack_labels}
    named = labels.get(section, list)(specs)  # label: 1 and label: "1" are one class
    for i, spec in enumerate(specs):
        if named[i] in named[:i]:
            yield Finding((section, i), f"{spec['name']} stands here twice")


def _watched(config: Mapping[str, Any], has_folds: bool) -> Iterator[Finding]:
    data = config.get("data", {})
    train = config.get("train", {})
    if train.get("early_stopping") and train.get("eval_every") == 0:
        yield Finding(("train", "eval_every"), "0 evaluates at the end only: nothing to stop early by")
    has_val = has_folds or bool(data.get("kfold")) or bool(data.get("split", {}).get("val", True))
    schedule = (config.get("optimizer") or {}).get("schedule") or {}
    if "metric" in schedule and train.get("eval_every") == 0:
        yield Finding(("train", "eval_every"), f"0 evaluates at the end only: {schedule['name']} sees nothing before")
    for section_path, watched in watched_by(config):
        if "metrics" in config and "metric" in watched:
            watched["metric"] = _as_labeled(watched["metric"], config["metrics"])
            known = metric_labels(config["metrics"])
            known += [f"{label}[{target}]" for label in known for target in _targets(data)]
            known = known if config.get("loss", "") is None else ["loss", *known]
            if own := _objective(config):
                known = [*own, *metric_labels(config["metrics"])]
            if watched["metric"] not in known:
                hint = registry.hint(watched["metric"], known)
                there = f"{hint}valid: {', '.join(known) or 'none'}; add it to metrics"
                yield Finding((*section_path, "metric"), f"{watched['metric']!r} is not measured ({there})")
        if "split" in watched and watched["split"] not in train.get("evaluate", [watched["split"]]):
            yield Finding((*section_path, "split"), f"{watched['split']!r} is not measured; add it to train.evaluate")
        if watched.get("split") == "val" and not has_val:
            yield Finding(
                (*section_path, "split"),
                "there is no validation split: give data.split.val or data.kfold, or say split: train",
            )


def watched_by(config: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What decides by a metric of some split: early stopping, the best, a schedule, a search; each with its path."""
    train, optimizer = config.get("train") or {}, config.get("optimizer") or {}
    found: list[tuple[Path, Any]] = [(("train", section), train.get(section)) for section in ("early_stopping", "best")]
    found.append((("optimizer", "schedule"), optimizer.get("schedule")))
    search = (config.get("sweep") or {}).get("search") or {}
    found.append((("sweep", "search"), search if search.get("metric") else None))
    yield from ((path, each) for path, each in found if each and "metric" in each)


def _search(config: Mapping[str, Any]) -> Iterator[Finding]:
    """What a search does not combine with; fills in its metric and split where they are left out."""
    sweep, train = config.get("sweep") or {}, config.get("train") or {}
    search, optimizer = sweep.get("search"), config.get("optimizer") or {}
    if not search:
        return
    for key in ("grid", "zip", "random", "seeds", "kfold", "resample"):
        if sweep.get(key):
            yield Finding(("sweep", key), "does not combine with search: leave out one of them")
    if sweep.get("execution") == "stacked":
        yield Finding(("sweep", "execution"), "a search picks its trials one after another; points")
    if config.get("ensemble"):
        yield Finding(("ensemble",), "does not combine with sweep.search; search first, then average the best")
    if search.get("pruner", "none") != "none":
        if "name" in optimizer and is_closed_form(config):
            name = optimizer["name"]
            yield Finding(("sweep", "search", "pruner"), f"{name} solves in one step: nothing to end early; none")
        elif train.get("eval_every") == 0:
            yield Finding(("train", "eval_every"), "0 evaluates at the end only: nothing to prune trials by")
    if search.get("metric", "") is None and "metrics" in config and {"best", "early_stopping"} <= train.keys():
        usual = choosing_metric({**config, "sweep": None})
        search["metric"], search["split"] = usual.get("metric"), search.get("split") or usual.get("split")
    search["split"] = search.get("split") or "val"


def _as_labeled(metric: str, specs: Sequence[Mapping[str, Any]]) -> str:
    """A watched metric, or that of one target of several, by its label."""
    labels, others = metric_labels(specs), other_names(specs)
    own, bracket, target = metric.partition("[") if metric.endswith("]") else (metric, "", "")
    return metric if own in labels else f"{others.get(own, own)}{bracket}{target}"


def _targets(data: Mapping[str, Any]) -> Sequence[str]:
    """The targets of a data set that names several."""
    named = data.get("target", data.get("target_name"))
    return named if isinstance(named, list | tuple) and len(named) > 1 else ()


def is_closed_form(config: Mapping[str, Any]) -> bool:
    """Whether the optimizer of a config, which names one, solves in one step."""
    return bool(getattr(registry.lookup("optimizer", config["optimizer"]["name"]), "closed_form", False))


def _searching(config: Mapping[str, Any]) -> Iterator[Finding]:
    """An optimizer that evaluates the cost several times in a step wants the cost itself, as exactly as it can be."""
    optimizer, train = config.get("optimizer") or {}, config.get("train") or {}
    if "name" not in optimizer or not getattr(registry.lookup("optimizer", optimizer["name"]), "needs_closure", False):
        return
    name = optimizer["name"]
    if config.get("precision") in ("fp16", "bf16"):
        yield Finding(("precision",), f"16 bits are too coarse for the search of {name}; take float32 or float64")
    for key in ("clip_norm", "clip_value"):
        if train.get(key) is not None:
            yield Finding(
                ("train", key), f"{name} searches along the cost, whose gradient is not clipped; leave it out"
            )
    if optimizer.get("groups"):
        yield Finding(("optimizer", "groups"), f"{name} takes one step of all weights together; leave them out")


def _attacks(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Attacks in training and at the end: they need classes; a training needs one with a fixed number of steps."""
    attack, path = (config.get("train") or {}).get("attack"), ("train", "attack")
    if attack and not registry.lookup("attack", attack["name"]).in_training:
        yield Finding(
            (*path, "name"), f"{attack['name']} looks for the smallest change, which takes many steps; take pgd"
        )
    no_classes = _task(config.get("data", {})) not in (None, "classification") or _objective(config)
    found: list[tuple[Path, Any]] = [(path, attack), *((("attacks", i), a) for i, a in enumerate(_listed(config)))]
    for where, each in found:
        if each and no_classes:
            yield Finding(where, "changes inputs until their class is taken for another, and there are no classes here")
    for i, each in enumerate(_listed(config)):
        if each.get("epsilon") == 0:
            yield Finding(("attacks", i, "epsilon"), "0 changes nothing; give the largest size")
        if "epsilon" not in each and each["sizes"] != AttackOptions.sizes:
            yield Finding(("attacks", i, "sizes"), f"{each['name']} looks for the smallest change; leave it out")


def _listed(config: Mapping[str, Any]) -> Sequence[Any]:
    return config.get("attacks") or ()


def _carried_state(config: Mapping[str, Any]) -> Iterator[Finding]:
    """A state that goes on from batch to batch: the model keeps one, and batches come one after another, whole."""
    train, model = config.get("train") or {}, (config.get("model") or {}).get("name")
    if not train.get("carry_state") or is_closed_form(config):
        return
    path: Path = ("train", "carry_state")
    if model and not getattr(registry.lookup("model", model), "keeps_state", False):
        yield Finding(path, f"the model {model} keeps no state from one input to the next; char_rnn does")
    if train.get("batch_size") == "full":
        yield Finding(path, "goes on from batch to batch, and batch_size: full has one; give a number of sequences")
    if train.get("accumulate", 1) > 1:
        yield Finding(("train", "accumulate"), "cuts a batch of sequences whose state is carried; leave one out")
    optimizer = (config.get("optimizer") or {}).get("name")
    if optimizer and getattr(registry.lookup("optimizer", optimizer), "needs_closure", False):
        yield Finding(path, f"moves the state once a step, and {optimizer} evaluates the cost several times in one")


def _groups(optimizer: Mapping[str, Any]) -> Iterator[Finding]:
    for i, group in enumerate(optimizer.get("groups") or ()):
        path: Path = ("optimizer", "groups", i)
        other, schedule = (group or {}).get("optimizer"), (group or {}).get("schedule")
        if schedule is not None and "metric" in schedule:
            yield Finding(
                (*path, "schedule"), f"{schedule['name']} watches a metric for all groups; put it above groups"
            )
        if other is None:
            continue
        for key, where in (
            ("schedule", "a key of the group; put it beside match"),
            ("groups", "one list; leave it out here"),
        ):
            if other.get(key) is not None:
                yield Finding((*path, "optimizer", key), f"is {where}")
        own = [key for key in group if key not in ("match", "ndim", "optimizer", "schedule")]
        if own:
            yield Finding((*path, own[0]), "this group has an optimizer of its own: put it there")
        if getattr(registry.lookup("optimizer", other["name"]), "closed_form", False):
            yield Finding((*path, "optimizer", "name"), f"{other['name']} solves in one step, and here steps are taken")


def _closed_form(config: Mapping[str, Any]) -> Iterator[Finding]:
    if "optimizer" not in config or not is_closed_form(config):
        return
    name = config["optimizer"]["name"]
    if config.get("precision") in ("fp16", "bf16"):
        yield Finding(("precision",), f"{name} solves for the weights, which 16 bits cannot; take float32 or float64")
    why = f"has no effect with the optimizer {name}, which solves in one step; leave it out"
    for key in ("schedule", "groups"):
        if config["optimizer"].get(key) is not None:
            yield Finding(("optimizer", key), why)
    if config.get("data", {}).get("augment") is not None:
        yield Finding(("data", "augment"), why)
    for key in ("class_weights", "weight"):
        if (config.get("loss") or {}).get(key) is not None:
            yield Finding(("loss", key), why)
    for key, idle in _IDLE.items():
        if config.get("train", {}).get(key, idle) != idle:
            yield Finding(("train", key), why)
