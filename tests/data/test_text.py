"""Text: cut by position, windows that never reach over a cut, batches that are a function of (seed, step)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcourse import backend, cli
from dlcourse.data import Data, Loader, prepare
from dlcourse.data.text import decode, encode
from dlcourse.errors import ConfigError, DataError

TEXT = "".join(chr(ord("a") + (i * i // 5 + i // 3) % 17) + ("\n" if i % 11 == 0 else "") for i in range(500))


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "text.txt").write_text(TEXT)
    return str(tmp_path / "text.txt")


def data(path: str, context: int = 8, **section) -> Data:
    return prepare({"name": "text", "path": path, "context": context, **section}, seed=0)


def loader(found: Data, batch_size: int = 4, seed: int = 0, split: str = "train"):
    shuffle = split == "train"
    return Loader(found.splits[split], found.normalizer, backend.get("cpu"), "float32", batch_size, seed, shuffle)


def message(found: Data, tokens: np.ndarray) -> str:
    return decode(tokens.reshape(-1), list(found.dataset.class_names))


def test_parts_follow_one_another_and_windows_stay_within(path: str) -> None:
    found = data(path, split={"val": 0.2, "test": 0.1})
    assert list(found.splits) == ["train", "val", "test"]
    stretches = [message(found, subset.tokens) for subset in found.splits.values()]
    assert "".join(stretches) == TEXT
    assert [len(stretch) for stretch in stretches] == [
        len(TEXT) - round(0.2 * len(TEXT)) - round(0.1 * len(TEXT)), round(0.2 * len(TEXT)), round(0.1 * len(TEXT))
    ]  # fmt: skip
    for subset, stretch in zip(found.splits.values(), stretches, strict=True):
        windows, context = subset.x.shape
        assert subset.y.shape == (windows, context) and context == 8
        # Side by side from the start, and each target the character after: the last one is still the split's own.
        assert (
            message(found, subset.x) == stretch[: windows * 8]
            and message(found, subset.y) == stretch[1 : windows * 8 + 1]
        )
        assert len(stretch) - windows * 8 <= (16 if stretch is stretches[0] else 8)
        for row in (0, windows - 1):
            assert message(found, subset.x[row]) == TEXT[subset.index[row] : subset.index[row] + 8]


def test_sizes_of_input_and_output_come_from_the_text(path: str) -> None:
    found = data(path)
    assert (found.in_shape, found.out_features, found.task) == ((8,), len(set(TEXT)), "classification")
    assert found.dataset.class_names == ("\\n", *sorted(set(TEXT))[1:])
    assert encode("ab\n", list(found.dataset.class_names)).tolist() == [1, 2, 0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 3), st.integers(0, 40))
def test_a_training_batch_is_windows_of_the_training_part(path: str, context: int, batch: int, seed: int, step: int):
    found = data(path, context, split={"val": 0.3})
    it = loader(found, batch, seed)
    x, y = it.batch(step)
    train = TEXT[: len(found.splits["train"].tokens)]
    assert x.dtype == y.dtype == np.int64 and x.shape == y.shape and x.shape[1] == context
    for inputs, targets in zip(x, y, strict=True):
        window = message(found, inputs) + message(found, targets[-1:])
        assert window in train
        assert message(found, targets) == window[1:]
    again = loader(found, batch, seed)
    again.batch(step + 3)
    np.testing.assert_array_equal(again.batch(step)[0], x)
    np.testing.assert_array_equal(again.batch(step)[1], y)


def test_an_epoch_goes_through_the_text_once_from_an_offset_of_its_own(tmp_path: Path) -> None:
    letters = "".join(chr(0x4E00 + i) for i in range(100))  # each character once: a window says where it lies
    (tmp_path / "t.txt").write_text(letters, encoding="utf-8")
    it = loader(data(str(tmp_path / "t.txt"), context=7))
    starts = []
    for epoch in range(30):
        steps = range(epoch * it.steps_per_epoch, (epoch + 1) * it.steps_per_epoch)
        windows = np.concatenate([it.batch(step)[0] for step in steps])
        np.testing.assert_array_equal(windows - windows[:, :1], np.tile(np.arange(7), (13, 1)))
        first = np.sort(windows[:, 0])
        np.testing.assert_array_equal(np.diff(first), 7)  # side by side
        starts.append(first[0])
        assert not np.array_equal(first, windows[:, 0])  # in random order
    assert set(starts) == set(range(7))
    assert loader(data(str(tmp_path / "t.txt"), context=7), seed=1).batch(0)[0].tolist() != it.batch(0)[0].tolist()


def test_evaluation_sees_the_whole_part_in_order(path: str) -> None:
    found = data(path, split={"val": 0.2})
    for it in (loader(found, 3, split="val"), loader(found, 3).in_batches_of(5)):
        x, y = (np.concatenate(arrays) for arrays in zip(*it.batches(), strict=True))
        subset = found.splits["val" if len(x) == len(found.splits["val"]) else "train"]
        np.testing.assert_array_equal(x, subset.x)
        np.testing.assert_array_equal(y, subset.y)


def test_the_vocabulary_is_the_training_parts(tmp_path: Path) -> None:
    path = str(tmp_path / "t.txt")
    Path(path).write_text("abababababababcabab" + "abzab", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"the val split has characters .* 'z' \(character 21 of the file.*min_count: 1"
    ):
        data(path, 2, split={"val": 5})
    marked = data(path, 2, split={"val": 5}, min_count=1)
    assert marked.dataset.class_names == ("a", "b", "c", "<unk>")
    assert message(marked, marked.splits["val"].tokens) == "ab<unk>ab"
    rare = data(path, 2, split={"val": 5}, min_count=2)
    assert rare.dataset.class_names == ("a", "b", "<unk>")
    assert message(rare, rare.splits["train"].tokens) == "abababababababcabab".replace("c", "<unk>")


def test_limits_count_windows(path: str) -> None:
    found = data(path, split={"val": 0.3}, limit={"train": 5, "val": 2})
    assert [len(subset) for subset in found.splits.values()] == [5, 2]
    it = loader(found, 2)
    assert message(found, np.concatenate([it.batch(step)[0] for step in range(30)])).count("\n")
    assert len(found.splits["train"].tokens) <= 6 * 8


@pytest.mark.parametrize(("context", "sizes", "subset"), [(600, {}, "train"), (60, {"val": 60}, "val")])
def test_a_part_shorter_than_a_window(path: str, context: int, sizes: dict, subset: str) -> None:
    with pytest.raises(DataError, match=f"the {subset} split has .* characters; a window of data.context = {context}"):
        data(path, context, split=sizes)
    data(path, context - 1 if subset == "val" else 400, split=sizes)


def test_files_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latin.txt").write_bytes("Gedöns".encode("latin-1"))
    with pytest.raises(DataError, match="no UTF-8 text"):
        data(str(tmp_path / "latin.txt"), 2)
    (tmp_path / "same.txt").write_text("aaaaaaaa")
    with pytest.raises(DataError, match="one class only"):
        data(str(tmp_path / "same.txt"), 2)
    monkeypatch.setenv("DLCOURSE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"no data file .*tinyshakespeare\.txt"):
        prepare({"name": "text"}, seed=0)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "tinyshakespeare.txt").write_text(TEXT)
    assert prepare({"name": "text"}, seed=0).out_features == len(set(TEXT))


@pytest.mark.parametrize(
    "keys", [{"kfold": {"folds": 3}}, {"stratify": True}, {"normalize": "standardize"}, {"augment": {"flip": True}}]
)
def test_keys_without_a_meaning_for_tokens(path: str, keys: dict) -> None:
    with pytest.raises(ConfigError, match=f"data.{next(iter(keys))}: has no meaning for a sequence"):
        data(path, **keys)


def test_info_counts_characters(path: str, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["data", "info", "text", f"path={path}", "split.val=0.2", "context=8"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "val"] in lines and lines[-1][:2] == [str(len(set(TEXT))), "tokens;"]
    assert any(line[:1] == ["\\n"] for line in lines)
