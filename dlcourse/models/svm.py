"""The linear support vector machine (lecture 3)."""

import numpy as np

from dlcourse.models.softmax import SoftmaxModel
from dlcourse.registry import register

__all__ = ["LinearSVM"]


@register("model", "svm")
class LinearSVM(SoftmaxModel):
    """Scores s = W x + b, of which the largest is the prediction; trained with ``loss: {name: multiclass_hinge}``.

    The same map as the softmax classifier: what differs is the loss, and that the scores are no probabilities.
    """

    confidence = "score"

    def confidences(self, outputs: np.ndarray) -> np.ndarray:
        """The scores themselves."""
        return outputs.astype(np.float64)
