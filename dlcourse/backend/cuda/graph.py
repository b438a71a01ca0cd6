"""A training step as a CUDA graph: recorded once, replayed with one launch.

Course-size steps are bound by launches, not arithmetic: 6 to 15 us for each kernel from Python, about 1 in a graph.
What changes from step to step has a place on the device that the kernels read: the batch, the learning rate, the step
numbers. Captured and call-by-call steps run the same kernels in the same order, so they give the same weights.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.backend import memory, random
from dlcourse.backend.capture import Step, by_calls
from dlcourse.backend.device import Array, Backend

WARM_UP = 2
"""Steps by calls before recording: they compile kernels, load libraries, choose algorithms and fill the memory pool."""
MOST_GRAPHS = 4
"""Batch shapes that get a graph of their own; a data set has two, the full batch and the last one."""


class NotCaptured(UserWarning):
    """A step runs call by call because it could not be recorded."""


@dataclass
class _Recorded:
    """A graph and the arrays that it reads and writes; their memory is the pool's that lives with it."""

    graph: Any
    x: Array
    y: Array
    loss: Array
    lr: Array
    optimizer_steps: Array
    random_step: Array
    lr_now: float
    next_step: tuple[int, int]
    """The step numbers that the device's counters stand at: of the optimizer, of the random draws."""


class CapturedSteps:
    """Runs steps of one TrainStep; for each shape of batch two by calls, then recorded.

    Args:
        device: where.
    """

    def __init__(self, device: Backend):
        self.device, self.xp = device, device.xp
        self.stream = self.xp.cuda.Stream(non_blocking=True)
        self.pool = self.xp.cuda.MemoryPool()
        memory.count_pool(self, self.pool)
        self.seen: dict[tuple, int] = {}
        self.graphs: dict[tuple, _Recorded] = {}
        self.refused = False

    def __call__(self, step: Step, x: Array, y: Array) -> Array:
        key = self._key(step, x, y)
        if self.refused or key is None:
            return by_calls(step, x, y)
        recorded = self.graphs.get(key)
        if recorded is None:
            self.seen[key] = self.seen.get(key, 0) + 1
            if self.seen[key] <= WARM_UP or len(self.graphs) >= MOST_GRAPHS:
                return self._apart(lambda: by_calls(step, x, y))
            recorded = self._record(step, x, y)
            if recorded is None:
                self.pool.free_all_blocks()  # steps by calls take theirs from the common pool
                return by_calls(step, x, y)
            self.graphs[key] = recorded
        return self._replay(recorded, step, x, y)

    def _key(self, step: Step, x: Array, y: Array) -> tuple | None:
        """What a graph depends on; None where the step cannot be recorded at all."""
        arrays = [value for value in (x, y) if isinstance(value, self.xp.ndarray)]
        if len(arrays) < 2 or not getattr(step, "capture", True):
            return None
        shapes = ((a.shape, a.dtype.str) for a in arrays)
        return *shapes, getattr(step.model, "training", True), random.seed(), *step.settings()

    def _apart(self, work: Any) -> Any:
        """``work()`` on the recording stream with the pool that graphs keep, after all that was asked for before."""
        self.device.synchronize()
        with self.stream, self.xp.cuda.using_allocator(self.pool.malloc):
            result = work()
        self.stream.synchronize()
        return result.copy()  # outside that pool, where a graph's replay would write over it

    def _record(self, step: Step, x: Array, y: Array) -> _Recorded | None:
        """Record the step that comes next without running it; None, and a word of why, where something is refused."""
        optimizer, xp = step.optimizer, self.xp
        lr, steps, now = float(optimizer.lr), int(optimizer.steps), int(step.step)
        graph = None
        try:
            with self.xp.cuda.using_allocator(self.pool.malloc):
                places = [x.copy(), y.copy()]
                rate = xp.full((), lr, dtype=self._rate_type(step))
                counters = xp.full((), steps, dtype=np.int64), xp.full((), now, dtype=np.uint64)
                self.device.synchronize()
                with self.stream:
                    self.stream.begin_capture()
                    try:
                        optimizer.lr, optimizer.steps = rate, counters[0]
                        random.begin_step(counters[1])
                        loss = step.update(*places)
                        counters[1][...] += np.uint64(1)
                    finally:
                        graph = self.stream.end_capture()
        except Exception as error:  # CuPy names what it refuses in many types; each has the same consequence
            self.refused = True
            while error.__context__ is not None:  # a broken capture cannot be ended either: the first error says why
                error = error.__context__
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(f"the step runs call by call, it could not be recorded ({reason})", NotCaptured, stacklevel=5)
            return None
        finally:
            optimizer.lr, optimizer.steps = lr, steps
            random.begin_step(now)
        return _Recorded(graph, *places, loss, rate, *counters, lr, (steps, now))

    def _replay(self, recorded: _Recorded, step: Step, x: Array, y: Array) -> Array:
        optimizer = step.optimizer
        if recorded.lr_now != optimizer.lr:
            recorded.lr.fill(optimizer.lr)
            recorded.lr_now = optimizer.lr
        if recorded.next_step != (optimizer.steps, step.step):  # other steps came between, or a state was loaded
            recorded.optimizer_steps.fill(optimizer.steps)
            recorded.random_step.fill(step.step)
        recorded.x[...], recorded.y[...] = x, y
        recorded.graph.launch()
        optimizer.steps += 1
        recorded.next_step = optimizer.steps, step.step + 1
        return recorded.loss.copy()  # the next replay writes over it

    def _rate_type(self, step: Step) -> np.dtype:
        return step.optimizer.flat.data.dtype
