"""data.only_classes: some classes of a data set, in place of all."""

import numpy as np
import pytest

from dlcourse.data import prepare
from dlcourse.errors import ConfigError

IMAGES = {"name": "synthetic_images", "samples": 120, "classes": 5, "image_size": 8}


def test_samples_of_these_classes_alone_in_this_order() -> None:
    whole = prepare(IMAGES, 0).dataset
    names = [whole.class_names[3], whole.class_names[1]]
    data = prepare({**IMAGES, "only_classes": names, "split": {"val": 0.25}}, 0)
    assert (data.class_names, data.out_features) == (tuple(names), 2)
    for split in data.splits.values():
        np.testing.assert_array_equal(np.asarray(split.x), whole.x[split.index])
        np.testing.assert_array_equal(whole.y[split.index], np.array([3, 1])[split.y])
    assert sum(map(len, data.splits.values())) == np.isin(whole.y, [1, 3]).sum()


def test_few_of_each() -> None:
    classes = list(prepare(IMAGES, 0).class_names[:3])
    section = {**IMAGES, "only_classes": classes, "stratify": True, "split": {"train": 12, "val": 9}}
    data = prepare(section, 0)
    assert [np.bincount(split.y).tolist() for split in data.splits.values()] == [[4, 4, 4], [3, 3, 3]]
    folds = [prepare({**section, "split": {}, "kfold": {"folds": 2, "fold": fold}}, 0) for fold in range(2)]
    assert not set(folds[0].splits["val"].index) & set(folds[1].splits["val"].index)


def test_a_test_split_of_its_own_and_numbers_for_names(tmp_path) -> None:
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12) % 4
    np.savez(tmp_path / "data.npz", x=x, y=y, x_test=x + 100, y_test=y)
    section = {
        "name": "arrays",
        "path": str(tmp_path / "data.npz"),
        "class_names": list("0123"),
        "only_classes": [2, 0],
    }
    data = prepare(section, 0)
    assert data.class_names == ("2", "0")
    assert data.splits["train"].y.tolist() == [1, 0] * 3
    np.testing.assert_array_equal(data.splits["test"].x, x[[0, 2, 4, 6, 8, 10]] + 100)
    assert len(prepare({**section, "limit": {"test": 2}}, 0).splits["test"]) == 2


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({**IMAGES, "only_classes": ["dog", "cat"]}, "'dog' is none of the classes"),
        ({**IMAGES, "only_classes": ["disk", "disk"]}, "is there twice"),
        ({"name": "polynomial_curve", "only_classes": ["a", "b"]}, "but this is for regression"),
    ],
)
def test_what_cannot_be(section: dict, message: str) -> None:
    if section.get("only_classes") == ["disk", "disk"]:
        section = {**section, "only_classes": [prepare(IMAGES, 0).class_names[0]] * 2}
    with pytest.raises(ConfigError, match=message):
        prepare(section, 0)
