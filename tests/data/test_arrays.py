"""npz files: what is read as what, and that no file, however made, does more than raise one clear error."""

import io
import zipfile

import numpy as np
import pytest

from dlcourse import registry
from dlcourse.data import prepare
from dlcourse.errors import ConfigError, DataError


def save(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def load(path, **parameters):
    return registry.build("data", {"name": "arrays", "path": path, **parameters}).load(0)


def test_floats_are_a_regression_and_vectors_become_columns(tmp_path):
    data = load(save(tmp_path, x=np.arange(4), y=np.arange(4.0)), feature_names=["time"], target_name="way")
    assert data.task == "regression" and data.x.shape == data.y.shape == (4, 1)
    assert data.x.dtype == data.y.dtype == np.float64
    assert (data.feature_names, data.target_name) == (("time",), "way")


def test_whole_numbers_are_classes_unless_told_otherwise(tmp_path):
    path = save(tmp_path, x=np.ones((4, 3), np.float32), y=np.array([0, 2, 1, 2], np.int32))
    data = load(path)
    assert data.task == "classification" and data.class_names == ("0", "1", "2") and data.y.dtype == np.int64
    assert data.x.dtype == np.float32 and data.feature_names == ("x1", "x2", "x3")
    assert load(path, task="regression").y.dtype == np.float64
    assert load(path, class_names=["a", "b", "c", "d"]).class_names == ("a", "b", "c", "d")


def test_texts_are_classes(tmp_path):
    data = load(save(tmp_path, x=np.ones((3, 1)), y=np.array(["dog", "cat", "dog"])))
    assert data.class_names == ("cat", "dog") and data.y.tolist() == [1, 0, 1]


def test_pictures_stay_bytes_and_the_test_part_is_its_own(tmp_path):
    random = np.random.default_rng(0)
    x = np.asfortranarray(random.integers(0, 256, (6, 4, 4, 3)).astype(np.uint8))
    path = save(tmp_path, x=x, y=np.arange(6) % 2, x_test=x[:2], y_test=np.array([0, 1]))
    data = prepare({"name": "arrays", "path": path, "split": {"val": 2}}, 0)
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 4, "val": 2, "test": 2}
    assert data.parts["test"].x.dtype == np.uint8 and data.in_shape == (4, 4, 3) and data.out_features == 2
    np.testing.assert_array_equal(data.dataset.x, x)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((3, 1))}, "has no array 'y'; it holds x"),
        ({"x": np.ones((3, 1)), "y": np.ones(2)}, "3 inputs but 2 targets"),
        ({"x": np.ones((0, 1)), "y": np.ones(0)}, "inputs hold nothing"),
        ({"x": np.ones((3, 0)), "y": np.ones(3)}, "inputs hold nothing"),
        ({"x": np.array([[1.0], [np.nan]]), "y": np.ones(2)}, r"x holds nan in row 1 \(the first is 0\)"),
        ({"x": np.ones((2, 1)), "y": np.array([np.inf, 0])}, "y holds inf in row 0"),
        ({"x": np.ones((2, 1)), "y": np.array([0, -1])}, "label -1 in row 1"),
        ({"x": np.ones((3, 1)), "y": np.array([0, 1, 2**40])}, "label 1099511627776 in row 2"),
        ({"x": np.ones((3, 1)), "y": np.zeros(3, int)}, "one class"),
        ({"x": np.ones((3, 1)), "y": np.zeros((3, 2), int)}, r"class labels have shape \(3, 2\)"),
        ({"x": np.array(["a", "b"]), "y": np.ones(2)}, "x is <U1"),
        ({"x": np.ones(2, complex), "y": np.ones(2)}, "x is complex128"),
        ({"x": np.ones((2, 1)), "y": np.array([{}, {}])}, "holds Python objects, which are not read"),
        ({"x": np.ones((2, 1)), "y": np.array(3)}, "expected numbers or texts, one a sample"),
        ({"x": np.ones((2, 1)), "y": np.ones(2), "x_test": np.ones((2, 1))}, "x_test and y_test go together"),
        (
            {"x": np.ones((2, 1)), "y": np.ones(2), "x_test": np.ones((2, 3)), "y_test": np.ones(2)},
            r"the test part has inputs \(3,\)",
        ),
        (
            {"x": np.ones((3, 1)), "y": np.array([0, 1, 1]), "x_test": np.ones((1, 1)), "y_test": np.array([3])},
            "label 3 in row 0",
        ),
    ],
)
def test_wrong_contents_are_named(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as raised:
        prepare({"name": "arrays", "path": save(tmp_path, **arrays)}, 0)
    assert "data.npz" in str(raised.value)


def test_parameters_that_cannot_be_are_refused(tmp_path):
    path = save(tmp_path, x=np.ones((3, 2)), y=np.array([0, 1, 1]))
    with pytest.raises(ConfigError, match="data.class_names: 1 names for 2 classes"):
        load(path, class_names=["a"])
    with pytest.raises(ConfigError, match="data.feature_names: 1 names for 2 columns"):
        load(path, feature_names=["a"])
    with pytest.raises(ConfigError, match="holds texts"):
        load(save(tmp_path, x=np.ones((1, 1)), y=np.array(["a"])), task="regression")


def archive(folder, header: dict | None = None, body: bytes = b"", **members):
    """An archive of a good y and an x with that header and body, whatever they are."""
    raw = io.BytesIO()
    if header is not None:
        np.lib.format.write_array_header_1_0(raw, header)
    path = folder / "made.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", raw.getvalue() + body)
        with file.open("y.npy", "w") as stream:
            np.lib.format.write_array(stream, np.ones(3))
    return str(path)


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        ({"descr": "<f8", "fortran_order": False, "shape": (2**40,)}, b"", "declares 8796093022208 bytes but 0 follow"),
        ({"descr": "<f8", "fortran_order": False, "shape": (3,)}, b"\0" * 16, "declares 24 bytes but 16 follow"),
        ({"descr": "<f8", "fortran_order": False, "shape": (3,)}, b"\0" * 32, "declares 24 bytes but 32 follow"),
        ({"descr": "|O", "fortran_order": False, "shape": (3,)}, b"cos\nsystem\n(S'true'\ntR.", "Python objects"),
        (None, b"", "not an .npz archive"),
        (None, b"not numpy at all", "not an .npz archive"),
        (None, b"\x93NUMPY\x09\x00", "unknown format version|not an .npz archive"),
    ],
)
def test_headers_are_compared_with_what_follows(tmp_path, header, body, message):
    with pytest.raises(DataError, match=message):
        load(archive(tmp_path, header, body))


def test_more_than_memory_is_refused_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 16)
    with pytest.raises(DataError, match="more data than this machine has memory"):
        load(save(tmp_path, x=np.ones((100, 1)), y=np.ones(100)))


def test_damaged_files_give_one_clear_error(tmp_path):
    whole = open(save(tmp_path, x=np.arange(40.0), y=np.arange(40.0)), "rb").read()
    path = tmp_path / "damaged.npz"
    refused = 0
    damaged = [whole[:size] for size in range(0, len(whole), 37)]
    damaged += [whole[:i] + bytes([whole[i] ^ 8]) + whole[i + 1 :] for i in range(0, len(whole), 5)]
    damaged += [b"<html>proxy error</html>", b"PK\x03\x04"]
    for content in damaged:
        path.write_bytes(content)
        try:
            data = load(str(path))
        except DataError as error:
            assert "damaged.npz" in str(error)
            refused += 1
        else:  # a bit that means nothing, as in a file's time stamp
            np.testing.assert_array_equal(data.x[:, 0], np.arange(40.0))
    assert refused > len(damaged) * 0.8
