"""Cells of text as a row of numbers: numeric columns as they are, categories as one-hot vectors, parts of dates."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.data.cells import PLAIN, Notation, identity, is_missing, listed
from dlcourse.data.dates import Dates
from dlcourse.data.doubts import doubt, many_names
from dlcourse.data.table import Table, parse_table
from dlcourse.errors import DataError
from dlcourse.registry import hint

MAX_CATEGORIES = 1000
"""A column with more distinct texts is a name or a date rather than a category."""


@dataclass(frozen=True)
class Column:
    """One column of the file: its name, its categories where it has such, and what a missing cell stands for."""

    name: str
    categories: tuple[str, ...] | None = None
    fill: tuple[float, ...] | None = None
    """One value for each element that the column becomes; None: a missing cell is an error."""
    dates: Dates | None = None
    """What becomes of a column of dates."""

    @property
    def width(self) -> int:
        """How many elements of x it becomes."""
        if self.dates is not None:
            return len(self.dates.names)
        return 1 if self.categories is None else len(self.categories)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``size``, or ``city=Chennai``, ``city=Delhi``, ..., or ``day.month``, ``day.hour_cycle.sin``, ..."""
        if self.dates is not None:
            return tuple(f"{self.name}.{part}" for part in self.dates.names)
        return (self.name,) if self.categories is None else tuple(f"{self.name}={each}" for each in self.categories)

    def encode(self, table: Table) -> np.ndarray:
        """The column as (N, width) float64; NaN where a cell is missing that no ``fill`` stands for."""
        if self.dates is not None:
            block = self.dates.encode(table, self.name)
        elif self.categories is None:
            block = table.numbers(self.name)[:, None]
        else:
            cells = table.column(self.name)
            codes = codes_of(cells, self.categories, table.notation)
            missing = np.array([is_missing(cell) for cell in cells])
            if (strange := (codes < 0) & ~missing).any():
                row = int(strange.argmax())
                raise DataError(f"{table.where(row)}: {self._unknown(cells[row])}")
            block = np.zeros((len(cells), self.width))
            block[np.arange(len(cells)), codes] = 1
            block[missing] = np.nan
        return block if self.fill is None else np.where(np.isnan(block), self.fill, block)

    def refuse_missing(self, table: Table, block: np.ndarray, target: bool = False) -> None:
        """Raise DataError for the first missing cell (NaN) of the encoded column, and say how many there are."""
        rows = np.flatnonzero(np.isnan(block[:, 0]))
        if len(rows):
            others = f" (and in {len(rows) - 1} more rows)" if len(rows) > 1 else ""
            rules = f"drop, mean, median, {'category, ' if self.categories else ''}or {{{self.name}: value}}"
            if target:
                rules = (
                    f"{{{self.name}: drop}} leaves such rows out, as any rule for all columns does (drop, mean, "
                    f"median, category); {{{self.name}: value}} fills them"
                )
            raise DataError(
                f"{table.where(int(rows[0]))}: column {self.name!r} has a missing cell{others}; fill it, or give "
                f"data.missing a rule: {rules}"
            )

    def _unknown(self, cell: str) -> str:
        known = self.categories or ()
        there = f"{hint(cell, known)}known: {listed(map(repr, known), 10)}"
        return f"column {self.name!r} has {cell!r}, which the data to train with never had; {there}"


def describe_columns(
    table: Table, columns: Sequence[Column], targets: Sequence[Column], units: Mapping[str, str] | None
) -> dict[str, Any]:
    """Task, names and units of the columns of a table, as a :class:`~dlcourse.data.dataset.Dataset` takes them.

    Args:
        units: of some of the columns.
    Raises:
        DataError: one of these is not in the table.
    """
    units = units or {}
    for name in units:
        table.position(name)
    names, of_targets = ([target.name for target in targets], [units.get(target.name, "") for target in targets])
    several, classes = len(targets) > 1, targets[0].categories
    return {
        "task": "regression" if classes is None else "classification",
        "feature_names": tuple(name for column in columns for name in column.feature_names),
        "feature_units": tuple(units.get(column.name, "") for column in columns for _ in range(column.width)),
        "target_name": ", ".join(names),
        "target_unit": of_targets[0] if len(set(of_targets)) == 1 else "",
        "target_names": tuple(names) if several else (),
        "target_units": tuple(of_targets) if several else (),
        "class_names": classes or (),
        "source": str(table.path),
    }


