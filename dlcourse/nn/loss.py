"""Losses as modules, which a config names; the equations stand in ``dlcourse/ops/loss.py``."""

from typing import Any, ClassVar, Literal

from dlcourse.autograd import Tensor
from dlcourse.nn.module import Module
from dlcourse.ops import loss
from dlcourse.ops.loss import Reduction
from dlcourse.ops.reduction import check_reduction
from dlcourse.registry import register
from dlcourse.types import Fraction, NonNegative

__all__ = ["CrossEntropyLoss", "GaussianNLLLoss", "HalfSSELoss", "Loss", "MSELoss", "MulticlassHingeLoss"]


class Loss(Module):
    """A scalar from outputs and targets.

    Attributes:
        reduction: "mean" or "sum" over the samples: how the losses of two batches make that of both.
        tasks: the kinds of data set whose targets it takes.
    """

    reduction: Reduction = "mean"
    tasks: ClassVar[tuple[str, ...]] = ("regression", "classification")


@register("loss", "cross_entropy")
class CrossEntropyLoss(Loss):
    """The mean of -log softmax(logits) at the labels: the likelihood of a categorical model.

    Args:
        reduction: the mean over the samples or their sum; in Python also "none", a loss for each.
        label_smoothing: share of the target's probability that is spread over all classes evenly.
    """

    tasks = ("classification",)

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean", label_smoothing: Fraction = 0.0):
        super().__init__()
        check_reduction("CrossEntropyLoss", reduction)
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        return loss.cross_entropy(logits, labels, reduction=self.reduction, label_smoothing=self.label_smoothing)


@register("loss", "multiclass_hinge")
class MulticlassHingeLoss(Loss):
    """The linear SVM's loss: the mean of sum_{j != y} max(0, s_j - s_y + margin).

    Args:
        margin: by how much the right class's score has to exceed the others.
    """

    tasks = ("classification",)

    def __init__(self, margin: NonNegative = 1.0):
        super().__init__()
        self.margin = margin

    def forward(self, scores: Tensor, labels: Any) -> Tensor:
        return loss.multiclass_hinge(scores, labels, self.margin)


@register("loss", "mse")
class MSELoss(Loss):
    """The mean squared error, over all elements.

    Args:
        reduction: the mean over the elements or their sum; in Python also "none", the square of each.
    """

    tasks = ("regression",)

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean"):
        super().__init__()
        check_reduction("MSELoss", reduction)
        self.reduction = reduction

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return loss.mse_loss(outputs, targets, reduction=self.reduction)


@register("loss", "half_sse")
class HalfSSELoss(Loss):
    """Half the sum of squared errors, lecture 2's cost 1/2 sum (y - theta^T x)^2; its gradient grows with the batch."""

    reduction = "sum"
    tasks = ("regression",)

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return loss.half_sse(outputs, targets)


@register("loss", "gaussian_nll")
class GaussianNLLLoss(Loss):
    """The mean negative log-likelihood under normal distributions; outputs are means and log standard deviations."""

    tasks = ("regression", "estimation")

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return loss.gaussian_nll(outputs, targets)
