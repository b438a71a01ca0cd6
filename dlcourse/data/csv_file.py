"""One's own data from a file of delimited text."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dlcourse.characters import canonical
from dlcourse.data.bounds import check_size
from dlcourse.data.cells import Notation, canonical_names, check_notation, listed
from dlcourse.data.column_notes import note_row_numbers, note_rows_left_out, note_zeros_and_ones
from dlcourse.data.dataset import DataSchema, Dataset
from dlcourse.data.dates import DateOrder, DatePart, dates_of, describe_dates
from dlcourse.data.encoder import Column, TableEncoder, column_of, describe_columns
from dlcourse.data.files import find
from dlcourse.data.missing import ForAll, MissingRules
from dlcourse.data.table import Table, read_table
from dlcourse.errors import ConfigError, DataError
from dlcourse.registry import register


@register("data", "csv")
@dataclass(frozen=True)
class Csv:
    """Columns of a csv file: numbers as they are, texts as categories (one-hot: one element of x each).

    Equal numbers are one category, however they are written (``1``, ``1.0``), and so are ``True`` and ``true``; a code
    that begins with a zero (``01067``) is a text of its own. Names of columns and texts are compared as they look,
    whatever Unicode characters they are made of.

    A missing cell is an error unless ``missing`` gives a rule, for all columns or column by column: ``drop`` leaves the
    row out; ``mean`` and ``median`` put that of the training split (of categories: their shares, the most frequent
    one); ``category`` makes missing cells a category of their own, ``missing``; anything else is put itself; a text
    that is none of a column's categories becomes one more. Under a rule for all columns a row without a target is left
    out. A warning says how many rows are left out.

    A column of text whose cells look like numbers of another notation, amounts with a unit or dates, or are nearly all
    different, is refused with what to do about it, unless it is listed under ``categorical`` or ``dates``.

    Args:
        path: the file, UTF-8 with a header; relative to the current folder or to the folder ``DLCOURSE_DATA``. A first
            line ``sep=;`` says its delimiter.
        target: the column to predict, or several columns of numbers, each with metrics of its own.
        features: the columns to predict it from; all others that have a name if left out.
        exclude: columns that are no features, instead of a list of those that are.
        categorical: columns of numbers that are codes rather than quantities, and of texts that are categories
            whatever they look like.
        dates: columns of dates and times, alone or each with what becomes of it, ``{day: [year, month_cycle]}``:
            ``year``, ``month``, ``day``, ``day_of_week`` (0 is Monday), ``day_of_year``, ``hour``, ``minute``,
            ``second``, ``days`` since 1970; sine and cosine of ``month_cycle``, ``day_of_week_cycle``,
            ``day_of_year_cycle``, ``hour_cycle``. By default year, month, day, day_of_week, hour and minute as far as
            they differ.
        date_order: of day, month and year, where a file's dates can be read in several ways.
        task: ``classification`` for a target of class codes, such as 0 and 1; a textual target is one anyway.
        where: keep only the rows with these values: ``{City: Hyderabad, BHK: [1, 2]}``.
        missing: the rule for missing cells.
        delimiter: what stands between cells.
        test_path: a second file of the same columns, which becomes the test split.
        units: the unit of a column, for the plots: ``{Size: square feet}``.
        decimal: what stands before the decimals of a number, ``.`` or ``,``.
        thousands: what stands between groups of digits, such as ``,`` or ``.`` or a space.
    Raises:
        DataError: a file or a cell is not as it should be; names the file and the row (its line in the file).
    """

    path: str
    target: str | tuple[str, ...]
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] | None = None
    task: Literal["regression", "classification"] | None = None
    where: dict[str, Any] | None = None
    missing: ForAll | dict[str, str | float] | None = None
    delimiter: str = ","
    test_path: str | None = None
    units: dict[str, str] | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    exclude: tuple[str, ...] | None = None
    dates: tuple[str, ...] | dict[str, tuple[DatePart, ...]] | None = None
    date_order: DateOrder | None = None

    def __post_init__(self) -> None:
        canonical_names(self, "target", "features", "categorical", "where", "missing", "units", "exclude", "dates")
        check_notation(self.decimal, self.thousands, self.delimiter)
        if not self._targets:
            raise ConfigError("data.target: name the column to predict, or several")
        for key in ("features", "exclude", "dates"):
            names: list[str] = list(getattr(self, key) or ())
            if target := next((name for name in self._targets if name in names), None):
                role = {"features": "a feature", "exclude": "left out"}.get(key, "turned to features")
                raise ConfigError(f"data.{key}: {target!r} is the target and cannot be {role}")
        for key, given in (("features", self.features), ("exclude", self.exclude), ("target", self._targets)):
            if given is not None and len(set(given)) < len(given):
                raise ConfigError(f"data.{key}: a column is listed twice")
        if self.features is not None and self.exclude is not None:
            raise ConfigError("data.exclude: leaves columns out of all others; beside data.features it has no meaning")
        for name, parts in self.dates.items() if isinstance(self.dates, dict) else ():
            if not parts or len(set(parts)) < len(parts):
                raise ConfigError(f"data.dates.{name}: {'a part is listed twice' if parts else 'name its parts'}")
        if both := sorted({*(self.dates or ())} & {*(self.categorical or ())}):
            raise ConfigError(f"data.dates: {both[0]!r} is listed under data.categorical too; take one of them")
        self._missing.check()

    @property
    def _targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def _notation(self) -> Notation:
        return Notation(self.decimal, self.thousands)

    @property
    def _missing(self) -> MissingRules:
        return MissingRules(self.missing, self._targets, self._notation)

    def load(self, seed: int) -> Dataset:
        """Read the file; the seed changes nothing."""
        table = self._read(self.path)
        names = self._feature_columns(table)
        for name in (*(self.categorical or ()), *self._missing.named, *(self.dates or ())):
            if name not in {*names, *self._targets}:
                raise ConfigError(f"data: column {name!r} is neither a feature nor the target")
        codes = set(self.categorical or ()) | (set(self._targets) if self.task == "classification" else set())
        if table.headless:
            warnings.warn(f"{table.path}: {table.headless}; it is taken for the names all the same", stacklevel=3)
        columns = [self._column(table, name, name in codes) for name in names]
        if self.features is None:
            note_row_numbers(table, columns)
        targets = [self._column(table, name, name in codes) for name in self._targets]
        self._check_targets(table, targets)
        return self._dataset(table, columns, targets)

    def _check_targets(self, table: Table, targets: list[Column]) -> None:
        """Raise ConfigError where targets cannot be predicted as is asked for; say it where numbers may be classes."""
        textual = next((column.name for column in targets if column.categories is not None), None)
        if textual is not None and len(targets) > 1:
            what = "are classes" if self.task == "classification" else f"has to be numbers, and {textual!r} holds text"
            one = "take one target" if self.task == "classification" else "take it alone, or leave it out"
            raise ConfigError(f"data.target: each of several targets {what}; {one}")
        if textual is not None and self.task == "regression":
            raise ConfigError(f"data.task: the target {textual!r} holds text, so it cannot be a regression")
        if textual is None and self.task is None and len(targets) == 1:
            note_zeros_and_ones(table, self._targets[0])

    def load_as(self, schema: DataSchema) -> Dataset:
        """Read the file with the columns, categories and classes of a trained model.

        Raises:
            DataError: as :meth:`load`; or a category or a class is not among them.
        """
        names = [column.name for column in schema.encoder.columns] if schema.encoder is not None else []
        if schema.encoder is None or set(self._targets) & set(names):
            return self.load(0)
        if self.features is not None and set(self.features) != set(names):
            raise DataError(f"these data do not fit the model: features {list(self.features)}, trained with {names}")
        targets = [self._missing.known(Column(name, schema.class_names or None)) for name in self._targets]
        return self._dataset(self._read(self.path), list(schema.encoder.columns), targets)

    def _dataset(self, table: Table, columns: list[Column], targets: list[Column]) -> Dataset:
        x, y = self._arrays(table, columns, targets)
        statistics = tuple(map(self._missing.statistic, columns))
        return Dataset(
            x=x,
            y=y,
            **describe_columns(table, columns, targets, self.units),
            test=self._arrays(self._read(self.test_path), columns, targets) if self.test_path else None,
            encoder=TableEncoder(tuple(columns), table.delimiter, self.decimal, self.thousands),
            fill_missing=any(statistics),
            fill_with=statistics,
        )

    def _read(self, path: str) -> Table:
        """The rows of a file that ``where`` asks for."""
        table = read_table(find(path), self.delimiter, self._notation)
        for name, wanted in (self.where or {}).items():
            cells = table.column(name)
            table = table.keep(row for row, cell in enumerate(cells) if _matches(cell, wanted, self._notation))
            if not table.rows:
                there = listed(map(repr, sorted(set(cells))), 10)
                raise DataError(f"{table.path}: no row has {wanted!r} in column {name!r}; there is {there}")
        return table

    def _feature_columns(self, table: Table) -> list[str]:
        for name in (*self._targets, *(self.exclude or ())):
            table.position(name)
        if self.features is not None:
            return list(self.features)
        # A column that where holds to one value predicts nothing.
        fixed = {name for name, wanted in (self.where or {}).items() if not isinstance(wanted, list)}
        left_out = {*self._targets, *fixed, *(self.exclude or ())}
        names = [name for name in table.header if canonical(name) not in left_out]
        if "" in names:
            warnings.warn(
                f"{table.path}: a column without a name (such as row numbers that pandas wrote) is left out; give it a "
                "name in the header to use it",
                stacklevel=3,
            )
        return [name for name in names if name]

    def _column(self, table: Table, name: str, categorical: bool) -> Column:
        if name in (self.dates or ()):
            column = self._dates_column(table, name)
        else:
            column = column_of(table, name, categorical, confirmed=name in (self.categorical or ()))
        return self._missing.apply(table, column)

    def _dates_column(self, table: Table, name: str) -> Column:
        """A column of dates; says what they become where the config does not."""
        parts = self.dates[name] if isinstance(self.dates, dict) else None
        found = dates_of(table, name, parts, self.date_order)
        if parts is None:
            warnings.warn(describe_dates(found, table, name), stacklevel=4)
        return Column(name, dates=found)

    def _arrays(self, table: Table, columns: list[Column], targets: list[Column]) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the rows that the rules for missing cells leave; NaN in x where a statistic is to be put."""
        everything, missing = [*columns, *targets], self._missing
        width = sum(column.width for column in everything)
        widest = max(columns, key=lambda column: column.width, default=targets[0])
        check_size(
            table.path,
            8 * len(table.rows) * width,
            f"{len(table.rows)} rows of {width} numbers ({widest.name!r} alone becomes {widest.width})",
        )
        blocks = [column.encode(table) for column in everything]
        rows = np.ones(len(table.rows), dtype=bool)
        for column, block in zip(everything, blocks, strict=True):
            if missing.drops(column):
                rows &= ~np.isnan(block[:, 0])
        if not rows.any():
            raise DataError(f"{table.path}: every row has a missing cell, so none is left")
        note_rows_left_out(table, rows, [column.name for column in everything if missing.drops(column)])
        table = table.keep(np.flatnonzero(rows))
        encoded = np.concatenate(blocks, axis=1)[rows]
        for column, block in zip(everything, blocks, strict=True):
            if missing.refuses(column):
                column.refuse_missing(table, block[rows], target=column in targets)
        ends = -sum(target.width for target in targets)
        x, y = np.ascontiguousarray(encoded[:, :ends]), encoded[:, ends:]
        return x, y.copy() if targets[0].categories is None else y.argmax(axis=1).astype(np.int64)


def _matches(cell: str, wanted: Any, notation: Notation) -> bool:
    """Whether a cell holds the value, or one of the list of values."""
    if isinstance(wanted, list | tuple):
        return any(_matches(cell, each, notation) for each in wanted)
    if isinstance(wanted, bool):
        return cell.lower() == str(wanted).lower()
    if isinstance(wanted, int | float):
        return notation.number(cell) == wanted
    return cell == canonical(str(wanted))
