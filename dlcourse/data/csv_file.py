"""One's own data from a file of delimited text."""

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dlcourse.characters import canonical
from dlcourse.data.bounds import check_size
from dlcourse.data.cells import Notation, check_notation, is_missing, listed
from dlcourse.data.dataset import DataSchema, Dataset
from dlcourse.data.encoder import Column, TableEncoder, codes_of, column_of
from dlcourse.data.files import find
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
    row out, ``mean`` puts the mean over the training split (of a category: its share), anything else is put itself; a
    text that is none of a column's categories becomes one more.

    A column of text whose cells look like numbers of another notation, amounts with a unit or dates, or are nearly all
    different, is refused with what to do about it, unless it is listed under ``categorical``.

    Args:
        path: the file, UTF-8 with a header; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        target: the column to predict.
        features: the columns to predict it from; all others that have a name if left out.
        categorical: columns of numbers that are codes rather than quantities, and of texts that are categories
            whatever they look like.
        task: ``classification`` for a target of class codes; a textual target is one anyway.
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
    target: str
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] | None = None
    task: Literal["regression", "classification"] | None = None
    where: dict[str, Any] | None = None
    missing: Literal["drop", "mean"] | dict[str, str | float] | None = None
    delimiter: str = ","
    test_path: str | None = None
    units: dict[str, str] | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None

    def __post_init__(self) -> None:
        self._canonical_names()
        check_notation(self.decimal, self.thousands, self.delimiter)
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ConfigError(f"data.delimiter: expected one character, got {self.delimiter!r}")
        if self.features is not None and self.target in self.features:
            raise ConfigError(f"data.features: {self.target!r} is the target and cannot be a feature")
        if self.features is not None and len(set(self.features)) < len(self.features):
            raise ConfigError("data.features: a column is listed twice")
        if self._rule(self.target) == "mean" and isinstance(self.missing, dict):
            raise ConfigError(f"data.missing: the target {self.target!r} cannot be filled with a mean; drop the row")

    def _canonical_names(self) -> None:
        """Names of columns in the form in which the table has them."""
        for key in ("target", "features", "categorical", "where", "missing", "units"):
            value = getattr(self, key)
            if isinstance(value, Mapping):
                value = {canonical(name): each for name, each in value.items()}
            elif value is not None:
                value = canonical(value) if isinstance(value, str) else tuple(map(canonical, value))
            object.__setattr__(self, key, value)

    @property
    def _notation(self) -> Notation:
        return Notation(self.decimal, self.thousands)

    def load(self, seed: int) -> Dataset:
        """Read the file; the seed changes nothing."""
        table = self._read(self.path)
        names, rules = self._feature_columns(table), self.missing if isinstance(self.missing, dict) else {}
        for name in (*(self.categorical or ()), *rules):
            if name not in {*names, self.target}:
                raise ConfigError(f"data: column {name!r} is neither a feature nor the target")
        codes = set(self.categorical or ()) | ({self.target} if self.task == "classification" else set())
        columns = [self._column(table, name, name in codes) for name in names]
        target = self._column(table, self.target, self.target in codes)
        if target.categories is not None and self.task == "regression":
            raise ConfigError(f"data.task: the target {self.target!r} holds text, so it cannot be a regression")
        return self._dataset(table, columns, target, "mean" in (*rules.values(), self.missing))

    def load_as(self, schema: DataSchema) -> Dataset:
        """Read the file with the columns, categories and classes of a trained model.

        Raises:
            DataError: as :meth:`load`; or a category or a class is not among them.
        """
        if schema.encoder is None or self.target in (names := [column.name for column in schema.encoder.columns]):
            return self.load(0)
        if self.features is not None and set(self.features) != set(names):
            raise DataError(f"these data do not fit the model: features {list(self.features)}, trained with {names}")
        target = Column(self.target, schema.class_names or None)
        return self._dataset(self._read(self.path), list(schema.encoder.columns), target, False)

    def _dataset(self, table: Table, columns: list[Column], target: Column, fill_missing: bool) -> Dataset:
        x, y = self._arrays(table, columns, target)
        units = {name: (self.units or {}).get(name, "") for name in table.header}
        for name in self.units or ():
            table.position(name)
        return Dataset(
            x=x,
            y=y,
            task="regression" if target.categories is None else "classification",
            feature_names=tuple(name for column in columns for name in column.feature_names),
            feature_units=tuple(units[column.name] for column in columns for _ in range(column.width)),
            target_name=self.target,
            target_unit=units[self.target],
            class_names=target.categories or (),
            test=self._arrays(self._read(self.test_path), columns, target) if self.test_path else None,
            encoder=TableEncoder(tuple(columns), self.delimiter, self.decimal, self.thousands),
            fill_missing=fill_missing,
            source=str(table.path),
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
        table.position(self.target)
        if self.features is not None:
            return list(self.features)
        # A column that where holds to one value predicts nothing.
        fixed = {name for name, wanted in (self.where or {}).items() if not isinstance(wanted, list)}
        names = [name for name in table.header if name != self.target and name not in fixed]
        if "" in names:
            warnings.warn(
                f"{table.path}: a column without a name (such as row numbers that pandas wrote) is left out; give it a "
                "name in the header to use it",
                stacklevel=3,
            )
        return [name for name in names if name]

    def _rule(self, name: str) -> str | float | None:
        """What to do about a missing cell of that column."""
        return self.missing.get(name) if isinstance(self.missing, dict) else self.missing

    def _column(self, table: Table, name: str, categorical: bool) -> Column:
        column = column_of(table, name, categorical, confirmed=name in (self.categorical or ()))
        rule = self._rule(name)
        if rule is None or rule in ("drop", "mean"):
            return column
        text = canonical(f"{rule:.17g}" if isinstance(rule, float) else str(rule))
        if is_missing(text):
            raise ConfigError(f"data.missing.{name}: {text!r} is what a missing cell looks like; take another word")
        notation = replace(self._notation, plain_too=True)
        if column.categories is not None:
            column = Column(name, self._with_category(name, column.categories, text, notation))
        cell = Table(table.path, (name,), [[text]], [0], notation)
        try:
            return Column(name, column.categories, tuple(column.encode(cell)[0].tolist()))
        except DataError:
            raise ConfigError(f"data.missing.{name}: column {name!r} has {text!r} where a number is expected") from None

    @staticmethod
    def _with_category(name: str, categories: tuple[str, ...], text: str, notation: Notation) -> tuple[str, ...]:
        """The categories and one more, unless they have it; one that was perhaps mistyped is refused."""
        if codes_of([text], categories, notation)[0] >= 0:
            return categories
        near = difflib.get_close_matches(text, categories, n=1, cutoff=0.75)
        if near and len(near[0]) == len(text):  # other words, as known and unknown, differ in length too
            raise ConfigError(
                f"data.missing.{name}: no cell of column {name!r} has {text!r}; did you mean {near[0]!r}? "
                "(Any other word becomes a category of its own.)"
            )
        return *categories, text

    def _arrays(self, table: Table, columns: list[Column], target: Column) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the rows that the rules for missing cells leave; NaN in x where the mean is to be put."""
        everything = [*columns, target]
        width = sum(column.width for column in everything)
        widest = max(columns, key=lambda column: column.width, default=target)
        check_size(
            table.path,
            8 * len(table.rows) * width,
            f"{len(table.rows)} rows of {width} numbers ({widest.name!r} alone becomes {widest.width})",
        )
        blocks, rules = [column.encode(table) for column in everything], [self._rule(each.name) for each in everything]
        rows = np.ones(len(table.rows), dtype=bool)
        for column, block, rule in zip(everything, blocks, rules, strict=True):
            # Under the rule mean for all columns a row without a target is left out: there is nothing to learn from it.
            if rule == "drop" or (column is target and rule == "mean"):
                rows &= ~np.isnan(block[:, 0])
        if not rows.any():
            raise DataError(f"{table.path}: every row has a missing cell, so none is left")
        table = table.keep(np.flatnonzero(rows))
        encoded = np.concatenate(blocks, axis=1)[rows]
        for column, block, rule in zip(everything, blocks, rules, strict=True):
            if rule is None:
                column.refuse_missing(table, block[rows])
        x, y = np.ascontiguousarray(encoded[:, : -target.width]), encoded[:, -target.width :]
        return x, y.copy() if target.categories is None else y.argmax(axis=1).astype(np.int64)


def _matches(cell: str, wanted: Any, notation: Notation) -> bool:
    """Whether a cell holds the value, or one of the list of values."""
    if isinstance(wanted, list | tuple):
        return any(_matches(cell, each, notation) for each in wanted)
    if isinstance(wanted, bool):
        return cell.lower() == str(wanted).lower()
    if isinstance(wanted, int | float):
        return notation.number(cell) == wanted
    return cell == canonical(str(wanted))
