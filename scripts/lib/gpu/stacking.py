"""Times a step of a stack of replicas, and of one of them by itself: `python -m gpu.stacking SPEC ...`, for `in_turn`.

A spec is JSON: ``batch``, ``inputs``, ``hidden`` (null for a linear model), ``classes``, ``replicas``, ``block`` (steps
that are timed at a time), ``device``. Its answer has ``stack_ms`` and ``alone_ms``, how far weights of the two lie from
each other after :data:`COMPARED` steps (``difference``, relative to the largest), and ``graphs`` and ``notes`` of the
stack.
"""

import json
import statistics
import sys
import time
import warnings
from typing import Any

import numpy as np
from processes import answer

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse.backend import random
from dlcourse.data import Loader, Split
from dlcourse.data.normalizer import Normalizer
from dlcourse.training.stack import Stack

COMPARED = 20
BLOCKS = 7
COPIES = 64
"""Of the batch, in the set that batches are taken from."""


def main() -> int:
    for text in sys.argv[1:]:
        answer(**measured(json.loads(text)))
    return 0


def measured(spec: dict[str, Any]) -> dict[str, Any]:
    dl.set_device(spec["device"])
    loader = batches(spec)
    with warnings.catch_warnings(record=True) as notes:
        steps, draws = steps_of(spec, range(spec["replicas"]))
        stack = Stack(steps, draws).joint
        advance(stack, loader, COMPARED)
        last = spec["replicas"] - 1
        ((alone,), (own,)) = steps_of(spec, [last])
        with random.drawing(own):
            advance(alone, loader, COMPARED)
            a, b = (backend.to_host(step.flat.data).astype("float64") for step in (steps[last], alone))
            stack_ms, alone_ms = (timed(step, loader, spec["block"]) for step in (stack, alone))
    return {
        "stack_ms": stack_ms,
        "alone_ms": alone_ms,
        "difference": float(np.abs(a - b).max() / np.abs(b).max()),
        "graphs": len(getattr(stack.runner, "graphs", ())),
        "notes": [str(note.message) for note in notes],
    }


def batches(spec: dict[str, Any]) -> Loader:
    rng, count = np.random.default_rng(0), COPIES * spec["batch"]
    x, y = rng.normal(size=(count, spec["inputs"])).astype("float32"), rng.integers(0, spec["classes"], count)
    split, unchanged = Split(x, y, np.arange(count)), Normalizer(0.0, 1.0)
    return Loader(split, unchanged, backend.current(), "float32", spec["batch"], seed=0, shuffle=True)


def steps_of(spec: dict[str, Any], numbers: Any) -> tuple[list[Any], list[Any]]:
    """Steps of replicas with these numbers, by SGD with momentum, each with a rate and draws of its own."""
    steps, all_draws = [], []
    inputs, hidden, classes = (spec[key] for key in ("inputs", "hidden", "classes"))
    for number in numbers:
        all_draws.append(random.Draws())
        with random.drawing(all_draws[-1]):
            random.manual_seed(number)
            layers = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes)] if hidden else None
            net = nn.Sequential(*layers) if layers else nn.Linear(inputs, classes)
            rule = optim.SGD(net.parameters(), lr=0.001 * 1.05**number, momentum=0.9)
            steps.append(dl.TrainStep(net, nn.CrossEntropyLoss(), rule))
    return steps, all_draws


def advance(step: Any, loader: Loader, end: int) -> None:
    while step.step < end:
        step.runner.advance(step, loader, end - step.step)


def timed(step: Any, loader: Loader, block: int) -> float:
    """Milliseconds of a step: the median of some blocks of steps."""
    advance(step, loader, step.step + 2 * block)
    dl.synchronize()
    times = []
    for _ in range(BLOCKS):
        began = time.perf_counter()
        advance(step, loader, step.step + block)
        dl.synchronize()
        times.append((time.perf_counter() - began) / block)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
