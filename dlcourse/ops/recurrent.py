"""Recurrent layers over whole sequences (lecture 11). Gates come in PyTorch's order: i, f, g, o and r, z, n."""

from typing import Any

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import recurrent as kernels
from dlcourse.backend.kernels.linear import affine, column_sums
from dlcourse.errors import ShapeError

__all__ = ["gru", "lstm", "rnn"]


class Recurrent(Function):
    """What RNN and GRU share: a_t = W_ih x_t + b_ih (+ b_hh) for all steps at once, and the weights' gradients."""

    refuses_whole = True

    def project(self, x: Array, weight_ih: Array, bias: Array) -> Array:
        """(N, T, D) -> (N, T, G): one matrix product for all steps."""
        self.x, self.weight_ih = x, weight_ih
        rows = x.reshape(-1, x.shape[2])
        return affine(rows, weight_ih, bias).reshape(*x.shape[:2], len(weight_ih))

    def gradients(self, da: Array, db: Array, hidden: Array, h0: Array) -> tuple:
        """dx, dW_ih, dW_hh, db_ih, db_hh."""
        to_ih, to_hh, to_bias_ih, to_bias_hh = self.grad_buffers[-4:]
        weights = kernels.layer_gradients(da, db, self.x, hidden, h0, self.weight_ih, to_ih, to_hh)
        sums = ((da, to_bias_ih), (db, to_bias_hh))
        return *weights, *(column_sums(grad.reshape(-1, grad.shape[2]), to) for grad, to in sums)


