"""A sequence of tokens, such as a text, cut into windows; training sees it cut anew each epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.data.dataset import Split


@dataclass(frozen=True, eq=False)
class WindowSplit(Split):
    """A stretch of a sequence: x (N, T) are its windows side by side, y (N, T) the token after each; both are views.

    ``index`` is where in the whole sequence each window begins.
    """

    x: np.ndarray
    tokens: np.ndarray
    """The stretch, (n,) int64, n > N T."""

    @property
    def stride(self) -> int:
        """T: a window is to begin at any token."""
        return self.x.shape[1]

    @property
    def offsets(self) -> int:
        """At how many tokens an epoch may begin, so that every window of the stretch is as likely as any other."""
        return min(self.stride, len(self.tokens) - self.stride * len(self))

    @staticmethod
    def count(length: int, context: int, training: bool) -> int:
        """How many windows side by side; for training they leave room to begin at any of ``context`` tokens."""
        windows = (length - 1) // context
        return min(windows, max(1, (length - context) // context)) if training else windows

    @classmethod
    def of(cls, tokens: np.ndarray, context: int, training: bool, start: int = 0) -> "WindowSplit":
        """Cut a stretch that begins at ``start`` of the whole; it has to hold a window and one token more."""
        windows = cls.count(len(tokens), context, training)
        size = windows * context
        x, y = tokens[:size].reshape(windows, context), tokens[1 : size + 1].reshape(windows, context)
        return cls(x, y, start + context * np.arange(windows), tokens)


def overlapping(xp: Any, tokens: Any, length: int) -> Any:
    """All stretches of that length, (N - length + 1, length): a view in which they overlap."""
    shape, (step,) = (len(tokens) - length + 1, length), tokens.strides
    return xp.lib.stride_tricks.as_strided(tokens, shape, (step, step))
