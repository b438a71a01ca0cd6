"""The loss of connectionist temporal classification: sequences of labels without their times."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply, as_tensor, promotion
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.ctc import ctc
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.reduction import Reduction, check_reduction, reduced
from dlcourse.ops.targets import on_device

__all__ = ["ctc_loss"]


class CTC(Function):
    """l_n = -log sum over alignments a of prod_t p_t(a_t), of the sequences of log_p; dlog_p = dl (p - share), as
    ``backend/kernels/ctc.py`` has them.

    (Graves et al. 2006.) As in PyTorch, the gradient is that in the logits of which ``log_p`` is the log_softmax, which
    log_softmax hands on as it is: its sum over the classes is 0.
    """

    refuses_whole = True
    compute_in_float32 = True

    def __init__(self, labels: Array, steps: Array, lengths: Array, blank: int, zero_infinity: bool):
        self.settings, self.zero_infinity = (labels, steps, lengths, blank), zero_infinity

    def forward(self, log_p: Array) -> Array:
        losses, self.grad = ctc(log_p, *self.settings, self.wants_grad())
        if self.zero_infinity:
            xp = xp_of(log_p)
            fits = xp.isfinite(losses)
            losses = xp.where(fits, losses, 0).astype(losses.dtype)
            if self.grad is not None:
                self.grad = xp.where(fits[:, None, None], self.grad, 0).astype(self.grad.dtype)
        return losses

    def backward(self, dout: Array) -> Array:
        return self.grad * dout[:, None, None]


def ctc_loss(
    log_probs: Tensor,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that a net's outputs at T steps read as the targets, over all alignments with blanks.

    Args:
        log_probs: (N, T, C), or (T, C) of one sample, as log_softmax gives them; PyTorch has (T, N, C).
        targets: classes that are not the blank, whole numbers: (N, L), padded with any of them, or all one after
            another in one axis.
        input_lengths: (N,), how many steps of each sample count; an array, a tensor, a list, or one number.
        target_lengths: (N,), how many labels of each sample.
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by the number of its labels and takes the mean over the samples; "sum" or
            "none" leaves them as they are.
        zero_infinity: a sample with fewer steps than its labels need has an infinite loss; count it as 0.
    Raises:
        ShapeError: the shapes do not fit, or a label is no class or the blank.
        ArgumentError: a length is more than there is, ``blank`` is no class, or ``reduction`` is none of the three.
    Example:
        >>> log_p = F.log_softmax(dl.zeros(1, 2, 3))
        >>> round(F.ctc_loss(log_p, [[1]], [2], [1]).item(), 4)  # 3 of 9 alignments: 1 1, 1 -, - 1
        1.0986
    """
    check_reduction("ctc_loss", reduction)
    log_p = as_tensor(log_probs)
    promotion.refuse_whole("ctc_loss", [log_p])
    single = log_p.ndim == 2
    if single:
        log_p = log_p.unsqueeze(0)
    if log_p.ndim != 3 or not log_p.shape[1]:
        raise ShapeError(f"ctc_loss: expected log_probs (N, T, C) or (T, C), T at least 1, got {log_probs.shape}")
    count, total, classes = log_p.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank is a class, 0..{classes - 1}, got {blank}")
    ends = _lengths("input_lengths", input_lengths, count, 1, total)
    lengths = _lengths("target_lengths", target_lengths, count, 0, None)
    labels = _padded(backend.to_host(targets.data if isinstance(targets, Tensor) else targets), lengths, single)
    known = labels[np.arange(labels.shape[1]) < lengths[:, None]]
    if known.size and (known.min() < 0 or known.max() >= classes or (known == blank).any()):
        raise ShapeError(
            f"ctc_loss: labels are classes in 0..{classes - 1} other than the blank {blank}, got "
            f"{known.min()}..{known.max()}"
        )
    labels, steps, counts = (on_device(log_p, each) for each in (labels, ends, lengths))
    losses = apply(CTC(labels, steps, counts, blank, zero_infinity), log_p)
    if reduction == "mean":
        losses = losses / Tensor(on_device(log_p, np.maximum(lengths, 1).astype(log_p.dtype)))
    return reduced(losses[0] if single and reduction == "none" else losses, reduction, count or float("nan"))


def _lengths(name: str, given: Any, count: int, least: int, most: int | None) -> np.ndarray:
    array = np.asarray(backend.to_host(given.data if isinstance(given, Tensor) else given))
    if array.dtype.kind not in "iu" or array.shape not in ((), (1,), (count,)):
        raise ShapeError(f"ctc_loss: {name} are {count} whole numbers, got {array.dtype} of shape {array.shape}")
    array = np.broadcast_to(array.reshape(-1), (count,)).astype(np.int64)
    if array.size and (array.min() < least or (most is not None and array.max() > most)):
        between = f"at least {least}" if most is None else f"in {least}..{most}"
        raise ArgumentError(f"ctc_loss: {name} are {between}, got {array.min()}..{array.max()}")
    return array


def _padded(given: Any, lengths: np.ndarray, single: bool) -> np.ndarray:
    """Labels (N, L), L the most that one sample has, of labels (N, L') or of all one after another."""
    labels, width = np.asarray(given), int(lengths.max(initial=0))
    if labels.dtype.kind not in "iu" and labels.size:
        raise ShapeError(f"ctc_loss: targets are whole numbers, got {labels.dtype}")
    labels = labels.astype(np.int64)
    if labels.ndim == 1 and not single:
        if labels.size != lengths.sum():
            raise ShapeError(f"ctc_loss: {labels.size} targets, and target_lengths add up to {lengths.sum()}")
        padded = np.zeros((len(lengths), width), dtype=np.int64)
        padded[np.arange(width) < lengths[:, None]] = labels
        return padded
    if single and labels.ndim == 1:
        labels = labels[None]
    if labels.ndim != 2 or len(labels) != len(lengths) or labels.shape[1] < width:
        raise ShapeError(f"ctc_loss: expected targets ({len(lengths)}, {width}) or more, got {labels.shape}")
    return labels[:, :width]
