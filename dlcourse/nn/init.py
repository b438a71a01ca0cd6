"""Initial weights: arrays drawn on the host, as a function of the seed and of how many draws came before.

So they are the same numbers on every device, and a model built twice after ``manual_seed`` starts twice alike. Shapes
are those of the layers here, output first and input last: ``(out, in)`` for a linear layer, ``(out, kh, kw, in)`` for a
convolution; then fan_in = in x kh x kw and fan_out = out x kh x kw.

Every function returns a float32 array on the current device. The names are PyTorch's (``torch.nn.init``); with an
underscore, as there, they fill a tensor in place, in its own type: ``init.kaiming_normal_(layer.weight,
nonlinearity="relu")``. What a config's ``init: {name: ...}`` names is in :mod:`~dlcourse.nn.initializer`.
"""

import functools
import inspect
from collections.abc import Callable
from math import ceil, erf, prod, sqrt
from typing import Any, Literal, ParamSpec, TypeAlias

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend.device import Array
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.activation import ACTIVATIONS

Shape = tuple[int, ...]
Mode = Literal["fan_in", "fan_out"]
P = ParamSpec("P")
Random: TypeAlias = "np.random.Generator | None"
"""In quotes: ``numpy.random`` is loaded where numbers are drawn."""

LINEAR = ("linear", *(f"conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3)))
"""What PyTorch also takes for a nonlinearity that is none."""


def _on_device(draw: Callable[P, np.ndarray]) -> Callable[P, Array]:
    """What a function draws on the host, on the current device in float32."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> Array:
        return backend.current().asarray(draw(*args, **options), dtype=np.float32)

    return drawn


@_on_device
def zeros(shape: Shape) -> np.ndarray:
    """All 0."""
    return _full(shape, 0.0)


@_on_device
def ones(shape: Shape) -> np.ndarray:
    """All 1."""
    return _full(shape, 1.0)


@_on_device
def constant(shape: Shape, value: float) -> np.ndarray:
    """All the same value."""
    return _full(shape, value)


@_on_device
def identity(shape: Shape, gain: float = 1.0) -> np.ndarray:
    """``gain`` on the diagonal, 0 elsewhere (recurrent weights: Le, Jaitly & Hinton 2015).

    Raises:
        ShapeError: the shape is not that of a matrix.
    """
    if len(shape) != 2:
        raise ShapeError(f"identity needs a matrix's shape, got {shape}")
    return gain * np.eye(*shape)


@_on_device
def dirac(shape: Shape, groups: int = 1) -> np.ndarray:
    """A convolution that passes its input on: output i of each group is input i of that group, as far as both reach.

    The kernel has a 1 in its center, in row i for channel i; shape (out, k, in) to (out, kd, kh, kw, in).

    Raises:
        ShapeError: the shape is not that of a kernel, or ``out`` is no multiple of ``groups``.
    """
    if not 3 <= len(shape) <= 5:
        raise ShapeError(f"dirac needs a kernel's shape, (out, k, in) to (out, kd, kh, kw, in), got {shape}")
    if groups < 1 or shape[0] % groups:
        raise ShapeError(f"dirac: {shape[0]} outputs do not make {groups} groups")
    weight, each = _full(shape, 0.0), shape[0] // groups
    through = np.arange(min(each, shape[-1]))
    center = weight.reshape(shape[0], -1, shape[-1])[:, _center(shape[1:-1])]  # (out, in), a view
    for group in range(groups):
        center[group * each + through, through] = 1
    return weight


@_on_device
def uniform(shape: Shape, low: float = 0.0, high: float = 1.0, generator: Random = None) -> np.ndarray:
    """Uniform in [low, high)."""
    return _generator(generator).uniform(low, high, shape)


@_on_device
def normal(shape: Shape, mean: float = 0.0, std: float = 1.0, generator: Random = None) -> np.ndarray:
    """Normal with that mean and standard deviation."""
    return _generator(generator).normal(mean, std, shape)


@_on_device
def trunc_normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Random = None,
) -> np.ndarray:
    """Normal with that mean and standard deviation, but only between ``a`` and ``b``, which are values, not multiples
    of ``std``.

    A uniform number u between Phi((a - mean) / std) and Phi((b - mean) / std) becomes mean + std Phi^-1(u).

    Raises:
        ArgumentError: ``a`` is above ``b``, ``std`` is not above 0, or the interval holds next to none of the
            distribution: less than 1e-6, of which the formula has no digits left.
    """
    low, high = require_part(mean, std, a, b)
    draws = _generator(generator).uniform(low, high, shape)
    return np.clip(mean + std * sqrt(2) * _inverse_erf(draws), a, b)


@_on_device
def xavier_uniform(shape: Shape, gain: float = 1.0, generator: Random = None) -> np.ndarray:
    """Uniform with variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010): keeps the signal's variance, forward
    and backward, through tanh-like activations."""
    bound = gain * sqrt(6 / max(sum(fans(shape)), 1))
    return _generator(generator).uniform(-bound, bound, shape)


@_on_device
def xavier_normal(shape: Shape, gain: float = 1.0, generator: Random = None) -> np.ndarray:
    """Normal with variance gain^2 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    return _generator(generator).normal(0.0, gain * sqrt(2 / max(sum(fans(shape)), 1)), shape)


@_on_device
def kaiming_uniform(
    shape: Shape,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Random = None,
) -> np.ndarray:
    """Uniform with variance g^2 / fan (He et al. 2015), g the gain of the nonlinearity that follows.

    Args:
        shape: of the weight.
        a: slope of a leaky ReLU below 0; 0 is ReLU.
        mode: which fan: ``fan_in`` keeps the variance of the signal, ``fan_out`` that of the gradient.
        nonlinearity: see :func:`calculate_gain`.
    """
    bound = sqrt(3) * calculate_gain(nonlinearity, a) / sqrt(fan(shape, mode))
    return _generator(generator).uniform(-bound, bound, shape)


@_on_device
def kaiming_normal(
    shape: Shape,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Random = None,
) -> np.ndarray:
    """Normal with variance g^2 / fan (He et al. 2015); arguments as in :func:`kaiming_uniform`."""
    return _generator(generator).normal(0.0, calculate_gain(nonlinearity, a) / sqrt(fan(shape, mode)), shape)


@_on_device
def lecun_uniform(shape: Shape, generator: Random = None) -> np.ndarray:
    """Uniform with variance 1 / fan_in (LeCun et al. 1998)."""
    bound = sqrt(3) / sqrt(fan(shape, "fan_in"))
    return _generator(generator).uniform(-bound, bound, shape)


@_on_device
def lecun_normal(shape: Shape, generator: Random = None) -> np.ndarray:
    """Normal with variance 1 / fan_in (LeCun et al. 1998)."""
    return _generator(generator).normal(0.0, 1 / sqrt(fan(shape, "fan_in")), shape)


@_on_device
def orthogonal(shape: Shape, gain: float = 1.0, generator: Random = None) -> np.ndarray:
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    The axes after the first count as one. It is the Q of a normal matrix's QR, with the signs that make it uniform.

    Raises:
        ShapeError: the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(f"orthogonal needs at least two axes, got shape {shape}")
    rows, columns = shape[0], prod(shape[1:])
    draws = _generator(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draws)
    q *= np.sign(np.diagonal(r))
    return gain * (q if rows >= columns else q.T).reshape(shape)


@_on_device
def sparse(shape: Shape, sparsity: float, std: float = 0.01, generator: Random = None) -> np.ndarray:
    """Normal with standard deviation ``std``, but a share ``sparsity`` of each column, rounded up, is 0 (Martens 2010).

    Raises:
        ShapeError: the shape is not that of a matrix.
        ArgumentError: ``sparsity`` is outside 0..1.
    """
    if len(shape) != 2:
        raise ShapeError(f"sparse needs a matrix's shape, got {shape}")
    if not 0 <= sparsity <= 1:
        raise ArgumentError(f"sparse: sparsity is in 0..1, got {sparsity}")
    rng = _generator(generator)
    weight = rng.normal(0.0, std, shape)
    order = rng.random(shape).argsort(axis=0)  # of the rows, another one in each column
    np.put_along_axis(weight, order[: ceil(sparsity * shape[0])], 0, axis=0)
    return weight


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the weights' standard deviation that makes up for what an activation takes away.

    PyTorch's values; activations that it does not list, such as ``gelu``, get those of :mod:`~dlcourse.nn.activation`.
    ``param`` is a leaky ReLU's slope, 0.01 if left out.

    Raises:
        ArgumentError: the name is unknown, or the slope is no number.
    """
    if isinstance(param, bool) or not isinstance(param, int | float | None):
        raise ArgumentError(f"calculate_gain: the slope of a leaky ReLU is a number, got {param!r}")
    gains = {name: activation.gain for name, activation in ACTIVATIONS.items()}
    slope = 0.01 if param is None else param
    gains |= {**dict.fromkeys(LINEAR, 1.0), "selu": 3 / 4, "leaky_relu": sqrt(2 / (1 + slope**2))}
    if nonlinearity not in gains:
        raise ArgumentError(f"no gain is known for {nonlinearity!r}; known: {', '.join(sorted(gains))}")
    return gains[nonlinearity]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs reach one output, how many outputs one input reaches.

    Raises:
        ShapeError: the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(f"fan_in and fan_out need at least two axes, got shape {shape}")
    return prod(shape[1:]), shape[0] * prod(shape[1:-1])


def fan(shape: Shape, mode: Mode) -> int:
    """The one of :func:`fans` that ``mode`` names, at least 1.

    Raises:
        ShapeError: the shape has fewer than two axes.
        ArgumentError: ``mode`` is neither.
    """
    both = dict(zip(("fan_in", "fan_out"), fans(shape), strict=True))
    if mode not in both:
        raise ArgumentError(f"mode is fan_in or fan_out, got {mode!r}")
    return max(both[mode], 1)


def require_part(mean: float, std: float, a: float, b: float) -> tuple[float, float]:
    """erf of the ends of the part of a normal distribution between ``a`` and ``b``, for :func:`trunc_normal`.

    Raises:
        ArgumentError: there is no such part, or next to nothing of the distribution is in it.
    """
    if not (a < b and std > 0):
        raise ArgumentError(f"trunc_normal: expected a < b and std > 0, got {a=}, {b=}, {std=}")
    low, high = (erf((end - mean) / (std * sqrt(2))) for end in (a, b))
    if high - low < 2e-6:
        raise ArgumentError(
            f"trunc_normal: a normal distribution of {mean=} and {std=} has next to nothing between {a=} and {b=}, "
            "which are values, not multiples of std"
        )
    return low, high


def _center(sizes: Shape) -> int:
    """The place of the middle element of an array of that shape, counted along its memory."""
    return int(np.ravel_multi_index([size // 2 for size in sizes], sizes))


def _full(shape: Shape, value: float) -> np.ndarray:
    backend.random.require_weights(tuple(shape))
    return np.full(shape, value, dtype=np.float64)


def _generator(generator: Random) -> "np.random.Generator":
    return generator if generator is not None else backend.random.next_generator("init")


def _inverse_erf(y: np.ndarray) -> np.ndarray:
    """x with erf x = y, to about 1e-7 of it: Giles 2010, "Approximating the erfinv function"."""
    near_one = -np.log((1 - y) * (1 + y))
    center = np.polyval(_CENTER, near_one - 2.5)
    with np.errstate(invalid="ignore"):
        tail = np.polyval(_TAIL, np.sqrt(near_one) - 3)
    return np.where(near_one < 5, center, tail) * y


_CENTER = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503) + (
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613) + (
    0.00943887047,
    1.00167406,
    2.83297682,
)


def _filling(draw: Callable[..., Array], **names: str) -> Callable[..., Any]:
    """PyTorch's function that fills a tensor in place and returns it, with PyTorch's names of some arguments."""
    on_host, theirs = draw.__wrapped__, {ours: name for name, ours in names.items()}  # type: ignore[attr-defined]
    shape, *rest = inspect.signature(draw).parameters.values()
    is_random = "generator" in inspect.signature(draw).parameters
    parameters = [shape.replace(name="tensor", annotation=Tensor)]
    parameters += [each.replace(name=theirs.get(each.name, each.name)) for each in rest]

    def fill(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        if is_random and not is_floating(tensor.dtype):
            raise ArgumentError(
                f"{fill.__name__} draws numbers with a fraction, and the tensor has whole ones: {tensor.dtype}"
            )
        values = on_host(tensor.shape, *args, **{names.get(key, key): value for key, value in options.items()})
        with no_grad():
            return tensor.copy_(backend.of(tensor.data).asarray(values, dtype=tensor.dtype))

    fill.__name__ = fill.__qualname__ = f"{draw.__name__}_"
    fill.__doc__ = f"Fill a tensor in place as :func:`{draw.__name__}` does, and return it."
    fill.__signature__ = inspect.Signature(parameters, return_annotation=Tensor)  # type: ignore[attr-defined]
    return fill


zeros_, ones_, constant_, eye_ = _filling(zeros), _filling(ones), _filling(constant, val="value"), _filling(identity)
dirac_, sparse_, orthogonal_ = _filling(dirac), _filling(sparse), _filling(orthogonal)
uniform_, normal_, trunc_normal_ = _filling(uniform, a="low", b="high"), _filling(normal), _filling(trunc_normal)
xavier_uniform_, xavier_normal_ = _filling(xavier_uniform), _filling(xavier_normal)
kaiming_uniform_, kaiming_normal_ = _filling(kaiming_uniform), _filling(kaiming_normal)


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing("init", name, f"module 'dlcourse.nn.init' has no attribute {name!r}", sys.modules[__name__])
