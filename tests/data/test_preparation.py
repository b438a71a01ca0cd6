"""prepare: from a section of the config to split, normalized data."""

import numpy as np
import pytest

from dlcourse.config.data_sections import Augment
from dlcourse.data import prepare
from dlcourse.data.rows import Rows
from dlcourse.errors import ConfigError, DataError

CURVE = {"name": "polynomial_curve", "samples": 50}
CLASSES = {"name": "gaussian_classes", "samples": 60}
IMAGES = {"name": "synthetic_images", "samples": 60, "image_size": 8}


def sizes(data):
    return {name: len(split) for name, split in data.splits.items()}


def test_defaults_put_everything_into_training_as_it_is():
    data = prepare(CURVE, 0)
    assert sizes(data) == {"train": 50}
    assert data.normalizer.identity
    assert (data.task, data.in_shape, data.out_features) == ("regression", (1,), 1)


def test_parts_are_the_rows_that_their_index_names():
    data = prepare({**CURVE, "split": {"train": 0.6, "val": 0.2, "test": 0.2}}, 0)
    assert sizes(data) == {"train": 30, "val": 10, "test": 10}
    for split in data.splits.values():
        np.testing.assert_array_equal(split.x, data.dataset.x[split.index])
        np.testing.assert_array_equal(split.y, data.dataset.y[split.index])
    together = np.concatenate([split.index for split in data.splits.values()])
    assert sorted(together) == list(range(50))


def test_the_normalizer_sees_the_training_part_alone():
    section = {**CLASSES, "split": {"train": 30, "test": 30}, "limit": {"train": 20}, "normalize": "standardize"}
    data = prepare(section, 0)
    train = data.splits["train"].x
    assert len(train) == 20
    np.testing.assert_allclose(data.normalizer.shift, train.mean(axis=0))
    np.testing.assert_allclose(data.normalizer.scale, train.std(axis=0))
    assert data.out_features == 3 and data.in_shape == (2,)


def test_limit_takes_the_first_in_the_files_own_order():
    section = {**CURVE, "split": {"train": 0.6, "val": 0.4}}
    whole, limited = prepare(section, 0), prepare({**section, "limit": {"train": 7, "val": 1000}}, 0)
    np.testing.assert_array_equal(limited.splits["train"].index, whole.splits["train"].index[:7])
    np.testing.assert_array_equal(limited.splits["val"].index, whole.splits["val"].index)


def test_folds_share_what_the_test_part_leaves():
    section = {**CURVE, "split": {"train": 0.6, "val": 0.2, "test": 0.2}}
    folds = [prepare({**section, "kfold": {"folds": 4, "fold": fold}}, 0) for fold in range(4)]
    test = folds[0].splits["test"].index
    assert len(test) == 10
    for data in folds:
        assert sizes(data) == {"train": 30, "val": 10, "test": 10}
        np.testing.assert_array_equal(data.splits["test"].index, test)
    held = np.concatenate([data.splits["val"].index for data in folds])
    assert sorted([*held, *test]) == list(range(50))


def test_stratified_splits_and_folds():
    section = {**CLASSES, "stratify": True, "split": {"test": 0.25}, "kfold": {"folds": 3}}
    data = prepare(section, 0)
    whole = np.bincount(data.dataset.y)
    np.testing.assert_allclose(np.bincount(data.splits["test"].y), whole / 4, atol=1)
    np.testing.assert_allclose(np.bincount(data.splits["val"].y), whole / 4, atol=1.34)
    with pytest.raises(ConfigError, match="needs classes, but this data set is for regression"):
        prepare({**CURVE, "stratify": True}, 0)


def test_a_test_part_of_its_own_is_the_test_part():
    section = {**CURVE, "test_range": [1, 2], "test_samples": 8}
    data = prepare({**section, "split": {"val": 0.2}, "limit": {"test": 5}}, 0)
    assert sizes(data) == {"train": 40, "val": 10, "test": 5}
    np.testing.assert_array_equal(data.splits["test"].x, data.dataset.test[0][:5])
    with pytest.raises(ConfigError, match="data.split.test: this data set brings a test split of its own"):
        prepare({**section, "split": {"test": 0.2}}, 0)


def test_the_split_depends_on_the_seed_and_the_draw_on_the_sets_own():
    section = {**CURVE, "split": {"val": 0.5}}
    first, other, own = prepare(section, 1), prepare(section, 2), prepare({**section, "seed": 2}, 1)
    assert (first.splits["val"].index != other.splits["val"].index).any()
    np.testing.assert_array_equal(first.splits["val"].index, own.splits["val"].index)
    np.testing.assert_array_equal(other.dataset.x, own.dataset.x)


def test_unshuffled_parts_are_views_of_the_file():
    data = prepare({**CURVE, "shuffle": False, "split": {"train": 30, "val": 20}}, 0)
    assert all(np.shares_memory(split.x, data.dataset.x) for split in data.splits.values())
    np.testing.assert_array_equal(data.splits["val"].index, np.arange(30, 50))


def test_folds_share_the_training_samples_that_the_limit_leaves():
    section = {**CURVE, "shuffle": False, "limit": {"train": 20, "test": 3}, "split": {"test": 10}}
    folds = [prepare({**section, "kfold": {"folds": 5, "fold": fold}}, 0) for fold in range(5)]
    for number, data in enumerate(folds):
        assert sizes(data) == {"train": 16, "val": 4, "test": 3}
        np.testing.assert_array_equal(data.splits["val"].index, np.arange(4 * number, 4 * number + 4))
        assert sorted([*data.splits["train"].index, *data.splits["val"].index]) == list(range(20))


def test_the_homeworks_split_is_the_files_order_with_the_last_for_validation():
    data = prepare({**IMAGES, "split": {"val": 10}, "shuffle": False}, 0)
    np.testing.assert_array_equal(data.splits["train"].index, np.arange(50))
    np.testing.assert_array_equal(data.splits["val"].index, np.arange(50, 60))


def test_shuffled_images_are_not_copied():
    data = prepare({**IMAGES, "split": {"val": 10, "test": 10}}, 0)
    for split in data.splits.values():
        assert isinstance(split.x, Rows) and split.x.array is data.dataset.x
        np.testing.assert_array_equal(np.asarray(split.x), data.dataset.x[split.index])
        np.testing.assert_array_equal(split.y, data.dataset.y[split.index])


def test_augmentation_is_for_images_and_leaves_some_of_them():
    assert prepare(IMAGES, 0).augment is None
    assert prepare({**IMAGES, "augment": {"flip": True, "crop": 2}}, 0).augment == Augment(flip=True, crop=2)
    with pytest.raises(ConfigError, match=r"data.augment: needs images .* a sample here is \(1,\)"):
        prepare({**CURVE, "augment": {"flip": True}}, 0)
    with pytest.raises(ConfigError, match="data.augment.cutout: 8 pixels of 8 x 8 leave no image"):
        prepare({**IMAGES, "augment": {"cutout": 8}}, 0)


def test_inputs_that_are_not_finite_are_found_in_any_chunk(tmp_path):
    x = np.zeros((3000, 32, 32, 1), np.float32)
    x[2900, 3, 4] = np.inf
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(3000) % 2)
    with pytest.raises(DataError, match="x holds inf in row 2900"):
        prepare({"name": "arrays", "path": str(tmp_path / "x.npz")}, 0)
