"""Byte-pair encoding: tokens are frequent strings of bytes, found in the training text (lecture 14)."""

import heapq
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from dlcourse.errors import ConfigError, DataError

__all__ = ["BytePairs"]

BYTES = 256
Pair = tuple[int, int]


def _byte_order() -> list[int]:
    """All bytes in GPT-2's order: those that Latin-1 prints come first."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, BYTES)]
    return printed + [byte for byte in range(BYTES) if byte not in printed]


_ORDER = _byte_order()
_RANK = np.argsort(_ORDER)
_PRINTED = 188
"""So many bytes are their own characters in a token's name; the others are shown as U+0100, U+0101, ..."""
_SHOWN = [chr(byte) if rank < _PRINTED else chr(BYTES + rank - _PRINTED) for rank, byte in enumerate(_ORDER)]

_PIECE = re.compile(
    r"'(?:[sdmt]|ll|ve|re)| ?[a-zA-Z]+| ?[0-9]+| ?[^\sa-zA-Z0-9]+|\s+(?!\S)|\s+", re.ASCII
)  # fmt: skip


class _Kinds(dict):
    """Of each character beyond ASCII one of ASCII that :data:`_PIECE` treats as that; no letter of a contraction."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)[0]
        if code < 128:
            found = character
        elif category in "LN":
            found = {"L": "a", "N": "0"}[category]
        else:
            found = "\t" if character.isspace() else "!"
        self[code] = found
        return found


_KINDS = _Kinds()


def pieces(text: str) -> Iterator[str]:
    """GPT-2's cut of a text before its bytes are joined: words and numbers, each with a space before it, runs of other
    characters, of spaces, and the ends of English contractions."""
    for match in _PIECE.finditer(text if text.isascii() else text.translate(_KINDS)):
        yield text[match.start() : match.end()]


@dataclass(frozen=True)
class BytePairs:
    """Every text is a sequence of tokens, and exactly that text again: the first 256 tokens are the bytes of UTF-8, in
    GPT-2's order, each further one joins two that come before it. (Sennrich et al. 2016; bytes: Radford et al. 2019.)

    Attributes:
        merges: the tokens that each token from 256 on joins, in the order in which a text's are joined.
    """

    merges: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for number, merge in enumerate(self.merges, BYTES):
            if len(merge) != 2 or not all(0 <= part < number for part in merge):
                raise DataError(f"merges: expected two numbers below {number} for token {number}, got {list(merge)}")

    @classmethod
    def train(cls, text: str, vocab_size: int) -> "BytePairs":
        """The most frequent pair of neighboring tokens becomes a token, of equally frequent ones that with the lowest
        numbers; and so on until there are ``vocab_size``. Pairs do not reach over the ends of :func:`pieces`.

        It takes the pair's count down where the pair was, and nowhere else. The result is that of the package
        ``tokenizers`` (``BpeTrainer`` with the alphabet of ``ByteLevel``).

        Raises:
            ConfigError: the size is below 256, or the text has no pair left before it is reached.
        """
        if vocab_size < BYTES:
            raise ConfigError(f"data.vocab_size: each byte is a token, so there are at least {BYTES}, got {vocab_size}")
        counted = Counter(pieces(text))
        words, times = [_bytes(piece) for piece in counted], list(counted.values())
        counts, where = _count_pairs(words, times)
        queue = [(-count, pair) for pair, count in counts.items()]
        heapq.heapify(queue)
        merges: list[Pair] = []
        while len(merges) < vocab_size - BYTES:
            if not queue:
                raise ConfigError(
                    f"data.vocab_size: the training split gives {BYTES + len(merges)} tokens at most, got {vocab_size}"
                )
            count, pair = heapq.heappop(queue)
            if -count != counts[pair]:  # it was counted before other merges
                if counts[pair]:
                    heapq.heappush(queue, (-counts[pair], pair))
                continue
            number = BYTES + len(merges)
            merges.append(pair)
            grown = set()
            for place in where.pop(pair):
                before, after = words[place], _joined(words[place], pair, number)
                words[place] = after
                for each in pairwise(before):
                    counts[each] -= times[place]
                for each in pairwise(after):
                    counts[each] += times[place]
                    if number in each:
                        where[each].add(place)
                        grown.add(each)
            for each in grown:
                heapq.heappush(queue, (-counts[each], each))
        return cls(tuple(merges))

    @cached_property
    def contents(self) -> list[bytes]:
        """What each token stands for."""
        found = [bytes([byte]) for byte in _ORDER]
        for first, second in self.merges:
            found.append(found[first] + found[second])
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The tokens as GPT-2 shows them: a space is a G with a dot, a line break a C with a dot."""
        return tuple("".join(_SHOWN[_RANK[byte]] for byte in content) for content in self.contents)

    @cached_property
    def characters(self) -> np.ndarray:
        """How many characters begin in each token, (V,): over a text, as many as it has."""
        return np.array([sum(byte & 0xC0 != 0x80 for byte in content) for content in self.contents])

    @cached_property
    def bytes(self) -> np.ndarray:
        """How many bytes each token has, (V,)."""
        return np.array([len(content) for content in self.contents])

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, (n,) int64; of a piece of it first the pairs that were found first are joined."""
        known: dict[str, list[int]] = {}
        found: list[int] = []
        for piece in pieces(text):
            if piece not in known:
                known[piece] = self._encoded(piece)
            found += known[piece]
        return np.array(found, dtype=np.int64)

    @cached_property
    def _ranks(self) -> dict[Pair, int]:
        return {(first, second): number for number, (first, second) in enumerate(self.merges, BYTES)}

    def _encoded(self, piece: str) -> list[int]:
        word, ranks = _bytes(piece), self._ranks
        while len(word) > 1:
            number, pair = min((ranks.get(pair, len(self.contents)), pair) for pair in pairwise(word))
            if pair not in ranks:
                break
            word = _joined(word, pair, number)
        return word

    def decode(self, tokens: np.ndarray) -> str:
        """The text of these tokens; bytes that are no UTF-8, as a model may write them, become U+FFFD."""
        return b"".join(self.contents[token] for token in tokens).decode("utf-8", "replace")


def _bytes(piece: str) -> list[int]:
    """The tokens of a piece before any are joined."""
    return _RANK[list(piece.encode())].tolist()


def _count_pairs(words: list[list[int]], times: list[int]) -> tuple[Counter[Pair], dict[Pair, set[int]]]:
    """How often each pair of neighbors comes, and in which words."""
    counts: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)
    for place, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += times[place]
            where[pair].add(place)
    return counts, where


def _joined(word: list[int], pair: Pair, number: int) -> list[int]:
    """The word with ``number`` wherever the pair was, from left to right."""
    found, place = [], 0
    while place < len(word):
        if word[place] == pair[0] and place + 1 < len(word) and word[place + 1] == pair[1]:
            found.append(number)
            place += 2
        else:
            found.append(word[place])
            place += 1
    return found
