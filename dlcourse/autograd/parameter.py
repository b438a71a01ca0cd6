"""Parameter: a tensor that training changes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd.graph import mode
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype, as_dtype, is_floating, is_half
from dlcourse.errors import ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.flat import FlatParameters


class Parameter(Tensor):
    """A leaf that requires a gradient. In a flat buffer its array is a view, and assigning ``.data`` copies.

    In half precision the model computes with ``data``, 16 bits; its values themselves are ``master``, float32.

    A copy (``copy.deepcopy``, pickle) owns its values and has no gradient, as PyTorch's: make an optimizer for it.
    """

    __slots__ = ("_array", "_blank", "_flat", "_master", "_owner", "_grad_view", "_received", "_taken", "_turned")
    _grad_view: Array

    def __init__(self, data: Any):
        self._flat: FlatParameters | None = None
        self._master: Array | None = None
        self._owner: Parameter | None = None  # whose slot in the buffer this one shares, perhaps transposed
        self._turned = False
        self._received = self._blank = False
        self._taken: Tensor | None = None
        # An array from the host is copied to the current device; a tensor stays where it lies.
        array = data.data if isinstance(data, Tensor) else backend.current().asarray(data)
        if not is_floating(array.dtype):
            raise TypeError(f"a parameter holds floating-point numbers, got {array.dtype}")
        super().__init__(array.copy() if array is data else array, requires_grad=True)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        # Without the buffer: it belongs to this parameter's optimizer, which takes its own parameters along.
        known = type(self), self._array, self._master, self.requires_grad, getattr(self, "__dict__", None)
        return _copied, known

    @property
    def data(self) -> Array:
        """The values; in a flat buffer a view of it."""
        return self._array

    @data.setter
    def data(self, value: Any) -> None:
        value = value.data if isinstance(value, Tensor) else value
        if value is getattr(self, "_array", None):
            self._take_rounded()
        elif self._flat is None:
            self._array, self._master = value, None
        elif value.shape != self._array.shape:
            raise ShapeError(f"data: expected shape {self._array.shape}, got {value.shape}")
        else:
            self.assign(value)

    def _take_rounded(self) -> None:
        """In half precision: what was changed in place, as by ``p.data *= 2``, counts for ``master`` too."""
        if self._master is not None:
            unchanged = self._array == self._master.astype(self._array.dtype)
            xp = backend.array_module(self._array)
            self._master[...] = xp.where(unchanged, self._master, self._array.astype(self._master.dtype))

    @property
    def master(self) -> Array:
        """The values at full precision: ``data`` itself, but float32 where the model computes in half precision."""
        return self._array if self._master is None else self._master

    def assign(self, value: Array) -> None:
        """Copy values in, rounded where the model computes in half precision."""
        self._copy_in(value)
        if self._version is not None:
            self._version.change("a state that was loaded or values that were assigned")

    def _copy_in(self, value: Array) -> None:
        if isinstance(self._array, np.ndarray) and not self._array.flags.writeable:
            self._array = self._array.copy()  # another parameter's old array, see FlatParameters._guard_old_arrays
        self.master[...] = value
        if self._master is not None:
            self._array[...] = self._master
        if self._flat is not None:
            self._flat.refresh_old_arrays()

    def _changed(self, name: str, compute: Callable, other: Any) -> Self:
        return self._written(name, compute, other)

    _may_become = False

    def _write(self, values: Array) -> None:
        self._copy_in(values)

    def _assign(self, index: tuple, values: Any) -> None:
        changed = self.data.copy()
        changed[index] = values
        self._copy_in(changed)

    def convert(self, target: backend.Backend | None, dtype: Any) -> None:
        """Move to another device and another floating-point type, out of any flat buffer; the gradient is dropped.

        Nothing happens where the parameter is there already and of that type.
        """
        dtype = self.dtype if dtype is None else as_dtype(dtype)
        if not is_floating(dtype):
            raise TypeError(f"a parameter holds floating-point numbers, got {dtype}")
        if dtype == self.dtype and (target is None or target is backend.of(self._array)):
            return
        self.leave_buffer()
        self.zero_grad()
        values = self.master.astype(accumulation_dtype(dtype), copy=False)
        values = values if target is None else target.asarray(values)
        half = is_half(dtype)
        self._array, self._master = (values.astype(dtype), values) if half else (values, None)

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, None before the first.

        In a flat buffer it is this parameter's own copy from here on until :meth:`zero_grad`: it keeps its values after
        that, and what is changed in it in place before counts.
        """
        if self._flat is None:
            return super().grad
        if self._owner is not None:
            grad = self._owner.grad
            return Tensor(grad.data.T) if self._turned and grad is not None else grad
        if self._taken is None and self._received:
            self._taken = Tensor(self._grad_view.copy())
        return self._taken

    @grad.setter
    def grad(self, value: Any) -> None:
        self._set_grad(value)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient; a flat buffer is not filled with zeros, the next gradient overwrites it.

        Args:
            set_to_none: False makes a gradient that is there one of zeros instead.
        """
        if self._owner is not None:
            self._owner.zero_grad(set_to_none)
            return
        zeros = not set_to_none and (self._received or self._grad is not None)
        self._grad = self._taken = None
        self._received = False
        if zeros:
            self.accumulate(backend.array_module(self.data).zeros_like(self.data))

    def grad_destination(self) -> Array | None:
        """This parameter's slot in the flat gradient, while it has received nothing."""
        if self._flat is None or self._received or self._flat.ties:
            return None
        self._blank = False
        return self._grad_view

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient; the first one is copied, or already in place."""
        if self._flat is None:
            if mode.outside is not None:
                mode.outside(self)
            super().accumulate(grad)
            return
        if self._owner is not None:
            self._owner.accumulate(grad.T if self._turned else grad)
            return
        if grad is self._grad_view:
            pass
        elif grad.shape != self._grad_view.shape:
            raise ShapeError(f"a gradient of shape {grad.shape} came to a parameter of shape {self._grad_view.shape}")
        elif not self._received:
            self._grad_view[...] = grad
        elif self._taken is not None:
            self._taken.data += grad
        else:
            self._grad_view += grad
        self._received, self._blank, self._flat._collected = True, False, False

    def leave_buffer(self) -> None:
        """Own the array again, as before a flat buffer took it in."""
        if self._flat is not None:
            grad = self.grad
            self._grad = None if grad is None else grad.data
            self._array = self._array.copy()
            self._master = None if self._master is None else self._master.copy()
            self._flat._whole = False
            self._flat = self._owner = self._taken = None


def _copied(
    kind: type[Parameter], array: Array, full: Array | None, requires_grad: bool, attributes: dict | None
) -> Parameter:
    """A parameter that owns these arrays."""
    made: Parameter = kind.__new__(kind)
    Parameter.__init__(made, Tensor(array))
    made._master, made.requires_grad = full, requires_grad
    if attributes:
        made.__dict__.update(attributes)
    return made
