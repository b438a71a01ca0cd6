"""Refuse batches that give batch norm one value a channel, which has no variance."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dlcourse import nn
from dlcourse.errors import Problem
from dlcourse.nn.summary import summarize
from dlcourse.training.step import part_size


def lone_values(model: Any, train: Mapping[str, Any], samples: int, one_sample: Callable[[], Any]) -> Iterator[Problem]:
    """A batch norm that gets one value a channel in a step of the training.

    Args:
        train: the config's section.
        samples: in the training split.
        one_sample: gives one of them, (1, ...); called where it matters.
    """
    if not any(isinstance(module, nn.BatchNorm) for module in model.modules()):
        return
    found = next((each for each in _batches(train, samples) if _smallest_part(each, train["accumulate"]) == 1), None)
    if found is None:
        return
    rows = summarize(model, one_sample()).rows
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm)}
    alone = [row.name for row in rows if row.name in norms and row.out_shape and math.prod(row.out_shape[:-1]) == 1]
    if alone:
        yield Problem("train.batch_size", _said(alone[0], train, samples, found))


def _batches(train: Mapping[str, Any], samples: int) -> Iterator[int]:
    """The sizes of the batches that the training sees."""
    size = samples if train["batch_size"] == "full" else min(train["batch_size"], samples)
    yield size
    full, rest = divmod(samples, size)
    seen = train["steps"] is None or train["steps"] > full
    if rest and seen and not train["drop_last"]:
        yield rest


def _smallest_part(batch: int, accumulate: int) -> int:
    size = part_size(batch, accumulate)
    return batch % size or size


def _said(layer: str, train: Mapping[str, Any], samples: int, batch: int) -> str:
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
