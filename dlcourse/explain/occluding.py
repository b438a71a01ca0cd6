"""Occlusion: how a score falls when a part of an input is covered."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse.autograd import Tensor
from dlcourse.backend.device import array_module
from dlcourse.errors import ArgumentError
from dlcourse.explain.gradients import baseline_of
from dlcourse.explain.scores import Target, inputs_of, looking_into, scores_at, targets_of
from dlcourse.nn import Module

__all__ = ["occlusion"]

Window = tuple[slice, ...]


def occlusion(
    model: Module,
    inputs: Any,
    sliding_window_shapes: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    baselines: Any = None,
    target: Target = None,
    *,
    perturbations_per_eval: int = 64,
) -> Tensor:
    """score(x) - score(x with a window covered), for each number of x the mean over the windows that cover it.

    It needs no gradient, and asks about a large change where saliency asks about a small one. (Zeiler & Fergus 2013.)
    As Captum's ``Occlusion``: windows begin at 0 and go on until all is covered, the last one may be cut off.

    Args:
        model: gives scores (N, K).
        inputs: (N, H, W, C), or of any other shape, in floating point, normalized as in training.
        sliding_window_shapes: of one input, such as (8, 8, 3); (8, 8) covers all channels, 8 is 8 along each axis but
            that of the channels.
        strides: from one window to the next, likewise; None: 1.
        baselines: what covers: a number, one input, or one for each; None: 0, the mean where inputs are standardized.
        target: the output to explain, one number or one for each input; None: of each input the largest.
        perturbations_per_eval: windows in a forward pass.
    Returns:
        Of the inputs' shape.
    Raises:
        ArgumentError: windows or strides do not fit an input.
    Example:
        >>> model = nn.Linear(3, 2, bias=False)
        >>> parts = dl.explain.occlusion(model, np.ones((1, 3), "float32"), 1, target=0)
        >>> np.allclose(parts.numpy()[0], model.weight.numpy()[0], atol=1e-6)
        True
    """
    if perturbations_per_eval < 1:
        raise ArgumentError(f"occlusion: perturbations_per_eval is at least 1, got {perturbations_per_eval}")
    with looking_into(model):
        x = inputs_of(model, inputs)
        shape = x.shape[1:]
        window = _sizes("sliding_window_shapes", sliding_window_shapes, shape, whole=True)
        steps = _sizes("strides", 1 if strides is None else strides, shape, whole=False)
        if any(step > size for step, size in zip(steps, window, strict=True)):
            raise ArgumentError(f"strides: {steps} are longer than the window {window}: some would never be covered")
        windows = _windows(shape, window, steps)
        where, cover = targets_of(model, x, target), baseline_of(x, baselines)
        xp, before = array_module(x), scores_at(model, x, where)
        total, times = xp.zeros_like(x), xp.zeros_like(x[0])
        for start in range(0, len(windows), perturbations_per_eval):
            some = windows[start : start + perturbations_per_eval]
            covered = xp.repeat(x[None], len(some), axis=0)  # (P, N, ...)
            for each, place in zip(covered, some, strict=True):
                each[:, *place] = cover[:, *place]
            scores = scores_at(model, covered.reshape(-1, *shape), xp.tile(where, len(some)))
            for place, after in zip(some, scores.reshape(len(some), len(x)), strict=True):
                total[:, *place] += (before - after).reshape(-1, *[1] * len(shape))
                times[place] += 1
        return Tensor(total / times)


def _sizes(name: str, given: Any, shape: tuple[int, ...], whole: bool) -> tuple[int, ...]:
    """A length for each axis of one input; that of the channels may be left out.

    Args:
        whole: whether a window then covers all channels.
    """
    channels = (shape[-1],) if len(shape) > 1 else ()
    axes = len(shape) - len(channels)
    sizes = tuple(given) if isinstance(given, tuple | list) else (given,) * axes
    if len(sizes) == axes and channels:
        sizes += channels
    fits = len(sizes) == len(shape) and all(isinstance(size, int | np.integer) and size >= 1 for size in sizes)
    if not fits or (whole and any(size > length for size, length in zip(sizes, shape, strict=True))):
        raise ArgumentError(f"{name}: expected whole numbers from 1 for inputs of shape {shape}, got {given!r}")
    return sizes


def _windows(shape: tuple[int, ...], window: tuple[int, ...], steps: tuple[int, ...]) -> list[Window]:
    """Windows from 0 on along each axis, until one reaches the end."""
    axes = []
    for length, size, step in zip(shape, window, steps, strict=True):
        count = -(-(length - size) // step) + 1
        axes.append([slice(i * step, min(i * step + size, length)) for i in range(count)])
    return list(itertools.product(*axes))
