"""The table of kernels that a profile on a device measured."""

from dlcourse.backend.tracing import Bounds, Measured, Row
from dlcourse.text import table

MAX_ROWS = 24
"""Kernels with a line of their own, the longest first; the others share one."""
MAX_NAMES = 8
"""Of the array library's own kernels."""


def describe(measured: Measured) -> str:
    """The table: for each kernel its calls and microseconds a step, its share of the time, bytes, and how near it comes
    to the device's bounds: bytes a second of the bandwidth, operations a second of the arithmetic."""
    if not measured.steps or measured.bounds is None:
        slow = f"the host was too slow to keep ahead of the device in {measured.lost} steps"
        return f"kernels of a step: none could be timed: {slow if measured.lost else 'the run is too short'}"
    rows = dict(sorted(measured.rows.items(), key=lambda item: -item[1].seconds))
    listed = dict(list(rows.items())[:MAX_ROWS])
    rest = [row for name, row in rows.items() if name not in listed]
    if rest:
        listed[f"{len(rest)} others"] = _sum(rest)
    whole = _sum([*rows.values(), measured.between])
    lines = [["kernels of a step", "calls", "us a step", "share", "MB", "bandwidth", "arithmetic"]]
    for name, row in listed.items():
        lines.append([f"  {name}", *_cells(row, whole, measured.steps, measured.bounds)])
    between = measured.between
    calls = f"<= {between.calls}" if between.calls else "?"
    lines.append(["  the array library's own", calls, *_time(between, whole, measured.steps), "", "", ""])
    ours = sum(row.calls for row in rows.values()) / measured.steps
    total = f"<= {ours + between.calls:g}" if between.calls else f"{ours:g} + ?"
    lines.append(["  all", total, *_time(whole, whole, measured.steps), "", "", ""])
    return "\n".join([table(lines), *_notes(measured, measured.bounds)])


def _cells(row: Row, whole: Row, steps: int, bounds: Bounds) -> list[str]:
    bandwidth = row.nbytes / row.seconds / bounds.bandwidth if row.seconds else 0.0
    arithmetic = row.flops / row.seconds / bounds.flops if row.seconds else 0.0
    return [
        f"{row.calls / steps:g}",
        *_time(row, whole, steps),
        f"{row.nbytes / steps / 1e6:.3g}",
        f"{100 * bandwidth:.0f} %",
        f"{100 * arithmetic:.0f} %" if row.flops else "",
    ]


def _time(row: Row, whole: Row, steps: int) -> list[str]:
    return [f"{1e6 * row.seconds / steps:.1f}", f"{100 * row.seconds / whole.seconds if whole.seconds else 0:.1f} %"]


def _notes(measured: Measured, bounds: Bounds) -> list[str]:
    """What one has to know to read the table."""
    lost = f" ({measured.lost} more thrown away)" if measured.lost else ""
    return [
        f"  {measured.steps} steps{lost}, run eagerly, each launch between two events, less "
        f"{1e6 * measured.overhead:.1f} us for an empty pair;",
        "  a captured step has the same launches, closer together",
        "  MB: of the arrays that a launch is given, each once and whole: an estimate of what it moves",
        f"  bandwidth: of {bounds.bandwidth / 1e9:.0f} GB/s ({bounds.bandwidth_from})",
        f"  arithmetic, where it is known: of {bounds.flops / 1e12:.3g} TFLOP/s ({bounds.flops_from})",
        *_own_notes(measured),
    ]


def _own_notes(measured: Measured) -> list[str]:
    what = "  the array library's own: elementwise kernels, reductions and copies, timed as what lies between ours;"
    if not measured.between.calls:
        return [what, "  how many they are is not known, as the step could not be captured"]
    names = sorted(measured.names.items(), key=lambda item: -item[1])
    shown = [f"{name} {count}" for name, count in names[:MAX_NAMES]]
    shown += [f"{len(names) - MAX_NAMES} more kinds"] if len(names) > MAX_NAMES else []
    counted = "  counted as the captured step's nodes beside ours, of which a product may have two"
    return [what, counted + (":" if shown else ""), *([f"  {', '.join(shown)}"] if shown else [])]


def _sum(rows: list[Row]) -> Row:
    return Row(
        sum(row.calls for row in rows),
        sum(row.seconds for row in rows),
        sum(row.nbytes for row in rows),
        sum(row.flops for row in rows),
    )
