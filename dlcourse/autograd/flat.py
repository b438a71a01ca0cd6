"""FlatParameters: many parameters in one buffer.

With all weights in one array and all gradients in another, an optimizer step, a gradient norm, a clip, an average, an
all-reduce and a checkpoint are each one operation on one array.
"""

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd.parameter import Parameter
from dlcourse.autograd.tensor import Tensor
from dlcourse.autograd.version import Version
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import scaling
from dlcourse.backend.memory import aligned_zeros
from dlcourse.backend.precision import accumulation_dtype, is_half


class FlatParameters:
    """Parameters laid one after another in one array, their gradients in a second of the same layout.

    In half precision both are float32, and two more arrays of 16 bits are what the model computes with: ``half``, which
    :meth:`refresh_half_weights` rounds from the values, and ``half_grad``, of which :meth:`gather_grad` makes the
    gradient.

    A parameter lies in one buffer at a time. Where several hold it, as those of two optimizers do that share some
    parameters, each takes it back when it is used (:meth:`hold`). Parameters that share one array (``b.data = a.data``)
    go on sharing it: they have one slot, and one gradient, the sum of theirs.

    A copy (``copy.deepcopy``, pickle) holds the copies of the parameters.

    Attributes:
        all_parameters: in the order of the argument, without repeats.
        parameters: those that have a slot of their own; all of them but where some share an array.
        data: (P,) all values.
        grad: (P,) all gradients; parts that have received nothing hold old numbers, see :meth:`gather_grad`.
        half, half_grad: (P,) of 16 bits; None where the model computes at full precision.
        scaler: the loss scale that ``half_grad`` holds, see ``backend/kernels/scaling.py``; None for none.
        absent: indices in ``parameters`` of those without gradient when :meth:`gather_grad` looked last.
        ties: of each parameter without a slot of its own, the one whose array it shares, and whether transposed.

    Raises:
        ValueError: there is no parameter, or they differ in type or device.
    """

    def __init__(self, parameters: Iterable[Parameter]):
        self.all_parameters = list(dict.fromkeys(parameters))
        if not self.all_parameters:
            raise ValueError("an optimizer needs at least one parameter, got none")
        self._check_alike()
        self.ties = _ties(self.all_parameters)
        self.parameters = [p for p in self.all_parameters if p not in self.ties]
        xp, kind = backend.array_module(self.all_parameters[0].data), self.all_parameters[0].dtype
        sizes = [p.size for p in self.parameters]
        self.ends = np.cumsum(sizes).tolist()
        self.data, self.grad = (aligned_zeros(sum(sizes), accumulation_dtype(kind), xp) for _ in range(2))
        self.half: Array = None
        self.half_grad: Array = None
        self.scaler: Any = None
        self._collected, self._add = True, False
        self._earlier: set[int] = set()
        self.absent: list[int] = []
        self._old_arrays: list[tuple[Any, Parameter]] = []
        if is_half(kind):
            self.half, self.half_grad = (aligned_zeros(len(self), kind, xp) for _ in range(2))
        self._take_in(self.all_parameters)

    def __reduce__(self) -> tuple:
        return _laid_out, (type(self), self.all_parameters, self.scaler)

    def _check_alike(self) -> None:
        first = self.all_parameters[0].data
        for p in self.all_parameters:
            if p.dtype != first.dtype or not backend.same_device(p.data, first):
                raise ValueError(
                    "the parameters of one optimizer share a type and a device, got "
                    f"{first.dtype} on {backend.of(first).name} and {p.dtype} on {p.device}"
                )

    def _take_in(self, parameters: list[Parameter]) -> None:
        """Make the arrays of these parameters views of their parts."""
        chosen = {id(p) for p in parameters}
        for i, p in enumerate(self.parameters):
            if id(p) in chosen:
                self._take(p, self.slice_of(i))
        for p, (owner, turned) in self.ties.items():
            if id(p) in chosen:
                self._tie(p, owner, turned)
        self._whole = True
        self._guard_old_arrays()

    def _take(self, p: Parameter, slot: slice) -> None:
        """Make the parameter's arrays views of that slot."""

        def view(buffer: Array) -> Array:
            return buffer[slot].reshape(p.shape)

        self._old_arrays.append((weakref.ref(p.data), p))
        p.leave_buffer()
        view(self.data)[...] = p.master
        if self.half is None:
            p._array, p._grad_view = view(self.data), view(self.grad)
        else:
            view(self.half)[...] = p.data
            p._array, p._grad_view, p._master = view(self.half), view(self.half_grad), view(self.data)
        p._flat, p._blank, p._received = self, False, p._grad is not None
        if p._received:
            p._grad_view[...] = p._grad
            p._grad, self._collected = None, False

    def _tie(self, p: Parameter, owner: Parameter, turned: bool) -> None:
        """Make the parameter another name for its owner, perhaps transposed."""
        self._old_arrays.append((weakref.ref(p.data), p))
        grad = p.grad
        p.leave_buffer()
        p._array = owner._array.T if turned else owner._array
        p._master = owner._master.T if turned and owner._master is not None else owner._master
        owner._version = owner._version or Version()
        p._flat, p._owner, p._turned, p._grad, p._version = self, owner, turned, None, owner._version
        if grad is not None:
            p.accumulate(grad.data)

    def slice_of(self, index: int) -> slice:
        """Where in the buffer a parameter lies, by its index in ``parameters``."""
        end = self.ends[index]
        return slice(end - self.parameters[index].size, end)

    @classmethod
    def of(cls, parameters: Iterable[Parameter]) -> "FlatParameters":
        """The buffer that holds exactly these parameters already, or a new one."""
        wanted = list(dict.fromkeys(parameters))
        return cls.holding(wanted) or cls(wanted)

    @classmethod
    def holding(cls, parameters: Iterable[Parameter]) -> "FlatParameters | None":
        """The buffer that holds exactly these parameters, in this order, or None."""
        wanted = list(dict.fromkeys(parameters))
        held = wanted[0]._flat if wanted else None
        if held is None or [id(p) for p in held.all_parameters] != [id(p) for p in wanted]:
            return None
        return held if held.holds_its_parameters() else None

    def move_to(self, data: Array, grad: Array) -> None:
        """Lie in these arrays (P,) from now on, as they are a row of a stack's, with the same values and gradients.

        Raises:
            ValueError: the model computes in half precision, whose further arrays have no place there.
        """
        if self.half is not None:
            raise ValueError("parameters in half precision stay in arrays of their own")
        self.hold()
        data[...], grad[...] = self.data, self.grad
        self.data, self.grad = data, grad
        for i, p in enumerate(self.parameters):
            p._array, p._grad_view = (buffer[self.slice_of(i)].reshape(p.shape) for buffer in (data, grad))
        for p, (owner, turned) in self.ties.items():
            p._array = owner._array.T if turned else owner._array

    def holds_its_parameters(self) -> bool:
        """False once a parameter was taken into another buffer or moved to another device or type."""
        return self._whole

    def hold(self) -> None:
        """Take back the parameters that another buffer holds, with their values and gradients as they are now.

        Raises:
            RuntimeError: a parameter was moved to another device or type.
        """
        if self._whole:
            return
        kind = (self.data if self.half is None else self.half).dtype
        away = [p for p in self.all_parameters if p._flat is not self]
        if any(p.dtype != kind or not backend.same_device(p.data, self.data) for p in away):
            raise RuntimeError(
                "parameters of this optimizer were moved to another device or type after it was made: call "
                "module.to(...) first and make the optimizer after it"
            )
        self._take_in(away)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, filling nothing; with ``set_to_none=False`` those that are there become zeros."""
        if set_to_none:
            for p in self.parameters:
                p._received, p._taken, p._grad = False, None, None
        else:
            for p in self.parameters:
                p.zero_grad(set_to_none=False)
        self._collected = self._add = False
        self._earlier.clear()

    def unmoved(self) -> tuple[int, ...]:
        """Places in ``parameters`` of those that a step is not to move: without gradient, or frozen."""
        frozen = [i for i, p in enumerate(self.parameters) if not p.requires_grad]
        return tuple(sorted({*self.absent, *frozen})) if frozen or self.absent else ()

    def replayed(self) -> None:
        """A captured step wrote into the buffer: what ``p.grad`` gave before stays, the next is what is there now."""
        for p in self.parameters:
            p._taken = None
        self.mark_changed("a captured step", self.unmoved())

    def mark_changed(self, what: str, but: tuple[int, ...] = ()) -> None:
        """Say that the values were changed in place: a graph that saved them before cannot go backward any more.

        Args:
            what: by what, for the error.
            but: indices in ``parameters`` of those that were not.
        """
        for i, p in enumerate(self.parameters):
            if p._version is not None and i not in but:
                p._version.change(what)

    def mark_received(self, received: Sequence[bool]) -> None:
        """Say that gradients were written into ``grad``, as a stack does for its replicas.

        Args:
            received: of each of ``parameters``, whether it got one.
        """
        for p, got in zip(self.parameters, received, strict=True):
            p._received, p._taken, p._blank = got, None, p._blank and not got
        self._collected = False

    def gather_grad(self) -> Array:
        """The whole gradient; what received nothing counts as zero, and is noted in ``absent``."""
        self.hold()
        self.absent = []
        for i, p in enumerate(self.parameters):
            if not p._received:
                if i not in self._earlier:
                    self.absent.append(i)
                if not p._blank:
                    p._grad_view.fill(0)
                    p._blank, self._collected = True, False
            elif p._taken is not None:
                self._gather(p, i, p._taken)
        if self.half is not None and not self._collected:
            scaling.unscale(self.half_grad, self.grad, self.scaler, self._add)
            self._collected = True
        return self.grad

    def _gather(self, p: Parameter, index: int, taken: Tensor) -> None:
        """Bring in a gradient that was taken by ``p.grad``, and may have been changed in place."""
        if self.half is None or not self._collected:
            p._grad_view[...] = taken.data
        elif self.scaler is None:
            self.grad[self.slice_of(index)].reshape(p.shape)[...] = taken.data

    def spread(self) -> None:
        """Bring a change of ``grad``, such as a clip, to gradients that were taken."""
        for i, p in enumerate(self.parameters):
            if p._taken is not None:
                p._taken.data[...] = self.grad[self.slice_of(i)].reshape(p.shape)

    def clear_absent(self) -> None:
        """Make the gradient zero again where there is none: something was added to the whole."""
        for i in self.absent:
            self.grad[self.slice_of(i)].fill(0)

    def _guard_old_arrays(self) -> None:
        """Arrays that the parameters had before, and that are still held somewhere, get each new value (PyTorch's are
        the same memory), and cannot be written to, since that would change no parameter."""
        self._old_arrays = [(old, p) for old, p in self._old_arrays if old() is not None]
        for old, _ in self._old_arrays:
            if isinstance(array := old(), np.ndarray):
                array.flags.writeable = False

    def refresh_old_arrays(self) -> None:
        """Copy the values into arrays that were got by ``p.data`` before the parameter came into this buffer."""
        if not self._old_arrays:
            return
        self._old_arrays = [(old, p) for old, p in self._old_arrays if old() is not None and p._flat is self]
        for old, p in self._old_arrays:
            array = old()
            if isinstance(array, np.ndarray):
                array.flags.writeable = True
            array[...] = p.data
            if isinstance(array, np.ndarray):
                array.flags.writeable = False

    def begin_microbatch(self) -> None:
        """In half precision: take what backward left into the gradient, to which the next backward's will be added."""
        if self.half is not None:
            self.gather_grad()
            self._earlier.update(set(range(len(self.parameters))) - set(self.absent))
            for p in self.parameters:
                p._received, p._taken = False, None
            self._add = True

    def refresh_half_weights(self, scaler: Array | None = None) -> None:
        """Let all see the values as they are now: in half precision the arrays that the model computes with.

        Args:
            scaler: the loss scale, where a step is over and the next one's is to be set.
        """
        if self.half is not None:
            scaling.refresh_half_weights(self.data, self.half, scaler)
        self.refresh_old_arrays()

    def mask(self, chosen: Iterable[Parameter]) -> Array:
        """(P,) ones where one of the chosen parameters lies, zeros elsewhere, in the buffer's type."""
        ids = {id(p) for p in chosen}
        mask = backend.array_module(self.data).zeros_like(self.data)
        for i, p in enumerate(self.parameters):
            if id(p) in ids:
                mask[self.slice_of(i)] = 1
        return mask

    def __len__(self) -> int:
        return self.data.size


def _laid_out(kind: type, parameters: list[Parameter], scaler: Array | None) -> FlatParameters:
    made = kind(parameters)
    made.scaler = scaler
    return made


def _ties(parameters: list[Parameter]) -> dict[Parameter, tuple[Parameter, bool]]:
    """The parameters whose array an earlier one has too, each with that one and whether its array is transposed."""
    found: dict[tuple, Parameter] = {}
    ties = {}
    for p in parameters:
        straight, turned = (found.get(_memory(array)) for array in (p.master, p.master.T))
        if straight is not None:
            ties[p] = (straight, False)
        elif turned is not None:
            ties[p] = (turned, True)
        elif p.size:
            found[_memory(p.master)] = p
    return ties


def _memory(array: Array) -> tuple:
    return backend.address(array), array.shape, array.strides
