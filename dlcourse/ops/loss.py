"""Losses: a scalar from predictions and targets. Labels are whole numbers; other targets may need a gradient too."""

import math
from typing import Any

from dlcourse.autograd import Function, Tensor, apply, as_tensor, promotion
from dlcourse.autograd.function import xp_of
from dlcourse.autograd.graph import take_loss_buffer
from dlcourse.autograd.replicas import ReplicaArray, Rule, numbers
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.loss import softmax_cross_entropy, softmax_cross_entropy_each
from dlcourse.backend.kernels.select import selected
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops import reduction as reductions
from dlcourse.ops.reduction import Reduction
from dlcourse.ops.targets import adds_up_by, in_type_of, labels_of

__all__ = ["cross_entropy", "gaussian_nll", "multiclass_hinge", "nll_loss"]


def _rows_of(scores: ReplicaArray, labels: Any) -> tuple[Array, Array]:
    """Scores (R, M, C) of replicas, and labels (R, M), or (1, M) where all have the same."""
    rows = scores.values.reshape(len(scores.values), -1, scores.shape[-1])
    count, samples, _ = rows.shape
    shared = not isinstance(labels, ReplicaArray)
    return rows, labels.reshape(1, samples) if shared else labels.values.reshape(count, samples)


class CrossEntropyRule(Rule):
    """:class:`CrossEntropy` of replicas: a loss for each, by its own label smoothing."""

    def forward(self, logits: ReplicaArray) -> Array:
        rows, labels = _rows_of(logits, self.function.labels)
        if not rows.shape[1]:
            return NotImplemented
        smoothing = numbers(self.function.label_smoothing, rows[:, 0, 0])
        out = take_loss_buffer(rows.dtype, rows.shape[:1])
        losses, self.grad = softmax_cross_entropy_each(rows, labels, smoothing, self.needs_input_grad[0], out)
        self.shape = logits.values.shape
        return losses

    def backward(self, dout: Array | None) -> Array:
        return (self.grad if dout is None else self.grad * dout[:, None, None]).reshape(self.shape)


class CrossEntropy(Function):
    """L = -1/N sum_i sum_c t_ic log softmax(z_i)_c; dz = (softmax(z) - t) / N.

    t is one-hot, or (1 - s) one-hot + s / C with label smoothing s. Shapes: z (..., C), labels (...,), L (). It is the
    negative mean log-likelihood of a categorical model. (Lectures 2 and 3; smoothing: Szegedy et al. 2015.)
    """

    refuses_whole = True
    compute_in_float32 = True
    is_loss = True
    replica_rule = CrossEntropyRule

    def __init__(self, labels: Array, label_smoothing: float):
        self.labels, self.label_smoothing = labels, label_smoothing

    def forward(self, logits: Array) -> Array:
        self.shape = logits.shape
        rows, labels, out = (
            logits.reshape(-1, logits.shape[-1]),
            self.labels.reshape(-1),
            take_loss_buffer(logits.dtype),
        )
        loss, self.grad = softmax_cross_entropy(rows, labels, self.label_smoothing, self.wants_grad(), out)
        return loss

    def backward(self, dout: Array | None) -> Array:
        return (self.grad if dout is None else self.grad * dout).reshape(self.shape)


class GaussianNLL(Function):
    """L = 1/N sum_i [log s_i + (y_i - m_i)^2 / (2 s_i^2) + log(2 pi)/2], the mean negative log-likelihood.

    Shapes: outputs (N, 2K) hold the means m and the logarithms of the standard deviations log s; y is (N, K).
    dm = (m - y) / s^2 / N, dlog s = (1 - (y - m)^2 / s^2) / N, dy = -dm. With a fixed s it is least squares.
    (Lecture 2.)
    """

    refuses_whole = True
    compute_in_float32 = True

    def forward(self, outputs: Array, targets: Array) -> Array:
        xp = xp_of(outputs)
        self.count, width = targets.shape
        mean, log_sigma = outputs[:, :width], outputs[:, width:]
        self.precision = xp.exp(-2 * log_sigma)
        self.difference = mean - targets
        self.scaled = self.difference * self.difference * self.precision
        total = (log_sigma + 0.5 * self.scaled).sum() / self.count if self.count else math.nan
        return xp.asarray(total + 0.5 * width * math.log(2 * math.pi), dtype=outputs.dtype)

    def backward(self, dout: Array) -> tuple:
        share = dout / max(1, self.count)
        dmean = self.difference * self.precision * share
        doutputs = xp_of(dout).concatenate([dmean, (1 - self.scaled) * share], axis=1)
        return doutputs, -dmean if self.needs_input_grad[1] else None


class MulticlassHingeRule(Rule):
    """:class:`MulticlassHinge` of replicas: a loss for each."""

    def forward(self, scores: ReplicaArray) -> Array:
        rows, labels = _rows_of(scores, self.function.labels)
        xp, (count, samples, _) = xp_of(rows), rows.shape
        if not samples:
            return NotImplemented
        own = xp.arange(count)[:, None], xp.arange(samples), labels
        margins = rows - rows[own][..., None] + self.function.margin  # (R, N, C)
        margins[own] = 0
        self.violated, self.own = margins > 0, own
        return selected(margins, self.violated).sum(axis=(1, 2)) / rows.shape[1]

    def backward(self, dout: Array) -> Array:
        grad = self.violated.astype(dout.dtype)
        grad[self.own] = -grad.sum(axis=2)
        return selected(grad * (dout[:, None, None] / grad.shape[1]), grad != 0)


