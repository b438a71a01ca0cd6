"""Losses of each output and its target by themselves: regression, probabilities and counts.

Each is one formula l(x, t) with its derivatives; what comes of the losses of all elements, ``Pointwise`` does: their
mean, their sum, or all of them.
"""

import math
from typing import Any

import numpy as np

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.autograd.elementwise import logistic
from dlcourse.autograd.function import xp_of
from dlcourse.autograd.replicas import ReplicaArray, Rule
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.replicas import summed_products
from dlcourse.backend.kernels.sums import sum_of_squares
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.algebra import broadcast_to
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.ops.targets import adds_up_by, in_type_of, of_one_shape, weight_of

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "half_sse",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]

LEAST_LOG = -100.0
"""log 0 as PyTorch's binary cross-entropy has it: the loss of a sure mistake is 100, and its gradient is finite."""


class SquaredErrorRule(Rule):
    """:class:`SquaredError` of replicas, the mean or the sum of each."""

    def forward(self, *inputs: Any) -> Array:
        loss = self.function
        if loss.reduction == "none" or loss.weight is not None or not inputs[0].size:
            return NotImplemented
        x, t = (each.values if isinstance(each, ReplicaArray) else each for each in inputs)
        self.difference = (x - t).reshape(len(x if isinstance(inputs[0], ReplicaArray) else t), -1)
        self.scale = loss.factor / inputs[0].size if loss.reduction == "mean" else loss.factor
        self.shape = (len(self.difference), *inputs[0].shape)
        total = summed_products(self.difference[:, None], self.difference[:, None], 2)[:, 0]
        return (0.5 * self.scale * total).astype(self.difference.dtype)

    def backward(self, dout: Array | None) -> tuple:
        dx = self.difference * (self.scale if dout is None else self.scale * dout[:, None])
        dx = dx.reshape(self.shape)
        return tuple((dx, -dx)[i] if need else None for i, need in enumerate(self.needs_input_grad))


class Pointwise(Function):
    """L = a sum_i w_i l(x_i, t_i), over n for the mean, or every a w_i l(x_i, t_i); dx_i = a w_i l'(x_i, t_i), over n.

    The mean of nothing is NaN, as PyTorch has it. A subclass has :meth:`losses` and :meth:`slopes`.

    Args:
        reduction: "mean", "sum" or "none".
        weight: w, of a shape that broadcasts to that of x.
        factor: a.
    """

    refuses_whole = True
    compute_in_float32 = True
    is_loss = True

    def __init__(self, reduction: str = "mean", weight: Array | None = None, factor: float = 1.0):
        self.reduction, self.weight, self.factor = reduction, weight, factor

    def losses(self, *inputs: Array) -> Array:
        """l, an array of the inputs' shape."""
        raise NotImplementedError

    def slopes(self, *inputs: Array) -> tuple:
        """The derivatives of l in each input; None for one that :attr:`needs_input_grad` does not ask for."""
        raise NotImplementedError

    def total(self, *inputs: Array) -> Any:
        """The sum of all w l."""
        losses = self.losses(*inputs)
        return (losses if self.weight is None else losses * self.weight).sum()

    def forward(self, *inputs: Array) -> Array:
        self.inputs, size = inputs, inputs[0].size
        self.scale = self.factor if self.reduction != "mean" else self.factor / size if size else math.nan
        if self.reduction == "none":
            losses = self.losses(*inputs)
            factor = self.scale if self.weight is None else self.scale * self.weight
            return losses * factor
        return xp_of(inputs[0]).asarray(self.scale * self.total(*inputs), dtype=inputs[0].dtype)

    def backward(self, dout: Array | None) -> tuple:
        scale: Any = self.scale if dout is None else self.scale * dout
        if self.weight is not None:
            scale = scale * self.weight
        return tuple(None if slope is None else slope * scale for slope in self.slopes(*self.inputs))


class SquaredError(Pointwise):
    """l = (x - t)^2 / 2; dx = x - t, dt = -dx; twice that is the squared error. (Lecture 2.)"""

    replica_rule = SquaredErrorRule

    def losses(self, x: Array, t: Array) -> Array:
        self.difference = x - t
        return 0.5 * self.difference * self.difference

    def total(self, x: Array, t: Array) -> Any:
        if self.weight is not None:
            return super().total(x, t)
        self.difference = x - t
        return 0.5 * sum_of_squares(self.difference)

    def slopes(self, x: Array, t: Array) -> tuple:
        return _opposite(self, self.difference)


class AbsoluteError(Pointwise):
    """l = |x - t|; dx = sign(x - t), dt = -dx. The likelihood of Laplace's distribution; its minimum is the median."""

    def losses(self, x: Array, t: Array) -> Array:
        self.difference = x - t
        return xp_of(x).abs(self.difference)

    def slopes(self, x: Array, t: Array) -> tuple:
        return _opposite(self, xp_of(x).sign(self.difference))


class Huber(Pointwise):
    """l = c (d - c/2) with d = x - t, and c = d cut to -delta..delta: d^2/2 near 0, delta (|d| - delta/2) beyond;
    dx = c, dt = -dx. (Huber 1964; over delta: Girshick 2015.)"""

    def __init__(self, delta: float, reduction: str, weight: Array | None = None, factor: float = 1.0):
        super().__init__(reduction, weight, factor)
        self.delta = delta

    def losses(self, x: Array, t: Array) -> Array:
        difference = x - t
        self.cut = xp_of(x).clip(difference, -self.delta, self.delta)
        difference -= 0.5 * self.cut
        difference *= self.cut
        return difference

    def slopes(self, x: Array, t: Array) -> tuple:
        return _opposite(self, self.cut)


