"""Stack: several models of one architecture, trained as one model with a leading axis of replicas.

Each replica is an ordinary model with its own step, optimizer, schedule, penalties and random draws: the stack only
lays the rows of their flat buffers one below another, and takes one forward and backward pass for all. What belongs to
a replica alone (optimizer, clip, average, callbacks, checkpoint) works on its row as if there were no other.
"""

import copy
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, at_once, lent, no_grad
from dlcourse.autograd.base import array_of
from dlcourse.autograd.graph import walk_back
from dlcourse.autograd.replicas import Each, NotStackable, ReplicaArray, Replicas, only_own_draws
from dlcourse.backend import random, tracing
from dlcourse.backend.device import Array, address
from dlcourse.nn import Module
from dlcourse.optim.stacked import StackedOptimizers
from dlcourse.optim.swa_utils import running_statistics
from dlcourse.training.stack_step import StackStep

_ALIGNED = 16
"""Rows of the buffers begin at multiples of so many numbers."""


_SET_BY_THE_PROGRAM = {"training", "_hooks", "_chain", "_items", "_placed"} | {
    "every_step",
    "feature_names",
    "target_names",
    "target_scaling",
}
"""Attributes of modules that change no outputs, or hold what is compared by itself."""


class _StackedParameter(Parameter):
    """A parameter of all replicas; its values and gradients are views of their rows."""

    __slots__ = ()

    def grad_destination(self) -> Any:
        return None if self._received else self._grad_view

    def accumulate(self, grad: Any) -> None:
        if grad is not self._grad_view:
            if self._received:
                self._grad_view += grad
            else:
                self._grad_view.values[...] = grad.values
        self._received = True


