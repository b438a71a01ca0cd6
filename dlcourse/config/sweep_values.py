"""Check every value that a sweep lists as the same value in the config."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dlcourse.config.check import Finding
from dlcourse.config.messages import show
from dlcourse.config.overrides import apply_overrides
from dlcourse.config.reader import MAX_PROBLEMS, Path, dotted
from dlcourse.errors import ConfigError

Trial = tuple[Path, dict[str, Any]]
"""Where in the sweep a setting stands, and the setting: values by the paths of the config."""


def check_sweep(
    given: Mapping[str, Any],
    sweep: Mapping[str, Any],
    known: Iterable[Finding],
    check: Callable[[dict[str, Any]], tuple[dict[str, Any], list[Finding]]],
    tried: dict[str, dict[str, Any]],
) -> Iterator[Finding]:
    """What is wrong with the values of a sweep, each tried in the config by itself (those of ``zip`` side by side).

    Args:
        given: the config as written.
        sweep: its ``sweep`` section, filled in.
        known: what is wrong with the config anyway.
        check: fills in a config, and finds what is wrong with it.
        tried: gets the configs that are right, filled in, by :func:`setting_key`.
    """
    base = {key: value for key, value in given.items() if key not in ("sweep", "ensemble")}
    known = set(known)
    reported = set()
    for location, setting in _trials(sweep):
        if any(path.split(".")[0] in ("sweep", "ensemble") for path in setting):
            yield Finding(location, "a sweep cannot vary its own section, nor how many models are averaged")
            continue
        if "plugins" in setting:
            yield Finding(location, "a sweep cannot vary the files: name all of them under plugins, and vary the names")
            continue
        try:
            config, found = check(apply_overrides(base, setting)[0])
            if not found:
                tried[setting_key(setting)] = config
            findings = [finding for finding in found if finding not in known]
        except ConfigError as error:
            findings = [Finding((problem.path,), problem.message) for problem in error.problems]
        for finding in findings:
            message = _say(finding, setting)
            if (location, message) not in reported:
                reported.add((location, message))
                yield Finding(location, message)
        if len(reported) >= MAX_PROBLEMS:
            yield Finding(("sweep",), f"and perhaps more after these {MAX_PROBLEMS}")
            return


def setting_key(setting: Mapping[str, Any]) -> str:
    """A text of a setting's values in their order, as a later value is laid over an earlier one."""
    return repr(list(setting.items()))


def _say(finding: Finding, setting: Mapping[str, Any]) -> str:
    where = dotted(finding.path)
    if len(setting) == 1:
        ((path, value),) = setting.items()
        return f"{show(value)}: {finding.message}" if where == path else f"{show(value)}: {where}: {finding.message}"
    values = ", ".join(f"{path}={show(value)}" for path, value in setting.items())
    return f"{values}: {where}: {finding.message}"


def _trials(sweep: Mapping[str, Any]) -> Iterator[Trial]:
    for path, values in (sweep.get("grid") or {}).items():
        for i, value in enumerate(values):
            yield ("sweep", "grid", path, i), {path: value}
    zipped = sweep.get("zip") or {}
    for i in range(max(map(len, zipped.values()), default=0)):
        setting = {path: values[i] for path, values in zipped.items() if i < len(values)}
        yield ("sweep", "zip", next(iter(setting)), i), setting
    drawn = (
        (("sweep", kind, "space", path), path, space)
        for kind in ("random", "search")
        for path, space in ((sweep.get(kind) or {}).get("space") or {}).items()
    )
    for location, path, space in drawn:
        if isinstance(space, list):
            for i, value in enumerate(space):
                yield (*location, i), {path: value}
        elif {"low", "high"} <= space.keys():
            for end in ("low", "high"):
                value = space[end]
                whole = space.get("int") and float(value).is_integer()
                yield (*location, end), {path: int(value) if whole else value}
