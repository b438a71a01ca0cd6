"""The axes of a config's ``sweep`` section: each is a list of settings; their product is the sweep.

``grid`` gives one axis for each path; ``zip`` gives one axis whose paths move together; ``random`` gives one axis of
drawn settings; ``seeds`` gives one axis of seeds and ``kfold`` one of folds, the fastest ones, so that the repetitions
of a setting stand together.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcourse.backend import random
from dlcourse.config.sweep_sections import MAX_POINTS
from dlcourse.errors import ConfigError, Problem
from dlcourse.text import canonical

# Draws that repeat an earlier setting are thrown away; so many in a row mean that a finite space is used up.
MAX_REPEATED_DRAWS = 10_000

_DRAWN_ANEW = ("data.seed",)  # what resample replaces in every fit


@dataclass(frozen=True)
class Axis:
    """Settings that exclude one another.

    Attributes:
        kind: "grid", "zip", "random", "seeds", "kfold" or "ensemble".
        paths: the config's dotted paths that a setting gives values to.
        settings: one tuple a setting, with one value for each path, of the types that the file has.
    """

    kind: str
    paths: tuple[str, ...]
    settings: tuple[tuple[Any, ...], ...]


def axes_of(config: Mapping[str, Any]) -> list[Axis]:
    """The axes of a resolved config's ``sweep``, and the members of its ``ensemble``; see :func:`axes`."""
    return axes(config["sweep"], config["seed"], _members(config))


def axes(section: Mapping[str, Any], seed: int, members: Axis | None = None) -> list[Axis]:
    """The axes of a resolved ``sweep`` section, in the order grid, zip, random, seeds, kfold, members.

    Args:
        section: as :class:`~dlcourse.config.sweep_sections.SweepOptions` describes it.
        seed: the config's: of the random draws, and the first of the seeds.
        members: of an ensemble.
    Raises:
        ConfigError: an axis lists a value twice or names a path that another one names too; the lists of ``zip`` differ
            in length; a random range is empty or the space has fewer settings than ``samples``; ``resample`` is
            combined with ``kfold`` or ``data.seed``; or there is nothing to vary. All of these at once.
    """
    problems: list[Problem] = []
    found = list(_grid(section.get("grid") or {}, problems))
    found += _zip(section.get("zip") or {}, problems)
    found += _random(section.get("random") or {}, seed, problems)
    found += _seeds(section.get("seeds"), seed, problems)
    if section.get("kfold"):
        folds = section["kfold"]
        found.append(Axis("kfold", ("data.kfold",), tuple(({"folds": folds, "fold": i},) for i in range(folds))))
        if section.get("resample"):
            problems.append(Problem("sweep.resample", "draws new training sets, so it does not combine with kfold"))
    found += [members] if members else []
    owners: dict[str, str] = {}
    for axis in found:
        where = "ensemble" if axis is members else f"sweep.{axis.kind}"
        for path in axis.paths:
            if path in owners:
                problems.append(Problem(where, f"{path} is varied by {owners[path]} already"))
            if path == "sweep" or path.startswith("sweep."):
                problems.append(Problem(f"sweep.{axis.kind}", "a sweep cannot vary its own section"))
            if path in _DRAWN_ANEW and section.get("resample"):
                message = f"{path} has no effect beside resample, which draws the training sets itself"
                problems.append(Problem(f"sweep.{axis.kind}", f"{message}; to repeat with other draws, change seed"))
            owners.setdefault(path, axis.kind)
    search = section.get("search") or {}
    for path, spec in (search.get("space") or {}).items():
        problems += _check_range(f"sweep.search.space.{path}", spec)
    if not found and not problems and not section.get("resample") and not search:
        problems.append(Problem("sweep", "varies nothing: give grid, zip, random, search, seeds, kfold or resample"))
    count = math.prod(len(axis.settings) for axis in found)
    if count > MAX_POINTS and not problems:
        each = " x ".join(f"{len(axis.settings):,} ({', '.join(axis.paths)})" for axis in found)
        problems.append(Problem("sweep", f"{count:,} points: {each}; a sweep has at most {MAX_POINTS:,}"))
    if problems:
        raise ConfigError(problems)
    return found


def _grid(section: Mapping[str, Any], problems: list[Problem]) -> Iterator[Axis]:
    for path, values in section.items():
        settings = [(value,) for value in values]
        _check_distinct(f"sweep.grid.{path}", settings, problems)
        yield Axis("grid", (path,), tuple(settings))


