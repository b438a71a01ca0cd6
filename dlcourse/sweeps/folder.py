"""The folder of a sweep: ``runs/<name>/<UTC time>-<id>/``, whose ``sweep.json`` says at any moment where it stands.

``sweep.json``, replaced whole after every point::

    {"kind": "sweep", "name": ..., "status": "running" | "done" | "failed" | "interrupted",
     "config": {the resolved config, with its sweep section},
     "axes": [{"kind": "grid" | "zip" | "random" | "kfold", "path": "model.degree", "label": "degree",
               "values": [...]}],
     "metrics": ["half_sse", ...],
     "select": {"metric": "half_sse", "split": "val", "higher_is_better": false},
     "points": [{"id": "003-degree=4", "overrides": {"model.degree": 4}, "folder": "points/003-degree=4",
                 "status": "pending" | "running" | "done" | "diverged" | "failed" | "interrupted",
                 "metrics": {"val.mse": 0.1, ...}, "parameters": 5, "seconds": 0.01, "error": null}],
     "groups": [{"overrides": {without the fold and the seed}, "points": [ids], "complete": true, "parameters": 5,
                 "mean": {"val.mse": ...}, "se": {"val.mse": ... or null}, "n": {"val.mse": 5}}],
     "best": {"overrides": {...}, "points": [ids], "metric": ..., "split": ..., "value": ..., "se": ... or null}
             or null,
     "one_standard_error": the same for the simplest setting within one standard error of the best, or null,
     "resample": {"task": "regression", "resamples": R, "points": [
                     {"id": ..., "bias2": ..., "bias2_se": ... or null, "variance": ..., "noise": ...,
                      "expected": ..., "mse": ..., "fits": R}]}
              or {"task": "estimation", "resamples": R, "points": [
                     {"id": ..., "estimates": {name: {"truth", "bias", "variance", "mse", "se",
                      "theory": {"bias", "variance", "mse"} or null}}}]} or null}

The paths that ``zip`` moves together and those of ``random`` have one entry each in ``axes``, with values in step.
``groups`` is empty unless folds or seeds repeat a setting. A point's ``folder`` lies within the sweep's and is a run
folder. Beside them: ``config.yaml`` (resolved, with its sweep; runs again as it is), ``table.csv`` (every point),
``groups.csv`` (means and standard errors), ``plots/``, ``report.html``, ``log.txt``, and for a resampled regression
``resample.npz``: ``x`` (M,), and for each point ``<id>.outputs`` (R, M), ``<id>.curve`` (M,); with more than one
feature or target ``x`` is (M, D), the others (R, M, K) and (M, K).
"""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.errors import UserError
from dlcourse.training.atomic import loud, to_json, write_bytes
from dlcourse.training.folder import RunFolder, fresh_path

ARRAYS = "resample.npz"
"""The fits of resampling: of all points in the sweep's folder, ``outputs`` and ``curve`` of one in the point's."""

FINISHED = ("done", "diverged")
"""What a resumed sweep keeps: a learning rate that diverges is a result."""


@dataclass
class PointState:
    """One point as ``sweep.json`` holds it."""

    id: str
    overrides: dict[str, Any]
    folder: str | None = None
    status: str = "pending"
    metrics: dict[str, float | None] = field(default_factory=dict)
    parameters: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass
class SweepState:
    """All of ``sweep.json``; see the module's text for the parts."""

    name: str
    config: dict[str, Any]
    axes: list[dict[str, Any]]
    metrics: list[str]
    select: dict[str, Any]
    points: list[PointState]
    status: str = "running"
    groups: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    one_standard_error: dict[str, Any] | None = None
    resample: dict[str, Any] | None = None


class SweepFolder:
    """Paths inside a sweep's folder, and reading and writing of its state."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.state = self.path / "sweep.json"
        self.points = self.path / "points"
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
        with loud(folder.path):
            folder.points.mkdir(parents=True)
        write_bytes(folder.config, config.encode())
        folder.write(state)
        return folder

    @classmethod
    def open(cls, path: str | os.PathLike) -> "SweepFolder":
        """The folder of a sweep that was made before.

        Raises:
            UserError: there is no sweep in that folder.
        """
        folder = cls(path)
        if not folder.state.is_file():
            what = "not a sweep's folder (there is no sweep.json in it)" if folder.path.is_dir() else "no such folder"
            raise UserError(f"{path}: {what}")
        return folder

    def lock(self) -> Any:
        """Keep other processes from running this sweep, as :meth:`RunFolder.lock` does for a run."""
        return RunFolder(self.path).lock()

    def write(self, state: SweepState) -> None:
        """Replace ``sweep.json``."""
        # One line: indented JSON takes Python's slow encoder, which a thousand points would notice.
        content = {"kind": "sweep", **vars(state), "points": [vars(point) for point in state.points]}
        write_bytes(self.state, to_json(content).encode())

    def read(self) -> SweepState:
        """What ``sweep.json`` says.

        Raises:
            UserError: it is damaged.
        """
        try:
            values = json.loads(self.state.read_text(encoding="utf-8"))
            values.pop("kind")
            values["points"] = [PointState(**point) for point in values["points"]]
            return SweepState(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.state}: damaged: {error}") from error

    def relative(self, place: Path) -> str:
        """A path inside the folder as ``sweep.json`` has it."""
        return place.relative_to(self.path).as_posix()


def attempts(place: Path) -> list[Path]:
    """The folders of all attempts at a point, oldest first: ``points/<id>``, ``points/<id>.2``, ..."""
    found = []
    while (path := place if not found else place.with_name(f"{place.name}.{len(found) + 1}")).exists():
        found.append(path)
    return found


def free_place(place: Path) -> Path:
    """Where the next attempt at a point goes."""
    count = len(attempts(place))
    return place.with_name(f"{place.name}.{count + 1}") if count else place


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace an npz file, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes(path, content.getvalue())
