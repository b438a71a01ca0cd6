"""Spelling mistakes: half of the windows have them, where a word has letters to swap."""

from pathlib import Path

import numpy as np
import pytest

from dlcourse.data import Data, prepare
from dlcourse.data.text import decode
from dlcourse.errors import ConfigError

TEXT = "Counsel them softly, good uncle; aaaa bbb ooooo\n" * 60


def data(tmp_path: Path, **section) -> Data:
    (tmp_path / "text.txt").write_text(TEXT)
    return prepare({"name": "typos", "path": str(tmp_path / "text.txt"), "context": 48, **section}, seed=0)


@pytest.mark.parametrize("tokenizer", ["characters", "bytes"])
def test_half_of_the_windows_have_mistakes(tmp_path: Path, tokenizer: str) -> None:
    found = data(tmp_path, tokenizer=tokenizer, split={"test": 0.5}, mistakes=2)
    assert found.task == "classification" and not found.every_step and found.class_names == ("right", "wrong")
    assert found.vocab_size == len(found.dataset.token_names) == (256 if tokenizer == "bytes" else len(set(TEXT)))
    train, test = found.splits["train"], found.splits["test"]
    for split in (train, test):
        assert 0.2 < split.y.mean() < 0.8 and split.x.shape == (len(split), 48)
        for x, label in zip(split.x, split.y, strict=True):
            text = decode(x, found.dataset.token_names, found.dataset.tokenizer)
            swapped = [place for place in range(48) if text[place] != TEXT[place]]
            assert sorted(text) == sorted(TEXT[:48]) and len(swapped) == 4 * label
            for first, second in zip(swapped[::2], swapped[1::2], strict=True):
                assert second == first + 1 and text[first : first + 2] == TEXT[second] + TEXT[first]
                assert text[first - 1].isalpha() and text[second + 1].isalpha()  # a word's ends stay
    again, other = data(tmp_path, tokenizer=tokenizer), data(tmp_path, tokenizer=tokenizer, seed=1)
    assert (again.splits["train"].x != other.splits["train"].x).any()
    few = data(tmp_path, tokenizer=tokenizer, limit={"train": 7}, split={"test": 0.5})
    np.testing.assert_array_equal(few.splits["test"].x, test.x)
    assert len(few.splits["train"]) == 7 and few.vocab_size == found.vocab_size


def test_tokens_of_several_letters(tmp_path: Path) -> None:
    from dlcourse.config import resolve

    with pytest.raises(ConfigError, match="data.tokenizer: expected characters or bytes, got 'bpe'"):
        resolve({"data": {"name": "typos", "tokenizer": "bpe"}, "model": "text_classifier", "loss": "cross_entropy",
                 "optimizer": "adam"})  # fmt: skip
