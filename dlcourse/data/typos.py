"""Texts with and without spelling mistakes, made of a real one: labels that ask how words are written."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset, Split
from dlcourse.data.text import Text
from dlcourse.data.windows import WindowSplit
from dlcourse.registry import register
from dlcourse.types import Count, Seed

_WORD = re.compile("[a-z]{4,}")


@register("data", "typos")
@dataclass(frozen=True)
class Typos(Text):
    """Windows of ``context`` characters of a text file, side by side; in half of them neighboring letters of some words
    are swapped, ``cuonsel`` for ``counsel``: x are the characters' numbers (N, T), y (N,) whether there are mistakes.

    The file is cut, and its characters numbered, as by the data set ``text``, so a model that read the one has the
    tokens of the other. Words have at least four small letters; their first and last stay.

    Args:
        path: a UTF-8 file; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        context: T, how many characters a sample has.
        tokenizer: what a token is, as of ``text``: a letter has to be one.
        mistakes: how many words of a window are misspelled, where there are so many.
        seed: chooses windows and letters.
    """

    tokenizer: Literal["characters", "bytes"] = "characters"
    mistakes: Count = 2
    seed: Seed = 0

    def splits(  # type: ignore[override]  # samples are windows that do not overlap
        self, sizes: Mapping[str, Any], limits: Mapping[str, Any]
    ) -> tuple[Dataset, dict[str, Split]]:
        """The data set, whose samples are the training windows, and its splits; see :class:`Text`."""
        text, windows = super().splits(sizes, limits)
        found = {name: self._misspelled(split, text.class_names, name) for name, split in windows.items()}
        return replace(
            text,
            x=np.asarray(found["train"].x),
            y=found["train"].y,
            target_name="spelling",
            class_names=("right", "wrong"),
            token_names=text.class_names,
        ), found

    def _misspelled(self, split: WindowSplit, names: Sequence[str], part: str) -> Split:
        x, y = np.array(split.x), np.zeros(len(split), np.int64)
        rng, letters = generator(self.seed, f"typos.{part}"), [name if len(name) == 1 else " " for name in names]
        for row in np.flatnonzero(rng.random(len(x)) < 0.5):
            for place in self._places("".join(letters[token] for token in x[row]), rng):
                x[row, [place, place + 1]] = x[row, [place + 1, place]]
                y[row] = 1
        return Split(x, y, split.index)

    def _places(self, text: str, rng: np.random.Generator) -> Iterator[int]:
        """Where letters are to be swapped with the next: in each of some words one that differs from it."""
        words = [range(match.start() + 1, match.end() - 2) for match in _WORD.finditer(text)]
        places = [[place for place in word if text[place] != text[place + 1]] for word in words]
        places = [each for each in places if each]
        for number in rng.permutation(len(places))[: self.mistakes]:
            yield places[number][rng.integers(len(places[number]))]
