"""The log of a run: on stdout unless quiet, and with the time in ``log.txt``."""

import contextlib
import datetime
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlcourse.characters import visible
from dlcourse.errors import DlcourseError, named
from dlcourse.records.writing import append
from dlcourse.streams import show
from dlcourse.training.atomic import reporting_write_errors


class Log:
    """Says lines.

    Args:
        path: the file that gets them too; None: no file.
        quiet: print nothing.
    Attributes:
        went_without: what :meth:`going_on` said.
    """

    def __init__(self, path: Path | None, quiet: bool):
        self.path, self.quiet = path, quiet
        self.went_without: list[str] = []
        self._unwritten: list[str] = []
        self._settled = False

    def settle(self) -> None:
        """The results are written: from now on a file that cannot be written is a note on standard error, once."""
        self._settled = True

    def write_to(self, path: Path) -> None:
        """From now on write to this file too, beginning with the messages from before there was one.

        Raises:
            DlcourseError: the file cannot be written.
        """
        self.path = path
        self._write(self._unwritten)
        self._unwritten = []

    def __call__(self, text: str) -> None:
        """Say one or more lines.

        Raises:
            DlcourseError: the file cannot be written.
        """
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = visible(text)
        lines = [f"{stamp} {line}\n" for line in text.split("\n")]
        if self.path is None:
            self._unwritten += lines
        elif self._settled:
            self._try_to_write(lines)
        else:
            self._write(lines)
        if not self.quiet:
            show(text)

    def _write(self, lines: list[str]) -> None:
        assert self.path is not None
        with reporting_write_errors(self.path), append(self.path) as file:
            file.write("".join(lines).encode("utf-8", "replace"))

    def _try_to_write(self, lines: list[str]) -> None:
        try:
            self._write(lines)
        except DlcourseError as error:
            self.path = None
            show(f"dlcourse: note: {error}", sys.stderr)

    @contextlib.contextmanager
    def going_on(self, without: str) -> Iterator[None]:
        """Inside the ``with`` block an error ends the block only: a line says what the run goes without, and why.

        It is for what a run has beside its results, such as pictures: what a plugin's model, data and metrics do there
        is not known.
        """
        try:
            yield
        except Exception as error:
            self.went_without.append(f"{without}: {named(error)}")
            self(self.went_without[-1])

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Inside the ``with`` block say Python's warnings as notes, each once, without the line of code."""
        shown: set[str] = set()

        def note(message: Warning | str, *_: Any, **__: Any) -> None:
            if str(message) not in shown:
                shown.add(str(message))
                self(f"note: {message}")

        with warnings.catch_warnings():
            warnings.showwarning = note
            yield
