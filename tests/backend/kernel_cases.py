"""Arguments for every kernel, on which each override is compared with its reference.

A maker takes a NumPy generator and a floating-point type and gives the arguments as host arrays and plain values, or
:class:`Saved` for what an implementation's own forward pass keeps for it; what the kernel returns and what it writes
into its arguments is compared. Odd sizes on purpose: one, none, and one more than
a chunk.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlcourse.backend import precision
from dlcourse.backend.kernels import Kernel, recurrent
from dlcourse.backend.kernels.attention import AttentionSettings, attention
from dlcourse.backend.kernels.conv import ConvGeometry
from dlcourse.backend.kernels.group_norm import group_norm
from dlcourse.backend.kernels.images import WORDS, ImageSettings
from dlcourse.backend.kernels.neighbors import METRICS
from dlcourse.backend.kernels.norm import BatchNormSaved, RunningStats, pack
from dlcourse.backend.kernels.optim import AdamSettings, RMSpropSettings, SGDSettings
from dlcourse.backend.kernels.pool import PoolGeometry, max_pool2d
from dlcourse.backend.kernels.resample import Taps

Maker = Callable[[np.random.Generator, type], tuple]


@dataclass
class Saved:
    """Stands for the last result of a forward pass, which only the gradient of the same implementation can read.

    Attributes:
        kernel: the forward pass.
        places: of its arguments among the gradient's, or the place of the tuple of them.
    """

    kernel: Kernel
    places: slice | int


def complete(arguments: list | tuple, reference: bool = False) -> list:
    """With what the implementation's own forward pass keeps for this gradient."""

    def each(argument: object) -> object:
        if not isinstance(argument, Saved):
            return argument
        forward = argument.kernel.reference if reference else argument.kernel
        return forward(*arguments[argument.places])[-1]

    return [each(argument) for argument in arguments]


def _optimizer(size: int, states: int, *settings: object) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        arrays = [rng.normal(size=size).astype(dtype) for _ in range(2)]
        arrays += [np.abs(rng.normal(size=size)).astype(dtype) for _ in range(states)]
        return (*arrays, *settings)

    return make


def _each_optimizer(length: int, states: int, settings: list[tuple], *step: int, lacks: int = 0) -> Maker:
    """Of two models, in rows that are longer than their parameters.

    Args:
        lacks: of the last states so many are None.
    """

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        arrays = [rng.normal(size=(len(settings), length)).astype(dtype) for _ in range(2)]
        arrays += [np.abs(rng.normal(size=(len(settings), length))).astype(dtype) for _ in range(states - lacks)]
        rates = rng.uniform(0.01, 0.1, len(settings)).astype(dtype)
        return *arrays, *[None] * lacks, max(1, length - 3), *step, rates, np.array(settings, float)

    return make


def _sum_over(shape: tuple[int, ...], *axes: int) -> Maker:
    return lambda rng, dtype: (rng.normal(size=shape).astype(dtype), axes)


def _selected(shape: tuple[int, ...], flags: tuple[int, ...]) -> Maker:
    return lambda rng, dtype: (rng.normal(size=shape).astype(dtype), np.asarray(rng.normal(size=flags) > 0))


def _chosen(shape: tuple[int, ...], *numbers: str) -> Maker:
    """Arguments of which those that are named are numbers."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        a, b = (0.5 if name in numbers else rng.normal(size=shape).astype(dtype) for name in "ab")
        return np.asarray(rng.normal(size=shape) > 0), a, b

    return make


REMAINDERS: list[tuple] = [
    ((5, 30), 0.7),
    ((5, 30), -2),
    ((4, 9), (4, 9)),
    ((4, 9), (9,)),
    ((0, 3), 1.5),
    ((70_001,), 0.3),
]


def _remainder(shape: tuple[int, ...], divisor: float | tuple, truncated: bool) -> Maker:
    """Of numbers of all sizes, also infinite and no numbers."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        def drawn(shape: tuple[int, ...]) -> np.ndarray:
            x = np.round(rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape), 2).astype(dtype)
            return np.where(rng.random(shape) < 0.02, dtype(np.inf), x)

        return drawn(shape), drawn(divisor) if isinstance(divisor, tuple) else divisor, truncated

    return make


RUNNING: list[tuple] = [((7,), 0), ((5, 33), 1), ((9, 4, 3), 0), ((1, 3), 0)]


