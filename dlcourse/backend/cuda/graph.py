"""Training steps as CUDA graphs: captured once, replayed with one launch.

Course-size steps are bound by launches, not arithmetic: 6 to 15 us for each kernel from Python, about 1 in a graph.
What changes from step to step has a place on the device that the kernels read: the batch, the learning rate, the step
number. Where the data lie on the device too, choosing the batch is part of the graph, and several short steps are one
launch. Captured and eager steps run the same kernels in the same order, so they give the same weights.
"""

import time
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.backend import determinism, memory, precision, random, tracing
from dlcourse.backend.capture import EagerRunner, Step
from dlcourse.backend.cuda.pools import SideStream, no_garbage_collection
from dlcourse.backend.device import Array, Backend
from dlcourse.backend.device_counter import DeviceCounter, DeviceRates

WARM_UP = 2
"""Eager steps before the capture: they compile kernels, load libraries, choose algorithms and fill the memory pool."""
MAX_GRAPHS = 8
"""Kinds of step at a time, of which graphs are kept; a data set needs two: of a full batch and of the last one."""
MAX_IDLE = 1000
"""Steps after which a kind that was not launched makes room for another, where there is none."""
MULTI_STEP = ((100e-6, 32), (400e-6, 8))
"""A step that takes no longer than so many seconds, its launch and the wait for it included, comes so many times in one
launch: what the host does for a launch takes longer than the shortest steps themselves. Where an epoch or an evaluation
ends before, it comes half as often, or a quarter: the largest of 32, 16, 8, 4, 2 and 1 that fits, each a graph."""
MAX_CHANGES, MAX_TRIED = 5, 100
"""So many steps in a row may each bring other settings than any before; with more of them no step is captured until
that ends, and in the end none is any more."""
TRIALS = 4
"""Replays of one step that are timed, of which the fastest counts."""


class NotCaptured(UserWarning):
    """A step runs eagerly because it could not be captured."""


@dataclass
class _Graph:
    """A graph and the arrays that it reads and writes; their memory is the pool's that lives with it."""

    kind: tuple
    """Of step, however many are one launch."""
    graph: Any
    inputs: tuple[Array, Array]
    losses: Array
    """(k, ...), of the steps that are one launch."""
    rates: Array
    """(k, groups), their learning rates."""
    counter: Array
    """The number of the first of them; the launch moves it on by k."""
    rates_now: list[list[float]]
    next_step: int
    """What the counter holds."""
    read: list[Array]
    """Arrays of the model and others that it may read: one that is replaced there stays what and where it was."""


