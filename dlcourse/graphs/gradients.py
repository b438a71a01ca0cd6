"""The gradients at each node of a graph: that which comes from above, and the local ones."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd.base import TensorBase
from dlcourse.autograd.graph import walk_back
from dlcourse.backend.device import Array
from dlcourse.backend.precision import as_dtype
from dlcourse.graphs.structure import Node

LOCAL = 36
"""A local gradient is shown where value and operand have so many elements at most, multiplied with each other."""


class Upstream:
    """The gradients of outputs that arrive at each node and leaf; of several outputs those of their sum."""

    def __init__(self) -> None:
        self._sums: dict[Any, Array] = {}

    def walk(self, outputs: list[TensorBase]) -> None:
        """Go back from outputs that want a gradient; the graph stays for another backward pass."""
        for y in outputs:
            ones = backend.array_module(y.data).ones_like(y.data)
            if y._node is None:
                self.leaf(y, ones)
            else:
                walk_back(y._node, y._index, ones, True, self)

    def of(self, key: Any) -> np.ndarray | None:
        """On the host: of a result by its node and place, of a leaf by its identity."""
        found = self._sums.get(key)
        return None if found is None else np.array(backend.to_host(found))

    def leaf(self, x: TensorBase, grad: Array) -> None:
        """A gradient came to a leaf."""
        self._add(id(x), grad)

    def node(self, node: Any, grads: list) -> None:
        """The gradients of an operation's results are complete."""
        for index, grad in enumerate(grads):
            for part in grad if isinstance(grad, tuple) else (grad,):
                if part is not None:
                    self._add((node, index), part)

    def _add(self, key: Any, grad: Array) -> None:
        self._sums[key] = self._sums[key] + grad if key in self._sums else grad.copy()


def add_local(node: Node, place: backend.Backend) -> None:
    """Put the local gradients of an operation into its node, and let go of the function.

    Args:
        place: the device on which it was computed.
    """
    function, node.function = node.function, None
    node.local = [None] * len(node.sources)
    if function is None or len(node.values) != 1 or not any(function.needs_input_grad):
        return
    size = int(np.prod(node.shape))
    for index, source in enumerate(node.sources):
        position, shape = source.position, source.node.values[source.output].shape
        if position is not None and function.needs_input_grad[position] and size * int(np.prod(shape)) <= LOCAL:
            node.local[index] = _derivative(function, position, node, shape, place)


def _derivative(function: Any, position: int, node: Node, shape: tuple[int, ...], place: backend.Backend) -> np.ndarray:
    """d value / d operand, an element of the value after another: each a backward pass of the operation alone."""
    function.grad_buffers = (None,) * len(function.needs_input_grad)
    function.earlier_grad = None
    size = int(np.prod(node.shape))
    rows = np.empty((size, int(np.prod(shape))))
    for row, one in enumerate(np.eye(size)):
        seed = place.asarray(one.reshape(node.shape).astype(as_dtype(node.values[0].dtype)))
        dins = function.backward(seed)
        din = dins[position] if isinstance(dins, tuple) else dins
        rows[row] = np.asarray(backend.to_host(din), dtype=np.float64).ravel()
    if node.shape == shape and np.array_equal(rows, np.diag(rows.diagonal())):
        return rows.diagonal().reshape(shape)
    return rows.reshape(node.shape + shape)
