"""Normalizing: features come to a common scale, constants do no harm, and the way back is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dlcourse import backend
from dlcourse.data import Normalizer
from dlcourse.data.rows import Rows

tables = arrays.arrays(
    np.float64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(-1e6, 1e6)
)


@given(tables)
def test_standardized_features_have_mean_0_and_deviation_1_or_are_constant(x):
    z = Normalizer.fit(x, "standardize").apply(x)
    assert np.isfinite(z).all()
    spread = np.ptp(x, axis=0)
    varied = spread > 1e-6
    np.testing.assert_allclose(z.mean(axis=0)[varied], 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=0)[varied], 1, rtol=1e-6)
    assert (z[:, spread == 0] == 0).all()


@given(tables)
def test_minmax_features_lie_in_0_to_1(x):
    z = Normalizer.fit(x, "minmax").apply(x)
    assert (z >= 0).all() and (z <= 1).all()
    varied = np.ptp(x, axis=0) > 1e-300
    np.testing.assert_allclose(z.max(axis=0)[varied], 1)


@given(tables, st.sampled_from(["none", "standardize", "mean_image", "minmax"]))
def test_shift_and_scale_lead_back(x, kind):
    normalizer = Normalizer.fit(x, kind)
    np.testing.assert_allclose(normalizer.shift + normalizer.scale * normalizer.apply(x), x, rtol=1e-9, atol=1e-6)


def test_images_are_normalized_by_channel_without_overflow():
    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)
    x[..., 1] = 255
    normalizer = Normalizer.fit(x, "standardize")
    np.testing.assert_allclose(normalizer.shift, x.reshape(-1, 3).mean(axis=0))
    np.testing.assert_allclose(normalizer.scale, [x[..., 0].std(), 1, x[..., 2].std()])


images = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)))


@given(images)
def test_statistics_of_each_pixel(x):
    wide = x.astype(np.float64)
    mean, std, same = wide.mean(axis=0), wide.std(axis=0), np.ptp(wide, axis=0) == 0
    centered, standard = Normalizer.fit(x, "mean_image"), Normalizer.fit(x, "per_pixel")
    np.testing.assert_allclose(centered.shift, mean, rtol=1e-14)
    assert (centered.scale == 1).all() and centered.shift.shape == x.shape[1:]
    np.testing.assert_allclose(standard.shift, mean, rtol=1e-14)
    np.testing.assert_allclose(standard.scale, np.where(same, 1, std), rtol=1e-12)


@given(images, st.sampled_from(["standardize", "per_pixel", "mean_image", "minmax"]))
def test_bytes_have_the_statistics_of_the_same_numbers(x, kind):
    ours, theirs = Normalizer.fit(x, kind), Normalizer.fit(x.astype(np.float64), kind)
    np.testing.assert_allclose(ours.shift, theirs.shift, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.scale, theirs.scale, rtol=1e-9)


def test_sums_over_many_bytes_are_exact():
    x = np.full((70_000, 4, 4, 1), 255, np.uint8)
    x[0] = 254  # one in 70,000: squares of float32 would lose it
    normalizer = Normalizer.fit(x, "per_pixel")
    share = 1 / 70_000
    np.testing.assert_allclose(normalizer.shift, 255 - share, rtol=1e-15)
    np.testing.assert_allclose(normalizer.scale, np.sqrt(share * (1 - share)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("kind", ["standardize", "per_pixel", "mean_image", "minmax"])
def test_chosen_rows_and_files_have_the_statistics_of_a_copy(tmp_path, kind, dtype):
    x = np.memmap(tmp_path / "x", dtype, "w+", shape=(600, 8, 8, 3))
    x[:] = np.random.default_rng(0).integers(0, 256, x.shape)
    chosen = np.arange(0, 600, 2)
    ours, theirs = Normalizer.fit(Rows(x, chosen), kind), Normalizer.fit(np.array(x[chosen]), kind)
    np.testing.assert_array_equal(ours.shift, theirs.shift)
    np.testing.assert_array_equal(ours.scale, theirs.scale)
    np.testing.assert_array_equal(ours.apply(Rows(x, chosen)), theirs.apply(np.array(x[chosen])))


def test_large_inputs_are_summed_in_chunks_to_the_same_result():
    x = np.random.default_rng(0).normal(1e4, 1, (40_000, 50)).astype(np.float32)
    normalizer = Normalizer.fit(x, "standardize")
    np.testing.assert_allclose(normalizer.shift, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(normalizer.scale, x.std(axis=0, dtype=np.float64), rtol=1e-9)


def test_a_spread_small_against_the_mean_survives_single_precision():
    x = 1e8 + np.arange(5.0)[:, None]
    z = Normalizer.fit(x, "standardize").apply(x, np.float32)
    np.testing.assert_allclose(z[:, 0], (np.arange(5) - 2) / np.sqrt(2), rtol=1e-6)


def test_none_changes_nothing_but_the_type():
    x = np.array([[0, 255], [3, 4]], dtype=np.uint8)
    normalizer = Normalizer.fit(x, "none")
    assert normalizer.identity
    np.testing.assert_array_equal(normalizer.apply(x, np.float32), x.astype(np.float32))


def test_the_state_makes_the_same_normalizer():
    normalizer = Normalizer.fit(np.random.default_rng(0).normal(size=(9, 3)), "standardize")
    state = normalizer.state_dict()
    again = Normalizer.from_state_dict(state)
    state["shift"][:] = 0
    np.testing.assert_array_equal(again.shift, normalizer.shift)
    np.testing.assert_array_equal(again.scale, normalizer.scale)


def test_device_arrays_stay_on_the_device(device):
    x = np.random.default_rng(0).normal(size=(9, 3))
    normalizer = Normalizer.fit(x, "standardize")
    z = normalizer.apply(backend.current().asarray(x), np.float32)
    assert backend.array_module(z) is backend.current().xp and z.dtype == np.float32
    np.testing.assert_allclose(backend.to_host(z), normalizer.apply(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "standardize", "per_pixel", "mean_image", "minmax"])
def test_inputs_are_not_changed(kind):
    x = np.arange(6.0).reshape(3, 2)
    Normalizer.fit(x, kind).apply(x)
    np.testing.assert_array_equal(x, np.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize("size", [1e160, 1e-200, 1e-300, 1e300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_of_any_size_come_to_a_deviation_of_1(size, dtype):
    x = np.random.default_rng(0).normal(size=(50, 2)) * [size, 1]
    z = Normalizer.fit(x, "standardize").apply(x, dtype)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-6)


def test_zeros_and_ones_of_categories_stay():
    """Of three in a thousand, the ones would be 18 deviations from the mean."""
    x = np.zeros((1000, 2))
    x[:, 0], x[:3, 1] = np.arange(1000), 1
    saved = Normalizer.fit(x, "standardize", np.array([False, True]))
    assert saved.shift.tolist() == [499.5, 0] and saved.scale[1] == 1
    assert Normalizer.fit(x, "standardize").apply(x).max() > 18
