"""Several runs in lockstep, as one stack: each is an ordinary run in its own folder, or a fit in memory.

:class:`Lockstep` takes runs whose models can be one (:mod:`dlcourse.training.stack`) through training, evaluation and
the end. A run that diverges, stops early, fails or ends leaves the others as they are.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dlcourse.autograd.replicas import NotStackable
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.data import Data, Loader, prepare
from dlcourse.data.fingerprint import Fingerprint, fingerprint
from dlcourse.errors import Interrupted, named
from dlcourse.experiment.experiment import Experiment, training_seed
from dlcourse.text import canonical
from dlcourse.training.evaluation import Evaluator
from dlcourse.training.stack import Stack, batches_of, output_of, signature
from dlcourse.training.trainer import Trainer

MAX_KEPT = 1 << 26
"""Bytes of outputs over a split, of all runs, that are kept from their metrics for their predictions."""


class Member(Protocol):
    """One of those trained in lockstep: a :class:`~dlcourse.experiment.training_run.Run` in its folder, or a
    :class:`~dlcourse.experiment.fitting.Fit` in memory. The parts are taken in the order of the methods.

    Attributes:
        experiment: data, model, and how to step.
        trainer: the experiment's.
        may_choose_weights: whether other weights than the last may be taken at the end.
    """

    experiment: Experiment
    trainer: Trainer

    @property
    def may_choose_weights(self) -> bool: ...

    def join(self, count: int, clock: Callable[[], float]) -> None:
        """Be told that ``count`` train in lockstep, and of a clock that shows the seconds of each."""

    def recorded(self) -> contextlib.AbstractContextManager[None]:
        """Inside the ``with`` block errors are written down."""

    def begin(self) -> None:
        """Before the trainer."""

    def evaluates(self, callback: Any) -> bool:
        """Whether this callback of the trainer measures the model."""

    def save(self) -> None:
        """Keep what training can go on from."""

    def end(self) -> None:
        """After the trainer: the model gets the weights that count."""

    def conclude(self) -> None:
        """Evaluate."""

    def report(self) -> None:
        """Say what came of it."""


class SharedData:
    """Data and loaders that runs of a sweep have in common, made once."""

    def __init__(self) -> None:
        self._prepared: dict[str, Data] = {}
        self._loaders: dict[tuple, Any] = {}
        self._fingerprints: dict[int, Fingerprint] = {}

    def prepare(self, section: Mapping[str, Any], seed: int) -> Data:
        """As :func:`dlcourse.data.prepare`; the same object for the same section and seed."""
        key = canonical([dict(section), seed])
        if key not in self._prepared:
            self._prepared[key] = prepare(section, seed)
        return self._prepared[key]

    def share(self, experiment: Experiment) -> None:
        """Let an experiment use what an earlier one made of this data, where its own would be the same."""
        config, train = experiment.config, experiment.train
        of_run = vars(experiment)  # where cached properties are kept
        if id(experiment.data) not in self._fingerprints:
            self._fingerprints[id(experiment.data)] = fingerprint(experiment.data)
        of_run["fingerprint"] = self._fingerprints[id(experiment.data)]
        of_data = (id(experiment.data), train["batch_size"], train["drop_last"], config["precision"])
        loader: Loader = self._loaders.setdefault((*of_data, training_seed(config)), experiment.loader)
        of_run["loader"] = loader
        for split, own in experiment.loaders.items():
            experiment.loaders[split] = self._loaders.setdefault((*of_data, split), own)


class Together(Evaluator):
    """The evaluator of one of the runs."""

    def __init__(self, lockstep: "Lockstep"):
        self.lockstep = lockstep
        self.run: Member | None = None

    def measure(self, model: Any, loader: Any, metrics: Mapping[str, Any]) -> dict[str, float]:
        run, split = self._asked(model, loader)
        return super().measure(model, loader, metrics) if run is None else self.lockstep.measured(run, split)

    def outputs(self, model: Any, loader: Any) -> Iterator[tuple[Any, Any, Any]]:
        run, split = self._asked(model, loader)
        return super().outputs(model, loader) if run is None else self.lockstep.outputs(run, split)

    def _asked(self, model: Any, loader: Any) -> tuple[Member | None, str]:
        """The run and the split, where it is asked about its own model while others are asked the same."""
        run = self.run
        if run is None or run not in self.lockstep.asking or model is not run.experiment.model:
            return None, ""
        return next(((run, split) for split, each in run.experiment.loaders.items() if each is loader), (None, ""))


class Lockstep:
    """Runs that are trained as one.

    Attributes:
        draws: the random draws of each run, with which it was made.
        live: the runs that have not ended.
        asking: the runs that evaluate the same splits now.
    """

    def __init__(self) -> None:
        self.draws: dict[Member, random.Draws] = {}
        self.live: list[Member] = []
        self.asking: list[Member] = []
        self._stack: Stack | None = None
        self._members: list[Member] = []
        self._known: dict[str, dict[Member, dict[str, float]]] = {}
        self._outputs: dict[str, _SharedOutputs] = {}
        self._averaged, self._keeps = True, False
        self._seconds, self._since = 0.0, time.perf_counter()

    def add(self, run: Member, draws: random.Draws) -> None:
        """Take in a run that was made with these random draws, and whose evaluator is a :class:`Together` of this."""
        evaluator = run.experiment.evaluator
        assert isinstance(evaluator, Together)
        evaluator.run, self.draws[run] = run, draws
        self.live.append(run)
        for each in self.live:
            each.join(len(self.live), self._clock)

    def _clock(self) -> float:
        """Seconds that count for each of the runs: a share of those that pass."""
        now = time.perf_counter()
        self._seconds += (now - self._since) / max(1, len(self.live))
        self._since = now
        return self._seconds

    # --- the parts of a run, for all ----------------------------------------------------------------------------------

    def train(self, stopped: Callable[[], int | None]) -> Iterator[tuple[Member, BaseException | None]]:
        """Train all to their ends; yields each that has ended, with the error that ended it.

        Args:
            stopped: the signal that came, if any.
        Raises:
            Interrupted: one came; all that were training have written a checkpoint.
            NotStackable: the models cannot be one; no step was taken.
        """
        self._probe()
        yield from self._for_each(list(self.live), lambda run: run.begin())
        yield from self._for_each(list(self.live), lambda run: run.trainer.begin())
        with np.errstate(all="ignore"):
            while self.live:
                yield from self._close([run for run in self.live if run.trainer.done])
                if not self.live:
                    return
                yield from self._advance()
                if (number := stopped()) is not None:
                    self._interrupt(number)

    def _probe(self) -> None:
        """Take the gradient of one batch, which changes nothing, to see whether all goes as a stack."""
        kinds = {(signature(run.experiment.model), signature(run.experiment.loss)) for run in self.live}
        if len(kinds) > 1:
            raise NotStackable("the models or the losses differ once their data are known")
        try:
            stack = self.stack_of(self.live)
            stack.probe([run.trainer.train_step.batch_of(*run.trainer.loader.batch(0)) for run in self.live])
        except NotStackable:
            raise
        except Exception as error:  # whatever a model does that means nothing to many at once
            raise NotStackable(named(error)) from error

    def _advance(self) -> Iterator[tuple[Member, BaseException | None]]:
        """One step of all, and the callbacks that are due after it."""
        runs = list(self.live)
        due = {run: run.trainer.next_calls() for run in runs}
        costs = self._recorded(runs, due) or dict(zip(runs, self._taken(runs), strict=True))
        evaluating = [run for run in runs if any(run.evaluates(c) and at <= run.trainer.step for at, c in due[run])]
        with self._ask(evaluating):
            yield from self._for_each(runs, lambda run: run.trainer.after_steps(costs[run], due[run]))

    def _recorded(self, runs: list[Member], due: Mapping[Member, Sequence[tuple[int, Any]]]) -> dict[Member, Array]:
        """The costs of as many steps as a device that records them takes at once, up to the next that a callback is
        due after; none where the runs have not their batches in common, or are at different steps."""
        trainer, start = runs[0].trainer, runs[0].trainer.step
        if not all(run.trainer.loader is trainer.loader and run.trainer.step == start for run in runs):
            return {}
        step = self.stack_of(runs).joint
        if not step.runner.takes_several:
            return {}
        calls = [at for each in due.values() for at, _ in each if at > start]
        end = min([*calls, *(run.trainer.total_steps for run in runs)])
        costs: Any = step.runner.advance(step, trainer.loader, end - start)
        return {run: costs[:, number] for number, run in enumerate(runs)}

    def _taken(self, runs: list[Member]) -> list[Array]:
        """The costs of one step of each."""
        made: dict[tuple[int, int], Any] = {}
        batches = []
        for run in runs:
            loader, step = run.trainer.loader, run.trainer.step
            key = id(loader), step
            if key not in made:
                made[key] = run.trainer.train_step.batch_of(*loader.batch(step))
            batches.append(made[key])
        return self.stack_of(runs).step(batches)

    def _close(self, ended: list[Member]) -> Iterator[tuple[Member, BaseException | None]]:
        """Take runs that are done to their ends."""
        if not ended:
            return

        def finish(run: Member) -> None:
            try:
                run.trainer.call("finish")
            finally:
                run.trainer.call("close")

        yield from self._for_each(ended, finish)
        parts: list[tuple[Callable[[Member], None], bool]] = [
            (lambda run: run.end(), True),
            (lambda run: run.conclude(), False),
        ]
        for part, averaged in parts:
            still = [run for run in ended if run in self.live]
            with self._ask(still, averaged, keeps=all(map(_keeps_its_weights, still))):
                yield from self._for_each(still, part)
        self._outputs.clear()
        for run in [run for run in ended if run in self.live]:
            run.report()
            self._leave(run)
            yield run, None

    def _for_each(
        self, runs: Sequence[Member], part: Callable[[Member], Any]
    ) -> Iterator[tuple[Member, BaseException | None]]:
        """A part of each run, with its own draws; yields those that an error ended."""
        for run in runs:
            try:
                with random.drawing(self.draws[run]), run.recorded():
                    part(run)
            except Exception as error:
                with contextlib.suppress(Exception):
                    run.trainer.call("close")
                self._leave(run)
                yield run, error

    def _leave(self, run: Member) -> None:
        """Let go of a run that has ended."""
        self.live.remove(run)
        del self.draws[run]
        if not self.live:
            self._stack, self._members = None, []

    def _interrupt(self, number: int) -> None:
        """Save all that are training, and end."""
        first: Interrupted | None = None
        for run in self.live:
            try:
                with random.drawing(self.draws[run]), run.recorded():
                    run.save()
                    raise Interrupted(f"interrupted after step {run.trainer.step}; a checkpoint is written", number)
            except Interrupted as error:
                first = first or error
            except Exception:  # its result says what; the others are saved all the same
                continue
            finally:
                run.trainer.call("close")
        raise first or Interrupted("interrupted", number)

    # --- evaluation ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _ask(self, runs: list[Member], averaged: bool = True, keeps: bool = False) -> Iterator[None]:
        """Inside the ``with`` block these runs evaluate, each when its turn comes; what one asks is answered for all.

        Args:
            averaged: evaluate the average of the weights, where a run keeps one.
            keeps: the next such block is about the same weights: outputs that were measured are not computed again.
        """
        self.asking, self._averaged, self._keeps = (runs if len(runs) > 1 else []), averaged, keeps
        try:
            yield
        finally:
            self.asking = []
            self._known.clear()
            if not keeps:
                self._outputs.clear()

    def measured(self, run: Member, split: str) -> dict[str, float]:
        """The metrics of a run on a split; those of the others are measured with them."""
        if run not in self._known.get(split, {}):
            self._known[split] = self._measure(split)
        return self._known[split].pop(run)

    def _measure(self, split: str) -> dict[Member, dict[str, float]]:
        runs = [run for run in self.asking if run in self.live and split in run.experiment.loaders]
        for run in runs:
            for metric in run.experiment.metrics.values():
                metric.reset()
        kept: list[Any] = []
        size = 0
        for found in self._forward(runs, split):
            for run, output, target in found:
                for metric in run.experiment.metrics.values():
                    metric.update(output, target)
                size += output.nbytes
            if self._keeps and size <= MAX_KEPT:
                kept.append(found)
        if self._keeps and size <= MAX_KEPT:
            self._outputs[split] = _SharedOutputs(runs, iter(kept))
        return {run: {label: metric.compute() for label, metric in run.experiment.metrics.items()} for run in runs}

    def outputs(self, run: Member, split: str) -> Iterator[tuple[Any, Any, Any]]:
        """The outputs and targets of a run over a split, without the inputs; those of the others are kept for them."""
        if split not in self._outputs or run not in self._outputs[split].runs:
            runs = [each for each in self.asking if each in self.live and split in each.experiment.loaders]
            self._outputs[split] = _SharedOutputs(runs, self._forward(runs, split))
        return self._outputs[split].of(run)

    def _forward(self, runs: list[Member], split: str) -> Iterator[list[tuple[Member, Array, Array]]]:
        """Batch by batch the outputs and targets of each run, in the targets' own units."""
        stack, loaders = self.stack_of(runs), [run.experiment.loaders[split] for run in runs]
        with contextlib.ExitStack() as averages:
            for run in runs if self._averaged else ():
                averages.enter_context(run.trainer.train_step.averaged())
            for batches in batches_of(loaders):
                there = [i for i, batch in enumerate(batches) if batch is not None]
                if len(there) == len(runs):
                    outputs = stack.outputs([x for x, _ in batches])
                else:  # splits that differ by a batch
                    outputs = [output_of(runs[i].experiment.model, batches[i][0]) for i in there]
                yield [
                    _restored(runs[i], loaders[i], output, batches[i][1])
                    for i, output in zip(there, outputs, strict=True)
                ]

    # --- the stack ----------------------------------------------------------------------------------------------------

    def stack_of(self, runs: list[Member]) -> Stack:
        """The stack of exactly these runs; another one is made where some have left."""
        if self._stack is None or runs != self._members:
            self._stack = Stack([run.trainer.train_step for run in runs], [self.draws[run] for run in runs])
            self._members = list(runs)
        return self._stack


class _SharedOutputs:
    """The outputs of several runs over a split: computed as far as one wants them, kept until the others do."""

    def __init__(self, runs: Sequence[Member], batches: Iterator[list[tuple[Member, Array, Array]]]):
        self.runs, self._batches = set(runs), batches
        self._kept: list[dict[Member, tuple[Array, Array]]] = []

    def of(self, run: Member) -> Iterator[tuple[None, Array, Array]]:
        """Those of a run, once."""
        self.runs.remove(run)
        for index in itertools.count():
            if index == len(self._kept):
                found = next(self._batches, None)
                if found is None:
                    return
                self._kept.append({each: (output, target) for each, output, target in found})
            if run in self._kept[index]:
                yield None, *self._kept[index].pop(run)


def _keeps_its_weights(run: Member) -> bool:
    """Whether the last weights are those that are measured at the end and then written."""
    step = run.trainer.train_step
    return step.ema is None and step.swa is None and not run.may_choose_weights


def _restored(run: Member, loader: Any, output: Array, target: Array) -> tuple[Member, Array, Array]:
    if loader.targets is None:
        return run, output, target
    return run, loader.targets.restore(output), loader.targets.restore(target)
