"""The confusion matrix: counts by true and predicted class."""

import numpy as np

from dlcourse.backend import array_module, to_host
from dlcourse.metrics.base import Array, check_classes


def confusion_matrix(outputs: Array, targets: Array) -> np.ndarray:
    """Count the samples of class i (row) that are taken for class j (column).

    Args:
        outputs: logits, (N, C).
        targets: labels, (N,).
    Returns:
        (C, C) integers on the host; matrices of several batches add up to that of the whole.
    """
    check_classes(outputs, targets)
    classes = outputs.shape[1]
    pairs = targets.astype("int64") * classes + outputs.argmax(axis=1)
    counts = array_module(outputs).bincount(pairs, minlength=classes * classes)
    return to_host(counts).reshape(classes, classes)
