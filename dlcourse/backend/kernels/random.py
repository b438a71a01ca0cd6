"""Philox4x64-10 as array arithmetic (Salmon et al. 2011), the specification of every random bit drawn on a device."""

import functools
from statistics import NormalDist
from typing import Any

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.constants import constant

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10
_WORD = 2**64 - 1
_CELLS = 256
"""Cells of the table of quantiles in each octave of probability."""


@kernel
def philox_bits(out: Array, seed: int, purpose: int, draw: int, step: int) -> None:
    """Fill a one-dimensional uint32 array with random words.

    Element i is half ``i % 2`` (low first) of word ``i // 2 % 4`` of the block whose counter is
    ``(i // 8 + 1, draw, step, 0)`` under the key ``(seed, purpose)``: the sequence that ``numpy.random.Philox`` gives
    from the counter ``(0, draw, step, 0)``.
    """
    xp = array_module(out)
    blocks = -(-out.size // 8)
    counter = [
        xp.arange(1, blocks + 1, dtype=xp.uint64),
        xp.full(blocks, draw, dtype=xp.uint64),
        xp.full(blocks, step, dtype=xp.uint64),
        xp.zeros(blocks, dtype=xp.uint64),
    ]
    key = [seed, purpose]
    for _ in range(ROUNDS):
        high0, low0 = _multiply(xp, counter[0], MULTIPLIERS[0])
        high1, low1 = _multiply(xp, counter[2], MULTIPLIERS[1])
        counter = [high1 ^ counter[1] ^ xp.uint64(key[0]), low1, high0 ^ counter[3] ^ xp.uint64(key[1]), low0]
        key = [(word + weyl) & _WORD for word, weyl in zip(key, WEYL, strict=True)]
    words = xp.stack(counter, axis=1).reshape(-1)
    halves = xp.stack([words & xp.uint64(0xFFFFFFFF), words >> xp.uint64(32)], axis=1).reshape(-1)
    out[...] = halves[: out.size].astype(xp.uint32)


def _multiply(xp: Any, x: Array, constant: int) -> tuple[Array, Array]:
    """The high and the low 64 bits of the 128-bit product, by 32-bit halves: no array type holds 128 bits."""
    mask, shift = xp.uint64(0xFFFFFFFF), xp.uint64(32)
    a1, a0 = x >> shift, x & mask
    b1, b0 = xp.uint64(constant >> 32), xp.uint64(constant & 0xFFFFFFFF)
    middle = a1 * b0 + (a0 * b0 >> shift)
    cross = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> shift) + (cross >> shift), x * xp.uint64(constant)


def normal_quantiles(words: Array) -> Array:
    """Standard normal numbers, float32, of uniform 32-bit words: the quantiles of (word + 1/2) / 2^32.

    One half of the words mirrors the other. Of a probability p = m / 2^32 the first bits as a floating-point number are
    a cell of a table, 256 in each octave, so that the tail is as fine as the middle; the other bits interpolate. Each
    operation is exactly rounded, so that every device gives the same bits.
    """
    xp = array_module(words)
    upper = words >> np.uint32(31)
    odd = (words ^ (xp.uint32(0) - upper)).astype("float64") * 2 + 1  # 1, 3, ... 2^32 - 1: 2^33 p, p below 1/2
    bits = odd.view("int64")
    cell = (bits >> np.int64(44)) - np.int64(1023 * _CELLS)
    rest = (bits & np.int64(2**44 - 1)).astype("float64") * 2.0**-44
    table = constant(_quantiles(), words)
    low = table[cell]
    size = low + rest * (table[cell + 1] - low)
    return xp.where(upper.astype(bool), -size, size).astype("float32")


@functools.cache
def _quantiles() -> np.ndarray:
    """Of probabilities 2^(k / 256 octaves) / 2^33 below 1/2, and of 1/2."""
    find = NormalDist().inv_cdf
    octaves, cells = np.meshgrid(np.arange(32), 1 + np.arange(_CELLS) / _CELLS, indexing="ij")
    return np.array([find(p) for p in (2.0 ** (octaves - 33) * cells).ravel()] + [0.0])
