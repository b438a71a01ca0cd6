"""Losses with a margin, as modules; the equations stand in ``dlcourse/ops/margin_loss.py``."""

from collections.abc import Callable
from typing import Any, Literal

from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentError
from dlcourse.nn.loss import Loss
from dlcourse.ops import margin_loss as ops
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class _Reduced(Loss):
    """A loss that a config cannot name: it takes other things than a net's outputs and the data's targets."""

    tasks = ()

    def __init__(self, reduction: Reduction):
        super().__init__()
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction


class HingeEmbeddingLoss(_Reduced):
    """x where the target is 1, max(0, margin - x) where it is -1, of distances x.

    Args:
        margin: how far apart what is not alike should be.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float = 1.0, *, reduction: Reduction = "mean"):
        super().__init__(reduction)
        self.margin = margin

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return ops.hinge_embedding_loss(outputs, targets, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Reduced):
    """max(0, margin - t (x1 - x2)): which of two scores should be the larger, t = 1 the first, -1 the second.

    Args:
        margin: by how much.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float = 0.0, *, reduction: Reduction = "mean"):
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Any, targets: Any) -> Tensor:
        return ops.margin_ranking_loss(input1, input2, targets, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_Reduced):
    """1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1.

    Args:
        margin: which cosine is still unlike enough, in -1..1.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float = 0.0, *, reduction: Reduction = "mean"):
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Any, targets: Any) -> Tensor:
        return ops.cosine_embedding_loss(input1, input2, targets, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Reduced):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), d the p-norm of the difference (Schroff et al. 2015).

    Args:
        margin: by how much the negative should be farther than the positive.
        p: of the norm.
        eps: added to each difference.
        swap: take the positive's distance to the negative where it is less (Balntas et al. 2016).
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: Reduction = "mean",
    ):
        super().__init__(reduction)
        if margin <= 0:
            raise ArgumentError(f"TripletMarginLoss: margin is above 0, got {margin}")
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Any, negative: Any) -> Tensor:
        settings = self.margin, self.p, self.eps, self.swap
        return ops.triplet_margin_loss(anchor, positive, negative, *settings, reduction=self.reduction)


class TripletMarginWithDistanceLoss(_Reduced):
    """:class:`TripletMarginLoss` by another distance.

    Args:
        distance_function: of two tensors; left out, the 2-norm of the difference.
        margin: by how much the negative should be farther than the positive.
        swap: take the positive's distance to the negative where it is less.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ):
        super().__init__(reduction)
        if margin <= 0:
            raise ArgumentError(f"TripletMarginWithDistanceLoss: margin is above 0, got {margin}")
        self.distance_function, self.margin, self.swap = distance_function, margin, swap

    def forward(self, anchor: Tensor, positive: Any, negative: Any) -> Tensor:
        return ops.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


@register("loss", "multi_margin")
class MultiMarginLoss(Loss):
    """The linear SVM's loss over the number of classes, 1/C sum_{j != y} max(0, margin - s_y + s_j)^p.

    Args:
        p: 1, or 2 for the squared hinge.
        margin: by how much the right class's score has to exceed the others.
        weight: how much each class counts, numbers in the classes' order; the mean is over the samples all the same.
        reduction: the mean over the samples or their sum; in Python also "none", a loss for each.
    """

    tasks = ("classification",)

    def __init__(
        self,
        p: Literal[1, 2] = 1,
        margin: NonNegative = 1.0,
        weight: tuple[NonNegative, ...] | None = None,
        *,
        reduction: Literal["mean", "sum"] = "mean",
    ):
        super().__init__()
        check_reduction("MultiMarginLoss", reduction)
        if p not in (1, 2):
            raise ArgumentError(f"MultiMarginLoss: p is 1 or 2, got {p}")
        self.p, self.margin, self.weight, self.reduction = p, margin, weight, reduction

    def forward(self, scores: Tensor, labels: Any) -> Tensor:
        weight = self.constant("weight", scores)
        return ops.multi_margin_loss(scores, labels, self.p, self.margin, weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Reduced):
    """1/C sum over the sample's classes y and all others j of max(0, 1 - s_y + s_j).

    Args:
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, *, reduction: Reduction = "mean"):
        super().__init__(reduction)

    def forward(self, scores: Tensor, labels: Any) -> Tensor:
        return ops.multilabel_margin_loss(scores, labels, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_Reduced):
    """The mean over the classes of the binary cross-entropies of logits and targets, 0 or 1.

    Args:
        weight: a factor for each class.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, weight: Any = None, *, reduction: Reduction = "mean"):
        super().__init__(reduction)
        self.weight = weight

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        weight = self.constant("weight", logits)
        return ops.multilabel_soft_margin_loss(logits, targets, weight, reduction=self.reduction)
