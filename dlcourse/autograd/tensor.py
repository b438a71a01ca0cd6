"""Tensor: an array, and the graph that it came from.

:func:`apply` runs a :class:`Function` and records a node; :meth:`Tensor.backward` walks the nodes back in the reverse
order of their making. A node knows its parents and never its outputs, so there is no cycle: a graph that nobody holds
is gone at once, and after a backward pass its nodes have let go of everything they saved.
"""

import contextlib
import heapq
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlcourse import backend
from dlcourse.autograd import axes, elementwise, linalg, promotion, reduce, shape
from dlcourse.autograd import version as versions
from dlcourse.autograd.function import Function, InFloat32
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.activation import add
from dlcourse.backend.kernels.half import half_among
from dlcourse.backend.precision import is_floating, named
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

DEFAULT_DTYPE = promotion.DEFAULT_DTYPE

_AS_IN_NUMPY = {
    "view": "reshape(...)",
    "permute": "transpose((...)), with a tuple that names all axes",
    "unsqueeze": "reshape(...), or x[:, None]",
    "squeeze": "reshape(...), or x[:, 0]",
    "clamp": "clip(min, max)",
    "dim": "ndim, and an axis is given as axis=...",
}

_order = itertools.count()


class _Mode(threading.local):
    recording = True
    counting = True


_mode = _Mode()


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Record no graph inside the ``with`` block (or the decorated function)."""
    before, _mode.recording = _mode.recording, False
    try:
        yield
    finally:
        _mode.recording = before


class at_once:
    """``with at_once():`` the graphs made inside go backward before any weight changes: changes are not counted."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        self.before, _mode.counting = _mode.counting, False

    def __exit__(self, *_: Any) -> None:
        _mode.counting = self.before


def is_grad_enabled() -> bool:
    """Whether operations record a graph now."""
    return _mode.recording


class Node:
    """One executed operation in the graph."""

    __slots__ = ("function", "inputs", "order", "outputs", "parents")

    def __init__(self, function: Function, parents: tuple, outputs: int, inputs: Sequence[versions.Seen]):
        self.function: Function | None = function
        # For each input that wants a gradient its leaf tensor, or the node that made it and which output it was.
        self.parents: tuple[Any, ...] = parents
        self.outputs = outputs
        self.inputs = inputs
        self.order = next(_order)

    def backward(self, douts: list, retain_graph: bool) -> list[tuple[Any, Array]]:
        """The parents that want a gradient, each with its own; lets go of what was saved unless told to keep it."""
        function, parents = self.function, self.parents
        if function is None:
            raise RuntimeError(
                "backward through a graph that is gone: it was used by an earlier backward; "
                "pass retain_graph=True there to walk it twice"
            )
        for version, count, array in self.inputs:
            if version.count != count:
                versions.check(function, version, array)
        function.destinations = _destinations(parents)
        dins = function.backward(*douts)
        if not isinstance(dins, tuple):
            dins = (dins,)
        if not retain_graph:
            self.function, self.parents, self.inputs = None, (), ()
        if len(dins) != len(parents):
            raise RuntimeError(
                f"{type(function).__name__}.backward returned {len(dins)} gradients for {len(parents)} inputs: return "
                "one for each, None where none is needed"
            )
        found = [(parent, din) for parent, din in zip(parents, dins, strict=True) if parent is not None]
        if any(din is None for _, din in found):
            raise _no_gradient(function, parents, dins)
        return found


def apply(function: Function, *inputs: Any) -> Any:
    """Run an operation on tensors (and Python numbers), recording it where a gradient will be wanted.

    Raises:
        ShapeError: shapes do not broadcast, or tensors lie on different devices.
    """
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    if len(arrays) > 1:
        _check_devices(type(function).__name__.lower(), arrays)
    if function.wide:
        half = half_among(arrays)
        function = function if half is None else InFloat32(function, half)
    if function.fractional:
        arrays = [promotion.floated(array) for array in arrays]
    elif function.refuses_whole:
        promotion.refuse_whole(type(function).__name__.lower(), arrays)
    recording = _mode.recording
    function.needs = tuple(recording and isinstance(x, Tensor) and x.requires_grad for x in inputs)
    try:
        value = function.forward(*arrays)
    except ShapeError:
        raise
    except ValueError as error:
        raise ShapeError(f"{_described(function, arrays, 'shape')} do not fit: {error}") from error
    except TypeError as error:
        raise TypeError(f"{_described(function, arrays, 'dtype')} do not go: {error}") from error
    several = isinstance(value, tuple)
    # NumPy gives a scalar where a result has no axes; a tensor always holds an array.
    outputs = tuple(
        Tensor(np.asarray(array) if isinstance(array, np.generic) else array)
        for array in (value if several else (value,))
    )
    if function.view:
        for out in outputs:
            out._version = versions.of_view(out.data, inputs[0])
    if any(function.needs):
        parents = tuple(_source(x) if need else None for x, need in zip(inputs, function.needs, strict=True))
        node = Node(function, parents, len(outputs), versions.seen(inputs, arrays) if _mode.counting else ())
        for index, out in enumerate(outputs):
            out.requires_grad, out._node, out._index = True, node, index
    return outputs if several else outputs[0]


