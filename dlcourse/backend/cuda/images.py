"""A batch of images on the GPU, of a set that lies there as bytes: one kernel gathers, moves, normalizes, casts."""

import math

import numpy as np

from dlcourse.backend.cuda.program import override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import images as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.images import ImageSettings
from dlcourse.backend.precision import accumulation_dtype

MAX_THREADS = 1024
MAX_SIZE = 2**31 - 2**14
"""Elements of a sample, which the kernels count in 32 bits, some of each thread's ahead."""


@override(kernels.image_batch, half=True)
def image_batch(images: Array, rows: Array | None, words: Array | None, settings: ImageSettings, out: Array) -> None:
    name, size = type_suffix(out), math.prod(out.shape[1:])
    kind = "bytes" if images.dtype == np.uint8 else "same" if images.dtype == out.dtype else None
    require(kind is not None and out.flags.c_contiguous and images.flags.c_contiguous and size <= MAX_SIZE)
    xp = array_module(out)
    period, (shift, scale) = affine(settings, out, words is not None)
    rows = None if rows is None else xp.ascontiguousarray(rows.astype(xp.int64, copy=False))
    arrays = images, rows, shift, scale, words, out
    height, width, channels = out.shape[1:] if words is not None else (1, 1, 1)
    numbers = map(np.int32, (size, period, height, width, channels, *settings[2:]))
    program("images").launch(f"image_batch_{kind}_{name}", (len(out),), threads_for(size, 4), (*arrays, *numbers))


def threads_for(count: int, each: int) -> tuple[int]:
    """The block for a sample of so many elements, some of them a thread's."""
    return (max(32, min(MAX_THREADS, -(-count // (32 * each)) * 32)),)


def affine(settings: ImageSettings, out: Array, augmented: bool) -> tuple[int, tuple]:
    """Shift and scale as the kernels take them, flat: after how many elements of an image they repeat, and the two.

    Those of augmented images repeat every element, every pixel or never.
    """
    if settings.shift is None:
        return 1, (None, None)
    pair = [_period(array, out) for array in settings[:2]]
    if pair[0].size != pair[1].size or (augmented and pair[0].size not in (1, out.shape[-1])):
        pair = [_whole(array, out) for array in settings[:2]]
    return max(1, pair[0].size), tuple(pair)


def _period(array: Array, out: Array) -> Array:
    """What broadcasts against an image as a flat array that repeats along it, where it does; else filled up."""
    shape = array.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    if shape == out.shape[out.ndim - len(shape) :] and array.dtype == accumulation_dtype(out.dtype):
        return array_module(out).ascontiguousarray(array).reshape(-1)
    return _whole(array, out)


def _whole(array: Array, out: Array) -> Array:
    xp = array_module(out)
    return xp.ascontiguousarray(xp.broadcast_to(array, out.shape[1:]).astype(accumulation_dtype(out.dtype))).reshape(-1)
