"""One perturbation for all inputs (Moosavi-Dezfooli et al. 2017)."""

from collections.abc import Sequence
from typing import Any, ClassVar

from dlcourse.attacks.base import Attack, check_norm, loss_gradient
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError
from dlcourse.explain.scores import looking_into
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative, Positive

__all__ = ["Universal"]


@register("attack", "universal")
class Universal(Attack):
    """x' = x + d with one d for all inputs, |d| <= epsilon in the maximum norm: ascent of their mean loss in d.

        d <- P(d + step_size sign(mean over x of dL / d(x + d)))

    d is found by gradients on what :meth:`fit` was given, one batch a step, and then is that of all inputs; without it
    on the inputs that it is asked for. (Moosavi-Dezfooli et al. 2017; Shafahi et al. 2020.)

    Args:
        epsilon: the size of d, a share of the range of the inputs.
        steps: how many.
        step_size: of each; None: 2.5 epsilon / steps.
    Attributes:
        perturbation: d, of an input's shape; None before :meth:`fit`.
    """

    in_training: ClassVar[bool] = False

    def __init__(self, epsilon: NonNegative, steps: Count = 50, step_size: Positive | None = None):
        check_norm("universal", "linf", epsilon=epsilon)
        if steps < 1:
            raise ArgumentError(f"universal: steps is at least 1, got {steps}")
        self.epsilon, self.steps = epsilon, steps
        self.step_size = 2.5 * epsilon / steps if step_size is None else step_size
        self.perturbation: Array | None = None

    def fit(self, model: Any, batches: Sequence[tuple[Array, Array]]) -> None:
        with looking_into(model):
            self.perturbation = self._found(model, batches)

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        d = self.perturbation
        return self.box.clip(x + (self._found(model, [(x, y)]) if d is None else d))

    def _found(self, model: Any, batches: Sequence[tuple[Array, Array]]) -> Array:
        x, _ = batches[0]
        xp, width = array_module(x), self.box.width(x)
        d = xp.zeros(x.shape[1:], dtype=x.dtype)
        for step in range(self.steps):
            x, y = batches[step % len(batches)]
            slope = loss_gradient(model, self.box.clip(x + d), y).mean(axis=0)
            d = xp.clip(d + self.step_size * width * xp.sign(slope), -self.epsilon * width, self.epsilon * width)
            d = d.astype(x.dtype, copy=False)
        return d
