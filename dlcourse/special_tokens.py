"""Tokens that stand for no character: of data whose inputs and answers are sequences of different lengths."""

from collections.abc import Sequence

NAMES = ("<pad>", "<bos>", "<eos>")
"""Padding behind the end of a shorter sequence; the beginning, from which an answer is written; and its end."""
PAD, BOS, EOS = range(len(NAMES))


def has_special(class_names: Sequence[str]) -> bool:
    """Whether these are the first of the tokens."""
    return tuple(class_names[: len(NAMES)]) == NAMES
