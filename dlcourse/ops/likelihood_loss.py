"""Losses of probabilities and counts, element by element: negative log-likelihoods, and the divergence of
distributions."""

import math
from typing import Any

import numpy as np

from dlcourse.autograd import Tensor, apply, as_tensor
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.activation import sigmoid
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.algebra import broadcast_to
from dlcourse.ops.pointwise_loss import Pointwise, opposite
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.ops.targets import adds_up_by, in_type_of, of_one_shape, weight_of

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "kl_div",
    "poisson_nll_loss",
    "soft_margin_loss",
]

MIN_LOG = -100.0
"""log 0 as PyTorch's binary cross-entropy has it: the loss of a sure mistake is 100, and its gradient is finite."""


class BinaryCrossEntropy(Pointwise):
    """l = -t log p - (1 - t) log(1 - p), logarithms at least -100; dp = (p - t) / (p (1 - p)), the divisor at least
    1e-12, dt = log(1 - p) - log p. (Goodfellow, Bengio & Courville, section 6.2.2.)"""

    def losses(self, p: Array, t: Array) -> Array:
        xp = xp_of(p)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.log_p, self.log_q = (xp.maximum(log, MIN_LOG) for log in (xp.log(p), xp.log1p(-p)))
        return (t - 1) * self.log_q - t * self.log_p

    def slopes(self, p: Array, t: Array) -> tuple:
        dp = (p - t) / xp_of(p).maximum(p * (1 - p), 1e-12)
        return dp, self.log_q - self.log_p if self.needs_input_grad[1] else None


class BinaryCrossEntropyOfLogits(Pointwise):
    """l = (1 - t) x + a softplus(-x), a = 1 + (c - 1) t with the positives' weight c: the cross-entropy of p = s(x),
    s the logistic function, without overflow; dx = 1 - t - a s(-x), dt = (c - 1) softplus(-x) - x. (Lecture 3.)"""

    def __init__(self, reduction: str, weight: Array | None, pos_weight: Array | None):
        super().__init__(reduction, weight)
        self.pos_weight = pos_weight

    def losses(self, x: Array, t: Array) -> Array:
        xp = xp_of(x)
        softplus = xp.log1p(xp.exp(-xp.abs(x))) + xp.maximum(-x, 0)
        self.softplus = softplus if self.needs_input_grad[1:] == (True,) else None
        return (1 - t) * x + self.positive(t) * softplus

    def positive(self, t: Array) -> Any:
        """a."""
        return 1 if self.pos_weight is None else 1 + (self.pos_weight - 1) * t

    def slopes(self, x: Array, t: Array) -> tuple:
        dx = 1 - t - self.positive(t) * sigmoid(-x)
        if self.softplus is None:
            return dx, None
        return dx, -x if self.pos_weight is None else (self.pos_weight - 1) * self.softplus - x


class KLDivergence(Pointwise):
    """l = t (log t - x), 0 where t = 0, for log-probabilities x; dx = -t, dt = log t + 1 - x. Of log t in place of t:
    l = e^t (t - x), dx = -e^t, dt = e^t (t + 1 - x). (Kullback & Leibler 1951.)"""

    def __init__(self, reduction: str, log_target: bool):
        super().__init__(reduction)
        self.log_target = log_target

    def losses(self, x: Array, t: Array) -> Array:
        xp = xp_of(x)
        if self.log_target:
            return xp.exp(t) * (t - x)
        return t * (self.log(t) - x)

    def log(self, t: Array) -> Array:
        """log t, and 0 where t = 0, by which it is multiplied."""
        xp = xp_of(t)
        return xp.log(xp.where(t == 0, 1, t).astype(t.dtype))

    def slopes(self, x: Array, t: Array) -> tuple:
        wanted = self.needs_input_grad[1]
        if self.log_target:
            p = xp_of(x).exp(t)
            return -p, p * (t + 1 - x) if wanted else None
        with np.errstate(divide="ignore"):
            return -t, xp_of(x).log(t) + 1 - x if wanted else None


