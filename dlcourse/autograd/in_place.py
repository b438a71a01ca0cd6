"""Changes of a tensor in place: ``x[i] = v``, ``copy_``, ``+=``.

Where no gradient is wanted they change the memory, and a graph that saved it notices (:mod:`.version`). Where one is
wanted the tensor becomes the result of an operation, in memory of its own: what was saved before stays as it was.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import shape, version
from dlcourse.autograd.base import TensorBase, apply, array_of, new
from dlcourse.autograd.creation import as_tensor
from dlcourse.autograd.graph import at_once, mode, no_grad
from dlcourse.backend.device import Array
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class InPlace(TensorBase):
    """What changes a tensor."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __add__(self, other: Any) -> "Tensor": ...

        def __sub__(self, other: Any) -> "Tensor": ...

        def __mul__(self, other: Any) -> "Tensor": ...

        def __truediv__(self, other: Any) -> "Tensor": ...

        def __floordiv__(self, other: Any) -> "Tensor": ...

        def __mod__(self, other: Any) -> "Tensor": ...

        def __pow__(self, other: Any) -> "Tensor": ...

        def __and__(self, other: Any) -> "Tensor": ...

        def __or__(self, other: Any) -> "Tensor": ...

        def __xor__(self, other: Any) -> "Tensor": ...

        def _index_item(self, part: Any) -> Any: ...

    def copy_(self, source: Any) -> Self:
        """Copy values in, broadcast to this shape and cast to this type; returns this tensor.

        Where ``source`` or this tensor needs a gradient the copy is differentiable, here and in all that changes a
        tensor: the tensor is from then on the result, and an array that it was made of keeps its values.

        Raises:
            RuntimeError: this tensor is a leaf that requires a gradient while operations are recorded, belongs to a
                graph while they are not, or shares its memory with another tensor where a gradient is wanted.
            ShapeError: the values do not fit.
        """
        return self._written("copy_", self._broadcast, source)

    def _broadcast(self, source: Any) -> "Tensor":
        if isinstance(source, TensorBase) and source.requires_grad:
            given = source.to(device=str(self.device), dtype=self.dtype)
            return apply(shape.BroadcastTo(self.shape), given) if _fits(given.shape, self.shape) else given
        array = backend.of(self.data).asarray(array_of(source), dtype=self.dtype)
        fits = _fits(array.shape, self.shape)  # one that does not is refused by its shape
        return new(backend.array_module(array).broadcast_to(array, self.shape) if fits else array)

    def fill_(self, value: Any) -> Self:
        """Make all elements this number; returns this tensor."""
        return self._written("fill_", self._broadcast, value)

    def zero_(self) -> Self:
        """Make all elements 0; returns this tensor."""
        return self._written("zero_", self._broadcast, 0)

    def __iadd__(self, other: Any) -> Self:
        return self._changed("+=", self.__add__, other)

    def __isub__(self, other: Any) -> Self:
        return self._changed("-=", self.__sub__, other)

    def __imul__(self, other: Any) -> Self:
        return self._changed("*=", self.__mul__, other)

    def __itruediv__(self, other: Any) -> Self:
        return self._changed("/=", self.__truediv__, other)

    def __ifloordiv__(self, other: Any) -> Self:
        return self._changed("//=", self.__floordiv__, other)

    def __imod__(self, other: Any) -> Self:
        return self._changed("%=", self.__mod__, other)

    def __ipow__(self, other: Any) -> Self:
        return self._changed("**=", self.__pow__, other)

    def __iand__(self, other: Any) -> Self:
        return self._changed("&=", self.__and__, other)

    def __ior__(self, other: Any) -> Self:
        return self._changed("|=", self.__or__, other)

    def __ixor__(self, other: Any) -> Self:
        return self._changed("^=", self.__xor__, other)

    def _changed(self, name: str, compute: Callable, other: Any) -> Self:
        """In place as :meth:`copy_`; for ``y[i] += 1``, which assigns to y after that, a new tensor will do."""
        if self._version is None or not version.is_operand(self):
            return self._written(name, compute, other)
        values = compute(other)
        self._check(name, values.data)
        return values

    def __setitem__(self, index: Any, value: Any) -> None:
        """``x[index] = value`` in place; differentiable where x or the value needs a gradient.

        Raises:
            RuntimeError: as :meth:`copy_` has it.
            ShapeError: the value does not fit.
        """
        unnamed = value if isinstance(value, TensorBase) and version.is_value(value) else None
        parts = index if isinstance(index, tuple) else (index,)
        plain = tuple(self._index_item(part) for part in parts)
        if not isinstance(value, TensorBase | int | float | np.generic):
            value = backend.of(self.data).asarray(value)
            if value.dtype.kind not in "biu" and not is_floating(value.dtype):
                raise ArgumentTypeError(f"x[...] = ...: expected numbers, got elements of type {value.dtype}")
            value = new(value)
        try:
            if self._wants_gradient("x[...] = ...", value, unnamed):
                self._become("x[...] = ...", self._replaced(plain, value))
            else:
                self._own("x[...] = ...", unnamed)
                self._assign(plain, array_of(value))
                self._note("x[...] = ...")
        except ValueError as error:
            raise ShapeError(f"x[...] = ...: {error}, in a tensor of shape {self.shape}") from error
        except OverflowError as error:
            raise ArgumentError(f"x[...] = ...: {error}; see x.to(dtype=...)") from error

    def _replaced(self, index: tuple, value: Any) -> "Tensor":
        """The tensor with these elements replaced; in its own memory where nothing else holds that."""
        alone = self.data.base is None and version.references(self, "data") == version.ALONE
        before = new(self.data, self.requires_grad)
        before._node, before._index = self._node, self._index
        values = as_tensor(value, like=self)
        values = values if values.dtype == self.dtype else values.to(dtype=self.dtype)
        with at_once():  # the operation saves nothing that could change
            return apply(shape.SetItem(index, in_place=alone), before, values)

    def _written(self, name: str, compute: Callable, other: Any) -> Self:
        if self._wants_gradient(name, other):
            return self._become(name, compute(other))
        with no_grad():
            values = compute(other).data
        self._check(name, values)
        self._own(name)
        self._write(values)
        self._note(name)
        return self

    def _wants_gradient(self, name: str, other: Any, unnamed: Any = None) -> bool:
        """Whether the change is to be differentiable.

        Args:
            unnamed: a view of this tensor that is gone after the change.
        Raises:
            RuntimeError: it cannot be.
        """
        several = other if isinstance(other, tuple | list) else (other,)
        given = any(isinstance(one, TensorBase) and one.requires_grad for one in several)
        if mode.recording and (self._node is not None or (given and not self.requires_grad and self._may_become)):
            self._refuse_shared(name, unnamed)
            return True
        if self._node is not None or (mode.recording and (self.requires_grad or given)):
            raise RuntimeError(
                f"{name} would change a tensor in place whose gradient is wanted: write it inside `with dl.no_grad():` "
                "to update a weight, or make a new tensor, as by w = w + 1"
            )
        return False

    def _refuse_shared(self, name: str, unnamed: Any) -> None:
        if version.is_shared(self, unnamed):
            raise RuntimeError(
                f"{name} would change a tensor that shares its memory with another (one is a view of the other), "
                "where a gradient is wanted: make a copy first, as by x = x.clone()"
            )

    def _own(self, name: str, unnamed: Any = None) -> None:
        """Get memory of its own where what is there has to stay, see :attr:`.version.Version.kept`.

        Raises:
            RuntimeError: another tensor has that memory, too.
        """
        if self._version is not None and self._version.kept:
            self._refuse_shared(name, unnamed)
            self.data, self._version = self.data.copy(), None

    _may_become = True
    """Whether the tensor may become the result of an operation; a parameter may not."""

    def _become(self, name: str, result: TensorBase) -> Self:
        """Be from now on what was computed, wherever this tensor is held."""
        self._check(name, result.data)
        result = result if result.dtype == self.dtype else result.to(dtype=self.dtype)
        self.data, self.requires_grad, self._version = result.data, result.requires_grad, None
        self._node, self._index = result._node, result._index
        return self

    def _check(self, name: str, values: Array) -> None:
        """Raise where the values do not fit in shape, or would lose what a fraction or a number is."""
        if values.shape != self.shape:
            raise ShapeError(f"{name}: values of shape {values.shape} do not fit a tensor of shape {self.shape}")
        if _rank(values.dtype) > _rank(self.dtype):
            raise ArgumentTypeError(
                f"{name}: a tensor of {self.dtype} cannot hold the result, which is {values.dtype}: make a new one, as "
                f"by x = x + y, or bring it to that type first, as by x = x.to(dtype={str(values.dtype)!r})"
            )

    def _write(self, values: Array) -> None:
        self.data[...] = values

    def _assign(self, index: tuple, values: Any) -> None:
        self.data[index] = values

    def _note(self, name: str) -> None:
        """Count a change of the memory."""
        if self._version is not None:
            self._version.change(name)


def _rank(dtype: Any) -> int:
    """0 of truth values, 1 of whole numbers, 2 of numbers with a fraction."""
    return 2 if is_floating(dtype) else int(dtype.kind != "b")


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array of the one shape broadcasts to the other."""
    try:
        return np.broadcast_shapes(given, wanted) == wanted
    except ValueError:
        return False
