"""Rows of an array that are copied when they are asked for."""

import numpy as np
import pytest

from dlcourse.data.rows import Rows

WHOLE = np.arange(60).reshape(10, 3, 2)
INDEX = np.array([1, 4, 5, 9])


@pytest.mark.parametrize(
    "key", [slice(None), slice(1, 3), slice(2, 9), np.array([3, 0, 0]), np.array([1, 0, 0, 1]) > 0, 2]
)
def test_they_answer_as_a_copy_would(key):
    np.testing.assert_array_equal(Rows(WHOLE, INDEX)[key], WHOLE[INDEX][key])


def test_they_say_what_a_copy_would():
    rows, copied = Rows(WHOLE, INDEX), WHOLE[INDEX]
    for what in ("shape", "dtype", "ndim", "size", "nbytes"):
        assert getattr(rows, what) == getattr(copied, what)
    assert len(rows) == 4


def test_numpy_takes_them_for_an_array():
    rows = Rows(WHOLE, INDEX)
    np.testing.assert_array_equal(np.asarray(rows), WHOLE[INDEX])
    assert np.asarray(rows, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([rows, rows]), np.concatenate([WHOLE[INDEX]] * 2))
