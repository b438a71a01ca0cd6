"""An assignment: which parts a submission has to have, what they have to give, in which time, for how many points."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlcourse import registry
from dlcourse.config.check import check_section
from dlcourse.config.config import data_section
from dlcourse.config.locations import located
from dlcourse.config.reader import parse_yaml
from dlcourse.config.schema import section_json_schema
from dlcourse.data.synthetic import Synthetic
from dlcourse.errors import ConfigError, DlcourseError, Problem, UserError
from dlcourse.grading.arguments import make_arguments
from dlcourse.grading.signatures import misfits, of_parts, read_starter
from dlcourse.resources import shipped_assignments
from dlcourse.types import Count, NonNegative, Positive, Seed

Visibility = Literal["visible", "hidden", "after_due_date", "after_published"]

PartKind = Literal["function", "class", "model", "loss", "metric", "optimizer", "schedule", "data"]


@dataclass(frozen=True)
class LimitOptions:
    """What each case may take.

    Args:
        seconds: from the moment that the submission is imported.
        memory: MiB that the submission may take beside what the program itself holds (on Linux).
    """

    seconds: Positive = 20.0
    memory: Count = 2048


@dataclass(frozen=True)
class PartOptions:
    """A part that has to be there.

    Args:
        name: of the function or class, or the registered name of a component.
        kind: what it is.
        parameters: names that it has to take, in this order.
    """

    name: str
    kind: PartKind = "function"
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValueOptions:
    """A function's value.

    Args:
        function: its name.
        arguments: by name: a number, a list, or what draws an array: {normal: [5, 3], seed: 1, scale: 2},
            {uniform: [5]}, {integers: [5], below: 3}, {zeros: [3]}, {ones: [3]}.
        expected: a number or nested lists; left out, a finite value of the right shape is enough.
        output: which of several outputs: 0, 1, ... of a tuple, or a key of a dictionary, also 1.weight.
        shape: of that output.
        rtol, atol: it is right where |value - expected| <= atol + rtol |expected|.
    """

    function: str
    arguments: dict[str, Any]
    expected: Any = None
    output: str | int = 0
    shape: tuple[int, ...] | None = None
    rtol: NonNegative = 1e-6
    atol: NonNegative = 1e-9


@dataclass(frozen=True)
class GradientOptions:
    """Gradients that a function returns beside a loss, against central differences of that loss in float64.

    Args:
        function: its name.
        arguments: as of a value.
        with_respect_to: for each argument the output that is its gradient, such as {weight: 1} or {w1: 1.w1}.
        of: the output that is the loss.
        entries: elements of each argument to look at, chosen at random.
        tolerance: largest relative error; at a kink every slope between both sides is right.
    """

    function: str
    arguments: dict[str, Any]
    with_respect_to: dict[str, str | int]
    of: str | int = 0
    entries: Count = 12
    tolerance: Positive = 1e-5


@dataclass(frozen=True)
class FigureOptions:
    """A figure to reach on the test split, whose targets the submission does not get.

    Args:
        data: a data section of a config, with a test split.
        metric: what is measured.
        at_least: the figure to reach.
        at_most: the figure not to exceed.
        tolerance: how far the figure may be missed.
        function: called with the training inputs, their targets and the test inputs; gives predictions for the latter,
            logits (N, C), labels (N,), or (N, K) for a regression.
        experiment: instead of a function, the sections model, loss, optimizer, train, ... of a config, which may name
            components that the submission registers.
        seed: of the data.
    """

    data: dict[str, Any]
    metric: str | dict[str, Any]
    at_least: float | None = None
    at_most: float | None = None
    tolerance: NonNegative = 0.0
    function: str | None = None
    experiment: dict[str, Any] | None = None
    seed: Seed = 0


@dataclass(frozen=True)
class CaseOptions:
    """One case; exactly one of part, value, gradient and figure.

    Args:
        name: what a student reads.
        points: what it is worth.
        part: a part that has to be there.
        value: what a function gives.
        gradient: gradients against differences.
        figure: what a trained model reaches.
        seconds, memory: instead of the assignment's limits.
        visibility: whether students see it on Gradescope, and when.
        hint: what to tell where it fails.
    """

    name: str
    points: NonNegative = 1.0
    part: PartOptions | None = None
    value: ValueOptions | None = None
    gradient: GradientOptions | None = None
    figure: FigureOptions | None = None
    seconds: Positive | None = None
    memory: Count | None = None
    visibility: Visibility = "visible"
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class AssignmentOptions:
    """An assignment, which ``dlcourse grade`` holds a submission against.

    Args:
        assignment: its name.
        starter: a file beside this one to start from.
        limits: what each case may take.
        cases: what is looked at, one after another.
    """

    assignment: str
    starter: str | None = None
    limits: LimitOptions = LimitOptions()
    cases: list[CaseOptions]


KINDS = ("part", "value", "gradient", "figure")


@dataclass(frozen=True)
class Assignment:
    """A checked assignment; ``data`` is the file with every default filled in."""

    path: Path
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """What the file calls it."""
        return self.data["assignment"]

    @property
    def cases(self) -> list[dict[str, Any]]:
        """In the order of the file."""
        return self.data["cases"]

    @property
    def max_score(self) -> float:
        """The sum of all points."""
        return sum(case["points"] for case in self.cases)

    def limits(self, case: dict[str, Any]) -> tuple[float, int]:
        """Seconds and MiB of a case."""
        own = self.data["limits"]
        return case["seconds"] or own["seconds"], case["memory"] or own["memory"]


def find_assignment(name: str) -> Path:
    """A file, or an assignment that comes with the program, by its name.

    Raises:
        ConfigError: neither is there.
    """
    path, own = Path(name), shipped_assignments()
    if path.suffix == ".py":
        raise ConfigError(f"{name}: expected an assignment first, and then the submission: ASSIGNMENT.yaml {name}")
    if path.is_file():
        return path
    if path.is_dir() and (path / "assignment.yaml").is_file():
        return path / "assignment.yaml"
    if name in own:
        return own[name]
    meant = registry.did_you_mean(name, own)
    raise ConfigError(f"{name}: no such file{meant}; with the program come: {', '.join(own)}")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an assignment, for editors."""
    return section_json_schema(AssignmentOptions, "dlcourse assignment")


