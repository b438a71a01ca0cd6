"""A tensor's methods that say what it is, and that bring it to another type or device, by PyTorch's names."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import elementwise
from dlcourse.autograd.base import TensorBase, apply, new
from dlcourse.backend.precision import as_dtype, is_floating
from dlcourse.errors import ArgumentTypeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Count(int):
    """The number of elements; called it is PyTorch's ``size()``: the shape, or ``size(dim)`` the length of one axis."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        from dlcourse.autograd import axes

        return self.shape if dim is None else (*self.shape, 1)[axes.single("size", self.shape, dim)]


class DeviceName(str):
    """``cpu`` or ``cuda:N``, with PyTorch's ``type`` and ``index``."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # PyTorch's meaning, not that of a text
        """The number of the GPU."""
        return int(self.partition(":")[2]) if ":" in self else None


class Conversion(TensorBase):
    """Facts, types and devices."""

    __slots__ = ()

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def size(self) -> Count:
        """How many elements, as in NumPy; ``size()`` is the shape and ``size(dim)`` one length, as in PyTorch."""
        count = Count(self.data.size)
        count.shape = self.data.shape
        return count

    @property
    def device(self) -> DeviceName:
        """The name of the device that it lies on: ``cpu`` or ``cuda:N``."""
        return DeviceName(backend.of(self.data).name)

    def numel(self) -> int:
        """How many elements."""
        return self.data.size

    nelement = numel

    def dim(self) -> int:
        """How many axes."""
        return self.data.ndim

    ndimension = dim

    def element_size(self) -> int:
        """Bytes an element."""
        return self.data.itemsize

    def is_contiguous(self) -> bool:
        """Whether the elements lie row by row in memory."""
        return bool(self.data.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the elements have a fraction."""
        return is_floating(self.dtype)

    @property
    def is_cuda(self) -> bool:
        """Whether it lies on a GPU."""
        return backend.array_module(self.data) is not np

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by a user, not by an operation that is recorded."""
        return self._node is None

    @property
    def grad_fn(self) -> Any:
        """The operation that made it, where one is recorded; None for a leaf."""
        return None if self._node is None else self._node.function

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say whether operations on it are recorded; returns this tensor.

        Raises:
            ArgumentTypeError: it holds no numbers with a fraction.
            RuntimeError: it was computed, and its graph needs a gradient: ``detach()`` is without.
        """
        if requires_grad and not is_floating(self.dtype):
            raise ArgumentTypeError(f"only floating-point tensors can require a gradient, got {self.dtype}")
        if self._node is not None and not requires_grad:
            raise RuntimeError("a tensor that was computed needs its gradient as long as it has a graph: use .detach()")
        self.requires_grad = bool(requires_grad)
        return self

    # --- the same values elsewhere, or in another type ----------------------------------------------------------------

    def clone(self) -> "Tensor":
        """A copy, through which the gradient goes."""
        return apply(elementwise.Copy(), self)

    def contiguous(self) -> "Tensor":
        """The same values, row by row in memory; copied where they do not lie so."""
        return self if self.is_contiguous() else self.clone()  # type: ignore[return-value]

    def cpu(self) -> "Tensor":
        """On the CPU; the tensor itself where it is there."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> "Tensor":
        """On a GPU.

        Raises:
            DeviceError: there is none; says what to do.
        """
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def float(self) -> "Tensor":
        """In float32."""
        return self.to(dtype="float32")

    def double(self) -> "Tensor":
        """In float64."""
        return self.to(dtype="float64")

    def half(self) -> "Tensor":
        """In float16."""
        return self.to(dtype="float16")

    def bfloat16(self) -> "Tensor":
        """In bfloat16."""
        return self.to(dtype="bfloat16")

    def long(self) -> "Tensor":
        """In int64; without a gradient."""
        return self.to(dtype="int64")

    def int(self) -> "Tensor":
        """In int32; without a gradient."""
        return self.to(dtype="int32")

    def byte(self) -> "Tensor":
        """In uint8; without a gradient."""
        return self.to(dtype="uint8")

    def bool(self) -> "Tensor":
        """Whether each element is not 0."""
        return self.to(dtype="bool")

    def type(self, dtype: Any = None) -> Any:
        """In another type; without one the name of this one."""
        return str(self.dtype) if dtype is None else self.to(dtype=dtype)

    def type_as(self, other: TensorBase) -> "Tensor":
        """In another tensor's type."""
        return self.to(dtype=other.dtype)

    def new_tensor(self, data: Any, *, requires_grad: Any = False) -> "Tensor":
        """A new tensor of this type and on this device."""
        from dlcourse.autograd.creation import tensor

        return tensor(data, dtype=self.dtype, device=str(self.device), requires_grad=requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> "Tensor":
        """Zeros, of this type and on this device unless others are given."""
        return self._filled(size, 0, dtype, device, requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> "Tensor":
        """Ones, of this type and on this device unless others are given."""
        return self._filled(size, 1, dtype, device, requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> "Tensor":
        """A tensor of this type and on this device; its elements are zeros, so that nothing depends on chance."""
        return self._filled(size, 0, dtype, device, requires_grad)

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
                 requires_grad: Any = False) -> "Tensor":  # fmt: skip
        """One number in a shape, of this type and on this device."""
        return self._filled((size,), fill_value, dtype, device, requires_grad)

    def _filled(self, size: tuple, value: Any, dtype: Any, device: Any, requires_grad: Any) -> "Tensor":
        sizes = size[0] if len(size) == 1 and isinstance(size[0], tuple | list) else size
        target = backend.of(self.data) if device is None else backend.get(str(device))
        kind = as_dtype(self.dtype if dtype is None else dtype)
        made = new(target.xp.full(tuple(sizes), value, dtype=kind))
        return made.requires_grad_() if requires_grad else made
