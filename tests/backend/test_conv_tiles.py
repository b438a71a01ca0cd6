"""Convolution by the kernels that gather patches themselves: what their choice of a variant must not change."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry

GEOMETRY = ConvGeometry(stride=(2, 1), padding=(1, 1))
SHAPE, WEIGHT, OUT = (2, 9, 7, 8), (12, 3, 3, 8), (2, 5, 7, 12)


def placed(values: np.ndarray, offset: int) -> object:
    """On the device, so many elements after the start of a buffer."""
    buffer = backend.current().asarray(np.zeros(values.size + offset, values.dtype))
    buffer[offset:] = backend.current().asarray(values.reshape(-1))
    return buffer[offset:].reshape(values.shape)


@pytest.mark.parametrize("which", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
def test_an_address_that_is_no_multiple_of_16_bytes_gives_the_same_bits(which: str, device: str) -> None:
    """Four elements are read at once where they lie so; sums have the same order either way."""
    if device == "cpu":
        pytest.skip("kernels of the GPU")
    rng = np.random.default_rng(0)
    x, weight, dout = (rng.normal(size=shape).astype("f") for shape in (SHAPE, WEIGHT, OUT))

    def computed(offset: int) -> np.ndarray:
        one, two, three = (placed(each, offset) for each in (x, weight, dout))
        arguments = {
            "conv2d": (one, two, None, GEOMETRY),
            "conv2d_input_grad": (three, two, SHAPE, GEOMETRY),
            "conv2d_weight_grad": (three, one, WEIGHT, GEOMETRY, placed(weight, offset)),
        }[which]
        return backend.to_host(getattr(kernels, which)(*arguments))

    np.testing.assert_array_equal(computed(1), computed(0))
