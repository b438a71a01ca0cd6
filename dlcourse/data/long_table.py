"""A long table: each row is a step of a series, a column says of which."""

import datetime
import re
import warnings
from dataclasses import dataclass

import numpy as np

from dlcourse.data.cells import is_missing, listed
from dlcourse.data.dates import read_date
from dlcourse.data.table import Table
from dlcourse.errors import DataError

_SHOWN = 5
_EPOCH = datetime.datetime(1970, 1, 1)
_UNAMBIGUOUS = re.compile(r"\d{4}|:")  # a year of four digits, or the time of a day


@dataclass(frozen=True)
class SeriesColumns:
    """How the rows of a file are the steps of series; kept with the model, for new inputs.

    Args:
        id: the column that names the series; None: the rows are one series.
        time: the column by which the steps are in order; None: as they stand in the file.
        window: steps that the model takes, of a longer series the last; None: as many as series have.
    """

    id: str | None = None
    time: str | None = None
    window: int | None = None

    def rows(self, table: Table) -> dict[str, np.ndarray]:
        """The rows of each series, in the order of time, by the series' name.

        Raises:
            DataError: a row has no name or time, or a series two rows of one time.
        """
        groups = self._groups(table)
        if self.time is None:
            return groups
        times = _times(table, self.time)
        uneven = []
        for name, rows in groups.items():
            rows = groups[name] = rows[np.argsort(times[rows], kind="stable")]
            apart = np.diff(times[rows])
            if (apart == 0).any():
                twice = rows[int((apart == 0).argmax()) + 1]
                of = "" if self.id is None else f" of {name!r}"
                raise DataError(
                    f"{table.where(int(twice))}: the time {table.column(self.time)[twice]!r}{of} is there twice; name "
                    f"the column of the series by data.id{'' if self.id is None else ', or leave one row out'}"
                )
            if len(apart) and apart.max() > 1.5 * apart.min():
                uneven.append(name)
        # Months and years differ in length by less than the half.
        if uneven:
            which = "" if self.id is None else f" of {listed(map(repr, uneven), _SHOWN)}"
            warnings.warn(
                f"{table.path}: the times{which} are not evenly spaced; a model sees the order of the steps only, so "
                "fill the gaps, or make the time a feature",
                stacklevel=3,
            )
        return groups

    def _groups(self, table: Table) -> dict[str, np.ndarray]:
        if self.id is None:
            return {"": np.arange(len(table.rows))}
        found: dict[str, list[int]] = {}
        for row, cell in enumerate(table.column(self.id)):
            if is_missing(cell):
                raise DataError(f"{table.where(row)}: column {self.id!r} names no series")
            found.setdefault(cell, []).append(row)
        return {name: np.array(rows) for name, rows in found.items()}


def _times(table: Table, name: str) -> np.ndarray:
    """A column of numbers or of dates as numbers, (N,)."""
    cells = table.column(name)
    numbers = [is_missing(cell) or table.notation.number(cell) is not None for cell in cells]
    if all(numbers) or sum(numbers) > len(cells) / 2:
        times = table.numbers(name)
    else:
        found = []
        for row, cell in enumerate(cells):
            moment = read_date(cell, "ymd")
            if moment is None or not _UNAMBIGUOUS.search(cell):
                raise DataError(
                    f"{table.where(row)}: column {name!r} has {cell!r} where a time is expected: a number, or a date "
                    "as 2024-05-31 or 2024-05-31 12:00"
                )
            found.append((moment - _EPOCH).total_seconds())
        times = np.array(found)
    if np.isnan(times).any():
        raise DataError(f"{table.where(int(np.isnan(times).argmax()))}: column {name!r} has no time")
    return times
