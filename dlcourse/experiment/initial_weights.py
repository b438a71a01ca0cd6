"""Weights to begin from: those of a run or a file, parts of them new, parts of them frozen (transfer learning)."""

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import registry, serialize
from dlcourse.data import Data, Normalizer
from dlcourse.data.files import MissingDataError, find
from dlcourse.errors import ConfigError, Problem, UserError
from dlcourse.experiment import stored
from dlcourse.nn import Module
from dlcourse.training.checkpoints.content import weights_once

_SHOWN = 6  # names in a message


@dataclass(frozen=True)
class Source:
    """Weights to begin from.

    Attributes:
        arrays: parameters and buffers, by name.
        name: what they are, in words.
        normalized: whether the inputs that they were trained with were shifted or scaled; None: it is not known.
        scaled_targets: the same of the targets of a regression.
        feature_names: of the inputs that they were trained with; empty: they had none, or they are not known.
        class_names: of the classes that they were trained to tell apart, likewise.
        token_names: of the tokens of the texts that they were trained on, likewise.
        torch: whether they are laid out as PyTorch has them.
    """

    arrays: Mapping[str, np.ndarray]
    name: str
    normalized: bool | None = None
    scaled_targets: bool | None = None
    feature_names: Sequence[str] = ()
    class_names: Sequence[str] = ()
    token_names: Sequence[str] = ()
    torch: bool = False


def named_by(train: Mapping[str, Any]) -> Source | None:
    """What ``train.init_from`` of a resolved config names; None where all weights are new.

    It is a run folder, or a checkpoint in one: the weights that it was evaluated with; or a safetensors or npz file of
    arrays, such as ``dlcourse export`` writes. A file of PyTorch's (``.pt``, or a safetensors file whose metadata say
    so) has them in PyTorch's layout.

    Raises:
        ConfigError: there is no such thing, or it is damaged.
    """
    name = train["init_from"]
    if name is None:
        return None
    try:
        path = find(name, folders=True)
    except MissingDataError:
        raise _problem(f"there is no run folder and no file {name}") from None
    try:
        inside = path.is_file() and (path.parent / "latest.json").exists()
        return _run(path, name) if inside or path.is_dir() else _file(path, name)
    except UserError as error:
        raise _problem(str(error)) from error


def _run(path: Path, name: str) -> Source:
    run = stored.load(path, "cpu")
    words = f"{name} (step {run.source.state['step']})"
    scaled = None if run.inputs.task != "regression" else run.inputs.target_normalizer is not None
    names = run.inputs.feature_names, run.inputs.class_names, run.inputs.vocabulary
    return Source(run.model.state_dict(), words, _normalizes(run.normalizer), scaled, *names)


def _file(path: Path, name: str) -> Source:
    if path.suffix.lower() in serialize.TORCH_ENDINGS:
        from dlcourse.interop.torch import read_state

        return Source(read_state(path), name, torch=True)
    arrays, texts = serialize.load(path), _texts_of(path)
    if any(each.startswith("train_step.") for each in arrays):
        raise UserError(f"{name} is a checkpoint outside its run: name the run, or what `dlcourse export` makes of it")
    torch = texts.get("format") == "pt"
    beside = {each: array for each, array in arrays.items() if each.startswith(("normalizer.", "target_normalizer."))}
    if torch:  # there they are texts
        beside = {each: np.array(json.loads(texts[each])) for each in texts if "normalizer." in each}
    inputs = {each: beside[f"normalizer.{each}"] for each in ("shift", "scale") if f"normalizer.{each}" in beside}
    normalized = _normalizes(Normalizer.from_state_dict(inputs)) if len(inputs) == 2 else None
    scaled = any(each.startswith("target_normalizer.") for each in beside) or None
    weights = {each: array for each, array in arrays.items() if array.dtype.kind != "U" and each not in beside}
    facts = _facts(texts)
    features, classes, tokens = (_names(facts, f"{each}_names") for each in ("feature", "class", "token"))
    tokens = tokens or (classes if facts.get("tokens") else ())  # as InputSpec.vocabulary
    return Source(weights, name, normalized, scaled, features, classes, tokens, torch)


def _texts_of(path: Path) -> Mapping[str, str]:
    """What a file of ``dlcourse export`` tells in words; nothing for another file."""
    try:
        return serialize.load_texts(path)
    except ValueError:
        return {}


