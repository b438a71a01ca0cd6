"""What a plugin's model returns is checked before anything is trained or written."""

from pathlib import Path

import pytest
import yaml

from dlcourse.cli import main

PLUGIN = '''
from dlcourse import nn
from dlcourse.models import Model
from dlcourse.registry import register


@register("model", "t_own")
class Own(Model):
    """One layer.

    Args:
        width: outputs.
        how: what forward returns.
    """

    def __init__(self, in_shape, out_features, width: int = 3, how: str = "outputs"):
        super().__init__(in_shape, out_features)
        self.how, self.layer, self.dropout = how, nn.Linear(self.in_features, width), nn.Dropout(0.5)

    def forward(self, x):
        outputs = self.dropout(self.layer(x))
        if self.how != "nothing":
            return {"outputs": outputs, "tuple": (outputs, x), "array": outputs.data}[self.how]
'''

CONFIG = {
    "device": "cpu",
    "data": {"name": "spirals", "samples": 60, "classes": 3},
    "model": "t_own",
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "metrics": ["accuracy"],
    "train": {"steps": 2},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(PLUGIN)
    Path("own.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


@pytest.mark.parametrize("command", [["run", "own.yaml", "--no-plots"], ["validate", "own.yaml"]])
@pytest.mark.parametrize(
    ("how", "message"), [("nothing", "None: it lacks a return"), ("tuple", "a tuple"), ("array", "a ndarray")]
)
def test_a_model_that_returns_no_tensor_is_refused(
    files: Path, capsys, command: list[str], how: str, message: str
) -> None:
    assert main([*command, f"model.how={how}", "--plugin", "own.py"]) == 2
    warned = capsys.readouterr().err
    assert f"model: t_own.forward has to return a tensor of outputs, and returned {message}" in warned
    assert "Traceback" not in warned and not (files / "runs").exists()


@pytest.mark.parametrize("command", [["run", "own.yaml", "--no-plots"], ["validate", "own.yaml"]])
@pytest.mark.parametrize("width", [3, 4])
def test_more_outputs_than_classes_are_said(files: Path, capsys, command: list[str], width: int) -> None:
    assert main([*command, f"model.width={width}", "--plugin", "own.py"]) == 0
    assert ("the model t_own has 4 outputs, and the data 3 classes" in capsys.readouterr().err) == (width == 4)


def test_fewer_outputs_than_classes_are_refused(files: Path, capsys) -> None:
    assert main(["run", "own.yaml", "model.width=2", "--no-plots", "--plugin", "own.py"]) == 2
    assert "labels are in 0..1, got 0..2: the model has 2 outputs" in capsys.readouterr().err


def test_outputs_beyond_the_classes_are_named_in_a_prediction(files: Path, capsys) -> None:
    assert main(["run", "own.yaml", "model.width=5", "--no-plots", "--plugin", "own.py"]) == 0
    (folder,) = Path("runs/own").iterdir()
    capsys.readouterr()
    assert main(["predict", str(folder), "0.1,0.2", "--plugin", "own.py"]) == 0
    warned = capsys.readouterr().out
    assert "no class (output 3)" in warned and "no class (output 4)" in warned
    assert main(["predict", str(folder), "0.1,0.2", "--plugin", "own.py", "--out", "-"]) == 0
    assert "probability_no class (output 4)" in capsys.readouterr().out.splitlines()[0]
