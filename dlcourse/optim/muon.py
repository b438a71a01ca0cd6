"""Muon: momentum whose matrices are made orthogonal."""

from collections.abc import Iterable
from typing import Literal

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels.linear import product
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require, require_non_negative
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative

__all__ = ["Muon"]


@register("optimizer", "muon")
class Muon(Optimizer):
    """Muon (Jordan et al. 2024), for matrices: ``torch.optim.Muon``, whose products round to bfloat16; these do not.

    B <- momentum B + (1 - momentum) g;  U = B, or with Nesterov  momentum B + (1 - momentum) g
    w <- (1 - lr weight_decay) w - lr' O,  O = NS(U)

    A convolution's filters (out, kh, kw, in) are the matrix with a row for each filter (as in Jordan's code, where
    torch's takes matrices only). With ``normalize_weights`` a matrix is first scaled to the norm rows^(1/2): then the
    rate alone says how far a step turns it.

    NS(U), about the orthogonal matrix next to U, is the Newton-Schulz iteration from X = U / max(|U|, eps),
    ``ns_steps`` times:  A = X X^T;  X <- a X + (b A + c A A) X.  lr' = lr max(1, rows / columns)^(1/2), or with
    "match_rms_adamw" 0.2 lr max(rows, columns)^(1/2), which has steps of AdamW's size.

    What has one axis (biases, gains) needs another optimizer: parameters in groups, see
    :class:`~dlcourse.optim.Optimizer`, in a config ``optimizer.groups``.

    Args:
        params: matrices, and filters of convolutions.
        lr: learning rate.
        weight_decay: share of the weight that goes each step, divided by lr.
        momentum: share of the momentum that stays.
        nesterov: look ahead by the momentum.
        ns_coefficients: a, b and c of the iteration.
        eps: the least norm that is divided by.
        ns_steps: how many iterations.
        adjust_lr_fn: how the rate depends on a matrix's shape.
        normalize_weights: whether each matrix is scaled before the step.
    Raises:
        ValueError: a parameter has fewer than two axes, or an argument is out of its range.
    """

    min_ndim = 2

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-3,
        weight_decay: NonNegative = 0.1,
        momentum: NonNegative = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: NonNegative = 1e-7,
        ns_steps: Count = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None,
        *,
        normalize_weights: bool = False,
    ):
        require_non_negative(weight_decay=weight_decay, momentum=momentum, eps=eps)
        require(len(ns_coefficients) == 3, f"ns_coefficients has to be three numbers, got {ns_coefficients}")
        require(1 <= ns_steps < 100, f"ns_steps has to lie between 1 and 99, got {ns_steps}")
        known = None, "original", "match_rms_adamw"
        require(adjust_lr_fn in known, f"adjust_lr_fn has to be one of {known}, got {adjust_lr_fn!r}")
        super().__init__(params, lr, state=("momentum_buffer",))
        self.weight_decay, self.momentum, self.nesterov = weight_decay, momentum, nesterov
        self.ns_coefficients, self.eps, self.ns_steps = tuple(ns_coefficients), eps, ns_steps
        self.adjust_lr_fn, self.normalize_weights = adjust_lr_fn, normalize_weights

    def update(self, weight: Array, grad: Array) -> None:
        buffer = self.state["momentum_buffer"]
        buffer += (1 - self.momentum) * (grad - buffer)
        direction = grad + self.momentum * (buffer - grad) if self.nesterov else buffer
        self.shrink(weight)
        start, stop = self.stretch.start, self.stretch.stop
        for index in self.places:
            place = self.flat.slice_of(index)
            if start <= place.start and place.stop <= stop and place.start < place.stop:
                own, rows = slice(place.start - start, place.stop - start), self.flat.parameters[index].shape[0]
                matrix, step = weight[own].reshape(rows, -1), self.orthogonal(direction[own].reshape(rows, -1))
                if self.normalize_weights:
                    matrix *= rows**0.5 / self._norm(matrix)
                matrix -= self.lr * (self._factor(*step.shape) * step)

    def orthogonal(self, matrix: Array) -> Array:
        """NS of a matrix."""
        a, b, c = self.ns_coefficients
        tall = matrix.shape[0] > matrix.shape[1]
        x = matrix.T if tall else matrix
        x = x / self._norm(x)
        for _ in range(self.ns_steps):
            square = product(x, x.T, None)
            x = a * x + product(b * square + c * product(square, square, None), x, None)
        return x.T if tall else x

    def _norm(self, matrix: Array) -> Array:
        """The Euclidean norm, at least eps."""
        xp = array_module(matrix)
        return xp.maximum(xp.sqrt((matrix * matrix).sum()), self.eps).astype(matrix.dtype)

    def _factor(self, rows: int, columns: int) -> float:
        if self.adjust_lr_fn == "match_rms_adamw":
            return float(0.2 * max(rows, columns) ** 0.5)
        return float(max(1.0, rows / columns) ** 0.5)