def _facts(texts: Mapping[str, str]) -> Mapping[str, Any]:
    """What is told of the inputs, see :class:`~dlcourse.training.input_spec.InputSpec`; empty where nothing is."""
    try:
        facts = json.loads(texts.get("inputs", "{}"))
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _names(facts: Mapping[str, Any], key: str) -> Sequence[str]:
    """The names of features, classes or tokens; none where they are not told."""
    names = facts.get(key)
    return [str(name) for name in names] if isinstance(names, list) else ()


def _normalizes(normalizer: Normalizer) -> bool:
    state = normalizer.state_dict()
    return bool(np.any(state["shift"] != 0) or np.any(state["scale"] != 1))


def load_into(model: Module, source: Source, reinit: Sequence[str]) -> list[str]:
    """Give a model the weights of a source, but for those that are to keep their new initial ones.

    Args:
        reinit: patterns of the names of those.
    Returns:
        What was done, in lines for the log.
    Raises:
        ConfigError: they do not fit; lists every array that is missing or of another shape.
    """
    former = getattr(model, "former_names", {})  # a plugin's may be no Model
    given = source.arrays
    if source.torch:
        from dlcourse.interop.torch import from_torch_arrays

        given = from_torch_arrays(model, given)
    arrays = {former.get(name, name): array for name, array in given.items()}
    names = list(weights_once(model))
    new = matching("train.reinit", reinit, names)
    wanted = {name: array for name, array in arrays.items() if name in names and name not in new}
    model.resize_buffers(wanted)
    state = weights_once(model)
    faults, unfit = _faults(state, wanted, new)
    if len(new) == len(names):
        raise ConfigError([Problem("train.reinit", f"leaves nothing to take from {source.name}")])
    if faults:
        unused = listed([name for name in arrays if name not in state])
        hint = f"; it has {unused}, which the model lacks" if unused else ""
        some = len(unfit) < len(state) - len(new)
        fix = f"; train.reinit: [{', '.join(_modules(unfit))}] gives these new initial weights" if some else ""
        raise _problem(f"{source.name} does not fit the model: {'; '.join(faults)}{hint}{fix}")
    model.load_state_dict(wanted, strict=False)
    lines = [f"initial weights: {len(wanted)} of {len(names)} arrays from {source.name}"]
    if new:
        lines.append(f"  new: {listed([f'{name} {state[name].shape}' for name in names if name in new])}")
    rest = [f"{name} {array.shape}" for name, array in arrays.items() if name not in state]
    if rest:
        lines.append(f"  not used, as the model has no such: {listed(rest)}")
    return lines


def _faults(
    state: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], new: set[str]
) -> tuple[list[str], list[str]]:
    """What does not fit, in words and by name."""
    faults, unfit = [], []
    for name, array in state.items():
        if name in new or (name in wanted and wanted[name].shape == array.shape):
            continue
        unfit.append(name)
        if name not in wanted:
            faults.append(f"{name} {array.shape} is not in it")
            continue
        there = wanted[name].shape
        faults.append(f"{name} is {there} in it, {array.shape} in the model{_torch_order(there, array.shape)}")
    if len(faults) > _SHOWN:
        faults[_SHOWN:] = [f"and {len(faults) - _SHOWN} more"]
    return faults, unfit


def _torch_order(there: tuple[int, ...], here: tuple[int, ...]) -> str:
    """Says so where an array of a convolution has its channels in PyTorch's place."""
    turned = len(there) == 4 and (there[0], there[2], there[3], there[1]) == here
    return " (PyTorch's order of axes: transpose it by (0, 2, 3, 1))" if turned else ""


def freeze(model: Module, patterns: Sequence[str]) -> list[str]:
    """Freeze the parameters with these names; layers with running statistics whose names match stay in evaluation mode.

    Args:
        patterns: of names of parameters, or of modules with all that is inside; ``*`` stands for any characters.
    Returns:
        What was done, in lines for the log.
    Raises:
        ConfigError: a pattern matches nothing, or nothing is left to train.
    """
    if not patterns:
        return []
    parameters, buffers = dict(model.named_parameters()), [name for name, _ in model.named_buffers()]
    chosen = matching("train.freeze", patterns, [*parameters, *buffers])
    frozen = [name for name in parameters if name in chosen]
    if len(frozen) == len(parameters):
        raise ConfigError([Problem("train.freeze", "freezes every parameter: nothing is left to train")])
    for player in getattr(model, "players", ()):
        if all(name in chosen for name in parameters if name.startswith(f"{player}.")):
            raise ConfigError([Problem("train.freeze", f"leaves {player} nothing to train")])
    for name in frozen:
        parameters[name].requires_grad = False
    for name, module in model.named_modules():
        own = [each for each in buffers if each.rpartition(".")[0] == name]
        module._stays_in_eval = bool(own) and chosen.issuperset(own)
    model.train(model.training)
    numbers = sum(parameters[name].size for name in frozen)
    total = sum(p.size for p in parameters.values())
    return [f"frozen: {numbers:,} of {total:,} parameters: {listed(frozen)}"]


