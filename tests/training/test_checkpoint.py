from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dlcourse.errors import CheckpointError
from dlcourse.models import GPT
from dlcourse.training.checkpoints.content import load_weights
from dlcourse.training.checkpoints.file_format import Checkpoint, flatten, read, unflatten, verify
from tests.checkpoint_bytes import decode, encode

HERE = Path("some.safetensors")
ARRAYS = {
    "model.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "model.scalar": np.array(1.5),
    "model.none": np.zeros((0, 3), dtype=np.float32),
}
TRICKY = 'a "quote", \\" a backslash, "sha256": "' + "f" * 64 + '"'
STATE = {"step": 7, "text": TRICKY, "deep": {"list": [1, None, 0.1]}}


def test_what_was_written_comes_back() -> None:
    found = decode(encode(ARRAYS, STATE), HERE)
    assert found.state == STATE
    assert set(found.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    assert set(found.group("model")) == {"weight", "scalar", "none"}


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_any_array_comes_back_transposed_ones_too(array: np.ndarray) -> None:
    given_arrays = {"a": array, "t": array.T, "s": array[::-1] if array.ndim else array}
    found = decode(encode(given_arrays, {"step": 0}), HERE)
    for name, each in given_arrays.items():
        np.testing.assert_array_equal(found.arrays[name], each, strict=True)


def test_the_same_state_gives_the_same_bytes() -> None:
    assert encode(ARRAYS, STATE) == encode(dict(reversed(ARRAYS.items())), STATE)


def test_every_single_flipped_bit_is_found() -> None:
    content = encode({"weight": np.arange(8, dtype=np.float32)}, {"step": 3})
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            decode(bytes(damaged), HERE)


def test_a_file_cut_short_anywhere_or_too_long_is_found() -> None:
    content = encode(ARRAYS, STATE)
    for length in range(len(content)):
        with pytest.raises(CheckpointError):
            decode(content[:length], HERE)
    with pytest.raises(CheckpointError):
        decode(content + b"\0", HERE)


def test_what_is_no_checkpoint_is_said_in_one_line(tmp_path: Path) -> None:
    from safetensors.numpy import save

    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(save({"a": np.zeros(3)}))
    with pytest.raises(CheckpointError, match="no checkpoint of this program"):
        read(foreign)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read(tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_verify_lists_everything_that_does_not_fit() -> None:
    expected = {"a": np.zeros(3), "b": np.zeros(2), "c": np.zeros(4, dtype=np.float32), "same": np.zeros(1)}
    found = {"b": np.zeros((2, 1)), "c": np.zeros(4), "d": np.zeros(5), "same": np.ones(1)}
    with pytest.raises(CheckpointError) as caught:
        verify(expected, found, HERE, "the model")
    assert str(caught.value).splitlines() == [
        "some.safetensors: does not fit the model:",
        "  differs: b: expected (2,) float64, got (2, 1) float64",
        "  differs: c: expected (4,) float32, got (4,) float64",
        "  extra: d (5,) float64",
        "  missing: a (3,) float64",
    ]


def test_nested_states_are_taken_apart_and_put_together() -> None:
    tree = {"step": 3, "optimizer": {"arrays": {"m": np.ones(2), "v": np.zeros(2)}, "steps": 3}, "none": None}
    arrays: dict[str, np.ndarray] = {}
    plain = flatten(tree, "train_step", arrays)
    assert set(arrays) == {"train_step.optimizer.arrays.m", "train_step.optimizer.arrays.v"}
    back = unflatten(plain, arrays)
    assert back["optimizer"]["arrays"]["m"] is arrays["train_step.optimizer.arrays.m"]
    assert back["step"] == 3 and back["none"] is None and back["optimizer"]["steps"] == 3


def test_a_gpt_of_an_earlier_version_is_loaded_by_the_names_that_it_has_now() -> None:
    model, other = (GPT((4,), 3, layers=1, heads=2, width=4) for _ in range(2))
    earlier = {"token_embedding.weight": "symbols.weight", "position_embedding.weight": "places.weight"}
    state = model.state_dict()
    assert earlier.keys() <= state.keys()
    arrays = {f"model.{earlier.get(name, name)}": array for name, array in state.items()}
    load_weights(other, Checkpoint(arrays, {}, HERE))
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
