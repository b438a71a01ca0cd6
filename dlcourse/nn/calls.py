"""Call a model in evaluation mode, note what its modules take and give, and refuse what is none."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dlcourse.errors import ArgumentTypeError
from dlcourse.nn.module import Module

Note = Callable[[Module, tuple[Any, ...], Any], None]


@contextmanager
def noting_calls(
    modules: Iterable[Module], note: Note, begin: Callable[[Module, tuple[Any, ...]], None] | None = None
) -> Iterator[None]:
    """Inside the ``with`` block every call of one of these modules ends with ``note(module, inputs, output)``, and
    begins with ``begin(module, inputs)``.

    Each then works by itself: nothing is fused with it.
    """
    with ExitStack() as handles:
        for module in modules:
            if begin is not None:
                handles.enter_context(module.register_forward_pre_hook(begin))
            handles.enter_context(module.register_forward_hook(note))
        yield


@contextmanager
def in_evaluation(model: Module) -> Iterator[None]:
    """Inside the ``with`` block the model is in evaluation mode; each of its modules then is in its own again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def require_module(model: Any) -> None:
    """Raise ArgumentTypeError unless it is a module of this package."""
    if not isinstance(model, Module):
        raise ArgumentTypeError(
            f"expected a model of dlcourse.nn, got a {type(model).__module__}.{type(model).__name__}"
        )
