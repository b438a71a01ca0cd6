"""The summary at the end of a run."""

from collections.abc import Mapping

from dlcourse.text import format_number, table


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
        rows.append([named, *(format_number(each[label], 6) if label in each else "" for each in metrics.values())])
    return table(rows)


def estimate_lines(estimates: Mapping[str, float]) -> str:
    """Fitted numbers, one a line; the equals signs below each other."""
    width = max(map(len, estimates), default=0)
    return "\n".join(f"{name.ljust(width)} = {format_number(value, 6)}" for name, value in estimates.items())