def load_assignment(path: str | Path) -> Assignment:
    """Read and check an assignment.

    Raises:
        ConfigError: all that is wrong with it, each problem with its file and line.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    document = parse_yaml(text, str(path))
    locations = {at: (str(path), line) for at, line in document.lines.items()}
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path}: expected a mapping with assignment: NAME and cases: [...]")
    if "assignment" not in document.data and "model" in document.data:
        raise ConfigError(f"{path}: is an experiment and no assignment, which begins with assignment: NAME")
    data, problems = check_section(AssignmentOptions, document.data)
    problems += _problems(data, path, [problem.path for problem in problems])
    if problems:
        found = [located(problem, locations) for problem in problems]
        raise ConfigError(sorted(found, key=lambda problem: problem.line or 0))
    return Assignment(path, data)


def _problems(data: dict[str, Any], path: Path, wrong: list[str]) -> Iterator[Problem]:
    """What a signature cannot say, of all that is not wrong already.

    Args:
        wrong: where that is.
    """
    cases = [case or {} for case in data.get("cases") or []]
    if cases == [] == wrong:
        yield Problem("cases", "expected at least one case")
    present = [
        [kind for kind in KINDS if case.get(kind) is not None or _within(f"cases.{i}.{kind}", wrong)]
        for i, case in enumerate(cases)
    ]
    sound = [[kind for kind in kinds if not _within(f"cases.{i}.{kind}", wrong)] for i, kinds in enumerate(present)]
    signatures = of_parts(case["part"] for case, kinds in zip(cases, sound, strict=True) if "part" in kinds)
    if data.get("starter") is not None:
        try:
            signatures |= read_starter(path.parent / data["starter"])
        except UserError as error:
            yield Problem("starter", str(error))
    names = [case.get("name") for case in cases]
    for number, case in enumerate(cases):
        at = f"cases.{number}"
        if names[number] is not None and names.index(names[number]) != number:
            yield Problem(f"{at}.name", f"two cases are called {case['name']!r}")
        if len(present[number]) != 1 and at not in wrong:
            came = ", ".join(present[number]) or "none"
            yield Problem(at, f"expected exactly one of {', '.join(KINDS)}, got {came}")
        for kind in sound[number] if len(present[number]) == 1 else ():
            checked = _CHECKS[kind](case[kind]) if kind in _CHECKS else ()
            for where, text in [*checked, *misfits(kind, case[kind], signatures)]:
                yield Problem(f"{at}.{kind}{where}", text)


def _within(section: str, wrong: list[str]) -> bool:
    return any(f"{each}.".startswith(f"{section}.") for each in wrong)


def _check_arguments(case: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        make_arguments(case["arguments"])
    except ConfigError as error:
        for problem in error.problems:
            yield f".arguments.{problem.path}", problem.message


def _check_value(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _check_arguments(value)
    if value["expected"] is not None:
        try:
            numbers = np.asarray(value["expected"], dtype=np.float64)
        except (ValueError, TypeError):
            yield ".expected", f"expected a number or lists of equal lengths, got {value['expected']!r}"
            return
        if value["shape"] is not None and numbers.shape != tuple(value["shape"]):
            yield ".shape", f"is {value['shape']}, but what is expected has {list(numbers.shape)}"


def _check_gradient(gradient: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _check_arguments(gradient)
    if not gradient["with_respect_to"]:
        yield ".with_respect_to", "expected at least one argument and the output that is its gradient"
    try:
        arguments = make_arguments(gradient["arguments"])
    except ConfigError:  # reported above
        return
    for name in gradient["with_respect_to"]:
        if name not in arguments:
            there = ", ".join(arguments) or "none"
            yield f".with_respect_to.{name}", f"is no argument; there are: {there}"
        elif not isinstance(arguments[name], np.ndarray) or arguments[name].dtype.kind != "f":  # type: ignore[union-attr]
            yield f".with_respect_to.{name}", "a gradient needs an array of floating point: write 1.0 in place of 1"


def _check_figure(figure: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if (figure["function"] is None) == (figure["experiment"] is None):
        yield "", "expected either function or experiment"
    if figure["at_least"] is None and figure["at_most"] is None:
        yield "", "expected at_least or at_most"
    try:
        metric_of(figure)
    except DlcourseError as error:
        yield ".metric", str(error)
    if not isinstance(figure["data"].get("name"), str):
        yield ".data.name", "required, but missing"
        return
    try:
        section = data_of(figure)
    except ConfigError as error:
        for problem in error.problems:
            yield f".{problem.path}" if problem.path else ".data", problem.message
        return
    if not section["split"]["test"] and issubclass(registry.lookup("data", section["name"]), Synthetic):
        yield ".data.split", "expected a test split, such as {test: 0.3}"  # files may bring one


_CHECKS = {"value": _check_value, "gradient": _check_gradient, "figure": _check_figure}


def data_of(figure: dict[str, Any]) -> dict[str, Any]:
    """The data section of a figure, filled in."""
    given = {f"data.{key}": value for key, value in figure["data"].items() if key != "name"}
    return data_section(figure["data"]["name"], given)


def metric_of(figure: dict[str, Any]) -> Any:
    """A new metric of a figure."""
    spec = figure["metric"]
    return registry.build("metric", {"name": spec} if isinstance(spec, str) else spec)
