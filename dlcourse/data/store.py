"""Where the samples of a split are when batches are made of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.data.dataset import Split
from dlcourse.data.normalizer import TargetNormalizer
from dlcourse.data.transform import Transform
from dlcourse.data.windows import WindowSplit, overlapping


class Store:
    """Samples x and targets y of a split; the targets are on the device.

    The samples are on the device too (``resident``), unless they are more than half of a GPU's free memory: such are
    ``streamed``. On a CPU bytes and memory-mapped files stay what they are, and each batch reads its rows.

    ``targets`` scales the targets of a regression.

    Of a sequence the rows are all of its windows, which overlap; see :class:`~dlcourse.data.sampler.Sampler`.
    """

    def __init__(self, split: Split, transform: Transform, backend: Backend, targets: TargetNormalizer | None = None):
        self._backend, self._transform, self.dtype = backend, transform, transform.stored_dtype
        self.x: Any
        self.y: Any
        if isinstance(split, WindowSplit):
            windows = overlapping(backend.xp, backend.asarray(split.tokens), split.stride + 1)
            self.resident, self.streamed, self.x, self.y = True, False, windows[:, :-1], windows[:, 1:]
        else:
            budget, size = backend.data_budget_bytes(), split.x.size * self.dtype.itemsize
            self.resident = size <= budget if budget else not transform.of_bytes and not split.on_disk
            self.streamed = budget > 0 and not self.resident
            self.x = backend.asarray(transform.store(split.x)) if self.resident else split.x
            wide = accumulation_dtype(transform.dtype) if split.y.dtype.kind == "f" else None
            self.y = backend.asarray(split.y if targets is None else targets.apply(split.y), wide)
        self._take_y = _gather(self.y)
        self._take_x = _gather(self.x) if self.resident else self.read

    def read(self, rows: slice | np.ndarray) -> np.ndarray:
        """Samples that are not resident, on the host, as they would be stored."""
        return self._transform.store(self.x[rows])

    def fetch(self, rows: slice | Array, gather: bool) -> tuple[Array, Array | None, Array]:
        """Samples on the device, the rows of them that are still to be gathered if any are, and the targets.

        Args:
            rows: of the batch; an array on the device if the samples are there.
            gather: False: leave the choice of rows to the kernel that transforms them.
        """
        if isinstance(rows, slice):
            x = self.x[rows] if self.resident else self._backend.asarray(self.read(rows))
            return x, None, self.y[rows]
        if not self.resident:
            return self._backend.asarray(self.read(rows)), None, self._take_y(self._backend.asarray(rows))
        return (self._take_x(rows), None, self._take_y(rows)) if gather else (self.x, rows, self._take_y(rows))

    def targets(self, rows: slice | Array) -> Array:
        """The targets of these rows, on the device."""
        return self.y[rows] if isinstance(rows, slice) else self._take_y(rows)


def _gather(array: Array) -> Callable[[Array], Array]:
    """``array.__getitem__``, or what is faster for an array of rows."""
    # NumPy's take copies an array that is not contiguous, such as the windows of a text, before it takes anything.
    return partial(array.take, axis=0) if array.flags.c_contiguous else array.__getitem__
