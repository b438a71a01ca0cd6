"""The folder of a run: where everything lies, made once, never overwritten, one process at a time."""

import contextlib
import datetime
import errno
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dlcourse.errors import BusyError, UserError
from dlcourse.filesystem import lock
from dlcourse.records.reading import parse_events, read
from dlcourse.records.run import Environment, Event, RunState
from dlcourse.records.writing import append, real_folder
from dlcourse.training.atomic import remove_leftovers, reporting_write_errors, to_json, write_json
from dlcourse.training.shared import write_shared

_HIDDEN = re.compile(r"\.(\d{8}T\d{6}Z-[0-9a-f]{6}|\d+-.+)\.(\d{1,9})")
"""The name of a folder that is being made, a run's (or a sweep's) or a point's; the number is the process."""
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


def one_inside(folder: Path) -> Path:
    """The run or the sweep in a folder such as ``runs`` or ``runs/spirals`` that holds one; else the folder itself."""
    markers = ("sweep.json", "result.json")
    for level in ("", "[!.]*/", "[!.]*/[!.]*/"):
        found = {each.parent for name in markers for each in folder.glob(level + name)}
        if found:
            return found.pop() if len(found) == 1 else folder
    return folder


class RunFolder:
    """Paths inside ``runs/<name>/<UTC time>-<id>/``; reading and writing of the small JSON files among them.

    ``config.yaml`` (resolved; runs again as it is), ``environment.json``, ``metrics.jsonl``, ``checkpoints/``,
    ``plots/``, ``plugins/`` (copies of the user's own component files), ``report.html``, ``log.txt``,
    ``result.json``, ``predictions.npz``, in a sweep also ``samples.npz``; of a model that generates ``samples/``.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.plots = self.path / "plots"
        self.plugins = self.path / "plugins"
        self.report = self.path / "report.html"
        self.log = self.path / "log.txt"
        self.result = self.path / "result.json"
        self.predictions = self.path / "predictions.npz"
        self.sample = self.path / "sample.txt"
        self.samples = self.path / "samples.npz"
        self.judged = self.path / "judged.json"
        self.kept_samples = self.path / "samples"

    @classmethod
    def open(cls, path: str | os.PathLike) -> "RunFolder":
        """The folder of a run that was made before, or one that holds it and no other.

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
        levels = (folder.path.glob(f"{level}/config.yaml") for level in ("[!.]*", "[!.]*/[!.]*"))
        inside = next(filter(None, ([each.parent for each in level] for level in levels)), [])
        if len(inside) == 1:
            return cls.open(inside[0])
        newest = max(inside, key=lambda run: run.name, default=None)
        hint = f"; it holds {len(inside)} runs, the newest is {newest}" if newest else ""
        raise UserError(f"{path}: not a run folder (there is no config.yaml in it){hint}")

    @classmethod
    @contextlib.contextmanager
    def making(cls, path: str | os.PathLike) -> Iterator["RunFolder"]:
        """``with RunFolder.making(path) as made:`` fills a new folder, which is at ``path`` after the block, whole.

        Raises:
            as :func:`made_whole`.
        """
        with made_whole(Path(path)) as hidden:
            made = cls(hidden)
            made.checkpoints.mkdir()
            yield made

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; given back when the process ends, however it ends.

        Raises:
            BusyError: another process holds it.
            UserError: a folder inside is a link: nothing is written through it.
        """
        for inside in (self.checkpoints, self.plots, self.kept_samples):
            real_folder(inside)
        with reporting_write_errors(self.path):
            file = append(self.path / ".lock")
        with file:
            if lock(file.fileno(), self.path / ".lock") is False:
                raise BusyError(f"{self.path}: another process is running in this folder") from None
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

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Replace ``environment.json``, which points of a sweep share."""
        write_shared(self.path, self.environment.name, (to_json(environment, indent=2) + "\n").encode())

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


@contextlib.contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path`` to be filled, which then gets that name: it is never seen half full.

    What a process that was killed in the middle left beside it is removed.

    Raises:
        BusyError: there is something at ``path``.
        UserError: nothing can be made there.
        DlcourseError: the disk is full.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    with reporting_write_errors(path):
        try:
            if path.exists() and any(path.iterdir()):
                raise BusyError(f"{path}: there is something already; a run folder is never overwritten")
            hidden.mkdir(parents=True)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise UserError(f"{path}: a run folder cannot be made there: {error.strerror}") from error
        try:
            with append(hidden / ".lock") as file:
                lock(file.fileno(), path)  # so that other processes know that it is being filled
                file.write(platform.node().encode())
                file.flush()
                remove_unfinished(path.parent)
                yield hidden
                _rename(hidden, path)
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise


def _rename(hidden: Path, path: Path) -> None:
    try:
        os.rename(hidden, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise BusyError(f"{path}: another process made it a moment ago") from error
        raise


def remove_unfinished(parent: Path) -> None:
    """Delete the hidden folders in which processes were making a run or a sweep when they were killed."""
    for folder in parent.glob(".*.*"):
        match = _HIDDEN.fullmatch(folder.name)
        if match and not folder.is_symlink() and folder.is_dir() and _abandoned(folder, int(match[2])):
            shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path, pid: int) -> bool:
    """Whether the process that was filling the folder is gone, and it was one of this machine."""
    if _alive(pid):
        return False
    try:
        with open(folder / ".lock", "rb+") as file:
            host = file.read(1000).decode(errors="replace")
            return host in ("", platform.node()) and lock(file.fileno(), folder) is True
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
