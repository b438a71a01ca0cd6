"""CIFAR-10's batches: pickles are read and never run, and what they hold is checked."""

import pickle
import struct

import numpy as np
import pytest

from dlcourse.data.sources.cifar_batch import parse_binary, parse_python
from dlcourse.errors import DataError
from tests.data.images import pickled_batch

SAMPLES = 3
PIXELS = np.random.default_rng(0).integers(0, 256, (SAMPLES, 3072), dtype=np.uint8)
LABELS = [0, 9, 4]
GOOD = pickled_batch(PIXELS.tobytes(), LABELS)


def test_both_versions_give_channels_last_images():
    records = np.concatenate([np.array(LABELS, np.uint8)[:, None], PIXELS], axis=1).tobytes()
    for images, labels in (parse_python(GOOD, SAMPLES, "f"), parse_binary(records, SAMPLES, "f")):
        assert images.shape == (SAMPLES, 32, 32, 3) and images.dtype == np.uint8
        for channel in range(3):
            plane = PIXELS[:, 1024 * channel : 1024 * (channel + 1)].reshape(-1, 32, 32)
            np.testing.assert_array_equal(images[..., channel], plane)
        assert labels.tolist() == LABELS


class Evil:
    """What a pickle can do to its reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_not_run(tmp_path, protocol):
    trace = tmp_path / "trace"
    payload = pickle.dumps(Evil(str(trace)), protocol)
    for content in (payload, pickle.dumps({"data": Evil(str(trace)), "labels": LABELS}, protocol)):
        with pytest.raises(DataError, match="is no CIFAR-10 batch") as raised:
            parse_python(content, SAMPLES, "data_batch_1")
        assert "\n" not in str(raised.value) and not trace.exists()
    pickle.loads(payload).close()
    assert trace.exists(), "the payload was none"


def test_a_call_hidden_in_an_otherwise_good_batch_is_refused():
    content = pickled_batch(PIXELS.tobytes(), LABELS, before=b"cposix\nsystem\nU\x02id\x85R0")
    with pytest.raises(DataError, match="it asks for 'posix system', so it is not read further"):
        parse_python(content, SAMPLES, "data_batch_1")
    content = pickled_batch(PIXELS.tobytes(), LABELS, before=b"\x82\x01")
    with pytest.raises(DataError, match="it uses EXT1"):
        parse_python(content, SAMPLES, "data_batch_1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no CIFAR-10 batch"),
        (b"<html>", "is no CIFAR-10 batch"),
        (pickled_batch(PIXELS.tobytes(), LABELS[:2]), "2 labels for 3 images"),
        (pickled_batch(PIXELS.tobytes(), [*LABELS, 1]), "4 labels for 3 images"),
        (pickled_batch(PIXELS.tobytes()[:-1], LABELS), "one string of 9,216 pixels, found 9,215"),
        (pickled_batch(PIXELS.tobytes(), [0, 10, 255]), r"label 10 of image 1 \(the first is 0\) is not in 0..9"),
        (pickled_batch(PIXELS.tobytes(), [0, 1, 266]), "label 266 of image 2"),
        (b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + bytes(9), "is no CIFAR-10 batch"),
        (b"\x80\x02T" + struct.pack("<i", -5) + bytes(9), "is no CIFAR-10 batch"),
        (b"\x80\x02}(U\x06labels](K\x00K\x01K\x02eu.", "found none"),
    ],
)
def test_a_batch_that_holds_something_else_is_refused(content, message):
    with pytest.raises(DataError, match=message) as raised:
        parse_python(content, SAMPLES, "data_batch_1")
    assert "data_batch_1" in str(raised.value) and "\n" not in str(raised.value)


def test_damaged_pickles_end_in_one_error_or_in_whole_arrays():
    head = len(GOOD) - PIXELS.size - 4
    for size in [*range(0, head, 3), len(GOOD) - 2000, len(GOOD) - 1]:
        with pytest.raises(DataError):
            parse_python(GOOD[:size], SAMPLES, "f")
    for i in range(head):
        for bit in (1, 64):
            try:
                images, labels = parse_python(GOOD[:i] + bytes([GOOD[i] ^ bit]) + GOOD[i + 1 :], SAMPLES, "f")
            except DataError:
                continue
            assert images.shape == (SAMPLES, 32, 32, 3) and labels.shape == (SAMPLES,) and labels.max() < 10


def test_binary_records_are_checked():
    records = np.concatenate([np.array(LABELS, np.uint8)[:, None], PIXELS], axis=1)
    for size in (0, 1, 3072, records.size - 1, records.size + 1):
        with pytest.raises(DataError, match="bytes are not 3 records of 3073"):
            parse_binary((records.tobytes() + b"x")[:size], SAMPLES, "data_batch_1.bin")
    records[2, 0] = 10
    with pytest.raises(DataError, match="data_batch_1.bin: label 10 of image 2"):
        parse_binary(records.tobytes(), SAMPLES, "data_batch_1.bin")
