"""Metrics over whole splits, in evaluation mode, in the data's own order."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dlcourse import registry
from dlcourse.autograd import Tensor, lent, no_grad
from dlcourse.backend import array_module, collectives, memory, to_host, tracing
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.cast import astype
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.data.normalizer import TargetNormalizer
from dlcourse.metrics import Metric
from dlcourse.training.callback import Callback, Every
from dlcourse.training.carried_state import CarriedState
from dlcourse.training.history import History
from dlcourse.training.ranks import agree, in_turns


def outputs(model: Any, loader: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Go through a split in order: inputs, the model's outputs and targets, batch by batch, arrays on the device.

    Outputs in half precision come as float32, in which losses and metrics are computed. Where the loader scales
    targets, outputs and targets come in the targets' own units, in float64.

    Batches here may be larger than those of training. One that does not fit into memory is halved until it does, and so
    are those after it: in evaluation mode an output depends on its own sample only. Where batches continue one another,
    they are as large as those of training, and the state goes on from one to the next, from zero at the first.
    """
    training, targets = model.training, getattr(loader, "targets", None)
    model.eval()
    max_samples, answer = None, model
    if getattr(loader, "streams", False):
        answer = CarriedState(model, loader.batch_size)
    try:
        with no_grad():
            for x, y in loader.batches():
                start = 0
                while start < len(x):
                    chunk = slice(start, len(x) if max_samples is None else start + max_samples)
                    output = _output(answer, x[chunk])
                    if output is None:
                        max_samples = -(-len(x[chunk]) // 2)
                        continue
                    if targets is None:
                        yield x[chunk], output, y[chunk]
                    else:
                        yield x[chunk], targets.restore(output), targets.restore(y[chunk])
                    start += len(x[chunk])
    finally:
        model.train(training)


def _output(model: Any, x: Any) -> Any:
    """What the model makes of a batch; None where that does not fit into memory and a smaller one might."""
    try:
        output = model(lent(x)).data
        return astype(output, accumulation_dtype(output.dtype))
    except Exception as error:  # out of memory is a MemoryError on the host, an error of CuPy's on a GPU
        if len(x) < 2 or isinstance(model, CarriedState) or not memory.out_of_memory(error):
            raise
        return None


def objective_values(model: Any, loader: Any) -> Iterator[tuple[dict[str, Array], int]]:
    """Go through a split in order: what a model with an objective measures of each batch, and how many samples that is.

    Random draws are those of the batch's number, so the same in each evaluation.
    """
    training = model.training
    model.eval()
    try:
        with no_grad():
            for (_, (x, _)), values in in_turns(enumerate(loader.batches()), partial(_values, model)):
                yield values, len(x)
    finally:
        model.train(training)


def _values(model: Any, batch: tuple[int, tuple[Array, Array]]) -> dict[str, Array]:
    index, (x, y) = batch
    return {label: value.data for label, value in model.objective_values(lent(x), y, index).items()}


class _Batch(NamedTuple):
    """A loader of one batch."""

    x: Any
    y: Any
    targets: Any

    def batches(self) -> Iterator[tuple[Any, Any]]:
        yield self.x, self.y


def _outputs_in_turns(model: Any, loader: Any) -> Iterator[tuple[Any, Any]]:
    """The outputs and targets of a split in order, on all ranks, each of which computes its share of the batches."""

    def of(batch: tuple[Any, Any]) -> tuple[Any, Any]:
        found = [pair for _, *pair in outputs(model, _Batch(*batch, getattr(loader, "targets", None)))]
        whole = [array_module(each[0]).concatenate(each) for each in zip(*found, strict=True)]
        return whole[0], whole[1]

    for _, pair in in_turns(loader.batches(), of):
        yield pair


def evaluate(model: Any, loader: Any, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one split, by their labels; where several ranks train together, all of them have to ask."""
    for metric in metrics.values():
        metric.reset()
    if getattr(model, "objective_units", None):
        for values, count in objective_values(model, loader):
            for label in metrics.keys() & values.keys():
                metrics[label].add(values[label], count)
        if drawn := [metric for metric in metrics.values() if metric.of_drawn]:
            _judge_drawn(model, loader, drawn)
    elif metrics:
        alone = collectives.group().size == 1
        found = ((output, y) for _, output, y in outputs(model, loader)) if alone else _outputs_in_turns(model, loader)
        for output, target in found:
            for metric in metrics.values():
                metric.update(output, target)
    return {label: metric.compute() for label, metric in metrics.items()}


def _judge_drawn(model: Any, loader: Any, metrics: Sequence[Any]) -> None:
    """Let metrics judge what a model draws, as many as the split has samples, beside these."""
    pairs = [(to_host(x), to_host(y)) for x, y in loader.batches()]
    x, y = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    drawn = model.generate(len(x)).numpy().astype(np.float64)
    for metric in metrics:
        metric.judge(drawn, x.astype(np.float64), y)


class Evaluator:
    """How the outputs of a model over a split are had: by itself. A replica of a stack has them with the others, see
    :mod:`dlcourse.experiment.lockstep`."""

    def measure(self, model: Any, loader: Any, metrics: Mapping[str, Any]) -> dict[str, float]:
        """As :func:`evaluate`."""
        return evaluate(model, loader, metrics)

    def outputs(self, model: Any, loader: Any) -> Iterator[tuple[Any, Any, Any]]:
        """As :func:`outputs`."""
        return outputs(model, loader)


class LossMetric(Metric):
    """The loss under the face of a metric: of all samples, as one batch of them all would have it; without penalties.

    Args:
        loss_fn: ``loss_fn(outputs, targets)`` with ``reduction`` "mean" or "sum".
        targets: scales targets, where training does: the loss is that of the scaled ones here too.
    """

    def __init__(self, loss_fn: Any, targets: TargetNormalizer | None = None):
        self.loss_fn, self.targets = loss_fn, targets
        super().__init__()

    def update(self, outputs: Any, targets: Any) -> None:
        if self.targets is not None:
            outputs, targets = self.targets.scaled(outputs), self.targets.scaled(targets)
        count = getattr(self.loss_fn, "count", len)(targets)
        found = self.loss_fn(Tensor(outputs), targets).data.astype("float64")
        if self.loss_fn.reduction != "sum":
            found = found * count if isinstance(count, int) else array_module(found).where(count, found * count, 0)
        self.total, self.count = self.total + found, self.count + count

    def finish(self, total: Any, count: int) -> Any:
        return total if self.loss_fn.reduction == "sum" else total / count


class ObjectiveMetric(Metric):
    """A number that a model with an objective gives of each batch, over all of them.

    Args:
        name: of the number; where a metric is called so too, it says whether more is better.
        unit: of the number.
    """

    def __init__(self, name: str, unit: str):
        self.unit = unit  # type: ignore[misc]  # of other metrics it is the class's
        known = registry.lookup("metric", name) if name in registry.names("metric") else Metric
        self.higher_is_better = known.higher_is_better  # type: ignore[misc]
        super().__init__()

    def add(self, mean: Any, count: int) -> None:
        """Take in the mean of one batch."""
        self.total = self.total + mean.astype("float64") * count
        self.count += count


class Evaluation(Callback):
    """Evaluates every ``every`` epochs; writes an ``eval`` line; then calls ``after_evaluation``.

    Args:
        loaders: by split, those to evaluate.
        metrics: by label.
        every: epochs between evaluations; 0: only at the end.
        history: where the lines go.
        evaluator: measures.
    """

    def __init__(
        self,
        loaders: Mapping[str, Any],
        metrics: Mapping[str, Any],
        every: int,
        history: History,
        evaluator: Evaluator | None = None,
    ):
        self.loaders, self.metrics, self.every, self.history = dict(loaders), dict(metrics), every, history
        self.evaluator = evaluator or Evaluator()
        self.due: Every = Every(0)  # once the steps of an epoch are known

    def start(self, trainer: Any) -> None:
        self.due = Every(self.every * trainer.loader.steps_per_epoch)

    def after_step(self, trainer: Any) -> None:
        self.run(trainer)

    def at_end(self, trainer: Any) -> None:
        """Evaluate where training ended, if it is not at one of the regular evaluations.

        The last checkpoint comes before this: a run made longer later has no evaluation here that it would not have had
        if it had been that long from the start.
        """
        if trainer.step not in self.due:
            self.run(trainer)

    def run(self, trainer: Any) -> None:
        """Evaluate now."""
        tracing.phase("evaluation")
        trainer.call("before_sync")
        agree(trainer.model)
        with trainer.train_step.averaged():
            trainer.metrics = {
                split: self.evaluator.measure(trainer.model, loader, self.metrics)
                for split, loader in self.loaders.items()
            }
        self.history.record(trainer, "eval", metrics=trainer.metrics)
        tracing.phase(None)
        trainer.call("after_evaluation")
