"""The base class of Tensor: an array, its gradient, and the operation that it came from.

:func:`apply` runs a :class:`Function` on tensors and records a node; :meth:`TensorBase.backward` walks back from there.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dlcourse import backend
from dlcourse.autograd import promotion
from dlcourse.autograd import version as versions
from dlcourse.autograd.function import Function, InFloat32, WithoutGradient, name_of
from dlcourse.autograd.graph import Node, mode, refuse_create_graph, seen_by_leaf, walk_back
from dlcourse.autograd.replicas import lifted
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.half import FULL, half_among
from dlcourse.errors import ArgumentError, ArgumentTypeError, DlcourseError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class TensorBase:
    """An array with its node in the graph; :class:`~dlcourse.autograd.Tensor` adds what users call."""

    __slots__ = ("__weakref__", "_grad", "_hooks", "_index", "_node", "_version", "data", "requires_grad")

    tensor_class: ClassVar[type]
    """What :func:`apply` makes of results: Tensor, whose module sets it."""

    def __init__(self, data: Array, requires_grad: bool = False):
        self.data = data
        self.requires_grad = requires_grad
        self._grad: Array | None = None
        self._node: Node | None = None
        self._index = 0
        self._version: versions.Version | None = None  # made when a graph first looks at it

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """How many axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """How many elements."""
        return self.data.size

    @property
    def device(self) -> str:
        """The name of the device that it lies on: ``cpu`` or ``cuda:N``."""
        return backend.of(self.data).name

    def detach(self) -> "Tensor":
        """The same values outside the graph, sharing memory."""
        detached = new(self.data)
        if self._version is None:
            self._version = versions.Version(self._node)
        detached._version = self._version
        return detached

    if TYPE_CHECKING:

        def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> "Tensor": ...

    # --- gradients ----------------------------------------------------------------------------------------------------

    @property
    def grad(self) -> "Tensor | None":
        """The accumulated gradient, None before the first."""
        return None if self._grad is None else new(self._grad)

    @grad.setter
    def grad(self, value: Any) -> None:
        self._set_grad(value)

    def _set_grad(self, value: Any) -> None:
        if value is None:
            self.zero_grad()
            return
        array = backend.of(self.data).asarray(array_of(value), dtype=self.dtype)
        if array.shape != self.shape:
            raise ShapeError(f"grad: expected shape {self.shape}, got {array.shape}")
        self.zero_grad()
        self.accumulate(array)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient; with ``set_to_none=False`` one that is there becomes zeros."""
        zeros = not set_to_none and self._grad is not None
        self._grad = backend.array_module(self.data).zeros_like(self.data) if zeros else None

    def grad_destination(self) -> Array | None:
        """Where a first gradient may be written in place; a Parameter in a flat buffer has such a slot."""
        return None

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient, which is this tensor's own array from the first time on."""
        if grad.shape != self.shape:
            raise ShapeError(f"a gradient of shape {grad.shape} came to a tensor of shape {self.shape}")
        if self._grad is None:
            self._grad = grad.astype(self.dtype)  # always a copy: the array may be a view of another
        else:
            self._grad += grad

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add d self / d leaf, times ``gradient``, to the ``.grad`` of every leaf that requires it.

        Args:
            gradient: that of what comes after with respect to this tensor; 1 for a scalar, else to be given.
            retain_graph: keep the graph for another backward pass.
            create_graph: False; gradients have no graph of their own.
            inputs: None; :func:`dlcourse.autograd.grad` has the gradients of some tensors alone.
        Raises:
            ValueError: ``create_graph`` or ``inputs`` is given.
            RuntimeError: the tensor has no graph, or it is gone.
            ShapeError: ``gradient`` is missing for a tensor that is no scalar, or has another shape.
        """
        refuse_create_graph("backward", create_graph)
        if inputs is not None:
            raise ArgumentError("backward: inputs= is not offered: dl.autograd.grad(y, inputs) returns their gradients")
        seed = self._seed(gradient)
        if self._node is None:
            self.accumulate(seen_by_leaf(self, seed))
        else:
            walk_back(self._node, self._index, seed, bool(retain_graph))

    def _seed(self, gradient: Any) -> Array | None:
        """The gradient with which a backward pass starts; None for the 1 that a loss takes as known.

        Raises:
            RuntimeError, ShapeError: as :meth:`backward` has them.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor does not require a gradient")
        if gradient is None:
            if self.size != 1:
                raise ShapeError(f"backward: a gradient has to be given for a tensor of shape {self.shape}")
            known = self._node is not None and getattr(self._node.function, "is_loss", False)
            return None if known else backend.array_module(self.data).ones_like(self.data)
        seed = backend.of(self.data).asarray(array_of(gradient), dtype=self.dtype)
        if seed.shape != self.shape:
            raise ShapeError(f"backward: expected a gradient of shape {self.shape}, got {seed.shape}")
        return seed


