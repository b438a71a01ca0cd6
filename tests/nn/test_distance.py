"""Layers of two inputs: what they give is tested with their functions, here what they refuse and count."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ArgumentError, AxisError, ShapeError
from dlcourse.nn.summary import summarize


def ones(*shape: int) -> Tensor:
    return tensor(np.ones(shape, "f"))


def test_layers_call_their_functions() -> None:
    a, b = tensor(np.arange(6.0).reshape(2, 3)), tensor(np.ones((2, 3)))
    assert nn.CosineSimilarity(0)(a, b).tolist() == F.cosine_similarity(a, b, 0).tolist()
    assert nn.PairwiseDistance(1, keepdim=True)(a, b).tolist() == F.pairwise_distance(a, b, 1, keepdim=True).tolist()
    layer = nn.Bilinear(3, 3, 4).to(dtype="float64")
    assert layer(a, b).tolist() == F.bilinear(a, b, layer.weight, layer.bias).tolist()


def test_multiplications_are_counted() -> None:
    """Of x1 with every matrix, and of the result with x2."""
    assert summarize(nn.Bilinear(3, 5, 4), ones(1, 3), ones(1, 5)).flops == 2 * 3 * 4 * 5 + 2 * 4 * 5


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: nn.Bilinear(3, 0, 4), ArgumentError, "sizes are at least 1"),
        (lambda: nn.Bilinear(3, 2.0, 4), TypeError, "in2_features is a whole number, got 2.0"),
        (lambda: nn.Bilinear(3, 5, 4)(ones(2, 3), ones(2, 4)), ShapeError, r"expected x1 \(..., I\), x2 \(..., J\)"),
        (lambda: nn.Bilinear(3, 5, 4)(ones(2, 3), ones(3, 5)), ShapeError, r"expected x1 \(..., I\), x2 \(..., J\)"),
        (lambda: nn.CosineSimilarity()(ones(2, 3), ones(4, 3)), ShapeError, r"got \(2, 3\) and \(4, 3\)"),
        (lambda: nn.CosineSimilarity(2)(ones(2, 3), ones(2, 3)), AxisError, "norm"),
        (lambda: nn.Unflatten(1, (2, 2))(ones(2, 3)), ShapeError, "an axis of length 3 does not go into"),
        (lambda: nn.Flatten(3)(ones(2, 3)), AxisError, "flatten"),
    ],
)
def test_what_does_not_fit_is_named(wrong: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        wrong()
