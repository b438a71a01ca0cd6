"""Hold a submission against an assignment: ask a process for what each case needs, and judge it here."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlcourse.autograd.check import outside
from dlcourse.data import prepare
from dlcourse.data.files import looking_in
from dlcourse.errors import DlcourseError, UserError
from dlcourse.grading.arguments import make_arguments
from dlcourse.grading.assignment import KINDS, Assignment, data_of, metric_of
from dlcourse.grading.process import Answer, ask

STEP = 1e-5
"""Of the differences, in float64."""


@dataclass(frozen=True)
class CaseResult:
    """What one case came to.

    Attributes:
        name: of the case.
        status: "passed" or "failed".
        score, max_score: points.
        output: the figures, or what is wrong.
        printed: what the submission printed.
        seconds: what it took.
        visibility: as Gradescope has it.
    """

    name: str
    status: Literal["passed", "failed"]
    score: float
    max_score: float
    output: str
    printed: str
    seconds: float
    visibility: str

    @property
    def passed(self) -> bool:
        """Whether the case holds; one without points too."""
        return self.status == "passed"


@dataclass(frozen=True)
class Grade:
    """All cases of an assignment."""

    assignment: str
    cases: list[CaseResult]

    @property
    def score(self) -> float:
        """Points reached."""
        return sum(case.score for case in self.cases)

    @property
    def max_score(self) -> float:
        """Points that can be reached."""
        return sum(case.max_score for case in self.cases)

    def to_gradescope(self) -> dict[str, Any]:
        """``results.json`` as Gradescope reads it (gradescope-autograders.readthedocs.io, "Output format")."""
        tests = [
            {
                "name": case.name,
                "score": case.score,
                "max_score": case.max_score,
                "status": case.status,
                "output": case.output + (f"\n\nprinted:\n{case.printed}" if case.printed else ""),
                "visibility": case.visibility,
            }
            for case in self.cases
        ]
        return {
            "score": self.score,
            "max_score": self.max_score,
            "execution_time": math.ceil(sum(case.seconds for case in self.cases)),
            "tests": tests,
        }


class Wrong(Exception):
    """A case does not hold; the message says what was expected and what came."""


class NoValue(Wrong):
    """The submission gave no value to judge: it has no such function, raised, ended, or took too long."""


def grade_submission(
    assignment: Assignment, submission: str | Path, say: Callable[[CaseResult], None] = lambda result: None
) -> Grade:
    """Run every case, each in a process of its own.

    The submission's code runs in these processes only; what it gives is judged in this one.

    Args:
        say: called with each result as it comes.
    Raises:
        UserError: there is no such file.
    """
    path = Path(submission)
    if sys.platform == "win32":
        raise UserError("grading needs Linux or macOS: Windows has no limits of time and memory for a process")
    if not path.is_file():
        raise UserError(f"{path}: no such file{' (a folder: name the file in it)' if path.is_dir() else ''}")
    if path.suffix != ".py":
        raise UserError(f"{path}: a submission is a Python file, whose name ends in .py")
    results = []
    for case in assignment.cases:
        results.append(_grade(assignment, case, path))
        say(results[-1])
    return Grade(assignment.name, results)


def _grade(assignment: Assignment, case: dict[str, Any], submission: Path) -> CaseResult:
    kind = next(kind for kind in KINDS if case[kind] is not None)
    seconds, memory = assignment.limits(case)
    answers: list[Answer] = []

    def request(message: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers.append(ask(submission, message, arrays, seconds, memory))
        if answers[-1].error:
            raise NoValue(answers[-1].error)
        return answers[-1].arrays

    status: Literal["passed", "failed"] = "failed"
    try:
        with looking_in(str(assignment.path.absolute().parent)):  # for data files beside it
            output = _JUDGES[kind](case[kind], request, answers)
        status = "passed"
    except NoValue as missing:  # the case's hint is about a wrong value
        output = str(missing)
    except Wrong as wrong:
        output = str(wrong) + (f"\n{case['hint']}" if case["hint"] else "")
    took = sum(answer.seconds for answer in answers)
    printed = "".join(answer.printed for answer in answers)
    score = case["points"] if status == "passed" else 0.0
    return CaseResult(case["name"], status, score, case["points"], output, printed, took, case["visibility"])


Request = Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, np.ndarray]]


def _judge_part(part: dict[str, Any], request: Request, answers: list[Answer]) -> str:
    request({"do": "describe", "name": part["name"], "kind": part["kind"]}, {})
    found = answers[-1].message.get("parameters")
    wanted = list(part["parameters"])
    if not isinstance(found, list) or found[: len(wanted)] != wanted:
        raise Wrong(f"{part['name']} takes {_listed(found)}, expected {_listed(wanted)}")
    return f"{part['kind']} {part['name']} is there"


def _listed(names: Any) -> str:
    return f"({', '.join(map(str, names))})" if isinstance(names, list) else "no parameters that can be read"


def _call(case: dict[str, Any], request: Request, calls: list[dict[str, Any]], keep: list[str]) -> Any:
    """Outputs of all calls; the arguments have to be as they were."""
    arguments = make_arguments(case["arguments"])
    arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in arguments.items() if not isinstance(value, np.ndarray)}
    asked = {"do": "call", "function": case["function"], "plain": plain, "calls": [{}, *calls], "keep": keep}
    found = request(asked, arrays)
    for name, array in arrays.items():
        after = found.get(f"argument.{name}")
        if after is None or after.shape != array.shape or not np.array_equal(after, array):
            raise Wrong(f"{case['function']} changes its argument {name}; work on a copy")
    return arrays, found


def _output(found: dict[str, np.ndarray], path: Any, function: str) -> np.ndarray:
    there = [name.removeprefix("0.") for name in found if name.startswith("0.")]
    if f"0.{path}" not in found:
        if there == ["0"]:
            raise NoValue(f"{function} returns one value; expected a tuple or a dictionary that has output {path} too")
        raise NoValue(f"{function} returns no output {path}; it returns: {', '.join(there)}")
    array = found[f"0.{path}"]
    if not np.isfinite(array.astype(np.float64)).all():
        raise Wrong(f"output {path} of {function} holds numbers that are not finite")
    return array


def _judge_value(value: dict[str, Any], request: Request, answers: list[Answer]) -> str:
    _, found = _call(value, request, [], [])
    array = _output(found, value["output"], value["function"])
    expected = None if value["expected"] is None else np.asarray(value["expected"], dtype=np.float64)
    shape = value["shape"] if expected is None else expected.shape
    if shape is not None and array.shape != tuple(shape):
        raise Wrong(f"expected the shape {tuple(shape)}, came {array.shape}")
    if expected is None:
        return f"finite, of shape {array.shape}"
    off = np.abs(array - expected)
    allowed = value["atol"] + value["rtol"] * np.abs(expected)
    if not (off <= allowed).all():
        worst = np.unravel_index(int((off - allowed).argmax()), off.shape)
        where = f" at {[int(i) for i in worst]}" if off.ndim else ""
        raise Wrong(
            f"expected {expected[worst]:.9g}{where}, came {array[worst]:.9g}: {off[worst]:.2g} off, "
            f"{allowed[worst]:.2g} allowed"
        )
    return f"{float(array):.9g}" if array.ndim == 0 else f"{array.size} numbers, at most {off.max():.1e} off"


@dataclass(frozen=True)
class _Place:
    """An element of an argument whose gradient is looked at, and how far it is moved to both sides."""

    name: str
    index: int
    step: float


def _judge_gradient(gradient: dict[str, Any], request: Request, answers: list[Answer]) -> str:
    arguments = make_arguments(gradient["arguments"])
    rng = np.random.Generator(np.random.Philox(len(arguments)))
    places, calls = [], []
    for name in gradient["with_respect_to"]:
        flat = np.asarray(arguments[name]).reshape(-1)
        for index in map(int, rng.permutation(flat.size)[: gradient["entries"]]):
            place = _Place(name, index, STEP * max(1.0, abs(flat[index])))
            places.append(place)
            moved = (float(flat[index] + side * place.step) for side in (-1, 1))
            calls += [{"name": name, "index": index, "value": value} for value in moved]
    path, function = str(gradient["of"]), gradient["function"]
    _, found = _call(gradient, request, calls, [path])
    losses = [_scalar(_output(found, path, function), path)]
    losses += [_scalar(found.get(f"{number}.{path}"), path) for number in range(1, len(calls) + 1)]
    worst, kinks = 0.0, 0
    for number, place in enumerate(places):
        given = _output(found, gradient["with_respect_to"][place.name], function)
        shape = np.asarray(arguments[place.name]).shape
        if given.shape != shape:
            raise Wrong(f"the gradient by {place.name} has the shape {given.shape}, expected {shape}")
        beside = losses[2 * number + 1], losses[2 * number + 2]
        error, at_kink = _compare(given, place, losses[0], beside, gradient["tolerance"])
        worst, kinks = max(worst, error), kinks + at_kink
    at_kinks = f", {kinks} at a kink" if kinks else ""
    return f"relative error {worst:.1e} in {len(places)} elements{at_kinks}"


def _compare(
    given: np.ndarray, place: _Place, loss: float, beside: tuple[float, float], tolerance: float
) -> tuple[float, bool]:
    """The relative error of one element of a gradient, and whether a kink lies there.

    Args:
        given: the whole gradient.
        loss, beside: the loss there, and on both sides.
    Raises:
        Wrong: it is above the tolerance, and there is no kink.
    """
    (below, above), exact = beside, float(given.reshape(-1)[place.index])
    numeric = (above - below) / (2 * place.step)
    floor = 1e-4 * float(np.abs(given).max()) + 1e-5 * (abs(loss) + 1e-3)  # what rounding leaves of a difference
    size = max(abs(numeric), abs(exact), floor)
    error = abs(numeric - exact) / size
    if error <= tolerance:
        return error, False
    error = outside(exact, (loss - below) / place.step, (above - loss) / place.step) / size
    if error <= tolerance:
        return error, True
    where = [int(i) for i in np.unravel_index(place.index, given.shape)]
    raise Wrong(f"gradient by {place.name}{where}: backward gives {exact:.9g}, differences {numeric:.9g}")


def _scalar(array: np.ndarray | None, path: str) -> float:
    if array is None or array.size != 1:
        raise Wrong(f"output {path} is the loss: expected one number, came {'none' if array is None else array.shape}")
    return float(array.reshape(-1)[0])


def _judge_figure(figure: dict[str, Any], request: Request, answers: list[Answer]) -> str:
    section = data_of(figure)
    try:
        data = prepare(section, figure["seed"])
    except DlcourseError as error:
        raise UserError(f"the assignment's data: {error}") from error
    x, y = (np.ascontiguousarray(getattr(data.splits["train"], name)) for name in ("x", "y"))
    if "test" not in data.splits:
        raise UserError("the assignment's data: there is no test split; data.split.test makes one")
    test = data.splits["test"]
    arrays = {"x": x, "y": y, "x_test": np.ascontiguousarray(test.x)}
    if figure["function"] is not None:
        found = request({"do": "predict", "function": figure["function"]}, arrays)
    else:
        own: dict[str, Any] = {"name": "arrays", "path": "train.npz", "task": data.task}
        own |= {key: section[key] for key in ("normalize", "augment")}
        if data.task == "classification":
            own["class_names"] = list(data.dataset.class_names)
        config = {"device": "cpu", **figure["experiment"], "data": own}
        found = request({"do": "fit", "config": config}, arrays)
    outputs = found.get("0")
    if outputs is None:
        raise Wrong(f"expected one array of predictions, came: {', '.join(found) or 'nothing'}")
    measured = _measure(figure, outputs, np.asarray(test.y), data.out_features, data.task)
    return _reached(figure, measured)


def _measure(figure: dict[str, Any], outputs: np.ndarray, targets: np.ndarray, width: int, task: str) -> float:
    """The metric of what the submission predicts for the test inputs."""
    if task == "classification" and outputs.ndim == 1 and outputs.dtype.kind in "iu":
        if len(outputs) and not (0 <= outputs.min() and outputs.max() < width):
            raise Wrong(f"expected labels from 0 to {width - 1}, came {outputs.min()} to {outputs.max()}")
        outputs = np.eye(width)[outputs]
    wanted = (len(targets), width)
    if outputs.ndim == 1 and task != "classification":
        outputs = outputs[:, None]
    if outputs.shape != wanted:
        also = f" or labels ({len(targets)},)" if task == "classification" else ""
        raise Wrong(f"expected predictions {wanted}{also}, came {outputs.shape}")
    metric = metric_of(figure)
    try:
        metric.update(outputs.astype(np.float64), targets)
        return float(metric.compute())
    except DlcourseError as error:
        raise Wrong(str(error)) from error


def _reached(figure: dict[str, Any], measured: float) -> str:
    metric = figure["metric"] if isinstance(figure["metric"], str) else figure["metric"]["name"]
    off, bounds = figure["tolerance"], []
    right = True
    if figure["at_least"] is not None:
        bounds.append(f"at least {figure['at_least']:g}")
        right &= measured >= figure["at_least"] - off
    if figure["at_most"] is not None:
        bounds.append(f"at most {figure['at_most']:g}")
        right &= measured <= figure["at_most"] + off
    asked = " and ".join(bounds) + (f" (tolerance {off:g})" if off else "")
    if not right:
        raise Wrong(f"test {metric} {measured:.4g}, expected {asked}")
    return f"test {metric} {measured:.4g}, asked for: {asked}"


_JUDGES = {"part": _judge_part, "value": _judge_value, "gradient": _judge_gradient, "figure": _judge_figure}
