"""A config: read, laid over, checked, filled in."""

import difflib
import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcourse.characters import encodable
from dlcourse.config import reader as yaml
from dlcourse.config.check import Finding, check_experiment
from dlcourse.config.locations import Location, located, with_path, with_source
from dlcourse.config.messages import show
from dlcourse.config.overrides import Overrides, apply_overrides, parse_overrides
from dlcourse.config.plugins import load_plugins
from dlcourse.config.reader import MAX_BYTES, dotted, parse_yaml
from dlcourse.config.rules import cross_check
from dlcourse.config.section_schema import plain
from dlcourse.config.sweep_values import check_sweep, setting_key
from dlcourse.config.writer import dump
from dlcourse.errors import ConfigError, Problem
from dlcourse.resources import configs_folder, named, shipped
from dlcourse.text import flatten, leading_comment, without_figures

LENGTHENING = ("train.epochs", "train.steps", "train.early_stopping.patience")
"""What may be raised when a run is resumed: it changes when training ends, not what a step does."""

CHANGEABLE = ("train.checkpoint_every",)
"""What may become anything when a run is resumed: it changes nothing that a run computes."""

_TRAINING = "train.checkpoint_every", "train.watch", "train.samples"
BESIDE = (*LENGTHENING, *_TRAINING, "name", "device", "plugins", "attacks", "logging")
"""Paths that make no difference to what a step does. Of component files the content counts, not the place: a run knows
it by its hash."""

HASHED = ("train.samples",)
"""Of them those that a hash has with their default, whatever they are: it is still that of runs from before they were
among them."""

FILES = (("data", "path"), ("data", "test_path"), ("train", "init_from"))
"""Sections and their keys that name files; the attacks' sources are named in a list."""


@dataclass(frozen=True)
class Config:
    """A config that has passed every check that needs no data.

    Attributes:
        data: the resolved config, plain nested data: every default is filled in, every component is a mapping.
        given: the config as written, with the overrides.
        path: its file, or None.
        text: the file's text, or "".
        overrides: what was laid over, by dotted path.
        locations: where each path stands.
        tried: ``data`` without the sweep, with one setting that the sweep lists laid over it; by :func:`setting_key`.
    """

    data: dict[str, Any]
    given: dict[str, Any] = field(repr=False)
    path: Path | None = None
    text: str = field(default="", repr=False)
    overrides: dict[str, Any] = field(default_factory=dict)
    locations: dict[yaml.Path, Location] = field(default_factory=dict, repr=False, compare=False)
    tried: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, path: str) -> Any:
        """The resolved value at a dotted path: ``config["optimizer.lr"]``.

        Raises:
            KeyError: there is none; says which keys there are.
        """
        value: Any = self.data
        for i, key in enumerate(keys := str(path).split(".")):
            if not isinstance(value, dict) or key not in value:
                where = ".".join(keys[:i]) or "the config"
                there = ", ".join(value) if isinstance(value, dict) else "no keys"
                raise KeyError(f"{key!r} is not in {where}, which has {there}")
            value = value[key]
        return value

    @property
    def description(self) -> str:
        """The comment at the file's top, without its figures (``Shows: ...``) where overrides changed what runs."""
        comment = leading_comment(self.text)
        same = set(BESIDE) - set(LENGTHENING)  # a run of another length reaches other figures
        return without_figures(comment) if set(self.overrides) - same else comment

    def apply_overrides(self, overrides: Overrides) -> "Config":
        """This config with other values; everything is checked anew.

        Args:
            overrides: ``{"train.epochs": 2}`` or ``["train.epochs=2"]``; an index counts in a list: ``metrics.0=mse``.

        Raises:
            ConfigError: all that is wrong with it.
        """
        return _checked(self, overrides) if overrides else self

    def without_sweep(self) -> "Config":
        """This config without what makes many runs of it, its ``sweep`` and ``ensemble``."""
        given = {key: value for key, value in self.given.items() if key not in ("sweep", "ensemble")}
        return replace(self, given=given, data={**self.data, "sweep": None, "ensemble": None})

    def at(self, setting: dict[str, Any]) -> "Config":
        """This config, which is :meth:`without_sweep`, at a setting of the sweep: values by dotted path.

        A setting that was checked when the config was read is not checked again.

        Raises:
            ConfigError: all that is wrong with it.
        """
        return _checked(self, setting, self.tried.get(setting_key(setting))) if setting else self

    def named(self, name: str | None) -> "Config":
        """This config under the name that ``--name`` gave, if it gave one.

        Raises:
            ConfigError: it is none.
        """
        try:
            return self if name is None else self.apply_overrides({"name": name})
        except ConfigError as error:
            raise ConfigError([Problem("--name", problem.message) for problem in error.problems]) from None

    def with_plugins(self, names: list[str]) -> "Config":
        """This config with other names for the component files that it has."""
        return replace(self, data={**self.data, "plugins": names}) if names else self

    def dump(self) -> str:
        """The resolved config as YAML, under the file's header comment; it reads back as the very same config."""
        lines = [f"# {line}".rstrip() for line in self.description.splitlines()]
        return "\n".join([*lines, dump(self.data)])

    def locate(self, error: ConfigError) -> ConfigError:
        """The same problems with the file and line of their paths, for problems that were found outside."""
        return ConfigError([located(with_path(problem), self.locations) for problem in error.problems])


