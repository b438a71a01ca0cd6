"""The command line: what it finds, what it says, which exit code it ends with."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dlcourse import __version__, cli, config, errors, plugins, registry
from dlcourse.resources import configs_folder
from dlcourse.training.signals import Signals

POLYNOMIAL = """\
# A cubic.
name: cubic
data: {name: polynomial_curve, samples: 40, split: {val: 0.25}}
model: {name: polynomial, degree: 3}
loss: half_sse
optimizer: least_squares
metrics: [mse]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cubic.yaml"
    path.write_text(POLYNOMIAL)
    return path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """A command ``trial`` whose main is what a test says."""

    def make(main, add_arguments=lambda parser: None) -> None:
        module = ModuleType("dlcourse.commands.trial")
        module.HELP, module.add_arguments, module.main = "try something", add_arguments, main
        monkeypatch.setitem(sys.modules, module.__name__, module)
        names = [*cli.command_names(), "trial"]
        monkeypatch.setattr(cli, "command_names", lambda: names)

    return make


def fresh(*arguments: str, **settings) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    code = "import sys; from dlcourse.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *arguments], text=True, **settings)


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_the_program_is_loaded(number: int) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dlcourse", "show", "cubic.yaml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:  # each module as it has been imported
        if "argparse" in line:
            break
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert f"dlcourse: error: interrupted by {signal.Signals(number).name}\n" in err and "Traceback" not in err


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    names = cli.command_names()
    assert {"validate", "list", "schema", "init", "show"} <= set(names)
    for name in names:
        assert f"\n  {name}  " in printed.replace(f"{name} ", f"{name}  ")
    assert "examples:" in printed
    assert cli.main([]) == 0
    assert capsys.readouterr().out == printed
    assert cli.main(["explain", "--help"]) == 0
    assert "...." not in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.command_names())
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: dlcourse {name}")
    assert "--traceback" in printed


def test_help_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "run"]) == 0
    assert "usage: dlcourse run" in capsys.readouterr().out
    assert cli.main(["help"]) == 0
    assert "commands:\n" in capsys.readouterr().out
    assert cli.main(["help", "--help"]) == 0
    assert "commands:\n" in capsys.readouterr().out
    assert cli.main(["help", "rum"]) == 2
    assert "no command 'rum' (did you mean 'run'?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--epochs", "3"], "train.epochs=3"),
        (["--epoch", "3"], "train.epochs=3"),
        (["--batch-size=64"], "train.batch_size=64"),
        (["--lr", "0.1", "seed=1"], "optimizer.lr=0.1"),
        (["--model.hidden", "64"], "model.hidden=64"),
        (["--seed", "seed=1"], "seed=..."),
        (["--devise", "cpu"], "did you mean '--device'?"),
        (["--gpu"], "did you mean '--device cuda'?"),
    ],
)
def test_an_option_that_is_a_key_of_configs(words: list[str], meant: str, file: Path, capsys) -> None:
    assert cli.main(["run", "cubic.yaml", *words]) == 2
    err = capsys.readouterr().err
    assert meant in err and f"no option {words[0]!r}" in err
    if "did you mean" not in meant:
        assert cli.main(["validate", "cubic.yaml", *words]) == 2
        assert meant in capsys.readouterr().err


def test_a_config_of_the_catalog_by_its_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rent_line", "rent-line", "02_machine_learning/rent_line"):
        assert cli.main(["show", name, "--config-only"]) == 0
        assert "name: rent-line\n" in capsys.readouterr().out
    assert cli.main(["show", "rent_lin"]) == 2
    assert "did you mean" in capsys.readouterr().err
    file.rename("rent_line")  # a file of that name comes first
    assert cli.main(["show", "rent_line", "--config-only"]) == 0
    assert "name: cubic\n" in capsys.readouterr().out


