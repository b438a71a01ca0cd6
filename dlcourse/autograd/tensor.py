"""Tensor: an array that remembers how it was computed.

What it is to the graph is in :mod:`~dlcourse.autograd.base`, its operators and methods are in
:mod:`~dlcourse.autograd.operators` and :mod:`~dlcourse.autograd.methods`; here it goes to Python, NumPy, another device
or another type.
"""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import elementwise
from dlcourse.autograd.base import TensorBase, apply, without_gradient
from dlcourse.autograd.creation import tensor
from dlcourse.autograd.graph import mode
from dlcourse.autograd.named_operators import NamedOperators
from dlcourse.backend.precision import as_dtype, is_floating, split_destination
from dlcourse.errors import ShapeError
from dlcourse.habits import missing

__all__ = ["Tensor", "tensor"]


class _ForNumPy:
    """A method for NumPy, which asks the class for it. CuPy asks the tensor, and where that has None it leaves
    ``array + tensor`` to :meth:`Tensor.__radd__`."""

    def __init__(self, method: Any):
        self.method = method

    def __get__(self, tensor: "Tensor | None", owner: type) -> Any:
        return self.method if tensor is None else None


class Tensor(NamedOperators):
    """An array that remembers how it was computed.

    Attributes:
        data: the array, NumPy's or CuPy's.
        grad: the gradient as a Tensor, or None; assigning an array copies it.
        requires_grad: whether operations on it are recorded.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Only for what is not there: advice for names that PyTorch has."""
        raise missing("tensor", name, f"'{type(self).__name__}' object has no attribute '{name}'", self)

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=50)
        extra = ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({text}, dtype={self.dtype}, device={self.device!r}{extra})"

    # --- to and from the host -----------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array; on the CPU the same memory, from a GPU a copy (this waits for it)."""
        return backend.to_host(self.data)

    def item(self) -> float | int | bool:
        """The only element, as a Python number; waits for the device.

        Raises:
            ShapeError: there are several elements, or none.
        """
        if self.size != 1:
            raise ShapeError(f"a tensor of shape {self.shape} is not one number: expected one element, got {self.size}")
        return self.data.item()

    def tolist(self) -> list:
        """The values as nested lists."""
        return self.data.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The values for NumPy, as PyTorch: where they need no gradient, or none is recorded.

        Raises:
            RuntimeError: they need one, which the array would lose.
            TypeError: they lie on a GPU.
        """
        if backend.array_module(self.data) is not np:
            raise TypeError(f"a tensor on {self.device} does not turn into a NumPy array by itself: call .numpy()")
        self._refuse_to_lose_gradient("a NumPy array", ".detach().numpy()")
        return np.array(self.data, dtype=dtype, copy=copy)

    def _refuse_to_lose_gradient(self, into: str, remedy: str) -> None:
        if self.requires_grad and mode.recording:
            raise RuntimeError(
                f"a tensor that needs a gradient does not turn into {into} by itself, since the gradient would "
                f"be lost: take {remedy} where none is wanted, or compute with the tensor's own functions"
            )

    # --- to and from other libraries, in the same memory --------------------------------------------------------------

    def __dlpack__(self, **request: Any) -> Any:
        """The array for another library, as in ``torch.from_dlpack(x)`` or ``np.from_dlpack(x)``, where it lies.

        Raises:
            RuntimeError: the tensor needs a gradient.
            BufferError: its type or place has no name in DLPack, as bfloat16 on the CPU.
        """
        self._refuse_to_lose_gradient("another library's array", ".detach()")
        return self.data.__dlpack__(**request)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where it lies, in DLPack's numbers."""
        return self.data.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The array on a GPU for CuPy, Numba and others.

        Raises:
            AttributeError: it lies on the CPU.
            RuntimeError: it needs a gradient.
        """
        described = self.data.__cuda_array_interface__
        self._refuse_to_lose_gradient("another library's array", ".detach()")
        return described

    @_ForNumPy
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's element-wise functions, see :mod:`dlcourse.autograd.numpy_functions`."""
        from dlcourse.autograd import numpy_functions

        return numpy_functions.call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: tuple, options: dict) -> Any:
        """NumPy's other functions, see :mod:`dlcourse.autograd.numpy_functions`."""
        from dlcourse.autograd import numpy_functions

        return numpy_functions.call_function(function, args, options)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        """One whole number as a place in a list, a length or a shape.

        Raises:
            TypeError: it has a fraction, or is several.
        """
        if self.size != 1 or self.dtype.kind not in "biu":
            raise TypeError(f"an index is one whole number, got a tensor of {self.dtype} of shape {self.shape}")
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        """As PyTorch: ``f"{loss:.4f}"`` formats the one number of a tensor without axes."""
        return format(self.item(), spec) if self.ndim == 0 else super().__format__(spec)

    def __round__(self, digits: int | None = None) -> float | int:
        return round(self.item(), digits) if digits is not None else round(self.item())

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> "Tensor":
        """The tensor on another device or in another type: ``to("cuda")``, ``to("float64")``, or both, by name too.

        A change of the floating-point type is differentiable; a move to another device starts a new graph.

        Args:
            device: its name; or a type, or a tensor whose type and device to take, as in PyTorch.
            non_blocking: as in PyTorch; changes nothing, as a copy to a GPU never waits for more than itself.
        """
        device, dtype = split_destination(device, dtype)
        target = backend.get(device) if device is not None else backend.of(self.data)
        moved = self
        if target is not backend.of(self.data):
            moved = Tensor(target.asarray(self.data), self.requires_grad)
        kind = moved.dtype if dtype is None else as_dtype(dtype)
        if kind != moved.dtype:
            if is_floating(kind) and is_floating(moved.dtype):
                return apply(elementwise.Cast(kind), moved)
            return without_gradient("to", moved.data.astype(kind), moved)
        return moved

    def astype(self, dtype: Any) -> "Tensor":
        """The tensor in another type."""
        return self.to(dtype=dtype)


TensorBase.tensor_class = Tensor
