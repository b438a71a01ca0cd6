"""From raw samples to what a model takes: normalized, augmented, in the type of a run."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.kernels.images import WORDS, image_batch
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.backend.random import purpose_hash, words
from dlcourse.config.sections import Augment
from dlcourse.data.normalizer import Normalizer

Array = Any
"""``numpy.ndarray`` or ``cupy.ndarray``."""


@dataclass(frozen=True, eq=False)
class Transform:
    """Bytes are normalized batch by batch, by the kernel that augments; other numbers once, as they are stored.

    Class labels and tokens in int64 stay as they are.
    """

    normalizer: Normalizer
    backend: Backend
    raw_dtype: np.dtype
    """The type of a split's samples."""
    dtype: np.dtype
    """The floating-point type of a run."""
    seed: int
    augment: Augment | None = None

    @cached_property
    def of_bytes(self) -> bool:
        """Whether samples are bytes: images."""
        return self.raw_dtype == np.uint8

    @cached_property
    def by_kernel(self) -> bool:
        """Whether a kernel makes the batches of training, and gathers the samples on the way."""
        return self.of_bytes or self.augment is not None

    @property
    def stores_raw(self) -> bool:
        """Whether samples are stored as they are: bytes, and tokens."""
        return self.of_bytes or self.raw_dtype.kind == "i"

    @property
    def stored_dtype(self) -> np.dtype:
        """The type of samples before a batch is made of them."""
        return self.raw_dtype if self.stores_raw else self.dtype

    @property
    def out_dtype(self) -> np.dtype:
        """The type of a batch's samples."""
        return self.raw_dtype if self.raw_dtype.kind == "i" else self.dtype

    @cached_property
    def shift_scale(self) -> tuple[Array | None, Array | None]:
        """What :func:`image_batch` normalizes with, on the device; None and None where there is nothing to do."""
        if not self.of_bytes or self.normalizer.identity:
            return None, None
        wide = accumulation_dtype(self.dtype)
        return tuple(self.backend.asarray(a, wide) for a in (self.normalizer.shift, self.normalizer.scale))

    @property
    def draw(self) -> tuple[int, int] | None:
        """Seed and purpose of the augmentation's random words; None for no augmentation."""
        return None if self.augment is None else (self.seed & (2**64 - 1), purpose_hash("augment"))

    def store(self, x: Any) -> np.ndarray:
        """Raw samples as they are stored, on the host."""
        return np.asarray(x) if self.stores_raw else self.normalizer.apply(x, self.dtype)

    def __call__(self, x: Array, rows: Array | None, step: int | None) -> Array:
        """A batch of stored samples on the device, augmented as in a step if one is given.

        Args:
            rows: which of the samples, where a kernel makes the batch; None for all.
        """
        count, draws, how = len(x) if rows is None else len(rows), None, Augment()
        if step is not None and self.augment is not None:
            draws = words(count * WORDS, self.seed, "augment", step, self.backend).reshape(count, WORDS)
            how = self.augment
        elif not self.of_bytes:
            return x
        out = self.backend.xp.empty((count, *x.shape[1:]), self.dtype)
        image_batch(x, rows, *self.shift_scale, draws, how.flip, how.crop, how.cutout, out)
        return out