class MulticlassHinge(Function):
    """L = 1/N sum_i sum_{j != y_i} max(0, s_ij - s_iy + margin); each term that is positive gives +1/N to its own score
    and -1/N to the true class's. Shapes: s (N, C), labels (N,). (Lecture 3; Weston & Watkins 1999.)
    """

    refuses_whole = True
    compute_in_float32 = True
    replica_rule = MulticlassHingeRule

    def __init__(self, labels: Array, margin: float):
        self.labels, self.margin = labels, margin

    def forward(self, scores: Array) -> Array:
        xp = xp_of(scores)
        rows = xp.arange(len(scores))
        margins = scores - scores[rows, self.labels][:, None] + self.margin  # (N, C)
        margins[rows, self.labels] = 0
        self.violated = margins > 0
        total = selected(margins, self.violated).sum()
        return xp.asarray(total / len(scores) if len(scores) else total * math.nan, dtype=scores.dtype)

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        grad = self.violated.astype(dout.dtype)
        grad[xp.arange(len(grad)), self.labels] = -grad.sum(axis=1)
        return selected(grad * (dout / max(1, len(grad))), grad != 0)


@adds_up_by("mean")
def cross_entropy(
    logits: Tensor,
    labels: Any,
    *,
    label_smoothing: float = 0.0,
    weight: Any = None,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The cross-entropy of softmax(logits) against labels or probabilities; as in PyTorch, classes last.

    Args:
        logits: (..., C), unnormalized.
        labels: (...,) integers in 0..C-1, an array or tensor; or probabilities (..., C), floats, which may need a
            gradient.
        label_smoothing: share of the target spread evenly over the classes, in 0..1.
        weight: (C,), how much each class counts; the mean is then over the weights of the labels.
        ignore_index: a label that does not count. None of them by default, where PyTorch leaves out -100.
        reduction: "mean", "sum", or "none": a loss for each label.
    Raises:
        ShapeError: the shapes do not fit, or labels are no integers.
        ValueError: ``label_smoothing`` is outside 0..1, or ``reduction`` is none of the three.
    Example:
        >>> logits = dl.tensor([[0.0, 0.0], [0.0, 0.0]])
        >>> round(F.cross_entropy(logits, np.array([0, 1])).item(), 4)  # log 2
        0.6931
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is in 0..1, got {label_smoothing}")
    reductions.check_reduction("cross_entropy", reduction)
    promotion.refuse_whole("cross_entropy", [logits])
    given = getattr(labels, "dtype", None)
    if given is not None and is_floating(given) and labels.ndim == logits.ndim:
        if ignore_index is not None and ignore_index >= 0:
            raise ArgumentError("cross_entropy: ignore_index is for labels, and the targets are probabilities")
        return reductions.of_probabilities(logits, labels, weight, reduction, label_smoothing)
    if weight is not None or ignore_index is not None or reduction != "mean":
        labels = labels_of("cross_entropy", logits, labels, ignore_index)
        return reductions.of_labels(logits, labels, weight, ignore_index, reduction, label_smoothing)
    return apply(CrossEntropy(labels_of("cross_entropy", logits, labels), label_smoothing), logits)


@adds_up_by("mean")
def nll_loss(
    log_p: Tensor, labels: Any, weight: Any = None, *, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Tensor:
    """-w_y log p_y of the labels y: the cross-entropy, of log-probabilities as log_softmax gives them.

    Args:
        log_p: (..., C), classes last.
        labels: (...,) integers in 0..C-1, an array or tensor.
        weight: (C,), how much each class counts; the mean is then over the weights of the labels.
        ignore_index: a label that does not count.
        reduction: "mean", "sum", or "none": a loss for each label.
    Raises:
        ShapeError: the shapes do not fit, labels are no integers, or one is outside the classes.
        ArgumentError: ``reduction`` is none of the three.
    """
    reductions.check_reduction("nll_loss", reduction)
    log_p = as_tensor(log_p)
    promotion.refuse_whole("nll_loss", [log_p])
    labels = labels_of("nll_loss", log_p, labels, ignore_index)
    return reductions.of_log_probabilities(log_p, labels, weight, ignore_index, reduction)


@adds_up_by("mean")
def multiclass_hinge(scores: Tensor, labels: Any, margin: float = 1.0) -> Tensor:
    """The mean over the batch of the summed margin violations of a linear SVM's scores (N, C) and labels (N,).

    Unlike ``torch.nn.MultiMarginLoss`` the sum is not divided by C, as the course has it.
    """
    return apply(MulticlassHinge(labels_of("multiclass_hinge", scores, labels), margin), scores)


@adds_up_by("mean")
def gaussian_nll(outputs: Tensor, targets: Any) -> Tensor:
    """The mean negative log-likelihood of targets (N, K) under normal distributions.

    Args:
        outputs: (N, 2K), K means and then K natural logarithms of standard deviations.
        targets: (N, K); a tensor that needs a gradient gets it.
    Raises:
        ShapeError: the shapes do not fit.
    """
    outputs = as_tensor(outputs)
    promotion.refuse_whole("gaussian_nll", [outputs])
    targets = in_type_of(outputs, targets)
    if outputs.ndim != 2 or targets.ndim != 2 or outputs.shape != (targets.shape[0], 2 * targets.shape[1]):
        raise ShapeError(f"gaussian_nll: targets {targets.shape} need outputs (N, 2K), got {outputs.shape}")
    return apply(GaussianNLL(), outputs, targets)
