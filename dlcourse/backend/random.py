"""Random numbers without state: every draw is a function of (seed, purpose, step).

The generator is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), counter-based:
the key is (seed, hash of the purpose), the counter (block, draw within the step, step, 0). So resuming at step k needs
only k, no two purposes share numbers, and the CPU and the GPU draw the same bits.

Two kinds of draws. On the host (:func:`generator`: data, initial weights, orders) NumPy's distributions are used and
the result is copied to the device. On the device (:func:`bernoulli`: dropout, every step; :func:`words`: augmentation;
:func:`normal`: noise) raw 32-bit words are used as integers, so that no rounding can tell the devices apart.
"""

import contextlib
import functools
import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlcourse.backend import memory
from dlcourse.backend.device import Array, Backend, current
from dlcourse.backend.device_counter import DeviceCounter
from dlcourse.backend.kernels.random import normal_quantiles, philox_bits
from dlcourse.errors import ArgumentError

_WORD = 2**64 - 1


Stream = tuple[int, int]
Rows = tuple[int, int, int]


class Draws:
    """The state of the generator: what :func:`manual_seed` and :func:`begin_step` set."""

    def __init__(self) -> None:
        self.starts = 0
        self.start(0)

    def start(self, seed: int) -> None:
        self.starts += 1
        self.seed, self.suffix = seed, ""
        self.step: int | DeviceCounter = 0
        self.microbatch = 0
        self.rows: Rows | None = None
        self.draws: dict[str, int] = {}
        self.built: dict[str, int] = {}
        self.trainings = 0


def _next(counts: dict[str, int], purpose: str) -> int:
    """How many draws of this purpose came before."""
    index = counts.get(purpose, 0)
    counts[purpose] = index + 1
    return index


_stream = Draws()


@functools.cache
def purpose_hash(purpose: str) -> int:
    """A purpose as the second word of the generator's key."""
    return int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")


def manual_seed(seed: int) -> None:
    """Start all draws anew from this seed, a whole number of 64 bits: -1 is 2**64 - 1, as in PyTorch.

    Raises:
        ArgumentError: it has more bits, so it would draw what another seed draws.
    """
    _stream.start(_word(seed))


def _word(seed: int) -> int:
    """The seed as a word without sign."""
    if not -(2**63) <= int(seed) <= _WORD:
        raise ArgumentError(f"seed: expected a whole number from -2**63 to 2**64 - 1, got {seed}")
    return int(seed) & _WORD


def seed() -> int:
    """The seed in force."""
    return _stream.seed


def started() -> int:
    """How often :func:`manual_seed` has been called: whether it was since the last look."""
    return _stream.starts


def begin_step(step: int | DeviceCounter, stream: Stream | None = None) -> None:
    """Say that training step ``step`` begins: its draws depend on no earlier step.

    A counter of the device in its place is read when a draw is made, as a captured step needs it.

    Args:
        stream: of which training, see :func:`new_stream`: their draws differ. Without one, those of the first.
    """
    _stream.step = step if isinstance(step, DeviceCounter) else int(step)
    _stream.suffix = "" if stream in (None, (0, _stream.seed)) else f"/{stream[0]}@{stream[1]}"
    _stream.microbatch, _stream.rows = 0, None
    _stream.draws.clear()


class drawing:
    """Inside the ``with`` block all is drawn, and counted, as of another program that has these draws."""

    __slots__ = ("before", "draws")

    def __init__(self, draws: Draws):
        self.draws = draws

    def __enter__(self) -> None:
        global _stream
        self.before, _stream = _stream, self.draws

    def __exit__(self, *_: Any) -> None:
        global _stream
        _stream = self.before


@contextlib.contextmanager
def keeping_draws() -> Iterator[None]:
    """What is drawn inside the ``with`` block is drawn again after it: later draws are as if it had not run."""
    before = dict(_stream.draws)
    try:
        yield
    finally:
        _stream.draws = before


def begin_microbatch(index: int, rows: Rows | None = None) -> None:
    """Say that the step goes on with another part of its batch, whose :func:`normal` numbers differ.

    Args:
        rows: the first row of this microbatch that is computed here, how many are, and how many it has: draws with one
            row for each sample are then the rows of what is drawn for them all.
    """
    _stream.microbatch = index
    _stream.rows = None if rows is None or rows[1] == rows[2] else rows


def drawn_rows(shape: tuple[int, ...]) -> tuple[tuple[int, ...], slice] | None:
    """For a draw with one row for each sample, where others have the rest of them: the shape for them all, and the rows
    here; None where all are here."""
    rows = _stream.rows
    if rows is None or shape[:1] != (rows[1],):
        return None
    return (rows[2], *shape[1:]), slice(rows[0], rows[0] + rows[1])


def current_step() -> int | DeviceCounter:
    """The training step that :func:`begin_step` began."""
    return _stream.step


def new_stream() -> Stream:
    """A new training's stream of draws: how many streams came before it under this seed, and the seed."""
    _stream.trainings += 1
    return _stream.trainings - 1, _stream.seed


