"""Note what modules take and give while a model is called."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dlcourse.nn.module import Module

Note = Callable[[Module, tuple[Any, ...], Any], None]


@contextmanager
def noting_calls(modules: Iterable[Module], note: Note) -> Iterator[None]:
    """Inside the ``with`` block every call of one of these modules ends with ``note(module, inputs, output)``.

    Each then works by itself: nothing is fused with it.
    """
    with ExitStack() as handles:
        for module in modules:
            handles.enter_context(module.register_forward_hook(note))
        yield
