"""The base class of attacks, and the range in which inputs lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dlcourse.autograd import Tensor, grad
from dlcourse.backend import array_module, random
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.constants import constant
from dlcourse.errors import ArgumentError
from dlcourse.explain.scores import looking_into, outputs_of
from dlcourse.ops.loss import cross_entropy

__all__ = ["Attack", "Box"]

Norm = Literal["linf", "l2"]


@dataclass(frozen=True)
class Box:
    """Where inputs lie as the model takes them; sizes of perturbations are shares of it, such as of black to white.

    Attributes:
        low, high: least and largest value, numbers or arrays that broadcast to one input.
    """

    low: Any = 0.0
    high: Any = 1.0

    def beside(self, x: Array) -> tuple[Array, Array]:
        """Both as arrays where x is, in its type."""
        return constant(self.low, x, x.dtype), constant(self.high, x, x.dtype)

    def clip(self, x: Array) -> Array:
        """Inputs with values outside brought to the border."""
        return array_module(x).clip(x, *self.beside(x))

    def width(self, x: Array) -> Array:
        """high - low, where x is."""
        low, high = self.beside(x)
        return high - low


class Attack:
    """Makes, of inputs, others that look alike and are to be taken for another class.

    A subclass gives :meth:`perturb`. Perturbations are measured in the unit of the box: epsilon 0.3 in the maximum norm
    is 0.3 of the way from black to white, a Euclidean norm is that of all numbers of an input.

    Attributes:
        box: where inputs lie; the program sets it from the data, by default 0..1.
        in_training: whether it takes a fixed number of steps, so that a training may be against it.
    """

    in_training: ClassVar[bool] = True
    box: Box = Box()

    def fit(self, model: Any, batches: Sequence[tuple[Array, Array]]) -> None:
        """Learn from training inputs and labels (x, y) what is the same for all inputs; most attacks learn nothing."""

    def __call__(self, model: Any, x: Array | Tensor, y: Any, step: Any = 0) -> Array:
        """The perturbed inputs, (N, ...) as x.

        Args:
            model: gives logits (N, C); it is in evaluation mode meanwhile and stays as it was.
            x: inputs as the model takes them, in the box.
            y: labels (N,).
            step: random draws are a function of (seed, purpose, step).
        """
        inputs = x.data if isinstance(x, Tensor) else x
        labels = y.data if isinstance(y, Tensor) else y
        with looking_into(model):
            found = self.perturb(model, inputs, array_module(inputs).asarray(labels), step)
        return found.astype(inputs.dtype, copy=False)

    def perturb(self, model: Any, x: Array, y: Array, step: Any) -> Array:
        """The same for a model that records nothing of its parameters."""
        raise NotImplementedError

    def noise(self, x: Array, step: Any, size: float, norm: Norm) -> Array:
        """Random perturbations: uniform in the cube of this size, or in a random direction as long as this."""
        purpose, width = f"attack/{type(self).__name__}", self.box.width(x)
        if norm == "linf":
            drawn = (2 * random.uniform(x.shape, purpose, step) - 1) * size
        else:
            drawn = random.normal(x.shape, purpose, step)
            drawn *= size / lengths(drawn)
        return (drawn * width).astype(x.dtype, copy=False)


def loss_gradient(model: Any, x: Array, y: Array) -> Array:
    """The gradient of each input's own cross-entropy with respect to it, of x's shape."""
    leaf = Tensor(x, requires_grad=True)
    return gradient(cross_entropy(outputs_of(model, leaf), y, reduction="sum"), leaf)


def gradient(value: Tensor, leaf: Tensor, seed: Tensor | None = None, retain_graph: bool | None = None) -> Array:
    """d value / d leaf, times ``seed`` where the value is no scalar."""
    (found,) = grad(value, leaf, seed, retain_graph)
    assert found is not None  # without allow_unused it is there
    return found.data


def lengths(d: Array, width: Array | None = None) -> Array:
    """The Euclidean norm of each perturbation, (N, 1, ...), in units of the box."""
    scaled = d if width is None else in_units(d, width)
    return array_module(d).sqrt((scaled * scaled).sum(axis=tuple(range(1, d.ndim)), keepdims=True)) + 1e-12


def in_units(d: Array, width: Array) -> Array:
    """d / width; 0 stays 0 in what never varies, and so has no width."""
    return d / array_module(d).where(width == 0, 1, width).astype(d.dtype, copy=False)


def check_norm(name: str, norm: str, **positive: float) -> None:
    """Raise ArgumentError where a norm or a size is none."""
    if norm not in ("linf", "l2"):
        raise ArgumentError(f"{name}: norm is linf or l2, got {norm!r}")
    for key, value in positive.items():
        if not value >= 0:
            raise ArgumentError(f"{name}: {key} is at least 0, got {value}")
        if norm == "linf" and value > 1:
            gray = f"; {value:g} of 255 gray levels are {value / 255:.3g}" if value <= 255 else ""
            raise ArgumentError(f"{name}: {key} is a share of the range of the inputs, at most 1, got {value:g}{gray}")
