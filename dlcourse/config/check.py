"""Check a config as given against the shapes of its sections, and fill in the defaults."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dlcourse import registry
from dlcourse.component import ComponentSpec
from dlcourse.config.locations import with_path
from dlcourse.config.messages import explain, show, unknown_key
from dlcourse.config.reader import MAX_PROBLEMS, Path, dotted
from dlcourse.config.section_schema import Key, SectionSchema, component_schema, plain, section_schema
from dlcourse.config.sections import ExperimentOptions
from dlcourse.errors import ConfigError, Problem, UserError


@dataclass(frozen=True)
class Finding:
    """One thing wrong, at a path of the config; where that stands in a file is the caller's to say."""

    path: Path
    message: str
    unknown_key: bool = False


def check_experiment(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """A config with all defaults, and all that is wrong with it.

    What is wrong is left out of the config, so that what is right can be checked further.
    """
    checker = _Checker()
    try:
        config = checker.section(section_schema(ExperimentOptions), given, ())
    except _Enough:
        config = {}
    return config, [checker.with_home(finding) for finding in checker.findings]


def check_section(options: type, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """A file that is no config but has sections like one: with all defaults, and all that is wrong with it.

    Args:
        options: the dataclass of its keys.
    """
    checker = _Checker()
    try:
        found = checker.section(section_schema(options), given, ())
    except _Enough:
        found = {}
    return found, [Problem(dotted(finding.path), finding.message) for finding in checker.findings]


class _Enough(Exception):
    """More is wrong than a message should list."""


class _Checker:
    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.keys: dict[str, Path] = {}  # Every valid key met so far, and the section that has it.

    def report(self, path: Path, message: str, unknown_key: bool = False) -> None:
        self.findings.append(Finding(path, message, unknown_key))
        if len(self.findings) == MAX_PROBLEMS:
            self.findings.append(Finding((), f"and perhaps more after these {MAX_PROBLEMS}"))
            raise _Enough

    def with_home(self, finding: Finding) -> Finding:
        """For an unknown key that another section knows, such as a top-level ``lr``: which one."""
        if not finding.unknown_key or "did you mean" in finding.message:
            return finding
        close = registry.nearest(str(finding.path[-1]), self.keys)
        if not close:
            return finding
        home = dotted(self.keys[close]) or "the top level"
        return Finding(finding.path, f"{finding.message}; {home} has a key {close!r}")

    def section(
        self, shape: SectionSchema, given: Mapping[str, Any], path: Path, also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The section's keys with their values or defaults, but those that are wrong; keys in ``also`` are skipped."""
        valid = [*also, *shape.keys]
        for name in given:
            if name not in valid and path == ("sweep",) and "." in name:
                self.report((*path, name), f"unknown key; to try several values: sweep: {{grid: {{{name}: [...]}}}}")
            elif name not in valid:
                self.report((*path, name), unknown_key(name, valid, shape.title), unknown_key=True)
        found = {}
        for key in shape.keys.values():
            self.keys.setdefault(key.name, path)
            key_path = (*path, key.name)
            if key.name in given:
                before = len(self.findings)
                value = self.value(key, given[key.name], key_path)
                sections = isinstance(value, list) and key.item is not None and key.item.options is not None
                if len(self.findings) == before or isinstance(value, dict) or sections:
                    found[key.name] = value
            elif key.required:
                meaning = f" ({key.description.rstrip('.')})" if key.description else ""
                self.report(key_path, f"required, but missing{meaning}")
            else:
                found[key.name] = self.value(key, key.filled, key_path) if key.is_component else key.filled
        return found

    def value(self, key: Key, value: Any, path: Path) -> Any:
        if key.options and isinstance(value, Mapping):
            found = self.section(section_schema(key.options), value, path)
            only_given = getattr(key.options, "only_given", False)
            return {name: each for name, each in found.items() if each is not None} if only_given else found
        if key.item and key.item.options and isinstance(value, list):
            return [self.value(key.item, each, (*path, i)) for i, each in enumerate(value)]
        try:
            return self.finish(key.validate(value), path)
        except ValidationError as error:
            if key.takes_list and isinstance(value, int | float) and not isinstance(value, bool):
                return self.value(key, [value], path)  # `hidden: 64` is `hidden: [64]`
            if key.item and isinstance(value, list):  # Items that are right are still to be looked into.
                return [self.value(key.item, item, (*path, i)) for i, item in enumerate(value)]
            for within, message in explain(error.errors(include_url=False), value, key.annotation):
                self.report((*path, *within), message)
            return None

    def finish(self, value: Any, path: Path) -> Any:
        """A validated value as plain data, its components checked."""
        if isinstance(value, ComponentSpec):
            return self.component(value, path)
        if isinstance(value, Mapping):
            return {key: self.finish(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.finish(item, (*path, i)) for i, item in enumerate(value)]
        if dataclasses.is_dataclass(value):
            return {f.name: self.finish(getattr(value, f.name), (*path, f.name)) for f in dataclasses.fields(value)}
        return plain(value)

    def component(self, given: ComponentSpec, path: Path) -> dict[str, Any] | None:
        kind, spec = given.kind, {"name": given.spec} if isinstance(given.spec, str) else given.spec
        if "name" not in spec:
            self.report((*path, "name"), f"required, but missing (valid: {', '.join(registry.names(kind))})")
            return None
        name = spec["name"]
        if not isinstance(name, str):
            self.report((*path, "name"), f"expected the name of a {kind}, got {show(name)}")
            return None
        if name not in registry.names(kind):
            hint = registry.hint(name, registry.names(kind))
            valid = f"{hint}valid: {', '.join(registry.names(kind))}; {registry.OWN_FILE}"
            self.report((*path, "name"), f"no {kind} {name!r} ({valid})")
            return None
        try:
            registry.check_base(kind, name)
        except UserError as error:
            self.report((*path, "name"), str(error))
            return None
        before = len(self.findings)
        shape = component_schema(kind, name, given.shared)
        resolved = {"name": name, **self.section(shape, spec, path, also=("name",))}
        if len(self.findings) == before and not registry.KINDS[kind].supplied:
            self.construct(kind, resolved, path)
        return resolved

    def construct(self, kind: str, resolved: Mapping[str, Any], path: Path) -> None:
        """Let the constructor refuse what a signature cannot say, where the program has nothing to add to it."""
        try:
            registry.build(kind, registry.own_parameters(kind, resolved))
        except ConfigError as error:
            for problem in map(with_path, error.problems):
                self.report(tuple(problem.path.split(".")) if problem.path else path, problem.message)
        except (UserError, ValueError, TypeError) as error:
            self.report(path, str(error))
