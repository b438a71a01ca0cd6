"""Byte-pair encoding: known merges, any text comes back, and the tokens are those of the package ``tokenizers``."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.data import Data, prepare
from dlcourse.data.byte_pairs import BytePairs, pieces
from dlcourse.data.text import decode, encode, shown_tokens, token_sizes
from dlcourse.errors import ConfigError, DataError

TEXT = "the cat sat on the mat; that cat's hat is the hat that the cat sat on.\n\n  The end of 1234 hats\n" * 4
ODD = "ab c'sdmtlvre  \n\t1²½Ⅳ一éßあ🎉\u00a0\u2003\u0085\x1c_-—ſ\u200d\u0301"
"""Letters, numbers and spaces of all kinds, and what is none of them."""
ENGLISH = BytePairs.train(TEXT, 280)


def test_tokens_are_shown_as_the_text_that_they_stand_for() -> None:
    shown = shown_tokens(ENGLISH.names, ENGLISH)
    assert {" the", "hat", "\\n", " "} <= set(shown) and "Ġthe" in ENGLISH.names
    odd = [name for name, text in zip(ENGLISH.names, shown, strict=True) if len(name) == 1 and text == name != " "]
    assert len(set(shown)) == len(shown) and len(odd) > 200  # of one byte that is no text the name stays
    assert shown_tokens(("a", "\\n")) == ["a", "\\n"]


def test_merges_by_hand() -> None:
    """Of "aaabdaaabac" with "aa", then "ab" (Gage 1994); a, b, c, d are the tokens 64 to 67."""
    found = BytePairs.train("aaabdaaabac", 259)
    assert found.merges == ((64, 64), (64, 65), (256, 257))  # of "aa" and "aaab" four and two
    assert found.names[256:] == ("aa", "ab", "aaab")
    assert found.encode("aaabdaaabac").tolist() == [258, 67, 258, 64, 66]
    assert found.encode("aaaa").tolist() == [256, 256] and found.encode("").tolist() == []
    np.testing.assert_array_equal(found.bytes[[64, 256, 258]], [1, 2, 4])


def test_pieces() -> None:
    text = "it's  I'll 12ab \n\n x_y—é1\u00a0z"
    assert "".join(pieces(text)) == text
    assert list(pieces(text)) == ["it", "'s", " ", " I", "'ll", " 12", "ab", " \n\n", " x", "_", "y", "—", "é", "1",
                                  "\u00a0", "z"]  # fmt: skip


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    tokens = ENGLISH.encode(text)
    assert ENGLISH.decode(tokens) == text
    assert ENGLISH.characters[tokens].sum() == len(text)
    assert ENGLISH.bytes[tokens].sum() == len(text.encode())


def test_what_is_no_utf8() -> None:
    assert ENGLISH.decode(ENGLISH.encode("é")[:1]) == "\ufffd"
    with pytest.raises(DataError, match="no character of UTF-8"):
        encode("a\ud800", (), ENGLISH)


@pytest.mark.parametrize("merges", [[[64, 256]], [[64]], [[64, -1]], [[1, 2], [3, 257]]])
def test_merges_of_a_damaged_file(merges: list) -> None:
    with pytest.raises(DataError, match="merges: expected two numbers below"):
        BytePairs(tuple(map(tuple, merges)))


def test_too_few_and_too_many_tokens() -> None:
    with pytest.raises(ConfigError, match="at least 256, got 255"):
        BytePairs.train(TEXT, 255)
    with pytest.raises(ConfigError, match="gives 258 tokens at most, got 300"):
        BytePairs.train("aaaa", 300)


def test_the_package_tokenizers_finds_the_same() -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    draw = random.Random(0)
    texts = [TEXT, *("".join(draw.choices(ODD, k=draw.randint(1, 60))) * 3 for _ in range(60))]
    for text in texts:
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
        theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        settings = {"initial_alphabet": tokenizers.pre_tokenizers.ByteLevel.alphabet(), "show_progress": False}
        size = 280 if text is TEXT else 258
        theirs.train_from_iterator([text], tokenizers.trainers.BpeTrainer(vocab_size=size, **settings))
        vocabulary = theirs.get_vocab()
        if len(vocabulary) < size:
            with pytest.raises(ConfigError, match=f"gives {len(vocabulary)} tokens at most"):
                BytePairs.train(text, size)
            continue
        ours = BytePairs.train(text, size)
        assert list(ours.names) == sorted(vocabulary, key=vocabulary.__getitem__)
        for each in (text, text[::-1]):
            assert ours.encode(each).tolist() == theirs.encode(each).ids


# --- as data ----------------------------------------------------------------------------------------------------------


def data(path: Path, text: str = TEXT, **section) -> Data:
    (path / "text.txt").write_text(text, encoding="utf-8")
    return prepare({"name": "text", "path": str(path / "text.txt"), "context": 8, **section}, seed=0)


def test_the_tokenizer_learns_from_the_training_split_alone(tmp_path: Path) -> None:
    found = data(tmp_path, TEXT + "zzzz" * 50 + "ñ", split={"val": 201}, tokenizer="bpe", vocab_size=280)
    assert found.dataset.tokenizer == ENGLISH and found.dataset.target_name == "next token"
    assert found.class_names == ENGLISH.names and found.out_features == 280
    val = found.splits["val"]
    assert decode(val.tokens, found.class_names, ENGLISH) == "zzzz" * 50 + "ñ"
    assert val.index[0] == len(found.splits["train"].tokens)
    assert val.tokens.size == 202  # bytes: the training split has no z
    plain = data(tmp_path, "naïve text " * 9, tokenizer="bytes")
    assert plain.out_features == 256 and plain.splits["train"].tokens.size == 108
    few = data(tmp_path, tokenizer="bytes", split={"val": 0.5}, limit={"train": 3, "val": 2})
    assert [len(split) for split in few.splits.values()] == [3, 2]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tokenizer": "bpe"}, "data.vocab_size: is missing"),
        ({"tokenizer": "bytes", "vocab_size": 300}, "data.vocab_size: is of bpe"),
        ({"vocab_size": 300}, "data.vocab_size: is of bpe, and these are characters"),
        ({"tokenizer": "bpe", "vocab_size": 100}, "data.vocab_size: each byte is a token"),
        ({"tokenizer": "bpe", "vocab_size": 9000}, "data.vocab_size: the training split gives"),
        ({"tokenizer": "bytes", "min_count": 2}, "data.min_count: is of characters"),
        ({"tokenizer": "bytes", "context": 900}, "the train split has 380 tokens; a window .* and the token after"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, keys: dict, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        data(tmp_path, **keys)


def test_sizes_of_tokens() -> None:
    np.testing.assert_array_equal(token_sizes(["\\n", "a", "é", "—"], None)["bytes"], [1, 1, 2, 3])
    assert set(token_sizes(["a", "<unk>"], None)) == {"characters"}
    assert set(token_sizes(ENGLISH.names, ENGLISH)) == {"characters", "bytes"}
