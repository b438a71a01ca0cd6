"""``schedule: {name: plateau}`` in a run: it falls where the metric says so, and goes on exactly."""

import json
from pathlib import Path

import pytest

import dlcourse as dl
from dlcourse import config
from dlcourse.errors import ConfigError

PLATEAU = {"name": "plateau", "metric": "accuracy", "factor": 0.5, "patience": 0}
BASE = {
    "data": {"name": "spirals", "samples": 90, "split": {"val": 0.3}},
    "model": {"name": "mlp", "hidden": [6]},
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
    "optimizer": {"name": "sgd", "lr": 0.2, "momentum": 0.9, "schedule": PLATEAU},
    "train": {"epochs": 8, "batch_size": 20, "log_every": 1},
}


def rates(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["lr"] for line in lines if line.get("lr") is not None]


def test_the_rate_follows_the_metric_and_a_run_that_goes_on_has_the_same(tmp_path: Path) -> None:
    whole = dl.run(BASE, out=tmp_path / "a", quiet=True, plots=False, device="cpu")
    found = rates(whole.folder)
    assert found[0] == 0.2 and len(set(found)) > 2
    assert all(b in (a, a / 2) for a, b in zip(found, found[1:], strict=False))
    half = dl.run(BASE, overrides={"train.epochs": 4}, out=tmp_path / "b", quiet=True, plots=False, device="cpu")
    again = dl.run(resume=half.folder, overrides={"train.epochs": 8}, quiet=True, plots=False)
    assert rates(again.folder) == found
    for name, array in whole.model.state_dict().items():
        assert (array == again.model.state_dict()[name]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer.schedule.metric": "mse"}, "optimizer.schedule.metric: 'mse' is not measured"),
        ({"optimizer.schedule.factor": 1.0}, "optimizer.schedule.factor: expected a number below 1"),
        ({"data.split": {"val": 0}}, "optimizer.schedule.split: there is no validation split"),
        ({"train.eval_every": 0}, "train.eval_every: 0 evaluates at the end only: plateau"),
    ],
)
def test_what_is_wrong_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.from_mapping(BASE, changes)


def test_the_loss_is_measured_where_a_schedule_watches_it(tmp_path: Path) -> None:
    given = {**BASE, "optimizer": {"name": "sgd", "lr": 0.1, "schedule": {"name": "plateau"}}}
    run = dl.run(given, overrides={"train.epochs": 2}, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert "loss" in run.metrics["val"]
    dl.run(given, out=tmp_path, quiet=True, plots=False, device="cpu", fast_dev_run=True)
