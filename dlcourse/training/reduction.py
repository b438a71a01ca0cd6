"""How the losses of microbatches make the loss of the batch: they add up, or each counts by its share."""

import math
from collections.abc import Callable
from typing import Any

from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import array_module
from dlcourse.errors import ArgumentError


def declared(loss_fn: Any) -> str | None:
    """What a loss says of itself, by an attribute ``reduction``: "mean" or "sum"; None where it says nothing.

    Raises:
        ArgumentError: it says that parts of a batch do not make the whole.
    """
    if getattr(loss_fn, "of_its_batch", False):
        raise ArgumentError(
            "TrainStep(accumulate=...): with class_weights or ignore_index the mean is over the weights of a batch, so "
            "microbatches do not make the batch. loss.fit_classes(np.bincount(labels)) scales class_weights once for "
            "all; or take reduction='sum' or accumulate=1"
        )
    reduction = getattr(loss_fn, "reduction", None)
    return reduction if reduction in ("mean", "sum") else None


def measured(loss_fn: Callable[[Tensor, Any], Tensor], outputs: Any, targets: Any) -> str | None:
    """The same for a loss that says nothing, from its values for some samples and for two microbatches of them.

    Returns:
        None where the values do not tell, because all are 0 or one is not finite.
    Raises:
        ArgumentError: it is neither the sum nor the mean over the samples.
    """
    if not isinstance(outputs, Tensor):
        return "mean"
    x, y, count = outputs.data, targets, len(outputs)
    if count == 1:  # a sample by itself is looked at twice
        xp = array_module(x)
        x, y, count = xp.concatenate([x, x]), xp.concatenate([y, y]), 2
    cut = max(1, count // 3)
    with no_grad():
        whole, first, second = (
            loss_fn(Tensor(x[microbatch]), y[microbatch]).item()
            for microbatch in (slice(None), slice(cut), slice(cut, None))
        )
    total, mean = first + second, (cut * first + (count - cut) * second) / count
    size = abs(first) + abs(second)
    if not math.isfinite(whole + size) or abs(total - mean) <= 1e-2 * size:
        return None
    for name, value in (("mean", mean), ("sum", total)):
        if abs(whole - value) <= 1e-3 * size:
            return name
    raise ArgumentError(
        f"TrainStep(accumulate=...): the loss of {count} samples is {whole:.6g}, of {cut} and {count - cut} of them "
        f"{first:.6g} and {second:.6g}: neither their sum nor their mean, so microbatches do not make the batch. "
        "Give the loss an attribute reduction = 'mean' or 'sum' to say how microbatches count, or take accumulate=1"
    )
