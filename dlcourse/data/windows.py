"""A sequence of symbols, such as a text, cut into windows; training sees it cut anew each epoch."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Part
from dlcourse.data.feed import Feed
from dlcourse.data.loader import Loader


@dataclass(frozen=True, eq=False)
class WindowPart(Part):
    """A stretch of a sequence: x (N, T) are its windows side by side, y (N, T) the symbol after each; both are views.

    ``index`` is where in the whole sequence each window begins.
    """

    symbols: np.ndarray
    """The stretch, (n,) int64, n > N T."""

    @staticmethod
    def count(length: int, context: int, training: bool) -> int:
        """How many windows side by side; for training they leave room to begin at any of ``context`` places."""
        windows = (length - 1) // context
        return min(windows, max(1, (length - context) // context)) if training else windows

    @classmethod
    def of(cls, symbols: np.ndarray, context: int, training: bool, start: int = 0) -> "WindowPart":
        """Cut a stretch that begins at ``start`` of the whole; it has to hold a window and one symbol more."""
        windows = cls.count(len(symbols), context, training)
        size = windows * context
        x, y = symbols[:size].reshape(windows, context), symbols[1 : size + 1].reshape(windows, context)
        return cls(x, y, start + context * np.arange(windows), symbols)


class WindowLoader(Loader):
    """Batches of windows. Where an epoch is shuffled, its windows lie side by side from a random offset on.

    So every window of the stretch is as likely as any other, and all is a function of (seed, step).
    """

    def __init__(self, part: WindowPart, *args: Any, **more: Any):
        super().__init__(part, *args, **more)
        windows, self._context = part.x.shape
        self._offsets = min(self._context, len(part.symbols) - windows * self._context)
        self._symbols = self._backend.asarray(part.symbols)

    def _make(self, step: int) -> tuple[Any, Any]:
        if not self._shuffled:
            return super()._make(step)
        _, starts = self._rows(step)
        at = starts[:, None] + self._backend.xp.arange(self._context)  # (n, T)
        return self._symbols.take(at), self._symbols.take(at + 1)

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
        windows = _windows(self._backend.xp, self._symbols, self._context + 1)
        return self._feed(windows[:, :-1], windows[:, 1:])


def _windows(xp: Any, symbols: Any, length: int) -> Any:
    """All stretches of that length, (N - length + 1, length): a view in which they overlap."""
    shape, (step,) = (len(symbols) - length + 1, length), symbols.strides
    return xp.lib.stride_tricks.as_strided(symbols, shape, (step, step))


def loader_of(part: Part, *args: Any, **more: Any) -> Loader:
    """The loader that suits a part, see :class:`Loader` for the rest."""
    return (WindowLoader if isinstance(part, WindowPart) else Loader)(part, *args, **more)
