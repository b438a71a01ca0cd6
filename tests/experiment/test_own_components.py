"""Components of one's own that do not say or do what their base class asks for are refused in one line."""

import json
from pathlib import Path

import pytest
import yaml

from dlcourse.cli import main

PLUGIN = """
from dlcourse.metrics.base import Metric
from dlcourse.models import Model
from dlcourse.nn import Module
from dlcourse.optim import Optimizer
from dlcourse.registry import register

@register("model", "t_bare")
class Bare(Module):
    def __init__(self, in_shape, out_features): pass

@register("metric", "t_bare")
class BareMetric:
    tasks = ("classification",)

@register("metric", "t_untold")
class Untold(Metric):
    def values(self, outputs, targets): return outputs.argmax(axis=1) == targets

@register("metric", "t_mean")
class Mean(Metric):
    tasks = ("classification",)
    def values(self, outputs, targets): return (outputs.argmax(axis=1) == targets).mean()

@register("loss", "t_bare")
class BareLoss: pass

@register("optimizer", "t_bare")
class BareOptimizer:
    def __init__(self, params, lr: float = 0.1): pass

@register("optimizer", "t_no_super")
class NoSuper(Optimizer):
    def __init__(self, params, lr: float = 0.1): self.lr = lr

@register("optimizer", "t_breaks")
class Breaks(Optimizer):
    made = 0
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, lr)
        Breaks.made += 1
        if Breaks.made > 1: raise KeyError("odd")
"""

CONFIG = {
    "device": "cpu",
    "data": {"name": "spirals", "samples": 60, "classes": 3},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "metrics": ["accuracy"],
    "train": {"steps": 2},
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bare.py").write_text(PLUGIN)
    Path("own.yaml").write_text(yaml.safe_dump(CONFIG))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model={name: t_bare}", "model.name: a model derives from dlcourse.models.Model; Bare does not"),
        ("metrics=[t_bare]", "a metric derives from dlcourse.metrics.base.Metric; BareMetric does not"),
        ("loss=t_bare", "a loss derives from dlcourse.nn.Loss; BareLoss does not"),
        ("optimizer.name=t_bare", "an optimizer derives from dlcourse.optim.Optimizer; BareOptimizer does not"),
        ("metrics=[t_untold]", "the data are for classification; where it is for classification"),
        ("metrics=[t_untold]", 'say so in Untold: tasks = ("classification",)'),
        ("optimizer.name=t_no_super", "NoSuper.__init__ has to call super().__init__(params, lr)"),
    ],
)
def test_a_component_that_is_none_is_refused(capsys: pytest.CaptureFixture, override: str, message: str) -> None:
    assert main(["run", "own.yaml", override, "--no-plots", "--plugin", "bare.py"]) == 2
    warned = capsys.readouterr().err
    assert message in warned and "Traceback" not in warned and not Path("runs").exists()


def test_a_run_whose_optimizer_cannot_be_made_has_failed() -> None:
    arguments = ["own.yaml", "optimizer.name=t_breaks", "--no-plots", "--plugin", "bare.py"]
    assert main(["run", *arguments]) == 2
    (path,) = Path("runs").rglob("result.json")
    result = json.loads(path.read_text())
    assert (result["status"], result["error"]) == ("failed", "KeyError: 'odd'")


def test_a_metric_of_one_number_a_batch_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["run", "own.yaml", "metrics=[t_mean]", "--no-plots", "--plugin", "bare.py"]) == 2
    warned = capsys.readouterr().err
    assert (
        "Mean.values has to return an array with a value for each sample, (N,)" in warned and "Traceback" not in warned
    )
