"""TensorBoard's event files in a run's folder: ``tensorboard --logdir runs`` shows all runs."""

import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcourse.backend.diagnostics.probe import install_command
from dlcourse.errors import DlcourseError
from dlcourse.records.writing import append, real_folder
from dlcourse.registry import register
from dlcourse.training.atomic import reporting_write_errors
from dlcourse.training.callback import Callback
from dlcourse.training.history import History

__all__ = ["TensorBoard"]


@register("logging", "tensorboard")
class TensorBoard(Callback):
    """Scalars for TensorBoard, in the folder tensorboard of the run.

    ``loss`` (of the batch) and ``lr`` at log points; at evaluations each metric of each split (``val/accuracy``) and
    what ``train.watch`` sees, ``watch/<layer>/<number>``. At the end the metrics of the test split, of the weights that
    the run ended with.

    A run that is resumed begins another file of the same set. It says at which step it goes on, and repeats what is
    known of that step, so that TensorBoard drops what an earlier file has from there on.

    Args:
        path: the run's folder.
        history: whose lines are written.
    Raises:
        DlcourseError: tensorboard is not installed.
    """

    def __init__(self, path: Path, history: History):
        self.check()
        self.folder, self.history = path / "tensorboard", history
        self._file: Path | None = None

    @classmethod
    def check(cls) -> None:
        """Raise DlcourseError, with the command that installs it, where the package is not there."""
        if importlib.util.find_spec("tensorboard") is None:
            command = install_command("tensorboard")
            raise DlcourseError(f"logging tensorboard needs the package tensorboard, which is not installed: {command}")

    def start(self, trainer: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        real_folder(self.folder)
        with reporting_write_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
            count = len(list(self.folder.glob("events.out.tfevents.*")))
        # TensorBoard reads the files of a folder in the order of their names.
        self._file = self.folder / f"events.out.tfevents.{count:05d}.{time.time_ns()}"
        first = [Event(wall_time=time.time(), file_version="brain.Event:2")]
        if count:
            session = SessionLog(status=SessionLog.START)
            first.append(Event(wall_time=time.time(), step=trainer.step, session_log=session))
        self._append(first)
        known = [event for event in self.history.events if not count or event["step"] >= trainer.step]
        self.write(known)
        self.history.listeners.append(self.write)

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write lines of the history as events.

        Raises:
            DlcourseError: the disk is full, or whatever it is.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        events = []
        for line in lines:
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(line)]
            if values:
                events.append(Event(wall_time=time.time(), step=line["step"], summary=Summary(value=values)))
        self._append(events)

    def _append(self, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None or not events:
            return
        with reporting_write_errors(self._file), append(self._file) as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())


def scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names and values of a line of ``metrics.jsonl``; what was infinite or NaN is NaN."""
    event = line["event"]
    if event == "train":
        yield from ((name, _number(line.get(name))) for name in ("loss", "lr"))
    elif event == "eval":
        for split, metrics in line["metrics"].items():
            yield from ((f"{split}/{name}", _number(value)) for name, value in metrics.items())
    elif event == "final":
        # The others were written at the last evaluation, or are of the best weights, which are of another step.
        yield from ((f"test/{name}", _number(value)) for name, value in line["metrics"].get("test", {}).items())
    elif event == "watch":
        for layer, facts in line["layers"].items():
            for name, value in facts.items():
                if value is None or isinstance(value, int | float):
                    yield f"watch/{layer}/{name}", _number(value)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
