"""Averages of the weights that are evaluated in their place: ``train.ema`` and ``train.swa``."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dlcourse import backend
from dlcourse.autograd import FlatParameters
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.optim import average_step
from dlcourse.errors import Problem
from dlcourse.optim.swa_utils import running_statistics, update_bn
from dlcourse.training.callback import Callback, Every


@contextlib.contextmanager
def showing(flat: FlatParameters, average: Array) -> Iterator[None]:
    """The parameters hold an average; afterwards, what they held before."""
    flat.hold()
    weights = flat.data.copy()
    put(flat, average)
    try:
        yield
    finally:
        put(flat, weights)


def put(flat: FlatParameters, weights: Array) -> None:
    """Give the parameters other values."""
    flat.data[...] = weights
    flat.refresh_half_weights()
    flat.mark_changed("an average of the weights that was swapped in or out")


class WeightMean:
    """The mean of the weights after some steps, stochastic weight averaging (Izmailov et al. 2018, "Averaging Weights
    Leads to Wider Optima and Better Generalization").

    a <- a + (w - a) / (n + 1) at the n-th :meth:`take`, from 0. Batch norm's running statistics are those of the
    weights in training: for the mean they are computed anew, once it is looked at, over the training split, as
    :func:`~dlcourse.optim.swa_utils.update_bn` does.

    Args:
        model: the module.
        flat: its parameters.
        inputs: gives the training split, batch by batch, the same at each call.
        from_share: whether a share of the training says when it begins, so that its length counts.
    Attributes:
        mean: (P,) a.
        count: n, how many weights it is the mean of.
    """

    def __init__(
        self, model: Any, flat: FlatParameters, inputs: Callable[[], Iterable[Array]], from_share: bool = False
    ):
        self.model, self.flat, self.inputs, self.from_share = model, flat, inputs, from_share
        self.mean, self.count = flat.data.copy(), 0
        self.statistics = self._statistics()
        self._known_at = 0
        """The count at which the statistics were computed."""

    def take(self) -> None:
        """Take in the weights as they are now."""
        average_step(self.mean, self.flat.data, self.count / (self.count + 1))
        self.count += 1

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The model holds the mean and its statistics; before the first :meth:`take` nothing changes."""
        if not self.count:
            yield
            return
        with showing(self.flat, self.mean):
            own = self._statistics()
            try:
                if self._known_at != self.count:
                    update_bn(self.inputs(), self.model)
                    self.statistics, self._known_at = self._statistics(), self.count
                self._put(self.statistics)
                yield
            finally:
                self._put(own)

    def _statistics(self) -> dict[str, Array]:
        return {name: array.copy() for name, array in running_statistics(self.model).items()}

    def _put(self, statistics: Mapping[str, Array]) -> None:
        for name, array in running_statistics(self.model).items():
            array[...] = statistics[name]

    def state_dict(self) -> dict[str, Any]:
        """``{"count": int, "mean": array, "statistics": {name: array}}``, arrays on the host."""
        if self._known_at != self.count:  # the statistics saved belong to the mean
            with self.shown():
                pass
        statistics = {name: backend.to_host(array).copy() for name, array in self.statistics.items()}
        return {"count": self.count, "mean": backend.to_host(self.mean).copy(), "statistics": statistics}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        here = backend.of(self.mean)
        self.count = self._known_at = int(state["count"])
        self.mean[...] = here.asarray(state["mean"])
        self.statistics = {name: here.asarray(array) for name, array in state["statistics"].items()}


class WeightAveraging(Callback):
    """Takes the weights into the mean of ``train_step.swa`` when they are due."""

    def __init__(self, due: Every):
        self.due = due

    def after_step(self, trainer: Any) -> None:
        trainer.train_step.swa.take()


def averaging_steps(settings: Mapping[str, Any], total_steps: int, steps_per_epoch: int) -> Every:
    """When ``train.swa`` takes in the weights: after ``start`` and each ``every`` from there.

    A share of the training is rounded down to a multiple of ``every``, so that the last weights are among them where
    the whole training is such a multiple.
    """
    start, every = settings["start"], max(1, round(settings["every"] * steps_per_epoch))
    if isinstance(start, float):
        share = int(start * total_steps)
        return Every(every, start=max(1, share - share % every if share >= every else share))
    return Every(every, start=start * steps_per_epoch)


def averaging_problems(settings: Mapping[str, Any], total_steps: int, steps_per_epoch: int) -> Iterator[Problem]:
    """What is wrong where the mean would be of one weight, or of none."""
    due = averaging_steps(settings, total_steps, steps_per_epoch)
    if due.start + due.steps > total_steps:
        length = f"{total_steps / steps_per_epoch:.4g} epochs ({total_steps} steps)"
        yield Problem(
            "train.swa",
            f"the training has {length}; from step {due.start} on, each {due.steps} steps, that leaves fewer than two "
            "weights for a mean; take an earlier start, or a smaller every (in epochs; 0.1 for ten in an epoch)",
        )


def moved_start(settings: Mapping[str, Any], lengths: tuple[int, int], steps_per_epoch: int, step: int) -> str | None:
    """Why the mean of ``step`` steps taken is not that of a training of another length; None where it is.

    Args:
        lengths: steps of the training, as it was to be and as it is to be now.
    """
    before, now = (averaging_steps(settings, length, steps_per_epoch).start for length in lengths)
    if before == now or step < min(before, now):
        return None
    return (
        f"train.swa.start: is a share of the training: step {before} of {lengths[0]}, step {now} of {lengths[1]}, and "
        f"{step} steps are taken"
    )