def test_epochs_replace_steps(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(POLYNOMIAL + "train: {steps: 5}\n")
    assert cli.main(["show", "cubic.yaml", "--config-only", "train.epochs=3"]) == 0
    printed = capsys.readouterr()
    assert "epochs: 3\n  steps: null\n" in printed.out
    assert printed.err == "dlcourse: note: train.epochs=3 replaces the config's train.steps=5\n"
    assert cli.main(["show", "cubic.yaml", "train.epochs=3", "train.steps=4"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_one_number_where_a_list_goes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "cubic.yaml", "--config-only", "model={name: mlp, hidden: 64}"]) == 0
    assert "hidden: [64]" in capsys.readouterr().out.replace("\n  - 64", " [64]")
    assert cli.main(["show", "cubic.yaml", "model={name: mlp, hidden: 0}"]) == 2
    assert "model.hidden.0: expected a whole number of at least 1, got 0" in capsys.readouterr().err
    assert cli.main(["show", "cubic.yaml", "train.evaluate=test"]) == 2
    assert "expected a list, got 'test': write [test]" in capsys.readouterr().err


def test_after_an_interruption_the_command_that_goes_on(file: Path, monkeypatch, capsys) -> None:
    file.write_text(POLYNOMIAL.replace("least_squares", "{name: sgd, lr: 0.01}") + "train: {steps: 50}\n")

    after_step = Signals.after_step

    def interrupted(self, trainer) -> None:
        if trainer.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        after_step(self, trainer)

    monkeypatch.setattr(Signals, "after_step", interrupted)
    assert cli.main(["run", "cubic.yaml", "--quiet", "--device", "cpu"]) == 130
    (run,) = Path("runs/cubic").iterdir()
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == f"to go on: dlcourse run --resume {run} --device cpu"
    monkeypatch.undo()
    monkeypatch.chdir(file.parent)
    assert cli.main(["run", "--resume", "runs/cubic", "train.epochs=9"]) == 2
    assert "this run is as long as train.steps=50 says; raise that" in capsys.readouterr().err
    assert cli.main(["run", "--resume", "runs/cubic", "--quiet", "--no-plots"]) == 0  # the folder of one run
    assert capsys.readouterr().out == f"{run}\n"
    assert json.loads((run / "result.json").read_text())["step"] == 50
    (run.parent / "2").mkdir()
    (run.parent / "2" / "config.yaml").touch()
    assert cli.main(["run", "--resume", "runs/cubic"]) == 2
    assert f"it holds 2 runs, the newest is {run}" in capsys.readouterr().err
    assert cli.main(["evaluate", "runs"]) == 2
    assert f"it holds 2 runs, the newest is {run}" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dlcourse {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["no-such-command"]])