class Stack:
    """Replicas in lockstep; each may be at a step of its own.

    Args:
        steps: a :class:`~dlcourse.training.step.TrainStep` of each, of models with one :func:`signature`, and of losses
            with one.
        draws: the random draws of each.
    Raises:
        NotStackable: the models cannot be one; nothing has changed.
    """

    def __init__(self, steps: Sequence[Any], draws: Sequence[random.Draws]):
        self.steps, self.replicas = list(steps), Replicas(draws)
        flats = [step.flat for step in self.steps]
        for flat in flats:
            if flat.ties or flat.half is not None or len(flat) != len(flats[0]):
                raise NotStackable("weights that are shared, or of 16 bits, or of different layouts")
        self.model = copy.deepcopy(self.steps[0].model)
        names = {id(p): name for name, p in self.steps[0].model.named_parameters()}
        own = dict(self.model.named_parameters())
        self.parameters: list[Any] = [own[names[id(p)]] for p in flats[0].parameters]
        xp, length = backend.array_module(flats[0].data), -(-len(flats[0]) // _ALIGNED) * _ALIGNED
        data, grad = (xp.zeros((len(flats), length), flats[0].data.dtype) for _ in range(2))
        self._share_statistics()
        for flat, weights, grads in zip(flats, data, grad, strict=True):
            flat.move_to(weights[: len(flat)], grads[: len(flat)])
        self.optimizers = StackedOptimizers([step.optimizer for step in self.steps], data, grad)
        for i, p in enumerate(self.parameters):
            place, shape = flats[0].slice_of(i), (len(flats), *p.shape)
            views = (ReplicaArray(_in_rows(buffer, place, shape), self.replicas) for buffer in (data, grad))
            p.__class__ = _StackedParameter
            p._array, p._grad_view = views
        self.loss = copy.copy(self.steps[0].loss_fn)
        self._vary([each.loss_fn for each in self.steps], [self.loss])
        for parts in zip(self.model.modules(), *(step.model.modules() for step in self.steps), strict=True):
            self._vary(parts[1:], parts[:1])
        self._everywhere = False

    def _share_statistics(self) -> None:
        """Running statistics become rows of one array."""
        found = [running_statistics(step.model) for step in self.steps]
        for name in found[0]:
            rows = backend.array_module(found[0][name]).stack([each[name] for each in found])
            path, _, own = name.rpartition(".")
            for step, row in zip(self.steps, rows, strict=True):
                setattr(step.model.get_submodule(path), own, row)
            setattr(self.model.get_submodule(path), own, Tensor(ReplicaArray(rows, self.replicas)))

    def _vary(self, parts: Sequence[Any], into: Sequence[Any]) -> None:
        """Give a module of the stack the settings in which its replicas differ."""
        for name in getattr(type(into[0]), "varies", ()):
            values = [getattr(part, name) for part in parts]
            if len(set(values)) > 1:
                vars(into[0])[name] = Each(values)

    def __len__(self) -> int:
        return len(self.steps)

    def step(self, batches: Sequence[tuple[Array, Array]]) -> list[Array]:
        """One step of each with its batch; the costs before it, arrays of one element on the device."""
        for number in self.replicas.each():
            self.steps[number].begin()
        if not _of_one_shape([x for x, _ in batches]):  # as the last batches of folds that differ by a sample
            return [self._alone(number, *batches[number]) for number in self.replicas.each()]
        costs = self.update(batches)
        for step in self.steps:
            step.step += 1
        return [costs[number : number + 1] for number in range(len(self))]

    def update(
        self,
        batches: Sequence[tuple[Array, Array]],
        loss_buffer: Array | None = None,
        lr: Array | None = None,
    ) -> Array:
        """A step of each that has begun, with batches of one shape. It is not counted.

        Args:
            loss_buffer: where the costs are written, if given.
            lr: the learning rates (R,), where they lie on the device.
        Returns:
            The costs (R,).
        """
        for step in self.steps:
            step.optimizer.zero_grad()
        for p in self.parameters:
            p._received = False
        self.model.train()
        costs = self._backward(batches, loss_buffer)
        received = [p._received for p in self.parameters]
        for number in self.replicas.each():
            step, loss = self.steps[number], costs[number]
            step.flat.mark_received(received)
            if (cost := step.complete_gradient(loss)) is not loss:
                costs[number] = cost
        tracing.phase("optimizer")
        self.optimizers.step(self.replicas, lr)
        tracing.phase(None)
        for step in self.steps:
            step.finish_update()
        if loss_buffer is None or costs is loss_buffer:
            return costs
        loss_buffer[...] = costs
        return loss_buffer

    @functools.cached_property
    def joint(self) -> StackStep:
        """The step of all as one."""
        return StackStep(self)

    def probe(self, batches: Sequence[tuple[Array, Array]]) -> None:
        """Take the gradients of a batch and change nothing else.

        Raises:
            NotStackable: the models cannot be one.
        """
        if not _of_one_shape([x for x, _ in batches]):
            return
        kept = [{name: array.copy() for name, array in running_statistics(step.model).items()} for step in self.steps]
        for number in self.replicas.each():
            self.steps[number].begin()
        self.model.train()
        own = {name: array_of(buffer) for name, buffer in self.model.named_buffers()}
        shared = {name: array.copy() for name, array in own.items() if not isinstance(array, ReplicaArray)}
        self._backward(batches)
        changed = [name for name, before in shared.items() if not _equal(own[name], before)]
        if changed:
            raise NotStackable(f"{', '.join(changed)} changes in training, and all replicas would share it")
        for step, statistics in zip(self.steps, kept, strict=True):
            for name, array in running_statistics(step.model).items():
                array[...] = statistics[name]

    def _alone(self, number: int, x: Array, y: Array) -> Array:
        step = self.steps[number]
        return step(x, y).data.reshape(1)

    def _backward(self, batches: Sequence[tuple[Array, Array]], loss_buffer: Array | None = None) -> Array:
        """Leave the gradients of all in the buffers; their losses (R,), in ``loss_buffer`` where the loss can."""
        x, y = (self._joined([batch[i] for batch in batches]) for i in range(2))
        with at_once(loss_buffer):
            outputs = self._forward(x)
            with only_own_draws():
                loss = self.loss(outputs, y)
            if not isinstance(loss.data, ReplicaArray) or loss._node is None or loss.shape:
                raise NotStackable("the loss is not one number for each replica")
            known = loss._node.function.is_loss
            values = loss.data.values
            ones = None if known else ReplicaArray(backend.array_module(values).ones_like(values), self.replicas)
            walk_back(loss._node, loss._index, ones, False)
        return values

    def _forward(self, x: Any) -> Tensor:
        """The outputs; where an operation draws by itself on what all share, each replica gets inputs of its own."""
        counts = [dict(draws.draws) for draws in self.replicas.draws]
        try:
            with only_own_draws():
                return self.model(lent(self._spread(x) if self._everywhere else x))
        except NotStackable:
            if self._everywhere or isinstance(x, ReplicaArray):
                raise
        self._everywhere = True
        for draws, count in zip(self.replicas.draws, counts, strict=True):
            draws.draws = count
        return self._forward(x)

    def _spread(self, x: Any) -> ReplicaArray:
        if isinstance(x, ReplicaArray):
            return x
        values = backend.array_module(x).broadcast_to(x, (len(self), *x.shape))
        return ReplicaArray(values, self.replicas)

    def _joined(self, arrays: Sequence[Array]) -> Any:
        """What is the same for all as it is, else an array of all."""
        if all(array is arrays[0] for array in arrays):
            return arrays[0]
        return ReplicaArray(backend.array_module(arrays[0]).stack(arrays), self.replicas)

    def outputs(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs in evaluation mode of each replica for its batch."""
        if not _of_one_shape(inputs):
            return [output_of(step.model, x) for step, x in zip(self.steps, inputs, strict=True)]
        self.model.eval()
        with no_grad():
            found = self._forward(self._joined(inputs)).data
        return list(found.values) if isinstance(found, ReplicaArray) else [found] * len(self)


def _in_rows(buffer: Array, place: slice, shape: tuple[int, ...]) -> Array:
    """What lies at a place of each row, in that shape (R, ...): a view, as array libraries make one where they can."""
    rows = buffer[:, place]
    found = rows.reshape(shape)
    if address(found) != address(rows):
        raise NotStackable("the array library copies rows of a buffer")
    return found


def output_of(model: Any, x: Array) -> Array:
    """The output in evaluation mode of one model by itself."""
    training = model.training
    model.eval()
    try:
        with no_grad():
            return model(lent(x)).data
    finally:
        model.train(training)


def _equal(a: Array, b: Array) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _of_one_shape(arrays: Sequence[Array]) -> bool:
    return all(array.shape == arrays[0].shape for array in arrays)


def batches_of(loaders: Sequence[Any]) -> Iterator[list[tuple[Array, Array]]]:
    """The batches of several splits side by side, those of one loader made once; a split that has ended has none of
    length 0."""
    distinct = list({id(loader): loader for loader in loaders}.values())
    places = [next(i for i, each in enumerate(distinct) if each is loader) for loader in loaders]
    for found in itertools.zip_longest(*(loader.batches() for loader in distinct)):
        yield [found[place] for place in places]


def signature(module: Any) -> tuple:
    """What modules have in common that can be stacked: structure, shapes and settings, but for those that may vary."""
    if not isinstance(module, Module):
        return (repr(module),)
    found = []
    for name, each in module.named_modules():
        left_out = {*type(each).varies, *_SET_BY_THE_PROGRAM}
        settings = {key: _settled(value) for key, value in vars(each).items() if key not in left_out}
        found.append((name, type(each), tuple(sorted(settings.items(), key=lambda pair: pair[0]))))
    return tuple(found)


def _settled(value: Any) -> Any:
    """A setting as something to compare."""
    if isinstance(value, Parameter):
        return "parameter", value.shape, str(value.dtype), value.requires_grad
    if isinstance(value, Module):
        return "module"
    if isinstance(value, Mapping):
        return tuple((repr(key), _settled(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(_settled(each) for each in value)
    if hasattr(value, "dtype"):
        array = backend.to_host(value.data if isinstance(value, Tensor) else value)
        return array.shape, array.tobytes()
    return repr(value)
