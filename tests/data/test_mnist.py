"""MNIST and Fashion-MNIST: the stand-in in all its ways of being wrong, and the real one held to known figures."""

from dataclasses import replace

import numpy as np
import pytest

from dlcourse.data import Normalizer, fashion_mnist, mnist, prepare
from dlcourse.errors import DataError
from tests.data.conftest import REAL_DATA
from tests.data.images import gzipped, idx, small_mnist, with_members

LABELS = "train-labels-idx1-ubyte"
IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def small(own_cache, monkeypatch):
    """A stand-in that passes for both official data sets."""
    made = small_mnist()
    monkeypatch.setattr(mnist.Mnist, "files", made.collection)
    fashion = replace(made.collection, name="fashion_mnist", folders=fashion_mnist.FILES.folders)
    monkeypatch.setattr(fashion_mnist.FashionMnist, "files", fashion)
    return made


@pytest.mark.parametrize(("name", "classes"), [("mnist", ["0", "1"]), ("fashion_mnist", ["T-shirt/top", "trouser"])])
def test_images_labels_names_and_the_official_test_part(small, tmp_path, name, classes):
    path = small.write(tmp_path / "files", gzipped(small.files))
    data = prepare({"name": name, "path": str(path), "split": {"val": 2}, "shuffle": False}, 0)
    np.testing.assert_array_equal(data.splits["train"].x, small.arrays["train_x"][:4])
    np.testing.assert_array_equal(data.splits["val"].y, small.arrays["train_y"][4:])
    np.testing.assert_array_equal(data.splits["test"].x, small.arrays["test_x"])
    assert data.in_shape == (28, 28, 1) and data.out_features == 10
    assert list(data.dataset.class_names[:2]) == classes


def test_files_of_the_same_names_are_not_taken_for_another_set(small, tmp_path, monkeypatch):
    """DLCOURSE_DATA may hold MNIST's files themselves; Fashion-MNIST's have the same names, so theirs is a folder."""
    folder = small.write(tmp_path / "data")
    monkeypatch.setenv("DLCOURSE_DATA", str(folder))
    assert mnist.Mnist.files.open().source == folder
    assert fashion_mnist.FashionMnist.files._find(None) is None
    small.write(folder / "FashionMNIST" / "raw")
    assert fashion_mnist.FashionMnist.files._find(None).path == folder / "FashionMNIST" / "raw"
    assert fashion_mnist.FashionMnist.files._find(str(folder)).path == folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS, idx(np.array([0, 1, 2, 3, 4, 10], np.uint8)), "label 10 of image 5"),
        (LABELS, idx(np.zeros(5, np.uint8)), r"has shape \(5,\), expected \(6,\)"),
        (LABELS, idx(np.zeros(6, np.uint8), (7,)), "declares 7 = 7 bytes, but 6 follow"),
        (IMAGES, idx(np.zeros((6, 28, 28), np.uint8), (1 << 20, 1 << 20, 1)), "= 1099511627776 bytes, but 4704"),
        (IMAGES, idx(np.zeros((6, 784), np.uint8)), r"has shape \(6, 784\), expected \(6, 28, 28\)"),
        (IMAGES, b"<html>", "is no idx file"),
    ],
)
def test_a_file_that_passes_for_official_but_holds_something_else(small, tmp_path, monkeypatch, name, content, message):
    """As if the published sums themselves were wrong."""
    files = small.files | {name: content}
    monkeypatch.setattr(mnist.Mnist, "files", with_members(small.collection, files))
    path = small.write(tmp_path / "files", files)
    with pytest.raises(DataError, match=message) as raised:
        prepare({"name": "mnist", "path": str(path)}, 0)
    assert str(path / name) in str(raised.value) and "\n" not in str(raised.value)


def test_swapped_files_are_refused(small, tmp_path):
    files = small.files | {LABELS: small.files[IMAGES]}
    with pytest.raises(DataError, match=f"{LABELS} has 4,720 bytes, the official file has 14"):
        prepare({"name": "mnist", "path": str(small.write(tmp_path / "files", files))}, 0)


@pytest.mark.skipif(not REAL_DATA, reason="DLCOURSE_DATA is not set: no real MNIST")
def test_the_real_files(own_cache, monkeypatch):
    monkeypatch.setenv("DLCOURSE_DATA", REAL_DATA)
    if mnist.FILES._find(None) is None:
        pytest.skip(f"there is no MNIST in {REAL_DATA}")
    data = prepare({"name": "mnist"}, 0).dataset
    assert np.bincount(data.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert len(data.test[1]) == 10_000 and data.y[:5].tolist() == [5, 0, 4, 1, 9]
    statistics = Normalizer.fit(data.x)
    np.testing.assert_allclose([statistics.shift / 255, statistics.scale / 255], [[0.1307], [0.3081]], atol=5e-5)
