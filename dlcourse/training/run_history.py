"""The events of a run, as a list and as columns: ``result.history["loss"]``, ``result.history.to_frame()``."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any, overload

import numpy as np

from dlcourse.errors import UserError
from dlcourse.records.run import Event
from dlcourse.text import SPLITS

__all__ = ["RunHistory", "UnknownColumnError"]

_TRAIN = ("loss", "lr", "step", "epoch", "samples", "seconds")


class UnknownColumnError(UserError, KeyError):
    """No event has that column; names the nearest and all that there are."""

    __str__ = Exception.__str__  # KeyError would put the message in quotes


class RunHistory(list[Event]):
    """The events of ``metrics.jsonl``, in order, and the numbers in them by name.

    ``history["loss"]`` has the training loss of each log point, as ``lr``, ``step``, ``epoch``, ``samples`` and
    ``seconds`` do; ``history["val.accuracy"]`` a metric of a split at each evaluation, whose steps are
    ``history.steps("val.accuracy")``.
    """

    def __init__(self, events: Iterable[Event] = ()):
        super().__init__(events)

    def keys(self) -> list[str]:
        """The columns that there are."""
        train = [name for name in _TRAIN if any(name in event for event in self._of("train"))]
        found = {f"{split}.{label}" for event in self._evaluated() for split in event["metrics"]
                 for label in event["metrics"][split]}  # fmt: skip
        order = {split: i for i, split in enumerate(SPLITS)}
        return train + sorted(found, key=lambda name: (order.get(name.partition(".")[0], 9), name))

    @overload  # type: ignore[override]
    def __getitem__(self, key: int) -> Event: ...

    @overload
    def __getitem__(self, key: slice) -> list[Event]: ...

    @overload
    def __getitem__(self, key: str) -> np.ndarray: ...

    def __getitem__(self, key: Any) -> Any:
        """One event by its number, or a column by its name, (n,) float64; NaN where there is no number.

        Raises:
            UnknownColumnError: there is no such column.
        """
        return self._column(key)[1] if isinstance(key, str) else super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        return key in self.keys() if isinstance(key, str) else super().__contains__(key)

    def steps(self, key: str) -> np.ndarray:
        """The step of each value of a column, (n,) int64."""
        return self._column(key)[0]

    def _column(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.keys():
            near = difflib.get_close_matches(key, self.keys(), n=1, cutoff=0.5)
            guess = f" (did you mean {near[0]!r}?)" if near else ""
            there = ", ".join(self.keys()) or "none"
            raise UnknownColumnError(f"this history has no {key!r}{guess}; it has: {there}")
        if key in _TRAIN:
            pairs: list[tuple[Any, Any]] = [(event["step"], event.get(key)) for event in self._of("train")]
        else:
            split, _, label = key.partition(".")
            by_step = {event["step"]: event["metrics"].get(split, {}).get(label) for event in self._evaluated()}
            pairs = [(step, value) for step, value in by_step.items() if value is not None]
        values = [np.nan if value is None else value for _, value in pairs]
        return np.array([step for step, _ in pairs], dtype=np.int64), np.array(values, dtype=np.float64)

    def _of(self, kind: str) -> list[Event]:
        return [event for event in self if event.get("event") == kind]

    def _evaluated(self) -> list[Any]:
        """Evaluations in order; the one at the end, of weights that may be older, only where there is no other."""
        return [each for each in self._of("eval") if "metrics" in each] or [
            e for e in self._of("final") if "metrics" in e
        ]

    def to_frame(self) -> Any:
        """A pandas frame with a row for each event: event, step, ..., loss, lr, and a column a metric of a split.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            pandas: Any = importlib.import_module("pandas")
        except ImportError:
            raise UserError("to_frame needs pandas: pip install pandas; history['loss'] gives NumPy arrays") from None
        rows = []
        for event in self:
            row: dict[str, Any] = {key: value for key, value in event.items() if not isinstance(value, dict | list)}
            for split, metrics in event.get("metrics", {}).items():
                row |= {f"{split}.{label}": value for label, value in metrics.items()}
            rows.append(row)
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        last = self[-1].get("step", 0) if self else 0
        return f"RunHistory({len(self)} events to step {last}; columns {', '.join(self.keys()) or 'none'})"
