"""Initial weights: arrays drawn on the host, as a function of the seed and of how many draws came before.

So they are the same numbers on every device, and a model built twice after ``manual_seed`` starts twice alike. Shapes
are those of the layers here, output first and input last: ``(out, in)`` for a linear layer, ``(out, kh, kw, in)`` for a
convolution; then fan_in = in x kh x kw and fan_out = out x kh x kw.

Every function returns an array on the current device. The names are PyTorch's (``torch.nn.init``); with an underscore,
as there, they fill a tensor in place: ``init.kaiming_normal_(layer.weight, nonlinearity="relu")``.
"""

from collections.abc import Callable
from math import prod, sqrt
from typing import Any, Literal

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend.device import Array
from dlcourse.nn.activation import ACTIVATIONS

Shape = tuple[int, ...]
Mode = Literal["fan_in", "fan_out"]


def zeros(shape: Shape) -> Array:
    """All 0."""
    return constant(shape, 0.0)


def constant(shape: Shape, value: float) -> Array:
    """All the same value."""
    backend.random.require_weights(tuple(shape))
    return _array(np.full(shape, value))


def identity(shape: Shape, gain: float = 1.0) -> Array:
    """``gain`` on the diagonal, 0 elsewhere (recurrent weights: Le, Jaitly & Hinton 2015).

    Raises:
        ValueError: the shape is not that of a matrix.
    """
    if len(shape) != 2:
        raise ValueError(f"identity needs a matrix's shape, got {shape}")
    return _array(gain * np.eye(*shape))


def uniform(shape: Shape, low: float = 0.0, high: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Uniform in [low, high)."""
    return _array(_generator(generator).uniform(low, high, shape))


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Normal with that mean and standard deviation."""
    return _array(_generator(generator).normal(mean, std, shape))


def xavier_uniform(shape: Shape, gain: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Uniform with variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010): keeps the signal's variance, forward
    and backward, through tanh-like activations."""
    bound = gain * sqrt(6 / max(sum(fans(shape)), 1))
    return uniform(shape, -bound, bound, generator)


def xavier_normal(shape: Shape, gain: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """Normal with variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    return normal(shape, 0.0, gain * sqrt(2 / max(sum(fans(shape)), 1)), generator)


def kaiming_uniform(
    shape: Shape,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Array:
    """Uniform with variance g^2 / fan (He et al. 2015), g the gain of the nonlinearity that follows.

    Args:
        shape: of the weight.
        a: slope of a leaky ReLU below 0; 0 is ReLU.
        mode: which fan: ``fan_in`` keeps the variance of the signal, ``fan_out`` that of the gradient.
        nonlinearity: see :func:`calculate_gain`.
    """
    bound = sqrt(3) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, -bound, bound, generator)


def kaiming_normal(
    shape: Shape,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Array:
    """Normal with variance g^2 / fan (He et al. 2015); arguments as in :func:`kaiming_uniform`."""
    return normal(shape, 0.0, _kaiming_std(shape, a, mode, nonlinearity), generator)


def lecun_uniform(shape: Shape, generator: np.random.Generator | None = None) -> Array:
    """Uniform with variance 1 / fan_in (LeCun et al. 1998)."""
    return kaiming_uniform(shape, nonlinearity="linear", generator=generator)


def lecun_normal(shape: Shape, generator: np.random.Generator | None = None) -> Array:
    """Normal with variance 1 / fan_in (LeCun et al. 1998)."""
    return kaiming_normal(shape, nonlinearity="linear", generator=generator)


def orthogonal(shape: Shape, gain: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    The axes after the first count as one. It is the Q of a normal matrix's QR, with the signs that make it uniform.

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"orthogonal needs at least two axes, got shape {shape}")
    rows, columns = shape[0], prod(shape[1:])
    draws = _generator(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draws)
    q *= np.sign(np.diagonal(r))
    return _array(gain * (q if rows >= columns else q.T).reshape(shape))


def calculate_gain(nonlinearity: str, a: float = 0.01) -> float:
    """The factor on the weights' standard deviation that makes up for what an activation takes away.

    PyTorch's values; activations that it does not list, such as ``gelu``, get those of :mod:`~dlcourse.nn.activation`.
    ``a`` is a leaky ReLU's slope.

    Raises:
        ValueError: the name is unknown.
    """
    gains = {name: activation.gain for name, activation in ACTIVATIONS.items()}
    gains |= {"linear": 1.0, "selu": 3 / 4, "leaky_relu": sqrt(2 / (1 + a * a))}
    if nonlinearity not in gains:
        raise ValueError(f"no gain is known for {nonlinearity!r}; known: {', '.join(sorted(gains))}")
    return gains[nonlinearity]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs reach one output, how many outputs one input reaches.

    Raises:
        ValueError: the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"fan_in and fan_out need at least two axes, got shape {shape}")
    return prod(shape[1:]), shape[0] * prod(shape[1:-1])


def _kaiming_std(shape: Shape, a: float, mode: Mode, nonlinearity: str) -> float:
    fan = dict(zip(("fan_in", "fan_out"), fans(shape), strict=True))
    if mode not in fan:
        raise ValueError(f"mode is fan_in or fan_out, got {mode!r}")
    return calculate_gain(nonlinearity, a) / sqrt(max(fan[mode], 1))


def _generator(generator: np.random.Generator | None) -> np.random.Generator:
    return generator if generator is not None else backend.random.next_generator("init")


def _array(values: np.ndarray) -> Array:
    return backend.current().asarray(values, dtype=np.float32)


def _filling(draw: Callable[..., Array], **names: str) -> Callable[..., Any]:
    """PyTorch's function that fills a tensor in place and returns it, with PyTorch's names of some arguments."""

    def fill(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        values = draw(tensor.shape, *args, **{names.get(key, key): value for key, value in options.items()})
        with no_grad():
            return tensor.copy_(values)

    fill.__name__ = fill.__qualname__ = f"{draw.__name__}_"
    fill.__doc__ = f"Fill a tensor in place as :func:`{draw.__name__}` says, and return it."
    return fill


zeros_, constant_, eye_ = _filling(zeros), _filling(constant, val="value"), _filling(identity)
uniform_, normal_ = _filling(uniform, a="low", b="high"), _filling(normal)
xavier_uniform_, xavier_normal_ = _filling(xavier_uniform), _filling(xavier_normal)
orthogonal_ = _filling(orthogonal)
kaiming_uniform_, kaiming_normal_ = _filling(kaiming_uniform), _filling(kaiming_normal)


def ones_(tensor: Tensor) -> Tensor:
    """Fill a tensor with ones in place, and return it."""
    return constant_(tensor, 1.0)


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing("init", name, f"module 'dlcourse.nn.init' has no attribute {name!r}", sys.modules[__name__])
