"""Standard output and standard error, which may fail at any time: a pipe is closed, a terminal gone, a disk full."""

import contextlib
import os
import sys
import warnings
from typing import Any, TextIO


def show(text: str, stream: TextIO | None = None) -> None:
    """Print a text on standard output or the given stream, and go on with the work where that fails.

    A stream that failed is silent from then on. The reason goes to standard error, unless a reader has just seen enough
    (``| head``).
    """
    stream = sys.stdout if stream is None else stream
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        silence(stream)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        silence(stream)
        if stream is sys.stdout:
            show(f"dlcourse: note: standard output cannot be written ({reason(error)}); nothing more is written there",
                 sys.stderr)  # fmt: skip


def silence(stream: TextIO) -> None:
    """Let a stream write nowhere: what is left in its buffer would fail once more when it is flushed at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def failed(stream: TextIO) -> OSError | None:
    """Why a stream cannot be written; None where it can. What is in its buffer is written."""
    try:
        stream.flush()
    except OSError as error:
        return error
    except ValueError:
        pass
    return None


def reason(error: Exception) -> str:
    """What the system says."""
    return getattr(error, "strerror", None) or str(error)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, whose output is a page."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return "IPKernelApp" in (getattr(shell, "config", None) or {})


def progress_bar(iterable: Any = None, **settings: Any) -> Any:
    """tqdm's bar: in a notebook its widget (a line of text without ``ipywidgets``), on a terminal a line on stderr.

    Returns:
        None where there is neither.
    """
    if in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the widget is not installed
            from tqdm.auto import tqdm as bar
    elif sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm as bar
    else:
        return None
    return bar(iterable, **settings)
