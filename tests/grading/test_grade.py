"""``dlcourse grade``: a right, a wrong and an endless submission, and ones that want to pass without being right."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlcourse import plugins
from dlcourse.cli import main
from dlcourse.config import shipped
from dlcourse.config.reader import parse_yaml
from dlcourse.errors import ConfigError
from dlcourse.grading import grade, worker
from dlcourse.grading.assignment import find_assignment, load_assignment
from dlcourse.grading.grade import CaseResult, grade_submission
from dlcourse.grading.process import Answer

RIGHT = Path(__file__).with_name("right.py").read_text()

ONE = """\
assignment: one
limits: {seconds: 5, memory: 256}
cases:
  - name: doubled
    points: 3
    value: {function: double, arguments: {x: [1.0, 2.0]}, expected: [2.0, 4.0]}
    visibility: after_due_date
    hint: twice each number
"""
DOUBLE = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(ONE)
    return tmp_path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cases run in this process, which is quicker, where a submission is wrong but harmless."""

    def ask(submission: Path, request: dict, arrays: dict, seconds: float, memory: int) -> Answer:
        try:
            message, found = worker._ACTIONS[request["do"]]({**request, "submission": str(submission)}, arrays)
        except BaseException as error:
            return Answer(worker._words(error, str(submission)))
        return Answer("", message, found)

    monkeypatch.setattr(grade, "ask", ask)
    yield
    sys.modules.pop("submission", None)


def one(code: str, **changes: str) -> CaseResult:
    """The result of the one case."""
    Path("it.py").write_text(code)
    text = ONE
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    Path("one.yaml").write_text(text)
    (result,) = grade_submission(load_assignment("one.yaml"), "it.py").cases
    return result


def test_the_example_gives_all_points_to_a_right_submission(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("right.py").write_text(RIGHT)
    assert main(["grade", "softmax_two_layer", "right.py", "--gradescope", "results.json"]) == 0
    assert "20 of 20 points: right.py, softmax-two-layer" in capsys.readouterr().out
    results = json.loads(Path("results.json").read_text())
    assert (results["score"], results["max_score"], len(results["tests"])) == (20, 20, 6)
    for test in results["tests"]:
        assert test["score"] == test["max_score"] and test["status"] == "passed"
        assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}


def test_what_is_wrong_costs_its_own_points(place: Path, here: None, capsys: pytest.CaptureFixture) -> None:
    wrong = RIGHT.replace("p.T @ x / len(x)", "p.T @ x").replace("range(1500)", "range(1)")
    Path("wrong.py").write_text(wrong.replace("scores - scores.max(axis=1, keepdims=True)", "scores"))
    assert main(["grade", "softmax_two_layer", "wrong.py"]) == 1
    messages = capsys.readouterr().out
    assert "9 of 20 points" in messages
    assert "gradient by weight[" in messages and "differences" in messages
    assert "numbers that are not finite" in messages and "take each row's maximum off" in messages
    assert "expected at least 0.95 (tolerance 0.01)" in messages


def test_the_starter_is_written_and_gets_no_points_for_nothing(
    place: Path, here: None, capsys: pytest.CaptureFixture
) -> None:
    assert main(["init", "softmax_two_layer"]) == 0
    assert "dlcourse grade softmax_two_layer softmax_two_layer.py" in Path("softmax_two_layer.py").read_text()
    assert main(["grade", "softmax_two_layer", "softmax_two_layer.py"]) == 1
    messages = capsys.readouterr().out
    assert "1 of 20 points" in messages and "line 25, in softmax_loss: raise NotImplementedError" in messages


