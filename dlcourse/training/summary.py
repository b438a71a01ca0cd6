"""The summary at the end of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlcourse.metrics.class_counts import f1_of, precision_of, recall_of
from dlcourse.text import format_number, table


def metric_table(
    metrics: Mapping[str, Mapping[str, float]], units: Mapping[str, str], baseline: Mapping[str, Any] | None = None
) -> str:
    """Metrics in rows, splits in columns.

    Args:
        metrics: by split and label.
        units: by label, empty for a metric without one.
        baseline: ``split``, ``words`` and ``metrics`` of what ignores the inputs: one column more, and a line.
    """
    labels = list(dict.fromkeys(label for values in metrics.values() for label in values))
    beside = (baseline or {}).get("metrics") or {}
    rows = [["", *metrics, *([f"baseline ({baseline['split']})"] if baseline and beside else [])]]
    for label in labels:
        named = f"{label} [{units[label]}]" if units.get(label) else label
        columns = [*metrics.values(), *([beside] if beside else [])]
        rows.append([named, *(format_number(each[label], 6) if label in each else "" for each in columns)])
    return table(rows) + (f"\nbaseline: {baseline['words']}" if baseline and beside else "")


def class_table(names: Sequence[str], hits: Any, predicted: Any, actual: Any) -> str:
    """Samples, precision, recall and F1 of each class, in rows.

    Args:
        names: of the classes.
        hits, predicted, actual: counts of each class, see :class:`~dlcourse.metrics.class_counts.ClassCounts`.
    """
    rates = [each(hits, predicted, actual) for each in (precision_of, recall_of, f1_of)]
    rows = [["class", "samples", "precision", "recall", "F1"]]
    for c, name in enumerate(names):
        rows.append([name, f"{int(actual[c])}", *(f"{each[c]:.3f}" for each in rates)])
    return table(rows)


def estimate_lines(estimates: Mapping[str, float]) -> str:
    """Fitted numbers, one a line; the equals signs below each other."""
    width = max(map(len, estimates), default=0)
    return "\n".join(f"{name.ljust(width)} = {format_number(value, 6)}" for name, value in estimates.items())
