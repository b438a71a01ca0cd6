"""npz files: what is read as what, and that no file, however made, does more than raise one clear error."""

import io
import warnings
import zipfile

import numpy as np
import pytest

from dlcourse import registry
from dlcourse.data import prepare
from dlcourse.data.arrays import Arrays
from dlcourse.data.dataset import DataSchema
from dlcourse.errors import ConfigError, DataError, UserError


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


def test_equal_numbers_in_texts_are_one_class(tmp_path):
    data = load(save(tmp_path, x=np.ones((6, 1)), y=np.array(["10", "9.0", "9", "9", "true", "True"])))
    assert data.class_names == ("9", "10", "True") and data.y.tolist() == [1, 0, 0, 0, 2, 2]
    y, y_test = np.array(["b", "a", "b"]), np.array(["c", "a"])
    data = load(save(tmp_path, x=np.ones((3, 1)), y=y, x_test=np.ones((2, 1)), y_test=y_test))
    assert data.class_names == ("a", "b", "c") and data.y.tolist() == [1, 0, 1] and data.test[1].tolist() == [2, 0]


def test_images_stay_bytes_and_the_test_part_is_its_own(tmp_path):
    random = np.random.default_rng(0)
    x = np.asfortranarray(random.integers(0, 256, (6, 4, 4, 3)).astype(np.uint8))
    path = save(tmp_path, x=x, y=np.arange(6) % 2, x_test=x[:2], y_test=np.array([0, 1]))
    data = prepare({"name": "arrays", "path": path, "split": {"val": 2}}, 0)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 4, "val": 2, "test": 2}
    assert data.splits["test"].x.dtype == np.uint8 and data.in_shape == (4, 4, 3) and data.out_features == 2
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
            r"the test split has inputs \(3,\)",
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


@pytest.mark.parametrize("y", [np.arange(40), np.array([f"name {i}" for i in range(40)])])
def test_labels_that_are_nearly_all_different_are_refused_unless_confirmed(tmp_path, y):
    path = save(tmp_path, x=np.ones((40, 2)), y=y)
    with pytest.raises(DataError, match="y holds 40 different (whole numbers|texts) in 40 samples"):
        load(path)
    assert len(load(path, task="classification").class_names) == 40
    if y.dtype.kind == "i":
        assert load(path, task="regression").y.shape == (40, 1)
    assert len(load(save(tmp_path, x=np.ones((10, 2)), y=y[:10])).class_names) == 10


@pytest.mark.parametrize(("shape", "noted"), [((3, 32, 32), 1), ((1, 28, 20), 1), ((32, 32, 3), 0), ((3, 3, 3), 0)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_with_their_channels_first_are_noted(tmp_path, shape, noted, dtype):
    path = save(tmp_path, x=np.zeros((4, *shape), dtype), y=np.array([0, 1, 0, 1]))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert load(path).x.shape == (4, *shape)
    assert len(found) == noted
    assert all("PyTorch's layout" in str(each.message) for each in found)
    assert all("x.transpose(0, 2, 3, 1)" in str(each.message) for each in found)


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
    monkeypatch.setattr("dlcourse.data.bounds.available", lambda: 256)
    with pytest.raises(DataError, match="more data than this machine has memory"):
        load(save(tmp_path, x=np.ones((100, 1)), y=np.ones(100)))


def test_a_small_file_that_becomes_large_is_refused_before_reading(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (32 << 20, 1)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", header.getvalue() + bytes(32 << 20))
        file.writestr("y.npy", b"")
    monkeypatch.setattr("dlcourse.data.bounds._MIN_BYTES", 1 << 20)
    message = "arrays x, y would take 32 MiB, more than the bound of 1 MiB for this file.*DLCOURSE_MAX_GIB=1 "
    with pytest.raises(DataError, match=message):
        load(str(path))
    monkeypatch.setenv("DLCOURSE_MAX_GIB", "1")
    with pytest.raises(DataError, match="damaged"):  # y, and so after x was read
        load(str(path))
    monkeypatch.setenv("DLCOURSE_MAX_GIB", "much")
    with pytest.raises(UserError, match="DLCOURSE_MAX_GIB: expected a number of GiB, got 'much'"):
        load(str(path))
    monkeypatch.setenv("DLCOURSE_MAX_GIB", "1e6")
    monkeypatch.setattr("dlcourse.data.bounds.available", lambda: 1 << 24)
    with pytest.raises(DataError, match="more data than this machine has memory .16 MiB free"):
        load(str(path))


def test_a_large_file_may_hold_as_much_as_it_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr("dlcourse.data.bounds._MIN_BYTES", 1 << 10)
    assert load(save(tmp_path, x=np.ones((5000, 2)), y=np.ones(5000))).x.shape == (5000, 2)


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f8', 'fortran", b"((((((((", b"{'descr': '<f8'\n\n\x00", b"'" * 9, b"1 +"]
)
def test_headers_that_are_no_python_are_one_clear_error(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "made.npz", "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        file.writestr("y.npy", b"")
    with pytest.raises(DataError, match="damaged"):
        load(str(tmp_path / "made.npz"))


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


def test_names_that_are_given_say_which_text_is_which_label(tmp_path) -> None:
    path = save(tmp_path, x=np.ones((3, 2)), y=np.array(["b", "a", "b"]))
    data = load(path, class_names=["b", "a", "c"])
    assert data.class_names == ("b", "a", "c") and data.y.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="y has 'b', which is none of the classes a, c"):
        load(path, class_names=["a", "c"])


def test_few_samples_have_the_classes_that_a_model_knows(tmp_path) -> None:
    known = DataSchema(None, ("cat", "dog", "owl"))
    path = save(tmp_path, x=np.ones((2, 4, 4, 3), "uint8"), y=np.array([2, 0]))
    data = Arrays(path).load_as(known)
    assert data.y.tolist() == [2, 0] and data.class_names == known.class_names
    with pytest.raises(UserError, match="3 names for 5 classes|label 4"):
        Arrays(save(tmp_path, x=np.ones((2, 2)), y=np.array([4, 0]))).load_as(known)


@pytest.mark.parametrize(
    ("y", "y_test", "messages"),
    [
        ([1, 2, 3, 1], None, "the label 0, and it counts among the 4 classes all the same; labels that count from 1"),
        ([0, 4, 1, 0], None, "the labels 2, 3, and they count among the 5 classes"),
        ([0, 1, 1, 0], [2], "the label 2, and it counts among the 3 classes all the same$"),
        (["a", "b", "b", "a"], ["c"], "the label c, and it counts among the 3 classes all the same$"),
    ],
)
def test_classes_without_a_sample_to_train_with_are_said(tmp_path, y, y_test, messages):
    test = {} if y_test is None else {"x_test": np.ones((1, 1)), "y_test": np.array(y_test)}
    path = save(tmp_path, x=np.ones((8, 1)), y=np.array([*y, *y]), **test)
    with pytest.warns(UserWarning, match=messages):
        load(path)


def test_arrays_that_look_like_splits_and_are_not_read_are_said(tmp_path):
    x, y = np.ones((4, 1)), np.array([0, 1, 0, 1])
    with pytest.warns(UserWarning, match="x_val, y_val are not read"):
        load(save(tmp_path, x=x, y=y, x_val=x, y_val=y, notes=x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(save(tmp_path, x=x, y=y, x_test=x, y_test=y, notes=x))
