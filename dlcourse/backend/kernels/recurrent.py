"""The recurrences of RNN, LSTM and GRU over the steps of a sequence, with their gradients.

What does not depend on the step before, the input's projection, is one matrix product for all steps outside; likewise
the gradients of the weights afterwards. Here (N, T, G) holds the projected inputs, biases included, and W (G, H) takes
the hidden state of the step before. (Lecture 11; Hochreiter & Schmidhuber 1997; Cho et al. 2014.)
"""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.linear import affine, column_sums, matmul, product
from dlcourse.backend.kernels.select import selected


@kernel
def rnn(projected: Array, h0: Array, weight: Array, relu: bool) -> Array:
    """h_t = phi(a_t + W h_(t-1)), phi = tanh or ReLU: hidden states (N, T, H)."""
    xp = array_module(projected)
    hidden, h = xp.empty_like(projected), h0
    for t in range(projected.shape[1]):
        a = projected[:, t] + matmul(h, weight.T)
        h = xp.maximum(a, 0) if relu else xp.tanh(a)
        hidden[:, t] = h
    return hidden


@kernel
def rnn_grad(dhidden: Array, hidden: Array, weight: Array, relu: bool) -> tuple[Array, Array]:
    """da (N, T, H) and dh0 (N, H): da_t = phi'(a_t) (dh_t + W^T da_(t+1)), phi' = 1 - h^2 or h > 0."""
    xp = array_module(dhidden)
    da, dh = xp.empty_like(dhidden), xp.zeros_like(dhidden[:, 0])
    for t in reversed(range(dhidden.shape[1])):
        h = hidden[:, t]
        masked_dy = dhidden[:, t] + dh
        da[:, t] = selected.reference(masked_dy, h > 0) if relu else masked_dy * (1 - h * h)
        dh = matmul(da[:, t], weight)
    return da, dh


@kernel
def lstm(projected: Array, h0: Array, c0: Array, weight: Array) -> tuple[Array, Array, Array]:
    """i, f, o = sigmoid(a), g = tanh(a) with a = a_t + W h_(t-1);  c = f c + i g;  h = o tanh(c).

    Returns:
        hidden states (N, T, H), cells (N, T, H), and i, f, g, o (N, T, 4H) in PyTorch's order.
    """
    xp = array_module(projected)
    n, steps, size = len(projected), projected.shape[1], h0.shape[1]
    hidden, cells = (xp.empty((n, steps, size), dtype=projected.dtype) for _ in range(2))
    gates = xp.empty_like(projected)
    h, c = h0, c0
    for t in range(steps):
        a = projected[:, t] + matmul(h, weight.T)
        i, f, o = (_sigmoid(a[:, k * size : (k + 1) * size]) for k in (0, 1, 3))
        g = xp.tanh(a[:, 2 * size : 3 * size])
        c = f * c + i * g
        h = o * xp.tanh(c)
        hidden[:, t], cells[:, t], gates[:, t] = h, c, xp.concatenate([i, f, g, o], axis=1)
    return hidden, cells, gates


@kernel
def lstm_grad(
    dhidden: Array, dcell: Array, cells: Array, gates: Array, c0: Array, weight: Array
) -> tuple[Array, Array, Array]:
    """da (N, T, 4H), dh0 and dc0 (N, H), given the gradients of all hidden states and of the last cell (N, H)."""
    xp = array_module(dhidden)
    size = c0.shape[1]
    da, dh, dc = xp.empty_like(gates), xp.zeros_like(c0), dcell
    for t in reversed(range(dhidden.shape[1])):
        i, f, g, o = (gates[:, t, k * size : (k + 1) * size] for k in range(4))
        before = cells[:, t - 1] if t else c0
        squashed = xp.tanh(cells[:, t])
        dh = dhidden[:, t] + dh
        dc = dc + dh * o * (1 - squashed * squashed)
        parts = [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * squashed * o * (1 - o)]
        da[:, t] = xp.concatenate(parts, axis=1)
        dh, dc = matmul(da[:, t], weight), dc * f
    return da, dh, dc


@kernel
def lstm_layer(
    x: Array, h0: Array, c0: Array, weight_ih: Array, weight_hh: Array, bias: Array
) -> tuple[Array, Array, Any]:
    """A whole layer, :func:`lstm` of a_t = W_ih x_t + b for x (N, T, D) and b (4H,), the sum of both biases.

    Returns:
        hidden states (N, T, H), the last cell (N, H), and what the gradient needs.
    """
    rows = x.reshape(-1, x.shape[2])
    projected = affine(rows, weight_ih, bias).reshape(*x.shape[:2], len(weight_ih))
    hidden, cells, gates = lstm(projected, h0, c0, weight_hh)
    return hidden, (cells[:, -1] if x.shape[1] else c0).copy(), Saved(cells, gates)


