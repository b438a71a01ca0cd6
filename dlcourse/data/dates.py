"""Dates and times as numbers: the year, the month, the day of the week, the hour, or where in its cycle each stands."""

import datetime
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from dlcourse.data.cells import is_missing
from dlcourse.data.table import Table
from dlcourse.errors import ConfigError, DataError

DateOrder = Literal["ymd", "dmy", "mdy"]
DatePart = Literal[
    "year", "month", "day", "day_of_week", "day_of_year", "hour", "minute", "second", "days",
    "month_cycle", "day_of_week_cycle", "day_of_year_cycle", "hour_cycle",
]  # fmt: skip
USUAL: tuple[DatePart, ...] = ("year", "month", "day", "day_of_week", "hour", "minute")
"""What a column of dates becomes where the config names no parts: those of them that differ somewhere in the file."""
ORDERS = {"ymd": "year, month, day", "dmy": "day, month, year", "mdy": "month, day, year"}

_EPOCH = datetime.datetime(1970, 1, 1)
_NUMBERS: dict[str, Callable[[datetime.datetime], float]] = {
    "year": lambda t: t.year,
    "month": lambda t: t.month,
    "day": lambda t: t.day,
    "day_of_week": lambda t: t.weekday(),
    "day_of_year": lambda t: t.timetuple().tm_yday,
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second + t.microsecond / 1e6,
    "days": lambda t: (t - _EPOCH).total_seconds() / 86_400,
}
_TURNS: dict[str, Callable[[datetime.datetime], float]] = {
    "month_cycle": lambda t: (t.month - 1) / 12,
    "day_of_week_cycle": lambda t: t.weekday() / 7,
    "day_of_year_cycle": lambda t: (t.timetuple().tm_yday - 1) / 365.25,
    "hour_cycle": lambda t: (t.hour + t.minute / 60 + t.second / 3600) / 24,
}
_OF_THE_CLOCK = {"hour", "minute", "second", "hour_cycle"}
_OF_A_DAY = ("a", "whole", "m0", "m1", "m2")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
_DAY = (
    r"(?:(?P<y0>\d{4})[-/.](?P<m0>\d{1,2})|(?P<a>\d{1,4})(?P<mark>[-/.])\s?(?P<b>\d{1,2})(?P=mark)\s?(?P<c>\d{1,4})|(?P<whole>\d{8})"
    r"|(?P<d1>\d{1,2})\.?[ -](?P<m1>[A-Za-z]{3,9})\.?,?[ -](?P<y1>\d{4})"
    r"|(?P<m2>[A-Za-z]{3,9})\.? (?P<d2>\d{1,2}),? (?P<y2>\d{4}))"
)
_CELL = re.compile(rf"(?:{_DAY})?(?:(?:^|[T ]\s*){_CLOCK})?(?:\s*(?:Z|UTC|[+-]\d{{2}}:?\d{{2}}))?")


@dataclass(frozen=True)
class Dates:
    """How a column of dates becomes numbers; kept with the model.

    Args:
        parts: ``year``, ``month`` (1 to 12), ``day`` (1 to 31), ``day_of_week`` (0 is Monday), ``day_of_year`` (1 to
            366), ``hour``, ``minute``, ``second``; ``days``: days since 1970, with a fraction; ``month_cycle``,
            ``day_of_week_cycle``, ``day_of_year_cycle``, ``hour_cycle``: sine and cosine of the angle in the cycle of
            12 months, 7 days, 365.25 days, 24 hours, so that December is beside January.
        order: of day, month and year where all are numbers and the year does not stand first.
    """

    parts: tuple[DatePart, ...]
    order: DateOrder = "ymd"

    @property
    def words(self) -> str:
        """What is expected, for messages."""
        return "a time" if set(self.parts) <= _OF_THE_CLOCK else f"a date: {ORDERS[self.order]}"

    @property
    def names(self) -> tuple[str, ...]:
        """One for each number that a date becomes."""
        return tuple(
            name for part in self.parts for name in ((f"{part}.sin", f"{part}.cos") if part in _TURNS else (part,))
        )

    def encode(self, table: Table, column: str) -> np.ndarray:
        """A column of cells as (N, numbers) float64; NaN where a cell is missing. An offset from UTC is not applied.

        Raises:
            DataError: a cell is no date; names the row.
        """
        cells, known = table.column(column), {}
        for row, cell in enumerate(cells):
            if cell in known:
                continue
            if is_missing(cell):
                known[cell] = [math.nan] * len(self.names)
                continue
            moment = read_date(cell, self.order)
            if moment is None:
                raise DataError(
                    f"{table.where(row)}: column {column!r} has {cell!r} where a date ({ORDERS[self.order]}) or a time "
                    "is expected"
                )
            known[cell] = self._numbers(moment)
        return np.array([known[cell] for cell in cells], dtype=np.float64).reshape(len(cells), len(self.names))

    def _numbers(self, moment: datetime.datetime) -> list[float]:
        found: list[float] = []
        for part in self.parts:
            if part in _TURNS:
                angle = 2 * math.pi * _TURNS[part](moment)
                found += [math.sin(angle), math.cos(angle)]
            else:
                found.append(_NUMBERS[part](moment))
        return found


