"""ONNX nodes of the operations that layers are made of. Images are (N, C, H, W) in ONNX, and channels last here: what
works on them stands between two Transpose nodes, most of which :mod:`~dlcourse.interop.onnx.fold` takes out again."""

from typing import Any

import numpy as np

from dlcourse.autograd.products import EuclideanDistances
from dlcourse.backend.kernels.resample import Taps
from dlcourse.interop.onnx.arithmetic import LAST, cut_out, gelu, reshaped
from dlcourse.interop.onnx.graph import Graph, Unsayable, Value
from dlcourse.interop.onnx.step import Step, exports
from dlcourse.nn import activation, activation_channels
from dlcourse.nn.hooks import Marked
from dlcourse.ops import (
    adaptive_pool,
    attention,
    conv,
    conv_transpose,
    embedding,
    group_norm,
    linear,
    norm,
    pad,
    pool,
    rearrange,
    recurrent,
    resample,
    residual,
    rms_norm,
)
from dlcourse.ops.gaussian import GaussianLogDensity

__all__: list[str] = []

# --- activations ------------------------------------------------------------------------------------------------------


@exports(activation.LeakyReLUFunction)
def leaky_relu(step: Step, x: Value) -> Value:
    return step.graph.node("LeakyRelu", x, alpha=float(step.function.negative_slope))


@exports(activation.ELUFunction)
def elu(step: Step, x: Value) -> Value:
    return step.graph.node("Elu", x, alpha=float(step.function.alpha))


@exports(activation.GELUFunction)
def gelu_exact(step: Step, x: Value) -> Value:
    return gelu(x)


@exports(activation.GELUTanhFunction)
def gelu_tanh(step: Step, x: Value) -> Value:
    return gelu(x, "tanh")


@exports(activation.SiLUFunction)
def silu(step: Step, x: Value) -> Value:
    return x * step.graph.node("Sigmoid", x)


@exports(activation.SoftplusFunction)
def softplus(step: Step, x: Value) -> Value:
    beta = step.setting(lambda f: f.beta)
    return step.graph.node("Softplus", x) if beta == 1 else step.graph.node("Softplus", x * beta) * (1 / beta)


@exports(activation_channels.GLUFunction)
def glu(step: Step, x: Value) -> Value:
    a, gate = step.graph.node("Split", x, outputs=2, axis=step.setting(lambda f: f.axis), num_outputs=2)
    return a * step.graph.node("Sigmoid", gate)


@exports(activation_channels.PReLUFunction)
def prelu(step: Step, x: Value, weight: Value) -> Value:
    return step.graph.node("PRelu", x, weight)


@exports(Marked)
def marked(step: Step, *values: Value) -> tuple[Value, ...]:
    return values


# --- products ---------------------------------------------------------------------------------------------------------


@exports(linear.Linear)
def affine(step: Step, x: Value, weight: Value, *bias: Value) -> Value:
    if x.ndim == 2:
        y = step.graph.node("Gemm", x, weight, *bias, transB=1)
    else:
        y = x @ step.graph.node("Transpose", weight, perm=[1, 0])
        y = y + bias[0] if bias else y
    if isinstance(step.function, linear.LinearReLU):
        return step.graph.node("Relu", y)
    return gelu(y, "tanh") if isinstance(step.function, linear.LinearGELU) else y


@exports(embedding.Embedding)
def embed(step: Step, weight: Value) -> Value:
    return step.graph.node("Gather", weight, step.setting(lambda f: f.indices), dtype=weight.dtype, axis=0)


def first(x: Value, ndim: int) -> Value:
    """Channels in front of the other axes of a sample, as ONNX has them."""
    return x.transpose(0, ndim - 1, *range(1, ndim - 1))


def last(x: Value, ndim: int) -> Value:
    """Channels behind the other axes again."""
    return x.graph.node("Transpose", x, perm=[0, *range(2, ndim), 1])


