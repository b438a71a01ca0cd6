"""The batch of a training step on the GPU: one kernel, from the step counter to augmented images and their labels."""

import math

import numpy as np

from dlcourse.backend.cuda.images import MAX_SIZE, affine, threads_for
from dlcourse.backend.cuda.program import override, program, step_number, type_suffix
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import device_batch as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.images import ImageSettings


@override(kernels.device_batch, half=True)
def device_batch(
    samples: Array,
    targets: Array,
    order: Array | None,
    step: int,
    steps_per_epoch: int,
    key: tuple[int, int] | None,
    flips: Array | None,
    settings: ImageSettings,
    x_out: Array,
    y_out: Array,
) -> None:
    x, y = x_out, y_out
    arrays = [array for array in (samples, targets, order, x, y) if array is not None]
    kind = "bytes" if samples.dtype == np.uint8 else "same" if samples.dtype == x.dtype else None
    words, odd = y.nbytes // 2 // max(1, len(y)), (x.nbytes | y.nbytes) % 2
    plain = settings.shift is None and key is None and kind == "same"
    dense = [_dense_rows(a) if plain or a is targets else a.flags.c_contiguous for a in arrays]
    launch, count, size = program("device_batch").launch, len(x), math.prod(x.shape[1:])
    require(kind is not None and targets.dtype == y.dtype and not odd and all(dense) and size <= MAX_SIZE)
    if not count:
        return
    choice = order, *step_number(step), np.int64(steps_per_epoch)
    if plain:
        sizes = np.int32(x.nbytes // 2 // count), np.int32(words)
        given = (samples, targets, *choice, x, y, *sizes, _row_stride(samples), _row_stride(targets))
        launch("device_batch_rows", (count,), threads_for(x.nbytes // count, 16), given)
        return
    period, pair = affine(settings, x, key is not None)
    height, width, channels = x.shape[1:] if key is not None else (1, 1, 1)
    numbers = map(np.int32, (words, size, period, height, width, channels, key is not None))
    drawn = map(np.uint64, key or (0, 0))
    augment = map(np.int32, settings[2:])
    arguments = samples, targets, *choice, *pair, x, y, *numbers, _row_stride(targets), *drawn, flips, *augment
    launch(f"device_batch_{kind}_{type_suffix(x)}", (count,), threads_for(size, 4), arguments)


def _dense_rows(array: Array) -> bool:
    """Whether each sample's numbers lie together, wherever the samples do."""
    return array[:1].flags.c_contiguous


def _row_stride(array: Array) -> np.int64:
    """From one sample to the next, in units of 16 bits."""
    return np.int64(array.strides[0] // 2)
