"""``loss: {name: cross_entropy, class_weights: balanced | [...]}``."""

import json
import math

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import cli, nn, optim
from dlcourse import functional as F
from dlcourse.errors import ArgumentError, ConfigError, UserError

LOGITS = np.random.default_rng(0).normal(size=(12, 3))
LABELS = np.array([0] * 8 + [1] * 3 + [2])


def fitted(class_weights, counts=(8, 3, 1), **settings):
    loss = nn.CrossEntropyLoss(class_weights=class_weights, **settings)
    loss.fit_classes(np.array(counts))
    return loss


def test_balanced_weights_are_those_of_scikit_learn():
    utils = pytest.importorskip("sklearn.utils.class_weight", reason="scikit-learn is the second opinion")
    expected = utils.compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(fitted("balanced").weights, expected)
    np.testing.assert_allclose(fitted("balanced").weights, [0.5, 12 / 9, 4])
    np.testing.assert_allclose(fitted("balanced", (8, 0, 4)).weights, [0.75, 0, 1.5])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("given", ["balanced", [1, 2, 5.0]])
def test_over_the_training_split_it_is_pytorchs(given, smoothing):
    loss = fitted(given, label_smoothing=smoothing)
    weight = [0.5, 12 / 9, 4] if given == "balanced" else given
    x, y = dl.tensor(LOGITS, requires_grad=True), dl.tensor(LOGITS, requires_grad=True)
    found = loss(x, LABELS)
    expected = F.cross_entropy(y, LABELS, weight=weight, label_smoothing=smoothing)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    found.backward()
    expected.backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-12)
    unfitted = nn.CrossEntropyLoss(class_weights=weight, label_smoothing=smoothing)
    assert unfitted(dl.tensor(LOGITS), LABELS).item() == pytest.approx(expected.item(), rel=1e-12)


def test_microbatches_make_the_batch():
    def trained(loss, accumulate):
        dl.manual_seed(0)
        model = nn.Linear(3, 3)
        model.to(dtype="float64")
        step = dl.TrainStep(model, loss, optim.SGD(model.parameters(), lr=0.5), accumulate=accumulate)
        return [float(step(LOGITS, LABELS).item()) for _ in range(3)]

    np.testing.assert_allclose(trained(fitted("balanced"), 4), trained(fitted("balanced"), 1), rtol=1e-12)
    own = nn.CrossEntropyLoss(class_weights=[1, 2, 5])  # a mean of its own in each batch
    with pytest.raises(ArgumentError, match="microbatches do not make the batch"):
        trained(own, 3)


def test_what_it_refuses():
    with pytest.raises(UserError, match="a number for each of the 3 classes, came 2"):
        fitted([1, 2])
    with pytest.raises(UserError, match="no class of the training split has a weight above 0"):
        fitted([0, 0, 1], (8, 3, 0))
    with pytest.raises(UserError, match="fit_classes"):
        nn.CrossEntropyLoss(class_weights="balanced")(dl.tensor(LOGITS), LABELS)
    with pytest.raises(ArgumentError, match="'balanced' or numbers, got 'balance'"):
        nn.CrossEntropyLoss(class_weights="balance")


@pytest.fixture
def rare(tmp_path):
    """95 dogs for 5 cats, and they overlap."""
    random = np.random.default_rng(0)
    cats = np.arange(400) % 20 == 0
    x = random.normal(size=400) + 1.5 * cats
    rows = "".join(f"{a:.4f},{'cat' if cat else 'dog'}\n" for a, cat in zip(x, cats, strict=True))
    (tmp_path / "animals.csv").write_text("x,animal\n" + rows)
    return {
        "data": {
            "name": "csv",
            "path": str(tmp_path / "animals.csv"),
            "features": ["x"],
            "target": "animal",
            "split": {"train": 200, "val": 0, "test": 200},
            "stratify": True,
        },
        "model": "softmax",
        "loss": {"name": "cross_entropy", "class_weights": "balanced"},
        "optimizer": {"name": "sgd", "lr": 1.0},
        "metrics": ["accuracy", "balanced_accuracy"],
        "train": {"epochs": 30},
        "precision": "float64",
    }


def run(config, tmp_path, **overrides):
    return dl.run(config, overrides=overrides, out=tmp_path / "runs", plots=False, device="cpu")


def test_rare_classes_are_found(rare, tmp_path, capsys):
    plain = run(rare, tmp_path, **{"loss.class_weights": None}).metrics["test"]
    assert "class weights" not in capsys.readouterr().out
    assert plain["balanced_accuracy"] < 0.6
    balanced = run(rare, tmp_path)
    assert balanced.metrics["test"]["balanced_accuracy"] > 0.7
    messages = capsys.readouterr().out
    assert "note: class weights, scaled to a mean of 1 over the training split: 'cat' 10, 'dog' 0.5263" in messages
    # Right less often than by always guessing 'dog', and yet of use.
    assert "no better" not in messages
    listed = run(rare, tmp_path, **{"loss.class_weights": [19, 1]})  # the ratio counts
    assert listed.metrics["test"] == pytest.approx(balanced.metrics["test"])
    named = run(rare, tmp_path, **{"loss.class_weights": {"cat": 19}})
    assert named.metrics["test"] == pytest.approx(balanced.metrics["test"])


def test_the_loss_measured_is_weighted_too(rare, tmp_path, capsys):
    rare["metrics"] = []
    result = run(rare, tmp_path)
    other = {**rare, "loss": {"name": "cross_entropy", "class_weights": [1, 1]}}
    assert run(other, tmp_path).metrics["train"]["loss"] < result.metrics["train"]["loss"]
    capsys.readouterr()
    assert cli.main(["evaluate", str(result.folder)]) == 0
    assert f"{result.metrics['test']['loss']:.6g}" in capsys.readouterr().out


def test_it_resumes(rare, tmp_path):
    whole = run(rare, tmp_path)
    half = run(rare, tmp_path, **{"train.epochs": 15})
    again = dl.run(resume=half.folder, overrides={"train.epochs": 30}, quiet=True, plots=False)
    assert again.metrics == whole.metrics
    assert json.loads((half.folder / "result.json").read_text())["status"] == "done"


def test_what_a_config_is_told(rare, tmp_path):
    for wrong, message in (
        ([1, 2, 3], r"loss: class_weights: expected a number for each of the 2 classes, came 3"),
        ([1, -2], r"loss\.class_weights"),
        ("auto", r"loss\.class_weights"),
        ([0, 0], "above 0"),
        ({"cow": 2}, "there is no class 'cow'; the classes are: cat, dog"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(rare, tmp_path, **{"loss.class_weights": wrong})
    with pytest.raises(ConfigError, match=r"class_weights: has no effect with the optimizer closed_form"):
        run({**rare, "model": "gaussian_classifier", "optimizer": "closed_form", "train": {}}, tmp_path)


def test_no_rows_have_no_mean():
    assert math.isnan(fitted("balanced")(dl.tensor(LOGITS[:0]), LABELS[:0]).item())


def test_devices_agree(device):
    """Also where steps are captured: the weights are copied to the device once."""

    def losses():
        dl.manual_seed(0)
        model = nn.Linear(3, 3)
        step = dl.TrainStep(model, fitted("balanced"), optim.SGD(model.parameters(), lr=0.5))
        return [float(step(LOGITS.astype("float32"), LABELS).item()) for _ in range(8)]

    there = losses()
    with dl.device("cpu"):
        np.testing.assert_allclose(there, losses(), rtol=1e-5)
    assert there[-1] < there[0]