def _cumprod_grad(shape: tuple[int, ...], axis: int, zeros: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        dout, x = rng.normal(size=shape).astype(dtype), rng.uniform(0.5, 1.8, shape).astype(dtype)
        if zeros:
            x = np.where(rng.random(shape) < 0.2, dtype(0), x)
        return dout, x, np.cumprod(x, axis=axis), axis

    return make


def _masked_class(rng: np.random.Generator, dtype: type) -> tuple:
    """A class ruled out by a logit of minus infinity: without smoothing the loss stays finite."""
    logits = rng.normal(size=(5, 7)).astype(dtype)
    logits[:, 3] = -np.inf
    return logits, np.array([0, 1, 2, 4, 6]), 0.0, True, None


def _cross_entropy(rows: int, classes: int, smoothing: float, with_grad: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        logits = (5 * rng.normal(size=(rows, classes))).astype(dtype)
        return logits, rng.integers(0, classes, rows), smoothing, with_grad, np.zeros((), dtype) if with_grad else None

    return make


def _cross_entropy_each(rows: int, classes: int, smoothing: float | tuple, own_labels: bool, with_grad: bool) -> Maker:
    """Of three replicas."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        logits = (5 * rng.normal(size=(3, rows, classes))).astype(dtype)
        labels = rng.integers(0, classes, (3 if own_labels else 1, rows))
        share = np.array(smoothing, dtype) if isinstance(smoothing, tuple) else smoothing
        out = np.zeros(3, dtype) if with_grad else None
        return logits, labels, share, with_grad, out

    return make


def _affine(rows: int, inner: int, columns: int) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        return tuple(rng.normal(size=shape).astype(dtype) for shape in [(rows, inner), (columns, inner), (columns,)])

    return make


def _bias_grad(rows: int, columns: int, into: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        dout, other = (rng.normal(size=(rows, columns)).astype(dtype) for _ in range(2))
        return dout, other, np.zeros(columns, dtype) if into else None

    return make


def _weight_and_bias_grad(rows: int, inner: int, columns: int, into: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        dout, x = rng.normal(size=(rows, columns)).astype(dtype), rng.normal(size=(rows, inner)).astype(dtype)
        targets = np.zeros((columns, inner), dtype), np.zeros(columns, dtype)
        return dout, x, targets if into else (None, None)

    return make


def _product(rows: int, inner: int, columns: int, into: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        a, b = rng.normal(size=(inner, rows)).astype(dtype).T, rng.normal(size=(inner, columns)).astype(dtype)
        return a, b, np.zeros((rows, columns), dtype) if into else None

    return make


def _product_each(a: tuple, b: tuple, into: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        left, right = (rng.normal(size=(n, j, i)).astype(dtype).transpose(0, 2, 1) for n, i, j in (a, b))
        out = np.zeros((max(a[0], b[0]), a[1], b[2] + 1), dtype)[..., : b[2]] if into else None
        return left, right, out

    return make


def _summed_products(shape: tuple, axis: int) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        return *(rng.normal(size=shape).astype(dtype) for _ in range(2)), axis

    return make


def _elementwise(inputs: int, shape: tuple, *settings: float) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        return *((2 * rng.normal(size=shape)).astype(dtype) for _ in range(inputs)), *settings

    return make


def _penalty(l1: float, l2: float) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        grad, weight = (rng.normal(size=301).astype(dtype) for _ in range(2))
        return grad, weight, (np.arange(301) % 3 > 0).astype(dtype), l1, l2

    return make


def _neighbors(queries: int, references: int, width: int, k: int, metric: str) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        return (
            rng.normal(size=(queries, width)).astype(dtype),
            rng.normal(size=(references, width)).astype(dtype),
            k,
            metric,
        )

    return make


IMAGES = [  # N, H, W, C, O, window, stride, padding, dilation, groups
    (2, 5, 7, 3, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 8, 8, 16, 32, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (3, 9, 6, 5, 7, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 7, 7, 4, 6, (3, 2), (2, 1), (0, 1), (1, 2), 2),
    (0, 5, 5, 3, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (3, 16, 14, 8, 5, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # rows enough to be summed in parts
    (1, 6, 6, 6, 80, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (2, 5, 6, 80, 6, (3, 3), (2, 2), (1, 1), (1, 1), 2),
    (2, 7, 9, 34, 40, (3, 3), (2, 1), (1, 0), (1, 1), 1),
    (2, 9, 13, 8, 12, (3, 2), (2, 3), (1, 2), (2, 1), 1),  # fours of channels, at strides
    (1, 15, 13, 4, 8, (7, 7), (3, 2), (3, 3), (1, 1), 1),
    (1, 6, 5, 48, 16, (2, 3), (2, 1), (2, 1), (1, 2), 2),
    (3, 9, 7, 40, 36, (3, 2), (2, 3), (1, 2), (2, 1), 1),
    (5, 3, 1, 4, 34, (2, 1), (1, 1), (0, 0), (1, 1), 1),
    (3, 7, 6, 5, 5, (3, 3), (2, 2), (1, 1), (1, 1), 5),  # depthwise
    (2, 6, 9, 4, 8, (2, 3), (1, 2), (0, 2), (2, 1), 4),  # with two outputs a channel
]


WIDE_IMAGES = (175, 7, 9, 64, 128, (3, 3), (1, 1), (1, 0), (1, 1), 1)
"""Channels and images enough for Winograd's way, which a CPU has, and for two blocks of it."""


def _conv(which: str, case: tuple, into: bool = False) -> Maker:
    n, h, w, channels, out, window, *settings = case
    geometry = ConvGeometry(*settings)

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        x = rng.normal(size=(n, h, w, channels)).astype(dtype)
        weight = rng.normal(size=(out, *window, channels // geometry.groups)).astype(dtype)
        size = geometry.out_size(x.shape, window)
        dout = rng.normal(size=(n, *size, out)).astype(dtype)
        if which == "forward":
            return x, weight, rng.normal(size=out).astype(dtype), geometry
        if which == "input":
            return dout, weight, x.shape, geometry
        return dout, x, weight.shape, geometry, np.full_like(weight, np.nan) if into else None

    return make


POOLS = [
    (2, 6, 6, 3, (2, 2), (2, 2), (0, 0)),
    (1, 7, 5, 9, (3, 2), (2, 1), (1, 1)),
    (2, 32, 32, 16, (2, 2), (2, 2), (0, 0)),
    (0, 4, 4, 2, (2, 2), (2, 2), (0, 0)),
    (3, 7, 5, 8, (2, 2), (2, 2), (0, 0)),  # a row and a column in no window
    (2, 9, 8, 4, (3, 3), (2, 2), (1, 1)),
    (2, 8, 9, 4, (2, 1), (3, 2), (0, 0)),  # gaps between the windows
    (1, 13, 22, 2, (8, 9), (5, 7), (3, 4)),
]

WITH_GAPS = (2, 9, 8, 4, (3, 2), (2, 1), (1, 1), (2, 3))


def _pool(case: tuple, grad: bool, place: bool) -> Maker:
    n, h, w, channels, *settings = case
    geometry = PoolGeometry(*settings)

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        x = rng.normal(size=(n, h, w, channels)).astype(dtype)
        if not grad:
            return x, geometry
        dout = rng.normal(size=geometry.out_shape(x.shape)).astype(dtype)
        if not place:
            return dout, x.shape, geometry
        # Only places inside the image can have been the largest: those of the forward pass.
        _, places = max_pool2d.reference(x, geometry)
        return dout, places, x.shape, geometry

    return make


def _pool_of_no_numbers(case: tuple, grad: bool) -> Maker:
    """NaN and infinities among the elements, most of them -inf so that whole windows are; or in dy."""
    make_plain = _pool(case, grad, grad)

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        first, *rest = make_plain(rng, dtype)
        values = np.array([np.nan, np.inf, -np.inf, -np.inf, -np.inf, -np.inf], dtype)
        share = 0.1 if grad else 0.8
        return np.where(rng.random(first.shape) < share, rng.choice(values, first.shape), first), *rest

    return make


def _norm(rows: int, width: int) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        x = (3 + 2 * rng.normal(size=(rows, width))).astype(dtype)
        return x, *(rng.normal(size=width).astype(dtype) for _ in range(2)), 1e-5

    return make


def _norm_grad(rows: int, width: int, axis: int, more: bool) -> Maker:
    """The gradient, what is added to it, the forward pass' x, weight, mean and 1 / sqrt(var + eps), and buffers."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        x, weight, _, eps = _norm(rows, width)(rng, dtype)
        mean = x.mean(axis=axis, keepdims=axis == 1)
        inverse = 1 / np.sqrt(x.var(axis=axis, keepdims=axis == 1) + eps)
        statistics = mean.astype(dtype), inverse.astype(dtype)
        into = (None, None) if width % 2 else (np.zeros(width, dtype), np.zeros(width, dtype))
        dout, other = (rng.normal(size=(rows, width)).astype(dtype) for _ in range(2))
        return dout, other if more else None, x, weight, *statistics, into

    return make


def _batch_norm(rows: int, width: int, relu: bool, residual: bool = False) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        x, weight, bias, eps = _norm(rows, width)(rng, dtype)
        added = rng.normal(size=x.shape).astype(dtype) if residual else None
        return x, weight, bias, added, eps, _running(rng, width, dtype), relu

    return make


def _batch_norm_grad(rows: int, width: int, relu: bool, residual: bool = False, more: bool = False) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        dout, other, *known, into = _norm_grad(rows, width, 0, more)(rng, dtype)
        y = np.maximum(rng.normal(size=dout.shape), 0).astype(dtype)
        bits = pack(y > 0) if relu and not residual else None
        return dout, other, BatchNormSaved(*known, bits, y if residual else None), into

    return make


def _running(rng: np.random.Generator, width: int, dtype: type) -> RunningStats | None:
    """None of some widths, and one of another type of others."""
    mean, var = (np.abs(rng.normal(1, 0.2, width)).astype(np.float32 if width == 5 else dtype) for _ in range(2))
    return None if width == 33 else RunningStats(mean, var, 0.1, 33 / 32)


def _rms_norm(rows: int, width: int, grad: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        dout, x = (rng.normal(size=(rows, width)).astype(dtype) for _ in range(2))
        weight = rng.normal(size=width).astype(dtype)
        if not grad:
            return x, weight, 1e-6
        inverse = (1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-6)).astype(dtype)
        return dout, x, weight, inverse, None if width % 2 else np.zeros(width, dtype)

    return make


def _mapped(shape: tuple, inputs: int) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        x, other = (rng.normal(size=shape).astype(dtype) for _ in range(2))
        if inputs == 1:
            return x, None, lambda xp, x: xp.sin(x) * x
        return x, other, lambda xp, x, other: xp.where(x > 0, other, x * other)

    return make


def _ctc(count: int, steps: int, classes: int, longest: int, grad: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        log_p = rng.normal(size=(count, steps, classes)).astype(dtype)
        log_p -= np.log(np.exp(log_p).sum(axis=2, keepdims=True))
        labels, lengths = rng.integers(1, classes, (count, longest)), rng.integers(0, longest + 1, count)
        return log_p, labels, rng.integers(1, steps + 1, count), lengths, 0, grad

    return make


def _group_norm(shape: tuple[int, int, int], groups: int, grad: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        dout, x = rng.normal(size=shape).astype(dtype), (3 + 2 * rng.normal(size=shape)).astype(dtype)
        weight, bias = (rng.normal(size=shape[2]).astype(dtype) for _ in range(2))
        if not grad:
            return x, weight, bias, groups, 1e-5
        _, mean, inverse = group_norm.reference(x, weight, bias, groups, 1e-5)
        into = (None, None) if groups % 2 else (np.zeros(shape[2], dtype), np.zeros(shape[2], dtype))
        return dout, x, weight, mean, inverse, into

    return make


GROUPS = [((3, 5, 6), 2), ((2, 900, 8), 8), ((1, 1, 4), 1), ((0, 3, 4), 2), ((700, 1, 12), 3), ((2, 40, 33), 1)]

NORM_SIZES = [(2, 1), (7, 5), (5000, 33), (64, 300), (9001, 16), (300, 72)]


RECURRENT = {"rnn": 1, "lstm": 4, "gru": 3}


def _recurrent(name: str, n: int, steps: int, size: int, *extra: object) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        gates = RECURRENT[name]
        projected = rng.normal(size=(n, steps, gates * size)).astype(dtype)
        h0, c0 = (rng.normal(size=(n, size)).astype(dtype) for _ in range(2))
        weight = (rng.normal(size=(gates * size, size)) / size**0.5).astype(dtype)
        if name == "gru":
            return projected, h0, weight, rng.normal(size=gates * size).astype(dtype)
        return (projected, h0, c0, weight) if name == "lstm" else (projected, h0, weight, *extra)

    return make


def _recurrent_grad(name: str, n: int, steps: int, size: int, *extra: object) -> Maker:
    """The gradient's arguments from the reference's forward pass, so that they belong together."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        arguments = _recurrent(name, n, steps, size, *extra)(rng, dtype)
        dhidden = rng.normal(size=(n, steps, size)).astype(dtype)
        if name == "rnn":
            return dhidden, recurrent.rnn.reference(*arguments), arguments[2], *extra
        if name == "gru":
            return dhidden, *recurrent.gru.reference(*arguments), arguments[1], arguments[2]
        _, cells, gates = recurrent.lstm.reference(*arguments)
        return dhidden, rng.normal(size=(n, size)).astype(dtype), cells, gates, arguments[2], arguments[3]

    return make


LAYERS = [(3, 7, 4, 5), (16, 12, 8, 32), (2, 1, 3, 4), (0, 3, 2, 4), (32, 16, 24, 64)]


def _lstm_layer(n: int, steps: int, width: int, size: int) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        shapes = (n, steps, width), (n, size), (n, size), (4 * size, width), (4 * size, size), (4 * size,)
        return tuple((0.5 * rng.normal(size=shape)).astype(dtype) for shape in shapes)

    return make


def _lstm_layer_grad(*settings: int) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        inputs = _lstm_layer(*settings)(rng, dtype)
        hidden, cell, _ = recurrent.lstm_layer.reference(*inputs)
        dhidden, dcell = (rng.normal(size=array.shape).astype(dtype) for array in (hidden, cell))
        odd = settings[1] % 2
        into = (None,) * 3 if odd else tuple(np.zeros(weight.shape, dtype) for weight in inputs[3:])
        return dhidden, dcell if odd else None, inputs, hidden, Saved(recurrent.lstm_layer, 2), into

    return make


def _attention(
    n: int,
    heads: int,
    t: int,
    s: int,
    d: int,
    masked: bool | str,
    causal: bool,
    drop: bool,
    grad: bool,
    keep_weights: bool = False,
) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        q = rng.normal(size=(n, heads, t, d)).astype(dtype)
        k, v = (rng.normal(size=(n, heads, s, d)).astype(dtype) for _ in range(2))
        mask = rng.random((n, 1, 1, s)) < 0.7 if masked is True else None
        if masked == "added":  # by float32 also to scores of 16 bits; the last query sees nothing
            hidden = np.where(rng.random((t, s)) < 0.7, 0, -np.inf)
            hidden[-1] = -np.inf
            mask = (rng.normal(size=(heads, t, s)) + hidden).astype(dtype)
        saved = ((rng.random((n, heads, t, s)) < 0.8) / 0.8).astype(dtype) if drop else None
        arguments = q, k, v, AttentionSettings(mask, causal, saved, keep_weights)
        if not grad:
            return arguments
        return rng.normal(size=(n, heads, t, d)).astype(dtype), *arguments, Saved(attention, slice(1, 5))

    return make


ATTENTION = [  # N, heads, T, S, d; masked, causal, dropped
    (2, 3, 5, 7, 4, True, False, True),
    (1, 1, 1, 1, 1, False, False, False),
    (3, 4, 33, 33, 16, False, True, False),
    (2, 2, 9, 9, 8, True, True, True),
    (1, 2, 65, 130, 32, False, False, False),  # one more than a block of the GPU's
    (1, 1, 130, 65, 36, False, True, True),  # the first queries see no key
    (1, 2, 70, 70, 100, True, True, False),
    (0, 2, 3, 3, 4, False, False, False),
    (1, 1, 3, 4, 132, True, False, True),
    (2, 1, 3, 5, 7, False, True, False),
    (2, 3, 5, 7, 4, "added", False, True),
    (2, 2, 70, 70, 32, "added", True, False),
]


def _tied_neighbors(metric: str) -> Maker:
    """Whole numbers on a small grid: many equal distances, so the order of ties shows."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        return rng.integers(0, 3, (7, 4)).astype(dtype), rng.integers(0, 3, (50, 4)).astype(dtype), 9, metric

    return make


def _equal_neighbors(metric: str) -> Maker:
    """Fifty references that are one point, among others: more ties than candidates are kept."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        references = rng.normal(size=(600, 5)).astype(dtype)
        references[rng.permutation(600)[:50]] = 0.1
        return (0.1 + 0.01 * rng.normal(size=(6, 5))).astype(dtype), references, 4, metric

    return make


def _images(
    shape: tuple[int, ...],
    normalized: str,
    rows: int | None = None,
    flip: bool = False,
    crop: int = 0,
    cutout: int = 0,
    reflect: bool = False,
) -> Maker:
    """A batch of ``rows`` images out of all; of all, in order, with None; augmented if one of the next three is."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        images = rng.integers(0, 256, shape).astype(np.uint8)
        size = {"none": None, "channel": shape[-1:], "pixel": shape[1:]}[normalized]
        shift = None if size is None else rng.normal(100, 9, size).astype(dtype)
        scale = None if size is None else rng.uniform(20, 70, size).astype(dtype)
        chosen = None if rows is None else rng.integers(0, shape[0], rows)
        count = shape[0] if rows is None else rows
        words = rng.integers(0, 2**32, (count, WORDS)).astype(np.uint32) if flip or crop or cutout else None
        out = np.full((count, *shape[1:]), 7, dtype)
        return images, chosen, words, ImageSettings(shift, scale, flip, crop, cutout, reflect), out

    return make


def _two_axes(rng: np.random.Generator) -> tuple:
    """Indices of two axes, of shapes that broadcast, some from the end."""
    return rng.integers(-4, 4, (3, 1)), rng.integers(-7, 7, 5)


CHUNK = (1 << 17) + 1

HALVES = ["fp16"] + (["bf16"] if importlib.util.find_spec("ml_dtypes") else [])


def _unscale(half_type: str, size: int, scaled: bool, add: bool, wrong: bool = False) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        half = (100 * rng.normal(size=size)).astype(precision.dtype(half_type))
        if wrong:
            half[size // 2] = np.inf
        scaler = np.array([64, 0, 3, 1], np.float32) if scaled else None
        return half, rng.normal(size=size).astype(np.float32), scaler, add

    return make


def _cast(half: str, shape: tuple[int, ...], narrow: bool) -> Maker:
    """Numbers of every size that 16 bits can hold, and smaller ones."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        wide = (rng.normal(size=shape) * 10 ** rng.uniform(-9, 3.5, shape)).astype(np.float32)
        wide.reshape(-1)[:1], wide.reshape(-1)[1:2] = np.nan, -np.inf
        small = wide.astype(precision.dtype(half))
        return (wide, np.zeros_like(small)) if narrow else (small, np.zeros_like(wide))

    return make


def _publish(half_type: str, size: int, scaler: list[float] | None) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        half = np.zeros(size, precision.dtype(half_type))
        return rng.normal(size=size).astype(np.float32), half, None if scaler is None else np.array(scaler, np.float32)

    return make


AFFINE = [(0, 3, 4), (1, 1, 1), (5, 7, 3), (33, 20, 16), (400, 300, 100), (90, 300, 500)]


def _colors(shape: tuple[int, ...], used: tuple[int, ...]) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        images = rng.random(shape).astype(dtype)
        images[:1] = 0.25  # gray
        order = rng.permuted(np.tile(np.arange(4), (shape[0], 1)), axis=1)
        return images, order, rng.uniform(-0.4, 1.6, (shape[0], 4)), used

    return make


def _device_batch(
    shape: tuple[int, ...],
    count: int,
    raw: bool,
    normalized: bool,
    how: tuple,
    ordered: bool = True,
    width: int = 0,
    alternating: bool = False,
) -> Maker:
    """A batch of some samples of a set, bytes or not; labels, or targets of a regression."""

    def make(rng: np.random.Generator, dtype: type) -> tuple:
        samples = rng.integers(0, 256, shape).astype(np.uint8) if raw else rng.normal(size=shape).astype(dtype)
        targets = rng.normal(size=(shape[0], width)).astype(dtype) if width else rng.integers(0, 9, shape[0])
        order = rng.permutation(shape[0]) if ordered else None
        shift, scale = (rng.uniform(1, 2, shape[-1]).astype(dtype) for _ in range(2)) if normalized else (None, None)
        words = (2**64 - 3, 17) if any(how) else None
        outs = np.zeros((count, *shape[1:]), dtype), np.zeros((count, *targets.shape[1:]), targets.dtype)
        flips = rng.integers(0, 2**32, shape[0]).astype(np.uint32) if alternating else None
        return samples, targets, order, 7, shape[0] // count, words, flips, ImageSettings(shift, scale, *how), *outs

    return make


def _windows(rng: np.random.Generator, dtype: type) -> tuple:
    """Windows of a text that overlap, each with the tokens that follow its own."""
    windows = np.lib.stride_tricks.sliding_window_view(rng.integers(0, 9, 40), 6)
    order = rng.permutation(30)[:12]
    outs = np.zeros((3, 5), int), np.zeros((3, 5), int)
    return windows[:, :-1], windows[:, 1:], order, 6, 4, None, None, ImageSettings(), *outs


def _tokens(rng: np.random.Generator, dtype: type) -> tuple:
    """Tokens and those that follow, as they are."""
    samples, targets = rng.integers(0, 9, (2, 12, 5))
    order = rng.permutation(12)
    return samples, targets, order, 2, 4, None, None, ImageSettings(), np.zeros((3, 5), int), np.zeros((3, 5), int)


def _resample(shape: tuple[int, ...], axis: int, taps: Taps, grad: bool) -> Maker:
    def make(rng: np.random.Generator, dtype: type) -> tuple:
        size = (*shape[:axis], len(taps.source[0]) if grad else taps.length, *shape[axis + 1 :])
        return rng.normal(size=size).astype(dtype), axis, taps

    return make


RESAMPLED = [
    (
        (3, 5, 4, 2),
        1,
        Taps(((0, 0, 1, 4, 3), (1, 0, 2, 4, 4)), ((0.5, 1.0, 0.25, 0.75, 1.0), (0.5, 0.0, 0.75, 0.25, 0.5)), 5),
    ),
    ((2, 3, 7, 5), 2, Taps(((6, 0, 0, 2),), ((1.0, 1.0, 1.0, 1.0),), 7)),
    ((0, 3, 4), 1, Taps(((2, 0), (1, 1)), ((0.5, 1.0), (0.5, 2.0)), 3)),
]

CASES: dict[str, list[Maker]] = {
    "device_batch": [
        _device_batch((23, 5, 7, 3), 4, raw, normalized, how, ordered)
        for raw in (True, False)
        for normalized in (True, False)
        for how in [(False, 0, 0), (True, 2, 3)]
        for ordered in (True, False)
    ]
    + [
        _device_batch((9, width), 3, False, False, (False, 0, 0), width=targets)
        for width, targets in [(40, 3), (301, 0)]
    ]
    # more elements than threads, in packs or not
    + [
        _device_batch((4, 38, 36, channels), 2, raw, True, how)
        for channels in (3, 5)
        for raw in (True, False)
        for how in [(False, 0, 0), (True, 2, 3)]
    ]
    + [
        _device_batch((23, 5, 7, 3), count, True, True, (True, 2, 0, True), ordered, alternating=True)
        for count in (4, 23)  # in an epoch of odd number, and of even
        for ordered in (True, False)
    ]
    + [_tokens, _windows],
    "sum_over": [
        *(_sum_over(shape, 0) for shape in [(5, 3), (0, 3), (1300, 2), (1025, 33), (700,)]),
        *(_sum_over((3, 600, 2, 4), *axes) for axes in [(1,), (0, 1), (1, 2), (0, 1, 2, 3), (1, 3), (0, 1, 3), ()]),
        lambda rng, dtype: (rng.normal(size=(2, 900, 3)).astype(dtype).transpose(2, 1, 0), (1,)),
        lambda rng, dtype: (rng.normal(size=(1800, 6)).astype(dtype)[::2, ::2], (0,)),
    ],
    "sum_of_squares": [lambda rng, dtype, n=n: (rng.normal(size=n).astype(dtype),) for n in (0, 5, 1024, (3, 1000))],
    "chosen": [
        *(_chosen(shape, *numbers) for shape in ((5, 3), (), (0, 3)) for numbers in ((), ("a",), ("b",))),
        lambda rng, dtype: (np.array([[True, False], [False, True]]), rng.normal(size=(1, 2)).astype(dtype), 0.0),
        lambda rng, dtype: (np.array([[True], [False]]), rng.normal(size=(2, 3)).astype(dtype), 0.0),
        lambda rng, dtype: (rng.normal(size=(2, 3)) > 0, *(rng.normal(size=n).astype(dtype) for n in ((4, 2, 1), 3))),
    ],
    "remainder": [
        *(_remainder(shape, divisor, truncated) for shape, divisor in REMAINDERS for truncated in (False, True)),
    ],
    "selected": [
        *(_selected(shape, flags) for shape, flags in [((5, 3), (5, 3)), ((5, 3), (3,)), ((3,), (2, 3)), ((), ())]),
        _selected((0, 3), (0, 3)),
    ],
    "dropout": [
        lambda rng, dtype, n=n, threshold=threshold: (
            rng.normal(size=n).astype(dtype),
            threshold,
            1.25,
            (2**64 - 3, 17, 2, 5),
        )
        for n in (0, 1, 7, 8, 1001)
        for threshold in (0, 3 << 30, 1 << 32)
    ],
    "masked": [
        lambda rng, dtype, shape=shape: (rng.normal(size=shape).astype(dtype), rng.random(shape) < 0.7, 1.25)
        for shape in [(0, 3), (7,), (3, 1), (5, 4001)]
    ],
    "cast": [
        _cast(half, shape, narrow) for half in HALVES for shape in [(0,), (3, 5), (5, 4001)] for narrow in (True, False)
    ],
    "unscale": [
        _unscale(half, size, scaled, add, wrong)
        for half in HALVES
        for size, scaled, add, wrong in [
            *((size, scaled, add, False) for size in (1, 40_001) for scaled in (True, False) for add in (True, False)),
            (257, True, False, True),
        ]
    ],
    "refresh_half_weights": [
        _publish(half, size, scaler)
        for half in HALVES
        for size in (1, 40_001)
        for scaler in (None, [8, 0, 3, 1], [8, 1, 3, 1], [8, 0, 1999, 2])
    ],
    "philox_bits": [lambda rng, dtype, n=n: (np.zeros(n, np.uint32), 2**64 - 3, 17, 2, 5) for n in (0, 1, 7, 8, 1001)],
    "softmax_cross_entropy": [
        _cross_entropy(rows, classes, smoothing, grad)
        for rows, classes in [(1, 2), (3, 10), (257, 33), (3, 128), (2500, 3), (3, 300)]
        for smoothing in (0.0, 0.1)
        for grad in (True, False)
    ]
    + [_masked_class],
    "softmax_cross_entropy_each": [
        _cross_entropy_each(rows, classes, smoothing, own, grad)
        for rows, classes in [(1, 2), (57, 33), (3, 300)]
        for smoothing in (0.0, 0.1, (0.2, 0.0, 0.1))
        for own in (True, False)
        for grad in (True, False)
    ],
    **{
        name: [_elementwise(inputs, shape) for shape in [(0, 3), (7,), (3, 1), (5, 40_001)]]
        for name, inputs in [
            ("relu", 1),
            ("relu_grad", 2),
            ("add", 2),
            ("add_relu", 2),
            ("sigmoid", 1),
            ("sigmoid_grad", 2),
            ("silu", 1),
            ("silu_grad", 2),
            ("gelu_tanh", 1),
            ("gelu_tanh_grad", 2),
            ("gelu", 1),
            ("gelu_grad", 2),
        ]
    },
    **{
        name: [_elementwise(inputs, shape, 0.1) for shape in [(0, 3), (7,), (5, 40_001)]]
        for name, inputs in [("leaky_relu", 1), ("leaky_relu_grad", 2)]
    },
    **{name: [_affine(*sizes) for sizes in AFFINE] for name in ("affine", "affine_relu", "affine_gelu_tanh")},
    **{
        name: [
            _bias_grad(*sizes, into)
            for sizes in [(0, 3), (1, 1), (5, 40), (1000, 7), (4200, 8), (900, 260)]
            for into in (False, True)
        ]
        for name in ("relu_bias_grad", "gelu_tanh_bias_grad")
    },
    "weight_and_bias_grad": [_weight_and_bias_grad(*sizes, into) for sizes in AFFINE for into in (False, True)],
    "product": [
        _product(*sizes, into)
        for sizes in [(3, 0, 4), (0, 3, 4), (5, 7, 3), (400, 300, 100), (90, 300, 500)]
        for into in (False, True)
    ],
    "summed_products": [
        _summed_products(shape, axis) for shape in [(3, 5, 7), (1, 1, 33), (2, 0, 4)] for axis in (1, 2)
    ],
    "product_each": [  # each by itself, one batch for narrow weights, the gradient of those, and too wide to join
        _product_each(*shapes, into)
        for shapes in [
            ((3, 4, 5), (3, 5, 2)),
            ((1, 7, 5), (9, 5, 3)),
            ((9, 3, 7), (1, 7, 5)),
            ((1, 4, 6), (2, 6, 80)),
            ((300, 2, 3), (1, 3, 4)),
        ]
        for into in (False, True)
    ],
    "matmul": [
        lambda rng, dtype: (rng.normal(size=(5, 7)).astype(dtype), rng.normal(size=(9, 7)).astype(dtype).T),
        lambda rng, dtype: tuple(rng.normal(size=(3, 4, 4)).astype(dtype) for _ in range(2)),
        lambda rng, dtype: tuple(rng.normal(size=(2, 3, 4, 4)).astype(dtype).swapaxes(2, 3) for _ in range(2)),
        lambda rng, dtype: (rng.normal(size=4).astype(dtype), rng.normal(size=(4, 6)).astype(dtype)),
        lambda rng, dtype: (rng.normal(size=(2, 3, 4)).astype(dtype), rng.normal(size=(4, 6)).astype(dtype)),
    ],
    "column_sums": [
        lambda rng, dtype: (rng.normal(size=(1000, 7)).astype(dtype), None),
        lambda rng, dtype: (rng.normal(size=(2100, 16)).astype(dtype), None),
        lambda rng, dtype: (rng.normal(size=(5, 3)).astype(dtype), np.zeros(3, dtype)),
        lambda rng, dtype: (np.zeros((0, 3), dtype), None),
    ],
    **{
        name: [
            lambda rng, dtype: (np.linspace(-6, 6, 1001).astype(dtype),),
            lambda rng, dtype: (np.array([0.0, -0.0, np.inf, -np.inf, 1e-30]).astype(dtype),),
            lambda rng, dtype: (np.zeros((0, 3), dtype),),
        ]
        for name in ("normal_cdf", "erf")
    },
    **{
        name: [
            lambda rng, dtype: (np.linspace(-6.3, 6.4, 101).astype(dtype),),
            lambda rng, dtype: (np.array([0.0, -0.0, np.inf, -np.inf, -3.0, 100.0]).astype(dtype),),
            lambda rng, dtype: (np.zeros((0, 3), dtype),),
        ]
        for name in ("lgamma", "digamma", "trigamma")
    },
    "nearest": [
        *[
            _neighbors(*sizes, metric)
            for sizes in [(1, 1, 3, 1), (5, 40, 7, 3), (3, 600, 130, 40)]
            for metric in METRICS
        ],
        *[_tied_neighbors(metric) for metric in METRICS],
        _neighbors(3, 8200, 2, 2, "l2"),
        *[_equal_neighbors(metric) for metric in METRICS],
        _neighbors(0, 5, 2, 2, "l1"),
    ],
    "conv2d": [_conv("forward", case) for case in (*IMAGES, WIDE_IMAGES)],
    "conv2d_relu": [_conv("forward", case) for case in IMAGES],
    "conv2d_input_grad": [_conv("input", case) for case in (*IMAGES, WIDE_IMAGES)],
    "conv2d_weight_grad": [
        *(_conv("weight", case, into) for case in IMAGES for into in (False, True)),
        _conv("weight", WIDE_IMAGES, True),
    ],
    "max_pool2d": [
        *(_pool(case, grad=False, place=False) for case in [*POOLS, WITH_GAPS]),
        *(_pool_of_no_numbers(case, grad=False) for case in POOLS),
    ],
    "max_pool2d_grad": [
        *(_pool(case, grad=True, place=True) for case in [*POOLS, WITH_GAPS]),
        *(_pool_of_no_numbers(case, grad=True) for case in POOLS),
    ],
    "avg_pool2d": [_pool(case, grad=False, place=False) for case in POOLS],
    "avg_pool2d_grad": [_pool(case, grad=True, place=False) for case in POOLS],
    "batch_norm": [
        *[_batch_norm(*size, *how) for size in NORM_SIZES for how in [(False,), (True,), (True, True)]],
        _batch_norm(4096, 16, True),
    ],
    "batch_norm_grad": [
        *[
            _batch_norm_grad(*size, *how)
            for size in NORM_SIZES
            for how in [(False,), (True,), (True, True), (True, True, True), (True, False, True)]
        ],
        _batch_norm_grad(4096, 16, True),
    ],
    "layer_norm": [_norm(*size) for size in NORM_SIZES],
    "layer_norm_grad": [_norm_grad(*size, 1, more) for size in [*NORM_SIZES, (3, 33_000)] for more in (False, True)],
    **{
        name: [_rms_norm(*size, grad) for size in [*NORM_SIZES, (0, 4)]]
        for name, grad in (("rms_norm", False), ("rms_norm_grad", True))
    },
    **{
        name: [_group_norm(*case, grad) for case in GROUPS]
        for name, grad in (("group_norm", False), ("group_norm_grad", True))
    },
    **{
        name: [_resample(*case, grad) for case in RESAMPLED]
        for name, grad in (("resample", False), ("resample_grad", True))
    },
    "mapped": [_mapped(*case) for case in (((5, 3), 1), ((0, 3), 2), ((70_001,), 1), ((301, 303), 2))],
    "ctc": [_ctc(*size, grad) for size in ((7, 9, 5, 3), (1, 1, 2, 0), (3, 40, 6, 11)) for grad in (False, True)],
    "color_jitter": [
        *(_colors((9, 5, 4, 3), used) for used in [(0, 1, 2, 3), (3,), (0, 2), ()]),
        _colors((70, 3, 2, 3), (0, 1, 2, 3)),  # more than a piece
        _colors((4, 5, 3, 1), (0, 1)),
        _colors((0, 2, 2, 3), (0, 1, 2, 3)),
    ],
    "image_batch": [
        *[
            _images((9, 5, 7, 3), normalized, rows, *how)
            for normalized in ("none", "channel", "pixel")
            for rows in (None, 30)
            for how in [(), (True,), (False, 2), (False, 0, 3), (True, 2, 4)]
        ],
        _images((3, 4, 6, 1), "channel", 20, True, 9, 1),  # moved out of the frame altogether, now and then
        _images((2, 8, 8, 3), "pixel", 40, False, 0, 20),
        _images((5, 11), "pixel", 4),
        _images((5, 4, 4, 3), "channel", 0, True, 1, 1),
        *(_images((9, 5, 7, 3), "channel", 30, flip, crop, 2, True) for flip, crop in [(False, 1), (True, 4)]),
    ],
    "embedding_grad": [
        lambda rng, dtype: (rng.normal(size=(500, 7)).astype(dtype), rng.integers(0, 40, 500), 65),
        lambda rng, dtype: (rng.normal(size=(1, 3)).astype(dtype), np.array([2]), 3),
        lambda rng, dtype: (rng.normal(size=(90, 5)).astype(dtype), rng.integers(0, 40, 90), 65),
        lambda rng, dtype: (np.zeros((0, 3), dtype), np.zeros(0, np.int64), 4),
    ],
    "cumprod_grad": [
        *(_cumprod_grad(shape, axis, zeros) for shape, axis in RUNNING for zeros in (False, True)),
    ],
    "accumulated": [
        lambda rng, dtype, shape=shape, axis=axis, join=join: (rng.normal(size=shape).astype(dtype), axis, join)
        for shape, axis in [((7,), 0), ((5, 33), 1), ((9, 4, 3), 0), ((0, 3), 0), ((1, 3), 0)]
        for join in ("maximum", "minimum", "logaddexp")
    ],
    "scatter_join": [
        lambda rng, dtype, n=n, m=m, join=join: (
            *(rng.uniform(0.5, 1.5, n).astype(dtype), rng.integers(0, n, m), rng.uniform(-1.5, 1.5, m).astype(dtype)),
            join,
        )
        for n, m in ((7, 30), (40, 9), (3, 0))
        for join in ("maximum", "minimum", "multiply")
    ],
    "scatter_add": [
        lambda rng, dtype: (rng.normal(size=(50, 40)).astype(dtype), rng.integers(-9, 9, 50), (9, 40)),
        lambda rng, dtype: (
            rng.normal(size=(50, 3)).astype(dtype),
            (rng.integers(0, 4, (50, 1)), rng.integers(-5, 5, 3)),
            (4, 5),
        ),
        lambda rng, dtype: (np.zeros((0, 3), dtype), np.zeros(0, dtype=int), (4, 3)),
        lambda rng, dtype: (rng.normal(size=(500, 7)).astype(dtype), rng.integers(-9, 9, 500), (9, 7)),
        lambda rng, dtype: (rng.normal(size=3).astype(dtype), np.array([[True, False], [True, True]]), (2, 2)),
        lambda rng, dtype: (rng.normal(size=(5, 2)).astype(dtype), (slice(None), [3, 3]), (5, 4)),
        lambda rng, dtype: (rng.normal(size=(3, 5, 2)).astype(dtype), _two_axes(rng), (4, 7, 2)),
        lambda rng, dtype: (rng.normal(size=(3, 4, 2)).astype(dtype), (slice(None), rng.integers(-5, 5, 4)), (3, 5, 2)),
        lambda rng, dtype: (
            rng.normal(size=(3, 2, 4)).astype(dtype),
            (slice(None), slice(None), rng.integers(0, 5, 4)),
            (3, 2, 5),
        ),
        lambda rng, dtype: (rng.normal(size=5).astype(dtype), rng.integers(0, 60, 5), (60,)),
        lambda rng, dtype: (np.zeros((0, 3), dtype), np.zeros(0, np.int64), (4, 3)),
    ],
    "lstm_layer": [_lstm_layer(*size) for size in LAYERS],
    "lstm_layer_grad": [_lstm_layer_grad(*size) for size in LAYERS],
    "rnn": [_recurrent("rnn", 3, 7, 5, relu) for relu in (False, True)],
    "rnn_grad": [_recurrent_grad("rnn", 3, 7, 5, relu) for relu in (False, True)],
    "lstm": [_recurrent("lstm", *size) for size in [(3, 7, 5), (1, 1, 1), (17, 9, 33)]],
    "lstm_grad": [_recurrent_grad("lstm", *size) for size in [(3, 7, 5), (1, 1, 1), (17, 9, 33)]],
    "gru": [_recurrent("gru", *size) for size in [(3, 7, 5), (1, 1, 1), (17, 9, 33)]],
    "gru_grad": [_recurrent_grad("gru", *size) for size in [(3, 7, 5), (1, 1, 1), (17, 9, 33)]],
    "attention": [_attention(*case, grad=False, keep_weights=keep) for case in ATTENTION for keep in (False, True)],
    "attention_grad": [_attention(*case, grad=True) for case in ATTENTION],
    "add_penalty": [_penalty(0.0, 0.1), _penalty(0.1, 0.0), _penalty(0.1, 0.2)],
    "sgd_step": [
        *[
            (
                lambda rng, dtype, n=n: (
                    rng.normal(size=n).astype(dtype),
                    rng.normal(size=n).astype(dtype),
                    None,
                    0.1,
                    SGDSettings(0.0, False, 0.01),
                )
            )
            for n in (1, 1000, CHUNK)
        ],
        _optimizer(1000, 1, 0.1, SGDSettings(0.9, False, 0.0)),
        _optimizer(CHUNK, 1, 0.1, SGDSettings(0.9, True, 0.01)),
    ],
    "adam_step": [
        _optimizer(n, 2, 3, 1e-3, AdamSettings(0.9, 0.999, 1e-8, decay, decoupled))
        for n in (1, CHUNK)
        for decay in (0.0, 0.01)
        for decoupled in (False, True)
    ]
    + [_optimizer(5, 2, step, 1e-3, AdamSettings(0.9, 0.999, 1e-8, 0.0, False)) for step in (1, 1000, 12345, 1 << 20)],
    "adagrad_step": [_optimizer(n, 1, 0.1, 1e-10, decay) for n in (1, CHUNK) for decay in (0.0, 0.01)],
    "rmsprop_step": [
        _optimizer(n, 2, 0.1, RMSpropSettings(0.99, 1e-8, 0.9, decay)) for n in (1, CHUNK) for decay in (0.0, 0.01)
    ],
    "sgd_step_each": [
        _each_optimizer(n, 1, [(1, 0.9, 0, 0.0), (0, 0.0, 0, 0.1), (1, 0.8, 1, 0.01)]) for n in (1, 16, CHUNK)
    ]
    + [_each_optimizer(48, 1, [(0, 0.0, 0, 0.0), (0, 0.0, 0, 0.1)], lacks=1)],
    "adam_step_each": [
        _each_optimizer(n, 2, [(0.9, 0.999, 1e-8, 0.0, 0), (0.8, 0.95, 1e-3, 0.1, 1), (0.9, 0.99, 1e-6, 0.1, 0)], step)
        for n, step in [(1, 1), (16, 3), (CHUNK, 1000)]
    ],
    "adagrad_step_each": [_each_optimizer(n, 1, [(1e-10, 0.0), (1e-3, 0.1)]) for n in (1, CHUNK)],
    "rmsprop_step_each": [
        _each_optimizer(n, 2, [(1, 0.99, 1e-8, 0.9, 0.0), (0, 0.9, 1e-6, 0.0, 0.1)]) for n in (1, CHUNK)
    ]
    + [_each_optimizer(48, 2, [(0, 0.9, 1e-6, 0.0, 0.1)], lacks=1)],
    "average_step": [_optimizer(n, 0, decay) for n in (1, CHUNK) for decay in (0.0, 0.9, 1.0)],
    "clip_norm": [
        lambda rng, dtype: (rng.normal(size=CHUNK).astype(dtype), 1.0),
        lambda rng, dtype: (rng.normal(size=5).astype(dtype), 100.0),
        lambda rng, dtype: (np.zeros(3, dtype), 1.0),
    ],
}
