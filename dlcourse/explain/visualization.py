"""Class visualization: an image that a net is as sure of as it can be."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.random import generator
from dlcourse.errors import ArgumentError
from dlcourse.explain.scores import input_gradient_at, looking_into, targets_of
from dlcourse.nn import Module

__all__ = ["class_visualization"]


def class_visualization(
    model: Module,
    target: int | Sequence[int],
    shape: Sequence[int] | None = None,
    *,
    steps: int = 100,
    lr: float = 1.0,
    l2: float = 1e-3,
    jitter: int = 2,
    blur: float = 0.5,
    blur_every: int = 10,
    bounds: Any = None,
    scale: Any = None,
    seed: int = 0,
) -> Tensor:
    """Images x = s u that a net gives a class the highest score for: gradient ascent on u of score(s u) - l2 |u|^2.

    A step is lr g / |g|, and s the scale of the pixels, so that one rate suits every net and every unit of its inputs.
    The image is moved by a random jitter before each step and back after it, and blurred now and then: without either
    it is noise that happens to please the net. (Simonyan et al. 2013; Yosinski et al. 2015.)

    Args:
        model: gives scores (N, K).
        target: a class, or several: an image each.
        shape: (H, W, C) of an input; None: the model's ``in_shape``.
        steps: of gradient ascent.
        lr: the length of a step in u.
        l2: pulls pixels towards 0, the mean where inputs are standardized.
        jitter: by how many pixels the image is moved at most, along each axis.
        blur: standard deviation of the blur, in pixels; 0 for none.
        blur_every: steps from one blur to the next.
        bounds: smallest and largest value of a pixel, numbers or one for each channel; None: no bounds.
        scale: s, a number or one for each channel: about the standard deviation of a pixel. None: a quarter of what the
            bounds span, as in photographs; without two bounds 1, which suits standardized inputs.
        seed: draws the first u, standard normal, and the jitter.
    Returns:
        (classes, H, W, C), in the values that the model takes.
    Raises:
        ArgumentError: there is no such class, a setting is out of range, or the shape is not known.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> dl.explain.class_visualization(model, [3, 5], (8, 8, 3), steps=2).shape
        (2, 8, 8, 3)
    """
    shape = getattr(model, "in_shape", None) if shape is None else shape
    if shape is None or len(shape) != 3:
        raise ArgumentError(f"class_visualization: expected the shape (H, W, C) of an input, got {shape}")
    if steps < 1 or lr <= 0 or min(l2, jitter, blur) < 0 or blur_every < 1:
        raise ArgumentError("class_visualization: steps and blur_every are at least 1, lr above 0, others at least 0")
    classes = np.atleast_1d(np.asarray(target))
    low, high = (None, None) if bounds is None else (np.asarray(each, dtype=np.float32) for each in bounds)
    if scale is None:
        span = np.float32(np.inf) if low is None or high is None else high - low
        scale = np.where(np.isinf(span), 1.0, span / 4)
    scale = np.asarray(scale, dtype=np.float32)
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ArgumentError("class_visualization: scale is above 0, and the upper bound above the lower one")
    first = generator(seed, "explain/class").standard_normal((len(classes), *shape))
    with looking_into(model):
        weight = next(model.parameters())
        x = backend.current().asarray(first.astype(np.float32) * scale, dtype=weight.dtype)
        xp, where = array_module(x), targets_of(model, x, classes)
        s = xp.asarray(scale)
        low, high = (None if each is None else xp.asarray(each) for each in (low, high))
        for step in range(steps):
            moves = generator(seed, "explain/jitter", step).integers(-jitter, jitter + 1, 2).tolist()
            moved = xp.roll(x, moves, (1, 2))
            g = s * input_gradient_at(model, moved, where) - 2 * l2 * moved / s
            length = xp.sqrt((g * g).sum(axis=(1, 2, 3), keepdims=True))
            moved = moved + s * (lr * g / xp.maximum(length, np.finfo(np.float32).tiny))
            x = xp.roll(moved, [-each for each in moves], (1, 2))
            if blur and step % blur_every == blur_every - 1:
                x = blurred(x, blur)
            if low is not None:
                x = xp.clip(x, low, high)
            x = x.astype(weight.dtype, copy=False)
        return Tensor(x)


def blurred(x: Array, sigma: float) -> Array:
    """Images (N, H, W, C) under a Gaussian of that standard deviation, in pixels; the border goes on as it is."""
    xp = array_module(x)
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        length = x.shape[axis]
        places = np.clip(np.arange(length) + np.arange(-reach, reach + 1)[:, None], 0, length - 1)
        x = sum(w * xp.take(x, xp.asarray(at), axis) for w, at in zip(weights.tolist(), places, strict=True))
    return x
