"""Operations that are written as PyTorch's: static ``forward(ctx, ...)`` and ``backward(ctx, ...)`` on tensors."""

import inspect
from collections.abc import Callable
from typing import Any

from dlcourse.autograd.base import apply, array_of, new
from dlcourse.autograd.function import Function
from dlcourse.autograd.graph import no_grad
from dlcourse.errors import ArgumentTypeError


def run(kind: type[Function], inputs: tuple) -> Any:
    """One call of an operation, written in either way."""
    static = [isinstance(inspect.getattr_static(kind, name), staticmethod) for name in ("forward", "backward")]
    if static[0] != static[1]:
        raise ArgumentTypeError(f"{kind.__name__}: forward and backward are both static methods, or neither is")
    if not static[0]:
        return apply(kind(), *inputs)
    return apply(Context(kind, inputs), *(x for x in inputs if _is_operand(x)))


class Context(Function):
    """What PyTorch calls ``ctx``: one call of an operation whose methods are static.

    Attributes:
        needs_input_grad: of each argument, whether it wants a gradient.
    """

    def __init__(self, kind: type[Function], inputs: tuple):
        self.kind, self.name = kind, kind.__name__
        self._operands = [_is_operand(x) for x in inputs]
        self._others = [None if operand else x for x, operand in zip(inputs, self._operands, strict=True)]
        self._saved: list[Any] = []

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for backward; what changes them in place before that is noticed."""
        self._saved = [array_of(x) for x in tensors]

    @property
    def saved_tensors(self) -> tuple:
        """What was saved."""
        return tuple(_tensor(array) for array in self._saved)

    def forward(self, *arrays: Any) -> Any:
        given = iter(arrays)
        inputs = [
            _tensor(next(given)) if operand else x for operand, x in zip(self._operands, self._others, strict=True)
        ]
        wanted = iter(self.needs_input_grad)
        self.needs_input_grad = tuple(operand and next(wanted) for operand in self._operands)
        return self._arrays(self.kind.forward, inputs)

    def backward(self, *douts: Any) -> Any:
        dins = self._arrays(self.kind.backward, [_tensor(dout) for dout in douts])
        dins = dins if isinstance(dins, tuple) else (dins,)
        if len(dins) != len(self._operands):
            raise RuntimeError(
                f"{self.name}.backward returned {len(dins)} gradients for {len(self._operands)} inputs: return one for "
                "each, None where none is needed"
            )
        return tuple(din for din, operand in zip(dins, self._operands, strict=True) if operand)

    def _arrays(self, method: Callable, inputs: list) -> Any:
        with no_grad():
            value = method(self, *inputs)
        return tuple(map(array_of, value)) if isinstance(value, tuple) else array_of(value)


def _is_operand(x: Any) -> bool:
    """Whether it is a tensor or an array; numbers and settings are handed on as they are."""
    return hasattr(x, "dtype") and hasattr(x, "shape")


def _tensor(array: Any) -> Any:
    return new(array) if hasattr(array, "dtype") else array


Function.runner = staticmethod(run)
