"""Attacks that look for the smallest perturbation: DeepFool, and Carlini and Wagner's."""

from typing import Any, ClassVar

from dlcourse.attacks.base import Attack, gradient, in_units, lengths
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError
from dlcourse.explain.scores import outputs_of
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative, Positive

__all__ = ["CarliniWagner", "DeepFool"]


@register("attack", "deepfool")
class DeepFool(Attack):
    """Step by step over the nearest boundary of the linearized net, in the Euclidean norm.

        f_k = z_k - z_y,   w_k = d f_k / dx,   l = argmin_k |f_k| / |w_k|
        x <- x + (1 + overshoot) (|f_l| / |w_l| + 1e-4) w_l / |w_l|

    until the class changes, in the box; y is the class that the net gives x at first. (Moosavi-Dezfooli et al. 2016.)

    Args:
        steps: at most so many.
        overshoot: each step is that much longer than to the boundary, so that it leads beyond.
        candidates: how many of the likeliest other classes are looked at; each takes a backward pass.
    """

    in_training: ClassVar[bool] = False

    def __init__(self, steps: Count = 50, overshoot: NonNegative = 0.02, candidates: Count = 9):
        if steps < 1 or candidates < 1 or overshoot < 0:
            raise ArgumentError(
                f"deepfool: steps and candidates are at least 1, overshoot at least 0, got {steps}, {candidates}, "
                f"{overshoot}"
            )
        self.steps, self.overshoot, self.candidates = steps, overshoot, candidates

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        xp, width = array_module(x), self.box.width(x)
        with no_grad():
            logits = outputs_of(model, x).data
        order = xp.argsort(-logits, axis=1)[:, : self.candidates + 1]
        first, current, rows = order[:, 0], x, xp.arange(len(x))
        for _ in range(self.steps):
            leaf = Tensor(current, requires_grad=True)
            outputs = outputs_of(model, leaf)
            left = outputs.data.argmax(axis=1) == first
            if not bool(left.any()):
                break
            nearest, way = xp.full(len(x), xp.inf), xp.zeros_like(x)
            own = _logit_gradient(outputs, leaf, first)
            for place in range(1, order.shape[1]):
                other = order[:, place]
                slope = (_logit_gradient(outputs, leaf, other) - own) * width  # in units of the box
                gap = abs(outputs.data[rows, other] - outputs.data[rows, first])
                norm = lengths(slope)
                distance = gap / norm.reshape(-1)
                closer = (distance < nearest).reshape(-1, *(1,) * (x.ndim - 1))
                size = (distance + 1e-4).reshape(norm.shape) / norm
                way = xp.where(closer, size * slope * width, way)
                nearest = xp.minimum(nearest, distance)
            way *= (1 + self.overshoot) * left.reshape(-1, *(1,) * (x.ndim - 1))
            current = self.box.clip(current + way.astype(x.dtype, copy=False))
        return current


def _logit_gradient(outputs: Tensor, leaf: Tensor, classes: Array) -> Array:
    """The gradient of one logit of each input, of the input's shape."""
    xp = array_module(outputs.data)
    one_hot = (xp.arange(outputs.shape[1]) == classes[:, None]).astype(outputs.dtype)
    return gradient(outputs, leaf, Tensor(one_hot), retain_graph=True)


@register("attack", "carlini_wagner")
class CarliniWagner(Attack):
    """The smallest Euclidean perturbation that Adam finds, over w of x' = low + (high - low) (tanh w + 1) / 2.

        min |x' - x|^2 + c max(z_y - max_(k != y) z_k, -confidence)

    with c found for each input by bisection. The result is the nearest x' found that another class gets. (Carlini &
    Wagner 2017.)

    Args:
        steps: of Adam, for each c.
        lr: of Adam. A pixel at an end of the box begins where tanh is flat: at 0.01 it takes 700 steps to leave it.
        searches: values of c that are tried.
        initial_constant: the first of them.
        confidence: by how much another class is to be ahead.
    """

    in_training: ClassVar[bool] = False

    def __init__(
        self,
        steps: Count = 200,
        lr: Positive = 0.1,
        searches: Count = 6,
        initial_constant: Positive = 1.0,
        confidence: NonNegative = 0.0,
    ):
        if steps < 1 or searches < 1 or not lr > 0 or not initial_constant > 0 or confidence < 0:
            raise ArgumentError("carlini_wagner: steps and searches are at least 1, lr and initial_constant above 0")
        self.steps, self.lr, self.searches = steps, lr, searches
        self.initial_constant, self.confidence = initial_constant, confidence

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        xp = array_module(x)
        low, high = self.box.beside(x)
        width, shape = high - low, (-1, *(1,) * (x.ndim - 1))
        # Within the box by a hair: tanh reaches its ends nowhere.
        start = xp.arctanh(xp.clip(2 * in_units(x - low, width) - 1, -1 + 1e-6, 1 - 1e-6))
        least, most = xp.zeros(len(x)), xp.full(len(x), 1e10)
        constant = xp.full(len(x), self.initial_constant)
        best, nearest = x.copy(), xp.full(len(x), xp.inf)
        for _ in range(self.searches):
            w, first, second = start.copy(), xp.zeros_like(start), xp.zeros_like(start)
            found = xp.zeros(len(x), dtype=bool)
            for k in range(1, self.steps + 1):
                slope = 1 - xp.tanh(w) ** 2
                image = (low + width * (xp.tanh(w) + 1) / 2).astype(x.dtype)
                distance, gap, slopes = self._cost(model, x, image, y, constant, width)
                wrong = gap < -self.confidence + 1e-12
                found |= wrong
                nearer = wrong & (distance < nearest)
                best = xp.where(nearer.reshape(shape), image, best)
                nearest = xp.where(nearer, distance, nearest)
                slopes = slopes * (width / 2) * slope
                first = 0.9 * first + 0.1 * slopes
                second = 0.999 * second + 0.001 * slopes * slopes
                w = w - self.lr * (first / (1 - 0.9**k)) / (xp.sqrt(second / (1 - 0.999**k)) + 1e-8)
            most = xp.where(found, xp.minimum(most, constant), most)
            least = xp.where(found, least, xp.maximum(least, constant))
            constant = xp.where(most < 1e9, (least + most) / 2, constant * 10)
        return best

    def _cost(
        self, model: Any, x: Array, image: Array, y: Array, constant: Array, width: Array
    ) -> tuple[Array, Array, Array]:
        """|x' - x|^2, z_y - max_(k != y) z_k, and the gradient of the cost with respect to x'."""
        xp, rows = array_module(x), array_module(x).arange(len(x))
        leaf = Tensor(image, requires_grad=True)
        outputs = outputs_of(model, leaf)
        logits = outputs.data
        others = xp.where(xp.arange(logits.shape[1]) == y[:, None], -xp.inf, logits)
        rival = others.argmax(axis=1)
        gap = logits[rows, y] - logits[rows, rival]
        active = (gap > -self.confidence) * constant
        classes = xp.arange(logits.shape[1])
        seed = ((classes == y[:, None]) * 1.0 - (classes == rival[:, None])) * active[:, None]
        pull = gradient(outputs, leaf, Tensor(seed.astype(outputs.dtype)))
        d = in_units(image - x, width)
        distance = (d * d).sum(axis=tuple(range(1, x.ndim)))
        return distance, gap, 2 * in_units(d, width) + pull
