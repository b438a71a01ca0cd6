"""Run one request in a process of its own, within limits, and end whatever is left of it.

What this holds against: a submission that ends its process, hangs, takes all memory, prints, or changes NumPy or this
program inside its process: the answer holds arrays, which are judged outside. What it does not hold against: the
process runs as the same user, so a submission can read files (an assignment's expected values, labels of data that it
finds or can draw again), use the network, and attack the grader from outside. Where that matters, run ``dlcourse
grade`` in a container, as Gradescope does.
"""

import contextlib
import ctypes
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dlcourse.grading.messages import frame, receive

START_SECONDS = 120.0
"""How long Python and the program itself may take to start, which is not the submission's time."""

KEPT_OUTPUT = 4000
"""Characters of what a submission prints that are kept."""

_BOOT = """\
import sys
sys.path[:0] = sys.argv[3:]
from dlcourse.grading.worker import main
main(int(sys.argv[1]), int(sys.argv[2]))
"""


@dataclass
class Answer:
    """What came of a request.

    Attributes:
        error: why there is none, in words; empty where there is one.
        message, arrays: the answer.
        seconds: from the import of the submission on.
        printed: the beginning of what it wrote to standard output and error.
    """

    error: str = ""
    message: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    printed: str = ""


class _Late(Exception):
    """The time is over."""


def ask(
    submission: Path, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray], seconds: float, memory: int
) -> Answer:
    """Let a new process import the submission and do what the request says.

    Args:
        submission: the file; the process gets a copy.
        seconds, memory: its limits; the memory in MiB.
    """
    with tempfile.TemporaryDirectory(prefix="dlcourse-grade-", ignore_cleanup_errors=True) as place:
        copy = Path(place) / "submission.py"
        shutil.copyfile(submission, copy)
        token = secrets.token_hex(16)
        limits = {"token": token, "seconds": seconds, "memory": memory, "submission": str(copy)}
        with _reaping():
            answer, printed = _ask(Path(place), frame({**request, **limits}, arrays), token, seconds)
        answer.printed = printed.text()  # when all that might still print is gone
        return answer


def _ask(place: Path, request: bytes, token: str, seconds: float) -> "tuple[Answer, _Printed]":
    ours, theirs = os.pipe(), os.pipe()  # requests, answers
    try:
        process = _start(place, ours[0], theirs[1])
    finally:
        os.close(ours[0])
        os.close(theirs[1])
    printed = _Printed(process.stdout)  # type: ignore[arg-type]
    answer = Answer()
    started = time.monotonic()
    try:
        with os.fdopen(ours[1], "wb") as channel, contextlib.suppress(BrokenPipeError):
            channel.write(request)
        _received(theirs[0], token, started + START_SECONDS)
        started = time.monotonic()
        answer.message, answer.arrays = _received(theirs[0], token, started + seconds)
        answer.error = str(answer.message.get("error", ""))[:KEPT_OUTPUT]
    except _Late:
        answer.error = f"not done after {seconds:g} seconds, and stopped"
    except (ValueError, OSError, EOFError):
        answer.error = _ended(process)
    finally:
        answer.seconds = time.monotonic() - started
        os.close(theirs[0])
        _kill(process)
    return answer, printed


def _start(place: Path, requests: int, answers: int) -> subprocess.Popen:
    allowed = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    home = {"HOME": str(place), "TMPDIR": str(place), "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}
    paths = [path for path in sys.path if path and Path(path).is_dir()]
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOT, str(requests), str(answers), *paths],
        cwd=place,
        env={**allowed, **threads, **home},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(requests, answers),
        start_new_session=True,
    )


def _received(descriptor: int, token: str, until: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next message that has the token.

    Raises:
        _Late: it did not come in time.
        EOFError: the process ended, or closed the pipe.
        ValueError: what came is none.
    """

    def read(count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            left = until - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise _Late
            piece = os.read(descriptor, min(1 << 20, count - len(found)))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)

    try:
        message, arrays = receive(read)
    except (_Late, EOFError):
        raise
    except Exception as error:  # a submission may have written anything
        raise ValueError(f"no message: {error}") from error
    if not secrets.compare_digest(str(message.get("token")), token):
        raise ValueError("a message without the token")
    return message, arrays


def _ended(process: subprocess.Popen) -> str:
    """Why there is no answer."""
    try:
        code = process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return "the submission broke the connection to the grader"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        why = {"SIGXCPU": ": too much processor time", "SIGKILL": ": out of memory, or it killed itself"}.get(name, "")
        return f"the process was ended by {name}{why}"
    return f"the process ended with exit code {code} before the case was done"


def _kill(process: subprocess.Popen) -> None:
    """End the process and all that it started and left in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _reaping() -> Iterator[None]:
    """On Linux, become the parent of what a submission leaves behind in other groups, and end that too."""
    children = _children()
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None) if sys.platform == "linux" else None
    adopted = prctl is not None and prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        if adopted:
            for _ in range(100):  # each round ends one generation
                left = _children() - children  # another thread's children are in our session, and not among these
                if not left:
                    break
                for child in left:
                    with contextlib.suppress(OSError):
                        os.kill(child, signal.SIGKILL)
                        os.waitpid(child, 0)
            prctl(_SUBREAPER, 0, 0, 0, 0)  # type: ignore[misc]


_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>


def _children() -> set[int]:
    """The processes whose parent this one is, and which are in another session."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat") if Path("/proc/self/stat").exists() else ():
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and int(fields[3]) != os.getsid(0):
            found.add(int(status.parent.name))
    return found


class _Printed:
    """Reads what a process prints, so that it never waits, and keeps the beginning."""

    def __init__(self, source: BinaryIO):
        self.output, self.lost = bytearray(), False
        self.thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        self.thread.start()

    def _read(self, source: BinaryIO) -> None:
        with contextlib.suppress(OSError, ValueError):
            while piece := os.read(source.fileno(), 1 << 16):
                room = KEPT_OUTPUT - len(self.output)
                self.output += piece[: max(0, room)]
                self.lost = self.lost or len(piece) > room
        source.close()

    def text(self) -> str:
        """What was printed; asked when the process is gone."""
        self.thread.join(timeout=2)
        return self.output.decode("utf-8", "replace") + ("..." if self.lost else "")
