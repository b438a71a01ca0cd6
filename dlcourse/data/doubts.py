"""Notes on columns of text that may be meant otherwise: another notation of numbers, units, dates, names."""

import re
from collections import Counter
from collections.abc import Sequence

from dlcourse.data.cells import Notation

MAJORITY = 0.5
"""The share of a column's cells that look like numbers from which on they are taken for such."""
DIFFERENT = 0.8
"""The share of a column's cells that are different texts from which on they are names rather than categories."""
ROWS = 20
"""With fewer cells many different texts say nothing."""

_CURRENCY = r"(?:[$€£¥₹₽₩₺₫฿¢₴₪₦₱]|R\$|Rs\.?|US\$|USD|EUR|GBP|CHF|INR|JPY|CNY|kr\.?|z\u0142)"
_SIGN = r"[-+\u2212]?"
_DIGITS = r"\d[\d.,' \u00a0\u2009\u202f\u2019_]*(?:[eE][-+]?\d+)?"
_LETTERS = r"[^\W\d_]"
_UNIT = rf"(?!(?:st|nd|rd|th|s)$){_LETTERS}[^\s\d]{{0,9}}[2-3²³]?(?:[/ ]{_LETTERS}{{1,6}}[2-3²³]?)?"
_AMOUNT = re.compile(
    rf"(?P<sign>[<>~≈≤≥=']?)\s*{_SIGN}(?P<before>{_CURRENCY}?)\s*(?P<number>{_SIGN}{_DIGITS})"
    rf"\s*(?:(?P<after>{_CURRENCY})|(?P<percent>[%‰])|(?P<unit>{_UNIT}))?"
)
_DAY = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{2}|\d{4}))"
_DATE = re.compile(rf"{_DAY}(?:[T ].*)?|\d{{1,2}}:\d{{2}}(?::\d{{2}}.*)?")
_NOTATIONS = (
    Notation(".", ","), Notation(",", None), Notation(",", "."), Notation(".", " "), Notation(",", " "),
    Notation(".", "'"), Notation(",", "'"), Notation(".", "_"),
)  # fmt: skip
_WORDS = {",": "commas", ".": "dots", " ": "spaces", "'": "apostrophes", "_": "underscores"}


def doubt(cells: Sequence[str], notation: Notation) -> tuple[str, str] | None:
    """What most cells of a column of text look like, if not like text.

    Args:
        cells: those that are not missing.
        notation: how the data set says that numbers are written.
    Returns:
        A cell, and what it looks like with what to do about it; None where there is no doubt.
    """
    times = Counter(cells)
    several = len(times) >= min(ROWS, 0.5 * len(cells))  # few are perhaps categories: 2 rooms, 3 rooms
    dates = [cell for cell in times if _DATE.fullmatch(cell)]
    if several and sum(times[cell] for cell in dates) > MAJORITY * len(cells):
        return dates[0], (
            "a date or a time? data.dates: [column] makes features of it (year, month, ...); or leave it out of "
            "data.features"
        )
    amounts = [(cell, match) for cell in times if (match := _AMOUNT.fullmatch(cell))]
    if sum(times[cell] for cell, _ in amounts) <= MAJORITY * len(cells):
        return None
    for groups, advice in (
        (("before", "after"), "an amount with a currency sign? write the number alone, and the sign under data.units"),
        (("percent",), "a percentage? write the number alone, and the % under data.units"),
        (("unit",), "a number with a unit? write the number alone, and the unit under data.units"),
        (("sign",), "a number with a sign before it? write the number alone"),
    ):
        having = [cell for cell, match in amounts if any(match[name] for name in groups)]
        whole = all(match["number"].strip().isdecimal() for _, match in amounts)
        if having and (several or not whole or groups != ("unit",)):
            return having[0], advice
    written = [(cell, match["number"].strip()) for cell, match in amounts if not match["unit"]]
    unread = [(cell, digits) for cell, digits in written if notation.number(digits) is None]
    other = _other_notation([digits for _, digits in unread]) if unread else None
    return None if other is None else (unread[0][0], other)


def many_names(different: int, cells: int) -> bool:
    """Whether so many different texts in so many cells are names rather than categories."""
    return cells >= ROWS and different >= DIFFERENT * cells


def _other_notation(digits: Sequence[str]) -> str | None:
    """In which notation most of these are numbers, and the keys that say so; None where there is none."""
    read = {notation: sum(notation.number(each) is not None for each in digits) for notation in _NOTATIONS}
    notation = max(read, key=read.__getitem__)  # of equally good ones the first
    if read[notation] <= MAJORITY * len(digits):
        return None
    decimal, thousands = notation.decimal, notation.thousands
    marks, keys = [], []
    if decimal == "," and any("," in each for each in digits):
        marks.append("a decimal comma")
    if thousands is not None and any(re.search(notation.separators, each) for each in digits):
        marks.append(f"{_WORDS[thousands]} between thousands")
        keys.append('data.thousands: "\'"' if thousands == "'" else f"data.thousands: '{thousands}'")
    if decimal == ",":
        keys.insert(0, "data.decimal: ','")
    if not marks:
        marks, keys = ["a decimal point"], ["data.decimal: '.'"]
    return f"a number with {' and '.join(marks)}? {' and '.join(keys)}"