ENDLESS = "while True:\n    pass\n"
CHEATS = {
    "endless": (ENDLESS, "not done after 0.3 seconds, and stopped"),
    "prints without end in the function": ("while True:\n    print('x' * 10**6)\n", "not done after"),
    "exit(0)": ("import sys\nsys.exit(0)\n", "the submission calls exit(0)"),
    "_exit(0)": ("import os\nos._exit(0)\n", "ended with exit code 0 before the case was done"),
    "prints points": ("print('{\"score\": 100}')\ndef double(x): return x\n", "expected 4 at [1], came 2"),
    "patches NumPy": (
        "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True\nnp.abs = lambda x: 0 * x\n"
        "def double(x): return x\n",
        "expected 4 at [1], came 2",
    ),
    "patches the grader": (
        "import dlcourse.grading.grade as g, dlcourse.grading.process as p\n"
        "g._JUDGES = {k: lambda *a: 'fine' for k in g._JUDGES}\np.ask = lambda *a: p.Answer()\n"
        "def double(x): return x\n",
        "expected 4 at [1], came 2",
    ),
    "writes to every pipe": (
        "import os\n"
        "for fd in range(3, 64):\n"
        "    try: os.write(fd, (300).to_bytes(8, 'big') + b'{\"score\": 1}' * 25)\n"
        "    except OSError: pass\n",
        "",
    ),
    "a header of another kind": (
        "import os, json\n"
        "h = json.dumps({'a': {'dtype': 'BF16', 'shape': [0], 'data_offsets': [0, 0]}}).encode() + b' ' * 5\n"
        "body = len(h).to_bytes(8, 'little') + h\n"
        "for fd in range(3, 64):\n"
        "    try: os.write(fd, len(body).to_bytes(8, 'big') + body)\n"
        "    except OSError: pass\n",
        "",
    ),
    "closes every pipe": ("import os\nos.closerange(3, 64)\ndef double(x): return 2 * x\n", ""),
    "more memory than is allowed": (
        "import numpy as np\ndef double(x):\n    np.ones(1 << 27)\n    return 2 * x\n",
        "out of memory",
    ),
}


