"""Initializers by the names that a config's ``init:`` gives, as a layer's weights are drawn; the formulas stand in
``dlcourse/nn/init.py``.

A model that takes one has a parameter ``init: Annotated[Any, Component("init")]``, makes it by :func:`initializer` and
lets it :meth:`~Initializer.fill` its layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from dlcourse import registry
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError
from dlcourse.nn import init
from dlcourse.nn.init import Mode, Shape
from dlcourse.registry import register
from dlcourse.types import Fraction, NonNegative, Positive

__all__ = ["Initializer"]


class Initializer:
    """Base of what ``init: {name: ...}`` names. A subclass draws the weights of one layer in ``__call__``."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        """Weights of that shape, output first and input last, in float32 on the current device.

        Args:
            shape: ``(out, in)`` or ``(out, kh, kw, in)``.
            gain: of the activation that follows, see :func:`~dlcourse.nn.init.calculate_gain`; 1 after the last layer.
            saturates: whether the net's activation tends to a constant on both sides.
        """
        raise NotImplementedError

    def fill(self, layer: Any, gain: float = 1.0, saturates: bool = False) -> None:
        """Draw a layer's ``weight``; its ``bias``, where it has one, starts at 0."""
        layer.weight.data = self(layer.weight.shape, gain, saturates)
        if layer.bias is not None:
            layer.bias.data = init.zeros(layer.bias.shape)


def initializer(given: str | Mapping[str, Any] | Initializer) -> Initializer:
    """The initializer that a name, or a mapping of a name and parameters, stands for; one that is made, itself.

    Raises:
        UserError: there is none of that name, or a parameter is unknown or missing.
    """
    if isinstance(given, Initializer):
        return given
    made: Initializer = registry.build("init", {"name": given} if isinstance(given, str) else given)
    return made


@register("init", "auto")
class Auto(Initializer):
    """What was made for the net's activation: ``xavier`` for sigmoid and tanh, ``kaiming`` for the others."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return (XavierNormal() if saturates else KaimingNormal())(shape, gain)


@register("init", "default")
class Default(Initializer):
    """Weights and biases as the layers draw them by themselves, which is PyTorch's way: uniform in
    +-1 / sqrt(fan_in)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.kaiming_uniform(shape, a=sqrt(5))

    def fill(self, layer: Any, gain: float = 1.0, saturates: bool = False) -> None:
        pass


@register("init", "zeros")
class Zeros(Initializer):
    """All 0: units of one layer then get the same gradient and stay alike."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.zeros(shape)


@register("init", "ones")
class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.ones(shape)


@register("init", "constant")
@dataclass(eq=False)
class Constant(Initializer):
    """All the same value.

    Args:
        val: the value.
    """

    val: float

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.constant(shape, self.val)


@register("init", "eye")
class Eye(Initializer):
    """1 on the diagonal, 0 elsewhere; of matrices only."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.identity(shape)


@register("init", "uniform")
@dataclass(eq=False)
class Uniform(Initializer):
    """Uniform from a to b.

    Args:
        a, b: the ends.
    """

    a: float = 0.0
    b: float = 1.0

    def __post_init__(self) -> None:
        if self.a > self.b:
            raise ArgumentError(f"expected a <= b, got a = {self.a}, b = {self.b}")

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.uniform(shape, self.a, self.b)


@register("init", "normal")
@dataclass(eq=False)
class Normal(Initializer):
    """Normal, the same in every layer.

    Args:
        mean: its mean.
        std: its standard deviation.
    """

    mean: float = 0.0
    std: NonNegative = 1.0

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.normal(shape, self.mean, self.std)


@register("init", "trunc_normal")
@dataclass(eq=False)
class TruncNormal(Initializer):
    """Normal, but only between a and b.

    Args:
        mean: of the whole distribution.
        std: standard deviation of the whole distribution.
        a, b: the least and the largest weight, which are values, not multiples of std.
    """

    mean: float = 0.0
    std: Positive = 1.0
    a: float = -2.0
    b: float = 2.0

    def __post_init__(self) -> None:
        init.require_part(self.mean, self.std, self.a, self.b)

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.trunc_normal(shape, self.mean, self.std, self.a, self.b)


@dataclass(eq=False)
class _Scaled(Initializer):
    """Weights whose scale is a gain over sizes of the layer.

    Args:
        gain: factor on the standard deviation; left out, the gain of the activation that follows, and 1 after the last
            layer.
    """

    gain: NonNegative | None = None

    def chosen(self, gain: float) -> float:
        """The gain that was given, or else that of the activation."""
        return gain if self.gain is None else self.gain


@register("init", "xavier_uniform")
class XavierUniform(_Scaled):
    """Uniform with variance gain^2 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.xavier_uniform(shape, self.chosen(gain))


@register("init", "xavier")
@register("init", "xavier_normal")
class XavierNormal(_Scaled):
    """Normal with variance gain^2 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.xavier_normal(shape, self.chosen(gain))


@register("init", "orthogonal")
class Orthogonal(_Scaled):
    """Gain times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.orthogonal(shape, self.chosen(gain))


@dataclass(eq=False)
class _Kaiming(_Scaled):
    """Weights with variance gain^2 / fan.

    Args:
        mode: which fan: fan_in keeps the variance of the signal, fan_out that of the gradient.
    """

    mode: Mode = "fan_in"

    def std(self, shape: Shape, gain: float) -> float:
        """The standard deviation."""
        return self.chosen(gain) / sqrt(init.fan(shape, self.mode))


@register("init", "kaiming_uniform")
class KaimingUniform(_Kaiming):
    """Uniform with variance gain^2 / fan (He et al. 2015)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        bound = sqrt(3) * self.std(shape, gain)
        return init.uniform(shape, -bound, bound)


@register("init", "kaiming")
@register("init", "kaiming_normal")
class KaimingNormal(_Kaiming):
    """Normal with variance gain^2 / fan (He et al. 2015)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.normal(shape, 0.0, self.std(shape, gain))


@register("init", "lecun_uniform")
class LecunUniform(Initializer):
    """Uniform with variance 1 / fan_in (LeCun et al. 1998)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.lecun_uniform(shape)


@register("init", "lecun")
@register("init", "lecun_normal")
class LecunNormal(Initializer):
    """Normal with variance 1 / fan_in (LeCun et al. 1998)."""

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.lecun_normal(shape)


@register("init", "sparse")
@dataclass(eq=False)
class Sparse(Initializer):
    """Normal, but a share of each input's weights is 0 (Martens 2010); of matrices only.

    Args:
        sparsity: the share, rounded up to whole weights.
        std: standard deviation of the others.
    """

    sparsity: Fraction
    std: NonNegative = 0.01

    def __call__(self, shape: Shape, gain: float = 1.0, saturates: bool = False) -> Array:
        return init.sparse(shape, self.sparsity, self.std)
