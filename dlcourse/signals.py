"""Handle signals that ask the program to end: the first one is a request; a repeated one changes nothing.

A cluster ends a job by a signal to each of its processes, often twice and by way of their parents too, and announces
the end of its time by SIGUSR1, SIGUSR2, SIGXCPU or SIGHUP. All mean the same: save what there is and leave, with exit
code 128 + the number of the first signal. Only a second SIGINT, a person's second Ctrl-C, ends the work at once.

Nothing heavy is imported here: ``__main__`` takes the signals before anything else is loaded.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

NAMES = "SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has the first two
_ALWAYS = signal.SIGINT, signal.SIGTERM


class StopRequest:
    """The request to stop, once a signal has come.

    Attributes:
        received: the first signal; None while there is none.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._interrupts = 0
        self._actions: list[Callable[[int], None]] = []

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of all signals."""
        first = self.received is None
        if first:
            self.received = number
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            raise _interrupted("interrupted twice, the second time by SIGINT", number)
        if first and not self._actions:
            raise _interrupted(f"interrupted by {signal.Signals(number).name}", number)
        if first:
            self._actions[-1](number)

    def check(self) -> None:
        """Raise what the handler could not, or what was lost where Python drops an exception (in a destructor).

        Raises:
            Interrupted: a signal came.
        """
        if self.received is not None:
            raise _interrupted(f"interrupted by {signal.Signals(self.received).name}", self.received)

    @contextlib.contextmanager
    def deferred(self, action: Callable[[int], None]) -> Iterator[None]:
        """Inside the ``with`` block the first signal raises nothing, but calls ``action(number)``.

        Raises:
            Interrupted: at the begin or at the end of the block, where a signal has come.
        """
        self.check()
        self._actions.append(action)
        try:
            yield
        finally:
            self._actions.pop()
        self.check()


_request: StopRequest | None = None


@contextlib.contextmanager
def handle_termination() -> Iterator[StopRequest]:
    """Inside the ``with`` block signals end the work at once, with their exit codes, unless they are deferred.

    One block inside another belongs to it: a request that reaches the inner one holds to the end of the outer one.
    In a thread other than the main one Python knows no handlers: nothing is received.

    Raises:
        Interrupted: a signal came.
    """
    global _request
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    if _request is not None:
        yield _request
        return
    _request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS if _is_ours(number)}
    try:
        for number in before:
            signal.signal(number, _request.handle)
        yield _request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _request = None


def leave_at_once() -> None:
    """From now on a signal ends the process with its exit code: for a program that has not begun yet."""

    def leave(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"dlcourse: error: interrupted by {signal.Signals(number).name}\n".encode())
        os._exit(128 + number)

    for number in filter(_is_ours, SIGNALS):
        signal.signal(number, leave)


def leave_with(code: int) -> None:
    """End the process with this exit code, whatever signals still come.

    Threads are waited for, unless a signal ended the work, and Python's exit functions run. Then the process ends, and
    nothing is torn down: oneDNN, OpenBLAS and GNU OpenMP have threads of their own, and destructors that run in no
    order that could be relied on.
    """
    if sys.gettrace() or sys.getprofile() or sys.flags.inspect:
        sys.exit(code)  # what traces or profiles the program has its turn after it
    for number in filter(_is_ours, SIGNALS):
        signal.signal(number, signal.SIG_IGN if number != signal.SIGINT else signal.SIG_DFL)
    import atexit

    if code <= 128:
        threading._shutdown()  # type: ignore[attr-defined]  # what Python itself calls at its end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _is_ours(number: int) -> bool:
    """Whether to take a signal: what the user, or ``nohup``, made of SIGHUP and the like is left as it is."""
    handler = signal.getsignal(number)
    if number in _ALWAYS:
        return handler is not None  # None: set by other code than Python's, and could not be put back
    return handler is signal.SIG_DFL or getattr(handler, "__module__", None) == __name__


def _interrupted(message: str, number: int) -> BaseException:
    from dlcourse.errors import Interrupted

    return Interrupted(message, number)
