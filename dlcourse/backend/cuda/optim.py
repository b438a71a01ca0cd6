"""Optimizer steps, clipping and penalties on the GPU: one pass over the flat parameters each.

The rate and the step number may be arrays of one element on the device: then the kernel reads them there, and a
captured launch sees what they hold when it is replayed.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.program import NULL, grid_for_packs, program, step_number, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import optim as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.optim import AdamSettings, RMSpropSettings, SGDSettings
from dlcourse.backend.kernels.penalty import add_penalty as penalty_kernel

THREADS = 256


def _changing(value: Any, kind: type) -> tuple:
    """A number as the kernels take it: a pointer, null where it is the host's, and its value."""
    return (value, kind(0)) if hasattr(value, "dtype") and hasattr(value, "get") else (NULL, kind(value))


def _over_all(name: str, weight: Array, *args: Any) -> None:
    grid = grid_for_packs(weight, THREADS)
    program("optim").launch(f"{name}_{type_suffix(weight)}", grid, (THREADS,), (weight, *args))


def _suits(*arrays: Array | None) -> bool:
    held = [array for array in arrays if array is not None]
    return bool(type_suffix(*held) and held[0].size and all(array.flags.c_contiguous for array in held))


def _or_null(array: Array | None) -> Any:
    return NULL if array is None else array


@override(kernels.sgd_step, "cuda")
def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, lr: float, settings: SGDSettings, scaler: Array | None = None
) -> None:
    if not _suits(weight, grad, velocity):
        return NotImplemented
    kind = weight.dtype.type
    numbers = kind(settings.momentum), np.int32(settings.nesterov), kind(settings.weight_decay), _or_null(scaler)
    arrays = grad, _or_null(velocity), np.int64(weight.size)
    _over_all("sgd_step", weight, *arrays, *_changing(lr, kind), *numbers)


@override(kernels.adam_step, "cuda")
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
    if not _suits(weight, grad, exp_avg, exp_avg_sq):
        return NotImplemented
    kind = weight.dtype.type
    changing = *step_number(step), *_changing(lr, kind)
    beta1, beta2, eps, weight_decay, decoupled = settings
    numbers = np.float64(beta1), np.float64(beta2), kind(eps), kind(weight_decay), np.int32(decoupled)
    arrays = grad, exp_avg, exp_avg_sq, np.int64(weight.size)
    _over_all("adam_step", weight, *arrays, *changing, *numbers, _or_null(scaler))


@override(kernels.adagrad_step, "cuda")
def adagrad_step(
    weight: Array, grad: Array, sum_sq: Array, lr: float, eps: float, weight_decay: float, scaler: Array | None = None
) -> None:
    if not _suits(weight, grad, sum_sq):
        return NotImplemented
    kind = weight.dtype.type
    settings = *_changing(lr, kind), kind(eps), kind(weight_decay), _or_null(scaler)
    _over_all("adagrad_step", weight, grad, sum_sq, np.int64(weight.size), *settings)


@override(kernels.rmsprop_step, "cuda")
def rmsprop_step(
    weight: Array,
    grad: Array,
    square_avg: Array,
    velocity: Array | None,
    lr: float,
    settings: RMSpropSettings,
    scaler: Array | None = None,
) -> None:
    if not _suits(weight, grad, square_avg, velocity):
        return NotImplemented
    kind = weight.dtype.type
    alpha, eps, momentum, weight_decay = settings
    numbers = *map(kind, (alpha, 1 - alpha, eps, momentum, weight_decay)), _or_null(scaler)
    arrays = grad, square_avg, _or_null(velocity), np.int64(weight.size)
    _over_all("rmsprop_step", weight, *arrays, *_changing(lr, kind), *numbers)


@override(kernels.average_step, "cuda")
def average_step(average: Array, weight: Array, decay: float) -> None:
    if not _suits(average, weight):
        return NotImplemented
    kind = weight.dtype.type
    _over_all("average_step", average, weight, np.int64(weight.size), kind(decay), kind(1 - decay))


@override(kernels.clip_norm, "cuda")
def clip_norm(grad: Array, max_norm: float) -> Array:
    if not _suits(grad):
        return NotImplemented
    xp, name, grid = array_module(grad), type_suffix(grad), grid_for_packs(grad, THREADS)
    parts, norm = xp.empty(grid[0], dtype=np.float64), xp.empty((), dtype=grad.dtype)
    count, launch = np.int64(grad.size), program("optim").launch
    launch(f"squares_{name}", grid, (THREADS,), (grad, parts, count))
    settings = count, np.int32(grid[0]), grad.dtype.type(max_norm)
    launch(f"clip_{name}", grid, (THREADS,), (grad, parts, norm, *settings))
    return norm


@override(penalty_kernel, "cuda")
def add_penalty(grad: Array, weight: Array, mask: Array, l1: float, l2: float) -> Array:
    if not _suits(grad, weight, mask):
        return NotImplemented
    xp, name, grid = array_module(grad), type_suffix(grad), grid_for_packs(grad, THREADS)
    kind, launch = grad.dtype.type, program("optim").launch
    parts, value = xp.empty(grid[0], dtype=np.float64), xp.empty((), dtype=grad.dtype)
    arrays = grad, weight, mask, parts, np.int64(grad.size)
    launch(f"penalty_{name}", grid, (THREADS,), (*arrays, kind(l1), kind(l2)))
    launch(f"total_{name}", (1,), (THREADS,), (parts, value, np.int32(grid[0])))
    return value
