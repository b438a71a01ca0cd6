"""Where the values of a config stand: file and line, or what else they came from."""

import re
from collections.abc import Mapping

from dlcourse.config.reader import Path, dotted
from dlcourse.config.section_schema import section_schema
from dlcourse.config.sections import ExperimentOptions
from dlcourse.errors import Problem

Location = tuple[str, int | None]
"""A file's name and a line; or what else a value came from."""


def with_source(locations: dict[Path, Location], paths: list[Path], source: str) -> dict[Path, Location]:
    """Where values stand, when those at and under ``paths`` now come from ``source``."""
    remaining = {at: where for at, where in locations.items() if not any(at[: len(p)] == p for p in paths)}
    for path in paths:
        for length in range(1, len(path) + 1):
            remaining.setdefault(path[:length], (source, None))
    return remaining


def with_path(problem: Problem) -> Problem:
    """A problem that was raised as one text, ``data.split: asks for ...``, with its path apart."""
    where, colon, message = problem.message.partition(": ")
    known = re.split(r"[.\[]", where)[0] in section_schema(ExperimentOptions).keys
    return Problem(where, message) if known and colon and not problem.path and not problem.file else problem


def located(problem: Problem, locations: Mapping[Path, Location]) -> Problem:
    """A problem with the location of its path, or of the nearest section around it."""
    if problem.file or not locations:
        return problem
    path = problem.path.replace("[", ".").replace("]", "")
    around = [at for at in locations if not at or path == dotted(at) or path.startswith(f"{dotted(at)}.")]
    if not around:
        return problem
    file, line = locations[max(around, key=lambda at: len(dotted(at)))]
    return Problem(problem.path, f"{problem.message}{_given_elsewhere(path, file, locations)}", file, line)


def _given_elsewhere(path: str, file: str, locations: Mapping[Path, Location]) -> str:
    """Which keys of a section in a file were laid over it: `` (data.split.val is from the command line)``."""
    inside = {dotted(at): source for at, (source, _) in locations.items() if dotted(at).startswith(f"{path}.")}
    over = [each for each, source in inside.items() if source != file and path]
    over = [each for each in over if not any(other.startswith(f"{each}.") for other in over)]
    if not over:
        return ""
    return f" ({', '.join(over)} {'are' if len(over) > 1 else 'is'} from the {inside[over[0]]})"
