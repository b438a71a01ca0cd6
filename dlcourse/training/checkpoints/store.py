"""The checkpoints of one run: ``last``, the one before it, and ``best``."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.errors import CheckpointError
from dlcourse.training.atomic import copy, link, write_by, write_json
from dlcourse.training.checkpoints import file_format
from dlcourse.training.checkpoints.file_format import Checkpoint

SUFFIX = ".safetensors"
CheckpointContent = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]
"""Arrays and state, as :func:`dlcourse.training.checkpoints.file_format.write` takes them."""


class CheckpointStore:
    """Files in ``checkpoints/``: ``last``, ``previous``, ``best`` (each ``.safetensors``) and ``latest.json``.

    Each is replaced by one rename, in an order in which a process killed between any two leaves a run that goes on
    exactly: first the best, which the steps from the old ``last`` would find again; then ``previous`` becomes a second
    name of the old ``last``; then ``last`` is replaced. ``latest.json`` tells people and tools what there is; resuming
    reads the files themselves, which carry their own hash.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        """The file of ``last``, ``previous`` or ``best``."""
        return self.folder / f"{name}{SUFFIX}"

    def save(self, content: CheckpointContent, best: CheckpointContent | None = None) -> None:
        """Write a new ``last``, and a new ``best`` if one is given (it may be the same content).

        Raises:
            DlcourseError: it cannot be written; the checkpoints that were there still are.
        """
        if best is not None:
            self._write("best", best)
        if self.path("last").exists():
            link(self.path("last"), self.path("previous"))
        self._write("last", content)
        self._write_manifest(content[1])

    def save_best(self, content: CheckpointContent) -> None:
        """Write a new ``best`` alone.

        Raises:
            DlcourseError: it cannot be written; the one that was there still is.
            CheckpointError: ``last`` is damaged; the new ``best`` is there.
        """
        self._write("best", content)
        last = self.path("last")
        self._write_manifest(file_format.read_state(last) if last.exists() else content[1])

    def load(self, name: str) -> Checkpoint:
        """Read ``last``, ``previous`` or ``best``.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        return file_format.read(self.path(name))

    def load_for_use(self, name: str) -> Checkpoint:
        """As :meth:`load`; where that one is missing or damaged the error names those that are whole.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        try:
            return self.load(name)
        except CheckpointError as error:
            messages = [str(error)]
        for other in ("last", "best", "previous"):
            with contextlib.suppress(CheckpointError):
                how = self.path(other) if other == "previous" else f"--checkpoint {other}"
                messages.append(
                    f"  there is another one, of step {file_format.read_state(self.path(other))['step']}: {how}"
                )
        if self.path("last").exists() or len(messages) > 1:
            messages.append(f"  `dlcourse run --resume {self.folder.parent}` takes the missing steps again")
        raise CheckpointError("\n".join(messages))

    def newest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """What to go on from: ``last``, or ``previous`` if that is damaged, which ``say`` reports; None before the
        first.

        Raises:
            CheckpointError: there are checkpoints and none is whole.
        """
        faults = []
        for name in ("last", "previous"):
            if not self.path(name).exists():
                continue
            try:
                found = self.load(name)
            except CheckpointError as error:
                faults.append(str(error))
                continue
            if faults:
                say(f"{faults[0]}; going on from {self.path(name).name}, step {found.state['step']}")
            return found
        if faults:
            best = self.path("best")
            hint = f"\nto go on from the best one: --resume {best}" if best.exists() else ""
            raise CheckpointError("no checkpoint to go on from:\n  " + "\n  ".join(faults) + hint)
        return None

    def restart_from(self, found: Checkpoint) -> None:
        """Make this checkpoint ``last``: what was saved after it belongs to steps that will be taken anew."""
        if found.path == self.path("last"):
            return
        # A copy, not a second name: what damages one file leaves the other whole.
        copy(found.path, self.path("last"))
        if found.path != self.path("previous"):
            self.path("previous").unlink(missing_ok=True)
        self._write_manifest(found.state)

    def _write(self, name: str, content: CheckpointContent) -> None:
        write_by(lambda file: file_format.write(file, *content), self.path(name))

    def _write_manifest(self, state: Mapping[str, Any]) -> None:
        """Say what there is; ``state`` is that of ``last``, where there is one."""
        names = [name for name in ("last", "previous", "best") if self.path(name).exists()]
        manifest = {"step": state["step"], **{name: self.path(name).name for name in names}}
        write_json(self.folder / "latest.json", manifest, durable=False)