def notes(source: Source, data: Data, reinit: Sequence[str]) -> Iterator[str]:
    """Warnings where what comes here is not what these weights were trained with.

    Args:
        reinit: patterns of weights that are not taken.
    """
    dataset = data.dataset
    yield from _of_normalization(source, data.normalizer, data.target_normalizer is not None)
    yield from _of_features(source, dataset.feature_names)
    yield from _of_tokens(source, dataset.token_names)
    if dataset.token_names != dataset.class_names:  # else that is said above
        yield from _of_classes(source, data.class_names, reinit)


def _of_normalization(source: Source, normalizer: Normalizer, scaled_targets: bool) -> Iterator[str]:
    """A warning where inputs or targets are normalized here and were not for these weights, or the other way round."""
    for what, there, here, why in (
        ("inputs", source.normalized, _normalizes(normalizer), "layers meet numbers that they were not made for"),
        ("targets", source.scaled_targets, scaled_targets, "outputs begin in another unit"),
    ):
        if there in (None, here):
            continue
        was, now = ("normalized", "as they are") if there else ("as they are", "normalized")
        yield (
            f"note: train.init_from: {source.name} was trained with {what} {was}, and here they come {now}: its {why} "
            f"(data.normalize{'_target' if what == 'targets' else ''})"
        )


def _of_features(source: Source, names: Sequence[str]) -> Iterator[str]:
    """A warning where as many features come here as these weights were trained with, and others or in another order.

    Args:
        names: of the features here.
    """
    there = list(source.feature_names)
    if not there or len(there) != len(names) or there == list(names):
        return
    what = "these features in another order" if sorted(there) == sorted(names) else "other features"
    pairs = [f"{was!r} (here {now!r})" for was, now in zip(there, names, strict=True) if was != now]
    yield (
        f"note: train.init_from: {source.name} was trained with {what}: {listed(pairs)}; each weight goes to the "
        "feature at its place"
    )


def _of_classes(source: Source, names: Sequence[str], reinit: Sequence[str]) -> Iterator[str]:
    """A warning where as many classes are to be told apart here, and others, and all weights are taken.

    Args:
        names: of the classes here.
        reinit: patterns of weights that are not taken.
    """
    there, here = list(source.class_names), list(names)
    if not there or len(there) != len(here) or there == here or reinit:
        return
    pairs = [f"{was!r} (here {now!r})" for was, now in zip(there, here, strict=True) if was != now]
    yield (
        f"note: train.init_from: {source.name} was trained with other classes, or in another order: {listed(pairs)}; "
        "train.reinit gives the last layer new weights"
    )


def _of_tokens(source: Source, names: Sequence[str]) -> Iterator[str]:
    """A warning where as many tokens come here as these weights were trained with, and others.

    Args:
        names: of the tokens here.
    """
    there = list(source.token_names)
    if len(there) != len(names) or there == list(names):
        return
    pairs = [f"{was!r} (here {now!r})" for was, now in zip(there, names, strict=True) if was != now]
    yield (
        f"note: train.init_from: {source.name} was trained with other tokens: {listed(pairs)}; each token gets the "
        "vector of the one at its place (they are learned from the training split: data.path, data.split)"
    )


def matching(path: str, patterns: Sequence[str], names: Sequence[str]) -> set[str]:
    """The names that match a pattern, or lie in a module that does.

    Args:
        path: of the patterns in the config, for the error.
    Raises:
        ConfigError: a pattern matches nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        matched = [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in (pattern, f"{pattern}.*"))]
        if not matched:
            modules = _modules(names)
            hint = registry.hint(pattern, [*modules, *names])
            there = f"{hint}the model has {listed(modules, 20)}"
            raise ConfigError([Problem(path, f"{pattern!r} matches no parameter ({there})")])
        found.update(matched)
    return found


def _modules(names: Iterable[str]) -> list[str]:
    """The modules that hold these, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def listed(names: Sequence[str], max_shown: int = _SHOWN) -> str:
    more = f" and {len(names) - max_shown} more" if len(names) > max_shown else ""
    return ", ".join(names[:max_shown]) + more


def _problem(message: str) -> ConfigError:
    return ConfigError([Problem("train.init_from", message)])
