"""Connectionist temporal classification: the probability of a text over all its alignments, by dynamic programming."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def ctc(
    log_p: Array, labels: Array, steps: Array, lengths: Array, blank: int, with_grad: bool
) -> tuple[Array, Array | None]:
    """The negative log-likelihoods of label sequences, and p less the share of each step that each class has in them.

    Between, before and after the labels stand blanks: z of length S = 2 L + 1. An alignment stays at a place of z, goes
    on by one, or by two past a blank between labels that differ. With alpha_t(s) the log-probability of all alignments
    of steps 0..t that end at s, and beta_t(s) that of steps t..T-1 that begin there,

        alpha_t(s) = log p_t(z_s) + log sum of e^alpha_(t-1) at s, s - 1 and, where it may, s - 2
        loss = -log(e^alpha_(T-1)(S-1) + e^alpha_(T-1)(S-2))
        share_t(c) = sum over s with z_s = c of e^(alpha_t(s) + beta_t(s) - log p_t(c) + loss)

    Args:
        log_p: (N, T, C), normalized: logarithms of softmax.
        labels: (N, L), whole numbers; what stands behind the length counts as blank.
        steps: (N,), how many steps of each sample count; at least 1.
        lengths: (N,), how many labels of each sample count.
        blank: the class of no label.
    Returns:
        Losses (N,), infinite where no alignment fits, and (N, T, C) the gradient in the logits of log_p, or None; 0
        behind the steps that count.
    """
    xp = array_module(log_p)
    count, total, classes = log_p.shape
    width = labels.shape[1]
    z = xp.full((count, 2 * width + 1), blank, dtype=labels.dtype)
    z[:, 1::2] = xp.where(xp.arange(width) < lengths[:, None], labels, blank)
    skips = (z != blank) & xp.concatenate([xp.zeros((count, 2), dtype=bool), z[:, 2:] != z[:, :-2]], axis=1)[
        :, : z.shape[1]
    ]
    rows = xp.arange(count)
    emitted = xp.take_along_axis(log_p, z[:, None, :], axis=2)  # (N, T, S)
    alpha = xp.full(emitted.shape, -xp.inf, dtype=log_p.dtype)
    alpha[:, 0, 0] = emitted[:, 0, 0]
    if width:
        alpha[:, 0, 1] = xp.where(lengths > 0, emitted[:, 0, 1], -xp.inf)
    for t in range(1, total):
        alpha[:, t] = emitted[:, t] + _from_behind(xp, alpha[:, t - 1], skips)
    last, ends = alpha[rows, steps - 1], 2 * lengths
    before = xp.where(lengths > 0, last[rows, xp.maximum(ends - 1, 0)], -xp.inf)
    losses = -xp.logaddexp(last[rows, ends], before)
    if not with_grad:
        return losses, None
    places = xp.arange(z.shape[1])
    final = (places == ends[:, None]) | ((places == ends[:, None] - 1) & (lengths > 0)[:, None])
    skipped = xp.zeros_like(skips)
    skipped[:, :-2] = skips[:, 2:]  # from where one may go on by two
    share = xp.full(emitted.shape, -xp.inf, dtype=log_p.dtype)
    beta = xp.full(z.shape, -xp.inf, dtype=log_p.dtype)
    for t in range(total - 1, -1, -1):
        ahead = _from_behind(xp, beta[:, ::-1], skipped[:, ::-1])[:, ::-1]
        ahead = xp.where((steps == t + 1)[:, None], xp.where(final, 0.0, -xp.inf), ahead)
        share[:, t] = alpha[:, t] + ahead
        beta = emitted[:, t] + ahead
    found = xp.isfinite(losses)
    share = xp.exp(share + xp.where(found, losses, 0.0)[:, None, None])
    in_time = (xp.arange(total) < steps[:, None])[:, :, None]
    of_class = (z[:, :, None] == xp.arange(classes)).astype(log_p.dtype)  # (N, S, C)
    grad = xp.where(in_time, xp.exp(log_p) - xp.matmul(share, of_class), 0.0)
    return losses, xp.where(found[:, None, None], grad, xp.nan).astype(log_p.dtype)


def _from_behind(xp: Any, scores: Array, skips: Array) -> Array:
    """log sum of e^scores at each place, the one before it and, where it may, the one before that."""
    found = scores.copy()
    found[:, 1:] = xp.logaddexp(found[:, 1:], scores[:, :-1])
    found[:, 2:] = xp.logaddexp(found[:, 2:], xp.where(skips[:, 2:], scores[:, :-2], -xp.inf))
    return found
