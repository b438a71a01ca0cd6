"""A text, character by character: each is to be predicted from those before it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dlcourse.data import splitting
from dlcourse.data.dataset import Dataset, Task
from dlcourse.data.files import find, read_bytes
from dlcourse.data.windows import WindowSplit
from dlcourse.errors import DataError
from dlcourse.registry import register
from dlcourse.special_tokens import NAMES
from dlcourse.types import Count

DEFAULT_PATH = "text/tinyshakespeare.txt"
UNKNOWN = "<unk>"
"""The name of the token for rare characters."""


@register("data", "text")
@dataclass(frozen=True)
class Text:
    """A text file in windows of ``context`` characters: x are their numbers, y (as many) those of the next characters.

    ``split`` cuts the text by position, in the order train, val, test; its fractions and counts are of characters, and
    no window, nor its last target, reaches over a cut. ``shuffle`` has no say in that. An epoch of training goes
    through the training split once, in windows that begin anew at a random offset each epoch, in random order; all else
    is measured in windows side by side from the start of a split (what is left at its end, less than a window, is not).

    The tokens are the characters of the training split, in the order of their code points.

    Args:
        path: a UTF-8 file; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        context: T, how many characters the model sees at once.
        min_count: characters that the training split has fewer times than this, or not at all, are one token, <unk>;
            left out, there is none, and a character that the training split does not have is an error.
    Raises:
        DataError: the file is no UTF-8, a split is shorter than a window, or a character is unknown.
    """

    task: ClassVar[Task] = "classification"

    path: str = DEFAULT_PATH
    context: Count = 64
    min_count: Count | None = None

    def splits(self, sizes: Mapping[str, Any], limits: Mapping[str, Any]) -> tuple[Dataset, dict[str, WindowSplit]]:
        """The data set, whose samples are the training windows, and its splits.

        Args:
            sizes: fractions or counts of characters by split, see :func:`dlcourse.data.splitting.by_size`.
            limits: at most so many windows of a split, the first.
        """
        path = find(self.path)
        text = _decoded(path)
        cuts = splitting.by_size(len(text), sizes, seed=0, shuffle=False)
        stretches = {split: text[rows[0] : rows[-1] + 1] for split, rows in cuts.items()}
        known = self._vocabulary(stretches["train"])
        splits = {}
        for name, stretch in stretches.items():
            training = name == "train"
            windows = WindowSplit.count(len(stretch), self.context, training)
            if windows < 1:
                raise DataError(
                    f"{path}: the {name} split has {len(stretch)} characters; a window of data.context = "
                    f"{self.context} and the character after it take {self.context + 1}"
                )
            start, limit = int(cuts[name][0]), limits.get(name)
            if limit is not None and limit < windows:
                stretch = stretch[: limit * self.context + (self.context if training else 1)]
            tokens = self._encoded(stretch, known, path, name, start)
            splits[name] = WindowSplit.of(tokens, self.context, training, start)
        dataset = Dataset(
            x=np.asarray(splits["train"].x),
            y=splits["train"].y,
            task=self.task,
            target_name="next character",
            class_names=tuple(_name(character) for character in known),
            tokens=True,
            source=str(path),
        )
        return dataset, splits

    def _vocabulary(self, train: str) -> list[str]:
        """The tokens; <unk>, if there is to be one, is the last."""
        counts = Counter(train)
        if self.min_count is None:
            return sorted(counts)
        return [*sorted(character for character, count in counts.items() if count >= self.min_count), UNKNOWN]

    def _encoded(self, text: str, known: list[str], path: Path, split: str, start: int) -> np.ndarray:
        """The characters' numbers, (n,) int64."""
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        table = np.array([ord(character) for character in known if len(character) == 1], dtype=np.uint32)
        if not len(table):
            return np.zeros(len(codes), dtype=np.int64)
        tokens = np.minimum(np.searchsorted(table, codes), len(table) - 1)
        unknown = table[tokens] != codes
        if unknown.any() and self.min_count is None:
            position = int(unknown.argmax())
            raise DataError(
                f"{path}: the {split} split has characters that the training split does not have, the first is "
                f"{text[position]!r} (character {start + position} of the file, from 0); data.min_count: 1 makes such "
                f"one token, {UNKNOWN}"
            )
        return np.where(unknown, len(table), tokens).astype(np.int64)


def encode(text: str, class_names: list[str]) -> np.ndarray:
    """The numbers of a text's characters, (n,) int64, by the names of the classes.

    Raises:
        DataError: a character has none, and there is no <unk>.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    unknown = numbers.get(UNKNOWN)
    codes = [numbers.get(_name(character), unknown) for character in text]
    if None in codes:
        character = text[codes.index(None)]
        raise DataError(f"the text that the model was trained on has no character {character!r}")
    return np.array(codes, dtype=np.int64)


def decode(tokens: np.ndarray, class_names: list[str]) -> str:
    """The text that these numbers stand for."""
    return "".join(_character(class_names[token]) for token in tokens)


def _name(character: str) -> str:
    """A character as it can be shown: a line break as the two characters ``\\n``."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _character(name: str) -> str:
    return name if len(name) == 1 or name in (UNKNOWN, *NAMES) else name.encode().decode("unicode_escape")


def _decoded(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no UTF-8 text (byte {error.start}: {error.reason})") from error