@kernel(writes=("grad_buffers",))
def lstm_layer_grad(
    dhidden: Array, dcell: Array | None, inputs: tuple, hidden: Array, saved: Any, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """dx, dh0, dc0, dW_ih, dW_hh and db, the last three written into ``grad_buffers`` where given.

    Args:
        dcell: of the last cell, None where that was not used.
        inputs: all that :func:`lstm_layer` was given.
    """
    x, h0, c0, weight_ih, weight_hh, _ = inputs
    dcell = array_module(c0).zeros_like(c0) if dcell is None else dcell
    da, dh0, dc0 = lstm_grad(dhidden, dcell, saved.cells, saved.gates, c0, weight_hh)
    dx, dweight_ih, dweight_hh = layer_gradients(da, da, x, hidden, h0, weight_ih, *grad_buffers[:2])
    return dx, dh0, dc0, dweight_ih, dweight_hh, column_sums(da.reshape(-1, da.shape[2]), grad_buffers[2])


class Saved:
    """What :func:`lstm_layer` keeps for its gradient; an override may save something else."""

    def __init__(self, cells: Array, gates: Array):
        self.cells, self.gates = cells, gates


def layer_gradients(
    da: Array,
    db: Array,
    x: Array,
    hidden: Array,
    h0: Array,
    weight_ih: Array,
    to_ih: Array | None,
    to_hh: Array | None,
) -> tuple[Array, Array, Array]:
    """dx = da W_ih, dW_ih = sum_t da_t^T x_t, dW_hh = sum_t db_t^T h_(t-1), with b = W_hh h_(t-1) + b_hh."""
    xp, steps = array_module(da), hidden.shape[1]
    before = xp.concatenate([h0[:, None], hidden[:, : steps - 1]], axis=1) if steps else hidden  # h_(t-1)
    flat_a, flat_b = da.reshape(-1, da.shape[2]), db.reshape(-1, db.shape[2])
    dx = product(flat_a, weight_ih, None).reshape(x.shape)
    dweight_ih = product(flat_a.T, x.reshape(-1, x.shape[2]), to_ih)
    return dx, dweight_ih, product(flat_b.T, before.reshape(-1, before.shape[2]), to_hh)


@kernel
def gru(projected: Array, h0: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    """r, z = sigmoid(a + b), n = tanh(a_n + r b_n) with a = a_t and b = W h_(t-1) + bias;  h = (1 - z) n + z h_(t-1).

    The reset gate acts on the projected state, as in PyTorch and cuDNN (Cho et al. have it act before the projection).

    Returns:
        hidden states (N, T, H), r, z, n (N, T, 3H) in PyTorch's order, and b_n (N, T, H).
    """
    xp = array_module(projected)
    n, steps, size = len(projected), projected.shape[1], h0.shape[1]
    hidden, inner = (xp.empty((n, steps, size), dtype=projected.dtype) for _ in range(2))
    gates = xp.empty_like(projected)
    h = h0
    for t in range(steps):
        a, b = projected[:, t], matmul(h, weight.T) + bias
        reset = _sigmoid(a[:, :size] + b[:, :size])
        update = _sigmoid(a[:, size : 2 * size] + b[:, size : 2 * size])
        new = xp.tanh(a[:, 2 * size :] + reset * b[:, 2 * size :])
        h = (1 - update) * new + update * h
        hidden[:, t], inner[:, t] = h, b[:, 2 * size :]
        gates[:, t] = xp.concatenate([reset, update, new], axis=1)
    return hidden, gates, inner


@kernel
def gru_grad(
    dhidden: Array, hidden: Array, gates: Array, inner: Array, h0: Array, weight: Array
) -> tuple[Array, Array, Array]:
    """da (N, T, 3H), db (N, T, 3H) and dh0 (N, H); da and db differ in the last third, where r stands between."""
    xp = array_module(dhidden)
    size = h0.shape[1]
    da, db, dh = xp.empty_like(gates), xp.empty_like(gates), xp.zeros_like(h0)
    for t in reversed(range(dhidden.shape[1])):
        reset, update, new = (gates[:, t, k * size : (k + 1) * size] for k in range(3))
        before = hidden[:, t - 1] if t else h0
        dh = dhidden[:, t] + dh
        dnew = dh * (1 - update) * (1 - new * new)
        dupdate = dh * (before - new) * update * (1 - update)
        dreset = dnew * inner[:, t] * reset * (1 - reset)
        da[:, t] = xp.concatenate([dreset, dupdate, dnew], axis=1)
        db[:, t] = xp.concatenate([dreset, dupdate, dnew * reset], axis=1)
        dh = dh * update + matmul(db[:, t], weight)
    return da, db, dh


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), with all its digits also where it is near 0."""
    tail = array_module(x).exp(-abs(x))
    return abs((x >= 0) - tail / (1 + tail))