def _described(function: Function, arrays: list, what: str) -> str:
    """Which operation, and its inputs' shapes or types."""
    values = ", ".join(str(getattr(a, what)) for a in arrays if hasattr(a, what))
    return f"{type(function).__name__.lower()}: inputs of {what} {values}"


def _no_gradient(function: Function, parents: tuple, dins: tuple) -> RuntimeError:
    places = [i for i, parent in enumerate(parents) if parent is not None and dins[i] is None]
    return RuntimeError(
        f"{type(function).__name__}.backward returned None for input {', '.join(map(str, places))}, which needs a "
        "gradient: return an array of the input's shape, of zeros where the gradient is 0"
    )


def _destinations(parents: tuple) -> tuple[Array | None, ...]:
    """Where each parent's gradient may be written; nowhere for a leaf that stands for two inputs, which get a sum."""
    leaves = [p if isinstance(p, Tensor) else None for p in parents]
    ids = [id(leaf) for leaf in leaves]
    return tuple(None if leaf is None or ids.count(id(leaf)) > 1 else leaf.grad_destination() for leaf in leaves)


def _source(x: "Tensor") -> Any:
    return x if x._node is None else (x._node, x._index)


def _check_devices(operation: str, arrays: list) -> None:
    held = [a for a in arrays if hasattr(a, "dtype")]
    for other in held[1:]:
        if not backend.same_device(held[0], other):
            names = backend.of(held[0]).name, backend.of(other).name
            raise ShapeError(
                f"{operation}: one input lies on {names[0]}, another on {names[1]}; "
                "bring them together with .to(device)"
            )


class _ForNumPy:
    """A method for NumPy, which asks the class for it. CuPy asks the tensor, and told None it leaves ``array + tensor``
    to :meth:`Tensor.__radd__`."""

    def __init__(self, method: Any):
        self.method = method

    def __get__(self, tensor: "Tensor | None", owner: type) -> Any:
        return self.method if tensor is None else None


