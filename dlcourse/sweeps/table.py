"""Aligned text tables of runs: what was varied, then each metric by split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlcourse.text import format_number, metric_keys, table


@dataclass
class Column:
    """One column: two lines of heading (columns of one ``group`` share it), and a text for each row."""

    name: str
    cells: list[str]
    group: str = ""
    left: bool = field(default=False, kw_only=True)
    """Whether the cells stand left (words) or right (numbers)."""


def render(columns: Sequence[Column], mark: int | None = None, note: str = "") -> str:
    """The table as text, without a newline at the end; row ``mark`` has a star in front and ``note`` behind."""
    widths = [max(len(text) for text in [column.name, *column.cells]) for column in columns]
    groups = []
    for start, stop in spans(columns):
        width, group = sum(widths[start:stop]) + 2 * (stop - start - 1), columns[start].group
        widths[stop - 1] += max(0, len(group) - width)
        groups.append(group.ljust(width))
    rows = [[column.name, *column.cells] for column in columns]
    body = table(list(zip(*rows, strict=True)), [column.left for column in columns], widths).splitlines()
    lines = ["  " + "  ".join(groups)] if any(column.group for column in columns) else []
    for row, line in enumerate(body, start=-1):
        star, behind = ("* ", f"  {note}" if note else "") if row == mark else ("  ", "")
        lines.append(star + line + behind)
    return "\n".join(line.rstrip() for line in lines)


def spans(columns: Sequence[Column]) -> list[tuple[int, int]]:
    """Where neighbors share a group heading: half-open ranges over the columns."""
    found: list[tuple[int, int]] = []
    for index, column in enumerate(columns):
        if found and column.group and column.group == columns[found[-1][0]].group:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def metric_columns(
    rows: Sequence[Mapping[str, float | None]],
    metrics: Sequence[str] = (),
    errors: Sequence[Mapping[str, float | None]] | None = None,
) -> list[Column]:
    """Columns of flat metrics such as ``{"val.mse": 0.1}``; with ``errors``, as mean and standard error."""
    columns = []
    for metric, split in metric_keys(rows, metrics):
        key = f"{split}.{metric}"
        cells = [format_number(row.get(key)) for row in rows]
        if errors is not None:
            spread = [error.get(key) for error in errors]
            cells = [
                cell if value is None else f"{cell} ± {value:.2g}" for cell, value in zip(cells, spread, strict=True)
            ]
        columns.append(Column(split, cells, group=metric))
    return columns
