"""``dlcourse check FILE.py`` and ``dlcourse init --plugin KIND``: sound templates, and faults that are found."""

from pathlib import Path

import pytest

import dlcourse as dl
from dlcourse import registry
from dlcourse.checks import check_file
from dlcourse.checks.file import check_component
from dlcourse.cli import main
from dlcourse.commands.init import KINDS

RUNS = {
    "layer": ["model=my_layer_net"],
    "model": ["model={name: my_model, width: 4}"],
    "data": ["data={name: my_data, samples: 40}"],
    "metric": ["metrics=[my_metric]"],
    "loss": ["loss=my_loss"],
    "optimizer": ["optimizer=my_optimizer"],
}
SPIRALS = """\
data: {name: spirals, samples: 60}
model: {name: mlp, hidden: [4]}
loss: cross_entropy
optimizer: {name: adam, lr: 0.01}
metrics: [accuracy]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_holds_to_everything_and_runs(kind: str, place: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["init", "--plugin", kind]) == 0
    file = f"my_{kind}.py"
    assert f"dlcourse check {file}" in Path(file).read_text(), "its own name stands in it"
    assert main(["check", file]) == 0
    table = capsys.readouterr().out
    assert "WRONG" not in table and "properties hold" in table
    Path("spirals.yaml").write_text(SPIRALS + f"plugins: [{file}]\n")
    assert main(["run", "spirals.yaml", "--allow-code", "--fast-dev-run", "--no-plots", *RUNS[kind]]) == 0


X = "x * self.s"
FAULTS = {
    "a term of dx is missing": ("layer", "(self.s + self.a * slope)", "self.s", "gradient of the input"),
    "no gradient of a": ("layer", "return dx, da", "return dx, None", "every parameter gets a gradient"),
    "no gradient of x": ("layer", "return dx, da", "return None, da", "gradient, float64"),
    "x is changed": ("layer", f"return {X}", f"x *= self.s\n        return {X}", "inputs unmodified"),
    "float64 inside": ("layer", f"return {X}", f"return {X} * np.ones(1)", "dtype"),
    "draws without a seed": ("layer", f"return {X}", f"return {X} + np.random.rand()", "same seed, same result"),
    "weights without a seed": (
        "layer",
        'np.ones(features, "float32")',
        'np.random.rand(features).astype("float32")',
        "same seed, same result",
    ),
    "batch statistics in eval": ("layer", "apply(Ga", "x.mean(axis=0) + apply(Ga", "samples apart in eval"),
    "no row for a sample": ("model", "return self.second(", "return self.second.weight * (", "shape"),
    "a state outside the state dict": (
        "model",
        "F.relu(self.first(rows))",
        "F.relu(self.first(rows) * self.own)",
        "state dict, there and back",
    ),
    "another width": ("model", "(width, out_features)", "(width, out_features + 1)", "shape"),
    "raises": ("model", "rows = x.", "rows = x.y.", "shape"),
    "a sum called a mean": ("loss", ".mean()", ".sum()", "batch of a batch"),
    "overflows": ("loss", "F.log_softmax(logits)[", "(logits - logits.exp().sum(1, keepdims=True).log())[", "large"),
    "no scalar": ("loss", ".mean()", "", "shape"),
    "labels are changed": ("loss", "rows = ", "labels[...] = 0\n        rows = ", "inputs unmodified"),
    "a mean of means": ("metric", "    def values", MEANS := '''\
    def update(self, outputs, targets):
        self.total, self.count = self.total + self.values(outputs, targets).mean(), self.count + 1

    def values''', "in three batches as in one"),
    "outputs are changed": ("metric", "outputs.copy()", "outputs", "inputs unmodified"),
    "a state of its own": (
        "optimizer",
        'velocity = self.state["velocity"]',
        'velocity = self.v = getattr(self, "v", 0 * weight)',
        "state dict, there and back",
    ),
    "uphill": ("optimizer", "weight -=", "weight +=", "lowers a quadratic"),
    "the gradient is changed": ("optimizer", "velocity += grad", "grad *= 2", "gradient unmodified"),
    "divides by 0": ("optimizer", "self.lr * velocity", "self.lr * velocity / abs(grad)", "zero gradient, zero length"),
    "samples without a seed": ("data", "angle = gen", "angle = np.random.rand(self.samples) + gen", "same seed, same"),
    "labels of floats": ("data", "dtype=np.int64", "dtype=float", "dtype"),
    "not a number": ("data", "return Dataset", "x[0] = np.nan\n        return Dataset", "shape"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, place: Path) -> None:
    kind, old, new, what = FAULTS[fault]
    template = Path(dl.__file__).parent / "commands" / "templates" / f"{kind}.py"
    text = template.read_text()
    assert old in text
    text = text.replace(old, new)
    if "self.own" in text:
        text = text.replace("super().__init__(in_shape, out_features)", OWN)
    Path("faulty.py").write_text(text)
    wrong = {outcome.what: outcome.figure for outcome in check_file("faulty.py") if outcome.passed is False}
    assert any(name.startswith(what) for name in wrong), wrong


OWN = """super().__init__(in_shape, out_features)
        from dlcourse.backend import random
        self.own = float(random.next_generator("own").random())"""


def test_a_kink_is_no_error(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("kinks.py").write_text(
        "import numpy as np\nfrom dlcourse import nn, functional as F\n"
        "class Steep(nn.Module):\n"
        "    def forward(self, x):\n"
        "        u = 1e5 * x\n"
        "        return (u - np.floor(u.detach()) - 0.5).abs()\n"  # a zigzag: a kink at each 5e-6
        "class Wrong(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return F.relu(x) + x.detach()\n"
    )
    assert main(["check", "kinks.py"]) == 1
    lines = capsys.readouterr().out.splitlines()
    steep = next(line for line in lines if "Steep" in line and "gradient of the input" in line)
    wrong = next(line for line in lines if "Wrong" in line and "gradient of the input" in line)
    assert " ok " in steep and "at a kink, where any slope between both sides is right" in steep
    assert "WRONG" in wrong and "and no kink" in wrong


def test_no_difference_is_taken_of_what_changes_its_input(place: Path) -> None:
    Path("adds.py").write_text(
        "from dlcourse import nn\nclass Adds(nn.Module):\n"
        "    def forward(self, x):\n        x.data[...] += 1\n        return x * x.detach()\n"
    )
    outcomes = {each.what: each for each in check_file("adds.py")}
    assert outcomes["gradient, float64"].passed is False and "gradient of the input" not in outcomes
    assert "it changes them, or draws at random" in outcomes["gradient, float64"].figure


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["check", "a.py"], "", "registers nothing"),
        (["check", "a.py"], "1 / 0", "line 1: ZeroDivisionError"),
        (["check", "none.py"], "", "no such file"),
        (["check", "a.py", "model.width=3"], "", "takes no key=value"),
        (["check", "a.py", "--samples", "3"], "", "--samples and --entries are for a config"),
        (["init", "--plugin", "modl"], "", "did you mean 'model'"),
        (["init", "--plugin", "model", "spirals"], "", "'spirals' is too much"),
        (["init", "--plugin", "model", "--to", "a.txt"], "", "ends in .py"),
        (["init", "--plugin", "model", "--to", "a.py"], "", "is there already"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], text: str, message: str, place: Path, capsys: pytest.CaptureFixture
) -> None:
    Path("a.py").write_text(text)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_may_still_be_imported_first(place: Path) -> None:
    assert main(["init", "--plugin", "loss"]) == 0
    assert main(["--plugin", "my_loss.py", "init", "spirals"]) == 0
    assert "my_loss" in registry.names("loss")
    assert main(["init", "--plugin", "none.py", "spirals"]) == 2


def test_the_readme_s_own_file_holds_to_everything(place: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    Path("my_model.py").write_text(readme.split("```python\n# my_model.py\n")[1].split("```")[0])
    outcomes = check_file("my_model.py")
    assert {each.component for each in outcomes} == {"model two_layers", "optimizer sign_descent"}
    assert all(each.passed for each in outcomes), outcomes


LAYERS = """
from dlcourse import nn

