"""The operations of a forward pass, in the order in which they ran."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlcourse.autograd import Function, Tensor, no_grad
from dlcourse.autograd.base import array_of
from dlcourse.autograd.graph import observing
from dlcourse.errors import ArgumentError
from dlcourse.nn import Embedding, Module
from dlcourse.special_tokens import PAD

__all__ = ["Call", "Trace", "input_shape", "sample", "trace"]


class Call(NamedTuple):
    """One operation.

    Attributes:
        inputs: tensors and numbers.
        outputs: tensors.
    """

    function: Function
    inputs: tuple[Any, ...]
    outputs: tuple[Tensor, ...]


class Trace(NamedTuple):
    """A forward pass: what went in, the operations, and what came out."""

    inputs: tuple[Any, ...]
    calls: list[Call]
    outputs: tuple[Tensor, ...]


def trace(compute: Callable, inputs: Sequence[Any], model: Module | None = None) -> Trace:
    """Run a model, or any function of tensors, in evaluation mode and note each operation.

    Args:
        model: that a function calls, which is no model itself.
    Raises:
        ArgumentError: it returns something other than tensors.
    """
    given = tuple(_input(x) for x in inputs)
    calls: list[Call] = []
    called = compute if isinstance(compute, Module) else model
    before = [] if called is None else [(module, module.training) for module in called.modules()]
    try:
        for module, _ in before:
            module.training = False
        with (
            no_grad(),
            observing(lambda function, operands, outs: calls.append(Call(function, (*operands,), (*outs,)))),
        ):
            outputs = list(_tensors(compute(*given)))
    finally:
        for module, training in before:
            module.training = training
    return Trace(given, calls, tuple(outputs))


def _input(x: Any) -> Any:
    """A tensor; one of numbers wants a gradient, so that nothing takes it for a constant."""
    array = array_of(x)
    return Tensor(array, requires_grad=array.dtype.kind == "f")


def _tensors(value: Any) -> Sequence[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for each in value if each is not None for tensor in _tensors(each)]
    raise ArgumentError(f"expected a model that returns tensors, got a {type(value).__name__}")


def input_shape(model: Module, given: Any) -> tuple[int, ...] | None:
    """The shape of one input: as given, else as the model says, else None.

    Raises:
        ArgumentError: it is no shape.
    """
    found = getattr(model, "in_shape", None) if given is None else given
    if found is None:
        return None
    if not isinstance(found, tuple | list) or not all(isinstance(n, int | np.integer) and n > 0 for n in found):
        raise ArgumentError(f"in_shape is the lengths of one input's axes, such as (32, 32, 3), got {given!r}")
    return tuple(int(length) for length in found)


def sample(model: Module, in_shape: Sequence[int], count: int, seed: int = 0) -> np.ndarray:
    """Random inputs (count, *in_shape) for a model: tokens where it looks them up, of which the first is no padding
    where padding ends a sequence, else standard normal numbers in the type of its parameters."""
    rng = np.random.default_rng(seed)
    shape = (count, *in_shape)
    tables = [module.num for module in model.modules() if isinstance(module, Embedding)]
    if getattr(model, "takes_tokens", None) or (getattr(model, "takes_tokens", None) is None and tables):
        tokens = rng.integers(0, min(tables, default=2), shape)
        if getattr(model, "answers", False):
            tokens[:, 0] = np.maximum(tokens[:, 0], PAD + 1)
        return tokens
    kinds = {parameter.dtype for parameter in model.parameters()}
    return rng.standard_normal(shape).astype(kinds.pop() if len(kinds) == 1 else "float32")
