"""Optimizer steps, clipping and penalties on the GPU: one pass over the flat parameters each.

The rate and the step number may be arrays of one element on the device: then the kernel reads them there, and a
captured launch sees what they hold when it is replayed. The steps of many models are one launch, whose blocks lie along
x over the parameters and along y over the models.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.program import (
    BLOCKS,
    THREADS,
    blocks_for,
    override,
    packs_of,
    program,
    step_number,
    type_suffix,
)
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import optim as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.optim import AdamSettings, RMSpropSettings, SGDSettings
from dlcourse.backend.kernels.penalty import add_penalty as penalty_kernel

MAX_ROWS = 65535
"""Blocks that a grid may have along y."""


def _changing(value: Any, kind: type) -> tuple:
    """A number as the kernels take it: a pointer, null where it is the host's, and its value."""
    return (value, kind(0)) if hasattr(value, "dtype") and hasattr(value, "get") else (None, kind(value))


def _suffix(*arrays: Array | None) -> str:
    """:func:`type_suffix` of contiguous arrays."""
    require(all(array is None or array.flags.c_contiguous for array in arrays))
    return type_suffix(*arrays)


def _over_all(name: str, arrays: tuple[Array | None, ...], *args: Any) -> None:
    """The kernel of that name on flat arrays of one length and type, some of which may be None."""
    first: Array = arrays[0]
    name = f"{name}_{_suffix(*arrays)}"
    program("optim").launch_over(packs_of(first), name, *arrays, np.int64(first.size), *args)


@override(kernels.sgd_step)
def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, lr: float, settings: SGDSettings, scaler: Array | None = None
) -> None:
    kind = weight.dtype.type
    numbers = kind(settings.momentum), np.int32(settings.nesterov), kind(settings.weight_decay)
    _over_all("sgd_step", (weight, grad, velocity), *_changing(lr, kind), *numbers, scaler)


@override(kernels.adam_step)
def adam_step(
    weight: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float,
    settings: AdamSettings,
    scaler: Array | None = None,
) -> None:
    kind = weight.dtype.type
    beta1, beta2, eps, weight_decay, decoupled = settings
    numbers = np.float64(beta1), np.float64(beta2), kind(eps), kind(weight_decay), np.int32(decoupled)
    arrays, changing = (weight, grad, exp_avg, exp_avg_sq), (*step_number(step), *_changing(lr, kind))
    _over_all("adam_step", arrays, *changing, *numbers, scaler)


@override(kernels.adagrad_step)
def adagrad_step(
    weight: Array, grad: Array, sum_sq: Array, lr: float, eps: float, weight_decay: float, scaler: Array | None = None
) -> None:
    kind = weight.dtype.type
    _over_all("adagrad_step", (weight, grad, sum_sq), *_changing(lr, kind), kind(eps), kind(weight_decay), scaler)


@override(kernels.rmsprop_step)
def rmsprop_step(
    weight: Array,
    grad: Array,
    square_avg: Array,
    velocity: Array | None,
    lr: float,
    settings: RMSpropSettings,
    scaler: Array | None = None,
) -> None:
    kind = weight.dtype.type
    alpha, eps, momentum, weight_decay = settings
    numbers = map(kind, (alpha, 1 - alpha, eps, momentum, weight_decay))
    _over_all("rmsprop_step", (weight, grad, square_avg, velocity), *_changing(lr, kind), *numbers, scaler)


def _over_rows(name: str, arrays: tuple[Array | None, ...], count: int, lr: Array, settings: Array, *step: Any) -> None:
    """The kernel of that name on arrays (R, L) of one type, some of which may be None."""
    first: Array = arrays[0]
    rows, length = first.shape
    name = f"{name}_{_suffix(*arrays)}"
    require(rows <= MAX_ROWS and settings.flags.c_contiguous and lr.flags.c_contiguous)
    blocks = min(blocks_for(packs_of(first[0])), max(1, BLOCKS // rows))
    sizes = np.int64(length), np.int64(count)
    args = *arrays, *sizes, *step, lr.astype(first.dtype, copy=False), settings
    program("optim").launch(name, (blocks, rows), (THREADS,), args)


@override(kernels.sgd_step_each)
def sgd_step_each(weight: Array, grad: Array, velocity: Array | None, count: int, lr: Array, settings: Array) -> None:
    _over_rows("sgd_step_each", (weight, grad, velocity), count, lr, settings)


@override(kernels.adam_step_each)
def adam_step_each(
    weight: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    count: int,
    step: int,
    lr: Array,
    settings: Array,
) -> None:
    arrays = weight, grad, exp_avg, exp_avg_sq
    _over_rows("adam_step_each", arrays, count, lr, settings, *step_number(step))


@override(kernels.adagrad_step_each)
def adagrad_step_each(weight: Array, grad: Array, sum_sq: Array, count: int, lr: Array, settings: Array) -> None:
    _over_rows("adagrad_step_each", (weight, grad, sum_sq), count, lr, settings)


@override(kernels.rmsprop_step_each)
def rmsprop_step_each(
    weight: Array,
    grad: Array,
    square_avg: Array,
    velocity: Array | None,
    count: int,
    lr: Array,
    settings: Array,
) -> None:
    _over_rows("rmsprop_step_each", (weight, grad, square_avg, velocity), count, lr, settings)


@override(kernels.average_step)
def average_step(average: Array, weight: Array, decay: float) -> None:
    kind = weight.dtype.type
    _over_all("average_step", (average, weight), kind(decay), kind(1 - decay))


@override(kernels.clip_norm)
def clip_norm(grad: Array, max_norm: float) -> Array:
    suffix, xp, packs = _suffix(grad), array_module(grad), packs_of(grad)
    parts, norm = xp.empty(blocks_for(packs), dtype=np.float64), xp.empty((), dtype=grad.dtype)
    count, launch = np.int64(grad.size), program("optim").launch_over
    launch(packs, f"squares_{suffix}", grad, parts, count)
    launch(packs, f"clip_{suffix}", grad, parts, norm, count, np.int32(parts.size), grad.dtype.type(max_norm))
    return norm


@override(penalty_kernel)
def add_penalty(grad: Array, weight: Array, mask: Array, l1: float, l2: float) -> Array:
    suffix, xp, packs = _suffix(grad, weight, mask), array_module(grad), packs_of(grad)
    kind, launch = grad.dtype.type, program("optim").launch_over
    parts, value = xp.empty(blocks_for(packs), dtype=np.float64), xp.empty((), dtype=grad.dtype)
    launch(packs, f"penalty_{suffix}", grad, weight, mask, parts, np.int64(grad.size), kind(l1), kind(l2))
    launch(1, f"total_{suffix}", parts, value, np.int32(parts.size))
    return value