class States(nn.LSTM):
    example = {"input": (5, 4)}

class Norm(nn.BatchNorm):
    pass

class Filters(nn.Conv2d):
    example = {"in_channels": 3, "out_channels": 2, "kernel_size": 3, "input": (6, 6, 3)}

class Table(nn.Embedding):
    example = {"num": 7, "tokens": 7, "input": (5,)}

class Gates(nn.GRU):
    pass

class _Hidden(nn.Module):
    pass

class Two(nn.Module):
    def forward(self, x, y):
        return x + y
"""


def test_layers_of_every_shape(place: Path) -> None:
    Path("layers.py").write_text(LAYERS)
    outcomes = check_file("layers.py")
    assert {each.component for each in outcomes} == {
        f"layer {n}" for n in "States Norm Filters Table Gates Two".split()
    }
    assert not [each for each in outcomes if each.passed is False]
    assert outcomes[-1].passed is None and "takes several inputs (x, y)" in outcomes[-1].figure


ODD = """
from dlcourse import nn
from dlcourse.models import Model
from dlcourse.registry import register

@register("model", "plain")
class Plain:
    def __init__(self, in_shape, out_features): pass

@register("model", "exits")
class Exits(Model):
    def forward(self, x): raise SystemExit(0)

@register("optimizer", "plain")
class Own:
    def __init__(self, params, lr: float): pass