@exports(conv.Conv2d, conv_transpose.ConvTranspose2d)
def convolution(step: Step, x: Value, weight: Value, *bias: Value) -> Value:
    return _convolved(step, step.function, x, weight, bias)


@exports(conv.OfSequences)
def convolution_of_sequences(step: Step, x: Value, weight: Value, *bias: Value) -> Value:
    return _convolved(step, step.function.function, x, weight, bias)


def _convolved(step: Step, function: Any, x: Value, weight: Value, bias: tuple[Value, ...]) -> Value:
    ndim, geometry = x.ndim, function.geometry
    axes = slice(4 - ndim, None)  # sequences are images of one row
    kernel: Any = weight.shape[1:-1]
    pads = list(geometry.padding[axes])
    attributes: dict[str, Any] = {
        "kernel_shape": list(kernel),
        "strides": list(geometry.stride[axes]),
        "dilations": list(geometry.dilation[axes]),
        "group": geometry.groups,
        "pads": pads + pads,
    }
    op = "Conv"
    if isinstance(function, conv_transpose.ConvTranspose2d):
        op = "ConvTranspose"
        sizes = zip(step.dims[1:-1], x.shape[1:-1], kernel, *(each[axes] for each in geometry[:3]), strict=True)
        attributes["output_padding"] = [_more(*each) for each in sizes]
    y = step.graph.node(op, first(x, ndim), first(weight, ndim), *bias, **attributes)
    if isinstance(function, conv.Conv2dReLU):
        y = step.graph.node("Relu", y)
    return last(y, ndim)