class BinaryCrossEntropy(Pointwise):
    """l = -t log p - (1 - t) log(1 - p), logarithms at least -100; dp = (p - t) / (p (1 - p)), the divisor at least
    1e-12, dt = log(1 - p) - log p. (Goodfellow, Bengio & Courville, section 6.2.2.)"""

    def losses(self, p: Array, t: Array) -> Array:
        xp = xp_of(p)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.log_p, self.log_q = (xp.maximum(log, LEAST_LOG) for log in (xp.log(p), xp.log1p(-p)))
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
        dx = 1 - t - self.positive(t) * logistic(-x)
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
        return *_opposite(self, dx), dv


class SoftMargin(Pointwise):
    """l = log(1 + e^(-t x)); dx = -t s(-t x), dt = -x s(-t x), s the logistic function: logistic regression with
    targets -1 and 1."""

    def losses(self, x: Array, t: Array) -> Array:
        xp = xp_of(x)
        self.margin = t * x
        return xp.log1p(xp.exp(-xp.abs(self.margin))) + xp.maximum(-self.margin, 0)

    def slopes(self, x: Array, t: Array) -> tuple:
        share = -logistic(-self.margin)
        return t * share, x * share if self.needs_input_grad[1] else None


def _opposite(function: Function, dx: Array) -> tuple:
    """The gradients of a function of the difference of its first two inputs."""
    return dx, -dx if function.needs_input_grad[1] else None


@adds_up_by("mean")
def l1_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean", weight: Any = None) -> Tensor:
    """The mean over all elements of |outputs - targets|, their sum, or all of them ("none").

    Both are of one shape (a mismatch never broadcasts). ``weight``, of that shape too, is a factor for each; the mean
    is then over the weights. A tensor that needs a gradient gets it as target too.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    return _weighted("l1_loss", AbsoluteError, outputs, targets, reduction, weight)


@adds_up_by("mean")
def mse_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean", weight: Any = None) -> Tensor:
    """The mean over all elements of (outputs - targets)^2, their sum, or all of them ("none").

    Both are of one shape (a mismatch never broadcasts). ``weight``, of that shape too, is a factor for each; the mean
    is then over the weights. A tensor that needs a gradient gets it as target too.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    return _weighted("mse_loss", SquaredError, outputs, targets, reduction, weight, factor=2.0)


@adds_up_by("sum")
def half_sse(outputs: Tensor, targets: Any) -> Tensor:
    """1/2 sum (outputs - targets)^2 over all elements, the lecture's cost; both of one shape.

    A tensor that needs a gradient gets it as target too.
    """
    return apply(SquaredError("sum"), *of_one_shape("half_sse", outputs, targets))


@adds_up_by("mean")
def smooth_l1_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """Of d = outputs - targets: d^2 / (2 beta) where |d| < beta, else |d| - beta / 2; ``beta=0`` is the L1 loss.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``beta`` is negative, or ``reduction`` is none of the three.
    Example:
        >>> F.smooth_l1_loss(dl.tensor([0.5, 3.0]), np.zeros(2), reduction="none").tolist()
        [0.125, 2.5]
    """
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta is at least 0, got {beta}")
    if beta == 0:
        return l1_loss(outputs, targets, reduction=reduction)
    check_reduction("smooth_l1_loss", reduction)
    return apply(Huber(beta, reduction, factor=1 / beta), *of_one_shape("smooth_l1_loss", outputs, targets))


@adds_up_by("mean")
def huber_loss(
    outputs: Tensor, targets: Any, reduction: Reduction = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    """Of d = outputs - targets: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2): an outlier counts linearly.

    ``weight``, of the outputs' shape, is a factor for each; the mean is over the elements all the same, as in PyTorch.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``delta`` is not above 0, or ``reduction`` is none of the three.
    """
    check_reduction("huber_loss", reduction)
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta is above 0, got {delta}")
    outputs, targets = of_one_shape("huber_loss", outputs, targets)
    return apply(Huber(delta, reduction, _of_each("huber_loss", outputs, weight)), outputs, targets)


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


def _of_each(name: str, outputs: Tensor, weight: Any) -> Array | None:
    array = weight_of(name, outputs, weight)
    if array is not None and array.shape != outputs.shape:
        raise ShapeError(f"{name}: weight has the outputs' shape {outputs.shape}, got {array.shape}")
    return array


def _weighted(
    name: str,
    loss: type[Pointwise],
    outputs: Any,
    targets: Any,
    reduction: Reduction,
    weight: Any,
    factor: float = 1.0,
) -> Tensor:
    """A loss whose mean with weights is over these."""
    check_reduction(name, reduction)
    outputs, targets = of_one_shape(name, outputs, targets)
    factors = _of_each(name, outputs, weight)
    if factors is None or reduction != "mean":
        return apply(loss(reduction, factors, factor), outputs, targets)
    return apply(loss("sum", factors, factor), outputs, targets) / Tensor(factors.sum())