@register("data", "plain")
class Data:
    def __init__(self, n: int = 3): pass

@register("loss", "number")
class Number(nn.Loss):
    tasks = ("classification",)
    def forward(self, a, b): return 3.0

@register("loss", "both")
class Both(nn.Loss):
    def forward(self, a, b): return nn.MulticlassHingeLoss()(a, b)

@register("schedule", "below")
class Below:
    def __init__(self, total_steps): pass
    def factor(self, step): return -1
"""


def test_what_is_no_component_at_all_is_said(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("odd.py").write_text(ODD)
    assert main(["check", "odd.py"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for name, message in {
        "model plain": "a model derives from dlcourse.models.Model",
        "model exits": "SystemExit: 0",
        "optimizer plain": "an optimizer derives from dlcourse.optim.Optimizer",
        "data plain": "it has no load(seed)",
        "loss number": "expected a tensor of one number, came float",
        "loss both, regression": "where it is not meant for that: tasks = (...)",
        "schedule below": "expected finite factors of at least 0, came -1, -1",
    }.items():
        assert any(line.startswith(name) and "WRONG" in line and message in line for line in lines), name


def test_arguments_that_cannot_be_guessed_are_asked_for(place: Path) -> None:
    Path("a.py").write_text(
        "from dlcourse import nn\nclass A(nn.Module):\n    def __init__(self, words: str):\n        pass\n"
    )
    (only,) = check_file("a.py")
    assert only.passed is False and "example = {'words': ...}" in only.figure


WITHOUT_EXAMPLES = {
    ("optimizer", "muon"): "the parameters of the checks have other shapes than matrices too",
    ("metric", "bits_per_byte"): "is of texts",
    **{("metric", name): "judges what a model generates" for name in ("good_share", "modes_found")},
}
"""What the checks' parameters, outputs and targets are nothing for."""
SOUND = [
    *(
        (kind, name)
        for kind in ("optimizer", "schedule", "loss", "metric")
        for name in registry.names(kind)
        if (kind, name) not in WITHOUT_EXAMPLES
    ),
    *(("model", name) for name in ("linear", "softmax", "svm", "mlp", "polynomial", "gaussian_classifier")),
    *(("data", name) for name in ("gaussian_classes", "polynomial_curve", "spirals", "westwood_rent")),
]


@pytest.mark.parametrize(("kind", "name"), SOUND, ids="-".join)
def test_our_own_components_hold_to_it(kind: str, name: str) -> None:
    """Otherwise a check asks for what nothing needs, or one of ours is wrong."""
    wrong = [outcome for outcome in check_component(kind, name, Path("ours")) if outcome.passed is False]
    allowed = ["large outputs"] if name == "poisson_nll" else []  # a rate of e^10000 is no number
    assert [outcome.what for outcome in wrong] == allowed, wrong


def test_an_initializer_is_checked(place: Path) -> None:
    text = (
        "import numpy as np\nfrom dlcourse.nn import Initializer, init\nfrom dlcourse.registry import register\n\n\n"
        "@register('init', 'my_init')\nclass Mine(Initializer):\n    'Mine.'\n\n"
        "    def __call__(self, shape, gain=1.0, saturates=False):\n        return {}\n"
    )
    found = {}
    for name, drawn in {"a": "init.normal(shape)", "b": "np.random.rand(*shape)", "c": "init.normal((3,))"}.items():
        Path(f"{name}.py").write_text(text.format(drawn).replace("my_init", f"my_{name}"))
        (found[name],) = check_file(f"{name}.py")
    assert [found[name].passed for name in "abc"] == [True, False, False]
    assert "draw by nn.init" in found["b"].figure and "expected finite weights (6, 4)" in found["c"].figure
