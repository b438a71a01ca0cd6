"""What losses take beside outputs: targets, labels and weights, on the outputs' device and checked against them."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor, promotion
from dlcourse.autograd.replicas import ReplicaArray
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

__all__: list[str] = []

F = TypeVar("F", bound=Callable)


def on_device(outputs: Tensor, targets: Any) -> Array:
    """Targets as an array where the outputs are, in their own type."""
    array, like = targets.data if isinstance(targets, Tensor) else targets, outputs.data
    if isinstance(array, ReplicaArray):
        return array
    like = like.values if isinstance(like, ReplicaArray) else like
    return array if type(array) is type(like) else backend.of(like).asarray(array)


def in_type_of(outputs: Tensor, targets: Any) -> Any:
    """Targets on the outputs' device in their type: an array, or a tensor where that needs a gradient."""
    if isinstance(targets, Tensor) and targets.requires_grad:
        return targets if targets.dtype == outputs.dtype else targets.to(dtype=outputs.dtype)
    return on_device(outputs, targets).astype(outputs.dtype, copy=False)


def of_one_shape(name: str, outputs: Any, *others: Any) -> tuple[Any, ...]:
    """Outputs as a tensor, and the others as :func:`in_type_of` brings them.

    Raises:
        ShapeError: the shapes differ, or the outputs are whole numbers.
    """
    outputs = as_tensor(outputs)
    promotion.refuse_whole(name, [outputs])
    others = tuple(in_type_of(outputs, each) for each in others)
    for targets in others:
        if targets.shape != outputs.shape:
            raise ShapeError(f"{name}: outputs {outputs.shape} and targets {targets.shape} have to have one shape")
    return outputs, *others


def labels_of(name: str, logits: Tensor, labels: Any, ignored: int | None = None) -> Array:
    """Labels (...) of logits (..., C), whole numbers in 0..C-1, or ``ignored``.

    Raises:
        ShapeError: the shapes do not fit, they are no whole numbers, or one is outside the classes.
    """
    array = on_device(logits, labels)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"{name}: labels are integers, got {array.dtype}")
    if logits.ndim < 1 or array.shape != logits.shape[:-1]:
        raise ShapeError(f"{name}: logits {logits.shape} need labels {logits.shape[:-1]}, got {array.shape}")
    # Negative labels would index from the end without a word. On a GPU the check would wait for the device at each
    # step; there the data layer has checked the labels when it read them, and the loss of one that is wrong is NaN.
    known = array if ignored is None else array[array != ignored] if isinstance(array, np.ndarray) else array
    if isinstance(known, np.ndarray) and known.size and (known.min() < 0 or known.max() >= logits.shape[-1]):
        advice = "; ignore_index=-100 leaves that label out" if ignored is None and known.min() == -100 else ""
        raise ShapeError(
            f"{name}: labels are in 0..{logits.shape[-1] - 1}, got {known.min()}..{known.max()}: the model has "
            f"{logits.shape[-1]} outputs, one for each class{advice}"
        )
    return array


def weight_of(name: str, outputs: Tensor, weight: Any) -> Array | None:
    """A factor for each loss, in the outputs' type, of a shape that broadcasts to theirs; None where none is given.

    Raises:
        ShapeError: it does not.
    """
    if weight is None:
        return None
    array = on_device(outputs, weight).astype(outputs.dtype, copy=False)
    try:
        fits = np.broadcast_shapes(array.shape, outputs.shape) == outputs.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: outputs {outputs.shape} need a weight that broadcasts to them, got {array.shape}")
    return array


def adds_up_by(reduction: str) -> Callable[[F], F]:
    """Say on a loss, by its attribute ``reduction``, how the losses of two batches make that of both, as nn.Loss has
    it."""

    def declare(loss: F) -> F:
        loss.reduction = reduction  # type: ignore[attr-defined]
        return loss

    return declare
