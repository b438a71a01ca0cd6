"""A file of delimited text as columns of cells, and cells as numbers, every fault with its file and row."""

import csv
import difflib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlcourse.data.files import read_bytes
from dlcourse.errors import DataError

MISSING = frozenset({"", "na", "n/a", "nan", "null"})
"""What a cell with nothing in it looks like, in small letters."""


def is_missing(cell: str) -> bool:
    """Whether nothing is in the cell."""
    return cell.lower() in MISSING


def number(cell: str) -> float | None:
    """The number in a cell, or None where it is text. ``inf`` counts as a number, ``1_000`` as text."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


@dataclass(frozen=True)
class Table:
    """Rows of cells; ``lines`` are their line numbers in the file, the header being on line 1."""

    path: Path
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        position = self.position(name)
        return [row[position] for row in self.rows]

    def position(self, name: str) -> int:
        """Which column has that name; DataError with the nearest name where none has."""
        try:
            return self.header.index(name)
        except ValueError:
            near = difflib.get_close_matches(str(name), self.header, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            columns = ", ".join(repr(each) for each in self.header)
            raise DataError(f"{self.path} has no column {name!r}; {hint}its columns: {columns}") from None

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}, row {self.lines[row]}"

    def keep(self, rows: Iterable[int]) -> "Table":
        """The table with these rows only."""
        rows = list(rows)
        return Table(self.path, self.header, [self.rows[i] for i in rows], [self.lines[i] for i in rows])

    def numbers(self, name: str) -> np.ndarray:
        """A numeric column as float64, NaN where a cell is missing.

        Raises:
            DataError: a cell holds text or an infinite number; names the row (the line in the file).
        """
        cells = self.column(name)
        values = [np.nan if is_missing(cell) else number(cell) for cell in cells]
        if None in values:
            row = values.index(None)
            raise DataError(f"{self.place(row)}: column {name!r} has {cells[row]!r} where a number is expected")
        numbers = np.array(values, dtype=np.float64)
        if np.isinf(numbers).any():
            row = int(np.isinf(numbers).argmax())
            raise DataError(f"{self.place(row)}: column {name!r} holds {cells[row]}, which is not finite")
        return numbers

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds numbers (or nothing but missing cells) rather than text.

        Raises:
            DataError: it holds both.
        """
        cells = self.column(name)
        textual = [row for row, cell in enumerate(cells) if number(cell) is None and not is_missing(cell)]
        if textual and len(textual) < len(cells) - sum(map(is_missing, cells)):
            raise DataError(
                f"{self.place(textual[0])}: column {name!r} has {cells[textual[0]]!r} where other rows have numbers; "
                "mend the cell, or list the column under categorical"
            )
        return not textual


def read_table(path: Path, delimiter: str = ",") -> Table:
    """Read a file of delimited text (RFC 4180, UTF-8, a header in the first row); empty lines are skipped.

    Raises:
        DataError: the file is unreadable, empty, not UTF-8, badly quoted or ragged, or two columns share a name.
    """
    content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, row {row}: not UTF-8 text (byte {content[error.start]:#04x})") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: {error}") from None
    if len(rows) < 2:
        raise DataError(f"{path} holds no samples: expected a header and rows below it")
    header = tuple(rows[0])
    _check_header(path, header)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise DataError(f"{path}, row {line}: {len(row)} cells, but the header has {len(header)}")
    return Table(path, header, rows[1:], lines[1:])


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} is there {header.count(twice[0])} times")
    other = [mark for mark in (";", "\t", ",", "|") if mark in header[0]]
    if len(header) == 1 and other:
        raise DataError(f"{path} has one column, {header[0]!r}: is its delimiter {other[0]!r}?")