def _zip(section: Mapping[str, Any], problems: list[Problem]) -> list[Axis]:
    if not section:
        return []
    lengths = {path: len(values) for path, values in section.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        problems.append(Problem("sweep.zip", f"the lists move together and must be equally long: {counts}"))
        return []
    settings = list(zip(*section.values(), strict=True))
    _check_distinct("sweep.zip", settings, problems)
    return [Axis("zip", tuple(section), tuple(settings))]


def _random(section: Mapping[str, Any], seed: int, problems: list[Problem]) -> list[Axis]:
    if not section:
        return []
    samples, space = section["samples"], section["space"]
    faults = [fault for path, spec in space.items() for fault in _check_range(f"sweep.random.space.{path}", spec)]
    if faults:
        problems.extend(faults)
        return []
    # One stream for each path: another path beside it, or more samples, leaves the earlier draws as they were.
    streams = {path: random.generator(seed, f"sweep {path}") for path in space}
    settings: dict[str, tuple[Any, ...]] = {}
    repeats = 0
    while len(settings) < samples and repeats < MAX_REPEATED_DRAWS:
        drawn = tuple(draw(spec, float(streams[path].random())) for path, spec in space.items())
        repeats = repeats + 1 if canonical(drawn) in settings else 0
        settings.setdefault(canonical(drawn), drawn)
    if len(settings) < samples:
        message = f"the space has only {len(settings)} distinct settings, fewer than the {samples} samples asked for"
        problems.append(Problem("sweep.random.samples", message))
    return [Axis("random", tuple(space), tuple(settings.values()))]


def _seeds(wanted: int | Sequence[int] | None, seed: int, problems: list[Problem]) -> list[Axis]:
    """So many seeds from the config's own on, or those of a list."""
    if wanted is None:
        return []
    settings = [(each,) for each in (range(seed, seed + wanted) if isinstance(wanted, int) else wanted)]
    _check_distinct("sweep.seeds", settings, problems)
    return [Axis("seeds", ("seed",), tuple(settings))]


def _members(config: Mapping[str, Any]) -> Axis | None:
    """The seeds of an ensemble's models, and with bagging those of their samples."""
    if not config.get("ensemble"):
        return None
    own = config["train"]["seed"]
    first = config["seed"] if own is None else own
    size, bagging = config["ensemble"]["size"], config["ensemble"]["bagging"]
    paths = ("train.seed", "data.bootstrap") if bagging else ("train.seed",)
    return Axis("ensemble", paths, tuple((first + k,) * len(paths) for k in range(size)))


def draw(spec: Any, u: float) -> Any:
    """The value that a uniform number u in [0, 1) picks.

    A list: each entry is equally likely. ``{low, high}``: uniform; with ``log: true`` the logarithm is uniform; with
    ``int: true`` a whole number, both ends included. Other numbers are rounded to six significant digits, so that
    the number in the table, in the folder's name and in the config is the very number that was used.
    """
    if isinstance(spec, list):
        return spec[int(u * len(spec))]
    low, high, whole = spec["low"], spec["high"], bool(spec.get("int"))
    top = high + 1 if whole else high
    value = low * (top / low) ** u if spec.get("log") else low + u * (top - low)
    return int(min(max(math.floor(value), low), high)) if whole else rounded(value, low, high)


def rounded(value: float, low: float, high: float) -> float:
    """A number of a range as it is written: six significant digits."""
    return float(min(max(float(f"{value:.6g}"), low), high))


def _check_range(path: str, spec: Any) -> Iterator[Problem]:
    if isinstance(spec, list):
        return
    low, high = spec["low"], spec["high"]
    if low >= high:
        yield Problem(path, f"low must be below high, got low: {low:g}, high: {high:g}")
    if spec.get("log") and low <= 0:
        yield Problem(f"{path}.low", f"a logarithmic range must start above 0, got {low:g}")
    for key in ("low", "high"):
        if spec.get("int") and spec[key] != int(spec[key]):
            yield Problem(f"{path}.{key}", f"expected a whole number beside int: true, got {spec[key]}")


def _check_distinct(path: str, settings: list[tuple[Any, ...]], problems: list[Problem]) -> None:
    seen: set[str] = set()
    for setting in settings:
        if canonical(setting) in seen:
            problems.append(Problem(path, f"lists {setting[0] if len(setting) == 1 else list(setting)} twice"))
        seen.add(canonical(setting))
