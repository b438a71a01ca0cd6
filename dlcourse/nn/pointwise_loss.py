"""Losses of each output and its target by themselves; the equations stand in ``dlcourse/ops/distance_loss.py`` and
``likelihood_loss.py``."""

from typing import Any, Literal

import numpy as np

from dlcourse.autograd import Tensor
from dlcourse.errors import UserError
from dlcourse.nn.loss import Loss
from dlcourse.ops import distance_loss, likelihood_loss
from dlcourse.ops.embedding import one_hot
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.registry import register
from dlcourse.types import NonNegative, Positive

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "GaussianNLLLoss",
    "HalfSSELoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
]

OfAll = Literal["mean", "sum"]
"""The reductions that a config may name: those that leave one number."""


@register("loss", "mse")
class MSELoss(Loss):
    """The mean squared error, over all elements.

    Args:
        reduction: the mean over the elements or their sum; in Python also "none", the square of each.
    """

    tasks = ("regression",)

    def __init__(self, *, reduction: OfAll = "mean"):
        super().__init__()
        check_reduction("MSELoss", reduction)
        self.reduction = reduction

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return distance_loss.mse_loss(outputs, targets, reduction=self.reduction)


@register("loss", "half_sse")
class HalfSSELoss(Loss):
    """Half the sum of squared errors, lecture 2's cost 1/2 sum (y - theta^T x)^2; its gradient grows with the batch."""

    reduction = "sum"
    tasks = ("regression",)

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return distance_loss.half_sse(outputs, targets)


@register("loss", "l1")
class L1Loss(Loss):
    """The mean absolute error, over all elements; outliers count no more than by their distance.

    Args:
        reduction: the mean over the elements or their sum; in Python also "none", a loss for each.
    """

    tasks = ("regression",)

    def __init__(self, *, reduction: OfAll = "mean"):
        super().__init__()
        check_reduction("L1Loss", reduction)
        self.reduction = reduction

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return distance_loss.l1_loss(outputs, targets, reduction=self.reduction)


@register("loss", "smooth_l1")
class SmoothL1Loss(Loss):
    """The absolute error, rounded to a parabola near 0: Huber's loss over its delta (Girshick 2015).

    Args:
        reduction: the mean over the elements or their sum; in Python also "none", a loss for each.
        beta: from which size of an error on it is straight; 0 makes it the absolute error.
    """

    tasks = ("regression",)

    def __init__(self, *, reduction: OfAll = "mean", beta: NonNegative = 1.0):
        super().__init__()
        check_reduction("SmoothL1Loss", reduction)
        self.reduction, self.beta = reduction, beta

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return distance_loss.smooth_l1_loss(outputs, targets, reduction=self.reduction, beta=self.beta)


@register("loss", "huber")
class HuberLoss(Loss):
    """Half the squared error near 0, straight beyond: outliers pull no harder than delta (Huber 1964).

    Args:
        reduction: the mean over the elements or their sum; in Python also "none", a loss for each.
        delta: from which size of an error on it is straight.
    """

    tasks = ("regression",)

    def __init__(self, reduction: OfAll = "mean", delta: Positive = 1.0):
        super().__init__()
        check_reduction("HuberLoss", reduction)
        self.reduction, self.delta = reduction, delta

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return distance_loss.huber_loss(outputs, targets, self.reduction, self.delta)


class BCELoss(Loss):
    """-t log p - (1 - t) log(1 - p) of probabilities p; of logits :class:`BCEWithLogitsLoss` is exact.

    Args:
        weight: a factor for each loss, of a shape that broadcasts to theirs.
        reduction: "mean", "sum" or "none".
    """

    tasks = ("regression",)

    def __init__(self, weight: Any = None, *, reduction: Reduction = "mean"):
        super().__init__()
        check_reduction("BCELoss", reduction)
        self.weight, self.reduction = weight, reduction

    def forward(self, probabilities: Tensor, targets: Any) -> Tensor:
        return likelihood_loss.binary_cross_entropy(
            probabilities, targets, self.constant("weight", probabilities), reduction=self.reduction
        )


