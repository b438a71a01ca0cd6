"""Checks between components of a config, its data and its model that are each right by themselves."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlcourse import nn, registry
from dlcourse.autograd import Tensor, no_grad
from dlcourse.config.check import Finding
from dlcourse.config.reader import Path, dotted
from dlcourse.data import Data
from dlcourse.errors import ConfigError, DataError, Problem, UserError
from dlcourse.experiment.views import TestTime, check_images
from dlcourse.models.base import Model
from dlcourse.nn.summary import summarize
from dlcourse.training.samples import writes_text
from dlcourse.training.step import microbatch_size


def check_compatible(
    train: Mapping[str, Any],
    data: Data,
    model: Any,
    optimizer: Any,
    metrics: Mapping[str, Any],
    one_sample: Callable[[], Any],
    *,
    watched: Iterable[tuple[Path, Mapping[str, Any]]],
    mismatches: Iterable[Finding],
    refusals: Iterable[Problem],
) -> None:
    """Find before training what would else be found after it: what a config asks of data that are not like that.

    Args:
        train: the config's section.
        optimizer: its class.
        metrics: by label; ``loss`` may be among them.
        one_sample: gives a training sample as the model takes it, (1, ...); called where it matters.
        watched: of :func:`~dlcourse.config.rules.watched_by`.
        mismatches: of :func:`~dlcourse.config.rules.task_mismatches`.
        refusals: of :func:`~dlcourse.experiment.optimizer.refusals`.
    Raises:
        ConfigError: all problems at once.
    """
    problems = [*_watched(watched, data), *_evaluated(train["evaluate"], data), *refusals]
    unfit = [Problem(dotted(found.path), found.message) for found in mismatches]
    # What cannot be fitted at all needs no second message about how.
    unfit = unfit or [*_inputs(data, model)]
    problems += unfit or [*_solvable(optimizer, model), *_drawn(train, data, model, metrics), *_classes(data, metrics)]
    if not problems and len(data.in_shape) == 2 and not data.dataset.tokens:
        problems += _steps(optimizer, data, model, one_sample)
    if not problems and not optimizer.closed_form:
        problems += _lone_values(model, train, len(data.splits["train"]), one_sample)
    if problems:
        raise ConfigError(problems)


def check_output(data: Data, model: Any, one_sample: Callable[[], Any]) -> None:
    """Check what a model that is none of this program's makes of a sample; call it with the model adapted.

    More outputs than classes are legal, as in PyTorch, and a warning says so: the classes beyond those of the data are
    never right.

    Args:
        one_sample: gives one, (1, ...).
    Raises:
        ConfigError: the model's forward returns no tensor.
    """
    if type(model).__module__.startswith("dlcourse."):
        return
    name, output = registry.name_of("model", type(model)), _output(model, one_sample())
    if not isinstance(output, Tensor):
        came = "None: it lacks a return" if output is None else f"a {type(output).__name__}"
        raise ConfigError([Problem("model", f"{name}.forward has to return a tensor of outputs, and returned {came}")])
    width = output.shape[-1] if output.ndim else 1
    if data.task == "classification" and width > data.out_features:
        warnings.warn(
            f"the model {name} has {width} outputs, and the data {data.out_features} classes: out_features tells it",
            stacklevel=2,
        )


def _output(model: Any, sample: Any) -> Any:
    """What the model makes of a sample (1, ...) in evaluation mode."""
    training = model.training
    model.eval()
    with no_grad():
        output = model(Tensor(sample))
    model.train(training)
    return output


def view_problems(kind: TestTime, data: Data) -> Iterator[Problem]:
    """What keeps ``train.tta`` from meaning anything."""
    try:
        check_images(kind, data.in_shape, "tta")
    except UserError as error:
        yield Problem("train.tta", str(error).removeprefix("tta: "))


def mixing_problems(config: Mapping[str, Any], data: Data, loss: Any) -> Iterator[Problem]:
    """Where the loss does not take the mixed labels of mixed images."""
    takes = getattr(type(loss), "takes_probabilities", False)
    kind = "model" if config["loss"] is None else "loss"
    for key in ("mixup", "cutmix"):
        if data.augment is not None and getattr(data.augment, key) and not takes:
            name = f"{kind} {config[kind]['name']}"
            yield Problem(f"data.augment.{key}", f"mixes labels, which the {name} does not take; cross_entropy does")


def check_range(data: Data, dtype: np.dtype) -> None:
    """Raise DataError where a number is more than the type that the model computes in can hold: it would be infinite.

    Args:
        dtype: that type.
    """
    if dtype == np.float64:
        return
    largest = float(np.finfo(np.float16 if dtype == np.float16 else np.float32).max)
    inputs = data.dataset.feature_names
    target = data.dataset.target_names or (data.dataset.target_name,)
    for split, subset in data.splits.items():
        for array, names, normalizer in (
            (subset.x, inputs, data.normalizer),
            (subset.y, target, data.target_normalizer),
        ):
            if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
                continue
            ends = np.stack([array.min(axis=0), array.max(axis=0)])
            scaled = np.abs(ends if normalizer is None else normalizer.apply(ends))
            if not (scaled > largest).any():
                continue
            end, column = np.unravel_index(int(scaled.argmax()), scaled.shape)
            name = names[column] if column < len(names) else names[0]
            key = "normalize" if array is subset.x else "normalize_target" if data.task == "regression" else ""
            fix = f" or data.{key}: standardize" if key else ""
            raise DataError(
                f"{name!r} is {ends[end, column]:g} in the {split} split, and {dtype} holds at most {largest:.4g}; "
                f"precision: float64{fix} may help"
            )


def _watched(watched: Iterable[tuple[Path, Mapping[str, Any]]], data: Data) -> Iterator[Problem]:
    for path, each in watched:
        if each.get("split", "train") not in data.splits:
            known = ", ".join(data.splits)
            yield Problem(dotted((*path, "split")), f"there is no {each['split']} split, only: {known}")


def _evaluated(wanted: Sequence[str], data: Data) -> Iterator[Problem]:
    if wanted and not data.splits.keys() & set(wanted):
        yield Problem("train.evaluate", f"there is no {' and no '.join(wanted)} split, only: {', '.join(data.splits)}")


def _inputs(data: Data, model: Any) -> Iterator[Problem]:
    name = registry.name_of("model", type(model))
    takes_tokens = getattr(model, "takes_tokens", None)
    if takes_tokens and not data.dataset.tokens:
        yield Problem("model.name", f"{name} looks up the tokens of a text, and the inputs of these data are numbers")
    elif data.dataset.pairs and not getattr(model, "answers", False):
        yield Problem("model.name", f"{name} does not answer sequences by others, as these data want it; take seq2seq")
    elif getattr(model, "answers", False) and not data.dataset.pairs:
        yield Problem(
            "model.name",
            f"{name} learns pairs of sequences, as of reversed_strings; for the next token take gpt, char_rnn",
        )
    elif data.dataset.tokens and not (takes_tokens or any(isinstance(m, nn.Embedding) for m in model.modules())):
        yield Problem("model.name", f"{name} takes numbers, and the inputs of these data are the tokens of a text")


def _steps(optimizer: Any, data: Data, model: Any, one_sample: Callable[[], Any]) -> Iterator[Problem]:
    """A model of sequences has to have an output at every step where the data have a target there, and else one."""
    if optimizer.closed_form:  # the model may have no outputs before it
        if data.every_step:
            fits = f"{registry.name_of('optimizer', optimizer)} fits one target a series"
            yield Problem("optimizer.name", f"{fits}, and these data have a target at every step; take sgd, adam, ...")
        return
    output = _output(model, one_sample())
    at_steps = isinstance(output, Tensor) and output.ndim == 3
    if not isinstance(output, Tensor) or at_steps == data.every_step:
        return
    name, has = registry.name_of("model", type(model)), ("one output a series", "an output at every step")[at_steps]
    wants = ("one target a series", "a target at every step")[data.every_step]
    yield Problem("model.name", f"{name} has {has}, and these data have {wants}; rnn, lstm, gru and conv1d do both")


def _drawn(train: Mapping[str, Any], data: Data, model: Any, metrics: Mapping[str, Any]) -> Iterator[Problem]:
    """What is asked of samples that the model does not draw."""
    if model.generates:
        return
    if judging := [label for label, metric in metrics.items() if getattr(metric, "of_drawn", False)]:
        yield Problem("metrics", f"{', '.join(judging)}: judges what a model draws, and this one draws nothing")
    if train["samples"] and not writes_text(data, model):
        name = registry.name_of("model", type(model))
        yield Problem("train.samples", f"the model {name} draws nothing from these data; leave it out")


def _classes(data: Data, metrics: Mapping[str, Any]) -> Iterator[Problem]:
    """Metrics that mean nothing for so many classes, such as the 5 best of 3."""
    for i, (label, metric) in enumerate(metrics.items()):
        check = getattr(metric, "check_classes", None)
        if data.task != "classification" or label == "loss" or check is None:
            continue
        try:
            check(data.out_features)
        except UserError as error:
            yield Problem(f"metrics.{i}", str(error))


def _solvable(optimizer: Any, model: Any) -> Iterator[Problem]:
    name, named = registry.name_of("optimizer", optimizer), registry.name_of("model", type(model))
    if not optimizer.closed_form:
        if next(iter(model.parameters()), None) is None:
            yield Problem(
                "optimizer.name",
                f"{name} trains parameters, and the model {named} has none; take optimizer: {{name: closed_form}}",
            )
    elif getattr(type(model), optimizer.hook) is getattr(Model, optimizer.hook):
        yield Problem("optimizer.name", f"{name} cannot fit the model {named}, which {optimizer.otherwise}")


def _lone_values(
    model: Any, train: Mapping[str, Any], samples: int, one_sample: Callable[[], Any]
) -> Iterator[Problem]:
    """A batch norm that gets one value a channel in a step of the training: one value has no variance."""
    if not any(isinstance(module, nn.BatchNorm) for module in model.modules()):
        return
    found = next((each for each in _batches(train, samples) if _smallest_pass(each, train["accumulate"]) == 1), None)
    if found is None:
        return
    rows = summarize(model, one_sample()).rows
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm)}
    alone = [row.name for row in rows if row.name in norms and row.out_shape and math.prod(row.out_shape[:-1]) == 1]
    if alone:
        yield Problem("train.batch_size", _lone_value_message(alone[0], train, samples, found))


def _batches(train: Mapping[str, Any], samples: int) -> Iterator[int]:
    """The sizes of the batches that the training sees."""
    size = samples if train["batch_size"] == "full" else min(train["batch_size"], samples)
    yield size
    full, rest = divmod(samples, size)
    seen = train["steps"] is None or train["steps"] > full
    if rest and seen and not train["drop_last"]:
        yield rest


def _smallest_pass(batch: int, accumulate: int) -> int:
    size = microbatch_size(batch, accumulate)
    return batch % size or size


def _lone_value_message(layer: str, train: Mapping[str, Any], samples: int, batch: int) -> str:
    size, accumulate = train["batch_size"], train["accumulate"]
    why = f"batch norm ({layer}) has no variance of one value"
    if accumulate > 1 and batch > 1:
        return (
            f"train.accumulate: {accumulate} leaves a part of one sample of a batch of {batch}, and {why}; "
            "take another batch_size or accumulate"
        )
    if batch == size or batch == samples:
        return f"a batch of one sample, and {why}; take a larger batch_size, or a model without batch norm"
    return (
        f"{samples} training samples in batches of {size} leave a last batch of one sample, and {why}; leave that "
        f"batch out by train.drop_last: true, or take another batch_size"
    )
