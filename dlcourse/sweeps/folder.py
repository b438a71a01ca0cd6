"""The folder of a sweep, ``runs/<name>/<UTC time>-<id>/``; its ``sweep.json`` has the state at any moment.

The shape of ``sweep.json``, replaced whole after every point, is :class:`dlcourse.records.sweep.SweepState`. A point's
``folder`` lies within the sweep's and is a run folder. Beside them: ``config.yaml`` (resolved, with its sweep; runs
again as it is), ``table.csv`` (every point), ``groups.csv`` (means and standard errors), ``shared/`` (what points have
in common, see :mod:`dlcourse.training.shared`), ``plots/``, ``report.html``, ``log.txt``, and for a resampled
regression ``resample.npz``: ``x`` (M,), and for each point ``<id>.outputs`` (R, M), ``<id>.curve`` (M,); with more than
one feature or target ``x`` is (M, D), the others (R, M, K) and (M, K).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcourse.errors import DlcourseError, UserError
from dlcourse.records.reading import read
from dlcourse.records.sweep import SweepState
from dlcourse.records.writing import real_folder
from dlcourse.training.atomic import to_json, write_bytes
from dlcourse.training.folder import RunFolder, fresh_path, made_whole
from dlcourse.training.shared import POINTS

ARRAYS = "resample.npz"
"""The fits of resampling: of all points in the sweep's folder, ``outputs`` and ``curve`` of one in the point's."""

FINISHED = ("done", "diverged", "pruned")
"""What a resumed sweep keeps: a learning rate that diverges is a result, and so is a trial that a search ended."""


class SweepFolder:
    """Paths inside a sweep's folder, and reading and writing of its state."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.state = self.path / "sweep.json"
        self.points = self.path / POINTS
        self.table = self.path / "table.csv"
        self.groups = self.path / "groups.csv"
        self.resample = self.path / ARRAYS
        self.log = self.path / "log.txt"
        self.config = self.path / "config.yaml"

    @classmethod
    def create(cls, out: str | os.PathLike, state: SweepState, config: str) -> "SweepFolder":
        """Make ``out/<name>/<UTC time>-<id>/`` with the config's text and its first ``sweep.json``.

        Raises:
            UserError: the config's name cannot be a folder's.
            DlcourseError: it cannot be written.
        """
        folder = cls(fresh_path(out, state.name))
        with made_whole(folder.path) as hidden:
            made = cls(hidden)
            made.points.mkdir()
            write_bytes(made.config, config.encode())
            made.write(state)
        return folder

    @classmethod
    def open(cls, path: str | os.PathLike) -> "SweepFolder":
        """The folder of a sweep that was made before, or one that holds it and no other.

        Raises:
            UserError: there is no sweep in that folder.
        """
        folder = cls(path)
        if not folder.state.is_file():
            inside = sorted(each.parent for each in folder.path.glob("[!.]*/sweep.json"))
            if len(inside) == 1:
                return cls(inside[0])
            what = "not a sweep's folder (there is no sweep.json in it)" if folder.path.is_dir() else "no such folder"
            raise UserError(f"{path}: {what}")
        return folder

    def lock(self) -> Any:
        """Keep other processes from running this sweep, as :meth:`RunFolder.lock` does for a run.

        Raises:
            UserError: a folder inside is a link: nothing is written through it.
        """
        real_folder(self.points)
        for point in self.points.iterdir() if self.points.is_dir() else ():
            if point.is_symlink():
                real_folder(point)
        return RunFolder(self.path).lock()

    def write(self, state: SweepState) -> None:
        """Replace ``sweep.json``."""
        # One line: indented JSON takes Python's slow encoder, which a thousand points would notice.
        content = {"kind": "sweep", **vars(state), "points": [vars(point) for point in state.points]}
        write_bytes(self.state, to_json(content).encode())

    def read(self) -> SweepState:
        """What ``sweep.json`` says.

        Raises:
            DamagedFileError: names the field that is wrong.
        """
        try:
            return read(self.state, SweepState)
        except FileNotFoundError:
            raise UserError(f"{self.path}: not a sweep's folder (there is no sweep.json in it)") from None

    def relative(self, place: Path) -> str:
        """A path inside the folder as ``sweep.json`` has it."""
        return place.relative_to(self.path).as_posix()


def known_result(place: str | os.PathLike) -> Mapping[str, Any]:
    """What a run's ``result.json`` says; nothing where there is none that can be read."""
    try:
        return RunFolder(place).read_result()
    except (DlcourseError, OSError):
        return {}


def attempts(place: Path) -> list[Path]:
    """The folders of all attempts at a point, oldest first: ``points/<id>``, ``points/<id>.2``, ..."""
    found: list[Path] = []
    while (path := place if not found else place.with_name(f"{place.name}.{len(found) + 1}")).exists():
        found.append(path)
    return found


def free_place(place: Path) -> Path:
    """Where the next attempt at a point goes."""
    count = len(attempts(place))
    return place.with_name(f"{place.name}.{count + 1}") if count else place
