"""The base class of metrics: a running sum in float64 that stays on the device until it is read."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from dlcourse.backend import array_module
from dlcourse.backend.device import Array as Array
from dlcourse.errors import ShapeError


class Metric:
    """The mean of one value per element, over all elements of all batches.

    A subclass gives :meth:`values`, and :meth:`finish` where a mean of them is only the way to it; one that is no such
    mean overrides :meth:`update`, :meth:`compute`, :meth:`reset`.
    """

    title: ClassVar[str] = ""
    """What figures and reports call it; without one its registered name. A subclass does not inherit it."""
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    """In what it is measured, ``target`` being the target's own unit: ``target^2``, ``nats``; empty: a pure number."""
    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    """The kinds of data set that it can judge."""
    of_drawn: ClassVar[bool] = False
    """Whether it judges what a model draws, see :mod:`dlcourse.metrics.drawn`, in place of what it puts out."""
    class_names: tuple[str, ...] = ()
    """Those of the data, in the order of the labels, which the program supplies; empty where it is not known."""
    token_sizes: Mapping[str, np.ndarray] | None = None
    """Of a text how many ``characters`` and ``bytes`` each token stands for, (V,), as far as the program knows it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.total: Array = 0.0
        self.count: Any = 0

    def check_classes(self, classes: int) -> None:
        """Raise UserError where the metric means nothing for so many classes; asked before training."""

    def update(self, outputs: Array, targets: Array) -> None:
        """Take in one batch of the model's outputs and the data's targets; nothing waits for the device.

        Args:
            outputs: (N, K) predictions, or (N, C) logits; (N, T, C) for sequences, each element of which counts.
            targets: (N, K) floating point, or (N,) class labels; (N, T, K) or (N, T) for sequences.
        Raises:
            ShapeError: the shapes do not belong together, or :meth:`values` gives one number for the batch.
        """
        outputs, targets = as_rows(outputs, targets)
        values = self.values(outputs, targets)
        if not getattr(values, "shape", ()) or values.size == 1 < len(targets) and self._is_one(outputs, targets):
            raise ShapeError(
                f"{type(self).__qualname__}.values has to return an array with a value for each sample, (N,), whose "
                f"mean is the metric; of {len(targets)} samples it returned {_what(values)}"
            )
        self.total = self.total + values.sum(dtype="float64")
        self.count += values.size

    def _is_one(self, outputs: Array, targets: Array) -> bool:
        """Whether :meth:`values` gives one value whatever the batch: of one that looks at some samples only, each
        sample twice gives two."""
        xp = array_module(outputs)
        return self.values(xp.concatenate([outputs, outputs]), xp.concatenate([targets, targets])).size == 1

    def values(self, outputs: Array, targets: Array) -> Array:
        """The elements whose mean is the metric, such as one of each sample, (N,)."""
        raise NotImplementedError

    def compute(self) -> float:
        """The metric of all batches since :meth:`reset`; NaN when there were none."""
        return float(self.finish(float(self.total), self.count)) if self.count else float("nan")

    def finish(self, total: Any, count: int) -> Any:
        """From the sum of so many values to the metric; of a number or an array."""
        return total / count

    @classmethod
    def takes_many(cls) -> bool:
        """Whether it has a method ``compute_many(errors, targets)`` that no subclass contradicts.

        Of residuals (G, N, K, P) of P fits on each of G training sets and targets (G, N, K) it gives (G, P) metrics.
        """
        for each in cls.__mro__:
            if "compute_many" in vars(each):
                return True
            if vars(each).keys() & {"values", "update", "compute"}:
                return False
        return False


def _what(values: Any) -> str:
    one = f"an array of the shape {values.shape}" if getattr(values, "shape", ()) else f"one {type(values).__name__}"
    return "None: it lacks a return" if values is None else one


class ResidualMetric(Metric):
    """A metric of the residuals, each by itself: a subclass gives :meth:`of`."""

    def of(self, error: Array) -> Array:
        """The values of residuals of any shape."""
        raise NotImplementedError

    def values(self, outputs: Array, targets: Array) -> Array:
        return self.of(residuals(outputs, targets))

    def compute_many(self, errors: Array, targets: Array) -> Array:
        return self.finish(self.of(errors).sum(axis=(1, 2)), errors.shape[1] * errors.shape[2])


def as_rows(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Outputs (N, T, C) of sequences and their targets (N, T) or (N, T, K) as those of N T samples; others as they
    are."""
    if outputs.ndim == 3 and targets.shape[:2] == outputs.shape[:2]:
        return outputs.reshape(-1, outputs.shape[2]), targets.reshape(-1, *targets.shape[2:])
    return outputs, targets


def residuals(outputs: Array, targets: Array) -> Array:
    """targets - predictions in float64, (N, K).

    A model that predicts a distribution puts out the mean and the log of the standard deviation, (N, 2 K): then the
    mean is the prediction.
    """
    if targets.ndim == 2 and outputs.shape == (targets.shape[0], 2 * targets.shape[1]):
        outputs = outputs[:, : targets.shape[1]]
    if outputs.shape != targets.shape or targets.ndim != 2:
        raise ShapeError(f"expected outputs and targets of one shape (N, K), came {outputs.shape} and {targets.shape}")
    return targets.astype("float64") - outputs


def check_classes(outputs: Array, labels: Array) -> None:
    """Raise ShapeError unless outputs are (N, C) and labels N integers."""
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise ShapeError(f"expected logits (N, C) and labels (N,), came {outputs.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise ShapeError(f"expected integer class labels, came {labels.dtype}")


def log_probabilities(logits: Array, labels: Array) -> Array:
    """log softmax(z)_label of each row in float64, (N,); the row's maximum is taken off, so nothing overflows."""
    check_classes(logits, labels)
    xp = array_module(logits)
    shifted = logits.astype("float64")  # (N, C)
    shifted -= shifted.max(axis=1, keepdims=True)
    chosen = shifted[xp.arange(len(labels)), labels]
    return chosen - xp.log(xp.exp(shifted).sum(axis=1))