class Tensor:
    """An array that remembers how it was computed.

    Attributes:
        data: the array, NumPy's or CuPy's.
        grad: the gradient as a Tensor, or None; assigning an array copies it.
        requires_grad: whether operations on it are recorded.
    """

    __slots__ = ("__weakref__", "_grad", "_index", "_node", "_version", "data", "requires_grad")

    def __init__(self, data: Array, requires_grad: bool = False):
        self.data = data
        self.requires_grad = requires_grad
        self._grad: Array | None = None
        self._node: Node | None = None
        self._index = 0
        self._version: versions.Version | None = None  # made when a graph first looks at it

    def __getattr__(self, name: str) -> Any:
        """Only for what is not there: names that PyTorch has, with those that they have here."""
        hint = f"; here it is {_AS_IN_NUMPY[name]}" if name in _AS_IN_NUMPY else ""
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'{hint}", name=name, obj=self)

    # --- what it is ---------------------------------------------------------------------------------------------------

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

    def __len__(self) -> int:
        return len(self.data)

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
        if self.device != "cpu":
            raise TypeError(f"a tensor on {self.device} does not turn into a NumPy array by itself: call .numpy()")
        if self.requires_grad and _mode.recording:
            raise RuntimeError(
                "a tensor that needs a gradient does not turn into a NumPy array by itself, since the gradient would "
                "be lost: take .detach().numpy() where none is wanted, or compute with the tensor's own functions"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

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

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        """As PyTorch: ``f"{loss:.4f}"`` formats the one number of a tensor without axes."""
        return format(self.item(), spec) if self.ndim == 0 else super().__format__(spec)

    def to(self, device: str | None = None, dtype: Any = None) -> "Tensor":
        """The tensor on another device or in another floating-point type.

        A change of type is differentiable; a move to another device starts a new graph.
        """
        target = backend.get(device) if device is not None else backend.of(self.data)
        moved = self
        if target is not backend.of(self.data):
            moved = Tensor(target.asarray(self.data), self.requires_grad)
        kind = moved.dtype if dtype is None else named(dtype)
        if kind != moved.dtype:
            if is_floating(kind) and is_floating(moved.dtype):
                return apply(elementwise.Cast(kind), moved)
            return Tensor(moved.data.astype(kind))
        return moved

    def astype(self, dtype: Any) -> "Tensor":
        """The tensor in another type."""
        return self.to(dtype=dtype)

    def detach(self) -> "Tensor":
        """The same values outside the graph, sharing memory."""
        detached = Tensor(self.data)
        if self._node is None and self._version is None:
            self._version = versions.Version()
        detached._version = self._version
        return detached

    # --- gradients ----------------------------------------------------------------------------------------------------

    @property
    def grad(self) -> "Tensor | None":
        """The accumulated gradient, None before the first."""
        return None if self._grad is None else Tensor(self._grad)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self.zero_grad()
            return
        array = backend.of(self.data).asarray(_array(value), dtype=self.dtype)
        if array.shape != self.shape:
            raise ShapeError(f"grad: expected shape {self.shape}, got {array.shape}")
        self.zero_grad()
        self.accumulate(array)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient; with ``set_to_none=False`` one that is there becomes zeros."""
        kept = not set_to_none and self._grad is not None
        self._grad = backend.array_module(self.data).zeros_like(self.data) if kept else None

    def grad_destination(self) -> Array | None:
        """Where a first gradient may be written in place; a Parameter in a flat buffer has such a place."""
        return None

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient, which is this tensor's own array from the first time on."""
        if grad.shape != self.shape:
            raise ShapeError(f"a gradient of shape {grad.shape} came to a tensor of shape {self.shape}")
        if self._grad is None:
            self._grad = grad.astype(self.dtype)  # always a copy: the array may be somebody's view
        else:
            self._grad += grad

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Add d self / d leaf, times ``grad``, to the ``.grad`` of every leaf that requires it.

        Args:
            grad: the gradient of what comes after with respect to this tensor; 1 for a scalar, else to be given.
            retain_graph: keep the graph for another backward pass.
        Raises:
            RuntimeError: the tensor has no graph, or it is gone.
            ShapeError: ``grad`` is missing for a tensor that is no scalar, or has another shape.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor does not require a gradient")
        if grad is None:
            if self.size != 1:
                raise ShapeError(f"backward: a gradient has to be given for a tensor of shape {self.shape}")
            known = self._node is not None and getattr(self._node.function, "starts", False)
            seed = None if known else backend.array_module(self.data).ones_like(self.data)
        else:
            seed = backend.of(self.data).asarray(_array(grad), dtype=self.dtype)
            if seed.shape != self.shape:
                raise ShapeError(f"backward: expected a gradient of shape {self.shape}, got {seed.shape}")
        if self._node is None:
            self.accumulate(seed)
            return
        _walk_back(self._node, self._index, seed, retain_graph)

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

    def __pos__(self) -> "Tensor":
        return self

    def __abs__(self) -> "Tensor":
        return apply(elementwise.Abs(), self)

    # --- in place -----------------------------------------------------------------------------------------------------

    def copy_(self, source: Any) -> "Tensor":
        """Copy values in, broadcast to this shape and cast to this type; returns this tensor.

        Raises:
            RuntimeError: this tensor belongs to a graph, or would while operations are recorded.
            ShapeError: the values do not fit.
        """
        return self._written("copy_", self._broadcast, source)

    def _broadcast(self, source: Any) -> "Tensor":
        array = backend.of(self.data).asarray(_array(source), dtype=self.dtype)
        try:
            return Tensor(backend.array_module(array).broadcast_to(array, self.shape))
        except ValueError:
            return Tensor(array)  # whose shape is then refused

    def fill_(self, value: float) -> "Tensor":
        """Make all elements this number; returns this tensor."""
        return self.copy_(value)

    def zero_(self) -> "Tensor":
        """Make all elements 0; returns this tensor."""
        return self.copy_(0)

    def __iadd__(self, other: Any) -> "Tensor":
        return self._changed("+=", self.__add__, other)

    def __isub__(self, other: Any) -> "Tensor":
        return self._changed("-=", self.__sub__, other)

    def __imul__(self, other: Any) -> "Tensor":
        return self._changed("*=", self.__mul__, other)

    def __itruediv__(self, other: Any) -> "Tensor":
        return self._changed("/=", self.__truediv__, other)

    def _changed(self, name: str, compute: Callable, other: Any) -> "Tensor":
        """In place for a leaf that requires a gradient, as ``w -= lr * w.grad`` under ``no_grad`` means it; of any
        other tensor a new one, so that no array that it shares is changed."""
        return self._written(name, compute, other) if self._node is None and self.requires_grad else compute(other)

    def _written(self, name: str, compute: Callable, other: Any) -> "Tensor":
        if self._node is not None or (_mode.recording and self.requires_grad):
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
        return Tensor(self.data == self._comparand(other))

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return Tensor(self.data != self._comparand(other))

    def __lt__(self, other: Any) -> "Tensor":
        return Tensor(self.data < self._comparand(other))

    def __le__(self, other: Any) -> "Tensor":
        return Tensor(self.data <= self._comparand(other))

    def __gt__(self, other: Any) -> "Tensor":
        return Tensor(self.data > self._comparand(other))

    def __ge__(self, other: Any) -> "Tensor":
        return Tensor(self.data >= self._comparand(other))

    def _comparand(self, other: Any) -> Any:
        """What to compare with: a number as it is, anything of several as an array on this device."""
        if isinstance(other, list | tuple):
            return backend.of(self.data).asarray(other)
        other = _array(other)
        if isinstance(other, np.generic):
            return other.item()  # NumPy's float64 scalar would compare a float32 in float64
        if hasattr(other, "dtype"):
            _check_devices("comparison", [self.data, other])
        return other

    __hash__ = object.__hash__  # by identity: two tensors are never the same key because their values agree

    # --- functions ----------------------------------------------------------------------------------------------------

    def exp(self) -> "Tensor":
        """e to the power of each element."""
        return apply(elementwise.Exp(), self)

    def log(self) -> "Tensor":
        """The natural logarithm of each element."""
        return apply(elementwise.Log(), self)

    def sqrt(self) -> "Tensor":
        """The square root of each element."""
        return apply(elementwise.Sqrt(), self)

    def abs(self) -> "Tensor":
        """The absolute value of each element."""
        return apply(elementwise.Abs(), self)

    def clip(self, min: Any = None, max: Any = None) -> "Tensor":
        """Each element, no smaller than ``min`` and no larger than ``max``: numbers, or tensors that get a gradient.

        Raises:
            ArgumentError: neither is given.
        """
        return clip(self, min, max)

    def sum(
        self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None, keepdim: bool | None = None
    ) -> "Tensor":
        """The sum over the axes, over all without any."""
        return apply(reduce.Sum(axes.several("sum", self.shape, axis, dim), axes.kept(keepdims, keepdim)), self)

    def mean(
        self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None, keepdim: bool | None = None
    ) -> "Tensor":
        """The mean over the axes, over all without any."""
        return apply(reduce.Mean(axes.several("mean", self.shape, axis, dim), axes.kept(keepdims, keepdim)), self)

    def max(self, *positional: Any, axis: reduce.Axis = None, keepdims: bool = False, dim: Any = None,
            keepdim: bool | None = None) -> Any:  # fmt: skip
        """The largest element.

        Args:
            axis: where to look, an axis or several, all without any. Where several elements reach the largest they
                share the gradient (``torch.amax``'s rule).
            dim: one axis; gives the largest and their indices, ``values`` and ``indices`` of a named tuple, as
                ``torch.max(x, dim)``. The whole gradient goes to the one at the index.
            keepdims, keepdim: leave the axes there, with length 1.
        Raises:
            ArgumentTypeError: an axis without a name, which NumPy and PyTorch read in these two ways.
        """
        return self._extreme("max", positional, axis, dim, axes.kept(keepdims, keepdim))

    def min(self, *positional: Any, axis: reduce.Axis = None, keepdims: bool = False, dim: Any = None,
            keepdim: bool | None = None) -> Any:  # fmt: skip
        """The smallest element; arguments and errors as :meth:`max` has them."""
        return self._extreme("min", positional, axis, dim, axes.kept(keepdims, keepdim))

    def _extreme(self, name: str, positional: tuple, axis: reduce.Axis, dim: Any, keepdims: bool) -> Any:
        axis = axes.refuse_positional(name, positional) if positional else axis
        if dim is None:
            return apply(reduce.Extreme(name, axes.several(name, self.shape, axis), keepdims), self)
        place = axes.single(name, self.shape, axis, dim)
        indices = reduce.places_of(name, self.data, place)
        values = apply(reduce.Picked(indices, place, keepdims), self)
        return Extremes(values, Tensor(indices if keepdims or not self.ndim else indices.squeeze(place)))

    def var(
        self,
        axis: reduce.Axis = None,
        *,
        correction: int = 1,
        keepdims: bool = False,
        dim: reduce.Axis = None,
        keepdim: bool | None = None,
    ) -> "Tensor":
        """The variance, over n - ``correction``: by default unbiased, as in PyTorch (NumPy's default is 0)."""
        if correction is None:
            raise ArgumentError("var: correction is a number (1 is the unbiased variance), got None")
        over = axes.several("var", self.shape, axis, dim)
        return apply(reduce.Var(over, correction, axes.kept(keepdims, keepdim)), self)

    def argmax(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
               keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The index of the largest element, the first where several reach it; without a gradient."""
        if axis is None and dim is None:
            return Tensor(reduce.places_of("max", self.data.reshape(-1), 0).reshape(()))
        place = axes.single("argmax", self.shape, axis, dim)
        found = reduce.places_of("max", self.data, place)
        return Tensor(found if axes.kept(keepdims, keepdim) or not self.ndim else found.squeeze(place))

    def reshape(self, *new_shape: Any) -> "Tensor":
        """The elements, row by row, in another shape; one length may be -1."""
        return apply(shape.Reshape(_flat_arguments(new_shape)), self)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "Tensor":
        """The axes from ``start_dim`` to ``end_dim``, both included, as one.

        Raises:
            ShapeError: there is no such axis, or the first comes after the last.
        """
        first, last = (axes.single("flatten", self.shape, one) for one in (start_dim, end_dim))
        if first > last:
            raise ShapeError(f"flatten: the first axis comes after the last, got {start_dim} and {end_dim}")
        length = math.prod(self.shape[first : last + 1])
        return self.reshape(*self.shape[:first], length, *self.shape[last + 1 :])

    def transpose(self, *order: Any) -> "Tensor":
        """Two axes swapped, as ``torch.transpose``; or all in the order that is given, reversed without one.

        Args:
            order: two whole numbers swap these axes, of a tensor of any shape; three or more, or a tuple, name all axes
                in their new order, as in NumPy. A tuple of two is the order of a matrix's axes: ``(0, 1)`` changes
                nothing.
        Raises:
            AxisError: an axis is not there or named twice, or an order does not name all.
        """
        if len(order) == 2 and not isinstance(order[0], tuple | list):
            first, second = (axes.single("transpose", self.shape, axis) for axis in order)
            places = list(range(self.ndim))
            if places:
                places[first], places[second] = second, first
            return apply(shape.Transpose(tuple(places)), self)
        return apply(shape.Transpose(axes.order("transpose", self.shape, _flat_arguments(order))), self)

    @property
    def T(self) -> "Tensor":
        """The axes in reverse."""
        return self.transpose()

    def __getitem__(self, index: Any) -> "Tensor":
        parts = index if isinstance(index, tuple) else (index,)
        plain = tuple(self._index_part(part) for part in parts)
        return apply(shape.GetItem(plain if isinstance(index, tuple) else plain[0]), self)

    def _index_part(self, part: Any) -> Any:
        """A slice or number as it is; indices and masks as an array on this tensor's device."""
        part = _array(part)
        if isinstance(part, list) and not part:
            part = np.zeros(0, dtype=np.int64)  # as an array an empty list would hold floating-point numbers
        return backend.of(self.data).asarray(part) if isinstance(part, list) or hasattr(part, "dtype") else part

    def __iter__(self) -> Iterator["Tensor"]:
        if self.ndim == 0:
            raise TypeError("a tensor without axes cannot be iterated")
        return (self[i] for i in range(len(self)))


class Extremes(NamedTuple):
    """The largest or smallest elements along one axis, and where they are, as PyTorch's ``max(dim=)`` gives them."""

    values: Tensor
    indices: Tensor


def paired(first: Any, second: Any) -> tuple[Any, Any]:
    """Two operands, at least one a tensor, in types that give a result of the right type, see :mod:`promotion`.

    Numbers stay Python's own; anything else becomes a tensor.
    """
    if not isinstance(first, Tensor):
        other, one = paired(second if isinstance(second, Tensor) else as_tensor(second), first)
        return one, other
    if isinstance(second, np.generic):
        second = second.item()
    if isinstance(second, int | float):
        kind = promotion.beside_number(first.data.dtype, second)
        return (first if kind == first.data.dtype else first.to(dtype=kind)), second
    second = as_tensor(second, like=first)
    if first.data.dtype == second.data.dtype:
        return first, second
    kind = promotion.result_type(first.data, second.data)
    return first.to(dtype=kind), second.to(dtype=kind)


def of_one_type(name: str, given: Iterable[Any]) -> list[Tensor]:
    """Tensors and arrays that are to be joined, as tensors of the type that holds them all.

    Raises:
        ArgumentTypeError: one is neither a tensor nor an array.
        ShapeError: there is none.
    """
    given = list(given)
    strange = next((one for one in given if not hasattr(one, "dtype")), None)
    if strange is not None:
        raise ArgumentTypeError(f"{name}: expected tensors, got a {type(strange).__name__}")
    if not given:
        raise ShapeError(f"{name}: expected at least one tensor, got none")
    tensors = [as_tensor(one) for one in given]
    kind = promotion.common_type(tensors)
    return [one if one.dtype == kind else one.to(dtype=kind) for one in tensors]


def clip(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    """Each element of x, no smaller than ``low`` and no larger than ``high``; each a number, an array or a tensor.

    Raises:
        ArgumentError: neither is given.
    """
    if low is None and high is None:
        raise ArgumentError("clip: expected a lower or an upper bound, got none")
    bounds = []
    for bound in (low, high):
        if bound is not None:
            x, bound = paired(x, bound)
        bounds.append(bound)
    return apply(elementwise.Clip(), x, *bounds)


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A new tensor from an array, number or nested list, on ``device`` or the current one.

    Python numbers become float32 or int64; an array keeps its type. Always a copy, as ``torch.tensor``.

    Raises:
        TypeError: ``requires_grad`` on integers, or data that is no array of numbers.
    """
    target = backend.get(device) if device is not None else backend.current()
    raw = _array(data)
    if dtype is None and not hasattr(raw, "dtype"):
        raw = np.asarray(raw)
        dtype = DEFAULT_DTYPE if np.issubdtype(raw.dtype, np.floating) else None
    array = target.asarray(raw, dtype=None if dtype is None else named(dtype))
    if array.dtype.kind not in "biu" and not is_floating(array.dtype):
        raise TypeError(f"a tensor holds numbers, got elements of type {array.dtype}")
    if requires_grad and not is_floating(array.dtype):
        raise TypeError(f"only floating-point tensors can require a gradient, got {array.dtype}")
    return Tensor(array.copy() if array is raw or target.kind == "cpu" else array, requires_grad)


def as_tensor(value: Any, *, like: Tensor | None = None) -> Tensor:
    """A tensor as it is; anything else as a constant, plain numbers in the type of ``like``, sharing memory."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "dtype"):
        return Tensor(np.asarray(value) if isinstance(value, np.generic) else value)
    if like is None:
        return tensor(value)
    raw = np.asarray(value)
    number = raw.dtype.kind in "biuf"
    weaker = number and promotion.rank(raw.dtype) <= promotion.rank(like.dtype)
    kind = like.dtype if weaker else DEFAULT_DTYPE if number else None  # as a number beside it, see beside_number
    return tensor(raw, dtype=kind, device=like.device)


def _walk_back(node: Node, index: int, seed: Array | None, retain_graph: bool) -> None:
    """Send gradients from a node to the leaves. A node made later is done earlier: then all its users are done."""
    pending: dict[Node, list] = {}
    owned: set[tuple[Node, int]] = set()  # sums made here, which may be added to in place
    heap: list[tuple[int, Node]] = []

    def receive(target: Node, at: int, grad: Array) -> None:
        douts = pending.get(target)
        if douts is None:
            douts = pending[target] = [None] * target.outputs
            heapq.heappush(heap, (-target.order, target))
        if douts[at] is None:
            douts[at] = grad
        elif (target, at) in owned:
            douts[at] += grad
        else:
            douts[at] = add(douts[at], grad) if douts[at].shape == grad.shape else douts[at] + grad
            owned.add((target, at))

    receive(node, index, seed)
    while heap:
        _, current = heapq.heappop(heap)
        for parent, grad in current.backward(pending.pop(current), retain_graph):
            if isinstance(parent, Tensor):
                parent.accumulate(grad)
            else:
                receive(*parent, grad)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _flat_arguments(arguments: tuple) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(arguments) == 1 and isinstance(arguments[0], tuple | list):
        return tuple(arguments[0])
    return arguments
