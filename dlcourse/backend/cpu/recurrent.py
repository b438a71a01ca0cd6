"""The recurrences, each thread with sequences of its own: from first step to last no thread waits for another.

A step is one GEMM and few passes over buffers that stay in the cache. A sigmoid is 1 / (1 + e^-a), which keeps its
digits where it is near 0 and becomes 0 where e^-a overflows.
"""

from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.cpu.select import select
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import recurrent as kernels

MIN_WORK = 1 << 21
"""Multiplications of all steps below which one thread does it alone."""


@override(kernels.lstm, "cpu")
def lstm(projected: Array, h0: Array, c0: Array, weight: Array) -> tuple[Array, Array, Array]:
    n, steps, size = len(projected), projected.shape[1], h0.shape[1]
    hidden, cells = (np.empty((n, steps, size), dtype=projected.dtype) for _ in range(2))
    gates = np.empty_like(projected, order="C")

    def chunk(part: slice) -> None:
        h, before = h0[part], c0[part]
        a = scratch("lstm-a", (len(h), 4 * size), projected.dtype)
        buffer = scratch("lstm", (len(h), size), projected.dtype)
        c = scratch("lstm-c", (len(h), size), projected.dtype)
        c[...] = before
        h = np.ascontiguousarray(h)
        for t in range(steps):
            np.matmul(h, weight.T, out=a)
            a += projected[part, t]
            gate = _sigmoid(a, gates[part, t])  # of all four at once, then g anew
            i, f, g, o = (gate[:, k * size : (k + 1) * size] for k in range(4))
            np.tanh(a[:, 2 * size : 3 * size], out=g)
            c *= f
            np.multiply(i, g, out=buffer)
            c += buffer
            cells[part, t] = c
            np.tanh(c, out=buffer)
            h = np.multiply(o, buffer, out=scratch("lstm-h", (len(c), size), projected.dtype))
            hidden[part, t] = h

    _by_sequences(chunk, n, steps * weight.size)
    return hidden, cells, gates


@override(kernels.lstm_grad, "cpu")
def lstm_grad(
    dhidden: Array, dcell: Array, cells: Array, gates: Array, c0: Array, weight: Array
) -> tuple[Array, Array, Array]:
    n, steps, size = dhidden.shape
    da, dh0, dc0 = np.empty_like(gates), np.zeros_like(c0), dcell.copy()

    def chunk(part: slice) -> None:
        dh, dc = np.ascontiguousarray(dh0[part]), np.ascontiguousarray(dc0[part])
        d = scratch("lstm-a", (len(dh), 4 * size), gates.dtype)
        squashed, buffer = (scratch(name, dh.shape, gates.dtype) for name in ("lstm", "lstm-c"))
        di, df, dg, do = (d[:, k * size : (k + 1) * size] for k in range(4))
        for t in reversed(range(steps)):
            i, f, g, o = (gates[part, t, k * size : (k + 1) * size] for k in range(4))
            before = cells[part, t - 1] if t else c0[part]
            np.tanh(cells[part, t], out=squashed)
            dh += dhidden[part, t]
            # dc += dh o (1 - squashed^2); do = dh squashed
            np.multiply(dh, squashed, out=do)
            np.multiply(do, squashed, out=buffer)
            np.subtract(dh, buffer, out=buffer)
            buffer *= o
            dc += buffer
            np.multiply(dc, g, out=di)
            np.multiply(dc, before, out=df)
            np.multiply(dc, i, out=dg)
            for grad, gate in ((di, i), (df, f), (do, o)):  # times gate (1 - gate)
                grad *= gate
                np.subtract(1, gate, out=buffer)
                grad *= buffer
            np.multiply(g, g, out=buffer)
            np.subtract(1, buffer, out=buffer)
            dg *= buffer
            da[part, t] = d
            np.matmul(d, weight, out=dh)
            dc *= f
        dh0[part], dc0[part] = dh, dc

    _by_sequences(chunk, n, steps * weight.size)
    return da, dh0, dc0


