"""Tables as Markdown and LaTeX; what stands in cells is text, whatever characters are in it."""

import re
from collections.abc import Sequence

from dlcourse.characters import visible
from dlcourse.sweeps.table import Column, spans

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_LATEX_SPECIAL = re.compile("[" + re.escape("".join(_LATEX)) + "]")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#$])")
_NUMBER = re.compile(r"(?<![\w.])(-?)(\d+(?:\.\d+)?)(?:e([+-]?\d+))?(?![\w.])")
_NO_NUMBER = re.compile(r"(?<![\w.])(-?)(inf|nan)(?![\w.])")


def markdown(columns: Sequence[Column]) -> str:
    """A table of GitHub's Markdown; a group's name stands before each of its columns."""
    names = [_markdown(f"{column.group} {column.name}".strip()) for column in columns]
    rules = [":--" if column.left else "--:" for column in columns]
    cells = [[_markdown(cell) for cell in column.cells] for column in columns]
    rows = [names, rules, *zip(*cells, strict=True)]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", _one_line(text))


def latex(columns: Sequence[Column]) -> str:
    r"""A ``tabular`` with ``\toprule`` and the like, for ``\input`` in a document that loads ``booktabs``."""
    lines = ["% \\usepackage{booktabs}", "\\begin{tabular}{" + "".join("l" if c.left else "r" for c in columns) + "}"]
    lines.append("\\toprule")
    if any(column.group for column in columns):
        lines += _groups(columns)
    lines.append(_row([latex_text(column.name) for column in columns]))
    lines.append("\\midrule")
    cells = [[_words(cell) if column.left else _figures(cell) for cell in column.cells] for column in columns]
    lines += map(_row, zip(*cells, strict=True))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _groups(columns: Sequence[Column]) -> list[str]:
    """The line of the groups' names, and the rules below them."""
    heads, rules = [], []
    for start, stop in spans(columns):
        name = latex_text(columns[start].group)
        heads.append(f"\\multicolumn{{{stop - start}}}{{c}}{{{name}}}" if name else "")
        rules += [f"\\cmidrule(lr){{{start + 1}-{stop}}}"] if name else []
    return [_row(heads), " ".join(rules)]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells).rstrip() + " \\\\"


def _words(text: str) -> str:
    return _figures(text) if text == "-" or _NUMBER.fullmatch(text) else latex_text(text)


def latex_text(text: str) -> str:
    """The text with what LaTeX would obey written so that it prints."""
    return _LATEX_SPECIAL.sub(lambda match: _LATEX[match[0]], _one_line(text))


def _figures(text: str) -> str:
    """Numbers as mathematics sets them: ``-1.2e-07`` has a minus sign and a power of ten."""
    if text == "-":
        return "--"
    text = _NUMBER.sub(_power, latex_text(text))
    return _NO_NUMBER.sub(lambda match: f"${match[1]}\\infty$" if match[2] == "inf" else "NaN", text)


def _power(match: re.Match) -> str:
    sign, mantissa, exponent = match.groups()
    if exponent:
        return f"${sign}{mantissa}\\times10^{{{int(exponent)}}}$"
    return f"${sign}{mantissa}$" if sign else mantissa


def _one_line(text: str) -> str:
    return visible(" ".join(re.split(r"[\r\n]+", text)))
