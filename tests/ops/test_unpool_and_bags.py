"""Mistakes with unpooling, Lp pooling and bags of embeddings are named; the values are compared in ``cases.py``."""

from collections.abc import Callable

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn
from dlcourse.errors import ArgumentError, AxisError, ShapeError

X, PLACES = dl.ones(1, 2, 2, 1), dl.tensor(np.arange(4).reshape(1, 2, 2, 1))
TABLE, FOUR = dl.ones(5, 3), dl.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: F.max_unpool2d(X[0], PLACES[0], 2), ShapeError, r"expected x \(N, H, W, C\) and indices of its shape"),
        (lambda: F.max_unpool2d(X, PLACES[:, :1], 2), ShapeError, "indices of its shape"),
        (lambda: F.max_unpool2d(X, X, 2), ShapeError, "whole numbers"),
        (lambda: F.max_unpool2d(X, 9 * PLACES, 2), AxisError, r"index 18 is not in 0\.\.15"),
        (
            lambda: F.max_unpool2d(X, PLACES, 2, output_size=(9, 9)),
            ArgumentError,
            r"output_size is \(4, 4\), each less",
        ),
        (lambda: F.max_unpool1d(X, PLACES, 2), ShapeError, r"max_unpool1d: expected x \(N, T, C\)"),
        (lambda: F.lp_pool2d(X, 0, 2), ArgumentError, "norm_type is not 0"),
        (lambda: F.lp_pool2d(X, 2, 3), ShapeError, r"the window \(3, 3\) does not fit"),
        (
            lambda: F.embedding_bag(FOUR, TABLE),
            ShapeError,
            r"indices \(M,\) with offsets \(B,\), got \(4,\) and no offs",
        ),
        (lambda: F.embedding_bag(FOUR, TABLE, [1, 2]), ShapeError, r"offsets ascend from 0 to at most 4, got \[1, 2\]"),
        (lambda: F.embedding_bag(FOUR, TABLE, [0, 3, 2]), ShapeError, "offsets ascend"),
        (lambda: F.embedding_bag(FOUR, TABLE, [0, 5]), ShapeError, "at most 4"),
        (lambda: F.embedding_bag(FOUR + 3, TABLE, [0]), ShapeError, r"indices are in 0\.\.4, got 3\.\.6"),
        (
            lambda: F.embedding_bag(FOUR, TABLE, [0], mode="min"),
            ArgumentError,
            "mode is 'sum', 'mean' or 'max', got 'm",
        ),
        (lambda: F.embedding_bag(FOUR, TABLE, [0], per_sample_weights=dl.ones(4)), ArgumentError, "are for mode='sum'"),
        (lambda: nn.EmbeddingBag(5, 3, mode="median"), ArgumentError, "EmbeddingBag: mode is"),
        (lambda: nn.EmbeddingBag(5, 3, sparse=True), TypeError, "takes no 'sparse'; leave it out: gradients are dense"),
        (lambda: nn.EmbeddingBag.from_pretrained(dl.ones(3)), ShapeError, "expected a table"),
    ],
)
def test_a_mistake_is_named(call: Callable, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_layers_pool_and_go_back(device: str) -> None:
    x = dl.tensor(np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("f"))
    pooled, places = nn.MaxPool2d(2, return_indices=True)(x)
    again = nn.MaxUnpool2d(2)(pooled, places)
    assert again.shape == x.shape and (again != 0).sum().item() == pooled.size
    np.testing.assert_array_equal(nn.MaxPool2d(2)(again.clamp(min=0)).numpy(), np.maximum(pooled.numpy(), 0))
    np.testing.assert_allclose(nn.LPPool2d(1, 3)(x).numpy(), 9 * nn.AvgPool2d(3)(x).numpy(), rtol=1e-5, atol=1e-6)


def test_a_bag_is_a_mean_of_rows_and_starts_from_a_table(device: str) -> None:
    table = dl.tensor(np.arange(15.0, dtype="f").reshape(5, 3))
    bag = nn.EmbeddingBag.from_pretrained(table, mode="mean", padding_idx=0)
    assert not bag.weight.requires_grad and bag.mode == "mean"
    found = bag(np.array([[1, 3], [0, 2], [0, 0]]))
    np.testing.assert_allclose(found.numpy(), [[6, 7, 8], [6, 7, 8], [0, 0, 0]])
    ends = nn.EmbeddingBag.from_pretrained(table, mode="max", include_last_offset=True)
    np.testing.assert_allclose(ends(np.array([1, 3, 2]), np.array([0, 2, 3])).numpy(), [[9, 10, 11], [6, 7, 8]])
