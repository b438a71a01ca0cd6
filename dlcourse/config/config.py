"""A config: read, laid over, checked, filled in."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcourse.characters import encodable
from dlcourse.config import files
from dlcourse.config import reader as yaml
from dlcourse.config.check import Finding, check_experiment
from dlcourse.config.messages import show
from dlcourse.config.overrides import Overrides, apply_overrides, parse_overrides
from dlcourse.config.reader import dotted, parse_yaml
from dlcourse.config.rules import cross_check
from dlcourse.config.section_schema import section_schema
from dlcourse.config.sections import Experiment
from dlcourse.config.sweep_values import check_sweep
from dlcourse.config.writer import dump, plain
from dlcourse.errors import ConfigError, Problem
from dlcourse.text import leading_comment

__all__ = ["Config", "data_section", "from_mapping", "load", "resolve"]

Location = tuple[str, int | None]
"""A file's name and a line; or what else a value came from."""


@dataclass(frozen=True)
class Config:
    """A config that has passed every check that needs no data.

    Attributes:
        data: the resolved config, plain nested data: every default is filled in, every component is a mapping.
        given: the config as written, with the overrides.
        path: its file, or None.
        text: the file's text, or "".
        overrides: what was laid over, by dotted path.
    """

    data: dict[str, Any]
    given: dict[str, Any] = field(repr=False)
    path: Path | None = None
    text: str = field(default="", repr=False)
    overrides: dict[str, Any] = field(default_factory=dict)
    locations: dict[yaml.Path, Location] = field(default_factory=dict, repr=False, compare=False)

    @property
    def description(self) -> str:
        """The comment at the file's top."""
        return leading_comment(self.text)

    def apply_overrides(self, overrides: Overrides) -> "Config":
        """This config with other values; everything is checked anew.

        Args:
            overrides: ``{"train.epochs": 2}`` or ``["train.epochs=2"]``; an index counts in a list: ``metrics.0=mse``.

        Raises:
            ConfigError: all that is wrong with it.
        """
        return _checked(self, overrides) if overrides else self

    def named(self, name: str | None) -> "Config":
        """This config under the name that ``--name`` gave, if it gave one.

        Raises:
            ConfigError: it is none.
        """
        try:
            return self if name is None else self.apply_overrides({"name": name})
        except ConfigError as error:
            raise ConfigError([Problem("--name", problem.message) for problem in error.problems]) from None

    def dump(self) -> str:
        """The resolved config as YAML, under the file's header comment; it reads back as the very same config."""
        lines = [f"# {line}".rstrip() for line in self.description.splitlines()]
        return "\n".join([*lines, dump(self.data)])

    def locate(self, error: ConfigError) -> ConfigError:
        """The same problems with the file and line of their paths, for problems that were found outside."""
        return ConfigError([_located(_with_path(problem), self.locations) for problem in error.problems])


def load(path: str | os.PathLike[str], overrides: Overrides = ()) -> Config:
    """The config of a file, with ``overrides`` laid over.

    Raises:
        ConfigError: all that is wrong with it, each problem with its file and line.
    """
    path = Path(path)
    text = files.read_text(path)
    document = parse_yaml(text, str(path))
    locations: dict[yaml.Path, Location] = {at: (str(path), line) for at, line in document.lines.items()}
    if document.data is None:
        raise ConfigError(f"{path}: only comments; `dlcourse init` copies a config to start from")
    given = {"name": _name_of(path), **document.data} if isinstance(document.data, dict) else document.data
    return _checked(Config({}, given, path, text, {}, locations), overrides)


def from_mapping(mapping: Mapping[str, Any], overrides: Overrides = ()) -> Config:
    """The config of a mapping from Python, with ``overrides`` laid over.

    Raises:
        ConfigError: all that is wrong with it.
    """
    return _checked(Config({}, plain(mapping)), overrides)


def resolve(source: "Config | Mapping[str, Any] | str | os.PathLike[str]", overrides: Overrides = ()) -> Config:
    """The config of a file, a mapping, or a config, with ``overrides`` laid over.

    Raises:
        ConfigError: all that is wrong with it.
    """
    if isinstance(source, Config):
        return source.apply_overrides(overrides)
    if isinstance(source, Mapping):
        return from_mapping(source, overrides)
    return load(source, overrides)


def data_section(name: str, overrides: Overrides = ()) -> dict[str, Any]:
    """The ``data`` section of a config by itself, checked and filled in; ``overrides`` are as of a whole config.

    Raises:
        ConfigError: all that is wrong with it.
    """
    given, _, locations = _laid_over({"data": {"name": name}}, {}, overrides)
    section, findings = check_experiment(given)
    findings += cross_check({"data": section.get("data", {})})
    _refuse([finding for finding in findings if finding.path[:1] == ("data",)], locations)
    return section["data"]


