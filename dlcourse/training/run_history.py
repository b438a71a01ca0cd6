"""The events of a run, as a list and as columns: ``result.history["loss"]``, ``result.history.to_frame()``."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any, overload

import numpy as np

from dlcourse.errors import UserError
from dlcourse.markup import html_table
from dlcourse.records.run import Event
from dlcourse.text import SPLITS, format_number

__all__ = ["NamedMetrics", "RunHistory", "UnknownColumnError"]

_TRAIN = ("loss", "lr", "step", "epoch", "samples", "seconds")


class UnknownColumnError(UserError, KeyError):
    """Nothing has that name; says the nearest one and all that there are."""

    __str__ = Exception.__str__  # KeyError would put the message in quotes


def _unknown(owner: str, key: object, names: Iterable[str]) -> UnknownColumnError:
    there = list(names)
    near = difflib.get_close_matches(str(key), there, n=1, cutoff=0.5)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return UnknownColumnError(f"{owner} no {key!r}{guess}; it has: {', '.join(there) or 'none'}")


class NamedMetrics(dict[str, Any]):
    """A result's metrics by name.

    Raises:
        UnknownColumnError: there is no such name.
    """

    def __missing__(self, key: object) -> Any:
        raise _unknown("this result has", key, self)


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
            raise _unknown("this history has", key, self.keys())
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

    def _repr_html_(self) -> str:
        """Each column's range as a table, for a notebook."""
        rows = []
        for name in self.keys():
            values = self[name]
            known = values[np.isfinite(values)]
            found = (known[0], known.min(), known.max(), known[-1]) if len(known) else (None,) * 4
            rows.append([name, str(len(values)), *(format_number(value) for value in found)])
        return html_table(["", "values", "first", "lowest", "highest", "last"], rows, [repr(self)])

    def __repr__(self) -> str:
        last = self[-1].get("step", 0) if self else 0
        return f"RunHistory({len(self)} events to step {last}; columns {', '.join(self.keys()) or 'none'})"
