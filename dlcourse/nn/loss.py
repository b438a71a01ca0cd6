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
from dlcourse.ops.ctc import ctc_loss
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.registry import register
from dlcourse.types import Fraction, NonNegative

__all__ = [
    "CTCLoss",
    "CrossEntropyLoss",
    "GaussianLikelihoodLoss",
    "Loss",
    "MeanLoss",
    "MulticlassHingeLoss",
    "NLLLoss",
]


class Loss(Module):
    """A scalar from outputs and targets.

    Attributes:
        reduction: "mean" or "sum" over the samples: how the losses of two batches make that of both.
        tasks: the kinds of data set whose targets it takes.
    """

    reduction: Reduction = "mean"
    tasks: ClassVar[tuple[str, ...]] = ("regression", "classification")

    takes_probabilities: ClassVar[bool] = False
    """Whether targets may also be probabilities of the classes (N, C), as mixed images have them."""

    of_its_batch: bool = False
    """Whether the mean is over weights that depend on the batch, so that parts of a batch do not make the whole."""

    def __init__(self) -> None:
        super().__init__()
        self._placed: dict[str, tuple] = {}

    def constant(self, name: str, like: Tensor) -> Array | None:
        """An attribute that holds numbers, as an array where ``like`` is, in the type of its sums; to a GPU it is
        copied once. None is None."""
        value = getattr(self, name)
        if value is None:
            return None
        place, dtype = backend.of(like.data), accumulation_dtype(like.dtype)
        array = value.data if isinstance(value, Tensor) else value
        if place.is_host:
            return place.asarray(array, dtype=dtype)
        kept = self._placed.get(name)
        if kept is None or kept[:2] != (place, dtype) or kept[2] is not value:
            kept = self._placed[name] = place, dtype, value, place.asarray(array, dtype=dtype)
        return kept[3]

    def fit_classes(self, counts: np.ndarray, names: Sequence[str] = ()) -> None:
        """Take in how many samples of each class the training split has.

        Args:
            counts: (C,).
            names: of the classes, by which the config may name them.
        Raises:
            UserError: its settings do not go with such data.
        """

    def count(self, targets: Any) -> Any:
        """How many of these targets the mean is over: a number, or an array of one on their device."""
        return len(targets)

    def check_targets(self, targets: np.ndarray) -> None:
        """Look at the targets of the training split, as the loss will see them.

        Raises:
            UserError: it is not meant for such numbers.
        """


