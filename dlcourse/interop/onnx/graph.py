"""A graph of ONNX nodes as it is written: values with operators, constants, sizes that are known at run time only."""

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlcourse.errors import UserError

__all__ = ["Dims", "Graph", "Unsayable", "Value"]

Dim = int | tuple[int, ...]
"""A length; several where it differs between the traces, one for each: then it is known at run time only."""
Dims = tuple[Dim, ...]


class Unsayable(UserError):
    """ONNX cannot say what the model computes, or not for inputs of any size."""


class Value:
    """A result, an input or a constant of the graph, with operators that add nodes to it.

    Attributes:
        name: in the graph; None of a constant that no node has read yet.
        dtype: of the elements.
        dims: its shape; None where it is not known.
        array: of a constant.
        fill: the only number in it, where its shape is known at run time only.
    """

    def __init__(
        self, graph: "Graph", name: str | None, dtype: Any, dims: Dims | None = None, array: np.ndarray | None = None
    ):
        self.graph, self.name, self.dtype, self.dims, self.array = graph, name, np.dtype(dtype), dims, array
        self.fill: float | None = None

    @property
    def shape(self) -> Dims:
        """The shape, where it is known."""
        assert self.dims is not None, "only inputs, constants and what a trace has seen have a shape"
        return self.dims

    @property
    def ndim(self) -> int:
        """How many axes, where that is known."""
        return len(self.shape)

    def cast(self, dtype: Any) -> "Value":
        """The same numbers in another type."""
        if np.dtype(dtype) == self.dtype:
            return self
        if self.array is not None:
            return self.graph.constant(self.array.astype(dtype), self.name_wanted)
        to = self.graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.graph.node("Cast", self, dtype=dtype, to=to)

    def transpose(self, *axes: int) -> "Value":
        """The axes in another order; of a constant at once."""
        if self.array is not None:
            return self.graph.constant(np.ascontiguousarray(self.array.transpose(axes)), self.name_wanted)
        return self.graph.node("Transpose", self, perm=list(axes))

    name_wanted: str | None = None
    """What a constant shall be called: the name of the parameter that it is."""

    def _pair(self, op: str, other: Any, turned: bool = False, dtype: Any = None) -> "Value":
        operands = (other, self) if turned else (self, other)
        return self.graph.node(op, *operands, dtype=dtype)

    def __add__(self, other: Any) -> "Value":
        return self._pair("Add", other)

    def __radd__(self, other: Any) -> "Value":
        return self._pair("Add", other, turned=True)

    def __sub__(self, other: Any) -> "Value":
        return self._pair("Sub", other)

    def __rsub__(self, other: Any) -> "Value":
        return self._pair("Sub", other, turned=True)

    def __mul__(self, other: Any) -> "Value":
        return self._pair("Mul", other)

    def __rmul__(self, other: Any) -> "Value":
        return self._pair("Mul", other, turned=True)

    def __truediv__(self, other: Any) -> "Value":
        return self._pair("Div", other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self._pair("Div", other, turned=True)

    def __pow__(self, other: Any) -> "Value":
        return self._pair("Pow", other)

    def __matmul__(self, other: Any) -> "Value":
        return self._pair("MatMul", other)

    def __neg__(self) -> "Value":
        return self.graph.node("Neg", self)

    def __abs__(self) -> "Value":
        return self.graph.node("Abs", self)

    def __gt__(self, other: Any) -> "Value":
        return self._pair("Greater", other, dtype=bool)

    def __ge__(self, other: Any) -> "Value":
        return self._pair("GreaterOrEqual", other, dtype=bool)

    def __lt__(self, other: Any) -> "Value":
        return self._pair("Less", other, dtype=bool)

    def __le__(self, other: Any) -> "Value":
        return self._pair("LessOrEqual", other, dtype=bool)

    def __and__(self, other: Any) -> "Value":
        return self._pair("And", other)

    def __or__(self, other: Any) -> "Value":
        return self._pair("Or", other)

    def __invert__(self) -> "Value":
        return self.graph.node("Not", self)

    def equal(self, other: Any) -> "Value":
        """Where it is this number."""
        return self._pair("Equal", other, dtype=bool)


class Graph:
    """Nodes in the order in which they run, and the constants that they read."""

    def __init__(self, onnx: Any):
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: list[Value] = []
        self._small: dict[tuple, str] = {}
        self._count = 0

    def input(self, name: str, dtype: Any, dims: Dims) -> Value:
        """One of the graph's inputs."""
        self.inputs.append(Value(self, name, dtype, dims))
        return self.inputs[-1]

    def constant(self, array: Any, name: str | None = None) -> Value:
        """An array, stored where a node reads it."""
        array = np.asarray(array)
        value = Value(self, None, array.dtype, array.shape, array)
        value.name_wanted = name
        return value

    def node(self, op: str, *operands: Any, outputs: int = 1, dtype: Any = None, **attributes: Any) -> Any:
        """Add a node; operands are values, arrays, numbers in the type of the first value, or None for none.

        Args:
            dtype: of the results, that of the first operand if left out.
        Returns:
            Its result, or a list of several.
        """
        first = next((x for x in operands if isinstance(x, Value)), None)
        like = np.dtype("float32") if first is None else first.dtype
        read = [self._name(x, like) for x in operands]
        while read and not read[-1]:
            read.pop()
        self._count += 1
        names = [f"{op}_{self._count}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(op, read, names, name=f"{op}_{self._count}", **attributes))
        made = [Value(self, name, like if dtype is None else dtype) for name in names]
        return made if outputs > 1 else made[0]

    def _name(self, operand: Any, like: np.dtype) -> str:
        if operand is None:
            return ""
        if not isinstance(operand, Value):
            number = isinstance(operand, numbers.Number | np.generic)
            operand = self.constant(np.asarray(operand, dtype=like if number else None))
        if operand.name is None:
            operand.name = self._stored(operand.array, operand.name_wanted)
        return operand.name

    def _stored(self, array: np.ndarray, wanted: str | None) -> str:
        key = (array.dtype.str, array.shape, array.tobytes()) if array.nbytes <= 4096 or wanted else None
        if key in self._small:
            return self._small[key]
        name = wanted or f"constant_{len(self.constants)}"
        while name in self.constants:
            name += "_"
        self.constants[name] = array
        if key is not None:
            self._small[key] = name
        return name

    # --- sizes --------------------------------------------------------------------------------------------------------

    def sizes(self, dims: Iterable[Dim], near: Sequence[Value] = ()) -> Value:
        """These lengths as a vector: a constant, or read from shapes that have them at run time.

        Raises:
            Unsayable: no input has such a length.
        """
        wanted = tuple(dims)
        if all(isinstance(dim, int) for dim in wanted):
            return self.constant(np.array(wanted, dtype=np.int64))
        return self.node("Concat", *(self.size(dim, near) for dim in wanted), dtype=np.int64, axis=0)

    def size(self, dim: Dim, near: Sequence[Value] = ()) -> Value:
        """One length as a vector of one number."""
        if isinstance(dim, int):
            return self.constant(np.array([dim], dtype=np.int64))
        for value in (*near, *self.inputs):
            if value.dims is not None and dim in value.dims:
                shape = self.node("Shape", value, dtype=np.int64)
                return self.node("Gather", shape, np.array([value.dims.index(dim)], dtype=np.int64))
        raise Unsayable(f"a length that was {' and '.join(map(str, dict.fromkeys(dim)))} is that of no input")

    # --- what several exporters need ----------------------------------------------------------------------------------

    def reduce(self, kind: str, x: Value, axes: Sequence[int], keepdims: bool) -> Value:
        """A sum, mean, ... over axes: ``kind`` is Sum, Mean, Max, Min, Prod, L2 or LogSumExp."""
        return self.node(f"Reduce{kind}", x, np.array(axes, dtype=np.int64), keepdims=int(keepdims))

    def squeeze(self, x: Value, *axes: int) -> Value:
        """Without axes of length 1."""
        return self.node("Squeeze", x, np.array(axes, dtype=np.int64))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        """With new axes of length 1."""
        return self.node("Unsqueeze", x, np.array(axes, dtype=np.int64))

    def where(self, condition: Any, a: Any, b: Any) -> Value:
        """a where the condition holds, else b."""
        like = next(x.dtype for x in (a, b, condition) if isinstance(x, Value))
        like = np.dtype("float32") if like.kind == "b" else like
        a, b = (x if isinstance(x, Value) else self.constant(np.asarray(x, dtype=like)) for x in (a, b))
        if a.dtype.kind == "b":  # which onnxruntime does not choose between
            return (condition & a) | (~condition & b)
        return self.node("Where", condition, a, b, dtype=a.dtype)