def read_date(cell: str, order: str) -> datetime.datetime | None:
    """The moment that a cell names; of a time alone that of the first day of 1970; None where it names none."""
    match = _CELL.fullmatch(cell)
    if match is None or not any(match[name] for name in (*_OF_A_DAY, "hour")):
        return None
    try:
        year, month, day = _day(match, order)
        hour, minute = int(match["hour"] or 0), int(match["minute"] or 0)
        second = float((match["second"] or "0").replace(",", "."))
        if match["half"]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if match["half"][0] in "pP" else 0)
        return datetime.datetime(year, month, day, hour, minute, int(second), round(second % 1 * 1e6) % 1_000_000)
    except ValueError:
        return None


def _day(match: re.Match[str], order: str) -> tuple[int, int, int]:
    """Year, month and day; ValueError where they are none."""
    if match["whole"]:
        return int(match["whole"][:4]), int(match["whole"][4:6]), int(match["whole"][6:])
    if match["m0"]:  # a month: its first day
        return int(match["y0"]), int(match["m0"]), 1
    for i in "12":
        if name := match[f"m{i}"]:
            return int(match[f"y{i}"]), 1 + _MONTHS.index(name[:3].lower()), int(match[f"d{i}"])
    if match["a"] is None:
        return 1970, 1, 1
    given = dict(zip("ymd" if len(match["a"]) == 4 else order, (match["a"], match["b"], match["c"]), strict=True))
    if len(given["d"]) > 2 or len(given["y"]) not in (2, 4):
        raise ValueError("a day of three digits, or a year of one or three")
    year = int(given["y"])
    if len(given["y"]) == 2:  # as POSIX has it
        year += 1900 if year >= 69 else 2000
    return year, int(given["m"]), int(given["d"])


def dates_of(
    table: Table, column: str, parts: Sequence[DatePart] | None = None, order: DateOrder | None = None
) -> Dates:
    """Find out in which order a column has day, month and year, and what its dates become.

    Args:
        parts: None: those of :data:`USUAL` that differ somewhere.
        order: None: the one in which all cells are dates.
    Raises:
        DataError: a cell is a date in no order, or several orders read all cells, each otherwise.
        ConfigError: the column has times without dates, and a part of a date is asked for.
    """
    cells = [cell for cell in dict.fromkeys(table.column(column)) if not is_missing(cell)]
    if not cells:
        raise DataError(f"{table.path}: column {column!r} has nothing but missing cells")
    order = order or _order(table, column, cells)
    alone = all(map(_timed_only, cells))
    if parts is None:
        found = Dates(USUAL, order).encode(table, column)
        differ = np.nanmin(found, axis=0) < np.nanmax(found, axis=0)
        parts = [part for part, differs in zip(USUAL, differ, strict=True) if differs] or ["hour" if alone else "year"]
    if alone and (wrong := [part for part in parts if part not in _OF_THE_CLOCK]):
        raise ConfigError(f"data.dates.{column}: {wrong[0]} is part of a date, and the cells are times: {cells[0]!r}")
    return Dates(tuple(parts), order)


def _timed_only(cell: str) -> bool:
    match = _CELL.fullmatch(cell)
    return match is not None and not any(match[name] for name in _OF_A_DAY)


def _order(table: Table, column: str, cells: Sequence[str]) -> DateOrder:
    read = {order: [read_date(cell, order) for cell in cells] for order in get_args(DateOrder)}
    fitting = [order for order, moments in read.items() if None not in moments]
    if not fitting:
        best = max(read, key=lambda order: sum(moment is not None for moment in read[order]))
        cell = cells[read[best].index(None)]
        row = table.column(column).index(cell)
        raise DataError(
            f"{table.where(row)}: column {column!r} has {cell!r}, which is no date ({ORDERS[best]}) and no time; mend "
            "the cell, or leave the column out of data.dates"
        )
    if all(read[order] == read[fitting[0]] for order in fitting):
        return fitting[0]
    if "dmy" in fitting and all("." in cell for cell in cells):
        return "dmy"  # dots stand in such dates only
    cell = next(c for i, c in enumerate(cells) if len({read[order][i] for order in fitting}) > 1)
    ways = " or ".join(f"{order} ({ORDERS[order]})" for order in fitting)
    raise DataError(
        f"{table.path}: column {column!r} has dates such as {cell!r} that can be read in several ways; "
        f"data.date_order: {ways}"
    )


def describe_dates(dates: Dates, table: Table, column: str) -> str:
    """A sentence about what the dates of a column became."""
    cells = [cell for cell in table.column(column) if not is_missing(cell)]
    moments = sorted(filter(None, (read_date(cell, dates.order) for cell in cells)))
    ends = " to ".join(f"{moment:%Y-%m-%d}" for moment in (moments[0], moments[-1]))
    return (
        f"{table.path}: column {column!r} holds dates ({ORDERS[dates.order]}; {ends}), of which the features are "
        f"{', '.join(dates.parts)}; data.dates: {{{column}: [month_cycle, days, ...]}} names others"
    )


__all__ = ["DateOrder", "DatePart", "Dates", "dates_of", "read_date", "describe_dates"]
