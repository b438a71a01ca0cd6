"""Pairs of sequences: what is asked and answered, padding, and that no two are alike."""

import datetime

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.data.sequence_pairs import DateFormats, ReversedStrings
from dlcourse.data.text import decode, encode
from dlcourse.errors import ConfigError
from dlcourse.special_tokens import EOS, NAMES, PAD


def texts(data, rows: np.ndarray) -> list[str]:
    return [decode(row[(row != PAD) & (row != EOS)], list(data.class_names)) for row in rows]


def test_strings_are_answered_backwards_and_none_comes_twice() -> None:
    data = ReversedStrings(samples=300, min_length=2, max_length=5, letters=6).load(0)
    assert (
        data.class_names == (*NAMES, *"abcdef") and data.pairs and data.x.shape == (300, 5) and data.y.shape == (300, 6)
    )
    asked, answered = texts(data, data.x), texts(data, data.y)
    assert answered == [text[::-1] for text in asked] and len(set(asked)) == 300
    assert {len(text) for text in asked} == {2, 3, 4, 5}
    ends = (data.y == EOS).argmax(axis=1)
    assert [*ends] == [len(text) for text in asked]
    assert all((row[end + 1 :] == PAD).all() for row, end in zip(data.y, ends, strict=True))


def test_dates_are_written_in_one_format() -> None:
    data = DateFormats(samples=500).load(0)
    asked, answered = texts(data, data.x), texts(data, data.y)
    assert len(set(asked)) == 500 and data.y.shape == (500, 11)
    shapes = {"".join("9" if c.isdigit() else "a" if c.isalpha() else c for c in text) for text in asked}
    assert {"99.99.9999", "99/99/9999", "99 aaa 9999", "aaaaaaa 9, 9999"} <= shapes
    for text, answer in zip(asked, answered, strict=True):
        date = datetime.date.fromisoformat(answer)
        numbers = f"{date:%d.%m.%Y}", f"{date:%m/%d/%Y}"
        words = f"{date.day} {date:%b %Y}", f"{date:%B} {date.day}, {date.year}", f"{date:%A}, {date.day} {date:%B %Y}"
        assert text in {each.lower() for each in (*numbers, *words)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReversedStrings(min_length=6, max_length=5), "data.max_length: .* min_length = 6 to 200, got 5"),
        (lambda: ReversedStrings(max_length=2000), "data.max_length: "),
        (lambda: ReversedStrings(letters=27), "data.letters: the alphabet has 26, got 27"),
        (lambda: ReversedStrings(samples=50, letters=2, min_length=1, max_length=4), "data.samples: there are 30 such"),
        (lambda: DateFormats(samples=10**6), "data.samples: at most"),
    ],
)
def test_what_cannot_be_drawn(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_tokens_are_not_scaled() -> None:
    with pytest.raises(ConfigError, match="data.normalize: has no meaning for a sequence of tokens"):
        dl.load_data("reversed_strings", samples=20, normalize="standardize")


def test_special_tokens_are_no_characters_of_a_text() -> None:
    data = dl.load_data("reversed_strings", samples=20, letters=3)
    names = list(data.class_names)
    assert decode(np.arange(6), names) == "<pad><bos><eos>abc" and encode("cab", names).tolist() == [5, 3, 4]
