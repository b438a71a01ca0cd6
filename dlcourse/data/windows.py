"""A sequence of tokens, such as a text, cut into windows; training sees it cut anew each epoch."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Split
from dlcourse.data.feed import Feed
from dlcourse.data.loader import Loader


@dataclass(frozen=True, eq=False)
class WindowSplit(Split):
    """A stretch of a sequence: x (N, T) are its windows side by side, y (N, T) the token after each; both are views.

    ``index`` is where in the whole sequence each window begins.
    """

    tokens: np.ndarray
    """The stretch, (n,) int64, n > N T."""

    @staticmethod
    def count(length: int, context: int, training: bool) -> int:
        """How many windows side by side; for training they leave room to begin at any of ``context`` places."""
        windows = (length - 1) // context
        return min(windows, max(1, (length - context) // context)) if training else windows

    @classmethod
    def of(cls, tokens: np.ndarray, context: int, training: bool, start: int = 0) -> "WindowSplit":
        """Cut a stretch that begins at ``start`` of the whole; it has to hold a window and one token more."""
        windows = cls.count(len(tokens), context, training)
        size = windows * context
        x, y = tokens[:size].reshape(windows, context), tokens[1 : size + 1].reshape(windows, context)
        return cls(x, y, start + context * np.arange(windows), tokens)


class WindowLoader(Loader):
    """Batches of windows. Where an epoch is shuffled, its windows lie side by side from a random offset on.

    So every window of the stretch is as likely as any other, and all is a function of (seed, step).
    """

    def __init__(self, split: WindowSplit, *args: Any, **more: Any):
        super().__init__(split, *args, **more)
        windows, self._context = split.x.shape
        self._offsets = min(self._context, len(split.tokens) - windows * self._context)
        self._tokens = self._backend.asarray(split.tokens)

    def _make(self, step: int) -> tuple[Any, Any]:
        if not self._shuffled:
            return super()._make(step)
        _, starts = self._rows(step)
        at = starts[:, None] + self._backend.xp.arange(self._context)  # (n, T)
        return self._tokens.take(at), self._tokens.take(at + 1)

    def _from_buffer(self, step: int) -> tuple[Any, Any]:
        return self._make(step) if self._shuffled else super()._from_buffer(step)

    def _permutation(self, epoch: int) -> np.ndarray:
        """Where the windows of an epoch start."""
        order = super()._permutation(epoch) * self._context
        return order + generator(self._seed, "offset", epoch).integers(self._offsets)

    @functools.cached_property
    def feed(self) -> Feed | None:
        if not self._shuffled:
            return super().feed
        windows = _windows(self._backend.xp, self._tokens, self._context + 1)
        return self._feed(windows[:, :-1], windows[:, 1:])


def _windows(xp: Any, tokens: Any, length: int) -> Any:
    """All stretches of that length, (N - length + 1, length): a view in which they overlap."""
    shape, (step,) = (len(tokens) - length + 1, length), tokens.strides
    return xp.lib.stride_tricks.as_strided(tokens, shape, (step, step))


def make_loader(split: Split, *args: Any, **more: Any) -> Loader:
    """The loader that suits a split, see :class:`Loader` for the rest."""
    return (WindowLoader if isinstance(split, WindowSplit) else Loader)(split, *args, **more)
