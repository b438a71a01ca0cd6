"""Functions that are called with each forward and backward pass of a module: PyTorch's hooks."""

import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcourse.autograd import Function, Tensor, apply, is_grad_enabled
from dlcourse.autograd import version as versions
from dlcourse.autograd.base import array_of
from dlcourse.autograd.function import xp_of
from dlcourse.autograd.gradient_hooks import RemovableHandle
from dlcourse.autograd.graph import Node
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

if TYPE_CHECKING:
    pass

_numbers = itertools.count()

Grads = tuple[Tensor | None, ...]
"""Gradients of inputs or outputs by place; None for what has none."""


class Hook(NamedTuple):
    """A function, and when it is called: "before" or "after" the forward pass, or the backward pass."""

    when: str
    function: Callable[..., Any]
    with_kwargs: bool = False


class Hooked:
    """The part of a Module that registers hooks.

    A module with hooks works by itself: nothing is fused with it, and a step of a model that has some is not recorded
    on a GPU, since they have to run with each step.
    """

    _hooks: dict[int, Hook] | None = None
    _ever_hooked = False
    """Of the class: whether any module had a hook. Most programs have none, and need not look for them."""

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward pass.

        Args:
            hook: gets the positional arguments as a tuple; what it returns, where that is not None, takes their place.
            prepend: call it before the hooks that are there.
            with_kwargs: call ``hook(module, args, kwargs)``, which returns None or ``(args, kwargs)``.
        """
        return _register(self, Hook("before forward", hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward pass.

        Args:
            hook: what it returns, where that is not None, takes the output's place.
            prepend: call it before the hooks that are there.
            with_kwargs: call ``hook(module, args, kwargs, output)``.
        Example:
            >>> layer, shapes = nn.Linear(2, 3), []
            >>> handle = layer.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
            >>> _ = layer(dl.zeros(4, 2))
            >>> handle.remove()
            >>> shapes
            [(4, 3)]
        """
        return _register(self, Hook("after forward", hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are there, in each backward pass.

        Args:
            hook: gets a tuple, None for outputs without gradient; what it returns, where that is not None, takes its
                place.
            prepend: call it before the hooks that are there.
        """
        return _register(self, Hook("before backward", hook), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are there, in each backward
        pass.

        Inputs and outputs are those by position, and those in a tuple that ``forward`` gives. As in PyTorch, where no
        input wants a gradient the hook is called with those of the outputs.

        Args:
            hook: gets two tuples, with None for what has no gradient; what it returns, where that is not None, takes
                the place of ``grad_input``.
            prepend: call it before the hooks that are there.
        """
        return _register(self, Hook("after backward", hook), prepend)


def _register(module: Any, hook: Hook, prepend: bool) -> RemovableHandle:
    if not callable(hook.function):
        raise TypeError(f"a hook is a function, got a {type(hook.function).__name__}")
    number = next(_numbers)
    Hooked._ever_hooked = True
    before = module._hooks or {}
    module._hooks = {number: hook, **before} if prepend else {**before, number: hook}
    return RemovableHandle(number, functools.partial(_take_away, weakref.ref(module), number))


def _take_away(module: "weakref.ref[Any]", number: int) -> None:
    hooks = getattr(module(), "_hooks", None)
    if hooks is not None and hooks.pop(number, None) is not None and not hooks:
        del vars(module())["_hooks"]


def are_in(model: Any) -> bool:
    """Whether a model has hooks, itself or in it, or tensors may have some."""
    if Node.watched:
        return True
    return Hooked._ever_hooked and hasattr(model, "modules") and any(each._hooks for each in model.modules())


def call(module: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """``module.forward(*inputs, **options)`` with the module's hooks."""
    hooks = list(module._hooks.values())
    for hook in _those(hooks, "before forward"):
        inputs, options = _given(hook, module, inputs, options)
    crossing = None
    if is_grad_enabled() and any(hook.when.endswith("backward") for hook in hooks):
        crossing = _Crossing(module, hooks, len(inputs))
        inputs = crossing.enter(inputs)
    output = module.forward(*inputs, **options)
    for hook in _those(hooks, "after forward"):
        found = hook.function(module, inputs, *([options] if hook.with_kwargs else []), output)
        output = output if found is None else found
    if crossing is None:
        return output
    return crossing.leave(output) if isinstance(output, tuple) else crossing.leave((output,))[0]


def _those(hooks: list[Hook], when: str) -> list[Hook]:
    return [hook for hook in hooks if hook.when == when]


def _given(hook: Hook, module: Any, inputs: tuple, options: dict) -> tuple[tuple, dict]:
    """The arguments after a hook has seen them."""
    if not hook.with_kwargs:
        found = hook.function(module, inputs)
        return (inputs if found is None else found if isinstance(found, tuple) else (found,)), options
    found = hook.function(module, inputs, options)
    if found is not None and not (isinstance(found, tuple) and len(found) == 2):
        raise TypeError(f"a forward pre-hook with kwargs returns None or (args, kwargs), got {found!r}")
    return (inputs, options) if found is None else found


class _Crossing:
    """One call of a module whose backward hooks are to be called.

    Its inputs and outputs go through operations that change nothing, in whose backward passes the gradients are seen.
    """

    def __init__(self, module: Any, hooks: list[Hook], inputs: int):
        self.module, self.inputs = module, inputs
        self.before, self.after = (_those(hooks, f"{when} backward") for when in ("before", "after"))
        self.grad_output: Grads = ()
        self.entered = False

    def enter(self, inputs: tuple) -> tuple:
        """The inputs, marked."""
        marked = _marked(inputs, self._at_inputs)
        self.entered = marked is not inputs
        return marked

    def leave(self, outputs: tuple) -> tuple:
        """The outputs, marked."""
        return _marked(outputs, self._at_outputs)

    def _at_inputs(self, grads: Grads, blank: Grads) -> Grads:
        found = tuple(zero if grad is None else grad for grad, zero in zip(grads, blank, strict=True))
        for hook in self.after:
            found = _replaced(hook, found, self.module, found, self.grad_output)
        return found

    def _at_outputs(self, grads: Grads, blank: Grads) -> Grads:
        for hook in self.before:
            grads = _replaced(hook, grads, self.module, grads)
        self.grad_output = grads
        if not self.entered:
            nothing = (None,) * self.inputs
            for hook in self.after:
                _replaced(hook, nothing, self.module, nothing, grads)
        return tuple(zero if grad is None else grad for grad, zero in zip(grads, blank, strict=True))


def _marked(values: tuple, see: Callable[[Grads, Grads], Grads]) -> tuple:
    """The values, those that want a gradient having gone through :class:`Marked`; the same tuple where none does."""
    at = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not at:
        return values
    wanted, marked = [values[i] for i in at], list(values)
    for i, before, after in zip(at, wanted, apply(Marked(at, len(values), see), *wanted), strict=True):
        after._version = versions.of_view(after.data, before)
        marked[i] = after
    return tuple(marked)


class Marked(Function):
    """y = x for each of several x; dx = dy, 0 where y was not used, or what a hook puts in its place."""

    def __init__(self, at: list[int], count: int, see: Callable[[Grads, Grads], Grads]):
        self.at, self.count, self.see = at, count, see

    def forward(self, *values: Array) -> tuple[Array, ...]:
        self.blank = [functools.partial(xp_of(x).zeros, x.shape, x.dtype) for x in values]
        return values

    def backward(self, *grads: Array | None) -> tuple[Array, ...]:
        blank = [make() if grad is None else grad for make, grad in zip(self.blank, grads, strict=True)]
        found = self.see(self._placed(grads), self._placed(blank))
        return tuple(array_of(found[i]) for i in self.at)

    def _placed(self, arrays: Sequence[Array | None]) -> Grads:
        """Gradients as tensors at their places among all values."""
        known = dict(zip(self.at, arrays, strict=True))
        return tuple(None if known.get(i) is None else Tensor(known[i]) for i in range(self.count))


def _replaced(hook: Hook, grads: Grads, *given: Any) -> Grads:
    """The gradients after a hook has seen them."""
    found = hook.function(*given)
    if found is None:
        return grads
    found = found if isinstance(found, tuple) else (found,)
    shapes, expected = ([getattr(grad, "shape", None) for grad in each] for each in (found, grads))
    if shapes != expected:
        raise ShapeError(f"a backward hook returned gradients of shapes {shapes}, expected {expected}")
    return found
