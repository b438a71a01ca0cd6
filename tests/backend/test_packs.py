"""Kernels that read and write packs of 16 bytes: at any length and address they give what they give one by one."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend.cuda import pool
from dlcourse.backend.cuda.program import divisor, program, type_suffix
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.linear import relu_bias_grad
from dlcourse.backend.kernels.pool import PoolGeometry, max_pool2d, max_pool2d_grad

on_gpu = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="kernels of a GPU (--device cuda)")
TYPES = ["float32", "float64", "float16"]


def placed(values: np.ndarray, skip: int) -> Array:
    """On the device, ``skip`` elements behind an address that packs may have."""
    whole = backend.current().xp.empty(values.size + skip, dtype=values.dtype)
    whole[skip:] = backend.current().asarray(values.reshape(-1))
    return whole[skip:].reshape(values.shape)


@on_gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("skips", [(0, 0), (1, 0), (0, 1), (3, 3)])
@pytest.mark.parametrize("count", [1, 15, 16, 2000, 2061])
def test_an_array_of_any_length_at_any_address(dtype: str, skips: tuple[int, int], count: int, device: str) -> None:
    """In a grid so small that each thread has several rounds, as it has of large arrays."""
    x = np.random.default_rng(count).normal(size=count).astype(dtype)
    ours, y = placed(x, skips[0]), placed(np.zeros(count + 1, dtype), skips[1])
    kernel = program("activation")
    kernel.launch(f"relu_{type_suffix(ours)}", (2,), (32,), (ours, y, np.int64(count)))
    np.testing.assert_array_equal(backend.to_host(y), [*np.maximum(x, 0), 0])
    kernel.launch(f"add_{type_suffix(ours)}", (2,), (32,), (ours, ours, y, np.int64(count)))
    np.testing.assert_array_equal(backend.to_host(y), [*(x + x), 0])
    kernel.launch(f"relu_{type_suffix(ours)}", (2,), (32,), (ours, ours, np.int64(count)))
    np.testing.assert_array_equal(backend.to_host(ours), np.maximum(x, 0))


@on_gpu
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("skips", [(0, 0), (1, 0), (0, 1)])
def test_column_sums_at_any_address(dtype: str, skips: tuple[int, int], device: str) -> None:
    """By one block and by several, whose last adds the others' sums."""
    for rows in (3, 700):
        dout, y = (np.random.default_rng(seed).integers(-8, 9, (rows, 12)).astype(dtype) for seed in (0, 1))
        dz, dbias = relu_bias_grad(placed(dout, skips[0]), placed(y, skips[1]), None)
        np.testing.assert_array_equal(backend.to_host(dz), np.where(y > 0, dout, 0))
        np.testing.assert_array_equal(backend.to_host(dbias), np.where(y > 0, dout, 0).sum(0))


@on_gpu
@pytest.mark.parametrize("geometry", [PoolGeometry((2, 2), (2, 2)), PoolGeometry((3, 3), (2, 2), (1, 1))])
def test_images_of_too_many_elements_are_pooled_in_several_launches(geometry, device: str, monkeypatch) -> None:
    x = np.random.default_rng(0).normal(size=(5, 7, 6, 4)).astype("float32")
    expected, places = max_pool2d.reference(x, geometry)
    monkeypatch.setattr(pool, "MAX_ELEMENTS", 2 * 8 * 7 * 4)
    y, argmax = max_pool2d(placed(x, 0), geometry)
    np.testing.assert_array_equal(backend.to_host(y), expected)
    dx = max_pool2d_grad(y, argmax, x.shape, geometry)
    np.testing.assert_array_equal(backend.to_host(dx), max_pool2d_grad.reference(expected, places, x.shape, geometry))


@pytest.mark.parametrize("by", [1, 2, 3, 5, 6, 7, 31, 32, 641, 65_537, 2**30 + 1, 2**31 - 1])
def test_a_divisor_divides_all_numbers_below_two_to_the_31(by: int) -> None:
    made = int(divisor(by))
    factor, shift = made & 0xFFFFFFFF, made >> 32
    edges = [n for k in (1, 2, 3, 2**31 // by) for n in (k * by - 1, k * by)] + [0, 1, 2**31 - 1]
    for n in [n for n in (*edges, *range(0, 2**31, 98_765_431)) if 0 <= n < 2**31]:
        assert (n * factor >> 32) + n < 2**32 and (n * factor >> 32) + n >> shift == n // by
