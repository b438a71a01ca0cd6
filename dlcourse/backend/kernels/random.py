"""Philox4x64-10 as array arithmetic (Salmon et al. 2011), the specification of every random bit drawn on a device."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10
_WORD = 2**64 - 1


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
