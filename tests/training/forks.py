"""Run something in a child process that dies at a chosen moment."""

import builtins
import os
from collections.abc import Callable
from typing import Any

CALLS = ("fsync", "replace", "link", "unlink", "open")


def dies_at(count: int, function: Callable[[], Any]) -> bool:
    """Fork, run ``function``, and kill the child (no cleanup, no flush) at the ``count``-th moment.

    A moment is just before or just after a call of the system that changes files, or in the middle of a write.

    Returns:
        Whether the child died; False: the function ended before that moment.
    """
    child = os.fork()
    if child == 0:
        try:
            _arm(count)
            function()
        except BaseException:
            os._exit(70)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 99), f"the child failed by itself (exit code {code})"
    return code == 99


def _arm(count: int) -> None:
    left = [count]

    def moment() -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(99)

    def around(original: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            moment()
            result = original(*arguments, **options)
            moment()
            return result

        return call

    for name in CALLS:
        setattr(os, name, around(getattr(os, name)))
    plain_open = builtins.open

    def open_dying(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = plain_open(file, mode, *arguments, **options)
        return _Dying(opened, moment) if "w" in mode or "a" in mode else opened

    builtins.open = open_dying


class _Dying:
    """A file of whose content only half reaches the disk when its process dies in ``write``."""

    def __init__(self, file: Any, moment: Callable[[], None]):
        self.file, self.moment = file, moment

    def write(self, content: Any) -> int:
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        self.moment()
        self.file.write(content[half:])
        return len(content)

    def __enter__(self) -> "_Dying":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