WRONG = {
    "an object that equals all": (
        "class All:\n    def __eq__(self, other): return True\n    shape = (2,)\ndef double(x): return All()\n",
        "expected numbers and arrays, the function returned a All",
    ),
    "not a number": ("def double(x):\n    return x * float('nan')\n", "not finite"),
    "changes its argument": ("def double(x):\n    x *= 2\n    return x\n", "changes its argument x"),
    "returns nothing": ("def double(x):\n    2 * x\n", "None: it lacks a return"),
    "no such function": ("def doubel(x):\n    return 2 * x\n", "no function 'double' (did you mean 'doubel'?)"),
    "raises": ("def double(x):\n    return x.nothing\n", "line 2, in double: return x.nothing"),
    "no Python": ("def double(x:\n", "line 1: SyntaxError"),
    "another parameter": ("def double(y):\n    return 2 * y\n", "double takes (y); the case gives it: x"),
    "one output": ("def double(x):\n    return 2 * x\n", "double returns one value; expected a tuple"),
    "another shape": ("def double(x):\n    return 2 * x[:1]\n", "expected the shape (2,), came (1,)"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_said(fault: str, place: Path, here: None) -> None:
    code, message = WRONG[fault]
    changes = {"x: [1.0, 2.0]}": "x: [1.0, 2.0]}, output: 1"} if fault == "one output" else {}
    result = one(code, **changes)
    assert (result.score, result.status) == (0, "failed")
    assert message in result.output
    no_value = {"an object that equals all", "returns nothing", "no such function", "raises", "no Python", "one output"}
    no_value.add("another parameter")
    assert ("twice each number" in result.output) == (fault not in no_value)


@pytest.mark.parametrize("cheat", CHEATS)
def test_no_submission_passes_without_being_right(cheat: str, place: Path) -> None:
    code, message = CHEATS[cheat]
    started = time.monotonic()
    result = one(code, **({"seconds: 5": "seconds: 0.3"} if "not done" in message else {}))
    assert (result.score, result.status) == (0, "failed")
    assert message in result.output, result.output
    assert time.monotonic() - started < 10
    assert len(result.printed) < 5000


def test_a_right_one_may_print_and_leave_processes_behind(place: Path) -> None:
    leaves = (
        "import os, time\nprint('hello')\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open(PIDS, 'w').write(str(os.getpid()))\n"
        "        time.sleep(60)\n"
        "    os._exit(0)\n"
        "while not os.path.exists(PIDS) or not open(PIDS).read(): time.sleep(0.01)\n"
    ).replace("PIDS", repr(str(place / "pid")))
    result = one(leaves + DOUBLE)
    assert result.passed and result.score == 3 and result.printed.startswith("hello")
    left = int((place / "pid").read_text())
    if Path("/proc/self/stat").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(left, 0)


KINK = """\
assignment: kink
cases:
  - name: the l1 norm
    gradient:
      function: l1
      arguments: {w: [0.0, 1.0, -2.0]}
      with_respect_to: {w: grad.w}
      of: loss
"""
L1 = """\
import numpy as np
def l1(w):
    return {"loss": np.abs(w).sum(), "grad": {"w": np.where(w >= 0, 1.0, -1.0)}}
"""


def test_a_slope_at_a_kink_is_right_and_one_outside_it_is_not(place: Path, here: None) -> None:
    Path("kink.yaml").write_text(KINK)
    for slope, passed, message in (
        ("1.0", True, "1 at a kink"),
        ("1.5", False, "gradient by w[0]: backward gives 1.5"),
    ):
        Path("l1.py").write_text(L1.replace("1.0, -1.0", f"np.where(w == 0, {slope}, 1.0), -1.0"))
        (result,) = grade_submission(load_assignment("kink.yaml"), "l1.py").cases
        assert result.passed == passed and message in result.output


OWN_MODEL = '''
from dlcourse import nn
from dlcourse.models import Model
from dlcourse.registry import register

@register("model", "own")
class Own(Model):
    """One hidden layer."""
    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__(in_shape, out_features)
        self.net = nn.Sequential(nn.Linear(in_shape[0], 16), nn.Tanh(), nn.Linear(16, out_features))

    def forward(self, x):
        return self.net(x)
'''
MODEL_CASES = """\
assignment: model
cases:
  - name: there
    part: {name: own, kind: model}
  - name: learns
    points: 2
    figure:
      data: {name: gaussian_classes, samples: 200, normalize: standardize, split: {test: 0.4}}
      experiment:
        model: own
        loss: cross_entropy
        optimizer: {name: adam, lr: 0.05}
        train: {epochs: 5}
      metric: accuracy
      at_least: 0.8
"""


def test_a_model_of_the_submission_is_trained_by_a_config(place: Path, here: None) -> None:
    Path("model.yaml").write_text(MODEL_CASES)
    Path("it.py").write_text(OWN_MODEL)
    there, learns = grade_submission(load_assignment("model.yaml"), "it.py").cases
    assert there.passed, there.output
    assert learns.passed, learns.output
    plugins._forget(plugins.load("it.py").__name__)  # as a process of its own would not know it
    Path("other.py").write_text(OWN_MODEL.replace("return self.net(x)", "return 0 * self.net(x)"))
    _, learns = grade_submission(load_assignment("model.yaml"), "other.py").cases
    assert not learns.passed and "expected at least 0.8" in learns.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points: 3", "points: many", r"one.yaml:6: cases.0.points: expected a number"),
        ("    hint", "    hnit", r"hnit"),
        ("value:", "gradient:", r"cases.0.gradient"),
        ("x: [1.0, 2.0]", "x: {normel: [2]}", r"cases.0.value.arguments.x: expected one of normal, uniform"),
        ("x: [1.0, 2.0]", "x: {normal: [2], below: 3}", r"normal has no key 'below'"),
        ("x: [1.0, 2.0]", "x: [a, b]", r"expected numbers in lists of equal lengths"),
        ("expected: [2.0, 4.0]", "expected: [[2.0], 4.0]", r"expected a number or lists of equal lengths"),
        ("    value: {", "    part: {name: f}\n    value: {", r"exactly one of part, value, gradient, figure"),
        ("after_due_date", "after", r"visibility"),
        (
            "value: {function: double, arguments: {x: [1.0, 2.0]}, expected: [2.0, 4.0]}",
            "gradient: {function: double, arguments: {x: [1, 2]}, with_respect_to: {x: 1}}",
            r"with_respect_to.x: a gradient needs an array of floating point",
        ),
        ("assignment: one", "assignment: one\nstarter: none.py", r"starter: there is no file"),
        ("x: [1.0, 2.0]", "y: [1.0, 2.0]", r"one.yaml:\d+: cases.0.value.arguments: double takes \(x\), got y"),
        ("cases:", "cases:\n  - {name: there, part: {name: double, parameters: [z]}}", r"\(x\) in the starter, got z"),
        ("value: {function: double, arguments: {x: [1.0, 2.0]}, expected: [2.0, 4.0]}",
            "figure: {function: double, data: {name: spirals, split: {test: 0.3}}, metric: accuracy, at_least: 0.9}",
            r"cases.0.figure.function: double takes \(x\), and is called with three"),
    ],
)  # fmt: skip
def test_a_wrong_assignment_is_said(old: str, new: str, message: str, place: Path) -> None:
    assert old in ONE
    Path("starter.py").write_text(DOUBLE)
    text = ONE if "starter" in new else ONE.replace("cases", "starter: starter.py\ncases")
    Path("one.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_assignment("one.yaml")


def test_all_that_is_wrong_with_an_assignment_comes_in_one_round(place: Path) -> None:
    text = ONE.replace("points: 3", "points: many").replace("x: [1.0, 2.0]", "x: {normel: [2]}")
    text += "  - {name: doubled, value: {function: double, arguments: {z: 1.0}}}\n  - {name: empty}\n"
    text += "  - {name: there, part: {name: double, parameters: [x]}}\n  - {name: half, value: {function: double}}\n"
    Path("one.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_assignment("one.yaml")
    assert [each.path for each in caught.value.problems] == [
        "cases.0.points",
        "cases.0.value.arguments.x",
        "cases.1.name",
        "cases.1.value.arguments",
        "cases.2",
        "cases.4.value.arguments",
    ]


def test_an_assignment_of_one_s_own_begins_with_a_copy(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["init", "softmax_two_layer", "--to", "mine.yaml"]) == 0
    assert main(["validate", "mine.yaml"]) == 0
    capsys.readouterr()
    assert main(["schema", "--assignment"]) == 0
    schema = json.loads(capsys.readouterr().out)
    name = Path("mine.yaml").read_text().partition("\n")[0].removeprefix("# yaml-language-server: $schema=")
    assert json.loads(Path(name).read_text()) == schema
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(parse_yaml(Path("mine.yaml").read_text(), "mine.yaml").data, schema)
    with pytest.raises(jsonschema.ValidationError, match="pionts"):
        wrong = parse_yaml(ONE.replace("points", "pionts"), "one.yaml").data
        jsonschema.validate(wrong, schema)


def test_gradescope_hears_that_the_file_is_missing(place: Path) -> None:
    assert main(["grade", "one.yaml", "none.py", "--gradescope", "results.json"]) == 2
    results = json.loads(Path("results.json").read_text())
    assert (results["score"], results["max_score"]) == (0, 3) and "none.py: no such file" in results["output"]


def test_an_assignment_is_no_experiment(place: Path, capsys: pytest.CaptureFixture) -> None:
    path = find_assignment("softmax_two_layer")
    assert not [each for each in shipped() if "assignment" in str(each)]
    assert main(["list", "configs"]) == 0
    assert "softmax_two_layer" in (messages := capsys.readouterr().out) and "assignment, for dlcourse grade" in messages
    assert main(["validate", str(path)]) == 0
    assert "ok, an assignment: 6 cases, 20 points" in capsys.readouterr().out
    assert main(["run", str(path)]) == 2
    assert "dlcourse grade" in capsys.readouterr().err
    assert main(["validate", "softmax_two_layer"]) == 0
    assert "softmax_two_layer: ok" in capsys.readouterr().out
    assert main(["init", "spirals"]) == 0
    for arguments, message in (
        (["init", "softmax_two_layr"], "did you mean 'softmax_two_layer'"),
        (["grade", "softmax_two", "it.py"], "did you mean 'softmax_two_layer'"),
        (["grade", "one.yaml", "none.py"], "none.py: no such file"),
        (["grade", "it.py", "one.yaml"], "expected an assignment first"),
        (["grade", "spirals.yaml", "it.py"], "is an experiment and no assignment"),
        (["grade", "one.yaml", "one.yaml"], "ends in .py"),
        (["grade", "one.yaml", "none.py", "--gradescope", "no/r.json"], "there is no folder no"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
