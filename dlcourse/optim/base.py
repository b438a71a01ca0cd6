"""The base class of optimizers: a rule that turns the flat gradient into a change of the weights."""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import FlatParameters, Parameter, enable_grad
from dlcourse.backend.device import Array
from dlcourse.backend.device_counter import DeviceCounter
from dlcourse.backend.kernels.scaling import SKIPPED
from dlcourse.backend.memory import aligned_zeros
from dlcourse.errors import ArgumentError, CheckpointError
from dlcourse.habits import missing
from dlcourse.optim.groups import ParamGroup, groups_in, listed, names_apart, same_naming
from dlcourse.optim.member_update import update_member, update_unless_overflow
from dlcourse.optim.require import require
from dlcourse.optim.stacked import StackedUpdate
from dlcourse.positional import PositionalCheck
from dlcourse.registry import did_you_mean
from dlcourse.text import call_text

__all__ = ["Optimizer"]


class Optimizer(PositionalCheck):
    """Base of the optimizers. A subclass names its state arrays and writes :meth:`update`.

    As in PyTorch: a parameter without gradient does not move, whatever momentum and weight decay say, and neither does
    one that is frozen (``requires_grad`` is False), even where it has a gradient from before. The steps that skip it
    do not count as its own, which Adam's bias correction asks for; in float16 under a
    :class:`~dlcourse.training.step.TrainStep` they do.

    ``params`` may come with names, as of ``model.named_parameters()``: ``param_groups[i]["param_names"]`` keeps them.
    They may be groups, each with settings of its own, as in PyTorch; the others are those of the constructor:

        optim.SGD([{"params": weights, "weight_decay": 1e-4}, {"params": biases, "lr": 0.2}], lr=0.1)

    Each group is one stretch of the buffer and has its own update. A group may name another optimizer, whose settings
    are then the group's and that one's defaults: ``{"params": matrices, "optimizer": optim.Muon, "lr": 0.02}``.

    Attributes:
        flat: the parameters in one buffer, see :class:`~dlcourse.autograd.FlatParameters`.
        lr: the learning rate of the next step; a schedule may set it. Of several groups that of the first, and each is
            set in :attr:`param_groups`.
        members: the optimizers of the groups: the only one is the optimizer itself.
        steps: how many steps were taken.
        skipped: indices in ``flat.parameters`` of those that the last step did not move.
        skipped_steps: by index, how many of these steps did not move a parameter; 0 where it is not there.
        state: arrays of the buffer's length, at first zeros, by name; where there are several groups each member has
            its own, as long as its stretch.
        skips_overflow: whether :meth:`update` itself changes nothing where the loss scale says that the gradient
            overflowed, see ``backend/kernels/scaling.py``: that saves the copies with which :meth:`step` sees to it.
        elementwise: whether :meth:`update` treats each element by itself, in array code: a CPU then calls it for one
            piece of the arrays after another, which stay in its cache.
        maximize: go up the gradient.

    Raises:
        ValueError: there is no parameter, one is in two groups, some have names and others none, a group has a setting
            that the optimizer lacks, or ``lr`` is negative or not finite.
        TypeError: the parameters come in no order, or are no iterable.
    """

    flat: FlatParameters
    places: range
    """Of this member's parameters in ``flat.parameters``."""
    parameters: list[Parameter]
    stretch: slice
    """The part of the buffer that :meth:`update` is called for."""

    closed_form = False
    skips_overflow = False
    elementwise = False
    maximize = False
    min_ndim = 0
    """How many axes its parameters have to have at least."""
    needs_closure = False
    """Whether :meth:`step` evaluates the cost itself, several times: nothing can be captured."""
    keeps_arguments = True

    def __init__(self, params: Iterable[Any], lr: float, state: Iterable[str] | Mapping[str, float] = ()):
        self.members: list[Optimizer] = [self]
        self._given = self._settings_given()
        if not 0 <= lr < float("inf"):
            raise ArgumentError(f"lr has to be a finite number of at least 0, got {lr}")
        params, names = names_apart(listed(params))
        groups = groups_in(params)
        self.group = ParamGroup(self)
        if names is not None:
            self.group.extra["param_names"] = names
        self.steps = 0
        self.skipped_steps: dict[int, int] = {}
        self.skipped: tuple[int, ...] = ()
        self.numbers: dict[str, Any] = {}
        """What lasts from step to step besides arrays, by name."""
        self.initial_state = dict(state) if isinstance(state, Mapping) else dict.fromkeys(state, 0.0)
        self.state: dict[str, Array] = {}
        vars(self)["lr"] = float(lr)
        if groups is None:
            self._lay_out([params])
            other = [p.ndim for p in params if p.ndim < self.min_ndim]
            require(
                not other,
                f"{type(self).__name__} takes parameters with {self.min_ndim} or more axes, got some "
                f"with {', '.join(map(str, other[:5]))}; give those to another optimizer, in a group of their own",
            )
            self._add_state()
        else:
            self.members = [self._member(each) for each in groups]
            same_naming(self.param_groups)
            self._lay_out([member.flat.all_parameters for member in self.members])

    def _settings_given(self) -> dict[str, Any]:
        """The constructor's arguments but the parameters, and its defaults."""
        args, options = vars(self).pop("_arguments", ((), {}))
        try:
            bound = inspect.signature(type(self)).bind(*args, **options)
        except TypeError:  # made by the constructor of a subclass that was called otherwise
            return {}
        bound.apply_defaults()
        return {name: value for name, value in bound.arguments.items() if name != "params"}

    def _member(self, group: Mapping[str, Any]) -> "Optimizer":
        """The optimizer of one group."""
        kind = group.get("optimizer", type(self))
        settings = {name: value for name, value in group.items() if name not in ("params", "optimizer")}
        if kind is type(self):
            settings = {**self._given, **settings}
        _check_settings(kind, settings)
        params = group["params"]
        member: Optimizer = kind([params] if isinstance(params, Parameter) else params, **settings)
        return member

    def _lay_out(self, groups: list[list[Parameter]]) -> None:
        """Put the parameters of the groups into one buffer, one group after another."""
        params = [p for group in groups for p in group]
        strange = next((type(p).__name__ for p in params if not isinstance(p, Parameter)), None)
        require(
            strange is None,
            f"an optimizer takes parameters, such as model.parameters(), got a {strange}"
            + ("; make it one, as by w = nn.Parameter(w)" if strange == "Tensor" else ""),
        )
        require(bool(params), "an optimizer needs at least one parameter, got none; closed_form may fit the model")
        several = len(groups) > 1
        require(not several or len({id(p) for p in params}) == len(params), "a parameter is in more than one group")
        self.flat = FlatParameters.of(params)
        own = {id(p): i for i, group in enumerate(groups) for p in group}
        owners = [own[id(p)] for p in self.flat.parameters]
        for i, member in enumerate(self.members):
            member.flat = self.flat
            member.places = range(owners.index(i), len(owners) - owners[::-1].index(i)) if i in owners else range(0)
            member.parameters = list(dict.fromkeys(groups[i]))
            member.stretch = member.span

    @property
    def span(self) -> slice:
        """Where in the buffer the parameters of this member lie."""
        if not self.places:
            return slice(0, 0)
        return slice(self.flat.slice_of(self.places[0]).start, self.flat.slice_of(self.places[-1]).stop)

    def _add_state(self) -> None:
        """Make the state arrays that are not there yet."""
        xp, weight = backend.array_module(self.flat.data), self.flat.data[self.span]
        for name, value in self.initial_state.items():
            if name not in self.state:
                self.state[name] = aligned_zeros(weight.size, weight.dtype, xp)
                if value:
                    self.state[name].fill(value)

    @property
    def lr(self) -> Any:
        """The learning rate of the next step; of several groups that of the first."""
        return vars(self.members[0])["lr"]

    @lr.setter
    def lr(self, value: Any) -> None:
        several = len(vars(self).get("members", ())) > 1
        require(not several, "there are several parameter groups: set optimizer.param_groups[i]['lr'] of each")
        vars(self)["lr"] = value

    @property
    def rates(self) -> list[Any]:
        """The learning rates of the next step, one for each group."""
        return [vars(member)["lr"] for member in self.members]

    @rates.setter
    def rates(self, values: Sequence[Any]) -> None:
        for member, value in zip(self.members, values, strict=True):
            vars(member)["lr"] = value

    @property
    def param_groups(self) -> tuple[ParamGroup, ...]:
        """The groups: ``optimizer.param_groups[0]["lr"] = 0.01`` holds from the next step on; "params" is read only."""
        return tuple(member.group for member in self.members)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Have further parameters trained, ``{"params": ..., "lr": ...}``; what was learned stays.

        A :class:`~dlcourse.training.step.TrainStep` is to be made after it.

        Raises:
            ValueError: as the constructor.
        """
        require(
            isinstance(param_group, Mapping) and "params" in param_group, "a group is {'params': ..., 'lr': ..., ...}"
        )
        before = self.flat
        if self.members == [self]:
            self.members = [self._as_member()]
        held = {id(p) for p in before.all_parameters}
        self.members.append(self._member(param_group))
        new = self.members[-1]
        try:
            require(not any(id(p) in held for p in new.parameters), "a parameter is in more than one group")
            same_naming(self.param_groups)
        except ArgumentError:
            self.members.pop()
            raise
        self._lay_out([member.parameters for member in self.members])
        self.flat.scaler = before.scaler
        if self.steps:
            self.skipped_steps |= dict.fromkeys(new.places, self.steps)

    def _as_member(self) -> "Optimizer":
        """This optimizer's only group apart, with its state."""
        member = copy.copy(self)
        member.group = ParamGroup(member)
        member.group.extra = self.group.extra
        member.members = [member]
        self.state = {}
        return member

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by the constructor's names, as they are now."""
        return {name: vars(self).get(name, value) for name, value in self._given.items()}

    def configure(self, **settings: Any) -> None:
        """Change settings of this member; state that they ask for begins anew.

        Raises:
            ValueError: as the constructor.
        """
        _check_settings(type(self), settings)
        probe = type(self)([Parameter(np.zeros((1, 1), "float32"))], **{**self.settings, **settings})
        vars(self).update({name: value for name, value in vars(probe).items() if name not in _NO_SETTINGS})
        self._add_state()

    def __repr__(self) -> str:
        count, steps = self.flat.data.size, self.steps
        name = call_text(self)[:-1]
        groups = f"; {len(self.members)} groups" if len(self.members) > 1 else ""
        return f"{name}{groups}; {count:,} parameters, {steps:,} step{'' if steps == 1 else 's'} taken)"

    def __getattr__(self, name: str) -> Any:
        """Only for what is not there: advice for names that PyTorch has."""
        raise missing("optimizer", name, f"'{type(self).__name__}' object has no attribute '{name}'", self)

    def update(self, weight: Array, grad: Array) -> None:
        """Change the weights in place by step number ``self.steps`` (from 1); the gradient is only read.

        Where some parameters do not move it is called for each stretch of those that do, with these parts of the
        weights, the gradient and the arrays in ``state``; ``self.stretch`` says which part of the buffer that is.

        In float16 the gradient may have overflowed: :meth:`step` then takes back what this changed in the weights and
        in ``state``, unless the class says that it looks at ``self.flat.scaler`` itself, see :attr:`skips_overflow`.
        """
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step from the gradients that backward left.

        Args:
            closure: computes the loss and goes backward, before the step; what it gives is returned, as in PyTorch.
        Raises:
            RuntimeError: parameters were moved to another device or type after this one was made.
        """
        loss = None if closure is None else self._evaluated(closure)
        self.update_members(self.begin_update())
        self.end_update()
        return loss

    def begin_update(self) -> Array:
        """The first part of :meth:`step`: count it; returns the gradient of the whole buffer."""
        grad = self.flat.gather_grad()
        self.steps += 1
        self.skipped = self.flat.unmoved()
        for index in self.skipped:
            self.skipped_steps[index] = self.skipped_steps.get(index, 0) + 1
        return grad

    def update_members(self, grad: Array) -> None:
        """The second part: the update of each group."""
        scaler = self.flat.scaler
        for member in self.members:
            if scaler is None or member.skips_overflow:
                update_member(self, member, grad)
            else:
                update_unless_overflow(self, member, grad, scaler)

    def end_update(self) -> None:
        """The last part: say that the weights have changed."""
        self.flat.refresh_half_weights(self.flat.scaler)
        self.flat.mark_changed("an optimizer's step", self.skipped)

    def stacked_update(self) -> StackedUpdate | None:
        """How :meth:`update` is done for the optimizers of many replicas at once; None where it is for one alone."""
        return None

    @staticmethod
    def _evaluated(closure: Callable[[], Any]) -> Any:
        with enable_grad():
            return closure()

    def count_recorded(self, steps: int) -> None:
        """Count steps that were taken without :meth:`step`, by replaying recorded ones like the last."""
        self.steps += steps
        for index in self.skipped:
            self.skipped_steps[index] += steps
        self.flat.replayed()

    @property
    def progress(self) -> tuple:
        """Which parameters the last step skipped, and how often others were skipped: a captured step fixes both."""
        return self.skipped, tuple((i, n) for i, n in self.skipped_steps.items() if i not in self.skipped)

    @property
    def step_number(self) -> Any:
        """:attr:`steps` without those that overflowed, float64; an array where it is known to the device only."""
        steps, scaler = self.steps, self.flat.scaler
        if scaler is not None:
            steps = steps - scaler[SKIPPED].astype(np.float64)
        return steps.value if isinstance(steps, DeviceCounter) else steps

    def coefficient(self, value: Any) -> Any:
        """A number for arithmetic with the weights; where it is an array, in the weights' type."""
        return value.astype(self.flat.data.dtype) if hasattr(value, "dtype") else value

    def decayed(self, weight: Array, grad: Array) -> Array:
        """g + weight_decay w: the gradient with the L2 penalty's share."""
        decay = self.weight_decay
        return grad + decay * weight if decay else grad

    def shrink(self, weight: Array) -> None:
        """w <- (1 - lr weight_decay) w: a decay apart from the gradient."""
        if self.weight_decay:
            weight -= self.lr * (self.weight_decay * weight)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` those that are there become zeros, and count."""
        self.flat.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """``{"steps": int, "arrays": {name: host array}, "param_groups": [{setting: value}]}``.

        With the parameters it is all that a later step depends on. Of several groups an array's name has the group's
        number before it. Where steps skipped parameters, ``"skipped_steps"`` is how many, of each.
        """
        arrays = {name: backend.to_host(array).copy() for name, array in self._arrays().items()}
        groups = [member.group.saved() for member in self.members]
        state = {"steps": self.steps, "arrays": arrays, "param_groups": groups}
        if self.numbers:
            state["numbers"] = dict(self.numbers)
        if self.skipped_steps:
            state["skipped_steps"] = [self.skipped_steps.get(index, 0) for index in range(len(self.flat.parameters))]
        return state

    def _arrays(self) -> dict[str, Array]:
        """The state arrays of all groups, by their names in :meth:`state_dict`."""
        if self.members == [self]:
            return self.state
        return {f"{i}.{name}": a for i, member in enumerate(self.members) for name, a in member.state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, the settings of the groups included.

        Raises:
            CheckpointError: it belongs to another optimizer or to a model of another size.
        """
        arrays, groups = state["arrays"], state.get("param_groups")
        if groups is not None and len(groups) != len(self.members):
            raise CheckpointError(
                f"there are {len(self.members)} parameter groups, the state to load has {len(groups)}"
            )
        own = self._arrays()
        if set(arrays) != set(own):
            raise CheckpointError(
                f"{type(self).__name__} keeps {sorted(own)}, the state to load holds {sorted(arrays)}"
            )
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                raise CheckpointError(f"optimizer state {name!r}: expected shape {own[name].shape}, got {array.shape}")
        for member, group in zip(self.members, groups or (), strict=False):
            member.group.load(group)
        for name, array in arrays.items():
            own[name][...] = backend.of(self.flat.data).asarray(array)
        self.steps = int(state["steps"])
        self.numbers |= state.get("numbers", {})
        self.skipped_steps = {index: n for index, n in enumerate(state.get("skipped_steps", ())) if n}


_NO_SETTINGS = set("flat group members places parameters stretch numbers state steps skipped skipped_steps".split())
"""Attributes of an optimizer that are no settings, nor made of them."""


def _check_settings(kind: Any, settings: Mapping[str, Any]) -> None:
    """Raise ArgumentError for a setting that an optimizer does not have."""
    require(isinstance(kind, type) and issubclass(kind, Optimizer), f"a group's optimizer is a class, got {kind!r}")
    known = [name for name in inspect.signature(kind).parameters if name != "params"]
    for name in settings:
        valid = f"{did_you_mean(name, known)}; it has: {', '.join(known)}"
        require(name in known, f"a parameter group of {kind.__name__} has no setting {name!r}{valid}")
