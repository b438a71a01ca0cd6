"""Splits: every index in at most one subset, sizes as asked for, each class its share, all by the seed alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.data import splitting
from dlcourse.errors import ConfigError

seeds = st.integers(0, 2**32)


@st.composite
def fraction_splits(draw):
    samples = draw(st.integers(3, 300))
    cuts = sorted(draw(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2)))
    sizes = {"train": cuts[0], "val": cuts[1] - cuts[0], "test": 1 - cuts[1]}
    return samples, {subset: size for subset, size in sizes.items() if size}


def disjoint(split: splitting.SplitIndices, samples: int) -> np.ndarray:
    """All indices of a split, having checked that they are in range and none is there twice."""
    together = np.concatenate(list(split.values()))
    assert len(np.unique(together)) == len(together)
    assert together.min() >= 0 and together.max() < samples
    for index in split.values():
        assert len(index) and (np.diff(index) > 0).all()
    return together


@given(fraction_splits(), seeds, st.booleans())
def test_fractions_of_one_cover_every_index_once(case, seed, shuffle):
    samples, sizes = case
    try:
        split = splitting.by_size(samples, sizes, seed, shuffle=shuffle)
    except ConfigError:  # a split that would have no sample
        assert min(round(sizes.get(subset, 0) * samples) for subset in ("train", *sizes)) <= 1
        return
    assert len(disjoint(split, samples)) == samples
    for subset, size in sizes.items():
        assert abs(len(split[subset]) - size * samples) <= (1.5 if subset == "train" else 0.5)


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 20), seeds, st.booleans())
def test_counts_are_exact_and_leave_the_rest_unused(train, val, test, rest, seed, shuffle):
    samples = train + val + test + rest
    split = splitting.by_size(samples, {"train": train, "val": val, "test": test}, seed, shuffle=shuffle)
    assert len(disjoint(split, samples)) == samples - rest
    assert {subset: len(index) for subset, index in split.items()} == {
        subset: count for subset, count in (("train", train), ("val", val), ("test", test)) if count
    }


@given(st.lists(st.integers(3, 40), min_size=1, max_size=6), fraction_splits(), seeds, st.booleans())
def test_stratified_parts_give_every_class_its_share(members, case, seed, shuffle):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(members)), members))
    samples = len(labels)
    try:
        split = splitting.by_size(samples, case[1], seed, labels=labels, shuffle=shuffle)
    except ConfigError:
        return
    disjoint(split, samples)
    for index in split.values():
        for label, count in enumerate(members):
            assert abs((labels[index] == label).sum() - len(index) * count / samples) < 3


@given(st.integers(2, 200), st.data(), seeds, st.booleans())
def test_folds_are_disjoint_cover_all_and_differ_by_one(samples, data, seed, shuffle):
    folds = data.draw(st.integers(2, samples))
    index = np.arange(samples) * 3 + 1
    held = []
    for fold in range(folds):
        split = splitting.by_fold(index, folds, fold, seed, shuffle=shuffle)
        assert sorted(np.concatenate([split["train"], split["val"]])) == list(index)
        held.append(split["val"])
    assert sorted(np.concatenate(held)) == list(index)
    assert max(map(len, held)) - min(map(len, held)) <= 1


@given(st.lists(st.integers(5, 30), min_size=1, max_size=5), st.integers(2, 5), seeds, st.booleans())
def test_stratified_folds_differ_by_one_member_of_each_class(members, folds, seed, shuffle):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(members)), members))
    index = np.arange(len(labels))
    held = [splitting.by_fold(index, folds, fold, seed, labels=labels, shuffle=shuffle)["val"] for fold in range(folds)]
    assert sorted(np.concatenate(held)) == list(index)
    counts = np.array([np.bincount(labels[fold], minlength=len(members)) for fold in held])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_the_seed_alone_decides():
    sizes = {"train": 0.5, "val": 0.25, "test": 0.25}
    first, again, other = (splitting.by_size(100, sizes, seed) for seed in (3, 3, 4))
    for subset in sizes:
        np.testing.assert_array_equal(first[subset], again[subset])
        assert (first[subset] != other[subset]).any()


def test_a_smaller_training_part_is_contained_in_a_larger_one_and_the_others_stay():
    small = splitting.by_size(100, {"train": 20, "val": 10, "test": 10}, 0)
    large = splitting.by_size(100, {"train": 80, "val": 10, "test": 10}, 0)
    assert set(small["train"]) < set(large["train"])
    np.testing.assert_array_equal(small["val"], large["val"])
    np.testing.assert_array_equal(small["test"], large["test"])


def test_without_shuffling_the_parts_follow_the_file():
    split = splitting.by_size(10, {"train": 5, "val": 2, "test": 3}, 0, shuffle=False)
    assert [list(split[subset]) for subset in split] == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
    fold = splitting.by_fold(np.arange(10), 5, 1, 0, shuffle=False)
    assert list(fold["val"]) == [2, 3]


def test_train_left_out_is_the_rest():
    split = splitting.by_size(10, {"test": 0.3}, 0)
    assert {subset: len(index) for subset, index in split.items()} == {"train": 7, "test": 3}
    assert list(splitting.by_size(4, {}, 0)) == ["train"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train": 0.8, "val": 0.3}, "add up to 1.1"),
        ({"train": 8, "val": 3}, "asks for 11 samples, but there are 10"),
        ({"val": 0.5, "test": 0.5}, "left for training"),
        ({"train": 0, "val": 5}, "left for training"),
        ({"val": 0.01}, "data.split.val: 0.01 of 10 samples is not one"),
        ({"test": 1.5}, "data.split.test: a fraction is at most 1"),
        ({"test": -1}, "expected 0 or more"),
        ({"test": 20}, "left for training"),
    ],
)
def test_impossible_splits_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        splitting.by_size(10, sizes, 0)


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [(1, 0, "at least 2"), (11, 0, "11 folds of 10 samples"), (5, 5, "expected 0 to 4, got 5"), (5, -1, "0 to 4")],
)
def test_impossible_folds_are_refused(folds, fold, message):
    with pytest.raises(ConfigError, match=message):
        splitting.by_fold(np.arange(10), folds, fold, 0)


def test_a_class_that_cannot_be_everywhere_is_named():
    labels = np.array([0] * 8 + [7] * 2)
    with pytest.raises(ConfigError, match=r"class 7 has 2 member\(s\), fewer than the 5 folds"):
        splitting.by_fold(np.arange(10), 5, 0, 0, labels=labels)
    with pytest.raises(ConfigError, match=r"class 7 has 2 member\(s\), fewer than the 3 splits"):
        splitting.by_size(10, {"train": 0.4, "val": 0.3, "test": 0.3}, 0, labels=labels)