class PoissonNLL(Pointwise):
    """l = e^x - t x of log-rates x: dx = e^x - t, dt = -x. Of rates x it is l = x - t log(x + eps):
    dx = 1 - t / (x + eps), dt = -log(x + eps).

    The whole likelihood has log t! too: by Stirling's formula t log t - t + log(2 pi t) / 2 where t > 1, and 0 below.
    """

    def __init__(self, reduction: str, log_input: bool, full: bool, eps: float):
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def losses(self, x: Array, t: Array) -> Array:
        xp = xp_of(x)
        losses = xp.exp(x) - t * x if self.log_input else x - t * xp.log(x + self.eps)
        if self.full:
            large = xp.maximum(t, 1)
            stirling = large * xp.log(large) - large + 0.5 * xp.log(2 * math.pi * large)
            losses += xp.where(t > 1, stirling, 0).astype(t.dtype)
        return losses

    def slopes(self, x: Array, t: Array) -> tuple:
        xp = xp_of(x)
        dx = xp.exp(x) - t if self.log_input else 1 - t / (x + self.eps)
        if not self.needs_input_grad[1]:
            return dx, None
        dt = -x if self.log_input else -xp.log(x + self.eps)
        if self.full:
            large = xp.maximum(t, 1)
            dt = dt + xp.where(t > 1, xp.log(large) + 0.5 / large, 0).astype(t.dtype)
        return dx, dt


class GaussianNLLOfVariance(Pointwise):
    """l = (log v + (x - t)^2 / v) / 2, and log(2 pi) / 2 for the whole likelihood; v is the variance, at least eps.

    dx = (x - t) / v, dt = -dx, dv = (1 - (x - t)^2 / v) / (2 v), also where v was raised to eps. (Nix & Weigend 1994.)
    """

    def __init__(self, reduction: str, full: bool, eps: float):
        super().__init__(reduction)
        self.constant, self.eps = 0.5 * math.log(2 * math.pi) if full else 0.0, eps

    def losses(self, x: Array, t: Array, v: Array) -> Array:
        xp = xp_of(x)
        self.difference, self.variance = x - t, xp.maximum(v, self.eps)
        return 0.5 * (xp.log(self.variance) + self.difference**2 / self.variance) + self.constant

    def slopes(self, x: Array, t: Array, v: Array) -> tuple:
        dx = self.difference / self.variance
        dv = 0.5 * (1 / self.variance - dx * dx) if self.needs_input_grad[2] else None
        return *opposite(self, dx), dv


class SoftMargin(Pointwise):
    """l = log(1 + e^(-t x)); dx = -t s(-t x), dt = -x s(-t x), s the logistic function: logistic regression with
    targets -1 and 1."""

    def losses(self, x: Array, t: Array) -> Array:
        xp = xp_of(x)
        self.margin = t * x
        return xp.log1p(xp.exp(-xp.abs(self.margin))) + xp.maximum(-self.margin, 0)

    def slopes(self, x: Array, t: Array) -> tuple:
        share = -sigmoid(-self.margin)
        return t * share, x * share if self.needs_input_grad[1] else None


