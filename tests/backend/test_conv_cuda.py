"""Convolution on the GPU: what its kernels' choice of a variant must not change."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry

GEOMETRY = ConvGeometry(stride=(2, 1), padding=(1, 1))
CHANNELS = [(8, 12), (40, 36)]
"""In and out: gathered by the kernels of ``conv_tiles``, and by patches."""


def placed(values: np.ndarray, offset: int) -> object:
    """On the device, so many elements after the start of a buffer."""
    buffer = backend.current().asarray(np.zeros(values.size + offset, values.dtype))
    buffer[offset:] = backend.current().asarray(values.reshape(-1))
    return buffer[offset:].reshape(values.shape)


@pytest.mark.parametrize(("inputs", "outputs"), CHANNELS)
@pytest.mark.parametrize("which", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
def test_an_address_that_is_no_multiple_of_16_bytes_gives_the_same(
    which: str, inputs: int, outputs: int, device: str
) -> None:
    """Several elements are read at once where they lie so; sums have the same order either way."""
    if device == "cpu":
        pytest.skip("kernels of the GPU")
    rng = np.random.default_rng(0)
    shapes = (2, 9, 7, inputs), (outputs, 3, 3, inputs), (2, 5, 7, outputs)
    x, weight, dout = (rng.normal(size=shape).astype("f") for shape in shapes)

    def computed(offset: int) -> np.ndarray:
        one, two, three = (placed(each, offset) for each in (x, weight, dout))
        arguments = {
            "conv2d": (one, two, None, GEOMETRY),
            "conv2d_input_grad": (three, two, x.shape, GEOMETRY),
            "conv2d_weight_grad": (three, one, weight.shape, GEOMETRY, placed(weight, offset)),
        }[which]
        return backend.to_host(getattr(kernels, which)(*arguments))

    # A product's library may choose another algorithm for another address.
    np.testing.assert_allclose(
        computed(1), computed(0), rtol=0 if outputs < 33 else 1e-5, atol=0 if outputs < 33 else 1e-5
    )


@pytest.mark.parametrize("which", ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"])
def test_patches_of_some_images_at_a_time_give_the_same(which: str, device: str, monkeypatch) -> None:
    if device == "cpu":
        pytest.skip("kernels of the GPU")
    from dlcourse.backend.cuda import conv

    rng = np.random.default_rng(0)
    x, weight, dout = (rng.normal(size=s).astype("f") for s in ((5, 9, 7, 40), (36, 3, 3, 40), (5, 5, 7, 36)))

    def computed() -> np.ndarray:
        one, two, three = (placed(each, 0) for each in (x, weight, dout))
        arguments = {
            "conv2d": (one, two, None, GEOMETRY),
            "conv2d_input_grad": (three, two, x.shape, GEOMETRY),
            "conv2d_weight_grad": (three, one, weight.shape, GEOMETRY, placed(weight, 0)),
        }[which]
        return backend.to_host(getattr(kernels, which)(*arguments))

    whole = computed()
    monkeypatch.setattr(conv, "PATCH_BYTES", 2 * 5 * 7 * 9 * 40 * 4)
    np.testing.assert_allclose(computed(), whole, rtol=1e-4, atol=1e-4)
