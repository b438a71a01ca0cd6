"""History: one JSON line in ``metrics.jsonl`` for each event, none twice and none lost, however often it is resumed."""

import json
import os
import time
from pathlib import Path
from typing import Any

from dlcourse.training.atomic import finite, loud
from dlcourse.training.callback import Callback, until_multiple


class History(Callback):
    """Writes ``train`` lines at log points; other callbacks write theirs through :meth:`record`.

    A checkpoint keeps how many lines there were; a resumed run cuts the file back to them before it goes on.

    Args:
        path: the file; None keeps the events in memory only.
        log_every: steps between ``train`` lines. The first step has one too.
    """

    name = "history"

    def __init__(self, path: Path | None, log_every: int):
        self.path, self.log_every = path, log_every
        self.events: list[dict[str, Any]] = []
        self.loss: float | None = None
        self._keep = 0
        self._began = time.perf_counter()

    def start(self, trainer: Any) -> None:
        if self.path is not None:
            with loud(self.path):
                self._cut()
        # The clock goes on from the last line that is kept: seconds are those spent training, over all sittings.
        spent = self.events[-1]["seconds"] if self.events else 0.0
        self._began -= spent

    def patience(self, trainer: Any) -> int:
        return until_multiple(trainer.step, self.log_every) if trainer.step else 1

    def after_step(self, trainer: Any) -> None:
        if trainer.loss is None or (trainer.step % self.log_every and trainer.step != 1):
            return
        trainer.call("before_read")
        self.loss = trainer.loss.item()
        self.record(trainer, "train", loss=self.loss, lr=trainer.lr)

    def record(self, trainer: Any, event: str, **values: Any) -> None:
        """Write one line: where the run stands, and these values; None for those that are infinite or NaN.

        Raises:
            DlcourseError: the line cannot be written.
        """
        line = finite({"event": event, **trainer.position(), "seconds": round(self.seconds, 4), **values})
        self.events.append(line)
        if self.path is not None:
            with loud(self.path), open(self.path, "ab") as file:
                file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return time.perf_counter() - self._began

    def sync(self) -> None:
        """Make sure that the lines are on the disk: a checkpoint that counts them is about to be written."""
        if self.path is not None:
            with loud(self.path), open(self.path, "ab") as file:
                os.fsync(file.fileno())

    def state_dict(self) -> dict[str, Any]:
        return {"lines": len(self.events)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._keep = state["lines"]

    def _cut(self) -> None:
        """Cut the file back to the lines that the checkpoint knows, and take those into memory."""
        content = self.path.read_bytes() if self.path.exists() else b""
        lines = content.split(b"\n")[:-1][: self._keep]
        with open(self.path, "ab") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
        self.events = [json.loads(line) for line in lines]