@override(kernels.gru, "cpu")
def gru(projected: Array, h0: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    n, steps, size = len(projected), projected.shape[1], h0.shape[1]
    hidden, inner = (np.empty((n, steps, size), dtype=projected.dtype) for _ in range(2))
    gates = np.empty_like(projected, order="C")

    def chunk(part: slice) -> None:
        h = scratch("gru-h", (part.stop - part.start, size), projected.dtype)
        h[...] = h0[part]
        b = scratch("gru-b", (len(h), 3 * size), projected.dtype)
        new = scratch("gru-n", h.shape, projected.dtype)
        both, last = b[:, : 2 * size], b[:, 2 * size :]
        for t in range(steps):
            np.matmul(h, weight.T, out=b)
            b += bias
            both += projected[part, t, : 2 * size]
            _sigmoid(both, both)
            reset, update = both[:, :size], both[:, size:]
            np.multiply(reset, last, out=new)
            new += projected[part, t, 2 * size :]
            np.tanh(new, out=new)
            gates[part, t, : 2 * size], gates[part, t, 2 * size :], inner[part, t] = both, new, last
            h -= new  # (1 - z) n + z h = n + z (h - n)
            h *= update
            h += new
            hidden[part, t] = h

    _by_sequences(chunk, n, steps * weight.size)
    return hidden, gates, inner


@override(kernels.gru_grad, "cpu")
def gru_grad(
    dhidden: Array, hidden: Array, gates: Array, inner: Array, h0: Array, weight: Array
) -> tuple[Array, Array, Array]:
    n, steps, size = dhidden.shape
    da, db, dh0 = np.empty_like(gates), np.empty_like(gates), np.zeros_like(h0)

    def chunk(part: slice) -> None:
        dh = np.ascontiguousarray(dh0[part])
        d = scratch("gru-b", (len(dh), 3 * size), gates.dtype)
        buffer = scratch("gru-n", dh.shape, gates.dtype)
        dreset, dupdate, dnew = (d[:, k * size : (k + 1) * size] for k in range(3))
        for t in reversed(range(steps)):
            reset, update, new = (gates[part, t, k * size : (k + 1) * size] for k in range(3))
            before = hidden[part, t - 1] if t else h0[part]
            dh += dhidden[part, t]
            np.subtract(1, update, out=buffer)
            np.multiply(dh, buffer, out=dnew)
            np.multiply(dh, update, out=dupdate)
            dupdate *= buffer
            np.subtract(before, new, out=buffer)
            dupdate *= buffer
            np.multiply(new, new, out=buffer)
            np.subtract(1, buffer, out=buffer)
            dnew *= buffer
            np.multiply(dnew, inner[part, t], out=dreset)
            dreset *= reset
            np.subtract(1, reset, out=buffer)
            dreset *= buffer
            da[part, t] = d
            dnew *= reset  # from here on d is db
            db[part, t] = d
            dh *= update
            np.matmul(d, weight, out=buffer)
            dh += buffer
        dh0[part] = dh

    _by_sequences(chunk, n, steps * weight.size)
    return da, db, dh0


@override(kernels.rnn, "cpu")
def rnn(projected: Array, h0: Array, weight: Array, relu: bool) -> Array:
    hidden = np.empty_like(projected, order="C")

    def chunk(part: slice) -> None:
        h = np.array(h0[part], order="C")
        a = scratch("rnn-a", h.shape, projected.dtype)
        for t in range(projected.shape[1]):
            np.matmul(h, weight.T, out=a)
            a += projected[part, t]
            np.maximum(a, 0, out=h) if relu else np.tanh(a, out=h)
            hidden[part, t] = h

    _by_sequences(chunk, len(projected), projected.shape[1] * weight.size)
    return hidden


@override(kernels.rnn_grad, "cpu")
def rnn_grad(dhidden: Array, hidden: Array, weight: Array, relu: bool) -> tuple[Array, Array]:
    n, steps, size = dhidden.shape
    da, dh0 = np.empty_like(dhidden, order="C"), np.zeros((n, size), dtype=dhidden.dtype)

    def chunk(part: slice) -> None:
        dh = np.ascontiguousarray(dh0[part])
        slope = scratch("rnn-a", dh.shape, dhidden.dtype)
        for t in reversed(range(steps)):
            h = hidden[part, t]
            dh += dhidden[part, t]
            if relu:
                select(dh, h > 0, slope)
            else:
                np.multiply(h, h, out=slope)
                np.subtract(1, slope, out=slope)
                slope *= dh
            da[part, t] = slope
            np.matmul(slope, weight, out=dh)
        dh0[part] = dh

    _by_sequences(chunk, n, steps * weight.size)
    return da, dh0


def _sigmoid(a: Array, out: Array) -> Array:
    """out <- 1 / (1 + e^-a); returns it."""
    np.negative(a, out=out)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


def _by_sequences(work: Callable[[slice], None], n: int, multiplications: int) -> None:
    """``work`` on equal shares of the n sequences; all at once where there is little to do."""
    count = threads.budget() if n * multiplications >= MIN_WORK else 1
    threads.run(work, threads.slices(n, -(-n // count)), blas=True)
