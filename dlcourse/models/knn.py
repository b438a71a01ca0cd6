"""k nearest neighbors (lecture 3; Cover & Hart 1967)."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.neighbors import nearest
from dlcourse.errors import UserError
from dlcourse.models.base import Model, flat
from dlcourse.registry import register
from dlcourse.types import Count

__all__ = ["KNN"]


@register("model", "knn")
class KNN(Model):
    """The class that most of the k nearest training samples have; the lowest label where classes tie.

    There is nothing to train: ``optimizer: {name: closed_form}`` keeps the training split. The output is the share of
    the k votes that each class got, (N, C); its largest is the prediction.

    Args:
        in_shape: shape of one input, flattened.
        out_features: C, number of classes.
        k: number of neighbors that vote.
        metric: l1, the sum of absolute differences; l2, Euclidean; linf, the largest difference.

    Attributes:
        samples: the training inputs, (M, D).
        labels: their classes, (M,), int64.
    """

    tasks = ("classification",)
    confidence = "share of votes"

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        k: Count = 1,
        metric: Literal["l1", "l2", "linf"] = "l2",
    ):
        super().__init__(in_shape, out_features)
        self.k, self.metric = k, metric
        self.register_buffer("samples", np.zeros((0, self.in_features), dtype="float32"))
        self.register_buffer("labels", np.zeros(0, dtype="int64"))

    def fit(self, x: Array, y: Array) -> None:
        if y.dtype.kind not in "iu":
            raise UserError("model knn classifies: it needs labels, and this data set is for regression")
        if len(x) < self.k:
            raise UserError(f"model knn: k is {self.k}, but the training split has only {len(x)} samples")
        self.samples, self.labels = flat(x), y

    def neighbors(self, x: Array, k: int | None = None) -> tuple[Array, Array]:
        """Indices (N, k) into the training split of the nearest samples, and their distances (N, k), nearest first."""
        if not len(self.samples):
            raise UserError("model knn has no samples yet: fit it first (optimizer closed_form)")
        rows = flat(x).astype(self.samples.dtype, copy=False)
        return nearest(rows, self.samples, k or self.k, self.metric)

    def nearest_training_samples(self, x: Array, count: int) -> Array:
        return self.neighbors(x, min(count, len(self.samples)))[0]

    def confidences(self, outputs: np.ndarray) -> np.ndarray:
        """The shares of the votes, which the outputs are."""
        return outputs.astype(np.float64)

    def resize_buffers(self, state: Mapping[str, Any]) -> None:
        for name in ("samples", "labels"):  # as many as were kept, where a fresh model has none
            if name in state and state[name].shape[1:] == getattr(self, name).shape[1:]:
                self.register_buffer(name, np.zeros(state[name].shape, state[name].dtype))

    def forward(self, x: Tensor) -> Tensor:
        inputs = as_tensor(x).data
        indices, _ = self.neighbors(inputs)
        xp = backend.array_module(inputs)
        votes = self.labels[indices][:, :, None] == xp.arange(self.out_features)  # (N, k, C)
        return Tensor(votes.mean(axis=1).astype(self.samples.dtype))
