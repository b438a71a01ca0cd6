"""The rules for missing cells of a table: a row dropped, a statistic, a category of its own, or a value."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from dlcourse.characters import canonical
from dlcourse.data.cells import Notation, is_missing
from dlcourse.data.encoder import Column, codes_of
from dlcourse.data.table import Table
from dlcourse.errors import ConfigError, DataError

MISSING = "missing"
"""The category of missing cells by the rule ``category``."""

ForAll = Literal["drop", "mean", "median", "category"]


@dataclass(frozen=True)
class MissingRules:
    """What to do about missing cells.

    Args:
        given: a rule for all columns, one for each, or none.
        targets: the columns that are predicted.
        notation: how numbers are written.
    """

    given: ForAll | Mapping[str, str | float] | None
    targets: Sequence[str]
    notation: Notation

    def check(self) -> None:
        """Raise ConfigError where a target is to be filled with a statistic."""
        for name in () if self.for_all else self.targets:
            if (rule := self.of(name)) in ("mean", "median"):
                raise ConfigError(f"data.missing: the target {name!r} cannot be filled with a {rule}; drop the row")

    @property
    def for_all(self) -> bool:
        """Whether one rule is for all columns: a row without a target is left out then, as nothing is learned of it."""
        return isinstance(self.given, str)

    def of(self, name: str) -> str | float | None:
        """The rule for a column."""
        return self.given.get(name) if isinstance(self.given, Mapping) else self.given

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that have a rule by their names."""
        return tuple(self.given) if isinstance(self.given, Mapping) else ()

    def drops(self, column: Column) -> bool:
        """Whether a row without that cell is left out."""
        return self.of(column.name) == "drop" or (self.for_all and column.name in self.targets)

    def refuses(self, column: Column) -> bool:
        """Whether a missing cell that is still there is an error."""
        return self.of(column.name) in (None, "category")

    def statistic(self, column: Column) -> Literal["", "mean", "median"]:
        """Of the training split, that stands for a missing cell; empty for none."""
        rule = self.of(column.name)
        return "mean" if rule == "mean" else "median" if rule == "median" else ""

    def known(self, column: Column) -> Column:
        """A column of a trained model's categories, with what its rule fills in."""
        rule = self.of(column.name)
        if column.categories is None or self.for_all or rule in (None, "drop"):
            return column
        text = MISSING if rule == "category" else self._text(column.name, rule)
        code = int(codes_of([text], column.categories, self._both)[0])
        return column if code < 0 else _one_hot(column, column.categories, code)

    def apply(self, table: Table, column: Column) -> Column:
        """The column with what its rule fills in, and with one more category where that needs one.

        Raises:
            ConfigError: the rule is not for such a column.
        """
        name, rule = column.name, self.of(column.name)
        if rule == "category":
            return self._with_missing(table, column)
        if rule is None or rule in ("drop", "mean", "median"):
            return column
        if column.dates is not None:
            raise ConfigError(f"data.missing.{name}: a date can be missing by the rules drop, mean and median only")
        text = self._text(name, rule)
        if column.categories is not None:
            categories = _with_category(name, column.categories, text, self._both)
            return _one_hot(column, categories, int(codes_of([text], categories, self._both)[0]))
        try:
            cell = Table(table.path, (name,), [[text]], [0], self._both)
            return replace(column, fill=tuple(column.encode(cell)[0].tolist()))
        except DataError:
            raise ConfigError(f"data.missing.{name}: column {name!r} has {text!r} where a number is expected") from None

    @property
    def _both(self) -> Notation:
        return replace(self.notation, plain_too=True)

    def _text(self, name: str, rule: str | float | None) -> str:
        text = canonical(f"{rule:.17g}" if isinstance(rule, float) else str(rule))
        if is_missing(text):
            raise ConfigError(f"data.missing.{name}: {text!r} is what a missing cell looks like; take another word")
        return text

    def _with_missing(self, table: Table, column: Column) -> Column:
        """The column with a category for missing cells; unasked for by its name, only where it has such."""
        name = column.name
        if self.for_all and (name in self.targets or not any(map(is_missing, table.column(name)))):
            return column
        if column.categories is None:
            raise ConfigError(
                f"data.missing: category makes one more of a column's categories, and {name!r} holds "
                f"{'dates' if column.dates else 'numbers'}; give it another rule: {{{name}: median}}, and others theirs"
            )
        categories = column.categories if MISSING in column.categories else (*column.categories, MISSING)
        return _one_hot(column, categories, categories.index(MISSING))


def _one_hot(column: Column, categories: tuple[str, ...], code: int) -> Column:
    """The column with these categories, of which one stands for a missing cell."""
    return replace(column, categories=categories, fill=tuple(float(i == code) for i in range(len(categories))))


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
    if rule := difflib.get_close_matches(text.lower(), get_args(ForAll), n=1, cutoff=0.75):
        raise ConfigError(
            f"data.missing.{name}: {text!r} would become a category of its own; did you mean the rule {rule[0]}? (A "
            "word that is like none of the rules becomes one.)"
        )
    return *categories, text
