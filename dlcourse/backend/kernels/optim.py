"""Optimizer steps: one kernel over a model's flat parameter buffer, in place, and over those of many models.

All arrays are one-dimensional, of one length n and one floating-point type. The gradient is only read. Weight decay
adds ``weight_decay * weight`` to the gradient (the L2 penalty's share), before anything else. With a loss scale (see
``scaling.py``) nothing is changed where the gradient overflowed, and Adam does not count that step.

A kernel whose name ends in ``_each`` takes that step for each row of arrays (R, L), of which the first ``count``
columns are parameters: R optimizers of one kind, each with its own rate in ``lr`` (R,), float64 or the weights' type,
and its own settings, a row of ``settings`` (R, K), float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.scaling import counted, skips


class SGDSettings(NamedTuple):
    """The settings of :func:`sgd_step`."""

    momentum: float
    nesterov: bool
    weight_decay: float


class AdamSettings(NamedTuple):
    """The settings of :func:`adam_step`."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decoupled: bool


class RMSpropSettings(NamedTuple):
    """The settings of :func:`rmsprop_step`."""

    alpha: float
    eps: float
    momentum: float
    weight_decay: float


@kernel
def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, lr: float, settings: SGDSettings, scaler: Array | None = None
) -> None:
    """Gradient descent, with momentum where ``velocity`` is an array (zeros at first).

    v <- momentum v + g;  w <- w - lr v, or with Nesterov  w <- w - lr (g + momentum v).
    """
    if skips(scaler):
        return
    momentum, nesterov, weight_decay = settings
    grad = grad + weight_decay * weight
    if velocity is not None:
        velocity *= momentum
        velocity += grad
        grad = grad + momentum * velocity if nesterov else velocity
    weight -= lr * grad


@kernel
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
    """Adam (Kingma & Ba 2015) with bias correction; ``step`` counts from 1.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
    w <- w - lr m' / (sqrt(v') + eps),  m' = m / (1 - beta1^step),  v' = v / (1 - beta2^step)

    ``decoupled`` is AdamW (Loshchilov & Hutter 2019): the decay leaves the gradient alone and shrinks the weight,
    w <- (1 - lr weight_decay) w, before the update.
    """
    if skips(scaler):
        return
    beta1, beta2, eps, weight_decay, decoupled = settings
    step, xp = counted(step, scaler), array_module(weight)
    if decoupled:
        weight *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * weight
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * (grad * grad)
    mean = exp_avg / (1 - beta1**step)
    variance = exp_avg_sq / (1 - beta2**step)
    weight -= lr * mean / (xp.sqrt(variance) + eps)


@kernel
def adagrad_step(
    weight: Array, grad: Array, sum_sq: Array, lr: float, eps: float, weight_decay: float, scaler: Array | None = None
) -> None:
    """AdaGrad (Duchi, Hazan & Singer 2011): s <- s + g^2;  w <- w - lr g / (sqrt(s) + eps)."""
    if skips(scaler):
        return
    xp = array_module(weight)
    grad = grad + weight_decay * weight
    sum_sq += grad * grad
    weight -= lr * grad / (xp.sqrt(sum_sq) + eps)


@kernel
def rmsprop_step(
    weight: Array,
    grad: Array,
    square_avg: Array,
    velocity: Array | None,
    lr: float,
    settings: RMSpropSettings,
    scaler: Array | None = None,
) -> None:
    """RMSProp (Tieleman & Hinton 2012), with momentum where ``velocity`` is an array (zeros at first).

    s <- alpha s + (1 - alpha) g^2;  u = g / (sqrt(s) + eps);  w <- w - lr u, or v <- momentum v + u;  w <- w - lr v.
    """
    if skips(scaler):
        return
    xp, (alpha, eps, momentum, weight_decay) = array_module(weight), settings
    grad = grad + weight_decay * weight
    square_avg *= alpha
    square_avg += (1 - alpha) * (grad * grad)
    update = grad / (xp.sqrt(square_avg) + eps)
    if velocity is not None:
        velocity *= momentum
        velocity += update
        update = velocity
    weight -= lr * update


@kernel
def average_step(average: Array, weight: Array, decay: float) -> None:
    """An exponential moving average of the weights (Polyak & Juditsky 1992): a <- decay a + (1 - decay) w."""
    average *= decay
    average += (1 - decay) * weight


@kernel
def clip_norm(grad: Array, max_norm: float) -> Array:
    """Scale a gradient in place so that its Euclidean norm is at most ``max_norm``; nothing is read by the host.

    g <- g min(1, max_norm / (|g| + 1e-6)).

    Returns:
        |g| before clipping, a zero-dimensional array.
    """
    xp = array_module(grad)
    norm = xp.asarray(xp.linalg.norm(grad))
    grad *= xp.minimum(max_norm / (norm + 1e-6), 1.0)
    return norm


def _rows(count: int, *arrays: Array | None) -> Iterator[list]:
    """The parameters in each row of the arrays; None stays None."""
    first: Array = arrays[0]
    for i in range(len(first)):
        yield [None if array is None else array[i, :count] for array in arrays]


@kernel
def sgd_step_each(weight: Array, grad: Array, velocity: Array | None, count: int, lr: Array, settings: Array) -> None:
    """:func:`sgd_step` of each row. Settings: whether it has a velocity, momentum, nesterov, weight_decay."""
    rows = zip(_rows(count, weight, grad, velocity), lr.tolist(), settings.tolist(), strict=True)
    for (w, g, v), rate, (has_velocity, momentum, nesterov, decay) in rows:
        sgd_step(w, g, v if has_velocity else None, rate, SGDSettings(momentum, bool(nesterov), decay))


@kernel
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
    """:func:`adam_step` of each row, all at one step. Settings: beta1, beta2, eps, weight_decay, decoupled."""
    rows = zip(_rows(count, weight, grad, exp_avg, exp_avg_sq), lr.tolist(), settings.tolist(), strict=True)
    for arrays, rate, (beta1, beta2, eps, decay, decoupled) in rows:
        adam_step(*arrays, step, rate, AdamSettings(beta1, beta2, eps, decay, bool(decoupled)))


@kernel
def adagrad_step_each(weight: Array, grad: Array, sum_sq: Array, count: int, lr: Array, settings: Array) -> None:
    """:func:`adagrad_step` of each row. Settings: eps, weight_decay."""
    rows = zip(_rows(count, weight, grad, sum_sq), lr.tolist(), settings.tolist(), strict=True)
    for arrays, rate, numbers in rows:
        adagrad_step(*arrays, rate, *numbers)


@kernel
def rmsprop_step_each(
    weight: Array,
    grad: Array,
    square_avg: Array,
    velocity: Array | None,
    count: int,
    lr: Array,
    settings: Array,
) -> None:
    """:func:`rmsprop_step` of each row. Settings: whether it has a velocity, alpha, eps, momentum, weight_decay."""
    rows = zip(_rows(count, weight, grad, square_avg, velocity), lr.tolist(), settings.tolist(), strict=True)
    for (w, g, average, v), rate, (has_velocity, *numbers) in rows:
        rmsprop_step(w, g, average, v if has_velocity else None, rate, RMSpropSettings(*numbers))
