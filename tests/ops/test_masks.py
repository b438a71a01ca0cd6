"""A gradient that a mask holds back is exactly 0, whatever comes from above: also infinity and NaN."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse import functional as F
from dlcourse.autograd import Tensor, tensor
from dlcourse.backend.cpu import onednn
from dlcourse.backend.kernels import activation as activation_kernels
from dlcourse.errors import ShapeError
from dlcourse.ops.conv import conv2d_relu
from dlcourse.ops.linear import linear_relu
from dlcourse.ops.residual import add_relu

ABOVE = [np.inf, -np.inf, np.nan, 2.0]


def leaf(values: object, dtype: str = "float32") -> Tensor:
    return tensor(np.array(values, dtype), requires_grad=True)


def grad(y: Tensor, x: Tensor, above: object) -> np.ndarray:
    with np.errstate(all="ignore"):
        y.backward(np.broadcast_to(np.asarray(above, y.dtype), y.shape))
    return x.grad.numpy()


# What to compute of x = [-1, 0, 2], and the factor that each element's gradient has to get; None: not looked at.
MASKED = {
    "relu": (F.relu, [0, 0, 1]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.0), [0, 0, 1]),
    "clip": (lambda x: x.clip(-0.5, 1), [0, 1, 0]),
    "clip below": (lambda x: x.clip(min=0), [0, 1, 1]),
    "clip array": (lambda x: x.clip(tensor([-0.5, 0.0, 3.0])), [0, 1, 0]),
    "maximum": (lambda x: F.maximum(x, 0), [0, 0.5, 1]),
    "minimum": (lambda x: F.minimum(0, x), [1, 0.5, 0]),
    "where": (lambda x: F.where(np.array([0, 1, 2]), x, 5.0), [0, 1, 1]),
    "where not": (lambda x: F.where(x > 0, 5.0, x), [1, 1, 0]),
    "where bytes": (lambda x: F.where(np.array([0, 1, 1], "uint8"), x, x.detach()), [0, 1, 1]),
    "abs": (lambda x: x.abs(), [-1, 0, 1]),
    "max": (lambda x: x.max(keepdims=True), [0, 0, 1]),
    "max dim": (lambda x: x.max(dim=0, keepdim=True).values, [0, 0, 1]),
    "min": (lambda x: x.min(), [1, 0, 0]),
    "pow 0": (lambda x: x**0, [0, 0, 0]),
    "add_relu": (lambda x: add_relu(x, x.detach() * 0), [0, 0, 1]),
    "linear_relu": (lambda x: linear_relu(x[:, None], tensor([[1.0]]), tensor([0.0])), [0, 0, 1]),
    "conv2d_relu": (
        lambda x: conv2d_relu(x.reshape(3, 1, 1, 1), tensor(np.ones((1, 1, 1, 1), "f")), tensor([0.0])),
        [0, 0, 1],
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x.reshape(1, 1, 3, 1), (1, 3)), [0, 0, 1]),
    "rnn": (lambda x: _rnn(x.reshape(3, 1, 1)), [0, 0, 1]),
}


def _rnn(x: Tensor) -> Tensor:
    one, nothing = tensor([[1.0]]), tensor([0.0])
    return F.rnn(x, tensor(np.zeros((3, 1), "f")), one, one * 0, nothing, nothing, "relu")


@pytest.mark.parametrize("above", ABOVE)
@pytest.mark.parametrize("name", MASKED)
def test_what_is_masked_gets_nothing(name: str, above: float, device: str) -> None:
    compute, factors = MASKED[name]
    x = leaf([-1, 0, 2])
    if name in ("linear_relu", "conv2d_relu", "rnn") and not np.isfinite(above):
        factors = [factor if factor == 0 else np.nan for factor in factors]  # goes through a product of matrices
    got = grad(compute(x), x, above)
    with np.errstate(invalid="ignore"):
        expected = np.where(np.array(factors) == 0, 0, np.float32(above) * np.float32(factors))
    if np.isnan(factors).any():
        np.testing.assert_array_equal(got[np.array(factors) == 0], 0)
    else:
        np.testing.assert_array_equal(got, expected)


CHAINS = {
    "relu": lambda x: F.relu(x).sqrt(),
    "relu log": lambda x: F.relu(x).log(),
    "relu inverse": lambda x: 1 / F.relu(x),
    "where": lambda x: F.where(x > 0, x, 0.0).sqrt(),
    "where behind": lambda x: F.where(x > 0, x.sqrt(), 0.0),
    "where log": lambda x: F.where(x > 0, x.log(), 0.0),
    "clip": lambda x: x.clip(min=-0.0).sqrt(),
    "maximum": lambda x: F.maximum(x, 0).sqrt(),
    "minimum": lambda x: (-F.minimum(-x, 0)).sqrt(),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", CHAINS)
def test_an_infinite_slope_behind_a_mask_does_not_come_through(name: str, dtype: str, device: str) -> None:
    x = leaf([-1, 4], dtype)
    with np.errstate(all="ignore"):
        CHAINS[name](x).sum().backward()
    slope = {"relu log": 0.25, "where log": 0.25, "relu inverse": -1 / 16}.get(name, 0.25)
    np.testing.assert_allclose(x.grad.numpy().astype("f8"), [0, slope], rtol=1e-3)


@pytest.mark.parametrize("above", [np.inf, np.nan])
@pytest.mark.parametrize("count", [5, 1 << 15])
def test_large_and_small_arrays_go_by_one_rule(count: int, above: float, device: str) -> None:
    """From some size on a library takes over."""
    values = np.tile(np.float32([-1, 2]), (count, 1))
    for compute in (F.relu, lambda x: add_relu(x, x.detach() * 0), lambda x: F.dropout(x, 0.5)):
        x = leaf(values)
        y = compute(x)
        masked = backend.to_host(y.data) == 0
        found = grad(y, x, above)
        assert (found[masked] == 0).all() and not np.isfinite(found[~masked]).any()


@pytest.mark.parametrize("rows", [3, 6000])
def test_bias_gradients_beside_a_relu_keep_infinities_in_their_columns(rows: int, device: str) -> None:
    y = np.tile(np.float32([0, 1, 2]), (rows, 1))
    dout = np.ones_like(y)
    dout[0, :2] = np.inf
    from dlcourse.backend.kernels.linear import relu_bias_grad

    dz, sums = relu_bias_grad(*(backend.current().asarray(a) for a in (dout, y)), None)
    np.testing.assert_array_equal(backend.to_host(sums), [0, np.inf, rows])
    np.testing.assert_array_equal(backend.to_host(dz)[:, 0], np.zeros(rows))


@pytest.mark.parametrize("rows", [8, 8000])
def test_a_batch_norms_relu_masks(rows: int, device: str) -> None:
    x = leaf(np.random.default_rng(0).normal(size=(rows, 4)))
    y = F.batch_norm(x, None, None, training=True, relu=True)
    values = backend.to_host(y.data)
    above = np.where(values > 0, 1, np.nan).astype("f")
    assert np.isfinite(grad(y, x, above)).all()
    x, residual = leaf(x.numpy()), leaf(x.numpy())
    y = F.batch_norm(x, None, None, training=True, relu=True, residual=residual)
    above = np.where(backend.to_host(y.data) > 0, 1, np.nan).astype("f")
    assert np.isfinite(grad(y + y, x, above)).all() and np.isfinite(residual.grad.numpy()).all()


def test_a_hinge_ignores_what_is_ruled_out(device: str) -> None:
    scores = leaf([[1.0, -np.inf, 0.5], [2.0, 0.0, 1.5]])
    loss = F.multiclass_hinge(scores, np.array([0, 0]))
    loss.backward()
    assert loss.item() == 0.5
    np.testing.assert_array_equal(scores.grad.numpy(), [[-0.5, 0, 0.5], [-0.5, 0, 0.5]])


@pytest.mark.skipif(not onednn.available(), reason="oneDNN is not installed (extra: cpu)")
def test_onednn_is_asked_for_the_gradient_where_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    from dlcourse.backend.cpu import activation

    monkeypatch.setattr(activation, "in_pieces", lambda *arguments: pytest.fail("oneDNN would have done"))
    rng = np.random.default_rng(0).normal(size=(2, 1 << 15)).astype("f")
    activation_kernels.relu_grad(rng[0], np.maximum(rng[1], 0))


@pytest.mark.parametrize("name", ["where", "clip", "maximum", "minimum", "abs", "sqrt", "max", "max dim"])
def test_ties_and_nan_go_as_in_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    calls = {
        "where": (lambda t, a, b: F.where(a > b, a, b), lambda t, a, b: t.where(a > b, a, b)),
        "clip": (lambda t, a, b: a.clip(b, 1.0), lambda t, a, b: t.clamp(a, b, t.ones_like(b))),
        "maximum": (lambda t, a, b: F.maximum(a, b), lambda t, a, b: t.maximum(a, b)),
        "minimum": (lambda t, a, b: F.minimum(a, b), lambda t, a, b: t.minimum(a, b)),
        "abs": (lambda t, a, b: a.abs() * b, lambda t, a, b: a.abs() * b),
        "sqrt": (lambda t, a, b: a.sqrt() + b, lambda t, a, b: a.sqrt() + b),
        "max": (lambda t, a, b: a.max() * b, lambda t, a, b: a.max() * b),
        "max dim": (lambda t, a, b: a.max(dim=0).values * b, lambda t, a, b: a.max(0).values * b),
    }
    first = np.array([1.0, 2.0, 2.0, -1.0, 0.0, 1.0, np.nan, 3.0])
    second = np.array([1.0, 2.0, 1.0, 0.0, 0.0, -1.0, 1.0, 5.0])
    if name in ("max", "max dim"):
        first = np.array([1.0, 3.0, 2.0, 3.0, 0.0, 1.0, 3.0, 3.0])
    ours = [leaf(a, "float64") for a in (first, second)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (first, second)]
    with np.errstate(invalid="ignore", divide="ignore"):
        calls[name][0](None, *ours).sum().backward()
    calls[name][1](torch, *theirs).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())


def test_a_condition_of_fractions_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"where: a condition is boolean or whole numbers, got float32"):
        F.where(np.float32([0, -np.inf]), leaf([1, 2]), 0.0)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int64", "uint32"])
def test_any_whole_number_but_0_holds(kind: str, device: str) -> None:
    a, b = leaf([[1, 2]]), leaf([3, 4])
    flags = np.array([[2], [0]]).astype(kind)
    for condition in (flags, tensor(flags), flags.tolist()):
        a.grad = b.grad = None
        y = F.where(condition, a, b)
        assert y.tolist() == [[1, 2], [3, 4]]
        y.sum().backward()
        assert a.grad.tolist() == [[1, 1]] and b.grad.tolist() == [1, 1]
