"""Measure the phases of a step: ``--profile``."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcourse import backend
from dlcourse.backend import tracing
from dlcourse.text import table
from dlcourse.training.atomic import write_json
from dlcourse.training.callback import Callback
from dlcourse.training.evaluation import Evaluation
from dlcourse.training.kernel_table import describe

PHASES = ("data", "forward", "backward", "optimizer", "evaluation", "other")
MAX_EVENTS = 20_000
WARM_UP, MAX_RECORDED_STEPS = 2, 50
"""Steps before the first one whose kernels are timed, and how many those are at most."""


class Profile(Callback):
    """Times the phases of training by wrapping the objects that do them; waits for the device at each boundary.

    Forward includes the loss; backward what follows it up to the optimizer: penalty and clipping too. For a closed form
    the solving counts as the optimizer. Other is what is left: logging, checkpoints, the loop.

    On a device with launches some steps after the first two have those timed instead, one by one; nothing waits inside
    them, and they count in none of the phases. All steps are run eagerly and compute what they always do.

    Args:
        evaluation: timed as a whole, where there is one.
        trace: gets the first events as a Chrome trace, to open in ``ui.perfetto.dev``.
        kernels: time the device's launches too.
    """

    def __init__(self, evaluation: Evaluation | None = None, trace: Path | None = None, kernels: bool = False):
        self.trace, self.kernels = trace, kernels
        if evaluation is not None:
            evaluation.run = self._timed("evaluation", evaluation.run)
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.events: list[dict[str, Any]] = []
        self.steps = 0
        self.measured: tracing.Measured | None = None
        self._backward_since: float | None = None
        self._first: float | None = None  # seconds from the start to the end of the first step
        self._recorder: tracing.Recorder | None = None
        self._to_record, self._recording = range(0), False
        self._recorded, self._apart = 0, 0.0  # steps, and their seconds

    def start(self, trainer: Any) -> None:
        step = trainer.train_step
        step.capture = False  # the boundaries between its phases are waited for, which a captured step does not have
        self._first_step = trainer.step
        trainer.loader = _Wrapped(trainer.loader, batch=self._timed("data", trainer.loader.batch))
        step.model = _Wrapped(step.model, call=self._timed("forward", step.model))
        if step.loss_fn is not None:
            step.loss_fn = _Wrapped(step.loss_fn, call=self._timed("forward", step.loss_fn, before_backward=True))
        method = "solve" if step.optimizer.closed_form else "step"
        setattr(step.optimizer, method, self._timed("optimizer", getattr(step.optimizer, method)))
        if self.kernels and not step.optimizer.closed_form:
            self._recorder = tracing.recorder(step.flat.data)
        if self._recorder is not None:
            # Of a short run no more than half.
            most = (trainer.total_steps - self._first_step - WARM_UP + 1) // 2
            first = self._first_step + WARM_UP
            self._to_record = range(first, first + min(MAX_RECORDED_STEPS, max(most, 0)))
            step.update = self._timed_launches(step, step.update)
        self._began = time.perf_counter()

    def finish(self, trainer: Any) -> None:
        total = time.perf_counter() - self._began - self._apart
        self.steps = trainer.step - self._first_step - self._recorded
        self.seconds["other"] = max(total - sum(self.seconds.values()), 0.0)
        if self._recorder is not None:
            self.measured = self._recorder.result()
            self._add_launches(self.measured)
        if self.trace is not None:
            write_json(self.trace, {"traceEvents": self.events, "displayTimeUnit": "ms"}, durable=False)

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

    def _timed(self, phase: str, function: Callable[..., Any], before_backward: bool = False) -> Callable[..., Any]:
        """The function, its time added to ``phase``.

        Args:
            before_backward: what comes between this call and the next timed one is the backward pass, which is not an
                object that could be wrapped.
        """

        def call(*arguments: Any, **options: Any) -> Any:
            if self._recording:
                return function(*arguments, **options)
            backend.synchronize()
            began = time.perf_counter()
            if self._backward_since is not None:
                self._add("backward", self._backward_since, began)
            result = function(*arguments, **options)
            backend.synchronize()
            ended = time.perf_counter()
            self._backward_since = ended if before_backward else None
            self._add(phase, began, ended)
            return result

        return call

    def _timed_launches(self, step: Any, update: Callable[..., Any]) -> Callable[..., Any]:
        """The update of a step: that of a step to record has its launches timed, and no phase of it."""

        def call(x: Any, y: Any) -> Any:
            if step.step not in self._to_record:
                return update(x, y)
            began, self._recording = time.perf_counter(), True
            try:
                return self._recorder.update(step, update, x, y)
            finally:
                self._recording = False
                self._recorded += 1
                self._apart += time.perf_counter() - began

        return call

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


class _Wrapped:
    """An object as it is, but for what is called."""

    def __init__(self, wrapped: Any, call: Callable[..., Any] | None = None, **methods: Callable[..., Any]):
        self._wrapped, self._call = wrapped, call
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._call(*arguments, **options)
