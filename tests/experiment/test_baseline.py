"""What a model is set beside: always the most frequent class, or the mean."""

import json

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import cli, registry
from dlcourse.data import prepare
from dlcourse.experiment.baseline import Baseline, _unseen, baseline_of, no_better
from dlcourse.plots import report
from dlcourse.sweeps import run_sweep


@pytest.fixture
def rare(tmp_path):
    """90 dogs and 30 cats; only x tells them apart."""
    random = np.random.default_rng(0)
    names = np.array(["dog", "cat"])[(np.arange(120) % 4 == 0).astype(int)]
    x, nothing = (names == "cat") + 0.2 * random.normal(size=120), random.normal(size=120)
    rows = "".join(f"{a:.4f},{b:.4f},{name}\n" for a, b, name in zip(x, nothing, names, strict=True))
    (tmp_path / "animals.csv").write_text("x,nothing,animal\n" + rows)
    return {
        "data": {
            "name": "csv",
            "path": str(tmp_path / "animals.csv"),
            "features": ["x"],
            "target": "animal",
            "split": {"train": 60, "val": 0, "test": 60},
            "stratify": True,
        },
        "model": "softmax",
        "loss": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 1.0},
        "metrics": ["accuracy", "balanced_accuracy", "roc_auc", "cross_entropy", {"name": "f1", "label": "cat"}],
        "train": {"epochs": 40},
    }


def run(config, tmp_path, capsys, **overrides):
    result = dl.run(config, overrides=overrides, out=tmp_path / "runs", plots=False, device="cpu")
    return result, json.loads((result.folder / "result.json").read_text())["baseline"], capsys.readouterr().out


def test_the_most_frequent_class_stands_beside_a_classifier(rare, tmp_path, capsys):
    result, baseline, message = run(rare, tmp_path, capsys)
    assert baseline["split"] == "test"
    assert baseline["guess"] == "'dog'"
    assert baseline["metrics"]["accuracy"] == 0.75
    assert baseline["metrics"]["balanced_accuracy"] == baseline["metrics"]["roc_auc"] == 0.5
    assert baseline["metrics"]["cross_entropy"] == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert baseline["metrics"]["f1(label=cat)"] == 0
    assert result.baseline == baseline["metrics"]
    assert "baseline (test)" in message
    assert "always 'dog', the most frequent class of the training split" in message
    assert "no better" not in message
    assert [line.split()[:2] for line in message.splitlines() if line.startswith(("dog", "cat"))] == [
        ["cat", "15"],
        ["dog", "45"],
    ]
    assert cli.main(["evaluate", str(result.folder)]) == 0
    assert "baseline (test)" in capsys.readouterr().out


def test_a_model_that_learned_nothing_is_told_so(rare, tmp_path, capsys):
    rare["data"]["features"] = ["nothing"]
    _, baseline, message = run(rare, tmp_path, capsys)
    assert "no better than always guessing 'dog'" in baseline["note"]
    assert f"note: {baseline['note']}" in message


def test_the_report_says_it_too(rare, tmp_path):
    rare["data"]["features"] = ["nothing"]
    result = dl.run(rare, overrides={"train.epochs": 2}, out=tmp_path / "runs", quiet=True)
    html = (result.folder / "report.html").read_text()
    assert "No better than always guessing" in html
    assert "baseline, test" in html.lower()
    assert "<summary>Classes, test" in html


def test_the_mean_stands_beside_a_regression(tmp_path, capsys):
    config = {
        "data": {"name": "westwood_rent", "samples": 60, "split": {"train": 30, "val": 10, "test": 20}},
        "model": "linear",
        "optimizer": "least_squares",
        "loss": "mse",
        "metrics": ["rmse", "r2"],
    }
    _, baseline, message = run(config, tmp_path, capsys)
    assert baseline["words"] == "always the mean of the training targets"
    assert baseline["metrics"]["r2"] <= 0
    assert "no better" not in message
    far = {"optimizer": {"name": "sgd", "lr": 1e-12}, "train.steps": 1, "data.normalize": "standardize"}
    _, baseline, _ = run(config, tmp_path, capsys, **far)
    assert "no better than always guessing the mean" in baseline["note"]


def test_a_gaussian_model_is_set_beside_a_gaussian(tmp_path, capsys):
    config = {
        "data": {"name": "westwood_rent", "samples": 60, "split": {"train": 30, "val": 0, "test": 30}},
        "model": "gaussian_regression",
        "optimizer": "closed_form",
        "metrics": ["gaussian_nll"],
    }
    result, baseline, _ = run(config, tmp_path, capsys)
    assert len(baseline["outputs"]) == 2
    assert result.metrics["test"]["gaussian_nll"] < baseline["metrics"]["gaussian_nll"] < 20


def test_a_metric_that_cannot_judge_it_is_left_out(rare, tmp_path, capsys, monkeypatch):
    def refuse(self, outputs, targets):
        if len(np.unique(outputs)) == 2 and len(outputs) > 1:
            raise RuntimeError("only of my own model")
        return targets * 0.0

    monkeypatch.setattr(registry.lookup("metric", "error"), "values", refuse)
    rare["metrics"] = ["error", "accuracy"]
    _, baseline, message = run(rare, tmp_path, capsys, **{"train.epochs": 1})
    assert list(baseline["metrics"]) == ["accuracy"]
    assert "baseline (test)" in message


