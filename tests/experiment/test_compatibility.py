"""Numbers that a run's floating-point type cannot hold are refused before anything is trained on infinities."""

import warnings

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.data import prepare
from dlcourse.errors import DataError
from dlcourse.experiment.compatibility import check_range

KNN = {
    "data": {"name": "arrays", "split": {"train": 20, "val": 10}},
    "model": {"name": "knn", "k": 3},
    "optimizer": "closed_form",
    "metrics": ["accuracy"],
}


def accuracy(tmp_path, size, **changes):
    x = np.random.default_rng(0).normal(size=(30, 2))
    np.savez(tmp_path / "d.npz", x=x * size, y=(x[:, 0] > 0).astype(int))
    config = {**KNN, "name": "k", "data": {**KNN["data"], "path": str(tmp_path / "d.npz")}}
    return dl.run(config, overrides=changes, out=tmp_path, plots=False, quiet=True).metrics["val"]["accuracy"]


def test_inputs_beyond_the_type_are_an_error(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"'x1' is -?\S+e\+200 in the train split, and float32 holds at most 3.4"):
            accuracy(tmp_path, [1e200, 1])
        accuracy(tmp_path, [1e5, 1])
        data = prepare({**KNN["data"], "path": str(tmp_path / "d.npz")}, 0)
        with pytest.raises(DataError, match="float16 holds at most"):
            check_range(data, np.dtype("float16"))
        usual = accuracy(tmp_path, [1, 1], **{"data.normalize": "standardize"})
        assert accuracy(tmp_path, [1e200, 1], **{"data.normalize": "standardize"}) == usual


def test_targets_beyond_the_type_are_an_error(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(8.0), y=np.arange(8.0) * 1e39)
    data = {"name": "arrays", "path": str(tmp_path / "d.npz")}
    config = {"name": "l", "data": data, "model": "linear", "loss": "mse", "optimizer": "least_squares"}
    with pytest.raises(DataError, match=r"'y' is 7e\+39 in the train split, and float32 holds at most 3.4"):
        dl.run(config, out=tmp_path, plots=False, quiet=True)
    assert dl.run(config, overrides={"precision": "float64"}, out=tmp_path, plots=False, quiet=True).folder
