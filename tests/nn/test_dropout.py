"""Dropout of whole channels and SELU's dropout: what is drawn, moments, gradients, and what is refused."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import tensor
from dlcourse.errors import ShapeError
from dlcourse.ops.dropout import ALPHA


@pytest.mark.parametrize(("layer", "shape"), [(nn.Dropout1d, (40, 5, 50)), (nn.Dropout2d, (40, 3, 4, 50))])
def test_a_channel_stays_or_goes_as_a_whole(layer: Callable, shape: tuple, device: str) -> None:
    x = tensor(np.ones(shape, "f"), requires_grad=True)
    y = layer(0.3)(x)
    y.backward(np.ones(shape, "f"))
    values = y.numpy().reshape(shape[0], -1, shape[-1])
    np.testing.assert_array_equal(values, values[:, :1].repeat(values.shape[1], 1))
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    assert set(np.unique(values)) == {0, np.float32(1 / 0.7)}
    assert abs((values[:, 0] == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5


@pytest.mark.parametrize("layer", [nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_mean_and_variance_stay(layer: Callable, device: str) -> None:
    x = tensor(np.random.default_rng(0).normal(size=(1000, 2, 100)).astype("f"), requires_grad=True)
    y = layer(0.4)(x)
    assert abs(y.numpy().mean()) < 0.03 and abs(y.numpy().std() - 1) < 0.03
    y.backward(np.ones(y.shape, "f"))
    scale = (0.6 * (1 + 0.4 * ALPHA**2)) ** -0.5
    kept = x.grad.numpy() != 0
    np.testing.assert_allclose(x.grad.numpy()[kept], scale, rtol=1e-6)
    np.testing.assert_allclose(y.numpy()[kept], scale * (x.numpy()[kept] + 0.4 * ALPHA), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y.numpy()[~kept], scale * -0.6 * ALPHA, rtol=1e-5)
    np.testing.assert_array_equal(layer(0.4).eval()(x).numpy(), x.numpy())


def test_a_nan_that_is_dropped_stays_one_and_an_infinite_gradient_does_not_pass() -> None:
    x = tensor(np.full((64, 1, 1), np.nan, "f"), requires_grad=True)
    y = F.dropout1d(x, 0.5)
    assert np.isnan(y.numpy()).all()
    y.backward(np.full(y.shape, np.inf, "f"))
    assert set(np.unique(x.grad.numpy())) == {0, np.inf}


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"])
def test_what_does_not_fit_is_named(name: str) -> None:
    function, x = getattr(F, name), tensor(np.ones(4, "f"))
    with pytest.raises(ValueError, match=f"{name}: p is a probability, got 1.5"):
        function(x, 1.5)
    with pytest.raises(TypeError, match=f"{name} takes no 'inplace'"):
        function(x, inplace=True)
    if name != "alpha_dropout":
        with pytest.raises(ShapeError, match=rf"{name}: expected x \(N, .*C\), got \(4,\)"):
            function(x, 0.5, True)