def load(path: str | os.PathLike[str], overrides: Overrides = ()) -> Config:
    """The config of a file, with ``overrides`` laid over.

    Args:
        path: the file, or where there is none of that name, the name of a config that comes with the program.
        overrides: other values.
    Raises:
        ConfigError: all that is wrong with it, each problem with its file and line.
    """
    path = _of_catalog(Path(path))
    text = _read_text(path)
    document = parse_yaml(text, str(path))
    locations: dict[yaml.Path, Location] = {at: (str(path), line) for at, line in document.lines.items()}
    if document.data is None:
        raise ConfigError(f"{path}: only comments; `dlcourse init` copies a config to start from")
    if isinstance(document.data, dict) and "assignment" in document.data:
        raise ConfigError(
            f"{path}: is an assignment and no experiment; dlcourse grade {path} SUBMISSION.py grades by it"
        )
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


def config_hash(config: Mapping[str, Any]) -> str:
    """A hash of all in a resolved config that a step depends on.

    Where it runs and when it ends is left out, and so is how often it is saved.
    """
    return hashlib.sha256(json.dumps(settings(config), sort_keys=True).encode()).hexdigest()


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """All in a resolved config that a step depends on, by dotted path."""
    found = {path: value for path, value in flatten(config).items() if path not in BESIDE or path in HASHED}
    return found | {path: None for path in HASHED if path in found}


def _checked(config: Config, overrides: Overrides, data: dict[str, Any] | None = None) -> Config:
    """A config's ``given`` with values laid over it, checked and filled in; ``data`` is that, where it is known."""
    given = config.given
    if not isinstance(given, dict):
        where = f"{config.path}: " if config.path else ""
        raise ConfigError(f"{where}expected a mapping with the sections data, model, ..., got {show(given)}")
    given, values, locations = _laid_over(given, config.locations, overrides)
    tried: dict[str, dict[str, Any]] = {}
    if data is None:
        if "plugins" in given:
            given = {**given, "plugins": load_plugins(given["plugins"], config.path, locations)}
        data, findings = _check(given)
        if data.get("sweep"):
            findings += check_sweep(given, data["sweep"], findings, _check, tried)
        _refuse([_with_sweep(finding, values) for finding in findings], locations)
    data, given = (_with_files_beside(each, config.path) for each in (data, given))
    return Config(data, given, config.path, config.text, {**config.overrides, **values}, locations, tried)


