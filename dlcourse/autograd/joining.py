"""PyTorch's functions that join tensors, or bring them to one shape: ``dl.cat``, ``dl.stack``, ``dl.meshgrid``, ..."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.autograd import axes, shape
from dlcourse.autograd.base import apply, new
from dlcourse.autograd.creation import as_tensor, of_one_type
from dlcourse.backend import array_module
from dlcourse.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor

# fmt: off
__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "broadcast_tensors",
    "cartesian_prod", "cat", "column_stack", "combinations", "concat", "concatenate", "dstack", "hstack",
    "meshgrid", "row_stack", "stack", "vstack",
]
# fmt: on


def cat(tensors: Sequence[Any], dim: Any = 0, *, axis: Any = None) -> "Tensor":
    """The tensors joined along an axis that they have; of different types in the wider one. ``F.concatenate``."""
    alike = of_one_type("cat", tensors)
    dim = dim if axis is None else axis
    if any(one.ndim != 1 for one in alike):  # PyTorch's word for nothing is of shape (0,), whatever the others are
        alike = [one for one in alike if one.shape != (0,)]
    return apply(shape.Concatenate(axes.single("cat", alike[0].shape, dim)), *alike)


concat = concatenate = cat


def stack(tensors: Sequence[Any], dim: Any = 0, *, axis: Any = None) -> "Tensor":
    """The tensors, all of one shape, joined along a new axis."""
    alike = of_one_type("stack", tensors)
    dim = dim if axis is None else axis
    return apply(shape.Stack(axes.single("stack", (1, *alike[0].shape), dim)), *alike)


def hstack(tensors: Sequence[Any]) -> "Tensor":
    """Joined along the second axis, vectors along their only one."""
    several = [atleast_1d(one) for one in tensors]
    return cat(several, 0 if several and several[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> "Tensor":
    """Joined along the first axis; vectors are rows."""
    return cat([atleast_2d(one) for one in tensors])


row_stack = vstack


def dstack(tensors: Sequence[Any]) -> "Tensor":
    """Joined along the third axis; vectors are (1, N, 1), matrices (N, M, 1)."""
    return cat([atleast_3d(one) for one in tensors], 2)


def column_stack(tensors: Sequence[Any]) -> "Tensor":
    """Joined along the second axis; vectors are columns."""
    several = [as_tensor(one) for one in tensors]
    return cat([one.reshape(-1, 1) if one.ndim < 2 else one for one in several], 1)


def block_diag(*tensors: Any) -> "Tensor":
    """Matrices on the diagonal of one with zeros elsewhere; vectors are rows.

    Raises:
        ShapeError: one has more than two axes.
    """
    blocks = [one.reshape((1,) * (2 - one.ndim) + one.shape) for one in of_one_type("block_diag", tensors)]
    large = next((one for one in blocks if one.ndim != 2), None)
    if large is not None:
        raise ShapeError(f"block_diag: expected matrices, got shape {large.shape}")
    width, rows, before = sum(one.shape[1] for one in blocks), [], 0
    for one in blocks:
        sides = before, width - before - one.shape[1]
        rows.append(cat([_zero_columns(one, sides[0]), one, _zero_columns(one, sides[1])], 1))
        before += one.shape[1]
    return cat(rows)


# --- brought to one shape ---------------------------------------------------------------------------------------------


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one axis; one alone or a tuple."""
    return _each(lambda x: x.reshape(1) if x.ndim < 1 else x, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two axes, vectors as rows; one alone or a tuple."""
    return _each(lambda x: x.reshape((1,) * (2 - x.ndim) + x.shape) if x.ndim < 2 else x, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three axes: vectors are (1, N, 1), matrices (N, M, 1); one alone or a tuple."""

    def raised(x: "Tensor") -> "Tensor":
        return x.unsqueeze(-1) if x.ndim == 2 else x.reshape(1, -1, 1) if x.ndim < 2 else x

    return _each(raised, tensors)


def _each(change: "Callable[[Tensor], Tensor]", tensors: tuple) -> Any:
    several = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    found = tuple(change(as_tensor(one)) for one in several)
    return found[0] if several is tensors and len(found) == 1 else found


def broadcast_tensors(*tensors: Any) -> "tuple[Tensor, ...]":
    """The tensors, repeated to the one shape that they broadcast to."""
    several = [as_tensor(one) for one in tensors]
    wide = broadcast_shapes(*(one.shape for one in several))
    return tuple(apply(shape.BroadcastTo(wide), one) for one in several)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to.

    Raises:
        ShapeError: there is none.
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ShapeError(f"broadcast: the shapes {', '.join(map(str, shapes))} do not go together") from error


def meshgrid(*tensors: Any, indexing: str = "ij") -> "tuple[Tensor, ...]":
    """The coordinates of a grid: of vectors of lengths N and M two tensors (N, M), with ``indexing="xy"`` (M, N).

    Raises:
        ArgumentError: the indexing is neither.
        ShapeError: one has several axes.
    """
    several = _flat_vectors("meshgrid", tensors)
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing is 'ij' or 'xy', got {indexing!r}")
    turned = indexing == "xy" and len(several) > 1
    order = [1, 0, *range(2, len(several))] if turned else list(range(len(several)))
    sides = [tuple(-1 if i == order[place] else 1 for i in range(len(several))) for place in range(len(several))]
    return broadcast_tensors(*(one.reshape(side) for one, side in zip(several, sides, strict=True)))


def cartesian_prod(*tensors: Any) -> "Tensor":
    """All combinations of an element of each vector, (N M ..., number of vectors); of one vector the vector."""
    several = _flat_vectors("cartesian_prod", tensors)
    if len(several) == 1:
        return several[0]
    return stack([one.reshape(-1) for one in meshgrid(*several)], 1)


def combinations(input: "Tensor", r: int = 2, with_replacement: bool = False) -> "Tensor":
    """All choices of r elements of a vector in their order, (count, r).

    Raises:
        ShapeError: it is no vector.
    """
    if input.ndim != 1 or r < 0:
        raise ShapeError(f"combinations: expected a vector and r of at least 0, got shape {input.shape} and {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(len(input)), r)), dtype=np.int64).reshape(-1, r)
    return input[places]


def _flat_vectors(name: str, tensors: tuple) -> "list[Tensor]":
    several = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    alike = of_one_type(name, several)
    if any(one.ndim > 1 for one in alike):
        raise ShapeError(f"{name}: expected vectors, got shapes {', '.join(str(one.shape) for one in alike)}")
    return [one.reshape(-1) for one in alike]


def _zero_columns(like: "Tensor", count: int) -> "Tensor":
    return new(array_module(like.data).zeros((like.shape[0], count), dtype=like.dtype))
