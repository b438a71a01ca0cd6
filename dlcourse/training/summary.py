"""The end of a run in a few aligned lines."""

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns two spaces apart, the first flush left, the others flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def metric_table(metrics: Mapping[str, Mapping[str, float]], units: Mapping[str, str]) -> str:
    """Metrics in rows, splits in columns.

    Args:
        metrics: by split and label.
        units: by label, empty for a metric without one.
    """
    labels = list(dict.fromkeys(label for values in metrics.values() for label in values))
    rows = [["", *metrics]]
    for label in labels:
        named = f"{label} [{units[label]}]" if units.get(label) else label
        rows.append([named, *(number(values[label]) if label in values else "" for values in metrics.values())])
    return table(rows)


def estimate_lines(estimates: Mapping[str, float]) -> str:
    """Fitted numbers, one a line; the equals signs below each other."""
    width = max(map(len, estimates), default=0)
    return "\n".join(f"{name.ljust(width)} = {number(value)}" for name, value in estimates.items())


def number(value: Any) -> str:
    """Six significant digits."""
    return f"{value:.6g}"


def metric_unit(of_metric: str, of_target: str) -> str:
    """A metric's unit with the target's own in place of the word ``target``; empty where that has none."""
    if "target" not in of_metric:
        return of_metric
    return of_metric.replace("target", of_target) if of_target else ""
