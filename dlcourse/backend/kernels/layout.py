"""How arrays lie in memory, where a device would rather have it one way."""

from dlcourse.backend.device import Array
from dlcourse.backend.kernels import kernel


@kernel
def ready_to_slice(x: Array) -> Array:
    """x itself, or a copy of it whose slices along the first axis suit the device's kernels as they lie."""
    return x
