"""Functions that are called with a tensor's gradient in each backward pass: ``register_hook`` and ``retain_grad``.

They are kept at the node that made the tensor, or at the leaf itself; :func:`~dlcourse.autograd.graph.walk_back` calls
them when the gradient is complete.
"""

import functools
import itertools
import math
import weakref
from collections.abc import Callable
from typing import Any

from dlcourse.autograd.base import TensorBase, array_of, lent
from dlcourse.autograd.graph import Node
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

_numbers = itertools.count()
_LAST = math.inf
"""The number of the hook that keeps the gradient, which comes after all others."""


class RemovableHandle:
    """What registering a hook gives: :meth:`remove` takes the hook away, and so does the end of a ``with`` block.

    Args:
        number: of the hook.
        take_away: called by :meth:`remove`.
    """

    def __init__(self, number: int, take_away: Callable[[], Any]):
        self.id, self._take_away = number, take_away

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._take_away()

    def __enter__(self) -> "RemovableHandle":
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


class GradientHooks(TensorBase):
    """What looks at a tensor's gradient on its way."""

    __slots__ = ()

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call ``hook(grad)`` with this tensor's gradient in each backward pass, when it is complete.

        A step of :class:`~dlcourse.training.step.TrainStep` is not recorded on a GPU in a program that has such hooks.

        Args:
            hook: what it returns, where that is not None, takes the gradient's place.
        Raises:
            RuntimeError: the tensor does not require a gradient.
        Example:
            >>> x = dl.tensor([1.0, 2.0], requires_grad=True)
            >>> y = x * x
            >>> handle = y.register_hook(lambda grad: 10 * grad)
            >>> y.sum().backward()
            >>> x.grad.tolist()
            [20.0, 40.0]
        """
        if not callable(hook):
            raise TypeError(f"a hook is a function, got a {type(hook).__name__}")
        hooks, number = self._gradient_hooks("register_hook"), next(_numbers)
        hooks[number] = functools.partial(_replaced, hook)
        return RemovableHandle(number, lambda: hooks.pop(number, None))

    def retain_grad(self) -> None:
        """Keep the gradient of a result that is no leaf as ``.grad`` too, added up over backward passes.

        Raises:
            RuntimeError: the tensor does not require a gradient.
        Example:
            >>> x = dl.tensor([1.0, 2.0], requires_grad=True)
            >>> y = x * x
            >>> y.retain_grad()
            >>> (3 * y).sum().backward()
            >>> y.grad.tolist()
            [3.0, 3.0]
        """
        hooks = self._gradient_hooks("retain_grad")
        if self._node is not None:
            hooks[_LAST] = functools.partial(_kept, weakref.ref(self))

    @property
    def retains_grad(self) -> bool:
        """Whether :meth:`retain_grad` was asked of a result that is no leaf."""
        return self._node is not None and _LAST in (self._node.hooks or {}).get(self._index, {})

    def _gradient_hooks(self, name: str) -> dict[float, Callable[[Array], Array]]:
        if not self.requires_grad:
            raise RuntimeError(f"{name}: the tensor does not require a gradient; see x.requires_grad_()")
        Node.watched = True
        if self._node is None:
            if getattr(self, "_hooks", None) is None:
                self._hooks: dict[float, Callable[[Array], Array]] = {}
            return self._hooks
        if self._node.hooks is None:
            self._node.hooks = {}
        return self._node.hooks.setdefault(self._index, {})


def _replaced(hook: Callable[[Any], Any], grad: Array) -> Array:
    """The gradient after a hook has seen it."""
    found = hook(lent(grad))
    if found is None:
        return grad
    if not isinstance(found, TensorBase) or found.shape != grad.shape:
        got = f"one of shape {found.shape}" if isinstance(found, TensorBase) else f"a {type(found).__name__}"
        raise ShapeError(f"a hook returns None or a gradient of shape {grad.shape}, got {got}")
    return array_of(found).astype(grad.dtype, copy=False)


def _kept(ref: "weakref.ref[TensorBase]", grad: Array) -> Array:
    tensor = ref()
    if tensor is not None:
        tensor.accumulate(grad)
    return grad
