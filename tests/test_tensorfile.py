"""The safetensors format: the same files as that package's, and no copies."""

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dlcourse as dl
from dlcourse import tensorfile
from dlcourse.errors import CheckpointError
from dlcourse.training.checkpoints import file_format

TYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int8, np.uint8, np.uint16, np.bool_, ">f4", ">i8"]


def written(arrays: dict, metadata: dict | None = None) -> bytes:
    return b"".join(tensorfile.pieces(arrays, metadata or {}))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TYPES).flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0))))
def test_its_own_reader_reads_it(array: np.ndarray) -> None:
    from safetensors.numpy import load

    arrays = {"ä": array, "turned": array.T, "b": np.arange(3, dtype=np.uint8), "c": np.float32(2) * np.ones(())}
    for name, found in load(written(arrays, {"key": 'a "text" ü'})).items():
        np.testing.assert_array_equal(found, arrays[name])
        assert found.shape == arrays[name].shape and found.dtype == arrays[name].dtype.newbyteorder("=")


def test_what_the_package_writes_is_read(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    arrays = {"w": np.arange(6.0).reshape(2, 3), "n": np.zeros((0, 3), np.float32), "s": np.array(3, np.int16)}
    save_file(arrays, tmp_path / "theirs.safetensors", metadata={"a": "b"})
    dl.save(tmp_path / "ours.safetensors", arrays)
    for found in (dl.load(tmp_path / "theirs.safetensors"), load_file(tmp_path / "ours.safetensors")):
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_bfloat16_and_what_the_format_lacks(tmp_path: Path) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    dl.save(tmp_path / "t.safetensors", {"a": np.arange(6).astype(bfloat16).reshape(2, 3).T})
    assert dl.load(tmp_path / "t.safetensors")["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(TypeError, match="'a' is of object, which safetensors cannot hold"):
        dl.save(tmp_path / "t.safetensors", {"a": np.array([None])})


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]},
        {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]},
        {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        [1],
        None,
    ],
)
def test_a_header_that_is_wrong_is_refused_before_memory_is_taken(entry: object, tmp_path: Path) -> None:
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "t.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        dl.load(path)
    for content in (b"", b"\xff" * 8, b"\xff" * 20, len(header).to_bytes(8, "little")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a readable safetensors"):
            dl.load(path)


def test_a_checkpoint_takes_no_memory_to_write_and_its_own_to_read(tmp_path: Path) -> None:
    side = 2000
    arrays = {f"model.{i}": np.ones((side, side), np.float32) for i in range(3)}
    arrays["model.turned"] = np.ones((side, side), np.float32).T
    total = sum(array.nbytes for array in arrays.values())
    path = tmp_path / "last.safetensors"
    tracemalloc.start()
    try:
        with open(path, "wb") as file:
            file_format.write(file, arrays, {"step": 1})
        assert tracemalloc.get_traced_memory()[1] < 3 * tensorfile.PIECE
        tracemalloc.reset_peak()
        with open(path, "rb") as file:
            found = file_format._read(file, path.stat().st_size, path)
        assert tracemalloc.get_traced_memory()[1] < total + 3 * tensorfile.PIECE
    finally:
        tracemalloc.stop()
    assert found.arrays["model.turned"].sum() == side * side
    from safetensors.numpy import load_file

    assert {name: array.shape for name, array in load_file(path).items()} == dict.fromkeys(arrays, (side, side))


def test_the_header_comes_first_and_every_array_is_aligned() -> None:
    content = written({"a": np.zeros(3, np.uint8), "b": np.zeros(1), "c": np.zeros(5, np.float16)})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0 and [header[name]["data_offsets"][0] for name in "bca"] == [0, 8, 18]
    arrays = tensorfile.layout(content[8 : 8 + length], len(content) - 8 - length)[1]
    file = io.BytesIO(content[8 + length :])
    assert b"".join(bytes(piece) for array in arrays.values() for piece in tensorfile.fill(file, array)) == bytes(21)
