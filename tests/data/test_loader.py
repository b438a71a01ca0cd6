"""Batches: a function of (seed, step) alone, every sample once an epoch, in the types that training needs."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse import backend
from dlcourse.backend.kernels.images import WORDS, moves
from dlcourse.backend.random import words
from dlcourse.config.data_sections import Augment
from dlcourse.data import Loader, Normalizer, Split, transform
from dlcourse.data import loader as loading
from dlcourse.data.rows import Rows


def split(samples: int) -> Split:
    x = np.arange(samples, dtype=np.float64)[:, None]
    return Split(x, 10 * x, np.arange(samples))


def loader(samples: int, batch_size: int | str, seed: int = 0, shuffle: bool = True) -> Loader:
    data = split(samples)
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
    assert np.shares_memory(wide._store.x, it._store.x)
    assert [len(x) for x, _ in wide.batches()] == [16, 4]
    np.testing.assert_array_equal(epoch(wide, 0), np.arange(20))
    assert it.steps_per_epoch == 4 and (epoch(it, 0) != np.arange(20)).any()


def test_types_on_the_device(device):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 10)
    data = Split(random.normal(5, 3, (10, 4)), labels, np.arange(10))
    normalizer = Normalizer.fit(data.x, "standardize")
    x, y = Loader(data, normalizer, backend.current(), np.float32, 4, 0).batch(1)
    assert backend.array_module(x) is backend.array_module(y) is backend.current().xp
    assert x.dtype == np.float32 and y.dtype == np.int64


def test_uint8_images_stay_bytes_on_the_device_and_come_normalized(device):
    random = np.random.default_rng(0)
    data = Split(random.integers(0, 256, (10, 4, 4, 3)).astype(np.uint8), np.arange(10), np.arange(10))
    normalizer = Normalizer.fit(data.x, "standardize")
    it = Loader(data, normalizer, backend.current(), np.float32, 4, 0)
    assert it._store.x.dtype == np.uint8
    for step in range(5):
        x, y = (backend.to_host(array) for array in it.batch(step))
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, normalizer.apply(data.x[y], np.float32))
    whole = np.concatenate([backend.to_host(x) for x, _ in it.batches()])
    np.testing.assert_array_equal(whole, normalizer.apply(data.x, np.float32))


def test_devices_draw_the_same_order(device):
    data = split(30)
    normalizer = Normalizer.fit(data.x, "none")
    here = Loader(data, normalizer, backend.current(), np.float32, 7, 5)
    there = Loader(data, normalizer, backend.get("cpu"), np.float32, 7, 5)
    for step in (0, 4, 5, 11):
        np.testing.assert_array_equal(backend.to_host(here.batch(step)[0]), there.batch(step)[0])


def images(samples: int = 20, height: int = 6, width: int = 8) -> Split:
    x = np.random.default_rng(1).integers(0, 256, (samples, height, width, 3)).astype(np.uint8)
    return Split(x, np.arange(samples), np.arange(samples))


def image_loader(batch_size: int | str = 6, augment: Augment | None = None, kind: str = "standardize", **how) -> Loader:
    data = how.pop("data", None) or images()
    normalizer = Normalizer.fit(data.x, kind)
    return Loader(
        data, normalizer, backend.current(), np.float32, batch_size, how.pop("seed", 0), augment=augment, **how
    )


def host(batch: tuple) -> tuple[np.ndarray, np.ndarray]:
    return backend.to_host(batch[0]), backend.to_host(batch[1])


AUGMENT = Augment(flip=True, crop=2, cutout=3)
ALTERNATING = Augment(flip="alternating", crop=2, border="reflect")


def augmented(
    image: np.ndarray, flip: bool, down: int, across: int, crop: int, hole: tuple[int, int, int], reflect: bool
):
    """One image, the long way: mirror, pad, cut a window, blank a square."""
    image = image[:, ::-1] if flip else image
    height, width, _ = image.shape
    padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), mode="reflect" if reflect else "constant")
    window = padded[crop + down :, crop + across :][:height, :width].copy()
    y, x, side = hole
    for row in range(y - side // 2, y - side // 2 + side):
        for column in range(x - side // 2, x - side // 2 + side):
            if 0 <= row < height and 0 <= column < width:
                window[row, column] = 0
    return window


BORDERS = st.sampled_from(["zero", "reflect"])


@given(
    st.builds(Augment, st.booleans(), st.integers(0, 4), st.integers(0, 5), BORDERS),
    st.integers(0, 30),
    st.integers(0, 3),
)
def test_augmented_batches_are_what_the_words_of_their_step_say(how, step, seed):
    it = image_loader(augment=how, seed=seed)
    x, y = it.batch(step)
    draws = words(len(x) * WORDS, seed, "augment", step).reshape(-1, WORDS)
    flips, down, across, hole_y, hole_x = moves(draws, 6, 8, how.flip, how.crop)
    assert (abs(down[:, 0]) <= how.crop).all() and (abs(across[:, 0]) <= how.crop).all()
    plain, labels = image_loader(seed=seed).batch(step)
    np.testing.assert_array_equal(y, labels)
    for i, image in enumerate(plain):
        hole = (int(hole_y[i]), int(hole_x[i]), how.cutout)
        moved = bool(flips[i]), int(down[i, 0]), int(across[i, 0])
        expected = augmented(image, *moved, how.crop, hole, how.border == "reflect")
        np.testing.assert_array_equal(x[i], expected)


def test_alternating_flips_are_drawn_once_and_undone_in_every_other_epoch(device):
    how = Augment(flip="alternating")
    varied, plain = image_loader(7, how, seed=2), image_loader(7, seed=2)
    first, again = {}, {}
    for epoch in range(4):
        for step in range(epoch * varied.steps_per_epoch, (epoch + 1) * varied.steps_per_epoch):
            order = plain._sampler.rows(step)
            ours, theirs = host(varied.batch(step))[0], host(plain.batch(step))[0]
            for row, image, original in zip(order, ours, theirs, strict=True):
                mirrored = (image == original[:, ::-1]).all()
                assert mirrored or (image == original).all()
                (first if epoch == 0 else again)[row] = bool(mirrored)
                assert epoch == 0 or again[row] == (first[row] ^ bool(epoch % 2))
    assert 0 < sum(first.values()) < len(first)


def test_every_way_to_augment_is_drawn_and_as_often_as_it_should_be():
    draws = words(4000 * WORDS, 3, "augment", 7).reshape(-1, WORDS)
    flips, down, across, hole_y, hole_x = moves(draws, 6, 8, True, 2)
    for values, kinds in ((flips, 2), (down[:, 0], 5), (across[:, 0], 5), (hole_y, 6), (hole_x, 8)):
        found, counts = np.unique(values, return_counts=True)
        assert len(found) == kinds
        assert abs(counts - 4000 / kinds).max() < 5 * (4000 / kinds) ** 0.5
    # What one number says must tell nothing about another.
    assert abs(np.corrcoef([flips, down[:, 0], across[:, 0], hole_y, hole_x]) - np.eye(5)).max() < 0.08


def test_steps_and_seeds_are_augmented_differently_and_always_in_the_same_way():
    full = Augment(crop=3)
    first = image_loader("full", full).batch(0)[0]
    np.testing.assert_array_equal(first, image_loader("full", full).batch(0)[0])
    assert (first != image_loader("full", full).batch(1)[0]).any()
    assert (first != image_loader("full", full, seed=1).batch(0)[0]).any()


def test_what_is_evaluated_is_not_augmented():
    plain, varied = image_loader(), image_loader(augment=AUGMENT)
    assert any((varied.batch(step)[0] != plain.batch(step)[0]).any() for step in range(4))
    for ours, theirs in [(varied, plain), (varied.in_batches_of(7), plain.in_batches_of(7))]:
        for a, b in zip(ours.batches(), theirs.batches(), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(varied.in_batches_of(7).batch(1)[0], plain.in_batches_of(7).batch(1)[0])


def test_augmenting_nothing_is_no_augmentation():
    np.testing.assert_array_equal(image_loader(augment=Augment()).batch(3)[0], image_loader().batch(3)[0])


def test_images_in_floating_point_are_augmented_as_bytes_are():
    data = images()
    floats = Split(data.x.astype(np.float64), data.y, data.index)
    for step in range(4):
        ours, theirs = (image_loader(augment=AUGMENT, data=split).batch(step)[0] for split in (floats, data))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("augment", [AUGMENT, ALTERNATING])
def test_devices_augment_alike(augment, device):
    here = image_loader(augment=augment)
    with backend.use("cpu"):
        there = image_loader(augment=augment)
    for step in (0, 3, 5):
        np.testing.assert_allclose(host(here.batch(step))[0], there.batch(step)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "standardize", "per_pixel", "mean_image", "minmax"])
def test_each_normalization_of_a_batch_is_that_of_the_whole(kind, device):
    data = images()
    it = image_loader(kind=kind)
    for step in range(4):
        x, y = host(it.batch(step))
        expected = Normalizer.fit(data.x, kind).apply(data.x[y], np.float32)
        np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6)
    if kind == "none":
        assert x.dtype == np.float32 and x.max() > 200


def test_a_full_batch_is_made_once_unless_it_is_augmented():
    it = image_loader("full")
    assert it.batch(0)[0] is it.batch(5)[0]
    assert it.in_batches_of(20).batch(0)[0] is it.batch(0)[0]
    assert it.in_batches_of(7).batch(0)[0].shape[0] == 7
    varied = image_loader("full", AUGMENT)
    varied.batch(0)
    np.testing.assert_array_equal(varied.in_batches_of(20).batch(0)[0], it.batch(0)[0])


@pytest.fixture
def in_the_background(monkeypatch):
    """Loaders of images make even small batches in a thread, however few cores there are."""
    monkeypatch.setattr(loading, "MIN_PREFETCH_SIZE", 1)
    monkeypatch.setattr(loading, "cores", lambda: 2)


@pytest.mark.parametrize("augment", [None, AUGMENT])
@pytest.mark.parametrize("steps", [range(12), [0, 1, 2, 7, 8, 3, 3, 4, 0, 11]])
def test_batches_made_in_the_background_are_the_same(in_the_background, monkeypatch, augment, steps):
    threaded = image_loader(augment=augment)
    assert threaded._prefetcher is not None
    monkeypatch.setattr(loading, "cores", lambda: 1)
    plain = image_loader(augment=augment)
    assert plain._prefetcher is None
    for step in steps:
        for ours, theirs in zip(threaded.batch(step), plain.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_batch_that_is_kept_stays_as_it_is(in_the_background):
    it = image_loader(augment=AUGMENT)
    saved = [it.batch(step)[0] for step in range(8)]
    again = image_loader(augment=AUGMENT)
    for step, x in enumerate(saved):
        np.testing.assert_array_equal(x, again.batch(step)[0])


def test_the_thread_ends_with_the_loader(in_the_background):
    before = set(threading.enumerate())
    it = image_loader()
    it.batch(0)
    (thread,) = (t for t in set(threading.enumerate()) - before if t.name.startswith("dlcourse-loader"))
    gc.disable()  # so that the end needs no garbage collection
    try:
        it._prefetcher._coming.result()
        del it
        thread.join(timeout=10)
        assert not thread.is_alive()
    finally:
        gc.enable()


def test_what_goes_wrong_in_the_background_is_raised_where_the_batch_is_asked_for(in_the_background, monkeypatch):
    it = image_loader()
    it.batch(0)
    it._prefetcher._coming.result()

    def fail(*arguments):
        raise OSError("the disk is gone")

    monkeypatch.setattr(transform, "image_batch", fail)
    it.batch(1)  # made before
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            it.batch(2)
    monkeypatch.undo()
    monkeypatch.setattr(loading, "MIN_PREFETCH_SIZE", 1)
    np.testing.assert_array_equal(it.batch(2)[1], image_loader().batch(2)[1])


def test_evaluation_has_all_samples_where_the_only_training_batch_has_not():
    data = split(10)
    it = Loader(data, Normalizer.fit(data.x, "none"), backend.current(), np.float64, 8, 0, False, drop_last=True)
    assert [len(it.batch(step)[0]) for step in range(2)] == [8, 8]
    for each in (it, it.in_batches_of(8)):
        np.testing.assert_array_equal(np.concatenate([x[:, 0] for x, _ in each.batches()]), np.arange(10))


def test_without_a_thread_batches_are_made_where_they_are_asked_for(in_the_background, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    expected = image_loader(augment=AUGMENT)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        it = image_loader(augment=AUGMENT)
        batches = [it.batch(0)]
    before = threading.active_count()
    batches += [it.batch(step) for step in (1, 2, 7)]  # also when threads can be started again
    assert threading.active_count() == before
    for step, (x, y) in zip((0, 1, 2, 7), batches, strict=True):
        np.testing.assert_array_equal(x, expected.batch(step)[0])
        np.testing.assert_array_equal(y, expected.batch(step)[1])


def test_features_small_batches_and_whole_parts_need_no_thread(monkeypatch):
    monkeypatch.setattr(loading, "cores", lambda: 2)
    assert image_loader()._prefetcher is None  # small
    monkeypatch.setattr(loading, "MIN_PREFETCH_SIZE", 1)
    assert loader(20, 5)._prefetcher is None
    assert image_loader("full")._prefetcher is None
    assert image_loader().in_batches_of(40)._prefetcher is None


def test_chosen_rows_of_a_larger_array_are_read_when_they_are_asked_for():
    whole = images(40)
    index = np.arange(1, 40, 2)
    chosen = Split(Rows(whole.x, index), whole.y[index], index)
    copied = Split(whole.x[index], whole.y[index], index)
    ours, theirs = image_loader(data=chosen, augment=AUGMENT), image_loader(data=copied, augment=AUGMENT)
    assert ours._store.x.array is whole.x
    for step in range(5):
        np.testing.assert_array_equal(ours.batch(step)[0], theirs.batch(step)[0])
    for a, b in zip(ours.batches(), theirs.batches(), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


@pytest.mark.parametrize("augment", [None, AUGMENT])
def test_bytes_on_a_device_with_room_give_the_batches_of_bytes_on_the_host(monkeypatch, augment, device):
    whole, index = images(40), np.arange(0, 40, 3)
    data = Split(Rows(whole.x, index), whole.y[index], index)
    loaders = []
    for room in (1 << 40, 0):
        monkeypatch.setattr(backend.Backend, "data_budget_bytes", lambda self, room=room: room)
        loaders.append(image_loader(data=data, augment=augment))
    resident, streamed = loaders
    assert backend.array_module(resident._store.x) is backend.current().xp and streamed._store.x is data.x
    for step in range(5):
        np.testing.assert_array_equal(host(resident.batch(step))[0], host(streamed.batch(step))[0])
    for ours, theirs in zip(resident.batches(), streamed.batches(), strict=True):
        np.testing.assert_array_equal(host(ours)[0], host(theirs)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_file_larger_than_memory_gives_batches(tmp_path, dtype):
    shape = (1 << 17, 1 << 9, 1 << 9, 3)  # 96 GiB or four times that, of which the file system stores nothing
    x = np.memmap(tmp_path / "images", dtype, "w+", shape=shape)
    x[-1] = 7
    data = Split(Rows(x, np.arange(0, len(x), 5)), np.zeros(26215, np.int64), np.arange(0, len(x), 5))
    normalizer = Normalizer(np.ones(3), np.full(3, 2.0))
    tracemalloc.start()
    for split, samples in (
        (data, 26215),
        (Split(x[9:], np.zeros(len(x) - 9, np.int64), np.arange(9, len(x))), len(x) - 9),
    ):
        it = Loader(split, normalizer, backend.get("cpu"), np.float32, 4, 0)
        assert it.samples == samples
        np.testing.assert_array_equal(it.batch(3)[0], np.full((4, *shape[1:]), -0.5, np.float32))
    np.testing.assert_array_equal(
        it._in_order(it._sampler.in_order(samples - 1))[0], np.full((1, *shape[1:]), 3, np.float32)
    )
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()
