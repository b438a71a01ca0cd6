"""Images that a net can learn, with nothing to download."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
from dlcourse.registry import register
from dlcourse.types import Classes, Count, Fraction, NonNegative, NonNegativeInt

_CHUNK = 1024  # images drawn at a time: the noise in floating point never exists for all
_AMPLITUDE = 50.0  # root mean square of a pattern at full contrast, in gray levels


@register("data", "synthetic_images")
@dataclass(frozen=True)
class SyntheticImages(Synthetic):
    """Images of smooth random patterns, one a class, shifted, in varying contrast, under noise, some as negatives.

    A negative's pixels stand on the other side of gray, so whatever a linear classifier learns of the positives is
    wrong for them: it stays near ``1 - negatives``, while one hidden layer suffices for both. Patterns are
    mirror-symmetric, so flipping an image leaves its class. The first n samples are the same whatever their number.

    Args:
        samples: number of images; class i mod C is that of image i.
        classes: number of classes, C.
        image_size: height and width in pixels.
        channels: 1 for gray, 3 for color.
        noise: standard deviation of every pixel, in gray levels of 0..255.
        negatives: the share of images that are negatives.
        shift: patterns are moved by up to so many pixels each way, round the edges.
    """

    task = "classification"

    samples: Count = 6000
    classes: Classes = 10
    image_size: Count = 32
    channels: Count = 3
    noise: NonNegative = 40.0
    negatives: Fraction = 0.3
    shift: NonNegativeInt = 3

    def sample(self, seed: int) -> Dataset:
        """Draw the images: x (N, H, W, C) uint8, y (N,)."""
        check_samples(self.samples, 8 + self.channels * self.image_size**2)
        check_samples(self.classes, 16 * self.channels * self.image_size**2, "classes")
        patterns = self._patterns(seed)
        labels = np.arange(self.samples, dtype=np.int64) % self.classes
        size = self.image_size
        x = np.empty((self.samples, size, size, self.channels), dtype=np.uint8)
        for chunk, start in enumerate(range(0, self.samples, _CHUNK)):
            chunk_rows = slice(start, start + _CHUNK)
            x[chunk_rows] = self._images(patterns, labels[chunk_rows], seed, chunk)
        return Dataset(
            x=x,
            y=labels,
            task=self.task,
            target_name="class",
            class_names=tuple(f"class {c}" for c in range(self.classes)),
        )

    def _images(self, patterns: np.ndarray, labels: np.ndarray, seed: int, chunk: int) -> np.ndarray:
        """One chunk of images, (n, H, W, C) uint8."""
        # Draws are made for a whole chunk also where fewer images are wanted, so that those wanted do not change.
        random = generator(seed, "synthetic_images.how", chunk)
        moves = random.integers(-self.shift, self.shift + 1, (2, _CHUNK))[:, : len(labels), None]
        contrast = random.uniform(0.6, 1.0, _CHUNK) * np.where(random.uniform(size=_CHUNK) < self.negatives, -1, 1)
        rows, columns = (np.arange(self.image_size) + moves) % self.image_size  # (n, H), (n, W)
        images = patterns[labels[:, None, None], rows[:, :, None], columns[:, None, :]]  # (n, H, W, C)
        images *= (_AMPLITUDE * contrast[: len(labels), None, None, None]).astype(np.float32)
        noise = generator(seed, "synthetic_images.noise", chunk).standard_normal(images.shape, dtype=np.float32)
        noise *= np.float32(self.noise)
        images += noise
        images += 128.5  # gray, and half a level to round
        return np.clip(images, 0, 255, out=images).astype(np.uint8)

    def _patterns(self, seed: int) -> np.ndarray:
        """Sums of a few low frequencies, mirror-symmetric, of mean 0 and mean square 1: (classes, H, W, C) float32."""
        random = generator(seed, "synthetic_images.patterns")
        angle = 2 * np.pi * np.arange(self.image_size) / self.image_size
        waves = np.arange(1, 4)
        down = np.concatenate([np.cos(np.outer(waves, angle)), np.sin(np.outer(waves, angle))])  # (6, H)
        across = np.cos(np.outer(np.arange(4), angle + angle[:2].sum() / 2))  # (4, W): even about the middle
        weight = random.standard_normal((self.classes, len(down), len(across), self.channels))
        patterns = np.einsum("kabc,ah,bw->khwc", weight, down, across)
        patterns -= patterns.mean(axis=(1, 2, 3), keepdims=True)
        power = np.sqrt((patterns**2).mean(axis=(1, 2, 3), keepdims=True))
        return (patterns / np.where(power == 0, 1, power)).astype(np.float32)
