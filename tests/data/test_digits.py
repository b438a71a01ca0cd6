"""scikit-learn's digits, and the message without scikit-learn."""

import importlib.util

import numpy as np
import pytest

from dlcourse.data import prepare
from dlcourse.errors import DlcourseError


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_digits_are_small_images():
    data = prepare({"name": "digits", "split": {"test": 297}}, 0)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 1500, "test": 297}
    assert data.in_shape == (8, 8, 1) and data.out_features == 10
    x = data.dataset.x
    assert x.dtype == "uint8" and x.min() == 0 and x.max() == 16
    assert data.dataset.y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_they_are_those_that_scikit_learn_loads():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    dataset = prepare({"name": "digits"}, 0).dataset
    np.testing.assert_array_equal(dataset.x.reshape(-1, 64), pixels)
    np.testing.assert_array_equal(dataset.y, labels)


def test_without_scikit_learn_the_command_that_installs_it_is_said(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else real(name))
    with pytest.raises(DlcourseError, match="needs scikit-learn, which is not installed: .* -m pip install .*digits"):
        prepare({"name": "digits"}, 0)
