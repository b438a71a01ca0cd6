"""From raw samples to what a model takes: normalized, augmented, in the type of a run."""

from typing import Any

import numpy as np

from dlcourse.backend import Backend, random
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.images import WORDS, ImageSettings, alternated, image_batch
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.backend.random import purpose_hash
from dlcourse.config.data_sections import Augment
from dlcourse.data import color, erasing, mixing
from dlcourse.data.normalizer import Normalizer
from dlcourse.data.sampler import Sampler

BRIGHTEST = 255
"""Of an image in bytes: 1 where colors are changed."""


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
        image_size: height and width of the images that are mixed.
        classes: how many there are, where images are mixed.

    Attributes:
        of_bytes: whether samples are bytes, images.
        stored_dtype, out_dtype: the type of samples in a store, and in a batch.
        by_kernel: whether a kernel makes the batches of training, and gathers the samples on the way.
        shift_scale: what that normalizes with, on the device; None and None where there is nothing to do.
        key: seed and purpose of the augmentation's random words; None for no augmentation.
        flips: a random word for each sample, where flips alternate; None where they do not.
        jitter: how colors are changed; None where they are not.
        erasing: how rectangles are blanked; None where they are not.
        mixing: how images are mixed; None where they are not.
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
        image_size: tuple[int, ...] = (),
        classes: int = 0,
    ):
        self.normalizer, self.backend, self.dtype, self.augment = normalizer, backend, dtype, augment
        tokens, self.of_bytes = raw_dtype.kind == "i", raw_dtype == np.uint8
        self.stored_dtype = raw_dtype if tokens or self.of_bytes else dtype
        self.out_dtype = raw_dtype if tokens else dtype
        self.by_kernel = self.of_bytes or augment is not None
        self.key = None if augment is None else (seed & (2**64 - 1), purpose_hash("augment"))
        self.shift_scale: tuple[Array | None, Array | None] = None, None
        self.wide = accumulation_dtype(dtype)
        if self.of_bytes and not normalizer.identity:
            self.shift_scale = (
                backend.asarray(normalizer.shift, self.wide),
                backend.asarray(normalizer.scale, self.wide),
            )
        self._raw_dtype, self._seed, self._sampler = raw_dtype, seed, sampler
        how = augment or Augment()
        self.jitter = None if how.color_jitter is None else color.jitter(how.color_jitter, backend)
        self.erasing = erasing.erasing(how.erase, backend) if how.erase else None
        self.mixing: mixing.Mixing | None = None
        if how.mixup or how.cutmix:
            self.mixing = mixing.mixing(classes, how.mixup, how.cutmix, (image_size[0], image_size[1]), backend)
        self.flips: Array | None = None
        if sampler is not None and how.flip == "alternating":
            self.flips = random.words(sampler.samples, seed, "augment.flip", 0, backend)

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
        """A batch of stored samples on the device, augmented as in a step if one is given, but not mixed.

        Args:
            rows: which of the samples, where a kernel makes the batch; None for all.
            numbers: which samples of the split those are, by which flips alternate.
        """
        count = len(x) if rows is None else len(rows)
        augmented = step is not None and self.augment is not None
        if not augmented and not self.of_bytes:
            return x
        out = self.backend.xp.empty((count, *x.shape[1:]), self.dtype)
        if not augmented:
            image_batch(x, rows, None, self.settings(False), out)
        else:
            if self.jitter is not None:
                x, rows = x if rows is None else x[rows], None
            self.make(x, rows, step, None if self.flips is None else self.flips[numbers], out)
        return out

    def make(self, x: Array, rows: Array | None, step: Any, flips: Array | None, out: Array) -> None:
        """The augmented images of a step into ``out``.

        Args:
            x, rows: stored samples, and which of them; with a jitter those of the batch, and None.
            step: its number, which may lie on the device.
            flips: the words of the batch's samples, where flips alternate.
        """
        draws = self._words("augment", len(out) * WORDS, step).reshape(len(out), WORDS)
        if flips is not None and self._sampler is not None:
            draws[:, 0] = alternated(flips, getattr(step, "value", step) // self._sampler.steps_per_epoch)
        if self.jitter is not None:
            own = self._words("augment.color", len(out) * color.WORDS, step).reshape(len(out), color.WORDS)
            x = color.jittered(x.astype(self.wide) / BRIGHTEST, own, self.jitter) * BRIGHTEST
        image_batch(x, rows, draws, self.settings(True), out)
        if self.erasing is not None:
            own = self._words("augment.erase", len(out) * erasing.WORDS, step).reshape(len(out), erasing.WORDS)
            out[...] = erasing.erased(out, own, self.erasing)

    def mix(self, x: Array, y: Array, step: Any) -> tuple[Array, Array]:
        """The batch of a step with its images mixed; y becomes (n, classes)."""
        if self.mixing is None:
            return x, y
        return mixing.mixed(x, y, self._words("augment.mix", mixing.WORDS, step), self.mixing)

    def _words(self, purpose: str, count: int, step: Any) -> Array:
        return random.words(count, self._seed, purpose, step, self.backend)