@register("loss", "bce")
class BCEWithLogitsLoss(Loss):
    """A logistic regression for each output: -t log p - (1 - t) log(1 - p) of p = 1 / (1 + e^-output).

    Of a regression the targets are numbers in 0..1. Of a classification each class is one against the rest: labels (N,)
    are targets (N, C), 1 at the label.

    Args:
        weight: a factor for each output; in Python for each loss, of a shape that broadcasts to theirs.
        reduction: the mean over the elements or their sum; in Python also "none", a loss for each.
        pos_weight: a factor for -t log p of each output: above 1 finds more of the positives.
    """

    tasks = ("regression", "classification")

    def __init__(
        self,
        weight: tuple[NonNegative, ...] | None = None,
        *,
        reduction: OfAll = "mean",
        pos_weight: tuple[NonNegative, ...] | None = None,
    ):
        super().__init__()
        check_reduction("BCEWithLogitsLoss", reduction)
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def check_targets(self, targets: np.ndarray) -> None:
        _require_range(targets, 1.0, "bce takes targets in 0..1")

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        if targets.dtype.kind in "iu" and targets.ndim == logits.ndim - 1:
            targets = one_hot(targets, logits.shape[-1])
        return likelihood_loss.binary_cross_entropy_with_logits(
            logits,
            targets,
            self.constant("weight", logits),
            reduction=self.reduction,
            pos_weight=self.constant("pos_weight", logits),
        )


class KLDivLoss(Loss):
    """The Kullback-Leibler divergence t (log t - log p) of log-probabilities from targets' probabilities t.

    Args:
        reduction: "batchmean" is the divergence's own, the sum over the number of samples; also "mean" over all
            elements, "sum" and "none".
        log_target: whether targets are logarithms too.
    """

    tasks = ("regression",)

    def __init__(self, *, reduction: Literal["batchmean", "mean", "sum", "none"] = "mean", log_target: bool = False):
        super().__init__()
        check_reduction("KLDivLoss", reduction, "batchmean")
        self.log_target, self.kind = log_target, reduction
        self.reduction = "mean" if reduction == "batchmean" else reduction

    def extra_repr(self) -> str:
        return f"reduction={self.kind!r}, log_target={self.log_target}"

    def forward(self, log_p: Tensor, targets: Any) -> Tensor:
        return likelihood_loss.kl_div(log_p, targets, reduction=self.kind, log_target=self.log_target)


@register("loss", "poisson_nll")
class PoissonNLLLoss(Loss):
    """The negative log-likelihood of counts under Poisson distributions, without log t! unless full.

    Args:
        log_input: whether outputs are logarithms of the rates; else they are the rates.
        full: add Stirling's formula for log t! where t > 1.
        eps: added to a rate before its logarithm.
        reduction: the mean over the elements or their sum; in Python also "none", a loss for each.
    """

    tasks = ("regression",)

    def __init__(self, log_input: bool = True, full: bool = False, *, eps: Positive = 1e-8, reduction: OfAll = "mean"):
        super().__init__()
        check_reduction("PoissonNLLLoss", reduction)
        self.log_input, self.full, self.eps, self.reduction = log_input, full, eps, reduction

    def check_targets(self, targets: np.ndarray) -> None:
        _require_range(targets, np.inf, "poisson_nll takes counts, numbers of at least 0")

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return likelihood_loss.poisson_nll_loss(
            outputs, targets, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(Loss):
    """(log v + (x - t)^2 / v) / 2 of means x, targets t and variances v; ``loss(x, t, v)``.

    A config's ``gaussian_nll`` is :class:`GaussianLikelihoodLoss`, which takes both from a net's outputs.

    Args:
        full: add log(2 pi) / 2.
        eps: the least variance.
        reduction: "mean", "sum" or "none".
    """

    tasks = ()

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"):
        super().__init__()
        check_reduction("GaussianNLLLoss", reduction)
        self.full, self.eps, self.reduction = full, eps, reduction

    def forward(self, outputs: Tensor, targets: Any, var: Any) -> Tensor:
        return likelihood_loss.gaussian_nll_loss(outputs, targets, var, self.full, self.eps, self.reduction)


class SoftMarginLoss(Loss):
    """log(1 + e^(-t x)) of scores x and targets t, -1 or 1, of one shape.

    Args:
        reduction: "mean", "sum" or "none".
    """

    tasks = ("regression",)

    def __init__(self, *, reduction: Reduction = "mean"):
        super().__init__()
        check_reduction("SoftMarginLoss", reduction)
        self.reduction = reduction

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return likelihood_loss.soft_margin_loss(outputs, targets, reduction=self.reduction)


def _require_range(targets: np.ndarray, most: float, wanted: str) -> None:
    if targets.dtype.kind == "f" and targets.size and (targets.min() < 0 or targets.max() > most):
        raise UserError(f"{wanted}, and the training split has {targets.min():g}..{targets.max():g}")
