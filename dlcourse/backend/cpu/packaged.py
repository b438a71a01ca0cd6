"""Libraries in C that come as Python packages, called through ctypes, and compute with GNU OpenMP's threads."""

import functools
import os
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from typing import Any


def once(make: Callable[[], Any]) -> Callable[[], Any]:
    """``functools.cache`` that makes one thing also where two threads ask at once: what was made with one engine does
    not run with another."""
    made, making = functools.cache(make), threading.Lock()

    @functools.cache
    @functools.wraps(make)
    def get() -> Any:
        with making:
            return made()

    return get


_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Whether this process is a fork: GNU OpenMP's threads do not survive one, and the next parallel region would wait
    for them forever."""
    return _forked


def library_file(package: str, name: str) -> str | None:
    """Where the package has the shared library whose file's name begins so; None where there is none.

    Packages of this kind are for Linux alone.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        files = metadata.files(package) or ()
    except metadata.PackageNotFoundError:
        return None
    found = next((str(file.locate()) for file in files if file.name.startswith(name)), None)
    return os.path.realpath(found) if found else None