def _more(out: Any, length: Any, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The output padding of a transposed convolution along one axis."""
    if not isinstance(out, int) or not isinstance(length, int):
        pairs = zip(out, length, strict=True)
        found = {o - ((n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1) for o, n in pairs}
        if len(found) > 1:
            raise Unsayable("a transposed convolution of another output padding for inputs of another size")
        return found.pop()
    return out - ((length - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)


# --- pooling and resizing ---------------------------------------------------------------------------------------------


def _window(step: Step) -> dict[str, Any]:
    geometry = step.function.geometry
    pads = list(geometry.padding)
    return {"kernel_shape": list(geometry.window), "strides": list(geometry.stride), "pads": pads + pads}


@exports(pool.MaxPool2d)
def max_pool(step: Step, x: Value) -> Value:
    dilations = list(step.function.geometry.dilation)
    return last(step.graph.node("MaxPool", first(x, 4), dilations=dilations, **_window(step)), 4)


@exports(pool.AvgPool2d)
def avg_pool(step: Step, x: Value) -> Value:
    y = last(step.graph.node("AveragePool", first(x, 4), count_include_pad=1, **_window(step)), 4)
    factor = step.setting(lambda f: f.factor)
    return y if factor is None else y * factor.cast(step.dtype)


@exports(adaptive_pool.AdaptiveMaxPool2d)
def adaptive_max_pool(step: Step, x: Value) -> Value:
    for axis, to in ((1, step.function.size[0]), (2, step.function.size[1])):
        sources = adaptive_pool._places(_fixed(step, x, axis), to)
        x_dims = x.dims
        x = step.graph.node("Max", *(step.graph.node("Gather", x, each, axis=axis) for each in sources.T))
        x.dims = x_dims
    return x


@exports(resample.Resample)
def resampled(step: Step, x: Value) -> Value:
    for axis, taps in step.function.taps:
        _fixed(step, x, axis)
        shares = [_share(step.graph, x, axis, taps, k) for k in range(len(taps.source))]
        total = shares[0] if len(shares) == 1 else step.graph.node("Sum", *shares)
        total.dims, x = x.dims, total
    return x


def _share(graph: Graph, x: Value, axis: int, taps: Taps, number: int) -> Value:
    weight = np.array(taps.weight[number], dtype=x.dtype)
    share = graph.node("Gather", x, np.array(taps.source[number], dtype=np.int64), axis=axis)
    return share * weight.reshape(-1, *(1,) * (x.ndim - axis - 1))


@exports(resample.Enlarge)
def enlarge(step: Step, x: Value) -> Value:
    for axis, factor in zip((1, 2), step.function.geometry.window, strict=True):
        places = np.repeat(np.arange(_fixed(step, x, axis)), factor)
        dims, x = x.dims, step.graph.node("Gather", x, places, axis=axis)
        x.dims = dims
    return x


def _fixed(step: Step, x: Value, axis: int) -> int:
    length = x.shape[axis]
    if not isinstance(length, int):
        raise Unsayable(f"{type(step.function).__name__} of sequences of any length")
    return length


@exports(pad.Pad)
def padded(step: Step, x: Value) -> Value:
    widths, mode = step.setting(lambda f: f.widths), step.function.mode
    if mode == "circular":
        for axis, (before, after) in enumerate(widths):
            pieces = [cut_out(step.graph, x, axis, -before, LAST)] if before else []
            pieces += [x, *([cut_out(step.graph, x, axis, 0, after)] if after else [])]
            x = step.graph.node("Concat", *pieces, axis=axis) if len(pieces) > 1 else x
        return x
    numbers = np.array([before for before, _ in widths] + [after for _, after in widths], dtype=np.int64)
    value = np.array(step.function.value, dtype=x.dtype) if mode == "constant" else None
    return step.graph.node("Pad", x, numbers, value, mode="edge" if mode == "replicate" else mode)


@exports(rearrange.Unfold)
def unfold(step: Step, x: Value) -> Value:
    (kh, kw), geometry, graph = step.function.kernel, step.function.geometry, step.graph
    top, left = geometry.padding
    height, width, channels = (_fixed(step, x, axis) for axis in (1, 2, 3))
    rows, columns = geometry.out_size((0, height, width, 0), (kh, kw))
    across = width + 2 * left
    y, z = np.arange(rows) * geometry.stride[0], np.arange(columns) * geometry.stride[1]
    i, j = np.arange(kh) * geometry.dilation[0], np.arange(kw) * geometry.dilation[1]
    places = (y[:, None, None, None] + i[:, None]) * across + z[:, None, None] + j
    if top or left:
        x_dims = x.shape
        x = graph.node("Pad", x, np.array([0, top, left, 0] * 2, dtype=np.int64))
        x.dims = (x_dims[0], height + 2 * top, across, channels)
    pixels = reshaped(graph, x, (x.shape[0], (height + 2 * top) * across, channels))
    patches = graph.node("Gather", pixels, places.reshape(rows * columns, kh * kw), axis=1)
    turned = graph.node("Transpose", patches, perm=[0, 1, 3, 2])
    turned.dims = (x.shape[0], rows * columns, channels, kh * kw)
    return reshaped(graph, turned, step.dims)


@exports(rearrange.Fold)
def fold(step: Step, x: Value) -> Value:
    (height, width), (kh, kw), geometry = step.function.size, step.function.kernel, step.function.geometry
    rows, columns = geometry.out_size((0, height, width, 0), (kh, kw))
    patches = reshaped(step.graph, x, (x.shape[0], rows, columns, x.shape[2]))
    channels = step.dims[3]
    assert isinstance(channels, int)
    # A transposed convolution by kernels of one 1 each puts every number of a patch in its place.
    weight = np.eye(channels * kh * kw, dtype=x.dtype).reshape(-1, channels, kh, kw)
    pads = list(geometry.padding)
    more = [
        _more(out, places, *each)
        for out, places, *each in zip((height, width), (rows, columns), (kh, kw), *geometry[:3], strict=True)
    ]
    y = step.graph.node(
        "ConvTranspose",
        *(first(patches, 4), weight),
        strides=list(geometry.stride),
        dilations=list(geometry.dilation),
        pads=pads + pads,
        output_padding=more,
    )
    return last(y, 4)


# --- normalization ----------------------------------------------------------------------------------------------------


@exports(GaussianLogDensity)
def gaussian_log_density(step: Step, x: Value, means: Value, factors: Value) -> Value:
    if means.array is None or factors.array is None:
        raise Unsayable("Gaussian densities whose means or covariances depend on the input")
    lower = np.tril(factors.array.astype(np.float64))
    diagonals = np.diagonal(lower, axis1=1, axis2=2)
    constants = np.log(np.abs(diagonals)).sum(axis=1) + diagonals.shape[1] / 2 * np.log(2 * np.pi)
    apart = step.graph.unsqueeze(x, 1) - means  # (N, C, D)
    z = step.graph.unsqueeze(apart, 2) @ np.linalg.inv(lower).transpose(0, 2, 1).astype(x.dtype)
    squares = step.graph.reduce("Sum", z * z, [2, 3], False)
    return squares * -0.5 - constants.astype(x.dtype)


@exports(EuclideanDistances)
def distances(step: Step, a: Value, b: Value) -> Value:
    axes = list(range(b.ndim))
    turned = b.transpose(*axes[:-2], axes[-1], axes[-2])
    squares = step.graph.unsqueeze(step.graph.reduce("Sum", b * b, [-1], False), -2)
    total = step.graph.reduce("Sum", a * a, [-1], True) + squares - 2 * (a @ turned)
    return step.graph.node("Sqrt", step.graph.node("Max", total, 0))


@exports(norm.LayerNorm)
def layer_norm(step: Step, x: Value, weight: Value, bias: Value) -> Value:
    return step.graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(step.function.eps))


@exports(norm.BatchNorm)
def batch_norm(step: Step, x: Value, weight: Value, bias: Value, *residual: Value) -> Value:
    eps, _, relu = step.function.settings
    y = _standardized(step.graph, x, list(range(x.ndim - 1)), eps) * weight + bias
    y = y + residual[0] if residual else y
    return step.graph.node("Relu", y) if relu else y


@exports(group_norm.GroupNorm)
def grouped_norm(step: Step, x: Value, weight: Value, bias: Value) -> Value:
    groups, channels = step.function.groups, x.shape[-1]
    assert isinstance(channels, int)
    apart = step.graph.node(
        "Reshape", x, np.array([*(0 for _ in x.shape[:-1]), groups, channels // groups], dtype=np.int64)
    )
    axes = [axis for axis in range(1, x.ndim + 1) if axis != x.ndim - 1]
    whole = step.graph.node(
        "Reshape",
        _standardized(step.graph, apart, axes, step.function.eps),
        np.array([*(0 for _ in x.shape[:-1]), channels], dtype=np.int64),
    )
    return whole * weight + bias


def _standardized(graph: Graph, x: Value, axes: list[int], eps: float) -> Value:
    """(x - mu) / sqrt(var + eps) over axes."""
    centered = x - graph.reduce("Mean", x, axes, True)
    variance = graph.reduce("Mean", centered * centered, axes, True)
    return centered / graph.node("Sqrt", variance + float(eps))


@exports(rms_norm.RMSNorm)
def root_mean_square_norm(step: Step, x: Value, weight: Value) -> Value:
    mean = step.graph.reduce("Mean", x * x, [-1], True)
    return x / step.graph.node("Sqrt", mean + float(step.function.eps)) * weight


# --- residual nets ----------------------------------------------------------------------------------------------------


@exports(residual.AddReLU)
def add_relu(step: Step, a: Value, b: Value) -> Value:
    return step.graph.node("Relu", a + b)


@exports(residual.ShrinkAndWiden)
def shrink_and_widen(step: Step, x: Value) -> Value:
    graph, stride, channels = step.graph, step.function.stride, x.shape[3]
    assert isinstance(channels, int)
    y = x
    if stride > 1:
        ends = np.array([0, 0], np.int64), np.array([LAST, LAST], np.int64)
        y = graph.node("Slice", x, *ends, np.array([1, 2], np.int64), np.array([stride, stride], np.int64))
    more = step.function.channels - channels
    return graph.node("Pad", y, np.array([0, 0, 0, 0, 0, 0, 0, more], np.int64)) if more else y


# --- recurrences ------------------------------------------------------------------------------------------------------

GATES = {recurrent.RNN: (0,), recurrent.LSTM: (0, 3, 1, 2), recurrent.GRU: (1, 0, 2)}
"""Where ONNX's gates are among ours: i, o, f, c of i, f, g, o, and z, r, h of r, z, n."""


@exports(*GATES)
def recurrence(step: Step, x: Value, *operands: Value) -> Any:
    kind, graph = type(step.function), step.graph
    *states, weight_ih, weight_hh, bias_ih, bias_hh = operands
    order = GATES[kind]
    hidden = weight_hh.shape[1]
    assert isinstance(hidden, int)

    def gates(weight: Value) -> Value:
        """With ONNX's order of the gates, and an axis for the direction."""
        if len(order) > 1:
            rows = np.concatenate([np.arange(hidden) + k * hidden for k in order])
            if weight.array is not None:
                return graph.constant(weight.array[rows][None], weight.name_wanted)
            weight = graph.node("Gather", weight, rows, axis=0)
        elif weight.array is not None:
            return graph.constant(weight.array[None], weight.name_wanted)
        return graph.unsqueeze(weight, 0)

    biases = [gates(each) for each in (bias_ih, bias_hh)]
    bias = graph.node("Concat", *biases, axis=1)
    first_states = [None if _is_zero(state) else graph.unsqueeze(state, 0) for state in states]
    attributes: dict[str, Any] = {"hidden_size": hidden}
    if kind is recurrent.GRU:
        attributes["linear_before_reset"] = 1
    if kind is recurrent.RNN and step.function.relu:
        attributes["activations"] = ["Relu"]
    steps_first = graph.node("Transpose", x, perm=[1, 0, 2])
    found = graph.node(
        kind.__name__,
        *(steps_first, gates(weight_ih), gates(weight_hh), bias, None, *first_states),
        outputs=3 if kind is recurrent.LSTM else 2,
        **attributes,
    )
    output = graph.node("Transpose", graph.squeeze(found[0], 1), perm=[1, 0, 2])
    return (output, graph.squeeze(found[2], 0)) if kind is recurrent.LSTM else output


def _is_zero(state: Value) -> bool:
    return state.fill == 0 or (state.array is not None and not state.array.any())


# --- attention --------------------------------------------------------------------------------------------------------


@exports(attention.Attention)
def attend(step: Step, q: Value, k: Value, v: Value, *bias: Value) -> Any:
    graph, width = step.graph, q.shape[3]
    assert isinstance(width, int)
    scores = (q * width**-0.5) @ graph.node("Transpose", k, perm=[0, 1, 3, 2])
    mask = bias[0] if bias else step.setting(lambda f: f.mask)
    if mask is not None:
        hidden = -np.inf if mask.dtype == bool else None
        scores = scores + mask.cast(q.dtype) if hidden is None else graph.where(mask, scores, hidden)
    if step.setting(lambda f: f.causal):
        scores = scores + _hidden_future(graph, q, k)
    weights = graph.node("Softmax", scores, axis=-1)
    y = weights @ v
    return (y, weights) if getattr(step.function, "give", False) else y


def _hidden_future(graph: Graph, q: Value, k: Value) -> Value:
    """(T, S): -inf above the diagonal that ends in the lower right corner, else 0."""
    steps, keys = q.shape[2], k.shape[2]
    if isinstance(steps, int) and isinstance(keys, int):
        return graph.constant(np.triu(np.full((steps, keys), -np.inf, dtype=q.dtype), keys - steps + 1))
    whole = graph.node("Expand", np.array(-np.inf, dtype=q.dtype), graph.sizes((steps, keys), [q, k]), dtype=q.dtype)
    if steps == keys:
        offset: Any = np.array(1, dtype=np.int64)
    else:
        offset = graph.squeeze(graph.size(keys, [k]) - graph.size(steps, [q]) + 1, 0)
    return graph.node("Trilu", whole, offset, upper=1)
