"""A file of delimited text as columns of cells, and cells as numbers, every fault with its file and row."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dlcourse.characters import canonical, odd_characters
from dlcourse.data.cells import PLAIN, Notation, is_missing, listed, number
from dlcourse.data.doubts import doubt
from dlcourse.data.files import read_bytes
from dlcourse.errors import DataError
from dlcourse.registry import nearest

_MAX_NAMES = 5000
"""Among how many the nearest is looked for."""
_SEPARATOR_LINE = re.compile(r"\"?sep=(\\t|[^\r\n])\"?[ ,;\t]*(?:\r\n|\r|\n)", re.IGNORECASE)
"""What spreadsheets write before the header to say the delimiter."""


@dataclass(frozen=True)
class Table:
    """Rows of cells; ``lines`` are their line numbers in the file, the header being on line 1."""

    path: Path
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    notation: Notation = PLAIN
    """How its numbers are written."""
    delimiter: str = ","
    """What stands between its cells."""

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        position = self.position(name)
        return [row[position] for row in self.rows]

    def position(self, name: str) -> int:
        """Which column has that name, or one that looks the same; DataError with the nearest name where none has."""
        found = self._positions.get(name, self._positions.get(canonical(str(name))))
        if found is None:
            raise DataError(f"{self.path} has no column {name!r}; {self._meant(str(name))}")
        return found

    @cached_property
    def _positions(self) -> dict[str, int]:
        """Of each column by its name as it looks; reversed, so that the first of a name counts."""
        return {canonical(name): i for i, name in reversed(list(enumerate(self.header)))}

    def _meant(self, name: str) -> str:
        """Which column that was, perhaps."""
        if self.headless:
            return self.headless
        close = nearest(name, self.header[:_MAX_NAMES])
        odd = odd_characters(name, close)
        hint = f"did you mean {close!r}?{f' (what was asked for has {odd})' if odd else ''} " if close else ""
        return f"{hint}its columns: {listed(map(repr, self.header))}"

    @cached_property
    def headless(self) -> str:
        """Words to say it where the header looks like one more row of data; else empty.

        It has a number in it, and each text in it is one of its own column's cells too.
        """
        header = self.header[:_MAX_NAMES]
        numbers = [self.notation.number(cell) is not None for cell in header]
        named = any(
            cell and not number and all(row[i] != cell for row in self.rows)
            for i, (cell, number) in enumerate(zip(header, numbers, strict=True))
        )
        if named or not any(numbers):
            return ""
        first = listed(map(repr, header), 6)
        return f"its first row, {first}, looks like data; write a line with the names of the columns above it"

    def where(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}, row {self.lines[row]}"

    def keep(self, rows: Iterable[int]) -> "Table":
        """The table with these rows only."""
        rows = list(rows)
        return replace(self, rows=[self.rows[i] for i in rows], lines=[self.lines[i] for i in rows])

    def numbers(self, name: str) -> np.ndarray:
        """A numeric column as float64, NaN where a cell is missing.

        Raises:
            DataError: a cell holds text or an infinite number; names the row (the line in the file).
        """
        cells, values = self._parsed(name)
        if None in values:
            row = values.index(None)
            raise DataError(f"{self.where(row)}: column {name!r} has {cells[row]!r} where a number is expected")
        numbers = np.array(values, dtype=np.float64)
        if np.isinf(numbers).any():
            row = int(np.isinf(numbers).argmax())
            raise DataError(f"{self.where(row)}: column {name!r} holds {cells[row]}, which is not finite")
        return numbers

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds numbers (or nothing but missing cells) rather than text.

        Raises:
            DataError: it holds both.
        """
        cells, values = self._parsed(name)
        textual = [row for row, value in enumerate(values) if value is None]
        if textual and any(value == value for value in values if value is not None):  # NaN: a missing cell
            texts = [cells[row] for row in textual]
            cell, fix = doubt(texts, self.notation) or (texts[0], "mend the cell")
            raise DataError(
                f"{self.where(textual[texts.index(cell)])}: column {name!r} has {cell!r} where other rows have "
                f"numbers; {fix}, or list the column under categorical"
            )
        return not textual

    def _parsed(self, name: str) -> tuple[list[str], list[float | None]]:
        """The cells of a column, and their numbers: NaN where a cell is missing, None where it is text."""
        cells = self.column(name)
        values = list(map(self.notation.reader, cells))
        if None in values:
            values = [np.nan if v is None and is_missing(cell) else v for cell, v in zip(cells, values, strict=True)]
        return cells, values


def read_table(path: Path, delimiter: str = ",", notation: Notation = PLAIN) -> Table:
    """Read a file of delimited text (RFC 4180, UTF-8, a header in the first row); blank lines are skipped.

    Raises:
        DataError: the file is unreadable, empty, not UTF-8, badly quoted or ragged, or two columns share a name.
    """
    return parse_table(read_bytes(path), path, delimiter, notation)


def parse_table(content: bytes, path: Path, delimiter: str = ",", notation: Notation = PLAIN) -> Table:
    """The table that bytes hold, see :func:`read_table`; ``path`` is for messages."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {line}: not UTF-8 text (byte {content[error.start]:#04x}); save it as UTF-8, in a "
            "spreadsheet as 'CSV UTF-8'"
        ) from None
    separator = _SEPARATOR_LINE.match(text)
    if separator is not None:
        delimiter = separator[1].replace("\\t", "\t")
    clean = str.strip if text.isascii() else canonical
    # Spaces before a quoted cell do not count; those around others are stripped below.
    stream, before = io.StringIO(text, newline=""), 0 if separator is None else 1
    for _ in range(before):
        stream.readline()
    reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                rows.append([clean(cell) for cell in cells])
                lines.append(reader.line_num + before)
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num + before}: {error}") from None
    if len(rows) < 2:
        raise DataError(f"{path} holds no samples: expected a header and rows below it")
    header = tuple(rows[0])
    _check_header(path, header)
    _check_title(path, rows, lines)
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) != len(header):
            one_more = all(len(row) == len(header) + 1 for row in rows[1:])
            hint = "; where the first column holds the names of the rows, give it a name in the header too"
            raise DataError(
                f"{path}, row {line}: {len(cells)} cells, but the header has {len(header)}{hint if one_more else ''}"
            )
    return Table(path, header, rows[1:], lines[1:], notation, delimiter)


def _check_title(path: Path, rows: Sequence[Sequence[str]], lines: Sequence[int]) -> None:
    """Raise DataError where a line above the header is a title: one text alone, with more cells below it."""
    first = rows[0]
    if not first[0] or any(first[1:]) or len(first) == 2:
        return
    below = next((i for i, row in enumerate(rows) if sum(map(bool, row)) > 1), None)
    if below is None or any(number(cell) is not None for cell in rows[below]):
        return
    names = listed(map(repr, rows[below]), 4)
    raise DataError(
        f"{path}, row {lines[0]}: {first[0]!r} stands alone, as a title does, and the names of the columns ({names}) "
        f"seem to stand in row {lines[below]}; delete the lines above them"
    )


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    twice = sorted(name for name, times in Counter(header).items() if times > 1 and name)
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} is there {header.count(twice[0])} times")
    other = [mark for mark in (";", "\t", ",", "|") if mark in header[0]]
    if len(header) == 1 and other:
        raise DataError(f"{path} has one column, {header[0]!r}: is its delimiter {other[0]!r}?")
