"""Measure the phases of a step: ``--profile``."""

import contextlib
import time
from pathlib import Path
from typing import Any

from dlcourse import backend
from dlcourse.backend import tracing
from dlcourse.backend.capture import EagerRunner, Step
from dlcourse.backend.device import Array
from dlcourse.text import table
from dlcourse.training.atomic import write_json
from dlcourse.training.callback import Callback
from dlcourse.training.kernel_table import describe

PHASES = ("data", "forward", "backward", "optimizer", "evaluation", "other")
MAX_EVENTS = 20_000
WARM_UP, MAX_RECORDED_STEPS = 2, 50
"""Steps before the first one whose kernels are timed, and how many those are at most."""


class Profile(Callback):
    """Times the phases of training, which say where they begin (:func:`dlcourse.backend.tracing.phase`); waits there.

    Forward includes the loss; backward what follows it up to the optimizer: penalty and clipping too. For a closed form
    the solving counts as the optimizer. Other is what is left: logging, checkpoints, the loop.

    On a device with launches some steps after the first two have those timed instead, one by one; nothing waits inside
    them, and they count in none of the phases. All steps are run eagerly and compute what they always do.

    Args:
        trace: gets the first events as a Chrome trace, to open in ``ui.perfetto.dev``.
        kernels: time the device's launches too.
    """

    def __init__(self, trace: Path | None = None, kernels: bool = False):
        self.trace, self.kernels = trace, kernels
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.events: list[dict[str, Any]] = []
        self.steps = 0
        self.measured: tracing.Measured | None = None
        self._phase: str | None = None
        self._since = 0.0
        self._first: float | None = None  # seconds from the start to the end of the first step
        self._launches: _LaunchRunner | None = None
        self._listening = contextlib.ExitStack()

    def start(self, trainer: Any) -> None:
        step = trainer.train_step
        step.capture = False  # the boundaries between its phases are waited for, which a captured step does not have
        self._first_step = trainer.step
        timed = self.kernels and not step.optimizer.closed_form
        recorder = tracing.recorder(step.flat.data) if timed else None
        if recorder is not None:
            # Of a short run no more than half.
            half = (trainer.total_steps - self._first_step - WARM_UP + 1) // 2
            first = self._first_step + WARM_UP
            chosen = range(first, first + min(MAX_RECORDED_STEPS, max(half, 0)))
            self._launches = step.runner = _LaunchRunner(recorder, chosen)
        self._listening.enter_context(tracing.listening_to_phases(self.phase))
        self._began = time.perf_counter()

    def finish(self, trainer: Any) -> None:
        total = time.perf_counter() - self._began
        self.steps = trainer.step - self._first_step
        if self._launches is not None:
            total -= self._launches.seconds
            self.steps -= self._launches.count
            self.measured = self._launches.recorder.result()
            self._add_launches(self.measured)
        self.seconds["other"] = max(total - sum(self.seconds.values()), 0.0)
        if self.trace is not None:
            write_json(self.trace, {"traceEvents": self.events, "displayTimeUnit": "ms"}, durable=False)

    def close(self, trainer: Any) -> None:
        self._listening.close()

    def phase(self, name: str | None) -> None:
        """Add the time since the last phase began to that one; this one begins."""
        backend.synchronize()
        now = time.perf_counter()
        if self._phase is not None:
            self._add(self._phase, self._since, now)
        self._phase, self._since = name, now

    def report(self) -> str:
        """The table of the phases, and that of the kernels where they were timed."""
        return self._parts() if self.measured is None else f"{self._parts()}\n\n{describe(self.measured)}"

    def _parts(self) -> str:
        total, steps = sum(self.seconds.values()), max(self.steps, 1)
        rows = [["where the time goes", "ms a step", "share"]]
        for phase in PHASES:
            spent = self.seconds[phase]
            rows.append([f"  {phase}", f"{1e3 * spent / steps:.3f}", f"{100 * spent / total if total else 0:.1f} %"])
        rows.append(["  all", f"{1e3 * total / steps:.3f}", f"{self.steps} step{'' if self.steps == 1 else 's'}"])
        if self._first is not None and self.steps > 1:
            # It loads libraries and takes its memory: of a short run that is most of the average.
            rows.append(["  the first", f"{1e3 * self._first:.3f}", ""])
        return table(rows)

    def _add_launches(self, measured: tracing.Measured) -> None:
        """Launches as rows of their own in the trace, a row a stream, below the phases."""
        lanes = {lane: 1 + index for index, lane in enumerate(dict.fromkeys(event[1] for event in measured.events))}
        for name, lane, start, length in measured.events[: max(MAX_EVENTS - len(self.events), MAX_EVENTS // 2)]:
            self.events.append(self._event(name, lanes[lane], start, length))
        for tid, name in enumerate(["phases", *(f"kernels, stream {lane:#x}" for lane in lanes)]):
            self.events.append({"name": "thread_name", "ph": "M", "pid": 0, "tid": tid, "args": {"name": name}})

    def _event(self, name: str, tid: int, began: float, length: float) -> dict[str, Any]:
        """One bar of the trace: start and length from seconds to microseconds since training began."""
        start = 1e6 * (began - self._began)
        return {"name": name, "ph": "X", "pid": 0, "tid": tid, "ts": start, "dur": 1e6 * length}

    def _add(self, phase: str, began: float, ended: float) -> None:
        self.seconds[phase] += ended - began
        if phase == "optimizer" and self._first is None:
            self._first = ended - self._began
        if len(self.events) < MAX_EVENTS:
            self.events.append(self._event(phase, 0, began, ended - began))


class _LaunchRunner(EagerRunner):
    """Has the launches of some steps timed, and no phase of those.

    Attributes:
        count, seconds: of the steps whose launches were timed.
    """

    def __init__(self, recorder: tracing.Recorder, steps: range):
        self.recorder, self.steps = recorder, steps
        self.count, self.seconds = 0, 0.0

    def advance(self, step: Any, loader: Any, max_steps: int) -> Array | None:
        if step.step not in self.steps:
            return super().advance(step, loader, max_steps)
        began = time.perf_counter()
        with tracing.listening_to_phases(None):
            losses = super().advance(step, loader, max_steps)
        self.count += 1
        self.seconds += time.perf_counter() - began
        return losses

    def run(self, step: Step, x: Array, y: Array) -> Array:
        if step.step not in self.steps:
            return super().run(step, x, y)
        with self.recorder.recording(step, x, y):
            return super().run(step, x, y)
