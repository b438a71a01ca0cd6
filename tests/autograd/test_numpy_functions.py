"""NumPy's functions on tensors: recorded where the tensor has them too, refused where a gradient would be lost."""

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse.autograd import Tensor, no_grad, tensor
from dlcourse.autograd.numpy_functions import FUNCTIONS, UFUNCS

ARRAY = np.array([[0.5, -1.0], [2.0, 0.25]], "float32")


def leaf() -> Tensor:
    return tensor(np.array([[1.0, -2.0], [3.0, 0.5]], "float32"), requires_grad=True)


RECORDED = {
    "maximum": (lambda t: np.maximum(0, t), lambda t: F.maximum(t, 0)),
    "minimum": (lambda t: np.minimum(t, ARRAY), lambda t: F.minimum(t, ARRAY)),
    "exp": (np.exp, lambda t: t.exp()),
    "tanh": (np.tanh, F.tanh),
    "sin": (np.sin, lambda t: t.sin()),
    "arctan": (np.arctan, lambda t: t.atan()),
    "arctan2": (lambda t: np.arctan2(ARRAY, t), lambda t: tensor(ARRAY).atan2(t)),
    "logaddexp": (lambda t: np.logaddexp(t, 0.0), lambda t: t.logaddexp(tensor(0.0))),
    "prod": (lambda t: np.prod(t, axis=1), lambda t: t.prod(1)),
    "cumsum": (np.cumsum, lambda t: t.reshape(-1).cumsum(0)),
    "sort": (np.sort, lambda t: t.sort().values),
    "flip": (np.flip, lambda t: t.flip(0, 1)),
    "roll": (lambda t: np.roll(t, 1, axis=0), lambda t: t.roll(1, 0)),
    "repeat": (lambda t: np.repeat(t, 2), lambda t: t.repeat_interleave(2)),
    "tril": (np.tril, lambda t: t.tril()),
    "trace": (np.trace, lambda t: t.trace()),
    "outer": (lambda t: np.outer(ARRAY[0], t[0]), lambda t: tensor(ARRAY[0]).outer(t[0])),
    "broadcast_to": (lambda t: np.broadcast_to(t, (3, 2, 2)), lambda t: t.expand(3, -1, -1)),
    "square": (np.square, lambda t: t * t),
    "abs": (np.abs, lambda t: t.abs()),
    "power": (lambda t: np.power(t, 2), lambda t: t**2),
    "left matmul": (lambda t: ARRAY @ t, lambda t: tensor(ARRAY) @ t),
    "dot": (lambda t: np.dot(ARRAY, t), lambda t: tensor(ARRAY) @ t),
    "dot of a vector": (lambda t: np.dot(t, ARRAY[0]), lambda t: t @ tensor(ARRAY[0])),
    "right matmul": (lambda t: t @ ARRAY, lambda t: t @ tensor(ARRAY)),
    "left divide": (lambda t: ARRAY / t, lambda t: tensor(ARRAY) / t),
    "left subtract": (lambda t: ARRAY - t, lambda t: tensor(ARRAY) - t),
    "scalar": (lambda t: np.float64(2) * t, lambda t: t * 2),
    "sum": (lambda t: np.sum(t, axis=0), lambda t: t.sum(axis=0)),
    "mean": (lambda t: np.mean(t, 1, keepdims=True), lambda t: t.mean(1, True)),
    "max": (lambda t: np.max(t, axis=1), lambda t: t.max(axis=1)),
    "var": (lambda t: np.var(t, axis=0), lambda t: t.var(axis=0, correction=0)),
    "std": (lambda t: np.std(t), lambda t: t.var(correction=0).sqrt()),
    "clip": (lambda t: np.clip(t, -1, 1), lambda t: t.clip(-1, 1)),
    "concatenate whole numbers": (
        lambda t: np.concatenate([[[1, 2]], t]),
        lambda t: F.concatenate([tensor(np.float32([[1, 2]])), t]),
    ),
    "concatenate": (lambda t: np.concatenate([t, t], axis=1), lambda t: F.concatenate([t, t], 1)),
    "stack": (lambda t: np.stack([t, ARRAY]), lambda t: F.stack([t, tensor(ARRAY)])),
    "where": (lambda t: np.where(ARRAY > 0, t, 0), lambda t: F.where(ARRAY > 0, t, 0)),
    "transpose": (np.transpose, lambda t: t.T),
    "swapaxes": (lambda t: np.swapaxes(t, 0, 1), lambda t: t.T),
    "reshape": (lambda t: np.reshape(t, (4,)), lambda t: t.reshape(4)),
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_tensor_has_too_is_recorded(name: str) -> None:
    ours, theirs = leaf(), leaf()
    got, expected = (call(t) for call, t in zip(RECORDED[name], (ours, theirs), strict=True))
    assert isinstance(got, Tensor) and got.dtype == np.float32
    np.testing.assert_array_equal(got.detach(), expected.detach())
    (got * got).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_array_equal(ours.grad, theirs.grad)


def test_both_layers_of_a_net_written_with_numpy_train() -> None:
    x, first, second = tensor(ARRAY), leaf(), leaf()
    (np.maximum(0, x @ first) @ second).sum().backward()
    assert first.grad is not None and second.grad is not None


def _add_to_an_array(t: Tensor) -> None:
    total = np.zeros((2, 2))
    total += t


@pytest.mark.parametrize(
    "lose",
    [
        np.asarray,
        np.array,
        np.i0,
        np.median,
        lambda t: np.partition(t, 1),
        np.linalg.norm,
        np.add.reduce,
        _add_to_an_array,
        lambda t: np.sum(t, dtype=np.float64),
        lambda t: np.mean([t.sum(), t.sum()]),
        lambda t: np.linalg.solve(ARRAY, t),
        lambda t: np.concatenate([ARRAY, t], out=np.empty((4, 2), "float32")),
    ],
)
def test_a_gradient_is_not_lost_without_a_word(lose) -> None:
    with pytest.raises(RuntimeError, match=r"\.detach\(\)\.numpy\(\)"):
        lose(leaf())
    lose(leaf().detach())
    with no_grad():
        lose(leaf())


def test_what_has_no_gradient_works_on_any_tensor() -> None:
    t = leaf()
    assert np.argmax(t) == 2 and np.argmax(t, axis=1).tolist() == [0, 0]
    assert np.isfinite(t).all() and np.shape(t) == (2, 2) and np.ndim(t) == 2 and np.allclose(t, t)
    assert np.zeros_like(t).shape == (2, 2)
    assert (ARRAY > t).tolist() == (t < ARRAY).tolist() == (ARRAY > t.numpy()).tolist()
    assert isinstance(ARRAY == t, Tensor)
    assert float(t.sum()) == 2.5


def test_cupy_is_told_to_leave_the_operators_to_the_tensor(device: str) -> None:
    """CuPy asks the tensor and not its class: what is there but None makes it compute by itself, which it cannot."""
    t = tensor(ARRAY, requires_grad=True)
    assert t.__array_ufunc__ is None and type(t).__array_ufunc__ is not None
    for y in (t.data + t, t.data @ t, t.data - t, t.data / t):
        assert isinstance(y, Tensor) and y.requires_grad


def test_nothing_is_written_into_a_tensor() -> None:
    with pytest.raises(TypeError, match="out="):
        np.add(ARRAY, ARRAY, out=leaf().detach())


def test_every_entry_takes_what_numpy_gives_it() -> None:
    for ufunc, own in UFUNCS.items():
        result = own(*[leaf() + 3] * ufunc.nin)
        assert isinstance(result, Tensor), ufunc
    assert all(callable(own) for own in FUNCTIONS.values())


JOINING = {
    "vstack": lambda t: np.vstack([t, np.ones((1, 2), "float32")]),
    "vstack rows": lambda t: np.vstack([t[0], t[1]]),
    "hstack": lambda t: np.hstack([t, t]),
    "hstack rows": lambda t: np.hstack([t[0], t[1]]),
    "column_stack": lambda t: np.column_stack([t[0], t, t[1]]),
    "squeeze": lambda t: np.squeeze(t.reshape(1, 2, 1, 2)),
    "squeeze one": lambda t: np.squeeze(t.reshape(1, 2, 1, 2), axis=-2),
    "expand_dims": lambda t: np.expand_dims(t, 1),
    "expand_dims of two": lambda t: np.expand_dims(t, (0, -1)),
    "split": lambda t: np.split(t, 2, axis=1)[1],
    "split at": lambda t: np.split(t, [1])[0],
    "amax": lambda t: np.amax(t, axis=1),
    "amin": lambda t: np.amin(t),
}


@pytest.mark.parametrize("name", JOINING)
def test_shapes_and_joins_are_numpys_and_recorded(name: str) -> None:
    t = leaf()
    got, expected = JOINING[name](t), JOINING[name](np.asarray(t.detach()))
    assert isinstance(got, Tensor) and got.shape == expected.shape
    np.testing.assert_array_equal(got.detach(), expected)
    (got * got).sum().backward()
    assert np.count_nonzero(t.grad) > 0