def apply(function: Function, *inputs: Any) -> Any:
    """Run an operation on tensors (and Python numbers), recording it where a gradient will be wanted.

    Raises:
        ShapeError: shapes do not broadcast, or tensors lie on different devices.
    """
    recording = mode.recording
    arrays, needs = [], []
    for x in inputs:
        if isinstance(x, TensorBase):
            arrays.append(x.data)
            needs.append(recording and x.requires_grad)
        else:
            arrays.append(x)
            needs.append(False)
    if not _plain(arrays):
        function, arrays = _prepared(function, arrays)
    function.needs_input_grad = tuple(needs)
    try:
        value = function.forward(*arrays)
    except DlcourseError:
        raise
    except ValueError as error:
        raise ShapeError(f"{_described(function, arrays, 'shape')} do not fit: {error}") from error
    except TypeError as error:
        raise TypeError(f"{_described(function, arrays, 'dtype')} do not go: {error}") from error
    except OverflowError as error:
        raise ArgumentError(
            f"{_described(function, arrays, 'dtype')}: {error}; bring the tensor to a wider type first, as in "
            "x.to(dtype='int64') or 'float32'"
        ) from error
    several, new = isinstance(value, tuple), TensorBase.tensor_class
    # NumPy gives a scalar where a result has no axes; a tensor always holds an array.
    outputs = [
        new(np.asarray(array) if isinstance(array, np.generic) else array) for array in (value if several else (value,))
    ]
    if function.view:
        for out in outputs:
            out._version = versions.of_view(out.data, inputs[0])
    if any(needs):
        parents = tuple([_source(x) if need else None for x, need in zip(inputs, needs, strict=True)])
        node = Node(function, parents, len(outputs), versions.seen(inputs, arrays) if mode.counting else ())
        for index, out in enumerate(outputs):
            out.requires_grad, out._node, out._index = True, node, index
    if mode.observer is not None:
        mode.observer(function, inputs, outputs)
    return tuple(outputs) if several else outputs[0]


def without_gradient(name: str, found: Any, *inputs: Any, **settings: Any) -> "Tensor":
    """The tensor of what an operation that has no gradient found: no graph records it, but an observer sees it.

    Args:
        name: of the operation, that of the tensor's method.
        found: f(x, ...), an array or NumPy's scalar.
        inputs: x, ...: tensors, arrays and numbers.
        settings: what else f depends on.
    """
    out = TensorBase.tensor_class(np.asarray(found) if isinstance(found, np.generic) else found)
    if mode.observer is not None:
        mode.observer(WithoutGradient(name, settings), inputs, (out,))
    return out


def _plain(arrays: list) -> bool:
    """Whether all are NumPy arrays of 32 or 64 bits, with a fraction, or numbers: every operation takes them as is."""
    for array in arrays:
        kind = type(array)
        if kind is not np.ndarray or array.dtype not in FULL:
            if kind is not float and kind is not int:
                return False
    return True


def _prepared(function: Function, arrays: list) -> tuple[Function, list]:
    """The operation and its inputs in types that it takes.

    Raises:
        ShapeError: inputs lie on different devices, or are whole numbers where those are refused.
    """
    whole = lifted(function, arrays)
    if whole is not None:
        return whole, arrays
    name = name_of(function).lower()
    for array in arrays:
        if hasattr(array, "__dlpack__") and backend.own(array) is not array:
            kind = f"{type(array).__module__.partition('.')[0]}.{type(array).__name__}"
            raise ArgumentTypeError(f"{name}: got a {kind}; dl.from_dlpack(x) makes a tensor of it, in the same memory")
    if len(arrays) > 1:
        check_devices(name, arrays)
    if function.compute_in_float32:
        half = half_among(arrays)
        function = function if half is None else InFloat32(function, half)
    if function.fractional:
        arrays = [promotion.floated(array) for array in arrays]
    elif function.refuses_whole:
        promotion.refuse_whole(name, arrays)
    return function, arrays


def _described(function: Function, arrays: list, what: str) -> str:
    """Which operation, and its inputs' shapes or types."""
    found = ", ".join(str(getattr(a, what)) for a in arrays if hasattr(a, what))
    return f"{name_of(function).lower()}: inputs of {what} {found}"


def _source(x: "TensorBase") -> Any:
    return x if x._node is None else (x._node, x._index)


def check_devices(operation: str, arrays: list) -> None:
    held = [a for a in arrays if hasattr(a, "dtype")]
    for other in held[1:]:
        if not backend.same_device(held[0], other):
            names = backend.of(held[0]).name, backend.of(other).name
            raise ShapeError(
                f"{operation}: one input lies on {names[0]}, another on {names[1]}; "
                "bring them together with .to(device)"
            )


def new(array: Array, requires_grad: bool = False) -> "Tensor":
    """A tensor of this very array."""
    return TensorBase.tensor_class(array, requires_grad)


def lent(array: Array) -> "Tensor":
    """A tensor of data that stays as it is: what changes the tensor in place gives it memory of its own first."""
    tensor = new(array)
    tensor._version = versions.Version(lent=True)
    return tensor


def array_of(value: Any) -> Any:
    """A tensor's array; anything else as it is."""
    return value.data if isinstance(value, TensorBase) else value
