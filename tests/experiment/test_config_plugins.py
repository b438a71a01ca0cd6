"""``plugins: [my_parts.py]`` in a config: refused, allowed, kept in the run."""

import os
import sys
from pathlib import Path

import pytest

import dlcourse as dl
from dlcourse import config, plugins
from dlcourse.cli import main
from dlcourse.errors import ConfigError, UserError
from dlcourse.experiment import evaluate_run
from dlcourse.sweeps import run_sweep

PARTS = '''
from dlcourse import nn, functional as F
from dlcourse.models import Model
from dlcourse.registry import register


@register("model", "own_net")
class OwnNet(Model):
    """W2 tanh(W1 x + b1) + b2."""

    def __init__(self, in_shape: tuple[int, ...], out_features: int, width: int = 4):
        super().__init__(in_shape, out_features)
        self.first, self.second = nn.Linear(in_shape[0], width), nn.Linear(width, out_features)

    def forward(self, x):
        return self.second(F.tanh(self.first(x)))
'''
CONFIG = """\
name: own
plugins: [my_parts.py]
data: {name: spirals, samples: 90}
model: {name: own_net, width: 3}
loss: cross_entropy
optimizer: {name: adam, lr: 0.01}
metrics: [accuracy]
train: {steps: 2}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("my_parts.py").write_text(PARTS)
    Path("my.yaml").write_text(CONFIG)
    return tmp_path


def forget() -> None:
    """As a new process would: no file has been imported."""
    for name in [name for name in sys.modules if name.startswith("dlcourse_plugin_")]:
        plugins._forget(name)
        del sys.modules[name]


def test_a_config_runs_code_only_where_it_is_allowed(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["validate", "my.yaml"]) == 2
    assert "my.yaml:2: plugins.0: this config asks to run the Python file" in (messages := capsys.readouterr().err)
    assert "--allow-code" in messages and "--plugin" in messages and "allow_code=True" in messages
    assert not plugins.loaded()
    assert main(["validate", "my.yaml", "--allow-code"]) == 0
    assert not plugins.code_allowed(), "for that command only"
    forget()
    assert main(["validate", "my.yaml", "--plugin", "my_parts.py"]) == 0


def test_a_run_keeps_a_copy_and_goes_on_with_it(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "my.yaml", "--allow-code", "--quiet", "--no-plots"]) == 0
    run = Path(capsys.readouterr().out.strip())
    assert "plugins: [plugins/my_parts.py]" in (run / "config.yaml").read_text()
    assert (run / "plugins" / "my_parts.py").read_text() == PARTS
    forget()
    os.remove("my_parts.py")
    assert main(["evaluate", str(run)]) == 2
    assert "--allow-code" in capsys.readouterr().err
    for command in (["evaluate", str(run)], ["run", "--resume", str(run), "train.steps=4", "--quiet", "--no-plots"]):
        forget()
        assert main([*command, "--allow-code"]) == 0
    assert "plugins: [plugins/my_parts.py]" in (run / "config.yaml").read_text()
    forget()
    moved = run.rename(place / "moved")
    assert main(["run", str(moved / "config.yaml"), "--allow-code", "--fast-dev-run"]) == 0
    forget()
    trained = dl.load_run(moved, allow_code=True)
    assert trained.model.second.weight.shape == (3, 3)
    assert "accuracy" in evaluate_run(trained)["train"] and not plugins.loaded()


def test_from_python_a_file_that_changed_is_imported_anew(place: Path) -> None:
    with pytest.raises(ConfigError, match="allow_code=True"):
        dl.run("my.yaml", quiet=True, plots=False)
    first = dl.run("my.yaml", quiet=True, plots=False, allow_code=True)
    assert not hasattr(first.model, "mark")
    Path("my_parts.py").write_text(PARTS + "        \n    mark = 1\n")
    assert dl.run("my.yaml", quiet=True, plots=False, allow_code=True).model.mark == 1
    with pytest.warns(UserWarning, match="the run's own copy is used"):
        assert not hasattr(dl.load_run(first.folder).model, "mark")


def test_a_sweep_in_processes_knows_them(place: Path, capsys: pytest.CaptureFixture) -> None:
    points = ["sweep={grid: {model.width: [2, 3]}}", "--jobs", "2", "--no-plots", "--quiet"]
    assert main(["sweep", "my.yaml", *points, "--allow-code"]) == 0
    sweep = Path(capsys.readouterr().out.strip())
    assert len(list(sweep.glob("points/*/plugins/my_parts.py"))) == 2
    forget()
    grid = {"sweep": {"grid": {"model.width": [2, 3]}}}
    with pytest.raises(ConfigError, match="allow_code=True"):
        run_sweep("my.yaml", overrides=grid, quiet=True, plots=False)
    assert run_sweep("my.yaml", overrides=grid, quiet=True, plots=False, allow_code=True).exit_code == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("[my_part.py]", "no such file: .*my_part.py .did you mean 'my_parts.py'"),
        ("{a: 1}", "expected a list"),
        ("[3]", r"plugins\.0: expected text|plugins"),
        ("[my.yaml]", "its name must end in .py"),
        ("[bad.py]", "line 1: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_said(place: Path, files: str, message: str) -> None:
    Path("my.yaml").write_text(CONFIG.replace("[my_parts.py]", files))
    Path("bad.py").write_text("1 / 0\n")
    with plugins.allowing_code(), pytest.raises(UserError, match=message):
        config.load("my.yaml")


def test_one_name_by_itself_is_a_list_of_one(place: Path) -> None:
    with plugins.allowing_code():
        loaded = config.load("my.yaml", {"plugins": "my_parts.py"})
    assert loaded.data["plugins"] == [str(place / "my_parts.py")]


def test_a_file_that_was_moved_is_named_anew(place: Path, capsys: pytest.CaptureFixture) -> None:
    os.mkdir("elsewhere")
    os.rename("my_parts.py", "elsewhere/my_parts.py")
    assert main(["run", "my.yaml", "--plugin", "elsewhere/my_parts.py", "--quiet", "--no-plots"]) == 0
    run = Path(capsys.readouterr().out.strip())
    assert "plugins: [plugins/my_parts.py]" in (run / "config.yaml").read_text()


def test_two_files_that_take_one_name_are_both_named(place: Path) -> None:
    Path("other.py").write_text(PARTS + "\n# not the same\n")
    plugins.load("other.py")
    with plugins.allowing_code(), pytest.raises(UserError, match="OwnNet of .*other.py and OwnNet of .*my_parts.py"):
        config.load("my.yaml")


def test_a_sweep_does_not_vary_the_files(place: Path) -> None:
    with plugins.allowing_code(), pytest.raises(UserError, match="cannot vary the files"):
        config.load("my.yaml", {"sweep": {"grid": {"plugins": [["my_parts.py"], []]}}})


def test_an_unknown_name_mentions_plugins(place: Path) -> None:
    Path("my.yaml").write_text(CONFIG.replace("plugins: [my_parts.py]\n", ""))
    with pytest.raises(UserError, match=r"no model 'own_net' .*--plugin FILE.py, or plugins: \[FILE.py\]"):
        config.load("my.yaml")
