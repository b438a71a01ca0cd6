"""prepare: from a section of the config to split, normalised data."""

import numpy as np
import pytest

from dlcourse.data import prepare
from dlcourse.errors import ConfigError

CURVE = {"name": "polynomial_curve", "samples": 50}
CLASSES = {"name": "gaussian_classes", "samples": 60}


def sizes(data):
    return {name: len(part) for name, part in data.parts.items()}


def test_defaults_put_everything_into_training_as_it_is():
    data = prepare(CURVE, 0)
    assert sizes(data) == {"train": 50}
    assert data.normalizer.identity
    assert (data.task, data.in_shape, data.out_features) == ("regression", (1,), 1)


def test_parts_are_the_rows_that_their_index_names():
    data = prepare({**CURVE, "split": {"train": 0.6, "val": 0.2, "test": 0.2}}, 0)
    assert sizes(data) == {"train": 30, "val": 10, "test": 10}
    for part in data.parts.values():
        np.testing.assert_array_equal(part.x, data.dataset.x[part.index])
        np.testing.assert_array_equal(part.y, data.dataset.y[part.index])
    together = np.concatenate([part.index for part in data.parts.values()])
    assert sorted(together) == list(range(50))


def test_the_normalizer_sees_the_training_part_alone():
    section = {**CLASSES, "split": {"train": 30, "test": 30}, "limit": {"train": 20}, "normalize": "standardize"}
    data = prepare(section, 0)
    train = data.parts["train"].x
    assert len(train) == 20
    np.testing.assert_allclose(data.normalizer.shift, train.mean(axis=0))
    np.testing.assert_allclose(data.normalizer.scale, train.std(axis=0))
    assert data.out_features == 3 and data.in_shape == (2,)


def test_limit_takes_the_first_in_the_files_own_order():
    section = {**CURVE, "split": {"train": 0.6, "val": 0.4}}
    whole, limited = prepare(section, 0), prepare({**section, "limit": {"train": 7, "val": 1000}}, 0)
    np.testing.assert_array_equal(limited.parts["train"].index, whole.parts["train"].index[:7])
    np.testing.assert_array_equal(limited.parts["val"].index, whole.parts["val"].index)


def test_folds_share_what_the_test_part_leaves():
    section = {**CURVE, "split": {"train": 0.6, "val": 0.2, "test": 0.2}}
    folds = [prepare({**section, "kfold": {"folds": 4, "fold": fold}}, 0) for fold in range(4)]
    test = folds[0].parts["test"].index
    assert len(test) == 10
    for data in folds:
        assert sizes(data) == {"train": 30, "val": 10, "test": 10}
        np.testing.assert_array_equal(data.parts["test"].index, test)
    held = np.concatenate([data.parts["val"].index for data in folds])
    assert sorted([*held, *test]) == list(range(50))


def test_stratified_splits_and_folds():
    section = {**CLASSES, "stratify": True, "split": {"test": 0.25}, "kfold": {"folds": 3}}
    data = prepare(section, 0)
    whole = np.bincount(data.dataset.y)
    np.testing.assert_allclose(np.bincount(data.parts["test"].y), whole / 4, atol=1)
    np.testing.assert_allclose(np.bincount(data.parts["val"].y), whole / 4, atol=1.34)
    with pytest.raises(ConfigError, match="needs classes, but this data set is for regression"):
        prepare({**CURVE, "stratify": True}, 0)


def test_a_test_part_of_its_own_is_the_test_part():
    section = {**CURVE, "test_range": [1, 2], "test_samples": 8}
    data = prepare({**section, "split": {"val": 0.2}, "limit": {"test": 5}}, 0)
    assert sizes(data) == {"train": 40, "val": 10, "test": 5}
    np.testing.assert_array_equal(data.parts["test"].x, data.dataset.test[0][:5])
    with pytest.raises(ConfigError, match="data.split.test: this data set brings a test part of its own"):
        prepare({**section, "split": {"test": 0.2}}, 0)


def test_the_split_depends_on_the_seed_and_the_draw_on_the_sets_own():
    section = {**CURVE, "split": {"val": 0.5}}
    first, other, own = prepare(section, 1), prepare(section, 2), prepare({**section, "seed": 2}, 1)
    assert (first.parts["val"].index != other.parts["val"].index).any()
    np.testing.assert_array_equal(first.parts["val"].index, own.parts["val"].index)
    np.testing.assert_array_equal(other.dataset.x, own.dataset.x)


def test_unshuffled_parts_are_views_of_the_file():
    data = prepare({**CURVE, "shuffle": False, "split": {"train": 30, "val": 20}}, 0)
    assert all(np.shares_memory(part.x, data.dataset.x) for part in data.parts.values())
    np.testing.assert_array_equal(data.parts["val"].index, np.arange(30, 50))
