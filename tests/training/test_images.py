"""What a run keeps of the images that a classifier judged."""

import numpy as np
import pytest

from dlcourse.data import Data, Dataset, Normalizer, Split
from dlcourse.data.rows import Rows
from dlcourse.models.knn import KNN
from dlcourse.models.softmax import SoftmaxModel
from dlcourse.training.images import MAX_MISTAKES, image_arrays

CLASSES = 4


def data(splits: tuple[str, ...] = ("train", "val", "test"), dtype: type = np.uint8, channels: int = 3) -> Data:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (120, 6, 5, channels)).astype(dtype)
    y = rng.integers(0, CLASSES, 120)
    dataset = Dataset(x, y, "classification", class_names=tuple("abcd"))
    subsets = {}
    for number, split in enumerate(splits):
        index = np.arange(number, 120, len(splits))
        subsets[split] = Split(Rows(x, index), y[index], index)
    return Data(dataset, subsets, Normalizer.fit(x, "standardize"))


def outputs(given: Data, split: str, right: float = 0.4) -> dict[str, np.ndarray]:
    """Logits of which so many put a sample into its own class."""
    rng, y = np.random.default_rng(1), given.splits[split].y
    logits = rng.normal(size=(len(y), CLASSES))
    own = rng.uniform(size=len(y)) < right
    logits[own, y[own]] = 9
    return {f"{split}_y": y, f"{split}_output": logits}


def softmax(given: Data) -> SoftmaxModel:
    return SoftmaxModel(given.in_shape, CLASSES)


@pytest.mark.parametrize("splits", [("train", "val", "test"), ("train", "val"), ("train",)])
def test_the_surest_mistakes_of_the_part_that_counts(splits) -> None:
    given = data(splits)
    split, subset = splits[-1], given.splits[splits[-1]]
    arrays = outputs(given, split)
    found = image_arrays(given, arrays, softmax(given))
    assert set(found) == {"mistakes", "mistakes_true", "mistakes_predicted", "mistakes_confidence"}
    odds = np.exp(arrays[f"{split}_output"])
    odds /= odds.sum(axis=1, keepdims=True)
    wrong = odds.argmax(axis=1) != subset.y
    surest = np.sort(odds.max(axis=1)[wrong])[::-1][:MAX_MISTAKES]
    np.testing.assert_allclose(found["mistakes_confidence"], surest)
    assert found["mistakes"].dtype == np.uint8 and len(found["mistakes"]) == len(surest) <= MAX_MISTAKES
    images = np.asarray(subset.x)
    for image, true, predicted in zip(
        found["mistakes"], found["mistakes_true"], found["mistakes_predicted"], strict=True
    ):
        (row,) = np.flatnonzero((images == image).all(axis=(1, 2, 3)))
        assert (true, predicted) == (subset.y[row], odds[row].argmax()) and true != predicted


def test_only_parts_that_were_evaluated_count() -> None:
    given = data()
    ours, theirs = (image_arrays(given, outputs(given, split), softmax(given)) for split in ("train", "test"))
    assert (ours["mistakes"][0] != theirs["mistakes"][0]).any()
    assert image_arrays(given, {}, softmax(given)) == {}


def test_without_mistakes_there_are_none_of_them() -> None:
    given = data()
    found = image_arrays(given, outputs(given, "test", right=1.0), softmax(given))
    assert found["mistakes"].shape == (0, 6, 5, 3) and found["mistakes_true"].shape == (0,)


def test_a_model_that_keeps_samples_shows_those_that_are_most_similar() -> None:
    given = data()
    train, test = given.splits["train"], given.splits["test"]
    model = KNN(given.in_shape, CLASSES)
    model.fit(given.normalizer.apply(train.x, np.float32), train.y)
    found = image_arrays(given, outputs(given, "test"), model)
    np.testing.assert_array_equal(found["queries_true"], np.arange(CLASSES))
    first = [int(np.flatnonzero(test.y == c)[0]) for c in range(CLASSES)]
    np.testing.assert_array_equal(found["queries"], test.x[np.array(first)])
    indices = model.nearest_training_samples(given.normalizer.apply(found["queries"], np.float32), 10)
    np.testing.assert_array_equal(found["similar"], np.asarray(train.x)[indices])
    np.testing.assert_array_equal(found["similar_true"], train.y[indices])


def test_numbers_other_than_bytes_up_to_255_are_stretched() -> None:
    for given in (data(dtype=np.float64), data()):
        small = Dataset(given.dataset.x / 16, given.dataset.y, "classification", class_names=tuple("abcd"))
        x = small.x if given.dataset.x.dtype == float else small.x.astype(np.uint8)
        subsets = {split: Split(x[subset.index], subset.y, subset.index) for split, subset in given.splits.items()}
        found = image_arrays(Data(small, subsets, given.normalizer), outputs(given, "test"), softmax(given))["mistakes"]
        assert found.dtype == np.uint8 and found.min() == 0 and found.max() == 255


@pytest.mark.parametrize("channels", [2, 4])
def test_what_no_one_could_look_at_is_left_out(channels) -> None:
    given = data(channels=channels)
    assert image_arrays(given, outputs(given, "test"), softmax(given)) == {}
