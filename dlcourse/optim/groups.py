"""Parameter groups: parts of the parameters with settings of their own."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from dlcourse.errors import ArgumentTypeError
from dlcourse.optim.require import require
from dlcourse.registry import did_you_mean

__all__ = ["ParamGroup"]

_PLAIN = bool, int, float, str, tuple, list, type(None)


class ParamGroup(MutableMapping[str, Any]):
    """One of an optimizer's groups, as ``optimizer.param_groups`` gives it: "params" and its settings by name.

    "param_names" are there where the parameters came with names, ``optim.SGD(model.named_parameters(), lr=0.1)``.
    What is set holds from the next step on. Names of one's own, such as "initial_lr", are kept beside the settings.

    Raises:
        ValueError: a setting is out of its range, a name is nearly one of a setting, or "params" is set.
    """

    def __init__(self, member: Any):
        self._member = member
        self.extra: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return list(self._member.parameters)
        settings = self._member.settings
        return settings[name] if name in settings else self.extra[name]

    def __setitem__(self, name: str, value: Any) -> None:
        settings = self._member.settings
        require(name != "params", "the parameters of a group are fixed; optimizer.add_param_group adds further ones")
        if name == "lr":
            rate = float(value.item() if hasattr(value, "item") else value)
            require(0 <= rate < float("inf"), f"lr has to be a finite number of at least 0, got {rate}")
            vars(self._member)["lr"] = rate
        elif name in settings:
            self._member.configure(**{name: value})
        else:
            near = did_you_mean(name, settings)
            require(not near, f"a parameter group of {type(self._member).__name__} has no setting {name!r}{near}")
            self.extra[name] = value

    def __delitem__(self, name: str) -> None:
        require(name in self.extra, f"a parameter group keeps its settings, and {name!r}")
        del self.extra[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self._member.settings, *self.extra))

    def __len__(self) -> int:
        return 1 + len(self._member.settings) + len(self.extra)

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.items() if name != "params"}
        return f"ParamGroup({len(self._member.parameters)} parameters, {shown})"

    def saved(self) -> dict[str, Any]:
        """The settings as plain values; "params" are places in the buffer."""
        found = {name: value for name, value in self.items() if isinstance(value, _PLAIN) and name != "params"}
        return {**found, "params": list(self._member.places)}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what :meth:`saved` gave."""
        own = self._member.settings
        given = {name: tuple(v) if isinstance(own.get(name), tuple) else v for name, v in saved.items()}
        changed = {name: v for name, v in given.items() if name in own and own[name] != v}
        self.extra |= {name: v for name, v in given.items() if name not in own and name != "params"}
        if changed:
            self._member.configure(**changed)


def listed(params: Any) -> list[Any]:
    """The parameters or groups that an optimizer is given, one after another.

    Raises:
        TypeError: they are no sequence of such, or a set, whose order is another in each run.
    """
    wanted = "an optimizer takes parameters in an order, such as model.parameters() or a list"
    if isinstance(params, set | frozenset | Mapping) or not isinstance(params, Iterable):
        raise ArgumentTypeError(f"{wanted}, got a {type(params).__name__}")
    return list(params)


def names_apart(params: list[Any]) -> tuple[list[Any], list[str] | None]:
    """The parameters, and their names where they come with them as from ``model.named_parameters()``, else None."""
    pairs = [each for each in params if isinstance(each, tuple)]
    if not pairs:
        return params, None
    sound = len(pairs) == len(params) and all(len(each) == 2 and isinstance(each[0], str) for each in pairs)
    require(sound, "parameters come with names, (name, parameter), as of model.named_parameters(): all or none")
    return [p for _, p in params], [name for name, _ in params]


def same_naming(groups: Iterable[ParamGroup]) -> None:
    """Raise ArgumentError where some groups have names of their parameters and others none."""
    named = {"param_names" in group for group in groups}
    require(len(named) == 1, "parameters come with names in all groups, or in none")


def groups_in(params: list[Any]) -> list[Mapping[str, Any]] | None:
    """The parameter groups, or None where these are parameters."""
    if not params or not isinstance(params[0], Mapping):
        return None
    for each in params:
        sound = isinstance(each, Mapping) and "params" in each
        require(sound, "a parameter group is {'params': ..., 'lr': ..., ...}, and all are groups or none is")
    return params
