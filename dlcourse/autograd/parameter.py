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
from dlcourse.backend.kernels import scaling
from dlcourse.backend.precision import full, is_floating, is_half, named
from dlcourse.errors import ShapeError


class Parameter(Tensor):
    """A leaf that requires a gradient. In a flat buffer its array is a view, and assigning ``.data`` copies.

    In half precision the model computes with ``data``, 16 bits; its values themselves are ``full``, float32.
    """

    __slots__ = ("_array", "_flat", "_full", "_place", "_received")

    def __init__(self, data: Any):
        self._flat: FlatParameters | None = None
        self._full: Array | None = None
        # An array from the host goes to the current device; a tensor stays where it lies.
        array = data.data if isinstance(data, Tensor) else backend.current().asarray(data)
        if not is_floating(array.dtype):
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
            self._array, self._full = value, None
        elif value is not self._array:
            if value.shape != self._array.shape:
                raise ShapeError(f"data: expected shape {self._array.shape}, got {value.shape}")
            self.assign(value)

    @property
    def full(self) -> Array:
        """The values at full precision: ``data`` itself, but float32 where the model computes in half precision."""
        return self._array if self._full is None else self._full

    def assign(self, value: Array) -> None:
        """Copy values in, rounded where the model computes in half precision."""
        self.full[...] = value
        if self._full is not None:
            self._array[...] = self._full

    def convert(self, target: backend.Backend | None, dtype: Any) -> None:
        """Move to another device and another floating-point type, out of any flat buffer; the gradient is dropped."""
        dtype = self.dtype if dtype is None else named(dtype)
        if not is_floating(dtype):
            raise TypeError(f"a parameter holds floating-point numbers, got {dtype}")
        self.leave_buffer()
        self.zero_grad()
        values = self.full.astype(full(dtype), copy=False)
        values = values if target is None else target.asarray(values)
        half = is_half(dtype)
        self._array, self._full = (values.astype(dtype), values) if half else (values, None)

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
        self._received, self._flat._collected = True, False

    def leave_buffer(self) -> None:
        """Own the array again, as before a flat buffer took it in."""
        if self._flat is not None:
            data, grad = self._array.copy(), (self._place.copy() if self._received else None)
            self._full = None if self._full is None else self._full.copy()
            self._flat, self._array, self._grad = None, data, grad


class FlatParameters:
    """Parameters laid one after another in one array, their gradients in a second of the same layout.

    In half precision both are float32, and two more arrays of 16 bits are what the model computes with: ``half``, which
    :meth:`publish` rounds from the values, and ``half_grad``, which :meth:`ready_grad` makes the gradient of.

    Attributes:
        parameters: in the order given, without repeats.
        data: (P,) all values.
        grad: (P,) all gradients; parts that have received nothing hold old numbers, see :meth:`ready_grad`.
        half, half_grad: (P,) of 16 bits; None where the model computes at full precision.
        scaler: the loss scale that ``half_grad`` holds, see ``backend/kernels/scaling.py``; None for none.

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
        self.data = xp.empty(sum(sizes), dtype=full(first.dtype))
        self.grad = xp.zeros_like(self.data)
        self.half = self.half_grad = self.scaler = None
        self._collected, self._add = True, False
        if is_half(first.dtype):
            self.half, self.half_grad = xp.empty(len(self), first.dtype), xp.zeros(len(self), first.dtype)
        for p, end in zip(self.parameters, self.ends, strict=True):
            self._take(p, slice(end - p.size, end))

    def _take(self, p: Parameter, part: slice) -> None:
        """Make the parameter's arrays views of that part."""
        p.leave_buffer()
        self.data[part].reshape(p.shape)[...] = p.full
        if self.half is None:
            p._array, p._place = self.data[part].reshape(p.shape), self.grad[part].reshape(p.shape)
        else:
            self.half[part].reshape(p.shape)[...] = p.data
            p._array, p._place = self.half[part].reshape(p.shape), self.half_grad[part].reshape(p.shape)
            p._full = self.data[part].reshape(p.shape)
        p._received = p._grad is not None
        if p._received:
            p._place[...] = p._grad
            self._collected = False
        p._flat = self

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
        self._collected = self._add = False

    def ready_grad(self) -> Array:
        """The whole gradient; what received nothing counts as zero."""
        for p in self.parameters:
            if not p._received:
                p._place.fill(0)
                p._received, self._collected = True, False
        if self.half is not None and not self._collected:
            scaling.unscale(self.half_grad, self.grad, self.scaler, self._add)
            self._collected = True
        return self.grad

    def next_part(self) -> None:
        """In half precision: take what backward left into the gradient, to which the next backward's will be added."""
        if self.half is not None:
            self.ready_grad()
            for p in self.parameters:
                p._received = False
            self._add = True

    def publish(self, scaler: Array | None = None) -> None:
        """In half precision: let the model compute with the values as they are now.

        Args:
            scaler: the loss scale, where a step is over and the next one's is to be set.
        """
        if self.half is not None:
            scaling.publish(self.data, self.half, scaler)

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
