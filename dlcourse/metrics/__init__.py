"""Metrics of a model's outputs, accumulated batch by batch, equal to those of the whole split.

A metric is one class in one file of this package, registered under the name that a config's ``metrics`` lists.
"""

from dlcourse.metrics.base import Metric
from dlcourse.metrics.confusion import confusion_matrix

__all__ = ["Metric", "confusion_matrix"]
