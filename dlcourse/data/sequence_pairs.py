"""Sequences to be answered by other sequences: strings to be reversed, and dates to be written in one format."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, digits
from typing import TypeVar

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
from dlcourse.data.text import encode
from dlcourse.errors import ConfigError
from dlcourse.registry import register
from dlcourse.special_tokens import EOS, NAMES, PAD
from dlcourse.types import Count

T = TypeVar("T")

CHUNK = 1024
"""Drawn at a time, however many are wanted, so that more keep the first ones."""
MAX_LENGTH = 200
"""Of the strings to reverse."""
FIRST_DAY, DAYS = datetime.date(1900, 1, 1), 73_049
"""The dates are those of the years 1900 to 2099."""
FORMATS = (
    "{date:%d.%m.%Y}",
    "{date:%m/%d/%Y}",
    "{date.day} {month:.3} {date.year}",
    "{month} {date.day}, {date.year}",
    "{weekday}, {date.day} {month} {date.year}",
)
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class SequencePairs(Synthetic):
    """Base: pairs of texts as tokens x (N, S), y (N, T), padded with ``<pad>``; y ends with ``<eos>``.

    The classes are the three special tokens, then the characters that may occur.
    """

    task = "classification"

    def characters(self) -> str:
        """All that texts and answers may hold."""
        raise NotImplementedError

    def longest(self) -> tuple[int, int]:
        """Of a text, and of an answer, which are padded to that whatever is drawn."""
        raise NotImplementedError

    def pairs(self, seed: int) -> tuple[Sequence[str], Sequence[str]]:
        """Texts, no two alike, and their answers."""
        raise NotImplementedError

    def sample(self, seed: int) -> Dataset:
        """Draw the pairs: x (N, S), y (N, T)."""
        names = (*NAMES, *sorted(self.characters()))
        texts, answers = ([encode(text, list(names)) for text in part] for part in self.pairs(seed))
        x_length, y_length = self.longest()
        x, y = padded(texts, x_length), padded([np.append(tokens, EOS) for tokens in answers], y_length + 1)
        return Dataset(x, y, self.task, target_name="answer", class_names=names, tokens=True)


def _distinct(drawn: Iterator[T], count: int) -> list[T]:
    """The first so many that are not alike."""
    found: dict[T, None] = {}
    while len(found) < count:
        found[next(drawn)] = None
    return list(found)


def padded(sequences: Sequence[np.ndarray], length: int | None = None) -> np.ndarray:
    """Sequences of tokens as (N, T), with ``<pad>`` behind them up to a length, or to the longest."""
    found = np.full((len(sequences), length or max(map(len, sequences))), PAD, np.int64)
    for row, tokens in zip(found, sequences, strict=True):
        row[: len(tokens)] = tokens
    return found


@register("data", "reversed_strings")
@dataclass(frozen=True)
class ReversedStrings(SequencePairs):
    """Strings of random letters, each to be answered by the same backwards: what is first is needed last.

    No two strings are alike, so none of a test split was seen in training.

    Args:
        samples: number of strings.
        min_length, max_length: their lengths are drawn uniformly from these on.
        letters: of the alphabet, the first so many.
    """

    samples: Count = 10_000
    min_length: Count = 5
    max_length: Count = 12
    letters: Count = 26

    def __post_init__(self) -> None:
        if not self.min_length <= self.max_length <= MAX_LENGTH:
            raise ConfigError(
                f"data.max_length: expected a number from min_length = {self.min_length} to {MAX_LENGTH}, got "
                f"{self.max_length}"
            )
        if self.letters > len(ascii_lowercase):
            raise ConfigError(f"data.letters: the alphabet has {len(ascii_lowercase)}, got {self.letters}")
        # Each length is drawn equally often: where the shortest ones run out, the others have to do.
        kinds = sum(self.letters**length for length in range(self.min_length, self.max_length + 1))
        if self.samples > kinds // 2:
            raise ConfigError(
                f"data.samples: there are {kinds:,} such strings, of which half can be drawn at most, got "
                f"{self.samples:,}; longer ones or more letters give more"
            )

    def characters(self) -> str:
        return ascii_lowercase[: self.letters]

    def longest(self) -> tuple[int, int]:
        return self.max_length, self.max_length

    def pairs(self, seed: int) -> tuple[Sequence[str], Sequence[str]]:
        check_samples(self.samples, 64 * self.max_length)
        texts = _distinct(self._drawn(seed), self.samples)
        return texts, [text[::-1] for text in texts]

    def _drawn(self, seed: int) -> Iterator[str]:
        rng, alphabet = generator(seed, "reversed_strings.strings"), np.array(list(self.characters()))
        while True:
            lengths = rng.integers(self.min_length, self.max_length + 1, CHUNK)
            letters = alphabet[rng.integers(self.letters, size=(CHUNK, self.max_length))]
            yield from ("".join(row[:length]) for row, length in zip(letters, lengths, strict=True))


@register("data", "date_formats")
@dataclass(frozen=True)
class DateFormats(SequencePairs):
    """Dates from 1900 to 2099 in one of five formats, each to be answered in that of ISO 8601: ``2 mar 1987``, or
    ``monday, 2 march 1987``, by ``1987-03-02``.

    The others are ``02.03.1987``, ``03/02/1987`` (month first) and ``march 2, 1987``. No date comes twice in a format,
    so none of a test split was seen in training as it is. (The task of a course's exercise on attention: Ng 2018.)

    Args:
        samples: number of dates.
    """

    samples: Count = 10_000

    def __post_init__(self) -> None:
        if self.samples > len(FORMATS) * DAYS // 2:
            raise ConfigError(f"data.samples: at most {len(FORMATS) * DAYS // 2:,} dates, got {self.samples:,}")

    def characters(self) -> str:
        return "".join({*"".join((*MONTHS, *WEEKDAYS)), *digits, *" ,./-"})

    def longest(self) -> tuple[int, int]:
        return len("wednesday, 30 september 2020"), len("2020-09-30")

    def pairs(self, seed: int) -> tuple[Sequence[str], Sequence[str]]:
        check_samples(self.samples, 2000)
        places = np.array(_distinct(self._drawn(seed), self.samples))
        kinds, days = np.divmod(places, DAYS)
        dates = [FIRST_DAY + datetime.timedelta(days=day) for day in days.tolist()]
        return list(map(_written, dates, kinds)), [date.isoformat() for date in dates]

    def _drawn(self, seed: int) -> Iterator[int]:
        rng = generator(seed, "date_formats.dates")
        while True:
            yield from rng.integers(len(FORMATS) * DAYS, size=CHUNK).tolist()


def _written(date: datetime.date, kind: int) -> str:
    month, weekday = MONTHS[date.month - 1], WEEKDAYS[date.weekday()]
    return FORMATS[kind].format(date=date, month=month, weekday=weekday)