@dataclass(frozen=True)
class TableEncoder:
    """Turns rows of cells into rows of x; made from the file that a model is trained with, used on new inputs.

    Its fields are stored with the model. Checkpoints of earlier versions have no ``decimal`` and no ``thousands``.
    """

    columns: tuple[Column, ...]
    delimiter: str = ","
    decimal: str = "."
    thousands: str | None = None

    @property
    def notation(self) -> Notation:
        """How numbers are written."""
        return Notation(self.decimal, self.thousands)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One for each element of a row of x."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def parse(self, content: bytes, source: str) -> np.ndarray:
        """New inputs from what a file with these columns holds (others are ignored): (N, D) float64.

        Args:
            source: the file's name, for messages.
        Raises:
            DataError: a column or a cell is missing, a category is unknown; names the row.
        """
        return self.encode_table(self.table(content, source))

    def table(self, content: bytes, source: str) -> Table:
        """The cells of a file with new inputs."""
        return parse_table(content, Path(source), self._delimiter(content), self.notation)

    def _delimiter(self, content: bytes) -> str:
        """What stands between the cells of a file: as in the data's own, unless its header has another mark only."""
        header = content.partition(b"\n")[0].decode("utf-8-sig", "ignore").strip().strip('"')
        if self.delimiter in header or any(column.name == header for column in self.columns):
            return self.delimiter
        return next((mark for mark in (",", ";", "\t", "|") if mark in header), self.delimiter)

    def parse_rows(self, content: bytes, source: str) -> tuple[np.ndarray, list[int], list[str]]:
        """As :meth:`parse`, but a row that cannot be used costs itself only.

        Returns:
            (N, D) float64 of the rows that can be used; the line in the file of every row; and what is wrong with each
            row, empty where nothing is.
        Raises:
            DataError: the file is no table, or a column is missing.
        """
        table = parse_table(content, Path(source), self.delimiter, self.notation)
        try:
            return self.encode_table(table), list(table.lines), [""] * len(table.lines)
        except DataError:
            for column in self.columns:
                table.position(column.name)
        blocks, problems = [np.empty((0, len(self.feature_names)))], []
        for row in range(len(table.lines)):
            try:
                blocks.append(self.encode_table(table.keep([row])))
                problems.append("")
            except DataError as error:
                problems.append(str(error).removeprefix(f"{table.where(row)}: "))
        return np.concatenate(blocks), list(table.lines), problems

    def encode(self, cells: Mapping[str, Any]) -> np.ndarray:
        """One new input given by its cells, ``{"size": 900, "city": "Delhi"}``: (1, D) float64."""
        notation = replace(self.notation, plain_too=True)
        table = Table(Path("input"), tuple(cells), [[str(cell) for cell in cells.values()]], [1], notation)
        return self.encode_table(table)

    def encode_table(self, table: Table) -> np.ndarray:
        """The rows of a table, (N, D) float64; others of its columns are ignored."""
        blocks = [column.encode(table) for column in self.columns]
        for column, block in zip(self.columns, blocks, strict=True):
            column.refuse_missing(table, block)
        return np.concatenate(blocks, axis=1)

    def with_fill(self, values: np.ndarray, chosen: Sequence[bool] | None = None) -> "TableEncoder":
        """The encoder that puts these values, (D,), where a cell is missing and had no other rule.

        Args:
            chosen: for each column whether it gets them; None: all do.
        """
        fills = np.split(values, np.cumsum([column.width for column in self.columns])[:-1])
        return replace(
            self,
            columns=tuple(
                replace(c, fill=c.fill or tuple(fill.tolist())) if of_this else c
                for c, fill, of_this in zip(self.columns, fills, chosen or [True] * len(fills), strict=True)
            ),
        )


