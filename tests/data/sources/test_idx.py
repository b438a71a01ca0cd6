"""idx files: what a header declares is compared with what is there before anything is made of it."""

import numpy as np
import pytest

from dlcourse.data.sources.idx import parse_idx
from dlcourse.errors import DataError
from tests.data.images import idx

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("shape", [(24,), (2, 12), (2, 3, 4), (1, 1, 24, 1)])
def test_an_array_comes_back(shape):
    array = parse_idx(idx(ARRAY.reshape(shape)), "f")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, ARRAY.reshape(shape))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file of unsigned bytes: it begins with nothing"),
        (b"<html>", "no idx file of unsigned bytes: it begins with 3c 68 74 6d"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01", "no idx file of unsigned bytes"),
        (b"\x00\x00\x08\x03\x00\x00\x00\x01", "ends within its header of 3 axes"),
        (b"\x00\x00\x08\xff" + bytes(40), "ends within its header of 255 axes"),
        (idx(ARRAY, (1 << 20, 1 << 20)), "declares 1048576 x 1048576 = 1099511627776 bytes, but 24 follow"),
        (idx(ARRAY, ((1 << 32) - 1,) * 16), "bytes, but 24 follow"),
        (idx(ARRAY, (2, 3, 5)), "declares 2 x 3 x 5 = 30 bytes, but 24 follow"),
        (idx(ARRAY)[:-1], "= 24 bytes, but 23 follow"),
        (idx(ARRAY) + b"x", "= 24 bytes, but 25 follow"),
    ],
)
def test_what_does_not_fit_is_refused(content, message):
    with pytest.raises(DataError, match=message) as raised:
        parse_idx(content, "digits.idx")
    assert str(raised.value).startswith("digits.idx ")
