"""The LSTM's recurrence on the GPU: a step is one cuBLASLt product, added to the projected input, and one kernel.

RNN and GRU are the reference's array code, whose products go the same way.
"""

import numpy as np

from dlcourse.backend.cuda.blas import gemm
from dlcourse.backend.cuda.program import blocks, name_of, program
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import recurrent as kernels

THREADS = 256


@override(kernels.lstm, "cuda")
def lstm(projected: Array, h0: Array, c0: Array, weight: Array) -> tuple[Array, Array, Array]:
    name, xp = name_of(projected, h0, c0, weight), array_module(projected)
    if name is None or not projected.size:
        return kernels.lstm.reference(projected, h0, c0, weight)
    n, steps, size = len(projected), projected.shape[1], h0.shape[1]
    hidden, cells = (xp.empty((n, steps, size), dtype=projected.dtype) for _ in range(2))
    gates = projected.copy(order="C")
    h, c, of_before = xp.ascontiguousarray(h0), xp.ascontiguousarray(c0), size
    for t in range(steps):
        gemm(h, weight.T, gates[:, t], accumulate=True)
        sizes = np.int64(n * size), np.int32(size), np.int64(steps * 4 * size), np.int64(of_before)
        arrays = (_from(gates, t), c if t == 0 else _from(cells, t - 1), _from(cells, t), _from(hidden, t))
        _launch(f"lstm_step_{name}", n * size, (*arrays, *sizes, np.int64(steps * size)))
        h, of_before = hidden[:, t], steps * size
    return hidden, cells, gates


@override(kernels.lstm_grad, "cuda")
def lstm_grad(
    dhidden: Array, dcell: Array, cells: Array, gates: Array, c0: Array, weight: Array
) -> tuple[Array, Array, Array]:
    name, xp = name_of(dhidden, dcell, cells, gates, c0, weight), array_module(dhidden)
    if name is None or not dhidden.size:
        return kernels.lstm_grad.reference(dhidden, dcell, cells, gates, c0, weight)
    n, steps, size = dhidden.shape
    dhidden, cells, gates, c0, weight = map(xp.ascontiguousarray, (dhidden, cells, gates, c0, weight))
    da, dh, dc = xp.empty_like(gates), xp.zeros_like(c0), dcell.copy(order="C")
    for t in reversed(range(steps)):
        before, of_before = (_from(cells, t - 1), steps * size) if t else (c0, size)
        arrays = _from(dhidden, t), dh, dc, _from(gates, t), _from(cells, t), before, _from(da, t)
        sizes = np.int64(n * size), np.int32(size), np.int64(steps * 4 * size)
        distances = np.int64(steps * size), np.int64(steps * size), np.int64(of_before)
        _launch(f"lstm_step_grad_{name}", n * size, (*arrays, *sizes, *distances))
        gemm(da[:, t], weight, dh)
    return da, dh, dc


def _from(array: Array, t: int) -> Array:
    """A pointer to step t of the first sequence of (N, T, ...): the view that begins there."""
    return array.reshape(-1)[t * array.shape[2] :]


def _launch(name: str, count: int, arguments: tuple) -> None:
    program("recurrent").launch(name, blocks(count, THREADS), (THREADS,), arguments)