def _checked(config: Config, overrides: Overrides) -> Config:
    """A config's ``given`` with values laid over it, checked and filled in."""
    given = config.given
    if not isinstance(given, dict):
        where = f"{config.path}: " if config.path else ""
        raise ConfigError(f"{where}expected a mapping with the sections data, model, ..., got {show(given)}")
    given, values, locations = _laid_over(given, config.locations, overrides)
    data, findings = _check(given)
    if data.get("sweep"):
        findings += check_sweep(given, data["sweep"], findings, lambda each: _check(each)[1])
    _refuse(findings, locations)
    data, given = (_with_files_beside(each, config.path) for each in (data, given))
    return Config(data, given, config.path, config.text, {**config.overrides, **values}, locations)


def _with_files_beside(config: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """The config with absolute paths for data files that lie beside it and not in the current folder, so that whatever
    is made of it, such as a run's ``config.yaml``, still finds them."""
    section = config.get("data")
    if path is None or not isinstance(section, Mapping):
        return config
    found = {}
    for key in files.DATA_FILES:
        name = section.get(key)
        if isinstance(name, str) and name and not os.path.exists(name):
            beside = path.absolute().parent / name
            if not os.path.exists(beside):  # which has no objection to names that no file can have
                continue
            if not encodable(str(beside)):
                said = f"{beside.name!r} lies beside the config, in a folder whose name is not UTF-8, which no config"
                problem = Problem(f"data.{key}", f"{said} can hold; run from that folder, or rename it", str(path))
                raise ConfigError([problem])
            found[key] = str(beside)
    return {**config, "data": {**section, **found}} if found else config


def _laid_over(
    given: dict[str, Any], locations: dict[yaml.Path, Location], overrides: Overrides
) -> tuple[dict[str, Any], dict[str, Any], dict[yaml.Path, Location]]:
    """What is given with values laid over it, the values by dotted path, and where everything stands."""
    if not overrides:
        return given, {}, locations
    values, source = parse_overrides(overrides)
    try:
        given, paths = apply_overrides(given, values)
    except ConfigError as error:
        raise ConfigError([Problem(p.path, p.message, source) for p in error.problems]) from None
    return given, values, _with_source(locations, paths, source)


def _refuse(findings: list[Finding], locations: Mapping[yaml.Path, Location]) -> None:
    """Raise ConfigError if anything is wrong, in the order of the file."""
    if findings:
        problems = [_located(Problem(dotted(f.path), f.message), locations) for f in findings]
        raise ConfigError(sorted(problems, key=lambda problem: (not problem.path, problem.line or 0)))


def _with_source(
    locations: dict[yaml.Path, Location], paths: list[yaml.Path], source: str
) -> dict[yaml.Path, Location]:
    """Where values stand, when those at and under ``paths`` now come from ``source``."""
    kept = {at: where for at, where in locations.items() if not any(at[: len(p)] == p for p in paths)}
    for path in paths:
        for length in range(1, len(path) + 1):
            kept.setdefault(path[:length], (source, None))
    return kept


def _check(given: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    data, findings = check_experiment(given)
    sweep = data.get("sweep") or {}
    return data, findings + list(cross_check(data, has_folds=bool(sweep.get("kfold"))))


def _name_of(path: Path) -> str:
    """A run's name from a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip(".-")[:100] or "experiment"


def _with_path(problem: Problem) -> Problem:
    """A problem that was raised as one text, ``data.split: asks for ...``, with its path apart."""
    where, colon, message = problem.message.partition(": ")
    if problem.path or problem.file or not colon or re.split(r"[.\[]", where)[0] not in section_schema(Experiment).keys:
        return problem
    return Problem(where, message)


def _located(problem: Problem, locations: Mapping[yaml.Path, Location]) -> Problem:
    """A problem with the location of its path, or of the nearest section around it."""
    if problem.file or not locations:
        return problem
    path = problem.path.replace("[", ".").replace("]", "")
    around = [at for at in locations if not at or path == dotted(at) or path.startswith(f"{dotted(at)}.")]
    if not around:
        return problem
    file, line = locations[max(around, key=lambda at: len(dotted(at)))]
    return Problem(problem.path, f"{problem.message}{_given_elsewhere(path, file, locations)}", file, line)


def _given_elsewhere(path: str, file: str, locations: Mapping[yaml.Path, Location]) -> str:
    """Which keys of a section in a file were laid over it: `` (data.split.val is from the command line)``."""
    inside = {dotted(at): source for at, (source, _) in locations.items() if dotted(at).startswith(f"{path}.")}
    over = [each for each, source in inside.items() if source != file and path]
    over = [each for each in over if not any(other.startswith(f"{each}.") for other in over)]
    if not over:
        return ""
    return f" ({', '.join(over)} {'are' if len(over) > 1 else 'is'} from the {inside[over[0]]})"
