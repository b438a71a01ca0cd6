"""Maps from gradients with respect to the input: saliency, SmoothGrad, integrated gradients."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.random import generator
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.explain.scores import Target, input_gradient_at, inputs_of, looking_into, scores_at, targets_of
from dlcourse.nn import Module

__all__ = ["integrated_gradients", "saliency", "smooth_grad"]


def saliency(model: Module, inputs: Any, target: Target = None) -> Tensor:
    """|d score / d pixel|, the largest over the channels of a pixel: where a small change matters most.

    (Simonyan et al. 2013; lecture 10.) ``input_gradient`` has the signs and the channels.

    Args:
        model: gives scores (N, K).
        inputs: (N, H, W, C), or of any other shape, in floating point, normalized as in training.
        target: the output to explain, one number or one for each input; None: of each input the largest.
    Returns:
        (N, H, W); of inputs (N, D) it is (N, D).
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> dl.explain.saliency(model, np.ones((2, 8, 8, 3), "float32")).shape
        (2, 8, 8)
    """
    with looking_into(model):
        x = inputs_of(model, inputs)
        return Tensor(strongest(input_gradient_at(model, x, targets_of(model, x, target))))


def strongest(attributions: Array) -> Array:
    """Of each pixel the largest absolute value over its channels; without channels the absolute value."""
    size = abs(attributions)
    return size.max(axis=-1) if size.ndim > 2 else size


def smooth_grad(
    model: Module,
    inputs: Any,
    target: Target = None,
    *,
    nt_samples: int = 25,
    stdevs: float | None = None,
    seed: int = 0,
) -> Tensor:
    """Saliency of the mean gradient over inputs with noise: M(x) = |mean_i d score / d x at x + n_i|, n_i ~ N(0, s^2).

    The gradient of a net of ReLUs jumps from pixel to pixel; the mean is that of a smoother function. (Smilkov et al.
    2017.) Captum's ``NoiseTunnel`` averages the absolute values; here, as in the paper's code, those with signs.

    Args:
        nt_samples: how many noisy inputs.
        stdevs: s; None: 0.15 of each input's range.
        seed: draws the noise.
        model, inputs, target: as :func:`saliency` has them.
    """
    if nt_samples < 1 or (stdevs is not None and stdevs < 0):
        raise ArgumentError(f"smooth_grad: nt_samples is at least 1, stdevs at least 0, got {nt_samples}, {stdevs}")
    with looking_into(model):
        x = inputs_of(model, inputs)
        xp, where = array_module(x), targets_of(model, x, target)
        axes = tuple(range(1, x.ndim))
        spread = 0.15 * (x.max(axis=axes, keepdims=True) - x.min(axis=axes, keepdims=True))
        total = xp.zeros_like(x)
        for number in range(nt_samples):
            noise = generator(seed, "explain/smooth_grad", number).standard_normal(x.shape).astype(np.float32)
            noise = xp.asarray(noise) * (spread if stdevs is None else stdevs)
            total += input_gradient_at(model, (x + noise).astype(x.dtype), where)
        return Tensor(strongest(total / nt_samples))


def integrated_gradients(
    model: Module,
    inputs: Any,
    baselines: Any = None,
    target: Target = None,
    *,
    n_steps: int = 50,
    return_convergence_delta: bool = False,
) -> Any:
    """(x - b) times the mean gradient on the straight way from a baseline b to x.

    A_i = (x_i - b_i) integral_0^1 d score / d x_i at b + a (x - b) da, by Gauss-Legendre quadrature. Completeness: the
    A_i of an input add up to score(x) - score(b), so each is a share of the score. (Sundararajan et al. 2017.) As
    Captum's ``IntegratedGradients``.

    Args:
        baselines: b, an input that says nothing: a number, one input, or one for each; None: 0, the mean of each
            channel where inputs are standardized.
        n_steps: gradients on the way.
        return_convergence_delta: also return, for each input, by how much completeness is missed.
        model, inputs, target: as :func:`saliency` has them.
    Returns:
        Of the inputs' shape, with signs; and (N,) where the delta is asked for.
    Example:
        >>> model = nn.Linear(2, 1)
        >>> parts = dl.explain.integrated_gradients(model, np.ones((1, 2), "float32"))
        >>> np.allclose(parts.numpy(), model.weight.numpy())
        True
    """
    if n_steps < 1:
        raise ArgumentError(f"integrated_gradients: n_steps is at least 1, got {n_steps}")
    with looking_into(model):
        x = inputs_of(model, inputs)
        where, start = targets_of(model, x, target), baseline_of(x, baselines)
        places, weights = np.polynomial.legendre.leggauss(n_steps)  # on -1 .. 1
        total = array_module(x).zeros_like(x)
        for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
            between = (start + (0.5 + 0.5 * place) * (x - start)).astype(x.dtype, copy=False)
            total += 0.5 * weight * input_gradient_at(model, between, where)
        found = (x - start) * total
        if not return_convergence_delta:
            return Tensor(found)
        difference = scores_at(model, x, where) - scores_at(model, start, where)
        return Tensor(found), Tensor(found.reshape(len(x), -1).sum(axis=1) - difference)


def baseline_of(x: Array, baselines: Any) -> Array:
    """An input that says nothing for each of x: of 0, a number, one input, or one for each.

    Raises:
        ShapeError: it has another shape.
    """
    xp = array_module(x)
    if baselines is None:
        return xp.zeros_like(x)
    given = as_tensor(baselines).detach().to(backend.of(x).name, x.dtype).data
    if given.shape not in ((), x.shape[1:], (1, *x.shape[1:]), x.shape):
        raise ShapeError(f"baselines: expected a number, {x.shape[1:]} or {x.shape}, got shape {given.shape}")
    return xp.ascontiguousarray(xp.broadcast_to(given, x.shape))
