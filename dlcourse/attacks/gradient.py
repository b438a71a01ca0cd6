"""Attacks along the gradient of the loss with respect to the input, within a given distance."""

from typing import Any, Literal

from dlcourse.attacks.base import Attack, Norm, check_norm, lengths, loss_gradient
from dlcourse.autograd import no_grad
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError
from dlcourse.explain.scores import outputs_of
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative, NonNegativeInt, Positive

__all__ = ["FGSM", "PGD", "RandomNoise"]

Goal = NonNegativeInt | Literal["least_likely"]
"""The class that a targeted attack wants: one for all, or of each input the one that is least likely to the net."""


@register("attack", "fgsm")
class FGSM(Attack):
    """One step along the gradient's sign: x' = x + epsilon sign(dL / dx), in the box.

    Of all perturbations no larger than epsilon in the maximum norm it raises a linear loss most. With ``norm: l2``
    x' = x + epsilon g / |g|. (Goodfellow et al. 2014; lecture 15.)

    Args:
        epsilon: the size of the perturbation, a share of the range of the inputs.
        norm: in which it is measured: the largest change of a number, or the Euclidean length of all.
        target: towards this class, in place of away from the true one.
    """

    def __init__(self, epsilon: NonNegative, norm: Norm = "linf", target: Goal | None = None):
        check_norm("fgsm", norm, epsilon=epsilon)
        self.epsilon, self.norm, self.target = epsilon, norm, target

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        labels, sign = aims(model, x, y, self.target)
        return self.box.clip(x + sign * steepest(self, loss_gradient(model, x, labels), x, self.epsilon))


@register("attack", "pgd")
class PGD(Attack):
    """Many small steps of FGSM, each followed by the projection P to the ball round x and to the box.

        x_0 = x + noise,   x_(k+1) = P(x_k + step_size sign(dL / dx_k)),   P onto |x' - x| <= epsilon

    (Madry et al. 2017; without the random start it is the basic iterative method, Kurakin et al. 2016.)

    Args:
        epsilon: the radius of the ball, a share of the range of the inputs.
        steps: how many.
        step_size: of each; None: 2.5 epsilon / steps, so that any point of the ball can be reached.
        norm: in which the ball is one.
        random_start: whether to begin anywhere in the ball, not at x.
        target: towards this class, in place of away from the true one.
    """

    def __init__(
        self,
        epsilon: NonNegative,
        steps: Count = 40,
        step_size: Positive | None = None,
        norm: Norm = "linf",
        random_start: bool = True,
        target: Goal | None = None,
    ):
        check_norm("pgd", norm, epsilon=epsilon)
        if steps < 1:
            raise ArgumentError(f"pgd: steps is at least 1, got {steps}")
        self.epsilon, self.steps, self.norm, self.random_start, self.target = epsilon, steps, norm, random_start, target
        self.step_size = 2.5 * epsilon / steps if step_size is None else step_size

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        labels, sign = aims(model, x, y, self.target)
        current = self.box.clip(x + self.noise(x, step, self.epsilon, self.norm)) if self.random_start else x
        for _ in range(self.steps):
            moved = current + sign * steepest(self, loss_gradient(model, current, labels), x, self.step_size)
            current = self.box.clip(x + self.projected(moved - x, x))
        return current

    def projected(self, d: Array, x: Array) -> Array:
        """Perturbations brought back into the ball."""
        width = self.box.width(x)
        if self.norm == "linf":
            return array_module(d).clip(d, -self.epsilon * width, self.epsilon * width)
        return d * array_module(d).minimum(1.0, self.epsilon / lengths(d, width)).astype(d.dtype)


@register("attack", "random")
class RandomNoise(Attack):
    """The control: a random perturbation of the same size, which a net hardly notices.

    Args:
        epsilon: its size, a share of the range of the inputs.
        norm: uniform in the cube of that size, or in a random direction of that length.
    """

    def __init__(self, epsilon: NonNegative, norm: Norm = "linf"):
        check_norm("random", norm, epsilon=epsilon)
        self.epsilon, self.norm = epsilon, norm

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        return self.box.clip(x + self.noise(x, step, self.epsilon, self.norm))


def aims(model: Any, x: Array, y: Array, target: Goal | None) -> tuple[Array, int]:
    """The classes whose loss is looked at, and whether it is to rise (1: the true ones) or to fall (-1: the goal's)."""
    if target is None:
        return y, 1
    with no_grad():
        logits = outputs_of(model, x).data
    if target == "least_likely":
        return logits.argmin(axis=1), -1
    if not 0 <= int(target) < logits.shape[1]:
        raise ArgumentError(f"target: the classes are 0..{logits.shape[1] - 1}, got {target}")
    return array_module(y).full_like(y, int(target)), -1


def steepest(attack: Any, gradient: Array, x: Array, size: float) -> Array:
    """The perturbation of this size that raises a linear loss most."""
    width = attack.box.width(x)
    if attack.norm == "linf":
        return (size * array_module(gradient).sign(gradient) * width).astype(x.dtype, copy=False)
    # In units of the box u = d / width the gradient is g * width.
    scaled = gradient * width
    return (size * scaled / lengths(scaled) * width).astype(x.dtype, copy=False)
