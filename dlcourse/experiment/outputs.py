"""A model's outputs for inputs as they are in the data's files."""

from typing import Any

import numpy as np

from dlcourse.backend import Backend, use
from dlcourse.data import Loader, Normalizer, Split
from dlcourse.data.normalizer import TargetNormalizer
from dlcourse.training.evaluation import outputs

__all__ = ["EVALUATION_BATCH", "predict"]

EVALUATION_BATCH = 256
"""Samples that go through a model at once where no gradient is wanted, if training does not take more."""


def predict(
    model: Any,
    x: np.ndarray,
    normalizer: Normalizer,
    backend: Backend,
    dtype: np.dtype,
    targets: TargetNormalizer | None = None,
) -> np.ndarray:
    """A model's outputs for raw inputs (N, *in_shape), both on the host.

    Args:
        dtype: the floating-point type that the model computes with.
        targets: scaled the targets that the model learned; its outputs are put back into their own units.
    """
    subset = Split(x, np.zeros((len(x), 1 if targets is None else len(targets.shift))), np.arange(len(x)))
    with use(backend):
        loader = Loader(subset, normalizer, backend, dtype, EVALUATION_BATCH, 0, shuffle=False, targets=targets)
        return np.concatenate([backend.to_host(output) for _, output, _ in outputs(model, loader)])