@adds_up_by("mean")
def binary_cross_entropy(
    probabilities: Tensor, targets: Any, weight: Any = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """-t log p - (1 - t) log(1 - p) of probabilities p; of logits :func:`binary_cross_entropy_with_logits` is exact.

    Args:
        probabilities: in 0..1, of any shape.
        targets: of the same shape, in 0..1; a tensor that needs a gradient gets it.
        weight: a factor for each loss, of a shape that broadcasts to theirs; the mean is over the elements all the
            same.
        reduction: "mean", "sum" or "none".
    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a probability is outside 0..1 (on a GPU, where looking would wait for it, the loss is NaN), or
            ``reduction`` is none of the three.
    """
    check_reduction("binary_cross_entropy", reduction)
    p, targets = of_one_shape("binary_cross_entropy", probabilities, targets)
    if isinstance(p.data, np.ndarray) and p.size and not (p.data.min() >= 0 and p.data.max() <= 1):
        raise ArgumentError(
            f"binary_cross_entropy: probabilities are in 0..1, got {p.data.min():g}..{p.data.max():g}; of logits take "
            "binary_cross_entropy_with_logits"
        )
    return apply(BinaryCrossEntropy(reduction, weight_of("binary_cross_entropy", p, weight)), p, targets)


@adds_up_by("mean")
def binary_cross_entropy_with_logits(
    logits: Tensor, targets: Any, weight: Any = None, *, reduction: Reduction = "mean", pos_weight: Any = None
) -> Tensor:
    """-t log p - (1 - t) log(1 - p) of p = 1 / (1 + e^-logit), without overflow: a logistic regression for each output.

    Args:
        logits: of any shape.
        targets: of the same shape, in 0..1; a tensor that needs a gradient gets it.
        weight: a factor for each loss, of a shape that broadcasts to theirs; the mean is over the elements all the
            same.
        reduction: "mean", "sum" or "none".
        pos_weight: a factor for -t log p, of a shape that broadcasts to theirs: above 1 finds more of the positives.
    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: ``reduction`` is none of the three.
    Example:
        >>> round(F.binary_cross_entropy_with_logits(dl.tensor([0.0]), np.array([1.0])).item(), 4)  # log 2
        0.6931
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction)
    x, targets = of_one_shape(name, logits, targets)
    weights = weight_of(name, x, weight), weight_of(name, x, pos_weight)
    return apply(BinaryCrossEntropyOfLogits(reduction, *weights), x, targets)


@adds_up_by("mean")
def kl_div(log_p: Tensor, targets: Any, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence of predicted distributions from the targets': t (log t - log p), element by
    element.

    Args:
        log_p: logarithms of the predicted probabilities, as of log_softmax.
        targets: probabilities of the same shape; a tensor that needs a gradient gets it.
        reduction: "batchmean", the sum over the number of samples, is the divergence's own; "mean" is over all
            elements, also "sum" and "none".
        log_target: whether targets are logarithms too.
    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the four.
    """
    check_reduction("kl_div", reduction, "batchmean")
    log_p, targets = of_one_shape("kl_div", log_p, targets)
    of_batch = reduction == "batchmean"
    total = apply(KLDivergence("sum" if of_batch else reduction, log_target), log_p, targets)
    return total / (len(log_p) or math.nan) if of_batch and log_p.ndim else total


@adds_up_by("mean")
def poisson_nll_loss(
    outputs: Tensor,
    targets: Any,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> Tensor:
    """The negative log-likelihood of counts under Poisson distributions, without log t! unless ``full``.

    Args:
        outputs: logarithms of the rates, or the rates themselves with ``log_input=False``.
        targets: counts of the same shape; a tensor that needs a gradient gets it.
        log_input: what outputs are.
        full: add Stirling's formula for log t! where t > 1.
        eps: added to a rate before its logarithm.
        reduction: "mean", "sum" or "none".
    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    check_reduction("poisson_nll_loss", reduction)
    return apply(PoissonNLL(reduction, log_input, full, eps), *of_one_shape("poisson_nll_loss", outputs, targets))


@adds_up_by("mean")
def gaussian_nll_loss(
    outputs: Tensor, targets: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"
) -> Tensor:
    """The negative log-likelihood of targets under normal distributions of given means and variances.

    :func:`gaussian_nll` takes both from one array, as a net gives them.

    Args:
        outputs: means, of any shape.
        targets: of the same shape; a tensor that needs a gradient gets it.
        var: variances of that shape, or with a length 1 on one axis, or without the last axis, or one number; a tensor
            that needs a gradient gets it.
        full: add log(2 pi) / 2.
        eps: the least variance.
        reduction: "mean", "sum" or "none".
    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: a variance is negative (on a GPU, where looking would wait for it, it counts as ``eps``), or
            ``reduction`` is none of the three.
    """
    check_reduction("gaussian_nll_loss", reduction)
    outputs, targets = of_one_shape("gaussian_nll_loss", outputs, targets)
    var = as_tensor(in_type_of(outputs, np.full((1,) * outputs.ndim, var) if isinstance(var, int | float) else var))
    if var.shape == outputs.shape[:-1] and outputs.ndim:
        var = var.unsqueeze(-1)
    ends = [(ours, theirs) for ours, theirs in zip(var.shape, outputs.shape, strict=False) if ours != theirs]
    if var.ndim != outputs.ndim or any(ours != 1 for ours, _ in ends):
        raise ShapeError(f"gaussian_nll_loss: var of outputs {outputs.shape} has that shape, or 1 for a length of it")
    if isinstance(var.data, np.ndarray) and (var.data < 0).any():
        raise ArgumentError(f"gaussian_nll_loss: a variance is at least 0, got {var.data.min():g}")
    var = broadcast_to(var, outputs.shape)
    return apply(GaussianNLLOfVariance(reduction, full, eps), outputs, targets, var)


@adds_up_by("mean")
def soft_margin_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean") -> Tensor:
    """log(1 + e^(-t x)) of scores x and targets t, -1 or 1, of one shape.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    check_reduction("soft_margin_loss", reduction)
    return apply(SoftMargin(reduction), *of_one_shape("soft_margin_loss", outputs, targets))
