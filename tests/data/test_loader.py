"""Batches: a function of (seed, step) alone, every sample once an epoch, in the types that training needs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse import backend
from dlcourse.data import Loader, Normalizer, Part


def part(samples: int) -> Part:
    x = np.arange(samples, dtype=np.float64)[:, None]
    return Part(x, 10 * x, np.arange(samples))


def loader(samples: int, batch_size: int | str, seed: int = 0, shuffle: bool = True) -> Loader:
    data = part(samples)
    return Loader(data, Normalizer.fit(data.x, "none"), backend.current(), np.float64, batch_size, seed, shuffle)


def epoch(it: Loader, number: int) -> np.ndarray:
    steps = range(number * it.steps_per_epoch, (number + 1) * it.steps_per_epoch)
    return np.concatenate([it.batch(step)[0][:, 0] for step in steps])


@given(st.integers(1, 60), st.one_of(st.integers(1, 70), st.just("full")), st.booleans(), st.integers(0, 3))
def test_an_epoch_holds_every_sample_once_with_a_short_last_batch(samples, batch_size, shuffle, number):
    it = loader(samples, batch_size, shuffle=shuffle)
    assert sorted(epoch(it, number)) == list(range(samples))
    size = samples if batch_size == "full" else min(batch_size, samples)
    sizes = [len(it.batch(step)[0]) for step in range(it.steps_per_epoch)]
    assert sizes == [size] * (samples // size) + [samples % size] * (samples % size > 0)


@given(st.integers(0, 5), st.lists(st.integers(0, 40), min_size=1, max_size=10))
def test_a_batch_depends_on_seed_and_step_alone(seed, steps):
    it = loader(23, 5, seed)
    for step in steps:
        x, y = it.batch(step)
        np.testing.assert_array_equal(x, loader(23, 5, seed).batch(step)[0])
        np.testing.assert_array_equal(y, 10 * x)


def test_epochs_and_seeds_differ_in_order():
    it = loader(50, 8)
    assert (epoch(it, 0) != epoch(it, 1)).any()
    assert (epoch(it, 0) != epoch(loader(50, 8, seed=1), 0)).any()


@pytest.mark.parametrize("it", [loader(20, 6, shuffle=False), loader(20, "full"), loader(20, 200)])
def test_without_shuffling_and_in_one_full_batch_the_order_is_the_parts_own(it):
    np.testing.assert_array_equal(epoch(it, 3), np.arange(20))


def test_evaluation_goes_through_the_part_in_order():
    it = loader(20, 6)
    batches = list(it.batches())
    assert [len(x) for x, _ in batches] == [6, 6, 6, 2]
    np.testing.assert_array_equal(np.concatenate([x[:, 0] for x, _ in batches]), np.arange(20))


def test_other_batches_of_the_same_arrays_for_evaluation():
    it = loader(20, 6)
    wide = it.in_batches_of(16)
    assert np.shares_memory(wide._x, it._x)
    assert [len(x) for x, _ in wide.batches()] == [16, 4]
    np.testing.assert_array_equal(epoch(wide, 0), np.arange(20))
    assert it.steps_per_epoch == 4 and (epoch(it, 0) != np.arange(20)).any()


def test_types_on_the_device(device):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 10)
    data = Part(random.normal(5, 3, (10, 4)), labels, np.arange(10))
    normalizer = Normalizer.fit(data.x, "standardize")
    x, y = Loader(data, normalizer, backend.current(), np.float32, 4, 0).batch(1)
    assert backend.array_module(x) is backend.array_module(y) is backend.current().xp
    assert x.dtype == np.float32 and y.dtype == np.int64


def test_uint8_pictures_stay_bytes_on_the_device_and_come_normalised(device):
    random = np.random.default_rng(0)
    data = Part(random.integers(0, 256, (10, 4, 4, 3)).astype(np.uint8), np.arange(10), np.arange(10))
    normalizer = Normalizer.fit(data.x, "standardize")
    it = Loader(data, normalizer, backend.current(), np.float32, 4, 0)
    assert it._x.dtype == np.uint8
    for step in range(5):
        x, y = (backend.to_host(array) for array in it.batch(step))
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, normalizer.apply(data.x[y], np.float32))
    whole = np.concatenate([backend.to_host(x) for x, _ in it.batches()])
    np.testing.assert_array_equal(whole, normalizer.apply(data.x, np.float32))


def test_devices_draw_the_same_order(device):
    data = part(30)
    normalizer = Normalizer.fit(data.x, "none")
    here = Loader(data, normalizer, backend.current(), np.float32, 7, 5)
    there = Loader(data, normalizer, backend.get("cpu"), np.float32, 7, 5)
    for step in (0, 4, 5, 11):
        np.testing.assert_array_equal(backend.to_host(here.batch(step)[0]), there.batch(step)[0])
