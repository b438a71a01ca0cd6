"""Characters that look alike or are invisible: texts that look the same are compared as the same, and none of
them says anything to a terminal."""

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_NOTHING = "\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_ODD = re.compile(f"[{_SPACES}{_NOTHING}]")
_SPACE = re.compile(f"[{_SPACES}]")
_NO_WIDTH = re.compile(f"[{_NOTHING}]")


def canonical(text: str) -> str:
    """The text as it looks: composed (Unicode's NFC), plain spaces, no characters without width, none at its ends."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", _SPACE.sub(" ", _NO_WIDTH.sub("", text))).strip()


def odd_characters(text: str, known: str | None = None) -> str:
    """The spaces and characters without width in a text by name, such as ``U+00A0 NO-BREAK SPACE``; empty without any.

    Args:
        known: a text that was perhaps meant: what is not ASCII and not in it is named too.
    """
    found = [c for c in text if _ODD.match(c) or (known is not None and not c.isascii() and c not in known)]
    return ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed')}" for c in dict.fromkeys(found))


# Control characters but tab and newline, what breaks lines or turns the direction of writing, and halves of surrogate
# pairs, which also stand for the bytes of file names that are not UTF-8.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with each character that a terminal would obey as ``\\x1b``, and what cannot be encoded likewise."""
    return _CONTROL.sub(_escaped, text)


def encodable(text: str) -> bool:
    """Whether UTF-8 can hold the text; it cannot hold bytes of a file's name that were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(match: re.Match) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, see os.fsdecode
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class VisibleStream:
    """A text stream whose writer cannot speak to the terminal: all that is written becomes :func:`visible`.

    A carriage return at the beginning of what is written stays: progress bars need it, and there it hides nothing.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        start = "\r" if text.startswith("\r") else ""
        with self._named():
            self._stream.write(start + visible(text.removeprefix("\r")))
        return len(text)

    def flush(self) -> None:
        with self._named():
            self._stream.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What goes wrong in writing says where, as an error of a file does."""
        try:
            yield
        except OSError as error:
            error.filename = {"<stdout>": "standard output", "<stderr>": "standard error"}.get(self._stream.name)
            raise

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
