"""Expand a config with a ``sweep`` section to points, each with a name that is also its folder's."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dlcourse.config import Config
from dlcourse.errors import ConfigError, Problem
from dlcourse.sweeps.axes import Axis, axes_of
from dlcourse.text import format_value, short_paths

_MAX_PROBLEMS = 20  # of those that show only where values meet; one cause can spoil a thousand points

_LONGEST_NAME = 100  # of a folder; file systems allow 255 bytes, and other tools put things before and behind


@dataclass(frozen=True)
class Point:
    """One setting of the sweep.

    Attributes:
        id: ``003-degree=4``: its place in the sweep, from 0, and its values; the name of its folder.
        overrides: dotted path to value, what sets it apart from the config.
        config: the config with these values, checked, without the ``sweep`` section.
    """

    id: str
    overrides: dict[str, Any]
    config: Config


def expand(config: Config) -> list[Point]:
    """The points of a config's ``sweep`` section: the product of its :func:`~dlcourse.sweeps.axes.axes`, in order.

    Raises:
        ConfigError: an axis is wrong, or values that are right by themselves do not go together, or two points are
            the same experiment; names the points.
    """
    try:
        found = axes_of(config.data)
    except ConfigError as error:
        raise config.locate(error) from error
    combinations, base = product(found), config.without_sweep()
    points: list[Point] = []
    problems: list[Problem] = []
    for name, overrides in zip(name_points(combinations), combinations, strict=True):
        try:
            point = base.at(overrides)
            points.append(Point(name, overrides, replace(point, locations=_locations(config, point, overrides))))
        except ConfigError as error:
            problems += [Problem("sweep", f"point {name}: {p.path}: {p.message}") for p in error.problems]
    problems += _same_experiments(points, bool(config.data["sweep"]["resample"]))
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        problems[_MAX_PROBLEMS:] = [Problem("sweep", f"and {more} more of the kind")]
    if problems:
        raise config.locate(ConfigError(problems))
    return points


def _same_experiments(points: Iterable[Point], resample: bool) -> Iterator[Problem]:
    """Points that run what an earlier one runs, such as ``optimizer.lr`` 1 and 1.0, or ``loss: mse`` in two spellings.

    Points differ in the values at the paths that vary, so these alone are compared, as the check made them. With
    ``resample`` the data's own seed makes no difference: it draws the training sets itself.
    """
    first: dict[str, str] = {}
    for point in points:
        values = {path: _value_at(point.config.data, path) for path in point.overrides}
        if resample and "data" in values:
            values["data"] = without(values["data"], ["seed"])
        same = first.setdefault(repr([*values.values()]), point.id)
        if same != point.id:
            yield Problem("sweep", f"points {same} and {point.id} are one experiment: leave one of them out")


def _value_at(config: Any, path: str) -> Any:
    """What a checked config has at a dotted path."""
    for step in path.split("."):
        config = config[int(step)] if isinstance(config, list) else config[step]
    return config


def _locations(config: Config, point: Config, overrides: Mapping[str, Any]) -> dict[Any, Any]:
    """Where the point's values stand: those of the sweep in its section."""
    found = dict(point.locations)
    for path in overrides:
        homes = [("sweep", *kind, path) for kind in (("grid",), ("zip",), ("random", "space"))]
        homes += [("ensemble",)] if path in ("train.seed", "data.bootstrap") else []
        homes += [("sweep", "seeds")] if path == "seed" else [("sweep", "kfold")] if path == "data.kfold" else []
        here = next((config.locations[home] for home in homes if home in config.locations), None)
        for place in found:
            if here is not None and f"{'.'.join(map(str, place))}.".startswith(f"{path}."):
                found[place] = here
    return found


def product(axes: Iterable[Axis]) -> list[dict[str, Any]]:
    """Every combination of the axes' settings as ``{path: value}``, the last axis running fastest.

    Where one path lies within another (``optimizer`` and ``optimizer.lr``) the outer one comes first, so that the
    inner value is laid over it and not lost.
    """
    combinations = []
    for settings in itertools.product(*([(axis.paths, setting) for setting in axis.settings] for axis in axes)):
        pairs = [pair for paths, values in settings for pair in zip(paths, values, strict=True)]
        combinations.append(dict(sorted(pairs, key=lambda pair: _within(pair[0], pairs))))
    return combinations


def _within(path: str, pairs: list[tuple[str, Any]]) -> int:
    """How many of the other paths enclose this one."""
    return sum(path.startswith(f"{other}.") for other, _ in pairs)


def name_points(combinations: list[dict[str, Any]]) -> list[str]:
    """The ids of all points, in order; they depend on the combinations alone.

    Each is safe as a folder's name on every system: ``003-degree=4``; without overrides ``000``.
    """
    names = short_paths(dict.fromkeys(path for overrides in combinations for path in overrides))
    width = max(3, len(str(len(combinations) - 1)))
    ids = []
    for index, overrides in enumerate(combinations):
        values = "-".join(f"{names[path]}={format_value(value)}" for path, value in overrides.items())
        safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", values)[:_LONGEST_NAME].strip("._- ")
        ids.append(f"{index:0{width}d}-{safe}" if safe else f"{index:0{width}d}")
    return ids


def without(overrides: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The overrides but those of the given paths."""
    left_out = set(paths)
    return {path: value for path, value in overrides.items() if path not in left_out}