def _with_files_beside(config: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """The config with absolute paths for files that lie beside it and not in the current folder, so that whatever is
    made of it, such as a run's ``config.yaml``, still finds them."""
    if path is None:
        return config
    found = dict(config)
    for section, key in FILES:
        if section in found:
            found[section] = _with_file_beside(found[section], key, section, path)
    if isinstance(attacks := config.get("attacks"), list):
        found["attacks"] = [_with_file_beside(each, "source", f"attacks.{i}", path) for i, each in enumerate(attacks)]
    return found


def _with_file_beside(keys: Any, key: str, section: str, path: Path) -> Any:
    """The keys of a section with an absolute path at one of them, see :func:`_with_files_beside`."""
    name = keys.get(key) if isinstance(keys, Mapping) else None
    if not isinstance(name, str) or not name or os.path.exists(name):
        return keys
    beside = path.absolute().parent / name
    if not os.path.exists(beside):  # which has no objection to names that no file can have
        return keys
    if not encodable(str(beside)):
        text = f"{beside.name!r} lies beside the config, in a folder whose name is not UTF-8, which no config"
        text += " can hold; run from that folder, or rename it"
        raise ConfigError([Problem(f"{section}.{key}", text, str(path))])
    return {**keys, key: str(beside)}


def _laid_over(
    given: dict[str, Any], locations: dict[yaml.Path, Location], overrides: Overrides
) -> tuple[dict[str, Any], dict[str, Any], dict[yaml.Path, Location]]:
    """What is given with values laid over it, the values by dotted path, and where everything stands."""
    if not overrides:
        return given, {}, locations
    values, source = parse_overrides(overrides)
    try:
        given, paths = apply_overrides(given, values)
        _replace_duration(given, values)
    except ConfigError as error:
        raise ConfigError([Problem(p.path, p.message, source) for p in error.problems]) from None
    return given, values, with_source(locations, paths, source)


def _with_sweep(finding: Finding, values: Mapping[str, Any]) -> Finding:
    """A finding that a list was laid over where one value belongs, with the key that tries each of the list."""
    path = dotted(finding.path)
    value = values.get(path)
    if not isinstance(value, list) or finding.path[0] == "sweep" or f"got {show(value)}" not in finding.message:
        return finding
    each = ",".join(item if isinstance(item, str) else json.dumps(item, default=str) for item in value)
    return replace(finding, message=f"{finding.message} (to try each value: sweep.grid.{path}=[{each}])")


def _replace_duration(given: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Where only one of ``train.epochs`` and ``train.steps`` is laid over, the config's other one goes, with a note."""
    train: Any = given.get("train")
    for new, old in (("epochs", "steps"), ("steps", "epochs")):
        path = f"train.{new}"
        if values.get(path) is not None and f"train.{old}" not in values and "train" not in values:
            if train.get(old) is not None:
                text = f"{path}={show(values[path])} replaces the config's train.{old}={show(train[old])}"
                warnings.warn(text, UserWarning, stacklevel=2)
                del train[old]


def _refuse(findings: list[Finding], locations: Mapping[yaml.Path, Location]) -> None:
    """Raise ConfigError if anything is wrong, in the order of the file."""
    if findings:
        problems = [located(Problem(dotted(f.path), f.message), locations) for f in findings]
        raise ConfigError(sorted(problems, key=lambda problem: (not problem.path, problem.line or 0)))


def _check(given: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    data, findings = check_experiment(given)
    sweep = data.get("sweep") or {}
    return data, findings + list(cross_check(data, has_folds=bool(sweep.get("kfold"))))


def _of_catalog(path: Path) -> Path:
    """The file itself; for a bare name such as ``mnist_softmax``, where no such file is here, the shipped config."""
    if path.suffix in (".yaml", ".yml") or os.path.exists(path):
        return path
    found = named(path.as_posix())
    if len(found) > 1:
        raise ConfigError(f"{len(found)} configs have that name: {', '.join(map(str, found))}; say the folder too")
    return configs_folder() / found[0] if found else path


def _read_text(path: Path) -> str:
    """The text of a config's file.

    Raises:
        ConfigError: it is missing (the message names files of nearly that name), a folder, unreadable, too large, not
            UTF-8, or empty.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_suggest(path)}") from None
    except IsADirectoryError:
        inside = sorted(each.name for each in path.glob("*.yaml"))
        what = f"; name a file in it, such as {path / inside[0]}" if inside else " without .yaml files"
        raise ConfigError(f"{path}: is a folder{what}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no config is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8") from None
    if not text.strip():
        raise ConfigError(f"{path}: empty; `dlcourse init` copies a config to start from")
    return text


def _suggest(path: Path) -> str:
    """Files that may have been meant: of a like name in the same folder, or among the course's configs."""
    folder = path.parent
    beside = {each.stem: each for each in folder.glob("*.yaml")} if folder.is_dir() else {}
    close = difflib.get_close_matches(path.stem, beside, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(str(beside[stem]) for stem in close)}?"
    by_stem = {each.stem: each for each in shipped()}
    close = difflib.get_close_matches(path.stem, by_stem, n=1, cutoff=0.6)
    if not close:
        return "; `dlcourse list configs` shows those that come with the program"
    found = configs_folder() / by_stem[close[0]]
    try:
        found = found.relative_to(Path.cwd())
    except ValueError:
        return f"; did you mean {found}? (`dlcourse init {by_stem[close[0]].with_suffix('')}` makes a copy here)"
    return f"; did you mean {found}?"


def _name_of(path: Path) -> str:
    """A run's name from a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip(".-")[:100] or "experiment"