def generator(seed: int, purpose: str, step: int = 0) -> "np.random.Generator":
    """NumPy's generator on the host, a function of its three arguments alone."""
    # The last counter word keeps these draws apart from the device's, whatever purpose names they share.
    # uint64 arrays, because NumPy turns a list of mixed large and small numbers into floats.
    key = np.array([_word(seed), purpose_hash(purpose)], dtype=np.uint64)
    counter = np.array([0, 0, int(step) & _WORD, 1], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def next_generator(purpose: str) -> "np.random.Generator":
    """A generator for the next draw of this purpose: the n-th layer built after a seed gets the n-th one,
    whatever was trained in between.

    It draws initial weights, and refuses more of them than there is memory for, see
    :func:`~dlcourse.backend.memory.require`.
    """
    return _checking()(generator(_stream.seed, purpose, _next(_stream.built, purpose)).bit_generator)


@functools.cache
def _checking() -> Any:
    """The class of such generators, made when the first is wanted: only then ``numpy.random`` is loaded."""

    class Weights(np.random.Generator):
        def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
            require_weights(size)
            return super().uniform(low, high, size)

        def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
            require_weights(size)
            return super().normal(loc, scale, size)

        def standard_normal(  # type: ignore[override]  # its overloads by dtype
            self, size: Any = None, **settings: Any
        ) -> Any:
            require_weights(size)
            return super().standard_normal(size, **settings)

    return Weights


def require_weights(size: Any) -> None:
    """Refuse an array of weights that does not fit into memory.

    Raises:
        ArgumentError: with the number of weights.
    """
    count = math.prod(size) if isinstance(size, tuple) else int(size or 0)
    if count > _MIN_CHECKED:
        shape = " x ".join(map(str, size)) if isinstance(size, tuple) else size
        memory.require(12 * count, f"a layer of {shape} = {count:,} weights")  # drawn in 8 bytes each, kept in 4


_MIN_CHECKED = 1 << 22


def next_key(purpose: str) -> tuple[int, int, int, Any]:
    """The key of this purpose's next draw on the device: (seed, hash of the purpose, draw within the step, step)."""
    return _stream.seed, purpose_hash(purpose + _stream.suffix), _next(_stream.draws, purpose), _stream.step


def words(count: int, seed: int, purpose: str, step: int | DeviceCounter = 0, backend: Backend | None = None) -> Array:
    """Random 32-bit words (count,) uint32, drawn on the device, a function of (seed, purpose, step) alone."""
    out = (backend or current()).xp.empty(count, dtype="uint32")
    number: Any = step if isinstance(step, DeviceCounter) else int(step) & _WORD
    philox_bits(out, _word(seed), purpose_hash(purpose), 0, number)
    return out


def uniform(
    shape: tuple[int, ...], purpose: str, step: int | DeviceCounter | None = None, backend: Backend | None = None
) -> Array:
    """Float32 numbers uniform in [0, 1), drawn on the device, the same on each: k / 2^24 with a random k.

    Args:
        shape: shape of the result.
        purpose: names the use.
        step: they are a function of (seed, purpose, step); left out, of the step that was begun, and successive draws
            of one purpose within it differ.
    """
    bits = _drawn(shape, purpose, step, backend)
    return ((bits >> np.uint32(8)).astype("float32") * np.float32(2.0**-24)).reshape(shape)


def normal(
    shape: tuple[int, ...],
    purpose: str,
    step: int | DeviceCounter | None = None,
    backend: Backend | None = None,
    seed: int | None = None,
) -> Array:
    """Standard normal numbers in float32, drawn on the device, the same on each; arguments as of :func:`uniform`.

    The quantile of each word's probability, by a table: its error is below 1e-6, and the largest number is 6.34.

    Args:
        seed: they are a function of (seed, purpose, step) alone, whatever :func:`manual_seed` and :func:`begin_step`
            set.
    """
    if seed is not None:
        return normal_quantiles(words(math.prod(shape), seed, purpose, step or 0, backend)).reshape(shape)
    return normal_quantiles(_drawn(shape, purpose, step, backend)).reshape(shape)


def _drawn(shape: tuple[int, ...], purpose: str, step: int | DeviceCounter | None, backend: Backend | None) -> Array:
    """Random words, one-dimensional, of a purpose's next draw, or of its only one in a given step and microbatch."""
    of_all = drawn_rows(shape)
    if of_all is not None:
        whole, rows = of_all
        return _words(math.prod(whole), purpose, step, backend).reshape(whole)[rows].reshape(-1)
    return _words(math.prod(shape), purpose, step, backend)


def _words(count: int, purpose: str, step: int | DeviceCounter | None, backend: Backend | None) -> Array:
    bits = (backend or current()).xp.empty(count, dtype="uint32")
    if step is None:
        philox_bits(bits, *next_key(purpose))
    else:
        at = step if isinstance(step, DeviceCounter) else int(step) & _WORD
        philox_bits(bits, _stream.seed, purpose_hash(purpose + _stream.suffix), _stream.microbatch, at)
    return bits


def bernoulli(shape: tuple[int, ...], probability: float, purpose: str, backend: Backend | None = None) -> Array:
    """A boolean array, each element true with the given probability (to 2^-32), drawn on the device.

    Args:
        shape: shape of the result.
        probability: in 0..1.
        purpose: names the use; successive draws of one purpose within a step differ.
    """
    xp = (backend or current()).xp
    bits = _drawn(shape, purpose, None, backend)
    threshold = round(probability * 2**32)
    if threshold == 2**32:  # which no 32-bit word holds
        return xp.ones(shape, dtype=bool)
    return (bits < np.uint32(threshold)).reshape(shape)
