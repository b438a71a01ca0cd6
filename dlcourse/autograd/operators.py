"""Operators on tensors: arithmetic, comparison, indexing."""

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import elementwise, linalg, shape
from dlcourse.autograd.base import apply, array_of, check_devices, without_gradient
from dlcourse.autograd.creation import as_tensor, paired
from dlcourse.autograd.graph import mode
from dlcourse.autograd.in_place import InPlace
from dlcourse.errors import ArgumentTypeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Operators(InPlace):
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
        arrays = [array_of(a), array_of(b)]
        check_devices("//", arrays)
        return without_gradient("floor_divide", operator.floordiv(*arrays), a, b)

    # --- of booleans and bits -----------------------------------------------------------------------------------------

    def __and__(self, other: Any) -> "Tensor":
        return self._bits("&", operator.and_, other)

    def __or__(self, other: Any) -> "Tensor":
        return self._bits("|", operator.or_, other)

    def __xor__(self, other: Any) -> "Tensor":
        return self._bits("^", operator.xor, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> "Tensor":
        return self._bits("~", operator.invert)

    def _bits(self, name: str, compute: Callable, *others: Any) -> "Tensor":
        others = tuple([self._comparand(other) for other in others])
        for one in (self.data, *others):
            if not isinstance(one, int) and getattr(one, "dtype", np.dtype(float)).kind not in "biu":
                kind = getattr(one, "dtype", type(one).__name__)
                raise ArgumentTypeError(
                    f"{name} goes with booleans and whole numbers, got {kind}; compare, as in x > 0"
                )
        return without_gradient(name, compute(self.data, *others), self, *others)

    # --- comparison: boolean tensors without a graph ------------------------------------------------------------------

    def __eq__(self, other: Any) -> "Tensor":  # type: ignore[override]
        other = self._comparand(other)
        return without_gradient("eq", self.data == other, self, other)

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        other = self._comparand(other)
        return without_gradient("ne", self.data != other, self, other)

    def __lt__(self, other: Any) -> "Tensor":
        other = self._comparand(other)
        return without_gradient("lt", self.data < other, self, other)

    def __le__(self, other: Any) -> "Tensor":
        other = self._comparand(other)
        return without_gradient("le", self.data <= other, self, other)

    def __gt__(self, other: Any) -> "Tensor":
        other = self._comparand(other)
        return without_gradient("gt", self.data > other, self, other)

    def __ge__(self, other: Any) -> "Tensor":
        other = self._comparand(other)
        return without_gradient("ge", self.data >= other, self, other)

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
