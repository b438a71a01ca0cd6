"""The optimizers of a stack's replicas: ordinary ones, whose updates are done for all at once where they are alike."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from dlcourse import backend
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import Kernel


class StackedUpdate(NamedTuple):
    """How an optimizer's update is done for many of its kind at once.

    Attributes:
        kernel: for the rows of all.
        states: the names of the state arrays that it takes, in its order; an optimizer may lack one.
        settings: the optimizer's row of the kernel's settings.
        takes_step: whether the kernel takes the step number.
    """

    kernel: Kernel
    states: tuple[str, ...]
    settings: tuple[float, ...]
    takes_step: bool = False


class StackedOptimizers:
    """Optimizers whose weights and gradients are rows of a stack's buffers.

    Where one kernel can update all, their state arrays become rows of buffers too, and a step is one call of it. Where
    it cannot, as in a step that does not move some parameter, each takes its own step. Both give the same bits.

    Args:
        optimizers: one of each replica.
        data, grad: the buffers (R, L), of whose rows the first numbers are the optimizers' weights and gradients.
    """

    def __init__(self, optimizers: Sequence[Any], data: Array, grad: Array):
        self._all, self._data, self._grad = optimizers, data, grad
        self._weights = [each.flat.data for each in optimizers]
        self._states: dict[str, Array] = {}
        self._rows: list[dict[str, Array]] = [{} for _ in optimizers]
        # Never dropped: a step recorded with other settings reads its own when it is replayed.
        self._tables: dict[tuple, Array] = {}
        updates = self._updates()
        for name in updates[0].states if updates else ():
            self._lay_out(name)

    def _lay_out(self, name: str) -> None:
        """Make state arrays rows of one buffer."""
        if not any(name in each.state for each in self._all):
            return
        buffer = self._states[name] = backend.array_module(self._data).zeros_like(self._data)
        for each, row, known in zip(self._all, buffer, self._rows, strict=True):
            if name in each.state:
                own = row[: len(each.flat)]
                own[...] = each.state[name]
                each.state[name] = known[name] = own

    def step(self, replicas: Any, lr: Array | None = None) -> None:
        """One step of each, from the gradients that are there.

        Args:
            replicas: :class:`~dlcourse.autograd.replicas.Replicas`, each with its random draws.
            lr: the learning rates (R,), where they lie on the device.
        """
        updates = self._updates()
        if updates is None or not self._in_rows(updates[0].states):
            for number in replicas.each():
                self._all[number].step()
            return
        grads = [each.begin_update() for each in self._all]
        if self._alike():
            kernel, names, _, takes_step = updates[0]
            states = (self._states.get(name) for name in names)
            step = (self._all[0].steps,) if takes_step else ()
            rates = self._numbers([each.lr for each in self._all]) if lr is None else lr
            count = len(self._all[0].flat)
            kernel(self._data, self._grad, *states, count, *step, rates, self._table(updates))
        else:
            for number in replicas.each():
                self._all[number].update_members(grads[number])
        for each in self._all:
            each.end_update()

    def _updates(self) -> list[StackedUpdate] | None:
        """The update of each, where all are of one kind."""
        found = [each.stacked_update() if _is_plain(each) else None for each in self._all]
        known = [update for update in found if update is not None]
        return known if len(known) == len(found) and len({id(update.kernel) for update in known}) == 1 else None

    def _in_rows(self, names: Sequence[str]) -> bool:
        """Whether weights and states lie where they were put."""
        return all(
            each.flat.data is weights and all(each.state.get(name) is known.get(name) for name in names)
            for each, weights, known in zip(self._all, self._weights, self._rows, strict=True)
        )

    def _alike(self) -> bool:
        """Whether all are at one step and move all parameters."""
        first = self._all[0].steps
        return all(not each.skipped_steps and (each.steps is first or each.steps == first) for each in self._all)

    def _table(self, updates: list[StackedUpdate]) -> Array:
        """The settings of all (R, K)."""
        key = tuple(update.settings for update in updates)
        if key not in self._tables:
            self._tables[key] = self._numbers(key)
        return self._tables[key]

    def _numbers(self, values: Sequence[Any]) -> Array:
        return backend.array_module(self._data).asarray(values, dtype="float64")


def _is_plain(optimizer: Any) -> bool:
    """Whether a step is no more than the update of the whole buffer, as the class of that update knows it."""
    whole = optimizer.members == [optimizer] and not optimizer.maximize and optimizer.flat.scaler is None
    kind: Any = type(optimizer)
    return whole and _knows_its_update(kind)


@functools.cache
def _knows_its_update(kind: type) -> bool:
    """Whether one class has the update and how it is stacked, and none has a step of its own."""
    updating, stacking, stepping = (
        next(each for each in kind.__mro__ if name in vars(each)) for name in ("update", "stacked_update", "step")
    )
    return updating is stacking and stepping.__name__ == "Optimizer"
