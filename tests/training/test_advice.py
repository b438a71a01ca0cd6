"""What is wrong with a run is named once, in plain words; of a sound run there is no advice."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.errors import DivergenceError
from dlcourse.training.advice.evidence import Evidence, Guessing
from dlcourse.training.advice.rules import RULES, advise
from dlcourse.training.folder import RunFolder

TEN = Guessing(accuracy=0.12, cross_entropy=math.log(10), classes=10)
RARE = Guessing(accuracy=0.95, cross_entropy=0.199, classes=2)
COUNTS = {"train": 5000, "val": 1000}
NOISE = np.random.default_rng(0).normal(size=100)


def losses(values: Any, every: int = 10, batch: int = 32) -> list[Any]:
    steps = [1, *range(every, every * len(values), every)]
    return [
        {"event": "train", "step": step, "samples": batch * step, "loss": float(value)}
        for step, value in zip(steps, values, strict=True)
    ]


def evals(label: str, **splits: Any) -> list[Any]:
    count = len(next(iter(splits.values())))
    return [
        {"event": "eval", "step": 10 * k, "epoch": k, "metrics": {s: {label: float(v[k])} for s, v in splits.items()}}
        for k in range(count)
    ]


def look(*gradients: float, ratio: float = 1e-3, dead: float = 0.1) -> Any:
    layers: dict[str, Any] = {
        f"layers.{i}": {"kind": "Linear", "size": 100, "gradient": gradient, "weight": 2.0, "ratio": ratio}
        for i, gradient in enumerate(gradients)
    }
    layers["relu"] = {"kind": "ReLU", "mean": 0.3, "std": 0.5, "dead": dead}
    return {"event": "watch", "step": 0, "layers": layers}


def found(events: list[Any], train: dict | None = None, val: dict | None = None, **more: Any) -> list[str]:
    metrics = {split: values for split, values in (("train", train), ("val", val)) if values is not None}
    facts = {"guessing": TEN, "counts": COUNTS, **more}
    return [each["rule"] for each in advise(Evidence(events, metrics, {"accuracy": True}, **facts))]


GOOD = 2.3 * np.exp(-np.arange(100) / 20) + 0.2 + 0.05 * np.abs(NOISE)
LEARNED = {"accuracy": 0.95, "cross_entropy": 0.2}


@pytest.mark.parametrize(
    ("rules", "events", "train", "val", "more"),
    [
        ([], losses(GOOD), LEARNED, {"accuracy": 0.93, "cross_entropy": 0.26}, {}),
        ([], losses(GOOD[:2]), {"accuracy": 0.1}, {"accuracy": 0.1}, {}),  # hardly begun
        ([], losses(np.abs(NOISE) + 0.01, batch=1), {"mse": 1.0}, {"mse": 1.0}, {"guessing": None}),  # noise alone
        ([], losses(np.full(100, -3.0)), {"gaussian_nll": -3.0}, {"gaussian_nll": -2.9}, {"guessing": None}),
        ([], [], {"mse": 1.0}, {"mse": 9.0}, {"guessing": None, "counts": {"val": 5}}),  # five samples are luck
        (["overfitting"], losses(GOOD), {"accuracy": 1.0}, {"accuracy": 0.34}, {}),
        (["overfitting"], losses(GOOD), {"error": 0.0}, {"error": 0.34}, {}),
        # One class for all samples, which the validation split has less of: nothing that was learned by heart.
        ([], [], {"accuracy": 0.611}, {"accuracy": 0.208}, {"guessing": Guessing(0.611, 0.9, 3)}),
        ([], [], {"kappa": 0.0, "accuracy": 0.7}, {"accuracy": 0.2}, {}),
        (["overfitting"], [], {"accuracy": 0.72}, {"accuracy": 0.208}, {"guessing": Guessing(0.611, 0.9, 3)}),
        (["overfitting"], [], {"mse": 0.1}, {"mse": 0.4}, {"guessing": None}),
        ([], [], {"mse": 0.1}, {"mse": 0.15}, {"guessing": None}),
        (["labels_look_shuffled"], losses(GOOD), {"accuracy": 1.0}, {"accuracy": 0.1}, {}),
        (["learns_nothing"], losses(np.full(100, 2.3)), {"accuracy": 0.12}, {"accuracy": 0.11}, {}),
        (["learns_nothing"], losses(np.full(100, 2.3)), {"cross_entropy": 2.3}, None, {}),
        (["learns_nothing"], losses(np.full(100, 9.0)), {"r2": -3.0}, {"r2": -3.1}, {"guessing": None}),
        ([], losses(GOOD), {"accuracy": 0.955, "cross_entropy": 0.1}, {"accuracy": 0.95}, {"guessing": RARE}),
        ([], losses(GOOD), {"accuracy": 0.1}, {"accuracy": 0.1}, {"weighted": True}),
        (["learns_nothing"], losses(GOOD), {"balanced_accuracy": 0.5}, None, {"guessing": RARE}),
        (["rate_too_high"], losses(np.linspace(2.3, 9, 100)), {"accuracy": 0.12}, None, {}),
        (["rate_too_high"], losses([*GOOD[:50], 30, 40, 20, *GOOD[53:]]), LEARNED, None, {}),
        ([], losses([*GOOD[:50], 30, *GOOD[51:]]), LEARNED, None, {}),  # one bad batch
        (["rate_too_high"], losses([2.3, 700, 90, *(2.3 + 0.1 * NOISE[3:])]), {"accuracy": 0.1}, None, {}),
        (["rate_too_high"], losses([*GOOD[:40], *(2.3 + 0.1 * NOISE[40:])]), {"accuracy": 0.1}, None, {}),
        ([], losses(2.3 * np.exp(0.8 * NOISE)), {"accuracy": 0.3}, None, {}),  # heavy tails
        (["rate_too_high"], [*losses([2.3, *[300] * 99]), *evals("mse", train=np.linspace(346, 248, 8))], {}, {}, {}),
        (["rate_too_high"], losses([2.3, 3, 1e5, 1e30, np.nan]), None, None, {"status": "diverged"}),
        (["rate_too_low"], losses(np.linspace(2.3, 2.1, 100)), {"accuracy": 0.3}, None, {}),
        ([], losses(np.linspace(2.3, 2.1, 100)), {"accuracy": 0.3}, None, {"begins_trained": True}),
        (["dead_units"], [look(1, 1, dead=0.9)], LEARNED, None, {}),
        ([], [look(1, 1, dead=0.5)], LEARNED, None, {}),
        (["vanishing_gradients"], [look(1e-5, 1e-3, 1e-1)], LEARNED, None, {}),
        (["exploding_gradients"], [look(1e5, 1e3, 1e1)], LEARNED, None, {}),
        (["exploding_gradients"], [look(1e5, 1e3, 1), *losses(np.linspace(2.3, 2.1, 100))], LEARNED, None, {}),
        (["exploding_gradients"], [look(1, 1), look(1, 1), look(900, 1)], LEARNED, None, {}),
        ([], [look(0.01, 0.1, 1)], LEARNED, None, {}),
        (["step_too_long"], [look(1, 1, ratio=0.3)] * 5, LEARNED, None, {}),
        (["step_too_short"], [look(1, 1, ratio=3e-6)] * 5, LEARNED, None, {}),
    ],
)
def test_each_is_named_once_and_nothing_else(
    rules: list[str], events: list[Any], train: dict | None, val: dict | None, more: dict
) -> None:
    assert found(events, train, val, **more) == rules


@pytest.mark.parametrize("stops_early", [True, False])
def test_a_validation_that_turns_is_overfitting_unless_training_stopped_there(stops_early: bool) -> None:
    val = [2.0, 1.2, 0.9, 0.8, 0.82, 0.9, 1.0, 1.1, 1.2]
    events = evals("cross_entropy", train=np.linspace(2, 0.7, 9), val=val)
    last = {"train": {"cross_entropy": 0.7}, "val": {"cross_entropy": 1.2}}
    rules = found(events, last["train"], last["val"], stops_early=stops_early)
    assert rules == ([] if stops_early else ["overfitting"])


def test_a_cost_that_falls_on_a_straight_line_is_seen_without_noise() -> None:
    assert found(evals("cross_entropy", train=np.linspace(2.3, 2.2, 8))) == ["rate_too_low"]
    assert found(evals("cross_entropy", train=2.3 * 0.5 ** np.arange(8))) == []


@pytest.mark.parametrize(
    ("facts", "named", "silent"),
    [
        ({}, "data.normalize)", "normalize_target"),
        ({"normalized": True}, "optimizer.lr", "data.normalize"),
        ({"normalized": True, "large_targets": True}, "data.normalize_target: standardize", "data.normalize)"),
    ],
)
def test_what_is_not_scaled_yet_is_named(facts: dict, named: str, silent: str) -> None:
    (advice,) = advise(Evidence(losses([1.0, 5.0, 1e9]), {}, status="diverged", **facts))
    assert named in advice["text"] and silent not in advice["text"]


def test_whatever_stands_in_the_files_no_rule_fails() -> None:
    odd = [{"event": "train", "step": 3}, {"event": "eval", "step": 1}, {"event": "watch", "step": 0, "layers": {}}]
    odd += [{"event": "watch", "step": 2, "layers": {"a": {"kind": "Linear", "gradient": None, "size": 0}}}]
    odd += [{"event": "eval", "step": 5, "epoch": 1, "metrics": {"train": {"mse": None}, "val": {}}}]
    assert advise(Evidence(odd, {"train": {"mse": float("nan")}, "val": {}})) == []
    assert all(rule.lectures.startswith("lecture") for rule in RULES)


SPIRALS: dict[str, Any] = {
    "name": "spirals",
    "device": "cpu",
    "data": {"name": "spirals", "samples": 300, "split": {"train": 0.6, "val": 0.4}},
    "model": {"name": "mlp", "hidden": [32, 32]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy", "cross_entropy"],
    "train": {"epochs": 30, "batch_size": 32, "watch": True, "log_every": 5},
}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (None, {}),
        (None, {"optimizer": {"name": "adam", "lr": 0.003}}),
        ("dead_units", {"optimizer": {"name": "adam", "lr": 3.0}}),
        ("vanishing_gradients", {"model.hidden": [32] * 8, "model.activation": "sigmoid", "train.epochs": 5}),
        ("rate_too_high", {"optimizer": {"name": "adam", "lr": 100.0}, "train.epochs": 60}),
        ("step_too_short", {"optimizer": {"name": "adam", "lr": 1e-6}, "metrics": ["accuracy"]}),
        ("rate_too_low", {"optimizer": {"name": "adam", "lr": 1e-6}}),
    ],
    ids=str,
)
def test_real_runs(tmp_path: Path, rule: str | None, changes: dict) -> None:
    done = dl.run(SPIRALS, overrides=changes, out=tmp_path, quiet=True, plots=False)
    found = RunFolder.open(done.folder).read_result()["advice"]
    assert [each["text"] for each in found] == done.advice
    log = (done.folder / "log.txt").read_text()
    assert all(f"advice: {text}" in log for text in done.advice)
    rules = [each["rule"] for each in found]
    assert rule in rules if rule else rules == []


def test_labels_that_have_nothing_to_do_with_the_inputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", x=rng.normal(size=(200, 20)), y=rng.integers(0, 4, 200))
    data = {"name": "arrays", "path": str(tmp_path / "noise.npz"), "task": "classification", "split": {"val": 0.3}}
    config = {**SPIRALS, "data": data, "model": {"name": "mlp", "hidden": [64]}, "metrics": ["accuracy"]}
    done = dl.run(config, out=tmp_path, quiet=True, plots=False)
    (text,) = done.advice
    assert "the labels look shuffled" in text and text.endswith("(lecture 2).")


def test_a_run_that_diverged_has_its_report_and_every_step_around_it(tmp_path: Path, capsys) -> None:
    config = {
        "name": "rent",
        "device": "cpu",
        "data": {"name": "westwood_rent", "split": {"val": 0.2}},
        "model": "linear",
        "loss": "half_sse",
        "optimizer": {"name": "sgd", "lr": 1e-5},
        "train": {"epochs": 300, "batch_size": "full", "log_every": 7},
    }
    with pytest.raises(DivergenceError) as raised:
        dl.run(config, out=tmp_path)
    (folder,) = (tmp_path / "rent").iterdir()
    message = capsys.readouterr().out
    assert f"report: {folder / 'report.html'}" in message and "loss by step: " in message
    around = [event for event in RunFolder.open(folder).read_history() if event["event"] == "divergence"]
    steps = [event["step"] for event in around]
    assert steps == list(range(steps[0], steps[-1] + 1)) and raised.value.step in steps
    before = min(20, raised.value.step - 1)
    assert steps[0] == raised.value.step - before
    at = {event["step"]: event["loss"] for event in around}
    assert at[raised.value.step] is None and at[raised.value.step - 1] is not None
    page = (folder / "report.html").read_text()
    assert "Training diverges at step" in page and "Steps that are too long overshoot" in page
    assert page.count("a tenth of optimizer.lr") == message.count("a tenth of optimizer.lr") == 1
    assert "optimizer.lr" not in str(raised.value).replace("optimizer.lr was", "")


def test_a_range_test_gets_no_advice() -> None:
    rising = losses(np.linspace(1, 5, 40))
    assert found(rising) == ["rate_too_high"]
    assert found(rising, tests_rates=True) == []


def test_players_get_no_advice_unless_they_diverge() -> None:
    rising = losses(np.linspace(1, 5, 40))
    assert found(rising, has_players=True) == []
    assert found(rising, has_players=True, status="diverged") == ["rate_too_high"]
