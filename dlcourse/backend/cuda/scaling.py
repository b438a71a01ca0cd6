"""From 16-bit gradients to float32 and back to 16-bit weights on the GPU: a kernel each, the loss scale on the way."""

import numpy as np

from dlcourse.backend.cuda.program import override, packs_of, program, type_suffix
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import scaling as kernels


@override(kernels.unscale, half=True)
def unscale(half: Array, grad: Array, scaler: Array | None, add: bool) -> None:
    arguments = half, grad, scaler, np.int64(half.size), np.int32(add)
    program("scaling").launch_over(packs_of(grad), f"unscale_{type_suffix(half)}", *arguments)


@override(kernels.refresh_half_weights, half=True)
def refresh_half_weights(weight: Array, half: Array, scaler: Array | None) -> None:
    rule = map(np.float32, (kernels.GROWTH, kernels.BACKOFF, kernels.INTERVAL))
    arguments = weight, half, scaler, np.int64(half.size), *rule
    program("scaling").launch_over(packs_of(half), f"refresh_half_weights_{type_suffix(half)}", *arguments)
