"""Operators on tensors: arithmetic, changes in place, comparison, indexing."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import elementwise, linalg, shape
from dlcourse.autograd.base import TensorBase, apply, array_of, check_devices, new
from dlcourse.autograd.creation import as_tensor, paired
from dlcourse.autograd.graph import mode, no_grad
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Operators(TensorBase):
    """A tensor's operators."""

    __slots__ = ()

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> "Tensor":
        return apply(elementwise.Add(), *paired(self, other))

    def __radd__(self, other: Any) -> "Tensor":
        return apply(elementwise.Add(), *paired(other, self))

    def __sub__(self, other: Any) -> "Tensor":
        return apply(elementwise.Sub(), *paired(self, other))

    def __rsub__(self, other: Any) -> "Tensor":
        return apply(elementwise.Sub(), *paired(other, self))

    def __mul__(self, other: Any) -> "Tensor":
        return apply(elementwise.Mul(), *paired(self, other))

    def __rmul__(self, other: Any) -> "Tensor":
        return apply(elementwise.Mul(), *paired(other, self))

    def __truediv__(self, other: Any) -> "Tensor":
        return apply(elementwise.Div(), *paired(self, other))

    def __rtruediv__(self, other: Any) -> "Tensor":
        return apply(elementwise.Div(), *paired(other, self))

    def __pow__(self, other: Any) -> "Tensor":
        return apply(elementwise.Pow(), *paired(self, other))

    def __rpow__(self, other: Any) -> "Tensor":
        return apply(elementwise.Pow(), *paired(other, self))

    def __matmul__(self, other: Any) -> "Tensor":
        return apply(linalg.MatMul(), *paired(self, as_tensor(other, like=self)))

    def __rmatmul__(self, other: Any) -> "Tensor":
        return apply(linalg.MatMul(), *paired(as_tensor(other, like=self), self))

    def __neg__(self) -> "Tensor":
        return apply(elementwise.Neg(), self)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> "Tensor":
        return apply(elementwise.Abs(), self)

    def __mod__(self, other: Any) -> "Tensor":
        return apply(elementwise.Remainder(), *paired(self, other))

    def __rmod__(self, other: Any) -> "Tensor":
        return apply(elementwise.Remainder(), *paired(other, self))

    def __floordiv__(self, other: Any) -> "Tensor":
        return self._whole_quotient(*paired(self, other))

    def __rfloordiv__(self, other: Any) -> "Tensor":
        return self._whole_quotient(*paired(other, self))

    def _whole_quotient(self, a: Any, b: Any) -> "Tensor":
        if mode.recording and any(getattr(one, "requires_grad", False) for one in (a, b)):
            raise RuntimeError("x // y has no gradient: take (x / y).floor(), whose gradient is 0, or x.detach() // y")
        a, b = array_of(a), array_of(b)
        check_devices("//", [a, b])
        found = a // b
        return new(np.asarray(found) if isinstance(found, np.generic) else found)

    # --- of booleans and bits -----------------------------------------------------------------------------------------

    def __and__(self, other: Any) -> "Tensor":
        return self._bits("&", other, lambda a, b: a & b)

    def __or__(self, other: Any) -> "Tensor":
        return self._bits("|", other, lambda a, b: a | b)

    def __xor__(self, other: Any) -> "Tensor":
        return self._bits("^", other, lambda a, b: a ^ b)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> "Tensor":
        return self._bits("~", self, lambda a, b: ~a)

    def _bits(self, name: str, other: Any, compute: Callable) -> "Tensor":
        other = self._comparand(other)
        for one in (self.data, other):
            if not isinstance(one, int) and getattr(one, "dtype", np.dtype(float)).kind not in "biu":
                kind = getattr(one, "dtype", type(one).__name__)
                raise ArgumentTypeError(
                    f"{name} goes with booleans and whole numbers, got {kind}; compare, as in x > 0"
                )
        found = compute(self.data, other)
        return new(np.asarray(found) if isinstance(found, np.generic) else found)

    # --- in place -----------------------------------------------------------------------------------------------------

    def copy_(self, source: Any) -> Self:
        """Copy values in, broadcast to this shape and cast to this type; returns this tensor.

        Raises:
            RuntimeError: this tensor belongs to a graph, or would while operations are recorded.
            ShapeError: the values do not fit.
        """
        return self._written("copy_", self._broadcast, source)

    def _broadcast(self, source: Any) -> "Tensor":
        array = backend.of(self.data).asarray(array_of(source), dtype=self.dtype)
        try:
            return new(backend.array_module(array).broadcast_to(array, self.shape))
        except ValueError:
            return new(array)  # whose shape is then refused

    def fill_(self, value: float) -> Self:
        """Make all elements this number; returns this tensor."""
        return self.copy_(value)

    def zero_(self) -> Self:
        """Make all elements 0; returns this tensor."""
        return self.copy_(0)

    def __iadd__(self, other: Any) -> Self:
        return self._changed("+=", self.__add__, other)

    def __isub__(self, other: Any) -> Self:
        return self._changed("-=", self.__sub__, other)

    def __imul__(self, other: Any) -> Self:
        return self._changed("*=", self.__mul__, other)

    def __itruediv__(self, other: Any) -> Self:
        return self._changed("/=", self.__truediv__, other)

    def _changed(self, name: str, compute: Callable, other: Any) -> Self:
        """In place for a leaf that requires a gradient, as ``w -= lr * w.grad`` under ``no_grad`` means it; of any
        other tensor a new one, so that no array that it shares is changed."""
        return self._written(name, compute, other) if self._node is None and self.requires_grad else compute(other)

    def __setitem__(self, index: Any, value: Any) -> None:
        """``x[index] = value`` in place, for tensors whose gradient is not wanted, or inside ``no_grad``.

        Raises:
            RuntimeError: this tensor belongs to a graph, or would while operations are recorded.
            ShapeError: the value does not fit.
        """
        parts = index if isinstance(index, tuple) else (index,)
        plain = tuple(self._index_item(part) for part in parts)
        self._written("x[...] = ...", lambda given: self._replaced(plain, given), value)

    def _replaced(self, index: tuple, value: Any) -> "Tensor":
        values = self.data.copy()
        given = array_of(value)
        if not isinstance(given, int | float):
            given = backend.of(self.data).asarray(given)
        try:
            values[index] = given
        except ValueError as error:
            raise ShapeError(f"x[...] = ...: {error}, in a tensor of shape {self.shape}") from error
        return new(values)

    def _written(self, name: str, compute: Callable, other: Any) -> Self:
        if self._node is not None or (mode.recording and self.requires_grad):
            raise RuntimeError(
                f"{name} would change a tensor in place whose gradient is wanted: write it inside `with dl.no_grad():` "
                "to update a weight, or make a new tensor, as by w = w + 1"
            )
        with no_grad():
            values = compute(other).data
        if values.shape != self.shape:
            raise ShapeError(f"{name}: values of shape {values.shape} do not fit a tensor of shape {self.shape}")
        self._write(values)
        if self._version is not None:
            self._version.change(name)
        return self

    def _write(self, values: Array) -> None:
        self.data[...] = values

    # --- comparison: boolean tensors without a graph ------------------------------------------------------------------

    def __eq__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return new(self.data == self._comparand(other))

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return new(self.data != self._comparand(other))

    def __lt__(self, other: Any) -> "Tensor":
        return new(self.data < self._comparand(other))

    def __le__(self, other: Any) -> "Tensor":
        return new(self.data <= self._comparand(other))

    def __gt__(self, other: Any) -> "Tensor":
        return new(self.data > self._comparand(other))

    def __ge__(self, other: Any) -> "Tensor":
        return new(self.data >= self._comparand(other))

    def _comparand(self, other: Any) -> Any:
        """What to compare with: a number as it is, anything of several as an array on this device."""
        if isinstance(other, list | tuple):
            return backend.of(self.data).asarray(other)
        other = array_of(other)
        if isinstance(other, np.generic):
            return other.item()  # NumPy's float64 scalar would compare a float32 in float64
        if hasattr(other, "dtype"):
            check_devices("comparison", [self.data, other])
        return other

    __hash__ = object.__hash__  # by identity: two tensors are never the same key because their values agree

    # --- indexing -----------------------------------------------------------------------------------------------------

    def __contains__(self, value: Any) -> bool:
        """Whether any element equals the value, as in PyTorch and NumPy."""
        return bool((self == value).data.any())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> "Tensor":
        parts = index if isinstance(index, tuple) else (index,)
        plain = tuple(self._index_item(part) for part in parts)
        return apply(shape.GetItem(plain if isinstance(index, tuple) else plain[0]), self)

    def _index_item(self, part: Any) -> Any:
        """A slice or number as it is; indices and masks as an array on this tensor's device."""
        part = array_of(part)
        if isinstance(part, list) and not part:
            part = np.zeros(0, dtype=np.int64)  # as an array an empty list would hold floating-point numbers
        return backend.of(self.data).asarray(part) if isinstance(part, list) or hasattr(part, "dtype") else part

    def __iter__(self) -> Iterator["Tensor"]:
        if self.ndim == 0:
            raise TypeError("a tensor without axes cannot be iterated")
        return (self[i] for i in range(len(self)))
