"""Small pieces of HTML for a notebook: escaped, and in the page's own colors, light or dark."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_table", "html_text"]

_LINE = "border:0;border-bottom:1px solid rgba(127,127,127,.4);padding:2px 10px;background:none;color:inherit"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table whose first column holds names and whose others hold numbers, and lines of text below it."""

    def line(tag: str, cells: Sequence[str]) -> str:
        sides = ("left", *("right" for _ in cells[1:]))
        inside = (f'<{tag} style="text-align:{side};{_LINE}">{escape(str(cell))}</{tag}>'
                  for side, cell in zip(sides, cells, strict=True))  # fmt: skip
        return f"<tr>{''.join(inside)}</tr>"

    body = line("th", head) + "".join(line("td", row) for row in rows)
    below = "".join(f'<div style="opacity:.8;font-size:smaller">{escape(note)}</div>' for note in notes)
    return f'<div><table style="border-collapse:collapse;color:inherit">{body}</table>{below}</div>'


def html_text(text: str, note: str = "") -> str:
    """Text as it is, line by line, and a line below it."""
    below = f'<div style="opacity:.8;font-size:smaller">{escape(note)}</div>' if note else ""
    return f'<div><pre style="background:none;color:inherit;margin:0">{escape(text)}</pre>{below}</div>'
