"""From 16-bit gradients to float32 and back to 16-bit weights on the GPU: a kernel each, the loss scale on the way."""

import numpy as np

from dlcourse.backend.cuda.program import NULL, grid_for_packs, program, type_suffix
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import scaling as kernels

THREADS = 256


@override(kernels.unscale, "cuda", half=True)
def unscale(half: Array, grad: Array, scaler: Array | None, add: bool) -> None:
    arguments = half, grad, NULL if scaler is None else scaler, np.int64(half.size), np.int32(add)
    program("scaling").launch(f"unscale_{type_suffix(half)}", grid_for_packs(grad, THREADS), (THREADS,), arguments)


@override(kernels.refresh_half_weights, "cuda", half=True)
def refresh_half_weights(weight: Array, half: Array, scaler: Array | None) -> None:
    rule = map(np.float32, (kernels.GROWTH, kernels.BACKOFF, kernels.INTERVAL))
    arguments = weight, half, NULL if scaler is None else scaler, np.int64(half.size), *rule
    program("scaling").launch(
        f"refresh_half_weights_{type_suffix(half)}", grid_for_packs(half, THREADS), (THREADS,), arguments
    )
