"""From forward passes to a graph: what is the same in all of them is a constant, what differs has to come from the
inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlcourse.autograd import Function, Parameter
from dlcourse.autograd.base import array_of
from dlcourse.autograd.function import name_of
from dlcourse.interop.onnx import (  # noqa: F401  # they fill the table of exporters
    arithmetic,
    images,
    layers,
    without_gradient,
)
from dlcourse.interop.onnx.graph import Dims, Graph, Unsayable, Value
from dlcourse.interop.onnx.step import Step, exporter_of
from dlcourse.interop.trace import Call, Trace

__all__ = ["Conversion"]


class Conversion:
    """Writes the operations of traces of one model, made with inputs of several sizes, as a graph.

    Attributes:
        graph: the nodes.
        outputs: the results, in the order in which the model returns them.
    Raises:
        Unsayable: the traces have other operations, or one that ONNX does not have, or values that come from the input
            by code that is not recorded.
    """

    def __init__(self, onnx: Any, traces: Sequence[Trace], names: Mapping[int, str]):
        """
        Args:
            names: of parameters, by identity.
        """
        self.graph, self.names = Graph(onnx), names
        self.known: list[dict[int, Value]] = [{} for _ in traces]
        for number, given in enumerate(zip(*(trace.inputs for trace in traces), strict=True)):
            arrays = [array_of(x) for x in given]
            name = "input" if number == 0 else f"input_{number}"
            self._remember(arrays, self.graph.input(name, arrays[0].dtype, dims_of(arrays)))
        if len({len(trace.calls) for trace in traces}) > 1:
            raise Unsayable("the model does other operations for inputs of another size")
        for calls in zip(*(trace.calls for trace in traces), strict=True):
            self._add(calls)
        self.outputs = [self._output(found) for found in zip(*(trace.outputs for trace in traces), strict=True)]

    def _remember(self, arrays: Sequence[Any], value: Value) -> None:
        for known, array in zip(self.known, arrays, strict=True):
            known[id(array)] = value

    def _add(self, calls: Sequence[Call]) -> None:
        functions = [_innermost(call.function) for call in calls]
        kind = type(functions[0])
        if any(type(function) is not kind for function in functions):
            raise Unsayable("the model does other operations for inputs of another size")
        out = [list(map(array_of, each)) for each in zip(*(call.outputs for call in calls), strict=True)]
        if not self._depends(calls[0], functions[0]) and all(map(_alike, out)):
            return  # constants: taken as they are where something reads them
        write = exporter_of(kind)
        if write is None:
            raise Unsayable(f"there is no way yet to say {name_of(functions[0])} in ONNX")
        operands = [self._operand(list(each)) for each in zip(*(call.inputs for call in calls), strict=True)]
        shapes = [(dims_of(arrays), arrays[0].dtype) for arrays in out]
        step = Step(self.graph, functions, shapes, self._operand)
        found = write(step, *operands)
        for value, arrays, (dims, dtype) in zip(
            found if isinstance(found, tuple) else (found,), out, shapes, strict=True
        ):
            copy = Value(self.graph, value.name, dtype, dims, value.array)
            copy.name_wanted = value.name_wanted
            self._remember(arrays, copy)

    def _depends(self, call: Call, function: Function) -> bool:
        """Whether an input or a setting comes from the graph's inputs."""
        arrays = [array_of(x) for x in (*call.inputs, *vars(function).values())]
        return any(id(array) in self.known[0] for array in arrays)

    def _operand(self, found: list[Any]) -> Any:
        """What an operation reads: a value of the graph, a constant, or a number."""
        arrays = [array_of(x) for x in found]
        if not hasattr(arrays[0], "dtype"):
            if any(each != arrays[0] for each in arrays):
                raise Unsayable("a number in the model depends on the size of the input")
            return arrays[0]
        values = [known.get(id(array)) for known, array in zip(self.known, arrays, strict=True)]
        if values[0] is not None:
            return values[0]
        if _alike(arrays):
            name = self.names.get(id(found[0])) if isinstance(found[0], Parameter) else None
            return self.graph.constant(arrays[0], name)
        return self._range(arrays) or self._filled(arrays)

    def _range(self, arrays: list[np.ndarray]) -> Value | None:
        """Whole numbers one after another along an axis whose length is known at run time only, as ``arange`` gives
        them; None if they are others."""
        dims = dims_of(arrays)
        long = [axis for axis, dim in enumerate(dims) if dim != 1]
        if len(long) != 1 or not all(array.size for array in arrays):
            return None
        start = arrays[0].flat[0]
        if not np.isfinite(start) or start != int(start):
            return None
        if any((array.reshape(-1) != start + np.arange(array.size)).any() for array in arrays):
            return None
        ends = (int(start), self.graph.squeeze(self.graph.size(dims[long[0]]), 0) + int(start), 1)
        found = self.graph.node("Range", *ends, dtype=np.int64)
        if len(dims) > 1:
            found = self.graph.unsqueeze(found, *(axis for axis in range(len(dims)) if axis not in long))
        found = found.cast(arrays[0].dtype)
        found.dims = dims
        return found

    def _filled(self, arrays: list[np.ndarray]) -> Value:
        """One number in a shape that is known at run time only."""
        dims = dims_of(arrays)
        numbers = {array.flat[0].item() for array in arrays if array.size}
        fixed = all(isinstance(dim, int) for dim in dims)
        if len(numbers) != 1 or fixed or any((a != a.flat[0]).any() for a in arrays if a.size):
            raise Unsayable(
                "an array in the model depends on the input by code that is not recorded, as NumPy's on x.data, or on "
                "its size"
            )
        (number,) = numbers
        scalar = np.asarray(number, dtype=arrays[0].dtype)
        value = self.graph.node("Expand", scalar, self.graph.sizes(dims), dtype=scalar.dtype)
        value.dims, value.fill = dims, float(number)
        return value

    def _output(self, found: Sequence[Any]) -> Value:
        arrays = [array_of(x) for x in found]
        value = self.known[0].get(id(arrays[0]))
        if value is None and _alike(arrays):
            raise Unsayable("an output of the model is the same for every input")
        if value is None:
            raise Unsayable("an output of the model comes from code that is not recorded, as NumPy's on x.data")
        return value


def _innermost(function: Any) -> Any:
    """The operation itself, without the one that computes it in float32."""
    from dlcourse.autograd.function import InFloat32

    return function.function if isinstance(function, InFloat32) else function


def _alike(arrays: Sequence[Any]) -> bool:
    first = arrays[0]
    if not all(each.shape == first.shape for each in arrays):
        return False
    return all(each is first or np.array_equal(each, first, equal_nan=each.dtype.kind == "f") for each in arrays)


def dims_of(arrays: Sequence[Any]) -> Dims:
    """The shape of one array of each trace: a number where all have it, else all of theirs."""
    if len({array.ndim for array in arrays}) > 1:
        raise Unsayable("the model has arrays of other numbers of axes for inputs of another size")
    return tuple(
        lengths[0] if len(set(lengths)) == 1 else lengths for lengths in zip(*(a.shape for a in arrays), strict=True)
    )
