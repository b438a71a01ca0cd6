"""Characters that look like others, or like nothing: texts that look the same are compared as the same."""

import re
import unicodedata

__all__ = ["canonical", "odd_characters"]

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
