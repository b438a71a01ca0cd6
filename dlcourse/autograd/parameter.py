"""Parameter: a tensor that training changes; FlatParameters: many of them in one buffer.

With all weights in one array and all gradients in another, an optimizer step, a gradient norm, a clip, an average, an
all-reduce and a checkpoint are each one operation on one array.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError


class Parameter(Tensor):
    """A leaf that requires a gradient. In a flat buffer its array is a view, and assigning ``.data`` copies."""

    __slots__ = ("_array", "_flat", "_place", "_received")

    def __init__(self, data: Any):
        self._flat: FlatParameters | None = None
        # An array from the host goes to the current device; a tensor stays where it lies.
        array = data.data if isinstance(data, Tensor) else backend.current().asarray(data)
        if array.dtype.kind != "f":
            raise TypeError(f"a parameter holds floating-point numbers, got {array.dtype}")
        super().__init__(array, requires_grad=True)

    @property
    def data(self) -> Array:
        """The values; in a flat buffer a view of it."""
        return self._array

    @data.setter
    def data(self, value: Any) -> None:
        value = value.data if isinstance(value, Tensor) else value
        if self._flat is None:
            self._array = value
        elif value is not self._array:
            if value.shape != self._array.shape:
                raise ShapeError(f"data: expected shape {self._array.shape}, got {value.shape}")
            self._array[...] = value

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, None before the first; in a flat buffer a view of it."""
        if self._flat is None:
            return Tensor.grad.fget(self)
        return Tensor(self._place) if self._received else None

    @grad.setter
    def grad(self, value: Any) -> None:
        Tensor.grad.fset(self, value)

    def zero_grad(self) -> None:
        """Forget the gradient; a flat buffer is not filled with zeros, the next gradient overwrites it."""
        self._grad = None
        self._received = False

    def grad_destination(self) -> Array | None:
        """This parameter's part of the flat gradient, while it has received nothing."""
        return self._place if self._flat is not None and not self._received else None

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient; the first one is copied, or already in place."""
        if self._flat is None:
            super().accumulate(grad)
            return
        if grad is self._place:
            pass
        elif grad.shape != self._place.shape:
            raise ShapeError(f"a gradient of shape {grad.shape} came to a parameter of shape {self._place.shape}")
        elif self._received:
            self._place += grad
        else:
            self._place[...] = grad
        self._received = True

    def leave_buffer(self) -> None:
        """Own the array again, as before a flat buffer took it in."""
        if self._flat is not None:
            data, grad = self._array.copy(), (self._place.copy() if self._received else None)
            self._flat, self._array, self._grad = None, data, grad


class FlatParameters:
    """Parameters laid one after another in one array, their gradients in a second of the same layout.

    Attributes:
        parameters: in the order given, without repeats.
        data: (P,) all values.
        grad: (P,) all gradients; parts that have received nothing hold old numbers, see :meth:`ready_grad`.

    Raises:
        ValueError: there is no parameter, or they differ in type or device.
    """

    def __init__(self, parameters: Iterable[Parameter]):
        self.parameters = list(dict.fromkeys(parameters))
        if not self.parameters:
            raise ValueError("an optimizer needs at least one parameter, got none")
        first = self.parameters[0].data
        for p in self.parameters:
            if p.dtype != first.dtype or not backend.same_device(p.data, first):
                raise ValueError(
                    "the parameters of one optimizer share a type and a device, got "
                    f"{first.dtype} on {backend.of(first).name} and {p.dtype} on {p.device}"
                )
        xp = backend.array_module(first)
        sizes = [p.size for p in self.parameters]
        self.ends = np.cumsum(sizes).tolist()
        self.data = xp.empty(sum(sizes), dtype=first.dtype)
        self.grad = xp.zeros_like(self.data)
        for p, end in zip(self.parameters, self.ends, strict=True):
            part = slice(end - p.size, end)
            p.leave_buffer()
            view, grad = self.data[part].reshape(p.shape), self.grad[part].reshape(p.shape)
            view[...] = p.data
            received = p._grad is not None
            if received:
                grad[...] = p._grad
            p._array, p._place, p._received, p._flat = view, grad, received, self

    @classmethod
    def of(cls, parameters: Iterable[Parameter]) -> "FlatParameters":
        """The buffer that holds exactly these parameters already, or a new one."""
        wanted = list(dict.fromkeys(parameters))
        return cls.holding(wanted) or cls(wanted)

    @classmethod
    def holding(cls, parameters: Iterable[Parameter]) -> "FlatParameters | None":
        """The buffer that holds exactly these parameters, in this order, or None."""
        wanted = list(dict.fromkeys(parameters))
        held = wanted[0]._flat if wanted else None
        return held if held is not None and [id(p) for p in held.parameters] == [id(p) for p in wanted] else None

    def holds_its_parameters(self) -> bool:
        """False once a parameter was taken into another buffer or moved to another device or type."""
        return all(p._flat is self for p in self.parameters)

    def zero_grad(self) -> None:
        """Forget all gradients, filling nothing."""
        for p in self.parameters:
            p._received = False

    def ready_grad(self) -> Array:
        """The whole gradient; what received nothing counts as zero."""
        for p in self.parameters:
            if not p._received:
                p._place.fill(0)
                p._received = True
        return self.grad

    def mask(self, chosen: Iterable[Parameter]) -> Array:
        """(P,) ones where one of the chosen parameters lies, zeros elsewhere, in the buffer's type."""
        ids = {id(p) for p in chosen}
        mask = backend.array_module(self.data).zeros_like(self.data)
        for p, end in zip(self.parameters, self.ends, strict=True):
            if id(p) in ids:
                mask[end - p.size : end] = 1
        return mask

    def __len__(self) -> int:
        return self.data.size


__all__ = ["FlatParameters", "Parameter"]
