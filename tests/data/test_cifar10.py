"""CIFAR-10: the stand-in in all its ways of being wrong, and the real one held to its published figures."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dlcourse.data import Normalizer, cifar10, prepare
from dlcourse.data.sources.archive import Archive
from dlcourse.errors import DataError
from tests.data.conftest import REAL_DATA
from tests.data.images import BATCHES, PER_BATCH, pickled_batch, small_cifar10, tar


@pytest.fixture
def small(own_cache, monkeypatch):
    """A stand-in that passes for the official data set."""
    made = small_cifar10()
    monkeypatch.setattr(cifar10.Cifar10, "files", made.collection)
    return made


def section(path, **keys):
    return {"name": "cifar10", "path": str(path), **keys}


def test_images_labels_names_and_the_official_test_part(small, tmp_path):
    data = prepare(section(tar(tmp_path / "a.tar.gz", small.files)), 0)
    small.check(
        {
            "train_x": data.splits["train"].x,
            "train_y": data.splits["train"].y,
            "test_x": data.splits["test"].x,
            "test_y": data.splits["test"].y,
        }
    )
    assert data.in_shape == (32, 32, 3) and data.out_features == 10
    assert data.dataset.class_names[:3] == ("airplane", "automobile", "bird")
    assert data.dataset.source == str(tmp_path / "a.tar.gz")


def test_the_homework_s_parts_are_the_first_and_the_last_in_the_official_order(small, tmp_path):
    keys = {"split": {"val": 3}, "shuffle": False, "limit": {"train": 5, "test": 2}}
    splits = prepare(section(small.write(tmp_path / "files"), **keys), 0).splits
    np.testing.assert_array_equal(splits["train"].x, small.arrays["train_x"][:5])
    np.testing.assert_array_equal(splits["val"].x, small.arrays["train_x"][-3:])
    np.testing.assert_array_equal(splits["test"].y, small.arrays["test_y"][:2])


PIXELS = bytes(PER_BATCH * 3072)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (pickled_batch(PIXELS, [0, 1, 2, 10]), r"data_batch_2: label 10 of image 3 \(the first is 0\)"),
        (pickled_batch(PIXELS, [0, 1, 2]), "data_batch_2: 3 labels for 4 images"),
        (pickled_batch(PIXELS[1:], [0, 1, 2, 3]), "data_batch_2: expected one string of 12,288 pixels"),
        (pickled_batch(PIXELS, [0] * 4, before=b"cos\nsystem\nU\x02id\x85R0"), "data_batch_2 is no CIFAR-10 batch"),
    ],
)
def test_a_batch_that_passes_for_official_but_holds_something_else(small, tmp_path, monkeypatch, batch, message):
    """As if the published sums themselves were wrong."""
    monkeypatch.setattr(cifar10.Cifar10, "files", small.accepting(data_batch_2=batch))
    path = tar(tmp_path / "a.tar.gz", small.files | {"data_batch_2": batch})
    with pytest.raises(DataError, match=message) as raised:
        prepare(section(path), 0)
    assert "a.tar.gz" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("packed", [True, False])
def test_every_flipped_batch_is_refused_with_both_sums(small, tmp_path, packed):
    for name in BATCHES:
        content = bytearray(small.files[name])
        content[len(content) // 2] ^= 1
        files = small.files | {name: bytes(content)}
        path = tar(tmp_path / "a.tar.gz", files) if packed else small.write(tmp_path / "files", files)
        expected = small.collection.variants[0].members[name].md5
        with pytest.raises(DataError) as raised:
            prepare(section(path), 0)
        message = str(raised.value)
        assert name in message and expected in message and hashlib.md5(content).hexdigest() in message
        assert "\n" not in message


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz"])
def test_an_archive_truncated_anywhere_is_refused(small, tmp_path, suffix):
    whole = tar(tmp_path / f"whole.{suffix}", small.files).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    last = len(whole) - 64  # what follows the last member says nothing
    for size in [0, 1, 100, *range(512, last, last // 20), last]:
        path.write_bytes(whole[:size])
        with pytest.raises(DataError) as raised:
            prepare(section(path), 0)
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.skipif(not REAL_DATA, reason="DLCOURSE_DATA is not set: no real CIFAR-10")
def test_the_real_archive(own_cache, monkeypatch):
    monkeypatch.setenv("DLCOURSE_DATA", REAL_DATA)
    if cifar10.FILES._search(Path(REAL_DATA), cifar10.FILES.folders) is None:
        pytest.skip(f"there is no CIFAR-10 in {REAL_DATA}")
    data = prepare({"name": "cifar10", "split": {"val": 1000}, "shuffle": False}, 0)
    sizes = {split: np.bincount(data.splits[split].y, minlength=10).sum() for split in data.splits}
    assert sizes == {"train": 49_000, "val": 1000, "test": 10_000}
    whole = data.dataset
    assert (np.bincount(whole.y) == 5000).all() and (np.bincount(whole.test[1]) == 1000).all()
    assert whole.y[:8].tolist() == [6, 9, 9, 4, 1, 1, 2, 7] and whole.x[0, 0, 0].tolist() == [59, 62, 63]
    statistics = Normalizer.fit(whole.x)
    np.testing.assert_allclose(statistics.shift / 255, [0.49139968, 0.48215841, 0.44653091], atol=5e-9)
    np.testing.assert_allclose(statistics.scale / 255, [0.24703, 0.24349, 0.26159], atol=5e-6)
    np.testing.assert_array_equal(data.splits["val"].index, np.arange(49_000, 50_000))
    assert np.shares_memory(data.splits["train"].x, whole.x)
    with monkeypatch.context() as second_start:
        second_start.setattr(Archive, "members", None)  # not read again
        np.testing.assert_array_equal(prepare({"name": "cifar10"}, 0).dataset.y, whole.y)
    # The binary version holds the same samples in the same order: its published sums are those of these very records.
    batches = {f"data_batch_{i + 1}.bin": slice(10_000 * i, 10_000 * (i + 1)) for i in range(5)}
    splits = {name: (whole.x[rows], whole.y[rows]) for name, rows in batches.items()} | {"test_batch.bin": whole.test}
    for name, (x, y) in splits.items():
        planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        records = np.concatenate([y[:, None].astype(np.uint8), planes], axis=1)
        cifar10.FILES.variants[1].members[name].check(records.tobytes(), name)
