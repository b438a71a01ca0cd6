"""ONNX nodes of the operations on images, and on sequences by convolution.

Images are (N, C, H, W) in ONNX, and channels last here: each operation stands between two Transpose nodes, most of
which :mod:`~dlcourse.interop.onnx.fold` takes out again.
"""

from typing import Any

import numpy as np

from dlcourse.backend.kernels.resample import Taps
from dlcourse.interop.onnx.arithmetic import LAST, cut_out, reshaped
from dlcourse.interop.onnx.graph import Graph, Unsayable, Value
from dlcourse.interop.onnx.step import Step, exports
from dlcourse.ops import adaptive_pool, conv, conv_transpose, pad, pool, rearrange, resample, residual

__all__: list[str] = []


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


@exports(residual.AddReLU)
def add_relu(step: Step, a: Value, b: Value) -> Value:
    return step.graph.node("Relu", a + b)