def test_a_text_is_set_beside_the_frequencies_of_its_characters(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("abab abab " * 60)
    config = {
        "data": {"name": "text", "path": str(tmp_path / "text.txt"), "context": 8},
        "model": {"name": "char_rnn", "hidden": 8},
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "lr": 0.01},
        "train": {"steps": 2},
        "metrics": ["perplexity"],
    }
    _, baseline, _ = run(config, tmp_path, capsys)
    assert baseline["metrics"]["perplexity"] == pytest.approx(np.exp(-0.8 * np.log(0.4) - 0.2 * np.log(0.2)), rel=0.02)


def test_a_sweep_has_it_in_a_line(rare, tmp_path, capsys):
    rare["sweep"] = {"grid": {"data.features": [["x"], ["nothing"]]}}
    rare["data"]["split"] = {"train": 60, "val": 60, "test": 0}
    run_sweep(rare, out=tmp_path / "runs", plots=False)
    message = capsys.readouterr().out
    assert "baseline (val): accuracy 0.75, balanced_accuracy 0.5, roc_auc 0.5, " in message
    assert "no better" not in message.split("baseline (val)")[-1]
    del rare["sweep"]["grid"]["data.features"]
    rare["data"]["features"] = ["nothing"]
    rare["sweep"]["grid"]["optimizer.lr"] = [0.1, 1.0]
    result = run_sweep(rare, out=tmp_path / "runs", plots=False)
    assert ", the best, is no better than always guessing 'dog'" in capsys.readouterr().out
    html = report(result.folder).read_text()
    assert "The best is no better than always guessing" in html
    assert "the most frequent class of the training split: accuracy 0.75" in html


def says(y, outputs, weighted=False, **shares):
    base = Baseline(np.log(np.array(list(shares.values()))), repr(max(shares, key=shares.get)), True)
    return no_better(base, np.asarray(y), np.asarray(outputs, float), "test", weighted)


def test_what_is_within_noise():
    y = np.array([0] * 90 + [1] * 10)
    always, exact = np.tile([1.0, 0.0], (100, 1)), np.eye(2)[y]
    assert "(it does guess nothing else): 0.9 of the test samples are right, 0.9" in says(y, always, no=0.9, yes=0.1)
    assert says(y, exact, no=0.9, yes=0.1) == ""
    # Right less often than the guess, and still of use: most of the rare class is found.
    rare_found = exact.copy()
    rare_found[:20] = [0, 1]
    assert says(y, rare_found, no=0.9, yes=0.1) == ""
    few = says([0] * 10 + [1] * 6, np.eye(2)[[0] * 9 + [1] * 4 + [0] * 3], no=0.6, yes=0.4)
    assert few.endswith("0.75 of the test samples are right, 0.625 by that guess; 16 samples are too few to tell")
    random = np.random.default_rng(0).normal(size=(100, 2))
    assert says(y, random, no=0.9, yes=0.1)
    assert says(y[:3], exact[:3], no=0.9, yes=0.1) == ""  # three samples prove little, but all of them are right
    assert says(y[:0], exact[:0], no=0.9, yes=0.1) == ""


def test_class_weights_give_up_accuracy_for_the_rare_class():
    y = np.array([0] * 113 + [1] * 7)
    outputs = np.eye(2)[np.array([0] * 97 + [1] * 16 + [1] * 3 + [0] * 4)]  # balanced accuracy 0.64
    assert says(y, outputs, no=0.942, yes=0.058)  # seven samples prove little
    assert says(y, outputs, weighted=True, no=0.942, yes=0.058) == ""
    assert says(y, np.tile([1.0, 0.0], (120, 1)), weighted=True, no=0.942, yes=0.058)


def test_a_class_that_training_never_saw_is_infinitely_unlikely():
    base = Baseline(np.array([0.0, -np.inf]), "'a'", True)
    again = Baseline.of_state(base.state("test", {}, ""), True)
    np.testing.assert_array_equal(again.outputs, base.outputs)
    metrics = {name: registry.build("metric", {"name": name}) for name in ("accuracy", "cross_entropy", "roc_auc")}
    found = base.measure(np.array([0, 0, 1]), metrics)
    assert _unseen(base, np.array([0, 1]), ("a", "b")) == "'b'" and _unseen(base, np.array([0]), ("a", "b")) == ""
    assert found == {"accuracy": pytest.approx(2 / 3), "cross_entropy": np.inf, "roc_auc": 0.5}


def test_a_token_is_named_by_its_text(tmp_path):
    (tmp_path / "text.txt").write_text("\n" * 60 + "abc")
    given = {"name": "text", "path": str(tmp_path / "text.txt"), "context": 8, "tokenizer": "bytes"}
    found = baseline_of(prepare(given, seed=0), 256)
    assert found is not None and found.words.startswith(r"always '\n', the most frequent class")