def column_of(table: Table, name: str, categorical: bool, confirmed: bool = False) -> Column:
    """Find out what a column holds: numbers, or else categories, in the order of their numbers or the alphabet.

    Args:
        categorical: take numbers for codes.
        confirmed: the user says that the texts are categories, whatever they look like.
    Raises:
        DataError: text and numbers mixed, text that was perhaps meant for numbers, texts that are nearly all
            different, or more than ``MAX_CATEGORIES`` of them.
    """
    if not categorical and table.is_numeric(name):
        _warn_of_codes(table, name)
        return Column(name)
    cells = [cell for cell in table.column(name) if not is_missing(cell)]
    if not cells:
        raise DataError(f"{table.path}: column {name!r} has nothing but missing cells")
    if not categorical and (doubtful := doubt(cells, table.notation)):
        row = table.column(name).index(doubtful[0])
        raise DataError(
            f"{table.where(row)}: column {name!r} has {doubtful[0]!r}: {doubtful[1]}; if these are categories: "
            f"data.categorical: [{name}]"
        )
    different = categories(cells, table.notation)
    if many_names(len(different), len(cells)) and not confirmed:
        what = "values" if table.notation.number(cells[0]) is not None else "texts"
        raise DataError(
            f"{table.path}: column {name!r} has {len(different)} different {what} in {len(cells)} rows: names or "
            f"numbers rather than categories; leave it out of data.features (a target of numbers: data.task: "
            f"regression), or confirm with data.categorical: [{name}]"
        )
    if len(different) > MAX_CATEGORIES:
        raise DataError(
            f"{table.path}: column {name!r} has {len(different)} different texts; a categorical one has at most "
            f"{MAX_CATEGORIES}"
        )
    return Column(name, different)


def categories(cells: Sequence[str], notation: Notation = PLAIN) -> tuple[str, ...]:
    """The different cells, in the order of their numbers or else of the alphabet: of equal ones (``1`` and ``1.0``) the
    most frequent spelling, of equally frequent ones the shortest."""
    spellings: dict[Any, list[tuple[int, int, str]]] = {}
    for cell, times in Counter(cells).items():
        spellings.setdefault(identity(cell, notation), []).append((-times, len(cell), cell))
    number = notation.number
    return tuple(
        sorted(
            (min(each)[2] for each in spellings.values()),
            key=lambda cell: (number(cell) is None, number(cell) or 0.0, cell),
        )
    )


def codes_of(cells: Sequence[str], categories: Sequence[str], notation: Notation = PLAIN) -> np.ndarray:
    """The number of each cell's category, (N,) int64; -1 where it is none of them."""
    numbers = {identity(category, notation): code for code, category in enumerate(categories)}
    codes = {cell: numbers.get(identity(cell, notation), -1) for cell in set(cells)}
    return np.array([codes[cell] for cell in cells], dtype=np.int64)


def _warn_of_codes(table: Table, name: str) -> None:
    """Say where numbers look like codes: all of one length of at least four digits, some with a zero before them."""
    zeros = [cell for cell in table.column(name) if cell[:1] == "0" and len(cell) >= 4 and cell.isdecimal()]
    if not zeros:
        return
    cells = {cell for cell in table.column(name) if not is_missing(cell)}
    if len({len(cell) for cell in cells}) == 1 and all(map(str.isdecimal, cells)):
        warnings.warn(
            f"{table.path}: column {name!r} is read as numbers, but {zeros[0]!r} looks like a code (of an area, an "
            f"account); data.categorical: [{name}] takes codes for categories",
            stacklevel=2,
        )
