"""Where the time of a step goes: ``--profile``."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlcourse import backend
from dlcourse.training.atomic import write_json
from dlcourse.training.callback import Callback
from dlcourse.training.evaluation import Evaluation
from dlcourse.training.summary import table

PARTS = ("data", "forward", "backward", "optimizer", "evaluation", "other")
MOST_EVENTS = 20_000


class Profile(Callback):
    """Times the parts of training by wrapping the objects that do them; waits for the device at each boundary.

    Forward includes the loss; backward what follows it up to the optimizer: penalty and clipping too. For a closed form
    the solving counts as the optimizer. Other is what is left: logging, checkpoints, the loop.

    Args:
        evaluation: timed as a whole, where there is one.
        trace: gets the first events as a Chrome trace, to open in ``ui.perfetto.dev``.
    """

    def __init__(self, evaluation: Evaluation | None = None, trace: Path | None = None):
        self.trace = trace
        if evaluation is not None:
            evaluation.run = self._timed("evaluation", evaluation.run)
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.events: list[dict[str, Any]] = []
        self.steps = 0
        self._backward_since: float | None = None

    def start(self, trainer: Any) -> None:
        step = trainer.train_step
        step.capture = False  # the boundaries between its parts are waited for, which a recorded step does not have
        self._first_step = trainer.step
        trainer.loader = _Wrapped(trainer.loader, batch=self._timed("data", trainer.loader.batch))
        step.model = _Wrapped(step.model, call=self._timed("forward", step.model))
        if step.loss_fn is not None:
            step.loss_fn = _Wrapped(step.loss_fn, call=self._timed("forward", step.loss_fn, before_backward=True))
        method = "solve" if step.optimizer.closed_form else "step"
        setattr(step.optimizer, method, self._timed("optimizer", getattr(step.optimizer, method)))
        self._began = time.perf_counter()

    def finish(self, trainer: Any) -> None:
        total = time.perf_counter() - self._began
        self.steps = trainer.step - self._first_step
        self.seconds["other"] = max(total - sum(self.seconds.values()), 0.0)
        if self.trace is not None:
            write_json(self.trace, {"traceEvents": self.events, "displayTimeUnit": "ms"}, durable=False)

    def report(self) -> str:
        """The table."""
        total, steps = sum(self.seconds.values()), max(self.steps, 1)
        rows = [["where the time goes", "ms a step", "share"]]
        for part in PARTS:
            spent = self.seconds[part]
            rows.append([f"  {part}", f"{1e3 * spent / steps:.3f}", f"{100 * spent / total if total else 0:.1f} %"])
        rows.append(["  all", f"{1e3 * total / steps:.3f}", f"{self.steps} steps"])
        return table(rows)

    def _timed(self, part: str, function: Callable[..., Any], before_backward: bool = False) -> Callable[..., Any]:
        """The function, its time added to ``part``.

        Args:
            before_backward: what comes between this call and the next timed one is the backward pass, which is not an
                object that could be wrapped.
        """

        def call(*arguments: Any, **options: Any) -> Any:
            backend.synchronize()
            began = time.perf_counter()
            if self._backward_since is not None:
                self._add("backward", self._backward_since, began)
            result = function(*arguments, **options)
            backend.synchronize()
            ended = time.perf_counter()
            self._backward_since = ended if before_backward else None
            self._add(part, began, ended)
            return result

        return call

    def _add(self, part: str, began: float, ended: float) -> None:
        self.seconds[part] += ended - began
        if len(self.events) < MOST_EVENTS:
            start, length = 1e6 * (began - self._began), 1e6 * (ended - began)
            self.events.append({"name": part, "ph": "X", "pid": 0, "tid": 0, "ts": start, "dur": length})


class _Wrapped:
    """An object as it is, but for what is called."""

    def __init__(self, wrapped: Any, call: Callable[..., Any] | None = None, **methods: Callable[..., Any]):
        self._wrapped, self._call = wrapped, call
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._call(*arguments, **options)
