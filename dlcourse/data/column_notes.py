"""Notes on a table: rows that are left out, and columns that may be meant otherwise (row numbers, classes 0 and 1)."""

import warnings
from collections.abc import Sequence

import numpy as np

from dlcourse.data.cells import is_missing, listed
from dlcourse.data.encoder import Column
from dlcourse.data.table import Table

_FEW = 20
"""Rows; with fewer, numbers that follow one another, or 0 and 1 alone, may be anything."""


def note_row_numbers(table: Table, columns: Sequence[Column]) -> None:
    """Say which column counts the rows from 0 or 1: a model would learn the order of the file."""
    number = table.notation.number
    for column in columns if len(table.rows) >= _FEW else ():
        if column.categories is not None or column.dates is not None:
            continue
        place = table.position(column.name)
        first, second = number(table.rows[0][place]), number(table.rows[1][place])
        if first in (0, 1) and second == first + 1 and (np.diff(table.numbers(column.name)) == 1).all():
            warnings.warn(
                f"{table.path}: column {column.name!r} counts the rows, and is a feature as any other; "
                f"data.exclude: [{column.name}] leaves it out",
                stacklevel=3,
            )


def note_zeros_and_ones(table: Table, name: str) -> None:
    """Say where a target that is taken for a number holds 0 and 1 alone."""
    if len(table.rows) < _FEW:
        return
    number, place, found = table.notation.number, table.position(name), set()
    for row in table.rows:
        if not is_missing(row[place]):
            found.add(number(row[place]))
            if not found <= {0.0, 1.0}:
                return
    if len(found) == 2:
        warnings.warn(
            f"{table.path}: the target {name!r} holds 0 and 1 only, and is taken for a number; "
            "data.task: classification takes it for two classes (data.task: regression says it is meant so)",
            stacklevel=3,
        )


def note_rows_left_out(table: Table, stays: np.ndarray, names: Sequence[str]) -> None:
    """Say how many rows the rules for missing cells leave out, and of which columns cells are missing.

    Args:
        stays: (N,) whether a row stays.
        names: the columns that leave a row out where their cell is missing.
    """
    lost = int((~stays).sum())
    if not lost:
        return
    counts = {name: sum(map(is_missing, table.column(name))) for name in names}
    columns = listed([f"{name!r} {count}" for name, count in counts.items() if count], 5)
    warnings.warn(
        f"{table.path}: {lost} of {len(stays)} rows left out for a missing cell (data.missing); missing cells by "
        f"column: {columns}",
        stacklevel=4,
    )
