"""Gradients as values: ``dl.autograd.grad(loss, weights)``, which leaves every ``.grad`` as it is."""

from collections.abc import Sequence
from typing import Any

from dlcourse import backend
from dlcourse.autograd.base import TensorBase, array_of, new
from dlcourse.autograd.graph import Node, refuse_create_graph, seen_by_leaf, walk_back
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError, ArgumentTypeError

__all__ = ["grad"]


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d outputs / d input for each of the inputs, leaves or results in between: ``torch.autograd.grad``.

    Args:
        outputs: a tensor or several, whose gradients are added.
        inputs: a tensor or several, each of which requires a gradient.
        grad_outputs: for each output the gradient of what comes after; 1 for a scalar.
        retain_graph: keep the graph for another pass.
        create_graph: False; gradients have no graph of their own.
        allow_unused: None for an input that the outputs do not depend on, in place of an error.
    Raises:
        ValueError: ``create_graph``, or an input that is not used.
        RuntimeError: an output or an input does not require a gradient, or the graph is gone.
        ShapeError: a gradient is missing for an output that is no scalar, or has another shape.
    Example:
        >>> x = dl.tensor([1.0, 2.0], requires_grad=True)
        >>> dl.autograd.grad((x * x).sum(), x)[0].tolist()
        [2.0, 4.0]
    """
    refuse_create_graph("autograd.grad", create_graph)
    outputs, inputs = _several("outputs", outputs), _several("inputs", inputs)
    seeds = [None] * len(outputs) if grad_outputs is None else _several("grad_outputs", grad_outputs, len(outputs))
    for x in inputs:
        if not x.requires_grad:
            raise RuntimeError("autograd.grad: an input does not require a gradient; see x.requires_grad_()")
    found = Collected(inputs)
    for i, (y, given) in enumerate(zip(outputs, seeds, strict=True)):
        seed = y._seed(given)
        if seed is None:
            seed = backend.array_module(y.data).ones_like(y.data)
        if y._node is None:
            found.leaf(y, seen_by_leaf(y, seed))
        else:
            walk_back(y._node, y._index, seed, bool(retain_graph) or i + 1 < len(outputs), found)
    grads = [found.of(x) for x in inputs]
    unused = [i for i, each in enumerate(grads) if each is None]
    if unused and not allow_unused:
        raise ArgumentError(
            f"autograd.grad: input {', '.join(map(str, unused))} was not used for the outputs; allow_unused=True gives "
            "None for it"
        )
    return tuple(None if each is None else new(each) for each in grads)


class Collected:
    """What arrives at some tensors on a walk back."""

    def __init__(self, wanted: Sequence[TensorBase]):
        self.sums: dict[Any, Array] = {}
        self.wanted = {_key(x) for x in wanted}

    def of(self, x: TensorBase) -> Array | None:
        """The gradient of a tensor, None where nothing came."""
        return self.sums.get(_key(x))

    def leaf(self, x: TensorBase, grad: Array) -> None:
        """A gradient came to a leaf."""
        self._add(id(x), grad)

    def node(self, node: Node, grads: list) -> None:
        """The gradients of a node's outputs are complete."""
        for index, grad in enumerate(grads):
            for part in grad if isinstance(grad, tuple) else (grad,):
                if part is not None:
                    self._add((node, index), part)

    def _add(self, key: Any, grad: Array) -> None:
        if key in self.wanted:
            self.sums[key] = self.sums[key] + grad if key in self.sums else grad.copy()


def _key(x: TensorBase) -> Any:
    return id(x) if x._node is None else (x._node, x._index)


def _several(name: str, given: Any, count: int | None = None) -> list:
    """One or several tensors as a list."""
    several = list(given) if isinstance(given, tuple | list) else [given]
    if name != "grad_outputs" and not all(isinstance(x, TensorBase) for x in several):
        raise ArgumentTypeError(f"autograd.grad: {name} are tensors, got {type(several[0]).__name__}")
    if count is not None and len(several) != count:
        raise ArgumentError(f"autograd.grad: expected {count} {name}, one for each output, got {len(several)}")
    return [None if x is None else array_of(x) for x in several] if name == "grad_outputs" else several