@register("loss", "cross_entropy")
class CrossEntropyLoss(Loss):
    """The mean of -log softmax(logits) at the labels: the likelihood of a categorical model.

    Args:
        weight: class_weights by PyTorch's name, numbers in the classes' order.
        ignore_index: a label that does not count, in sum and mean. None of them by default, where PyTorch leaves out
            -100.
        reduction: the mean over the samples or their sum; in Python also "none", a loss for each.
        label_smoothing: share of the target's probability that is spread over all classes evenly.
        class_weights: how much a sample of each class counts: numbers by the classes' names (1 for one that is left
            out) or in their order, or balanced, N / (C N_c) of N training samples of C classes, N_c of class c, so that
            every class counts alike. Only their ratios count: they are scaled to a mean of 1 over the training split.

    The loss with weights w is 1/N sum_i w_(y_i) l_i, and w is scaled to a mean of 1 over the training split
    (:meth:`fit_classes`): there it is PyTorch's sum_i w_(y_i) l_i / sum_i w_(y_i), and batches make the whole. Without
    that, in Python, it is PyTorch's in each batch.
    """

    tasks, takes_probabilities = ("classification",), True
    varies = ("label_smoothing",)

    def __init__(
        self,
        weight: tuple[NonNegative, ...] | None = None,
        *,
        ignore_index: int | None = None,
        reduction: Literal["mean", "sum"] = "mean",
        label_smoothing: Fraction = 0.0,
        class_weights: Literal["balanced"] | tuple[NonNegative, ...] | dict[str | int, NonNegative] | None = None,
    ):
        super().__init__()
        check_reduction("CrossEntropyLoss", reduction)
        self.reduction, self.label_smoothing, self.ignore_index = reduction, label_smoothing, ignore_index
        if weight is not None:
            if class_weights is not None:
                raise ArgumentError("CrossEntropyLoss: weight and class_weights are one thing; give one of them")
            class_weights = weight
        if isinstance(class_weights, str) and class_weights != "balanced":
            raise ArgumentError(f"CrossEntropyLoss: class_weights is 'balanced' or numbers, got {class_weights!r}")
        if class_weights is not None and not isinstance(class_weights, str | dict):
            class_weights = _numbers(class_weights)
        self.class_weights, self.weight = class_weights, weight if weight is None else class_weights
        self.of_its_batch = reduction == "mean" and not (class_weights is None and ignore_index is None)
        self._weights: np.ndarray | None = None

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
        self._weights = weights
        self.of_its_batch = self.ignore_index is not None and self.reduction == "mean"

    @property
    def weights(self) -> np.ndarray | None:
        """How much a sample of each class counts, (C,), scaled to a mean of 1 over the training split; None without
        ``class_weights``, and before :meth:`fit_classes`."""
        return self._weights

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        if self._weights is None and isinstance(self.class_weights, str | dict):
            raise UserError(
                f"CrossEntropyLoss: class_weights={self.class_weights!r} needs to know the classes, and how many "
                "samples of each there are: loss.fit_classes(np.bincount(labels), names)"
            )
        weight = self.constant("class_weights" if self._weights is None else "_weights", logits)
        over_all = self._weights is not None and self.reduction == "mean" and self.ignore_index is None
        found = loss.cross_entropy(
            logits,
            labels,
            weight=weight,
            ignore_index=self.ignore_index,
            reduction="sum" if over_all else self.reduction,
            label_smoothing=self.label_smoothing,
        )
        return found / (logits.size // logits.shape[-1] or float("nan")) if over_all else found

    def count(self, targets: Any) -> Any:
        return len(targets) if self.ignore_index is None else (targets != self.ignore_index).sum()


def _numbers(weights: Any) -> tuple[float, ...]:
    """Weights from a list, an array or a tensor on any device."""
    array = backend.to_host(weights.data if isinstance(weights, Tensor) else weights)
    return tuple(float(weight) for weight in array)


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


@register("loss", "gaussian_nll")
class GaussianLikelihoodLoss(Loss):
    """The mean negative log-likelihood under normal distributions; outputs are means and log standard deviations.

    ``nn.GaussianNLLLoss`` is PyTorch's, of means and variances apart.
    """

    tasks = ("regression", "estimation")

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return loss.gaussian_nll(outputs, targets)


class NLLLoss(Loss):
    """-w_y log p_y of log-probabilities (..., C), as log_softmax gives them, at the labels y.

    Args:
        weight: (C,), how much each class counts; the mean is then over the weights of the labels.
        ignore_index: a label that does not count.
        reduction: "mean", "sum" or "none".
    """

    tasks = ("classification",)

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: Reduction = "mean"):
        super().__init__()
        check_reduction("NLLLoss", reduction)
        self.weight, self.ignore_index, self.reduction = weight, ignore_index, reduction
        self.of_its_batch = reduction == "mean" and weight is not None

    def forward(self, log_p: Tensor, labels: Any) -> Tensor:
        return loss.nll_loss(
            log_p, labels, self.constant("weight", log_p), ignore_index=self.ignore_index, reduction=self.reduction
        )


class CTCLoss(Loss):
    """-log of the probability of label sequences over all alignments; see :func:`~dlcourse.functional.ctc_loss`.

    Args:
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by the number of its labels before the mean over the samples.
        zero_infinity: count the loss of a sample with too few steps as 0.
    """

    tasks = ()

    def __init__(self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False):
        super().__init__()
        check_reduction("CTCLoss", reduction)
        self.blank, self.reduction, self.zero_infinity = blank, reduction, zero_infinity

    def forward(self, log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any) -> Tensor:
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


@register("loss", "mean")
class MeanLoss(Loss):
    """The mean of the outputs, whatever the targets: for a model whose output is the cost itself, such as surface."""

    tasks = ("regression", "estimation")

    def forward(self, outputs: Tensor, targets: Any) -> Tensor:
        return outputs.mean()
