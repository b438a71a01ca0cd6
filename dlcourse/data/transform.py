"""From raw samples to what a model takes: normalized, augmented, in the type of a run."""

from typing import Any

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.images import WORDS, ImageSettings, alternated, image_batch
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.backend.random import purpose_hash, words
from dlcourse.config.sections import Augment
from dlcourse.data.normalizer import Normalizer
from dlcourse.data.sampler import Sampler


class Transform:
    """Bytes are normalized batch by batch, by the kernel that augments; other numbers once, as they are stored.

    Class labels and tokens in int64 stay as they are.

    Args:
        normalizer: fitted on the training split.
        backend: the device.
        raw_dtype: the type of a split's samples.
        dtype: the floating-point type of a run.
        seed: draws the augmentation.
        augment: what happens to the images of a training step.
        sampler: knows how many samples and steps an epoch has.

    Attributes:
        of_bytes: whether samples are bytes, images.
        stored_dtype, out_dtype: the type of samples in a store, and in a batch.
        by_kernel: whether a kernel makes the batches of training, and gathers the samples on the way.
        shift_scale: what that normalizes with, on the device; None and None where there is nothing to do.
        key: seed and purpose of the augmentation's random words; None for no augmentation.
        flips: a random word for each sample, where flips alternate; None where they do not.
    """

    def __init__(
        self,
        normalizer: Normalizer,
        backend: Backend,
        raw_dtype: np.dtype,
        dtype: np.dtype,
        seed: int,
        augment: Augment | None = None,
        sampler: Sampler | None = None,
    ):
        self.normalizer, self.backend, self.dtype, self.augment = normalizer, backend, dtype, augment
        tokens, self.of_bytes = raw_dtype.kind == "i", raw_dtype == np.uint8
        self.stored_dtype = raw_dtype if tokens or self.of_bytes else dtype
        self.out_dtype = raw_dtype if tokens else dtype
        self.by_kernel = self.of_bytes or augment is not None
        self.key = None if augment is None else (seed & (2**64 - 1), purpose_hash("augment"))
        self.shift_scale: tuple[Array | None, Array | None] = None, None
        if self.of_bytes and not normalizer.identity:
            wide = accumulation_dtype(dtype)
            self.shift_scale = backend.asarray(normalizer.shift, wide), backend.asarray(normalizer.scale, wide)
        self._raw_dtype, self._seed, self._sampler = raw_dtype, seed, sampler
        self.flips: Array | None = None
        if sampler is not None and augment is not None and augment.flip == "alternating":
            self.flips = words(sampler.samples, seed, "augment.flip", 0, backend)

    def for_evaluation(self) -> "Transform":
        """The same without augmentation."""
        return Transform(self.normalizer, self.backend, self._raw_dtype, self.dtype, self._seed)

    def settings(self, augmented: bool) -> ImageSettings:
        """How a kernel makes a batch."""
        how = self.augment if augmented and self.augment else Augment()
        return ImageSettings(*self.shift_scale, bool(how.flip), how.crop, how.cutout, how.border == "reflect")

    def store(self, x: Any) -> np.ndarray:
        """Raw samples as they are stored, on the host."""
        raw = self.stored_dtype != self.dtype
        return np.asarray(x) if raw else self.normalizer.apply(x, self.dtype)

    def __call__(self, x: Array, rows: Array | None, step: int | None, numbers: slice | Array = slice(None)) -> Array:
        """A batch of stored samples on the device, augmented as in a step if one is given.

        Args:
            rows: which of the samples, where a kernel makes the batch; None for all.
            numbers: which samples of the split those are, by which flips alternate.
        """
        count, draws = len(x) if rows is None else len(rows), None
        if step is not None and self.augment is not None:
            draws = words(count * WORDS, self._seed, "augment", step, self.backend).reshape(count, WORDS)
            if self.flips is not None and self._sampler is not None:
                draws[:, 0] = alternated(self.flips[numbers], step // self._sampler.steps_per_epoch)
        elif not self.of_bytes:
            return x
        out = self.backend.xp.empty((count, *x.shape[1:]), self.dtype)
        image_batch(x, rows, draws, self.settings(draws is not None), out)
        return out
