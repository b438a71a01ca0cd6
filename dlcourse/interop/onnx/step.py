"""One operation of a model on its way into a graph, and the table of what writes which."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from dlcourse.autograd import Function
from dlcourse.autograd.base import array_of
from dlcourse.interop.onnx.graph import Dims, Graph, Unsayable, Value

__all__ = ["EXPORTERS", "Step", "exporter_of", "exports"]

Exporter = Callable[..., Any]
E = TypeVar("E", bound=Exporter)

EXPORTERS: dict[type[Function], Exporter] = {}
"""By class of the operation, the function that writes its nodes."""


def exports(*kinds: type[Function]) -> Callable[[E], E]:
    """Say that a function writes the ONNX nodes of these operations, and of classes derived from them.

    It is called with a :class:`Step` and with the inputs, values of the graph or numbers, and returns the result, a
    :class:`~dlcourse.interop.onnx.graph.Value`, or a tuple of them::

        @exports(Softplus)
        def softplus(step, x):
            return step.graph.node("Softplus", x)
    """

    def register(write: E) -> E:
        EXPORTERS.update(dict.fromkeys(kinds, write))
        return write

    return register


def exporter_of(kind: type[Function]) -> Exporter | None:
    """What writes the nodes of such an operation; None where nothing does."""
    return next((EXPORTERS[each] for each in kind.__mro__ if each in EXPORTERS), None)


class Step:
    """What an exporter knows of one operation.

    Attributes:
        graph: where its nodes go.
        function: the operation with its settings.
        out: the shape of each result, and its type.
        known: makes a value of the arrays that stand for it in the traces.
    """

    def __init__(
        self,
        graph: Graph,
        functions: Sequence[Function],
        out: Sequence[tuple[Dims, Any]],
        known: Callable[[list[Any]], Any],
    ):
        self.graph, self.functions, self.known = graph, functions, known
        self.function: Any = functions[0]
        self.out = list(out)

    @property
    def dims(self) -> Dims:
        """The shape of the first result."""
        return self.out[0][0]

    @property
    def dtype(self) -> np.dtype:
        """The type of the first result."""
        return self.out[0][1]

    def setting(self, of: Callable[[Any], Any]) -> Any:
        """A setting of the operation: what it is in all traces, an array as a value.

        Args:
            of: takes it from the operation, as in ``lambda function: function.mask``.
        Raises:
            Unsayable: it differs between inputs.
        """
        found = [of(function) for function in self.functions]
        if found[0] is None:
            return None
        if hasattr(array_of(found[0]), "dtype"):
            return self.known(found)
        if any(each != found[0] for each in found):
            raise Unsayable(f"{type(self.function).__name__} has another setting for inputs of another size")
        return found[0]

    def in_one_type(self, *operands: Any) -> list[Any]:
        """The operands, values in the type of the result."""
        return [x.cast(self.dtype) if isinstance(x, Value) else x for x in operands]