class RNN(Recurrent):
    """h_t = phi(a_t), a_t = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, phi = tanh or ReLU.

    Backward in time, from the last step: dh_t = dy_t + W_hh^T da_(t+1) and da_t = phi'(a_t) dh_t. Then
    dx_t = W_ih^T da_t, dW_ih = sum_t da_t x_t^T, dW_hh = sum_t da_t h_(t-1)^T, db_ih = db_hh = sum_t da_t.

    Shapes: x (N, T, D), h0 (N, H), W_ih (H, D), W_hh (H, H), biases (H,); output (N, T, H). (Elman 1990.)
    """

    def __init__(self, relu: bool):
        self.relu = relu

    def forward(self, x: Array, h0: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> Array:
        self.h0, self.weight = h0, weight_hh
        self.hidden = kernels.rnn(self.project(x, weight_ih, bias_ih + bias_hh), h0, weight_hh, self.relu)
        return self.hidden

    def backward(self, dout: Array) -> tuple:
        da, dh0 = kernels.rnn_grad(dout, self.hidden, self.weight, self.relu)
        dx, *rest = self.gradients(da, da, self.hidden, self.h0)
        return dx, dh0, *rest


class LSTM(Function):
    """(a_i, a_f, a_g, a_o) = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh;  i, f, o = sigmoid(a_i, a_f, a_o), g = tanh(a_g);
    c_t = f c_(t-1) + i g;  h_t = o tanh(c_t).

    Backward in time, from the last step: dh_t = dy_t + W_hh^T da_(t+1),
    dc_t = dh_t o (1 - tanh^2 c_t) + dc_(t+1) f_(t+1), and with it
    da_i = dc_t g i (1 - i), da_f = dc_t c_(t-1) f (1 - f), da_g = dc_t i (1 - g^2), da_o = dh_t tanh(c_t) o (1 - o).
    Then dx_t = W_ih^T da_t, dW_ih = sum_t da_t x_t^T, dW_hh = sum_t da_t h_(t-1)^T, db_ih = db_hh = sum_t da_t.

    Shapes: x (N, T, D), h0 and c0 (N, H), W_ih (4H, D), W_hh (4H, H), biases (4H,); outputs (N, T, H) and the last cell
    (N, H). (Hochreiter & Schmidhuber 1997; Gers et al. 2000.)
    """

    refuses_whole = True

    def forward(
        self, x: Array, h0: Array, c0: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array
    ) -> tuple[Array, Array]:
        self.inputs = x, h0, c0, weight_ih, weight_hh, bias_ih + bias_hh
        self.hidden, cell, self.saved = kernels.lstm_layer(*self.inputs)
        return self.hidden, cell

    def backward(self, dout: Array | None, dcell: Array | None) -> tuple:
        xp = xp_of(self.hidden)
        dout = xp.zeros_like(self.hidden) if dout is None else dout
        known = self.inputs, self.hidden, self.saved
        *rest, dbias = kernels.lstm_layer_grad(dout, dcell, *known, self.grad_buffers[3:6])
        return *rest, dbias, dbias


class GRU(Recurrent):
    """(a_r, a_z, a_n) = W_ih x_t + b_ih, (b_r, b_z, b_n) = W_hh h_(t-1) + b_hh;
    r = sigmoid(a_r + b_r), z = sigmoid(a_z + b_z), n = tanh(a_n + r b_n);  h_t = (1 - z) n + z h_(t-1).

    Backward in time, from the last step: dh_t = dy_t + z_(t+1) dh_(t+1) + W_hh^T db_(t+1),
    da_n = dh_t (1 - z) (1 - n^2), db_n = r da_n, da_r = db_r = da_n b_n r (1 - r),
    da_z = db_z = dh_t (h_(t-1) - n) z (1 - z). Then dx_t = W_ih^T da_t, dW_ih = sum_t da_t x_t^T,
    dW_hh = sum_t db_t h_(t-1)^T, db_ih = sum_t da_t, db_hh = sum_t db_t.

    Shapes: x (N, T, D), h0 (N, H), W_ih (3H, D), W_hh (3H, H), biases (3H,); output (N, T, H). (Cho et al. 2014, with
    the reset gate after the product, as cuDNN and PyTorch have it.)
    """

    def forward(self, x: Array, h0: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> Array:
        self.h0, self.weight = h0, weight_hh
        self.hidden, self.gates, self.inner = kernels.gru(self.project(x, weight_ih, bias_ih), h0, weight_hh, bias_hh)
        return self.hidden

    def backward(self, dout: Array) -> tuple:
        da, db, dh0 = kernels.gru_grad(dout, self.hidden, self.gates, self.inner, self.h0, self.weight)
        dx, *rest = self.gradients(da, db, self.hidden, self.h0)
        return dx, dh0, *rest


class ReorderSteps(Function):
    """y_t = x_(i(t)) in each sequence, i a permutation that is its own inverse: dx_t = dy_(i(t)). x is (N, T, D), the
    index (N, T)."""

    def __init__(self, index: Array):
        self.index = index

    def forward(self, x: Array) -> Array:
        return x[xp_of(x).arange(len(x))[:, None], self.index]

    def backward(self, dout: Array) -> Array:
        return self.forward(dout)


def reorder_steps(x: Tensor, index: Array) -> Tensor:
    """The steps of each sequence of x (N, T, D) in the order of an index (N, T), where twice is as before."""
    return apply(ReorderSteps(index), x)


def rnn(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    nonlinearity: str = "tanh",
) -> Tensor:
    """One layer of ``torch.nn.RNN`` with ``batch_first``: hidden states (N, T, H) of x (N, T, D).

    Raises:
        ValueError: ``nonlinearity`` is neither "tanh" nor "relu".
        ShapeError: the shapes do not fit.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
    _check("rnn", 1, x, (h0,), weight_ih, weight_hh, bias_ih, bias_hh)
    return apply(RNN(nonlinearity == "relu"), x, h0, weight_ih, weight_hh, bias_ih, bias_hh)


def lstm(
    x: Tensor, h0: Tensor, c0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """One layer of ``torch.nn.LSTM`` with ``batch_first``: of x (N, T, D) hidden states (N, T, H), last cell.

    Raises:
        ShapeError: the shapes do not fit.
    """
    _check("lstm", 4, x, (h0, c0), weight_ih, weight_hh, bias_ih, bias_hh)
    return apply(LSTM(), x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)


def gru(x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """One layer of ``torch.nn.GRU`` with ``batch_first``: hidden states (N, T, H) of x (N, T, D).

    Raises:
        ShapeError: the shapes do not fit.
    """
    _check("gru", 3, x, (h0,), weight_ih, weight_hh, bias_ih, bias_hh)
    return apply(GRU(), x, h0, weight_ih, weight_hh, bias_ih, bias_hh)


def _check(name: str, gates: int, x: Tensor, states: tuple, weight_ih: Tensor, weight_hh: Tensor, *biases: Any) -> None:
    x, weight_ih, weight_hh = map(as_tensor, (x, weight_ih, weight_hh))
    shapes = [getattr(given, "shape", None) for given in (x, *states, weight_ih, weight_hh, *biases)]
    if x.ndim == 3 and weight_hh.ndim == 2:
        n, size, rows = len(x), weight_hh.shape[1], gates * weight_hh.shape[1]
        if shapes == [x.shape, *[(n, size)] * len(states), (rows, x.shape[2]), (rows, size), *[(rows,)] * len(biases)]:
            return
    first = ", ".join(["x (N, T, D)", *(f"{letter}0 (N, H)" for letter in "hc"[: len(states)])])
    raise ShapeError(
        f"{name}: expected {first}, weights ({gates}H, D) and ({gates}H, H), biases ({gates}H,), "
        f"got {', '.join(map(str, shapes))}"
    )
