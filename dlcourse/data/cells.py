"""Cells of text: which are empty, which are numbers in what notation, and which are equal."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property

from dlcourse.characters import canonical
from dlcourse.errors import ConfigError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "#n/a", "#na", "<na>", "-nan", "+nan"})
"""What a cell with nothing in it looks like, in small letters."""

_SPACES = " \u00a0\u2009\u202f"
_APOSTROPHES = "'\u2019"
_MINUS = "\u2212"
_LEADING_ZERO = re.compile(r"[-+]?0\d")


def listed(texts: Iterable[str], max_shown: int = 20) -> str:
    """The first of some texts, and how many more there are, for messages."""
    texts = list(texts)
    return ", ".join(texts[:max_shown]) + (f", and {len(texts) - max_shown} more" if len(texts) > max_shown else "")


def is_missing(cell: str) -> bool:
    """Whether nothing is in the cell."""
    return cell.lower() in MISSING


def number(cell: str) -> float | None:
    """The number in a cell, or None where it is text. ``inf`` counts as a number, ``1_000`` as text."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return number(cell.replace(_MINUS, "-")) if _MINUS in cell else None


@dataclass(frozen=True)
class Notation:
    """How numbers are written.

    Args:
        decimal: what stands before the decimals, ``.`` or ``,``.
        thousands: what stands between groups of digits; a space or an apostrophe stands for all of its kinds.
        plain_too: also read ``51.4``, whatever the notation: of numbers that come from Python or were typed.
    """

    decimal: str = "."
    thousands: str | None = None
    plain_too: bool = False

    def number(self, cell: str) -> float | None:
        """The number in a cell, or None where it is text in this notation."""
        digits = cell if self._usual else self.plain(cell)
        return None if digits is None else number(digits)

    @property
    def reader(self) -> Callable[[str], float | None]:
        """:meth:`number` for many cells: the plain function where that is all."""
        return number if self._usual else self.number

    def plain(self, cell: str) -> str | None:
        """The number in a cell as Python writes it; None where it is text in this notation."""
        if self._usual or not self._pattern.fullmatch(cell):
            readable = (self._usual or self.plain_too) and number(cell) is not None
            return cell.replace(_MINUS, "-") if readable else None
        digits = cell if self.thousands is None else re.sub(self.separators, "", cell)
        return digits.replace(_MINUS, "-").replace(self.decimal, ".")

    @property
    def _usual(self) -> bool:
        """Whether this is how Python writes numbers."""
        return self.decimal == "." and self.thousands is None

    @cached_property
    def separators(self) -> str:
        """What may stand between groups of digits, as a regular expression."""
        given = self.thousands or ""
        kinds = next((kind for kind in (_SPACES, _APOSTROPHES) if given in kind), given)
        return f"[{re.escape(kinds)}]"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        groups = r"\d+"
        if self.thousands is not None:  # the last group has three digits; India's others have two
            groups = rf"(?:\d+|\d{{1,3}}(?:{self.separators}\d{{2,3}})*{self.separators}\d{{3}})"
        point = re.escape(self.decimal)
        return re.compile(rf"[-+{_MINUS}]?(?:{groups}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?")


PLAIN = Notation()
"""51.4 and 1e-3."""


def check_notation(decimal: str, thousands: str | None, delimiter: str) -> None:
    """Raise ConfigError unless the keys of a data set can be a notation of numbers."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(f"data.delimiter: expected one character, got {delimiter!r}")
    if decimal not in (".", ","):
        raise ConfigError(f"data.decimal: expected '.' or ',', got {decimal!r}")
    if thousands is None:
        return
    if len(thousands) != 1 or thousands not in f".,_{_SPACES}{_APOSTROPHES}":
        raise ConfigError(f"data.thousands: expected one of ',' '.' ' ' \"'\" '_', got {thousands!r}")
    if thousands == decimal:
        other = "." if decimal == "," else ","
        raise ConfigError(f"data.thousands: {thousands!r} is data.decimal too; perhaps data.decimal: {other!r}")
    if thousands == delimiter == " ":
        raise ConfigError("data.thousands: a space is data.delimiter too")


def canonical_names(data_set: object, *keys: str) -> None:
    """Bring names of columns, those in these attributes, into the form in which a table has them."""
    for key in keys:
        value = getattr(data_set, key)
        if isinstance(value, Mapping):
            value = {canonical(name): each for name, each in value.items()}
        elif value is not None:
            value = canonical(value) if isinstance(value, str) else tuple(map(canonical, value))
        object.__setattr__(data_set, key, value)


def identity(cell: str, notation: Notation = PLAIN) -> Hashable:
    """What two cells have in common that are one category: ``1`` and ``1.0``, ``True`` and ``true``; else the text.

    A number that begins with a zero (``01067``, a postcode) is a text.
    """
    digits = None if _LEADING_ZERO.match(cell) else notation.plain(cell)
    if digits is not None:
        try:
            return Decimal(digits)  # exact, unlike a float
        except InvalidOperation:
            pass
    text = canonical(cell)
    return text.lower() if text.lower() in ("true", "false") else text
