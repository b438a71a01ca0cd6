"""The batch of a training step from a data set on the device, chosen there too: nothing comes from the host."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.images import WORDS, ImageSettings, alternated, image_batch
from dlcourse.backend.kernels.random import philox_bits


@kernel(writes=("x_out", "y_out"))
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
    """x_i = augmented((samples[r_i] - shift) / scale), y_i = targets[r_i], r_i = order[(step % steps_per_epoch) n + i].

    Args:
        samples: (N, ...) bytes, or of the type of ``x_out``; images (N, H, W, C) where there is a ``key``. Samples, and
            targets, may overlap, as windows of a text do.
        targets: (N, ...), of the type of ``y_out``.
        order: int64, which samples this epoch has, one batch after another; None for all in their own order.
        step: of the training, which says where in the epoch the batch lies, and what is drawn.
        key: seed and hash of the purpose of the augmentation's random words; None for no augmentation.
        flips: (N,) uint32, a word for each of the samples, by which its flip alternates from epoch to epoch, see
            :func:`~dlcourse.backend.kernels.images.alternated`; None: the flip is drawn anew in each step.
        settings: as in :func:`~dlcourse.backend.kernels.images.image_batch`.
        x_out, y_out: (n, ...) each; written to.
    """
    count, step = len(x_out), int(step)
    start = step % steps_per_epoch * count
    xp = array_module(samples)
    rows = xp.arange(start, start + count) if order is None else order[start : start + count]
    y_out[...] = targets[rows]
    words = None
    if key is not None:
        words = xp.empty(count * WORDS, dtype=xp.uint32)
        philox_bits(words, *key, 0, step)
        words = words.reshape(count, WORDS)
        if flips is not None:
            words[:, 0] = alternated(flips[rows], step // steps_per_epoch)
    if words is None and samples.dtype == x_out.dtype and settings.shift is None:
        x_out[...] = samples[rows]
    else:
        image_batch(samples, rows, words, settings, x_out)
