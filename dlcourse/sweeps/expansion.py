"""Expand a config with a ``sweep`` section to points, each with a name that is also its folder's."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """The points of a config's ``sweep`` section: the product of its :func:`~dlcourse.sweeps.axes.axes`, in order; of a
    search none, as each is found from those before.

    Raises:
        ConfigError: an axis is wrong, or values that are right by themselves do not go together, or two points are
            the same experiment; names the points.
    """
    try:
        found = axes_of(config.data)
    except ConfigError as error:
        raise config.locate(error) from error
    if config.data["sweep"]["search"]:
        return []
    combinations, base = product(found), config.without_sweep()
    points: list[Point] = []
    problems: list[Problem] = []
    for name, overrides in zip(name_points(combinations), combinations, strict=True):
        try:
            point = base.at(overrides)
            points.append(Point(name, overrides, located(config, point, overrides)))
        except ConfigError as error:
            problems += [Problem("sweep", f"point {name}: {p.path}: {p.message}") for p in error.problems]
    problems += _same_experiments(points, bool(config.data["sweep"]["resample"]))
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        problems[_MAX_PROBLEMS:] = [Problem("sweep", f"and {more} more of the kind")]
    if problems:
        raise config.locate(ConfigError(problems))
    return points


def trial_base(config: Config) -> Config:
    """Of a search the config that each trial's values are laid over: the best is what the search looks for."""
    search = config.data["sweep"]["search"]
    best = {"metric": search["metric"], "split": search["split"]}
    return config.without_sweep().apply_overrides({"train.best": best})


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


def located(config: Config, point: Config, overrides: Mapping[str, Any]) -> Config:
    """The point's config with the places at which its values stand: those of the sweep in its section."""
    found = dict(point.locations)
    for path in overrides:
        homes = [("sweep", *kind, path) for kind in (("grid",), ("zip",), ("random", "space"), ("search", "space"))]
        homes += [("ensemble",)] if path in ("train.seed", "data.bootstrap") else []
        homes += [("sweep", "seeds")] if path == "seed" else [("sweep", "kfold")] if path == "data.kfold" else []
        here = next((config.locations[home] for home in homes if home in config.locations), None)
        for place in found:
            if here is not None and f"{'.'.join(map(str, place))}.".startswith(f"{path}."):
                found[place] = here
    return replace(point, locations=found)


def product(axes: Iterable[Axis]) -> list[dict[str, Any]]:
    """Every combination of the axes' settings as ``{path: value}``, the last axis running fastest.

    Where one path lies within another (``optimizer`` and ``optimizer.lr``) the outer one comes first, so that the
    inner value is laid over it and not lost.
    """
    combinations = []
    for settings in itertools.product(*([(axis.paths, setting) for setting in axis.settings] for axis in axes)):
        combinations.append(layered([pair for paths, values in settings for pair in zip(paths, values, strict=True)]))
    return combinations


def layered(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Values by path, each after those of the paths that enclose its own."""
    return dict(sorted(pairs, key=lambda pair: sum(pair[0].startswith(f"{other}.") for other, _ in pairs)))


def name_points(combinations: list[dict[str, Any]]) -> list[str]:
    """The ids of all points, in order; they depend on the combinations alone.

    Each is safe as a folder's name on every system: ``003-degree=4``; without overrides ``000``.
    """
    names = short_paths(dict.fromkeys(path for overrides in combinations for path in overrides))
    return [name_point(index, len(combinations), each, names) for index, each in enumerate(combinations)]


def name_point(index: int, count: int, overrides: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The id of one point of so many.

    Args:
        names: of the paths, see :func:`~dlcourse.text.short_paths`.
    """
    values = "-".join(f"{names[path]}={format_value(value)}" for path, value in overrides.items())
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", values)[:_LONGEST_NAME].strip("._- ")
    number = f"{index:0{max(3, len(str(count - 1)))}d}"
    return f"{number}-{safe}" if safe else number


def without(overrides: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The overrides but those of the given paths."""
    left_out = set(paths)
    return {path: value for path, value in overrides.items() if path not in left_out}
