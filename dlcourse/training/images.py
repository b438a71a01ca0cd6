"""Wrongly classified images, nearest neighbors, augmented images: arrays for ``predictions.npz``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.data.dataset import Data

MAX_MISTAKES = 40
MAX_QUERIES = 10
SIMILAR = 10
MAX_AUGMENTED = 16


def image_arrays(data: Data, arrays: Mapping[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
    """Images in bytes (M, H, W, C), with their classes, of the test split where it is measured, else of the
    validation or the training split.

    ``mistakes``: the samples of a wrong class that the model is surest of, the surest first, with ``mistakes_true`` and
    ``mistakes_predicted`` (M,) and ``mistakes_confidence`` (M,), see :meth:`~dlcourse.models.base.Model.confidences`.

    ``queries``: the first sample of each class, with ``queries_true`` and ``queries_predicted`` (Q,), and the training
    samples that the model says are most similar, ``similar`` (Q, S, H, W, C) of the classes ``similar_true`` (Q, S).

    Args:
        arrays: ``{split}_output`` and ``{split}_y`` of the splits that were evaluated, the first so many samples.
    Returns:
        Nothing where inputs are no images in gray or color, or there are no classes.
    """
    if data.task != "classification" or len(data.in_shape) != 3 or data.in_shape[2] not in (1, 3):
        return {}
    split = next((split for split in ("test", "val", "train") if f"{split}_output" in arrays), None)
    if split is None:  # train.evaluate leaves all of them out
        return {}
    output, true = arrays[f"{split}_output"], arrays[f"{split}_y"]
    predicted, x = output.argmax(axis=1), data.splits[split].x
    found = _mistakes(x, true, predicted, model.confidences(output))
    found.update(_similar(data, x, true, predicted, model))
    return {name: as_bytes(array) if array.ndim > 3 else array for name, array in found.items()}


def augmented_arrays(data: Data, loader: Any) -> dict[str, np.ndarray]:
    """The first images of the first training step, in bytes (M, H, W, C): ``augmented_from`` as the data have them,
    ``augmented`` as the step sees them, and of classes ``augmented_shares`` (M, classes), their targets.

    Args:
        loader: of the training batches.
    Returns:
        Nothing where images are not augmented, or are not in gray or color.
    """
    if data.augment is None or len(data.in_shape) != 3 or data.in_shape[2] not in (1, 3):
        return {}
    rows = loader.numbers(0)[:MAX_AUGMENTED]
    x, y = (backend.to_host(array[: len(rows)]) for array in loader.batch(0))
    raw = x.astype(np.float64) * data.normalizer.scale + data.normalizer.shift
    before = np.asarray(data.to_train_on.x[rows])
    seen = raw.round().clip(0, 255).astype(np.uint8) if before.dtype == np.uint8 else raw
    found = {"augmented_from": as_bytes(before), "augmented": as_bytes(seen)}
    if data.task == "classification":
        found["augmented_shares"] = y if y.ndim == 2 else np.eye(data.out_features, dtype=np.float32)[y]
    return found


def _mistakes(x: Any, true: np.ndarray, predicted: np.ndarray, confidences: np.ndarray) -> dict[str, np.ndarray]:
    wrong = np.flatnonzero(predicted != true)
    sure = confidences[wrong, predicted[wrong]]
    order = np.argsort(-sure, kind="stable")[:MAX_MISTAKES]
    rows = wrong[order]
    return {
        "mistakes": np.asarray(x[rows]),
        "mistakes_true": true[rows],
        "mistakes_predicted": predicted[rows],
        "mistakes_confidence": sure[order],
    }


def _similar(data: Data, x: Any, true: np.ndarray, predicted: np.ndarray, model: Any) -> dict[str, np.ndarray]:
    _, rows = np.unique(true, return_index=True)
    rows = rows[:MAX_QUERIES]
    queries, train = np.asarray(x[rows]), data.splits["train"]
    indices = model.nearest_training_samples(backend.current().asarray(data.normalizer.apply(queries)), SIMILAR)
    if indices is None:
        return {}
    indices = backend.to_host(indices)
    return {
        "queries": queries,
        "queries_true": true[rows],
        "queries_predicted": predicted[rows],
        "similar": np.asarray(train.x[indices.reshape(-1)]).reshape(*indices.shape, *queries.shape[1:]),
        "similar_true": train.y[indices],
    }


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Bytes as they are; others, and bytes of a smaller range such as 0..16, stretched to 0..255."""
    if not images.size or (images.dtype == np.uint8 and images.max() > 127):
        return images.astype(np.uint8)
    low, high = float(images.min()), float(images.max())
    return np.round((images.astype(np.float64) - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
