"""A text, token by token: each is to be predicted from those before it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dlcourse.data import splitting
from dlcourse.data.byte_pairs import BytePairs
from dlcourse.data.dataset import Dataset, Task
from dlcourse.data.files import find, read_bytes
from dlcourse.data.windows import WindowSplit
from dlcourse.errors import ConfigError, DataError
from dlcourse.registry import register
from dlcourse.special_tokens import NAMES
from dlcourse.types import Count

DEFAULT_PATH = "text/tinyshakespeare.txt"
UNKNOWN = "<unk>"
"""The name of the token for rare characters."""


@register("data", "text")
@dataclass(frozen=True)
class Text:
    """A text file in windows of ``context`` tokens: x are their numbers, y (as many) those of the next tokens.

    ``split`` cuts the text by position, in the order train, val, test; its fractions and counts are of characters, and
    no window, nor its last target, reaches over a cut. ``shuffle`` has no say in that. An epoch of training goes
    through the training split once, in windows that begin anew at a random offset each epoch, in random order; all else
    is measured in windows side by side from the start of a split (what is left at its end, less than a window, is not).

    Args:
        path: a UTF-8 file; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        context: T, how many tokens the model sees at once.
        tokenizer: what a token is: one of the ``characters`` of the training split, in the order of their code points;
            one of the ``bytes`` of UTF-8; or ``bpe``, a string of bytes that is frequent in the training split, see
            :class:`~dlcourse.data.byte_pairs.BytePairs`. The latter two know every text.
        vocab_size: of ``bpe``: how many tokens there are, 256 of them the bytes.
        min_count: of ``characters``: those that the training split has fewer times than this, or not at all, are one
            token, <unk>; left out, there is none, and a character that the training split does not have is an error.
    Raises:
        ConfigError: ``vocab_size`` or ``min_count`` stands beside a tokenizer that has none, or the former is missing.
        DataError: the file is no UTF-8, a split is shorter than a window, or a character is unknown.
    """

    task: ClassVar[Task] = "classification"

    path: str = DEFAULT_PATH
    context: Count = 64
    tokenizer: Literal["characters", "bytes", "bpe"] = "characters"
    vocab_size: Count | None = None
    min_count: Count | None = None

    def __post_init__(self) -> None:
        check_tokenizer(self.tokenizer, self.vocab_size)
        if self.min_count is not None and self.tokenizer != "characters":
            raise ConfigError(f"data.min_count: is of characters; {self.tokenizer} know every text, leave the key out")

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
        tokenizer = learned(self.tokenizer, self.vocab_size, stretches["train"])
        known = [] if tokenizer else self._vocabulary(stretches["train"])
        unit = "token" if tokenizer else "character"
        splits, start = {}, 0
        for name, stretch in stretches.items():
            tokens = tokenizer.encode(stretch) if tokenizer else self._encoded(stretch, known, path, name, start)
            training, found = name == "train", len(tokens)
            windows = WindowSplit.count(found, self.context, training)
            if windows < 1:
                raise DataError(
                    f"{path}: the {name} split has {found} {unit}s; a window of data.context = {self.context} and the "
                    f"{unit} after it take {self.context + 1}"
                )
            limit = limits.get(name)
            if limit is not None and limit < windows:
                tokens = tokens[: limit * self.context + (self.context if training else 1)]
            splits[name] = WindowSplit.of(tokens, self.context, training, start)
            start += found
        dataset = Dataset(
            x=np.asarray(splits["train"].x),
            y=splits["train"].y,
            task=self.task,
            target_name=f"next {unit}",
            class_names=tokenizer.names if tokenizer else tuple(_name(character) for character in known),
            tokens=True,
            tokenizer=tokenizer,
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


def check_tokenizer(tokenizer: str, vocab_size: int | None) -> None:
    """Raise ConfigError unless there is a ``vocab_size`` for ``bpe``, and for nothing else."""
    if (tokenizer == "bpe") == (vocab_size is None):
        what = "is missing: how many tokens to find" if vocab_size is None else f"is of bpe, and these are {tokenizer}"
        raise ConfigError(f"data.vocab_size: {what}")


def learned(tokenizer: str, vocab_size: int | None, text: str) -> BytePairs | None:
    """The tokenizer of that name, trained on a text; None for characters."""
    if tokenizer == "characters":
        return None
    return BytePairs() if vocab_size is None else BytePairs.train(text, vocab_size)


def token_sizes(class_names: Sequence[str], tokenizer: BytePairs | None) -> dict[str, np.ndarray]:
    """How many ``characters`` and ``bytes`` each token stands for, (V,); the latter is missing where one, such as
    <unk>, stands for others at other times."""
    if tokenizer is not None:
        return {"characters": tokenizer.characters, "bytes": tokenizer.bytes}
    characters = [_character(name) for name in class_names]
    found = {"characters": np.ones(len(characters), np.int64)}
    if all(len(character) == 1 for character in characters):
        found["bytes"] = np.array([len(character.encode()) for character in characters])
    return found


def encode(text: str, class_names: Sequence[str], tokenizer: BytePairs | None = None) -> np.ndarray:
    """The tokens of a text, (n,) int64.

    Args:
        class_names: those of the tokens, where they are characters.
        tokenizer: what makes tokens of a text, where they are something else.
    Raises:
        DataError: a character has no token, and there is no <unk>.
    """
    if tokenizer is not None:
        try:
            return tokenizer.encode(text)
        except UnicodeEncodeError as error:
            raise DataError(f"{text[error.start]!r} is no character of UTF-8") from None
    numbers = {name: number for number, name in enumerate(class_names)}
    unknown = numbers.get(UNKNOWN)
    codes = [numbers.get(_name(character), unknown) for character in text]
    if None in codes:
        character = text[codes.index(None)]
        raise DataError(f"the text that the model was trained on has no character {character!r}")
    return np.array(codes, dtype=np.int64)


def decode(tokens: np.ndarray, class_names: Sequence[str], tokenizer: BytePairs | None = None) -> str:
    """The text that these tokens stand for, see :func:`encode`."""
    if tokenizer is not None:
        return tokenizer.decode(tokens)
    return "".join(_character(class_names[token]) for token in tokens)


def shown_tokens(names: Sequence[str], tokenizer: BytePairs | None = None) -> list[str]:
    """What tokens are called in a picture: those of bytes by the text that they stand for, where it is whole."""
    if tokenizer is None:
        return list(names)
    texts = [content.decode("utf-8", "replace") for content in tokenizer.contents]
    shown = ["".join(map(_name, text)) for text in texts]
    return [name if "\ufffd" in text else text for name, text in zip(names, shown, strict=True)]


def beginning(class_names: Sequence[str], tokenizer: BytePairs | None = None) -> str:
    """What a text begins with where nothing is given: the end of a line, or where a token is a character, the first,
    which in most texts is that."""
    return "\n" if tokenizer is not None else _character(class_names[0])


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
