"""The folder of a run: where everything lies, made once, never overwritten, one process at a time."""

import contextlib
import datetime
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dlcourse.errors import UserError
from dlcourse.records import Environment, Event, RunState, parse_events, read
from dlcourse.training.atomic import loud, remove_leftovers, write_bytes, write_json

_NAME = re.compile(r"\w[\w.+ -]{0,99}")


def fresh_path(out: str | os.PathLike, name: str) -> Path:
    """``out/name/<UTC time>-<id>``: where a new run or sweep goes; nothing is made.

    Raises:
        UserError: the name cannot be a folder's, or ``out`` is empty.
    """
    if not os.fspath(out):
        raise UserError("out: an empty name of a folder; leave it out for runs, or take . for the current one")
    if not _NAME.fullmatch(name) or name != name.strip():
        raise UserError(
            f"name: {name[:120]!r} cannot be the name of a folder: 1 to 100 letters, digits, spaces or any of "
            "_ . + -, beginning with a letter, a digit or _"
        )
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path(out) / name / f"{stamp}-{secrets.token_hex(3)}"


class RunFolder:
    """Paths inside ``runs/<name>/<UTC time>-<id>/``; reading and writing of the small JSON files among them.

    ``config.yaml`` (resolved; runs again as it is), ``environment.json``, ``metrics.jsonl``, ``checkpoints/``,
    ``plots/``, ``report.html``, ``log.txt``, ``result.json``, ``predictions.npz`` with ``predictions.json``.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.plots = self.path / "plots"
        self.report = self.path / "report.html"
        self.log = self.path / "log.txt"
        self.result = self.path / "result.json"
        self.predictions = self.path / "predictions.npz"
        self.predictions_json = self.path / "predictions.json"

    @classmethod
    def open(cls, path: str | os.PathLike) -> "RunFolder":
        """The folder of a run that was made before.

        Raises:
            UserError: there is no run in that folder.
        """
        folder = cls(path)
        if (folder.path / "sweep.json").is_file():
            raise UserError(f"{path}: is a sweep, its runs lie in {folder.path / 'points'}")
        if folder.config.is_file():
            return folder
        if not folder.path.is_dir():
            raise UserError(f"{path}: no such run folder")
        inside = sorted(each.parent.name for each in folder.path.glob("*/config.yaml"))
        hint = f"; it holds runs, such as {folder.path / inside[-1]}" if inside else ""
        raise UserError(f"{path}: not a run folder (there is no config.yaml in it){hint}")

    @classmethod
    def create(cls, out: str | os.PathLike, name: str, config: str, environment: Mapping[str, Any]) -> "RunFolder":
        """Make ``out/name/<UTC time>-<id>/``, see :func:`fresh_path` and :meth:`create_at`."""
        return cls.create_at(fresh_path(out, name), config, environment)

    @classmethod
    def create_at(cls, path: str | os.PathLike, config: str, environment: Mapping[str, Any]) -> "RunFolder":
        """Make a run folder that holds its config and environment from the moment it can be seen.

        Raises:
            UserError: there is something at ``path``, or nothing can be made there.
            DlcourseError: the disk is full.
        """
        folder = cls(path)
        hidden = folder.path.with_name(f".{folder.path.name}.{os.getpid()}")
        with loud(folder.path):
            try:
                if folder.path.exists() and any(folder.path.iterdir()):
                    raise UserError(f"{path}: there is something already; a run folder is never overwritten")
                hidden.mkdir(parents=True)
            except (PermissionError, NotADirectoryError, FileExistsError) as error:
                raise UserError(f"{path}: a run folder cannot be made there: {error.strerror}") from error
            try:
                made = cls(hidden)
                write_bytes(made.config, config.encode())
                write_json(made.environment, environment, durable=False)
                made.checkpoints.mkdir()
                os.rename(hidden, folder.path)
            except BaseException:
                shutil.rmtree(hidden, ignore_errors=True)
                raise
        return folder

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; given back when the process ends, however it ends.

        Raises:
            UserError: another process holds it.
        """
        with loud(self.path):
            file = open(self.path / ".lock", "a+")  # noqa: SIM115 - held for as long as the lock
        with file:
            if not _lock(file.fileno()):
                raise UserError(f"{self.path}: another process is running in this folder") from None
            for folder in (self.path, self.checkpoints):
                remove_leftovers(folder)
            yield

    def write_result(self, result: RunState) -> None:
        """Replace ``result.json``."""
        write_json(self.result, result, durable=result["status"] != "running")

    def read_result(self) -> RunState:
        """What ``result.json`` says; empty where there is none yet.

        Raises:
            DamagedFileError: names the field that is wrong.
        """
        return self._read(self.result, RunState)

    def read_environment(self) -> Environment:
        """What ``environment.json`` says; empty where there is none.

        Raises:
            DamagedFileError: names the field that is wrong.
        """
        return self._read(self.environment, Environment)

    def read_history(self) -> list[Event]:
        """The lines of ``metrics.jsonl`` without those that are damaged."""
        if not self.metrics.is_file():
            return []
        return [event for event in parse_events(self.metrics.read_bytes()) if event is not None]

    def _read(self, path: Path, kind: Any) -> Any:
        try:
            return read(path, kind)
        except FileNotFoundError:
            return {}


def _lock(descriptor: int) -> bool:
    """Lock an open file for this process; whether nobody else had it."""
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    import msvcrt

    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
