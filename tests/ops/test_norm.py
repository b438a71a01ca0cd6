"""Statistics of normalization: what is far from 0, one value far from the rest, many rows, and any order of them."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn

SIZES = [(8000, 2), (8001, 3), (70000, 4), (4096, 96)]  # enough for every override, and odd ones


def far(kind: str, rows: int, columns: int, dtype: str = "float32") -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(rows, columns))
    if kind == "first":
        x[...] = 0
        x[0] = 300
    elif kind == "last":
        x[...] = 0
        x[-1] = -300
    elif kind == "outlier":
        x += 100
        x[0] = -1e4
    else:
        x += float(kind)
    return x.astype(dtype)


def exact(x: np.ndarray, dy: np.ndarray, axis: int, eps: float = 1e-5) -> list[np.ndarray]:
    """In float64: y, mean, variance, dx."""
    x, dy = x.astype("float64"), dy.astype("float64")
    mean, variance = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True)
    inverse = 1 / np.sqrt(variance + eps)
    xhat = (x - mean) * inverse
    dx = inverse * (dy - dy.mean(axis=axis, keepdims=True) - xhat * (dy * xhat).mean(axis=axis, keepdims=True))
    return [xhat, mean.squeeze(axis), variance.squeeze(axis), dx]


@pytest.mark.parametrize("kind", ["0", "first", "last", "outlier", "1000"])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_batch_norm_is_as_accurate_as_two_passes(kind: str, relu: bool, size: tuple, device: str) -> None:
    values = far(kind, *size)
    dy = np.random.default_rng(1).normal(size=size).astype("float32")
    x, running = dl.tensor(values, requires_grad=True), nn.BatchNorm(size[1], momentum=1.0)
    y = running(x, relu=relu)
    y.backward(dy)
    expected, mean, variance, _ = exact(values, dy, 0)
    state = running.state_dict()
    np.testing.assert_allclose(state["running_var"], variance * size[0] / (size[0] - 1), rtol=3e-6)
    np.testing.assert_allclose(state["running_mean"], mean, rtol=1e-6, atol=1e-6 * np.abs(values).max())
    # Of a mean of 1000 float32 holds 3e-5; so do numbers near it.
    tolerance = 1e-6 * max(5, abs(values.mean()), np.abs(expected).max())
    np.testing.assert_allclose(y.numpy(), np.maximum(expected, 0) if relu else expected, atol=tolerance)
    passed = np.where(y.numpy() > 0, dy, 0) if relu else dy
    dx = exact(values, passed, 0)[3]
    rounding = 1e-6 / np.sqrt(variance.min() + 1e-5)  # where terms of the size of dy cancel
    np.testing.assert_allclose(x.grad.numpy(), dx, atol=3e-5 * np.abs(dx).max() + rounding, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_batch_norm_does_not_depend_on_the_order_of_rows(dtype: str, device: str) -> None:
    values = far("outlier", 8000, 2, dtype)
    found = []
    for order in (slice(None), slice(None, None, -1), np.roll(np.arange(8000), 4000)):
        layer = nn.BatchNorm(2, momentum=1.0).to(dtype=dtype)
        y = layer(dl.tensor(np.ascontiguousarray(values[order]))).numpy()
        back = np.empty_like(y)
        back[order] = y
        found.append((back, layer.state_dict()["running_var"]))
    for y, variance in found[1:]:
        np.testing.assert_allclose(variance, found[0][1], rtol=1e-6)
        np.testing.assert_allclose(y, found[0][0], rtol=1e-3 if dtype == "float16" else 1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["0", "1000", "outlier"])
@pytest.mark.parametrize("size", [(50, 8), (300, 100), (7, 3000)])
def test_layer_and_group_norm_are_as_accurate(kind: str, size: tuple, device: str) -> None:
    values = far(kind, *size[::-1]).T.copy()  # what is far stands first in each row
    dy = np.random.default_rng(1).normal(size=size).astype("float32")
    expected, _, _, dx = exact(values, dy, 1)
    for normalize, shape in ((lambda x: F.layer_norm(x, size[1]), size), (lambda x: F.group_norm(x, 1), (*size, 1))):
        if shape != size:
            shape = (size[0], 1, 1, size[1])
        x = dl.tensor(values.reshape(shape), requires_grad=True)
        y = normalize(x)
        y.backward(dy.reshape(shape))
        tolerance = 1e-6 * max(5, abs(values.mean()), np.abs(expected).max())
        np.testing.assert_allclose(y.numpy().reshape(size), expected, atol=tolerance)
        np.testing.assert_allclose(x.grad.numpy().reshape(size), dx, atol=1e-4 * np.abs(dx).max())