class CapturedSteps(EagerRunner):
    """Runs steps of one TrainStep; for each shape of batch two eagerly, then captured.

    Args:
        device: where.
    """

    takes_several = True

    def __init__(self, device: Backend):
        self.device, self.xp = device, device.xp
        with self.xp.cuda.Device(device.index):
            self.side = SideStream(self.xp, keeps=True)
        self.stream = self.side.stream
        memory.count_pool(self, self.side.pool)
        self.seen: dict[tuple, int] = {}
        self.graphs: dict[tuple, _Graph] = {}
        weakref.finalize(self, self.side.close, self.graphs).atexit = False
        self.times: dict[tuple, list[float]] = {}
        self.refused = False
        self.settings: set[tuple] = set()
        self.changes, self.changed_at = 0, -1
        """Steps in a row whose settings were new, and the last of them."""

    def run(self, step: Step, x: Array, y: Array) -> Array:
        if self.refused or not self._can_capture(step, x, y):
            return super().run(step, x, y)
        found = self._graph_key(step)
        if found is None:
            return super().run(step, x, y)
        key = *((a.shape, a.dtype.str) for a in (x, y)), *found
        captured = self.graphs.get(key)
        if captured is not None:
            captured.inputs[0][...], captured.inputs[1][...] = x, y
        elif not self._full(step.step):
            if self._is_warming_up(key):
                return self._on_capture_stream(lambda: EagerRunner.run(self, step, x, y))
            captured = self._capture(key, key, step, 1, lambda: (x.copy(), y.copy()))
        return super().run(step, x, y) if captured is None else self._replay(captured, step)[0]

    def advance(self, step: Step, loader: Any, max_steps: int) -> Array | None:
        losses = self._launch(step, loader, max_steps)
        return super().advance(step, loader, max_steps) if losses is None else losses

    def _launch(self, step: Step, loader: Any, max_steps: int) -> Array | None:
        """The costs (k,) of up to ``max_steps`` steps in one launch, with the batches of ``loader.device_batches``.

        None where the next step needs its batch from the host or is not captured yet: the first ones, and the last
        batch of an epoch.
        """
        batches = getattr(loader, "device_batches", None)
        if self.refused or batches is None or not self._can_capture(step):
            return None
        max_steps = min(max_steps, batches.steps_left(step.step))
        if max_steps < 1:
            return None
        found = self._graph_key(step)
        if found is None:
            return None
        key = batches, *found
        if (key, 1) not in self.graphs and (self._full(step.step) or self._is_warming_up(key)):
            return None
        batches.prepare(step.step)
        count = self._steps_per_launch(key, max_steps)
        captured = self.graphs.get((key, count))
        if captured is None:
            write = batches.write if batches.whole is None else None
            captured = self._capture((key, count), key, step, count, lambda: self._batch_of(batches), write)
        return None if captured is None else self._replay_timed(key, captured, step)

    def _batch_of(self, batches: Any) -> tuple[Array, Array]:
        """Arrays for such batches: the data set itself where every batch is the whole set, which needs no copy."""
        if batches.whole is not None:
            return batches.whole
        return self.xp.empty(batches.x_shape, batches.x_dtype), self.xp.empty(batches.y_shape, batches.y_dtype)

    def _can_capture(self, step: Step, *inputs: Any) -> bool:
        if not step.optimizer.flat.holds_its_parameters():
            return False  # an eager step says what is wrong; a captured one would go on in the old buffer
        return step.can_capture and all(isinstance(value, self.xp.ndarray) for value in inputs)

    def _graph_key(self, step: Step) -> tuple | None:
        """What a graph depends on, the batch aside; None where that was another in each of the last steps."""
        settings = step.settings()
        if settings not in self.settings:
            self.settings.add(settings)
            self.changes, self.changed_at = self.changes + 1, step.step
            if self.changes == MAX_CHANGES + 1:
                _say(f"{step.host_state.last_changed} changes with each step")
        elif self.changed_at != step.step:  # of one step it may be asked twice
            self.changes = 0
        if self.changes > MAX_CHANGES:
            self.refused = self.changes >= MAX_TRIED
            return None
        mode = getattr(step.model, "training", True)
        how = precision.tensor_float(), determinism.demanded()
        return mode, random.seed(), step.stream, step.optimizer.steps - step.step, how, *settings

    def _is_warming_up(self, key: tuple) -> bool:
        """Whether a step of that kind is to run eagerly once more before it is captured."""
        self.seen[key] = self.seen.get(key, 0) + 1
        return self.seen[key] <= WARM_UP

    def _full(self, now: int) -> bool:
        """Whether there is no room for another kind of step; those not launched for long go first."""
        last: dict[tuple, int] = {}
        for each in self.graphs.values():
            last[each.kind] = max(last.get(each.kind, 0), each.next_step)
        if len(last) >= MAX_GRAPHS:
            idle = {kind for kind, step in last.items() if now - step > MAX_IDLE}
            for key in [key for key, each in self.graphs.items() if each.kind in idle]:
                del self.graphs[key]
            return len(last) - len(idle) >= MAX_GRAPHS
        return False

    def _on_capture_stream(self, work: Callable[[], Array]) -> Array:
        """``work()`` on the stream of the captures, after all work that was queued before.

        Before the first capture its arrays lie in the captures' pool, which it fills. Later it would get memory there
        that graphs write at each launch, and what a module makes and keeps in such a step would be lost.
        """
        self.device.synchronize()
        with self.stream, memory.persistent(self.xp) if self.graphs else self.side.allocating():
            result = work()
        self.stream.synchronize()
        return result.copy()  # outside that pool, where a graph's replay would write over it

    def _capture(
        self,
        key: tuple,
        kind: tuple,
        step: Step,
        count: int,
        make_inputs: Callable[[], tuple[Array, Array]],
        write: Callable[[DeviceCounter, Array, Array], None] | None = None,
    ) -> _Graph | None:
        """Capture the next steps without running them; None, with a warning, where something in them is refused."""
        optimizer, xp, settings = step.optimizer, self.xp, step.settings()
        rates_before, steps, now = [float(lr) for lr in optimizer.rates], int(optimizer.steps), int(step.step)
        skipped_steps = dict(optimizer.skipped_steps)
        if self.graphs:  # what the steps before took of the common pool is wanted here now
            xp.get_default_memory_pool().free_all_blocks(stream=self.stream)
        graph, numbers = None, optimizer.flat.data.dtype
        try:
            # No phase begins while a step is captured, and what listens to phases would wait for the device.
            with self.side.allocating(), tracing.listening_to_phases(None), no_garbage_collection():
                inputs, losses = make_inputs(), xp.empty((count, *step.loss_shape), dtype=numbers)
                rates = xp.asarray([rates_before] * count, dtype=numbers)
                counter = xp.full((), now - count, dtype=np.int64)
                counter += count  # compiles what the graph moves it on with
                self.device.synchronize()
                with self.stream:
                    self.stream.begin_capture()
                    try:
                        for i in range(count):
                            optimizer.rates = DeviceRates(rates[i])
                            optimizer.steps = DeviceCounter(counter, steps - now + i)
                            random.begin_step(DeviceCounter(counter, i), step.stream)
                            if write is not None:
                                write(DeviceCounter(counter, i), *inputs)
                            step.update(*inputs, losses[i : i + 1].reshape(step.loss_shape))
                        counter += count
                    finally:
                        graph = self.stream.end_capture()
                if step.settings() != settings:
                    raise RuntimeError(f"it changes {step.host_state.last_changed}")
        except Exception as error:  # CuPy names what it refuses in many types; each has the same consequence
            self.refused = True
            self.graphs.clear()
            self.side.blocks.clear()
            self.side.pool.free_all_blocks()  # eager steps take theirs from the common pool
            first: BaseException = error
            while first.__context__ is not None:  # a broken capture cannot be ended either: the first error says why
                first = first.__context__
            _say(f"{type(first).__name__}: {first}".splitlines()[0])
            return None
        finally:
            optimizer.rates, optimizer.steps, optimizer.skipped_steps = rates_before, steps, skipped_steps
            random.begin_step(now)
        self.graphs[key] = _Graph(
            kind, graph, inputs, losses, rates, counter, [rates_before] * count, now, step.host_state.arrays
        )
        return self.graphs[key]

    def _replay(self, captured: _Graph, step: Step) -> Array:
        """Run the captured steps; returns their costs."""
        optimizer, count = step.optimizer, len(captured.losses)
        rates = [step.rates_at(step.step + i) for i in range(count)]
        if rates != captured.rates_now:
            captured.rates[...] = self.xp.asarray(rates, dtype=captured.rates.dtype)
            captured.rates_now = rates
        if captured.next_step != step.step:  # other steps came between, or a state was loaded
            captured.counter.fill(step.step)
        captured.graph.launch()
        optimizer.count_recorded(count)
        optimizer.rates = rates[-1]
        step.step += count
        captured.next_step = step.step
        return captured.losses.copy()  # the next replay writes over it

    def _replay_timed(self, key: tuple, captured: _Graph, step: Step) -> Array:
        """Replay; the first times of one step alone the clock is looked at, which waits for the device."""
        times = self.times.setdefault(key, [])
        if len(times) >= TRIALS:
            return self._replay(captured, step)
        self.device.synchronize()
        began = time.perf_counter()
        losses = self._replay(captured, step)
        self.device.synchronize()
        times.append(time.perf_counter() - began)
        return losses

    def _steps_per_launch(self, key: tuple, max_steps: int) -> int:
        """How many steps of that kind are the next launch: one until it is known how long they take."""
        times = self.times.get(key, [])
        if len(times) < TRIALS:
            return 1
        count = next((count for limit, count in MULTI_STEP if min(times) < limit), 1)
        while count > max_steps:
            count //= 2
        return max(count, 1)


def _say(reason: str) -> None:
    warnings.warn(f"the step runs eagerly, it could not be captured ({reason})", NotCaptured, stacklevel=6)
