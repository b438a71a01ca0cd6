"""Normalization layers by PyTorch's names and settings: averages, shapes that are refused, what they cost."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.summary import summarize


def normal(*shape: int) -> Tensor:
    return tensor((3 + np.random.default_rng(0).normal(size=shape)).astype("f"))


@pytest.mark.parametrize("settings", [{"affine": False}, {"track_running_stats": False}, {"bias": False}, {}])
@pytest.mark.parametrize(("name", "shape"), [("BatchNorm2d", (4, 5, 3, 6)), ("InstanceNorm1d", (4, 5, 6))])
def test_settings_are_pytorchs_in_training_and_evaluation(name: str, shape: tuple, settings: dict, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    settings = {"affine": True, "track_running_stats": True} | settings
    ours, theirs = getattr(nn, name)(6, **settings), getattr(torch.nn, name)(6, **settings)
    x = normal(*shape)
    for training in (True, True, False):
        y = ours.train(training)(x)
        expected = theirs.train(training)(torch.tensor(x.numpy()).movedim(-1, 1)).movedim(1, -1)
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    state = {key: value.numpy() for key, value in theirs.state_dict().items() if "num_batches" not in key}
    assert set(ours.state_dict()) == set(state)
    for key, value in state.items():
        np.testing.assert_allclose(ours.state_dict()[key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rms_norm_without_eps_takes_the_rounding_step(dtype: str, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    x = (1e-4 * np.random.default_rng(0).normal(size=(3, 8))).astype(dtype)
    expected = torch.nn.functional.rms_norm(torch.tensor(x), (8,)).numpy()
    np.testing.assert_allclose(F.rms_norm(tensor(x), 8).numpy(), expected, rtol=2e-3 if dtype == "float16" else 1e-5)


def test_operations_are_counted() -> None:
    x = normal(1, 5, 6)
    layers = nn.BatchNorm1d(6), nn.RMSNorm(6), nn.InstanceNorm1d(6), nn.LayerNorm((5, 6))
    assert [summarize(layer, x).flops for layer in layers] == [4 * 30, 4 * 30, 8 * 30, 8 * 30]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            lambda: nn.BatchNorm2d(3)(normal(2, 5, 3)),
            ShapeError,
            r"expected x \(N, H, W, C\) with C = 3, got \(2, 5, 3\)",
        ),
        (lambda: nn.BatchNorm1d(3)(normal(2, 5, 5, 3)), ShapeError, r"\(N, C\) or \(N, T, C\) with C = 3, got"),
        (lambda: nn.BatchNorm(3)(normal(2, 3, 5, 5)), ShapeError, "with C = 3, got"),
        (lambda: nn.InstanceNorm2d(3)(normal(2, 5, 5, 4)), ShapeError, "with C = 3, got"),
        (lambda: nn.InstanceNorm1d(3)(normal(2, 1, 3)), ShapeError, "one value a channel has no variance"),
        (lambda: nn.BatchNorm1d(3, momentum=None), ArgumentError, "momentum=None, is not offered"),
        (lambda: nn.RMSNorm(3)(normal(2, 4)), ShapeError, r"rms_norm: expected x \(..., 3\) and weight \(3,\), got"),
        (lambda: nn.RMSNorm(0), ArgumentError, "normalized_shape is lengths of at least 1"),
        (lambda: nn.LayerNorm((3, 2.0)), TypeError, "dim is a whole number, got 2.0"),
        (lambda: nn.LayerNorm(()), ArgumentError, "dim is lengths of at least 1"),
        (
            lambda: nn.LayerNorm(normalized_shape=3),
            TypeError,
            "LayerNorm takes no 'normalized_shape'; it is called dim",
        ),
        (lambda: F.rms_norm(normal(2, 4), normal(4)), ShapeError, "normalized_shape is the lengths of the last axes"),
        (lambda: nn.LocalResponseNorm(3)(normal(2, 4)), ShapeError, "of three axes at least"),
        (lambda: nn.LocalResponseNorm(0)(normal(2, 4, 3)), ValueError, "size: expected a whole number of at least 1"),
    ],
)
def test_what_does_not_fit_is_named(wrong: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        wrong()
