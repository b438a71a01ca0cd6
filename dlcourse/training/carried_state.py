"""Truncated backpropagation through time: the state of a recurrent model goes on from batch to batch, without gradient
(``train.carry_state``)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend import collectives
from dlcourse.backend.device import Array
from dlcourse.backend.precision import is_half
from dlcourse.data.dataset import Data
from dlcourse.data.windows import WindowSplit
from dlcourse.errors import Problem
from dlcourse.training.callback import Callback, Every


class CarriedState:
    """The state of N sequences, each of which comes piece by piece, batch after batch.

    A piece begins with the state that the piece before left, as a constant: the gradient goes back as far as the piece
    begins (Williams and Peng 1990). It is written into the same arrays each time, as captured steps need it.

    Args:
        model: has :meth:`~dlcourse.models.base.Model.initial_state` and ``forward_from``.
        count: N.
    Attributes:
        arrays: the state, with the sequences along axis 1.
    Raises:
        UserError: the model has no state.
    """

    def __init__(self, model: Any, count: int):
        self.model = model
        self.arrays: list[Array] = [each.data for each in model.initial_state(count)]

    def __call__(self, x: Any) -> Tensor:
        """The outputs of the model for the next piece of the first n sequences, n = len(x); their state moves on."""
        before = [Tensor(array[:, : len(x)].copy()) for array in self.arrays]
        output, after = self.model.forward_from(x, before)
        for array, state in zip(self.arrays, after, strict=True):
            array[:, : len(x)] = state.data
        return output

    def reset(self) -> None:
        """Begin new sequences, from state zero."""
        for array in self.arrays:
            array.fill(0)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The arrays on the host; of 16 bits as float32, which is the same numbers."""
        hosted = [backend.to_host(array).copy() for array in self.arrays]
        return {str(i): array.astype("float32") if is_half(array.dtype) else array for i, array in enumerate(hosted)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for i, array in enumerate(self.arrays):
            array[...] = backend.of(array).asarray(state[str(i)], array.dtype)


class EpochStart(Callback):
    """Resets ``train_step.carried`` after the last step of each epoch: the next begins with other sequences."""

    def __init__(self, steps_per_epoch: int):
        self.due = Every(steps_per_epoch)

    def after_step(self, trainer: Any) -> None:
        trainer.train_step.carried.reset()


def carrying_problems(train: Mapping[str, Any], data: Data) -> Iterator[Problem]:
    """What in the data keeps ``train.carry_state`` from meaning anything."""
    if not train["carry_state"]:
        return
    path, subset, size = "train.carry_state", data.splits["train"], train["batch_size"]
    if collectives.group().size > 1:
        yield Problem(path, "the streams lie on one process; several ranks (mpirun) do not share them")
    if not isinstance(subset, WindowSplit):
        yield Problem(path, "the samples of these data do not continue one another; those of data: {name: text} do")
    elif len(subset) < 2 * size:
        yield Problem(
            path,
            f"{len(subset)} windows in {size} streams leave each fewer than two, so that nothing is carried; take a "
            "smaller train.batch_size or data.context",
        )


__all__ = ["CarriedState", "EpochStart", "carrying_problems"]
