"""Arguments for every kernel, on which each override is compared with its reference.

A maker takes a NumPy generator and a floating-point type and gives the arguments as host arrays and plain values; what
the kernel returns and what it writes into its arguments is compared. Odd sizes on purpose: one, none, and one more than
a chunk.
"""

from collections.abc import Callable

import numpy as np

Maker = Callable[[np.random.Generator, type], tuple]


def _optimizer(size: int, states: int, *settings: object) -> Maker:
    def make(draw: np.random.Generator, dtype: type) -> tuple:
        arrays = [draw.normal(size=size).astype(dtype) for _ in range(2)]
        arrays += [np.abs(draw.normal(size=size)).astype(dtype) for _ in range(states)]
        return (*arrays, *settings)

    return make


def _cross_entropy(rows: int, classes: int, smoothing: float, with_grad: bool) -> Maker:
    def make(draw: np.random.Generator, dtype: type) -> tuple:
        logits = (5 * draw.normal(size=(rows, classes))).astype(dtype)
        return logits, draw.integers(0, classes, rows), smoothing, with_grad

    return make


def _penalty(l1: float, l2: float) -> Maker:
    def make(draw: np.random.Generator, dtype: type) -> tuple:
        grad, weight = (draw.normal(size=301).astype(dtype) for _ in range(2))
        return grad, weight, (np.arange(301) % 3 > 0).astype(dtype), l1, l2

    return make


CHUNK = (1 << 17) + 1

CASES: dict[str, list[Maker]] = {
    "philox_bits": [
        lambda draw, dtype, n=n: (np.zeros(n, np.uint32), 2**64 - 3, 17, 2, 5) for n in (0, 1, 7, 8, 1001)
    ],
    "softmax_cross_entropy": [
        _cross_entropy(rows, classes, smoothing, grad)
        for rows, classes in [(1, 2), (3, 10), (257, 33)]
        for smoothing in (0.0, 0.1)
        for grad in (True, False)
    ],
    "erf": [
        lambda draw, dtype: (np.linspace(-6, 6, 1001).astype(dtype),),
        lambda draw, dtype: (np.array([0.0, -0.0, np.inf, -np.inf, 1e-30]).astype(dtype),),
        lambda draw, dtype: (np.zeros((0, 3), dtype),),
    ],
    "add_penalty": [_penalty(0.0, 0.1), _penalty(0.1, 0.0), _penalty(0.1, 0.2)],
    "sgd_step": [
        *[
            (lambda draw, dtype, n=n: (draw.normal(size=n).astype(dtype), draw.normal(size=n).astype(dtype), None, 0.1, 0.0, False, 0.01))
            for n in (1, 1000, CHUNK)
        ],
        _optimizer(1000, 1, 0.1, 0.9, False, 0.0),
        _optimizer(CHUNK, 1, 0.1, 0.9, True, 0.01),
    ],
    "adam_step": [
        _optimizer(n, 2, 3, 1e-3, 0.9, 0.999, 1e-8, decay, decoupled)
        for n in (1, CHUNK)
        for decay in (0.0, 0.01)
        for decoupled in (False, True)
    ],
    "adagrad_step": [_optimizer(n, 1, 0.1, 1e-10, decay) for n in (1, CHUNK) for decay in (0.0, 0.01)],
    "rmsprop_step": [_optimizer(n, 2, 0.1, 0.99, 1e-8, 0.9, decay) for n in (1, CHUNK) for decay in (0.0, 0.01)],
    "clip_norm": [
        lambda draw, dtype: (draw.normal(size=CHUNK).astype(dtype), 1.0),
        lambda draw, dtype: (draw.normal(size=5).astype(dtype), 100.0),
        lambda draw, dtype: (np.zeros(3, dtype), 1.0),
    ],
}
