"""Losses as modules, which a config names; the equations stand in ``dlcourse/ops/loss.py``."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.errors import ArgumentError, UserError
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
    of_its_batch: bool = False
    """Whether the mean is over weights that depend on the batch, so that parts of a batch do not make the whole."""

    def fit_classes(self, counts: np.ndarray, names: Sequence[str] = ()) -> None:
        """Take in how many samples of each class the training split has.

        Args:
            counts: (C,).
            names: of the classes, by which the config may name them.
        Raises:
            UserError: its settings do not go with such data.
        """


@register("loss", "cross_entropy")
class CrossEntropyLoss(Loss):
    """The mean of -log softmax(logits) at the labels: the likelihood of a categorical model.

    Args:
        reduction: the mean over the samples or their sum; in Python also "none", a loss for each.
        label_smoothing: share of the target's probability that is spread over all classes evenly.
        class_weights: how much a sample of each class counts: numbers by the classes' names (1 for one that is left
            out) or in their order, or balanced, N / (C N_c) of N training samples of C classes, N_c of class c, so that
            every class counts alike. Only their ratios count: they are scaled to a mean of 1 over the training split.

    The loss with weights w is 1/N sum_i w_(y_i) l_i, and w is scaled to a mean of 1 over the training split
    (:meth:`fit_classes`): there it is PyTorch's sum_i w_(y_i) l_i / sum_i w_(y_i), and batches make the whole. Without
    that, in Python, it is PyTorch's in each batch.
    """

    tasks = ("classification",)

    def __init__(
        self,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        label_smoothing: Fraction = 0.0,
        class_weights: Literal["balanced"] | tuple[NonNegative, ...] | dict[str | int, NonNegative] | None = None,
    ):
        super().__init__()
        check_reduction("CrossEntropyLoss", reduction)
        self.reduction, self.label_smoothing = reduction, label_smoothing
        if isinstance(class_weights, str) and class_weights != "balanced":
            raise ArgumentError(f"CrossEntropyLoss: class_weights is 'balanced' or numbers, got {class_weights!r}")
        if class_weights is not None and not isinstance(class_weights, str | dict):
            class_weights = tuple(float(weight) for weight in class_weights)
        self.class_weights = class_weights
        self.of_its_batch = class_weights is not None and reduction == "mean"
        self._weights: np.ndarray | None = None
        self._placed: tuple[Any, Array] | None = None

    def fit_classes(self, counts: np.ndarray, names: Sequence[str] = ()) -> None:
        if self.class_weights is None:
            return
        counts = np.asarray(counts, dtype=float)
        if self.class_weights == "balanced":
            weights = np.divide(counts.sum(), np.count_nonzero(counts) * counts, where=counts > 0, out=0 * counts)
        else:
            given = self.class_weights
            weights = np.array(_in_order(given, names) if isinstance(given, dict) else given, dtype=float)
            if weights.shape != counts.shape:
                raise UserError(
                    f"class_weights: expected a number for each of the {len(counts)} classes, came {weights.size}"
                )
            if not weights @ counts > 0:
                raise UserError("class_weights: no class of the training split has a weight above 0")
            weights = weights * (counts.sum() / (weights @ counts))
        self._weights, self._placed, self.of_its_batch = weights, None, False

    @property
    def weights(self) -> np.ndarray | None:
        """How much a sample of each class counts, (C,), scaled to a mean of 1 over the training split; None without
        ``class_weights``, and before :meth:`fit_classes`."""
        return self._weights

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        smoothing = self.label_smoothing
        if self.class_weights is None:
            return loss.cross_entropy(logits, labels, reduction=self.reduction, label_smoothing=smoothing)
        if self._weights is None:
            if isinstance(self.class_weights, str | dict):
                raise UserError(
                    f"CrossEntropyLoss: class_weights={self.class_weights!r} needs to know the classes, and how many "
                    "samples of each there are: loss.fit_classes(np.bincount(labels), names)"
                )
            weight: Any = self.class_weights
            return loss.cross_entropy(
                logits, labels, weight=weight, reduction=self.reduction, label_smoothing=smoothing
            )
        weight = self._on_device_of(logits)
        if self.reduction != "mean":
            return loss.cross_entropy(
                logits, labels, weight=weight, reduction=self.reduction, label_smoothing=smoothing
            )
        total = loss.cross_entropy(logits, labels, weight=weight, reduction="sum", label_smoothing=smoothing)
        return total / (logits.size // logits.shape[-1] or float("nan"))

    def _on_device_of(self, logits: Tensor) -> Array:
        """The weights where the logits are, copied there once."""
        place = backend.of(logits.data)
        if self._placed is None or self._placed[0] is not place:
            self._placed = place, place.asarray(self._weights, dtype=accumulation_dtype(logits.dtype))
        return self._placed[1]


def _in_order(weights: dict[str | int, float], names: Sequence[str]) -> list[float]:
    by_name = {str(name): weight for name, weight in weights.items()}
    for name in by_name:
        if name not in names:
            raise UserError(f"class_weights: there is no class {name!r}; the classes are: {', '.join(names)}")
    return [by_name.get(name, 1.0) for name in names]


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
