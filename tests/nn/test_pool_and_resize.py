"""Pooling, padding and resizing: places of maxima, names that say what is wrong, and 16 bits."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ArgumentError, ShapeError


def images(*shape: int) -> Tensor:
    return tensor(np.random.default_rng(0).normal(size=shape or (2, 7, 6, 3)).astype("f"))


@pytest.mark.parametrize(
    "pool",
    [
        lambda f, x: f.max_pool2d(x, (3, 2), 2, 1, (2, 1), ceil_mode=True, return_indices=True),
        lambda f, x: f.adaptive_max_pool2d(x, (4, 3), return_indices=True),
        lambda f, x: f.adaptive_max_pool2d(x, (7, 2), return_indices=True),
    ],
)
def test_places_of_maxima_are_pytorchs(pool: Callable, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    x = images()
    expected = pool(torch.nn.functional, torch.tensor(x.numpy()).movedim(-1, 1))
    for ours, theirs in zip(pool(F, x), expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.movedim(1, -1).numpy())
    assert not pool(F, x)[1].requires_grad


def test_an_infinity_stays_where_it_is_when_an_image_grows(device: str) -> None:
    x = np.zeros((1, 4, 4, 1), "f")
    x[0, 0, 0] = np.inf
    for settings in ({"size": 6}, {"size": 8, "mode": "bilinear"}):
        y = F.interpolate(tensor(x), **settings).numpy()
        assert np.isfinite(y[0, 3:, 3:]).all() and np.isinf(y[0, 0, 0])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: F.max_pool1d(images(), 2), ShapeError, r"max_pool1d: expected x \(N, T, C\), got \(2, 7, 6, 3\)"),
        (lambda: F.avg_pool2d(images(2, 7, 3), 2), ShapeError, r"expected x \(N, H, W, C\), got \(2, 7, 3\)"),
        (lambda: F.max_pool2d(images(), 2, padding=2), ShapeError, "more than half of the window"),
        (
            lambda: F.max_pool2d(images(), 4, dilation=3),
            ShapeError,
            r"window \(4, 4\) does not fit into \(2, 7, 6, 3\)",
        ),
        (lambda: F.avg_pool2d(images(), 2, divisor_override=0), ArgumentError, "divisor_override divides the sum"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3))(images()), ArgumentError, "output_size is one number or 2"),
        (lambda: nn.AdaptiveMaxPool1d(0)(images(2, 7, 3)), ValueError, "output_size: expected a whole number of at"),
        (lambda: F.adaptive_avg_pool2d(images(2, 0, 6, 3), 1), ShapeError, "expected at least one position"),
        (lambda: F.interpolate(images()), ArgumentError, "give size or scale_factor, one of them"),
        (lambda: F.interpolate(images(), 3, 2), ArgumentError, "give size or scale_factor, one of them"),
        (lambda: F.interpolate(images(), 3, mode="linear"), ShapeError, r"mode='linear' is for x \(N, T, C\), got"),
        (lambda: F.interpolate(images(), 3, mode="cubic"), ArgumentError, "mode is one of nearest, nearest-exact"),
        (lambda: F.interpolate(images(), 3, align_corners=True), ArgumentError, "align_corners is for linear"),
        (lambda: F.interpolate(images(), scale_factor=-1), ArgumentError, "scale_factor is positive"),
        (lambda: F.interpolate(images(), scale_factor=0.1), ShapeError, r"to \(0, 0\) leaves nothing"),
        (lambda: nn.PixelShuffle(2)(images()), ShapeError, r"with C a multiple of 4, got \(2, 7, 6, 3\)"),
        (lambda: nn.PixelUnshuffle(2)(images()), ShapeError, "H and W multiples of 2"),
        (lambda: nn.PixelShuffle(0.5)(images()), ArgumentError, "upscale_factor is a whole number of at least 1"),
        (lambda: F.unfold(images(), 9), ShapeError, r"into which \(9, 9\) fits"),
        (lambda: F.fold(images(2, 5, 9), 4, 3), ShapeError, r"expected x \(N, 4, C 9\) for output \(4, 4\)"),
        (lambda: nn.ZeroPad2d((1, 2, 3)), ValueError, "padding: expected a whole number, or four, got"),
        (lambda: nn.ZeroPad1d(1)(images()), ShapeError, r"ZeroPad1d: expected x \(N, T, C\), got"),
        (lambda: nn.ReflectionPad2d(6)(images()), ShapeError, "adds at most 5 to an axis of 6"),
    ],
)
def test_what_does_not_fit_is_named(wrong: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        wrong()
