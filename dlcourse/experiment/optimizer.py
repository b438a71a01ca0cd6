"""The optimizer that a config names, with its parameter groups by the parameters' names."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from dlcourse import registry
from dlcourse.autograd import Parameter
from dlcourse.errors import ConfigError, Problem, UserError
from dlcourse.experiment.initial_weights import listed, matching
from dlcourse.text import call_text

_OWN = {"match", "ndim", "optimizer", "schedule"}
"""Keys of a group that are no settings."""


def build_optimizer(spec: Mapping[str, Any], named: Mapping[str, Parameter], player: str = "") -> Any:
    """The optimizer over these parameters.

    Args:
        spec: the config's ``optimizer`` section, resolved.
        named: the parameters by name.
        player: the part of the model whose parameters alone it is to have; empty: all.
    Raises:
        ConfigError: a group matches nothing.
        UserError, ValueError: a setting is refused.
    """
    groups = parts(spec, named, player)
    for i, (group, names) in enumerate(groups):
        _check_axes(f"optimizer.groups.{i - 1}" if i else "optimizer", group.get("optimizer") or spec, names, named)
    params: list[Any] = [named[name] for _, names in groups for name in names]
    if spec.get("groups"):
        params = [{"params": [named[name] for name in names], **_settings(group)} for group, names in groups if names]
    return registry.build("optimizer", registry.own_parameters("optimizer", spec), params=params)


def parts(
    spec: Mapping[str, Any], named: Mapping[str, Any], player: str = ""
) -> list[tuple[Mapping[str, Any], list[str]]]:
    """The groups, each with the names of its parameters; first, without settings, what no group takes.

    A parameter belongs to the first group that matches it. Of a player only its own parameters are named.

    Raises:
        ConfigError: a group matches nothing.
    """
    rest, found = list(named), []
    for i, group in enumerate(spec.get("groups") or ()):
        path, ndim = f"optimizer.groups.{i}.match", group.get("ndim")
        patterns = [group["match"]] if isinstance(group["match"], str) else group["match"]
        matched = matching(path, patterns, list(named))
        fitting = [name for name in named if name in matched and ndim in (None, named[name].ndim)]
        if not fitting:
            axes = {name: named[name].ndim for name in named if name in matched}
            raise ConfigError([Problem(path, f"of what it matches nothing has {ndim} axes; the axes are {axes}")])
        chosen = [name for name in fitting if name in rest]
        if not chosen:
            why = f"all that it matches ({listed(fitting)}) is in groups before it; a parameter is in the first"
            raise ConfigError([Problem(path, why)])
        rest = [name for name in rest if name not in chosen]
        found.append((group, chosen))
    prefix = f"{player}." if player else ""
    return [(group, [name for name in names if name.startswith(prefix)]) for group, names in [({}, rest), *found]]


def schedules(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All schedules of an ``optimizer`` section, each with its path."""
    found = [("optimizer", spec), *((f"optimizer.groups.{i}", g) for i, g in enumerate(spec.get("groups") or ()))]
    yield from ((f"{path}.schedule", each["schedule"]) for path, each in found if each.get("schedule") is not None)


def group_schedules(
    spec: Mapping[str, Any], named: Mapping[str, Any], total_steps: int, player: str = ""
) -> dict[int, Any]:
    """The schedules of the groups that have one of their own, by the group's place in the optimizer."""
    filled = [group for group, names in parts(spec, named, player) if names]
    own = {i: group["schedule"] for i, group in enumerate(filled) if group.get("schedule") is not None}
    return {i: registry.build("schedule", schedule, total_steps=total_steps) for i, schedule in own.items()}


def refusals(spec: Mapping[str, Any], model: Any, total_steps: int) -> Iterator[Problem]:
    """What the constructors of optimizer and schedule refuse, tried with small parameters of the model's names."""
    small = {name: Parameter(np.zeros((1,) * p.ndim, "float32")) for name, p in model.named_parameters()}
    small = small or {"weight": Parameter(np.zeros(1, "float32"))}
    tried: list[tuple[str, Callable[[], Any]]] = [("optimizer", lambda: build_optimizer(spec, small))]
    for path, schedule in schedules(spec):
        tried.append((path, partial(registry.build, "schedule", schedule, total_steps=total_steps)))
    for path, build in tried:
        try:
            build()
        except ConfigError as error:
            yield from error.problems
        except (UserError, ValueError) as error:
            yield Problem(path, str(error))


def described(spec: Mapping[str, Any], named: Mapping[str, Parameter]) -> Iterator[str]:
    """A line for each group: its optimizer with the settings, and what is in it; nothing where there are no groups."""
    if not spec.get("groups"):
        return
    optimizer = build_optimizer(spec, named)
    yield "parameter groups:"
    filled = [names for _, names in parts(spec, named) if names]
    for member, names in zip(optimizer.members, filled, strict=True):
        numbers = sum(named[name].size for name in names)
        yield f"  {call_text(member)}: {numbers:,} parameters: {listed(names, 8)}"


def _check_axes(path: str, spec: Mapping[str, Any], names: list[str], named: Mapping[str, Parameter]) -> None:
    """Raise ConfigError, with the names, where an optimizer gets what is not for it, such as Muon a bias."""
    ndim = getattr(registry.lookup("optimizer", spec["name"]), "min_ndim", 0)
    other = [name for name in names if named[name].ndim < ndim]
    if other:
        fix = f"match only others (ndim: {ndim})" if path != "optimizer" else "give those to others by optimizer.groups"
        takes = f"parameters with {ndim} or more axes"
        raise ConfigError([Problem(path, f"{spec['name']} takes {takes}, and not {listed(other)}; {fix}")])


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    other = group.get("optimizer")
    if other is None:
        return {name: value for name, value in group.items() if name not in _OWN}
    own = registry.own_parameters("optimizer", other)
    return {"optimizer": registry.lookup("optimizer", own.pop("name")), **own}