def test_nothing_heavy_is_imported_for_a_word_of_help(arguments: list[str]) -> None:
    code = (
        "import sys; from dlcourse.cli import main; main(sys.argv[1:]);"
        "print([m for m in ('numpy', 'pydantic', 'yaml', 'matplotlib') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_python_m(file: Path) -> None:
    root = Path(cli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "dlcourse", "validate", "cubic.yaml"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cubic.yaml: ok\n", "")


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vaildate"], "no command 'vaildate' (did you mean 'validate'?); there are: "),
        (["cubic.yaml"], "'cubic.yaml' is no command; to run that config: dlcourse run cubic.yaml"),
        (["validate"], "the following arguments are required: CONFIG; see dlcourse validate --help"),
        (["show"], "the following arguments are required: CONFIG; see dlcourse show --help"),
        (["show", "cubic.yaml", "--config-onyl"], "no option '--config-onyl' (did you mean '--config-only'?); see "),
        (["--traceb", "list"], "unrecognized arguments: --traceb; see dlcourse --help"),
        (["list", "modle"], "nothing of kind 'modle' (did you mean 'model'?); the kinds are: data, model, "),
        (["init", "polynomial_overfiting"], "no config 'polynomial_overfiting' comes with the program (did you mean "),
        (["--plugin", "none.py", "list"], "plugin "),
        (["show", "cubic.yaml", "model.degree=x"], "command line: model.degree: expected a whole number, got 'x'"),
        (["show", "cubic.yml"], "cubic.yml: no such file; did you mean cubic.yaml?"),
    ],
)
def test_one_line_and_exit_code_2(
    file: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"dlcourse: error: {message}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_several_problems(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "cubic.yaml", "model.degree=x", "seed=-1"]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "dlcourse: error: 2 problems:"
    assert [line.split(": expected")[0] for line in lines] == ["command line: seed", "command line: model.degree"]


class CUDARuntimeError(RuntimeError):
    """As CuPy names it."""

    status = 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.UserError("wrong"), 2, "wrong"),
        (errors.DeviceError("no GPU"), 3, "no GPU"),
        (errors.DivergenceError("NaN in step 3"), 4, "NaN in step 3"),
        (errors.DlcourseError("offline"), 1, "offline"),
        (errors.Interrupted("stopped", 15), 143, "stopped"),
        (errors.Interrupted("stopped", 2), 130, "stopped"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 1, "runs/x: No space left on device"),
        (MemoryError(), 1, "out of memory"),
        (CUDARuntimeError("cudaMalloc failed"), 1, "out of memory: cudaMalloc failed"),
    ],
)
def test_exit_codes(error: BaseException, code: int, message: str, command, capsys: pytest.CaptureFixture[str]) -> None:
    def main(args) -> int:
        raise error

    command(main)
    assert cli.main(["trial"]) == code
    assert capsys.readouterr().err == f"dlcourse: error: {message}\n"
    for arguments in (["--traceback", "trial"], ["trial", "--traceback"]):
        assert cli.main(arguments) == code
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_error_of_ours_shows_where(command, capsys: pytest.CaptureFixture[str]) -> None:
    command(lambda args: 1 // 0)
    assert cli.main(["trial"]) == 1
    printed = capsys.readouterr().err
    assert "ZeroDivisionError" in printed
    assert printed.endswith(
        "dlcourse: error: this is an error in dlcourse itself; please report it with what stands above\n"
    )


def test_the_commands_own_exit_code(command) -> None:
    command(lambda args: 7)
    assert cli.main(["trial"]) == 7


def test_values_may_stand_between_options(command) -> None:
    seen = []

    def add_arguments(parser) -> None:
        parser.add_argument("config")
        parser.add_argument("overrides", nargs="*")
        parser.add_argument("--out")

    command(lambda args: seen.append((args.config, args.overrides, args.out)) or 0, add_arguments)
    assert cli.main(["trial", "a.yaml", "x=1", "--out", "runs", "y=2"]) == 0
    assert cli.main(["trial", "--out=runs", "a.yaml"]) == 0
    assert seen == [("a.yaml", ["x=1", "y=2"], "runs"), ("a.yaml", [], "runs")]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_closed_pipe_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = fresh("schema", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_standard_output_that_the_shell_closed(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # What Python makes of `dlcourse list >&-`.
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = fresh("schema", stdout=full, stderr=subprocess.PIPE)
    assert done.stderr.startswith("dlcourse: error: standard output: No space left on device\n")
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_plugins_come_first(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in registry.KINDS:
        registry.names(kind)
        monkeypatch.setitem(registry.registered, kind, dict(registry.registered[kind]))
    Path("own.py").write_text(
        "from dlcourse.metrics.base import Metric\nfrom dlcourse.registry import register\n\n\n"
        "@register('metric', 'own_metric')\nclass Own(Metric):\n    'Mine.'\n"
    )
    file.write_text(POLYNOMIAL.replace("[mse]", "[own_metric]"))
    assert cli.main(["validate", "cubic.yaml"]) == 2
    assert "no metric 'own_metric'" in capsys.readouterr().err
    assert cli.main(["validate", "cubic.yaml", "--plugin", "own.py"]) == 0
    assert cli.main(["--plugin=own.py", "validate", "cubic.yaml"]) == 0


def test_a_mistake_in_a_component_file_is_its_authors(
    file: Path, command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("dlcourse_plugin_")]:
        monkeypatch.delitem(sys.modules, name)
    Path("own.py").write_text("def forward(x):\n    return x.tahn()\n")
    own = plugins.load("own.py")
    command(lambda args: own.forward(3))
    assert cli.main(["trial"]) == 2
    expected = "dlcourse: error: component file own.py, line 2: AttributeError: 'int' object has no attribute 'tahn'\n"
    assert capsys.readouterr().err == expected
    assert cli.main(["trial", "--traceback"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    command(lambda args: own.forward())  # Called wrongly: it is unknown whose mistake it is.
    assert cli.main(["trial"]) == 1
    assert capsys.readouterr().err.endswith(
        "dlcourse: error: an error in own.py or in dlcourse: see what stands above\n"
    )
    del sys.modules[own.__name__]


# --- commands ---------------------------------------------------------------------------------------------------------


def test_validate(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("wrong.yaml").write_text(POLYNOMIAL.replace("degree: 3", "degre: x, basis: 1"))
    sweep = POLYNOMIAL + "sweep:\n  zip: {model.degree: [1, 2],\n    seed: [1]}\n"
    Path("sweep.yaml").write_text(sweep)
    # Each of these values is right by itself; two of them are not together.
    meeting = POLYNOMIAL.replace("optimizer: least_squares", "optimizer: adam")
    Path("meeting.yaml").write_text(meeting + "sweep: {grid: {optimizer: [adam, least_squares], train.l2: [0, 1]}}\n")
    assert cli.main(["validate", "cubic.yaml"]) == 0
    assert capsys.readouterr().out == "cubic.yaml: ok\n"
    assert cli.main(["validate", "meeting.yaml"]) == 2
    assert "train.l2: has no effect with the optimizer least_squares" in capsys.readouterr().err
    assert cli.main(["validate", "wrong.yaml", "cubic.yaml", "sweep.yaml", "none.yaml"]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "wrong.yaml: 3 problems",
        "cubic.yaml: ok",
        "sweep.yaml: 1 problem",
        "none.yaml: 1 problem",
    ]
    assert [line.split(": ")[:2] for line in printed.err.splitlines()] == [
        ["wrong.yaml:4", "model.degre"],
        ["wrong.yaml:4", "model.degree"],
        ["wrong.yaml:4", "model.basis"],
        ["sweep.yaml:9", "sweep.zip"],
        ["none.yaml", "no such file; `dlcourse list configs` shows those that come with the program"],
    ]


def test_validate_reads_small_data_files(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flats.csv").write_text("area,city,rent\n" + "".join(f"{i},{'xyz'[i % 3]},{2 * i}\n" for i in range(30)))
    Path("metric.csv").write_text("area,rent\n" + "".join(f'"{i},5",{i}\n' for i in range(30)))
    np.savez("labels.npz", x=np.ones((65, 3), "f"), y=np.arange(65) % 2)
    rest = "optimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 1, batch_size: 32}\n"
    csv = "data: {name: csv, path: %s, target: %s}\nmodel: linear\nloss: mse\n" + rest
    arrays = "data: {name: arrays, path: labels.npz}\nmodel: {name: mlp, hidden: [2]}\nloss: %s\n" + rest
    wrong = {
        "labels.yaml": (arrays % "mse", "labels.yaml:3: loss.name: mse is for regression"),
        "city.yaml": (csv % ("flats.csv", "city"), "city.yaml:3: loss.name: mse is for regression"),
        "column.yaml": (csv % ("flats.csv", "price"), "flats.csv has no column 'price'"),
        "commas.yaml": (csv % ("metric.csv", "rent"), "metric.csv, row 2: column 'area' has '0,5'"),
    }
    right = {
        "right.yaml": csv % ("flats.csv", "rent"),
        "classes.yaml": arrays % "cross_entropy",
        "later.yaml": csv % ("not_there_yet.csv", "rent"),
    }
    for name, content in (*right.items(), *((name, content) for name, (content, _) in wrong.items())):
        Path(name).write_text(content)
    assert cli.main(["validate", *right]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert cli.main(["validate", *wrong]) == 2
    printed = capsys.readouterr()
    for name, (_, message) in wrong.items():
        assert f"{name}: " in printed.out and message in printed.err, name
    monkeypatch.setattr("dlcourse.commands.validate.MAX_FILE_BYTES", 100)  # large files are not read
    assert cli.main(["validate", *wrong]) == 0


def test_all_configs_of_the_course_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(configs_folder() / path) for path in config.shipped()]
    assert len(paths) >= 10
    assert cli.main(["validate", *paths]) == 0, capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    everything = capsys.readouterr().out
    for kind in registry.KINDS:
        assert f"{kind}: " in everything
        for name in registry.names(kind):
            assert f"\n  {name}" in everything
    for path in config.shipped():
        assert path.with_suffix("").as_posix() in everything
    assert "  train: {epochs, steps, seed, batch_size" in everything
    assert cli.main(["list", "train"]) == 0
    assert "epochs: null  (whole number" in capsys.readouterr().out
    assert cli.main(["list", "split"]) == 0
    assert "  data.split:\n      train: null" in capsys.readouterr().out
    assert cli.main(["list", "augment"]) == 0 and cli.main(["list", "sweep"]) == 0
    capsys.readouterr()
    assert cli.main(["list", "models", "-v"]) == 0
    verbose = capsys.readouterr().out
    assert "degree: required  (whole number >= 1 and <= 30) the highest power." in verbose
    assert "basis: legendre  (legendre | chebyshev | power)" in verbose
    assert cli.main(["list", "optimizer", "-v"]) == 0
    assert "every optimizer also has\n      schedule: null  (a schedule | null)" in capsys.readouterr().out


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == config.json_schema()


def test_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    original = configs_folder() / "02_machine_learning" / "polynomial_overfitting.yaml"
    assert cli.main(["init", "polynomial_overfitting"]) == 0
    copy = tmp_path / "polynomial_overfitting.yaml"
    schema_line = b"# yaml-language-server: $schema=dlcourse.schema.json\n"
    assert copy.read_bytes() == schema_line + original.read_bytes()
    assert config.load(copy).description == config.load(original).description
    schema = tmp_path / "dlcourse.schema.json"
    assert json.loads(schema.read_text()) == config.json_schema()
    assert "dlcourse run polynomial_overfitting.yaml" in capsys.readouterr().out
    schema.write_text('{"title": "another program\'s"}')
    copy.write_text("mine")
    assert cli.main(["init", "02_machine_learning/polynomial_overfitting.yaml"]) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert copy.read_text() == "mine"
    assert cli.main(["init", "configs/02_machine_learning/polynomial_overfitting.yaml", "--force"]) == 0
    assert copy.read_bytes() == schema_line + original.read_bytes()
    assert "another program" in schema.read_text() and "stays" in capsys.readouterr().out
    (tmp_path / "folder").mkdir()
    assert cli.main(["init", "polynomial_overfitting", "--to", "folder"]) == 0
    assert cli.main(["init", "polynomial_overfitting", "--to", "folder/other.yaml"]) == 0
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        "dlcourse.schema.json",
        "other.yaml",
        "polynomial_overfitting.yaml",
    ]
    assert cli.main(["init", "polynomial_overfitting", "--to", "nowhere/x.yaml"]) == 2
    capsys.readouterr()
    assert cli.main(["init"]) == 0
    assert "02_machine_learning/polynomial_overfitting" in capsys.readouterr().out


def test_show_prints_a_config_that_runs_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "cubic.yaml", "model.degree=5"]) == 0
    printed = capsys.readouterr().out
    Path("again.yaml").write_text(printed)
    assert config.load("again.yaml").data == config.load("cubic.yaml", ["model.degree=5"]).data
    assert printed.startswith("# A cubic.\nname: cubic\n")
    assert "# (model)  PolynomialModel  (N, 1)" in printed
    assert "# parameters        6, 24 B" in printed
    assert cli.main(["show", "cubic.yaml", "--config-only"]) == 0
    assert "PolynomialModel" not in capsys.readouterr().out
    Path("run").mkdir()
    Path("again.yaml").rename("run/config.yaml")
    assert cli.main(["show", "run"]) == 0  # of a run's folder its config
    assert capsys.readouterr().out == printed


def test_show_of_a_model_that_keeps_its_samples(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = "data={name: gaussian_classes, samples: 30}"
    assert cli.main(["show", "cubic.yaml", data, "model=knn", "optimizer=closed_form", "loss=null", "metrics=[]"]) == 0
    assert "(model)  KNN    (N, 3)" in capsys.readouterr().out


class Trial:
    """A command with one input."""

    @staticmethod
    def add_arguments(parser) -> None:
        parser.add_argument("input")
        parser.add_argument("more", nargs="*")
        parser.add_argument("--seed", type=int)


@pytest.mark.parametrize(
    "given",
    ["-0.5,0.3", "-1", "-1e3", "-.5", "-.5,2", "-inf", "-nan,1", "-", "-1;2", "-5 and more", "-∞", "-0x1F", "-1_000"],
)
def test_what_begins_with_a_minus_and_a_number_is_an_input(given: str) -> None:
    seed = ["--seed", "-3"]
    for argv in ([given], [*seed, given], [given, *seed], ["--", given], [*seed, "--", given]):
        parser = cli._Parser(prog="trial")
        Trial.add_arguments(parser)
        assert parser.parse_all(argv).input == given
    parser = cli._Parser(prog="trial")
    Trial.add_arguments(parser)
    assert parser.parse_all([given, "a", "-2,3", "--", "--seed", "-x"]).more == ["a", "-2,3", "--seed", "-x"]


@pytest.mark.parametrize("given", ["-x", "-infinite", "-x=3", "--sed", "--sed=3"])
def test_other_words_with_a_dash_are_options(given: str) -> None:
    parser = cli._Parser(prog="trial")
    Trial.add_arguments(parser)
    with pytest.raises(errors.UserError, match=f"no option '{given}'"):
        parser.parse_all(["a", given])


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cuda:-1", "gpu", "CPU", "cuda:12345", "cpu:0", ""])
def test_a_device_of_no_such_name_is_the_users_mistake(name: str, file: Path, capsys) -> None:
    meant = " (did you mean 'cuda'?)" if name == "gpu" else ""
    if name:
        assert cli.main(["run", "cubic.yaml", "--device", name]) == 2
        assert f"no device {name!r}: expected auto, cpu, cuda or cuda:N" in capsys.readouterr().err
    assert cli.main(["run", "cubic.yaml", f"device={name!r}"]) == 2
    err = capsys.readouterr().err
    assert "device: expected auto, cpu, cuda or cuda:N" in err and meant in err


def test_an_interruption_is_no_exception() -> None:
    assert not issubclass(errors.Interrupted, Exception)
    assert errors.named(errors.Interrupted("interrupted by SIGTERM", 15)) == "interrupted by SIGTERM"


def test_compare_writes_csv_and_nothing_else(capsys) -> None:
    for name in ("x.tex", "x.xlsx", "x.md"):
        assert cli.main(["compare", "runs", "--csv", name]) == 2
        assert "this writes comma-separated values; give a name that ends in .csv" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--to", "--csv"])
def test_compare_needs_the_folder_of_what_it_writes(option, capsys) -> None:
    assert cli.main(["compare", "runs", option, "missing/x.csv"]) == 2
    assert f"{option} missing/x.csv: there is no folder missing" in capsys.readouterr().err


def test_a_data_sets_image_is_a_png_and_nothing_else(capsys, tmp_path) -> None:
    images = ["data", "info", "synthetic_images", "samples=20", "classes=2", "image_size=4"]
    assert cli.main([*images, "--image", str(tmp_path / "x.pdf")]) == 2
    assert "this writes a PNG; give a name that ends in .png" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_validate_takes_changes_as_run_does(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "rent_line"]) == 0
    assert cli.main(["validate", "rent_line.yaml", "seed=3"]) == 0
    for change, messages in (("seed=-1", "seed: expected a whole number of at least 0"), ("train.ema=1", "below 1")):
        assert cli.main(["validate", "rent_line.yaml", change]) == 2
        assert messages in capsys.readouterr().err
