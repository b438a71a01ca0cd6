"""The recurrences on the GPU: each step is one matrix product and one kernel that does all the rest.

The product's operands are dense buffers (N, .) that every step writes anew, so it needs no strides over time.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.blas import gemm
from dlcourse.backend.cuda.program import contiguous, override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import recurrent as kernels
from dlcourse.backend.kernels.linear import column_sums

THREADS = 128


@override(kernels.rnn)
def rnn(projected: Array, h0: Array, weight: Array, relu: bool) -> Array:
    name = type_suffix(projected, h0, weight)
    xp = array_module(projected)
    projected, h0, weight = contiguous(projected, h0, weight)
    hidden, a, h = xp.empty_like(projected), xp.empty_like(h0), xp.empty_like(h0)
    for t in range(projected.shape[1]):
        gemm(h if t else h0, weight.T, out=a)
        _launch(f"rnn_step_{name}", (projected, a, hidden, h), hidden.shape, t, np.int32(relu))
    return hidden


@override(kernels.rnn_grad)
def rnn_grad(dhidden: Array, hidden: Array, weight: Array, relu: bool) -> tuple[Array, Array]:
    name = type_suffix(dhidden, hidden, weight)
    xp = array_module(dhidden)
    dhidden, hidden, weight = contiguous(dhidden, hidden, weight)
    n, steps, size = dhidden.shape
    da, dh, d = xp.empty_like(dhidden), xp.zeros((n, size), dhidden.dtype), xp.empty((n, size), dhidden.dtype)
    for t in reversed(range(steps)):
        _launch(f"rnn_grad_step_{name}", (dhidden, hidden, dh, da, d), hidden.shape, t, np.int32(relu))
        gemm(d, weight, out=dh)
    return da, dh


@override(kernels.lstm_layer)
def lstm_layer(
    x: Array, h0: Array, c0: Array, weight_ih: Array, weight_hh: Array, bias: Array
) -> tuple[Array, Array, Any]:
    name = type_suffix(x, h0, c0, weight_ih, weight_hh, bias)
    xp = array_module(x)
    (n, steps, width), size, dtype = x.shape, h0.shape[1], x.dtype
    projected = gemm(x.reshape(-1, width), weight_ih.T, bias=bias)
    h0, c0, weight = contiguous(h0, c0, weight_hh)
    hidden, cells = (xp.empty((n, steps, size), dtype=dtype) for _ in range(2))
    last, h = xp.empty_like(c0), xp.empty_like(h0)
    gates, a = xp.empty((n, steps, 4 * size), dtype=dtype), xp.empty((n, 4 * size), dtype=dtype)
    for t in range(steps):
        gemm(h if t else h0, weight.T, out=a)
        _launch(f"lstm_step_{name}", (projected, a, c0, hidden, cells, last, gates, h), hidden.shape, t)
    return hidden, last, kernels.Saved(cells, gates)


@override(kernels.lstm_layer_grad)
def lstm_layer_grad(
    dhidden: Array, dcell: Array | None, inputs: tuple, hidden: Array, saved: Any, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array, Array, Array]:
    name = type_suffix(dhidden, dcell, hidden, *inputs)
    xp = array_module(dhidden)
    x, h0, c0, weight_ih, weight, _ = inputs
    h0, c0, weight = contiguous(h0, c0, weight)
    arrays = contiguous(dhidden, dcell, hidden, saved.cells, saved.gates)
    da, d = xp.empty_like(arrays[-1]), xp.empty((len(c0), 4 * c0.shape[1]), dtype=c0.dtype)
    dh, dc, earlier = xp.empty_like(h0), xp.empty_like(c0), xp.empty_like(arrays[0])
    for t in reversed(range(dhidden.shape[1])):
        _launch(f"lstm_grad_step_{name}", (*arrays, h0, c0, dh, dc, da, d, earlier), dhidden.shape, t)
        gemm(d, weight, out=dh)
    rows, to_ih, to_hh = da.reshape(-1, da.shape[2]), *grad_buffers[:2]
    dweights = gemm(rows.T, x.reshape(len(rows), -1), to_ih), gemm(rows.T, earlier.reshape(len(rows), -1), to_hh)
    return gemm(rows, weight_ih).reshape(x.shape), dh, dc, *dweights, column_sums(rows, grad_buffers[2])


@override(kernels.gru)
def gru(projected: Array, h0: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    name = type_suffix(projected, h0, weight, bias)
    xp = array_module(projected)
    projected, h0, weight, bias = contiguous(projected, h0, weight, bias)
    n, steps, size = len(projected), projected.shape[1], h0.shape[1]
    hidden, inner = (xp.empty((n, steps, size), dtype=projected.dtype) for _ in range(2))
    gates, b, h = xp.empty_like(projected), xp.empty((n, 3 * size), projected.dtype), xp.empty_like(h0)
    for t in range(steps):
        gemm(h if t else h0, weight.T, out=b)
        _launch(f"gru_step_{name}", (projected, b, bias, h0, hidden, gates, inner, h), hidden.shape, t)
    return hidden, gates, inner


@override(kernels.gru_grad)
def gru_grad(
    dhidden: Array, hidden: Array, gates: Array, inner: Array, h0: Array, weight: Array
) -> tuple[Array, Array, Array]:
    name = type_suffix(dhidden, hidden, gates, inner, h0, weight)
    xp = array_module(dhidden)
    dhidden, hidden, gates, inner, h0, weight = contiguous(dhidden, hidden, gates, inner, h0, weight)
    n, steps, size = dhidden.shape
    da, db, dh = xp.empty_like(gates), xp.empty_like(gates), xp.zeros_like(h0)
    d = xp.empty((n, 3 * size), dtype=gates.dtype)
    for t in reversed(range(steps)):
        arrays = dhidden, hidden, gates, inner, h0, dh, da, db, d
        _launch(f"gru_grad_step_{name}", arrays, dhidden.shape, t)
        gemm(d, weight, out=dh, accumulate=True)
    return da, db, dh


def _launch(name: str, arrays: tuple, shape: tuple[int, int, int], t: int, *rest: np.int32) -> None:
    """A thread for each sequence and unit of (N, T, H), at step t."""
    n, steps, size = shape
    threads = min(THREADS, -(-size // 32) * 32)
    arguments = *arrays, np.int32(steps), np.int32(size), np.int32(t), *rest
    program("recurrent").launch(name, (n, -(-size // threads)), (threads,), arguments)
