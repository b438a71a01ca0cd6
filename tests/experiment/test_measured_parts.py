"""``train.evaluate``: which parts are measured."""

import json

import pytest

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.errors import ConfigError
from dlcourse.sweeps import run_sweep

CONFIG = {
    "name": "parts",
    "data": {"name": "westwood_rent", "split": {"val": 0.2, "test": 0.2}},
    "model": "linear",
    "loss": "mse",
    "optimizer": "least_squares",
    "metrics": ["mse"],
}


@pytest.mark.parametrize("parts", [["val"], ["train", "test"], ["test"]])
def test_only_the_parts_named_are_measured(tmp_path, parts: list[str]) -> None:
    result = dl.run(CONFIG | {"train": {"evaluate": parts}}, out=tmp_path)
    assert list(result.metrics) == parts
    whole = dl.run(CONFIG, out=tmp_path).metrics
    assert result.metrics == {part: whole[part] for part in parts}


def test_images_come_from_a_part_that_is_measured(tmp_path) -> None:
    images = {"name": "synthetic_images", "samples": 60, "classes": 3, "image_size": 4}
    config = CONFIG | {
        "data": images | {"split": {"val": 20, "test": 20}},
        "model": "softmax",
        "loss": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "metrics": ["accuracy"],
    }
    for parts in (["val"], ["train"], []):
        result = dl.run(config | {"train": {"evaluate": parts}}, out=tmp_path)
        assert list(result.metrics) == parts


def test_the_best_cannot_be_chosen_by_what_is_not_measured(tmp_path) -> None:
    with pytest.raises(ConfigError, match="'val' is not measured; add it to train.evaluate"):
        dl.run(CONFIG | {"train": {"evaluate": ["train"], "best": {"metric": "mse"}}}, out=tmp_path)


@pytest.mark.parametrize("section", ["best", "early_stopping"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_any_split_chooses_and_the_test_part_with_a_warning(tmp_path, capsys, section: str, split: str) -> None:
    watched = {"metric": "mse", "split": split} | ({"patience": 9} if section == "early_stopping" else {})
    train = {"epochs": 3, section: watched}
    result = dl.run(CONFIG | {"optimizer": {"name": "sgd", "lr": 1e-9}, "train": train}, out=tmp_path, plots=False)
    best = json.loads((result.folder / "result.json").read_text())["best"]
    lines = [line for line in result.history if line["event"] == "eval"]
    assert best["split"] == split and best["value"] == min(line["metrics"][split]["mse"] for line in lines)
    assert ("test" in lines[0]["metrics"]) == (split == "test")
    assert (f"note: train.{section} chooses" in capsys.readouterr().out) == (split == "test")


def test_validate_and_a_sweep_say_that_the_test_part_chooses(tmp_path, capsys) -> None:
    config = CONFIG | {"train": {"best": {"metric": "mse", "split": "test"}}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    assert main(["validate", str(tmp_path / "c.yaml")]) == 0
    assert (
        "ok\n" in (message := capsys.readouterr().out)
        and "note: train.best chooses the best weights by the te" in message
    )
    swept = run_sweep(config | {"sweep": {"grid": {"optimizer.ridge": [0.0, 1.0]}}}, out=tmp_path, plots=False)
    assert swept.best["split"] == "test" and swept.best["value"] == min(p.metrics["test.mse"] for p in swept.points)
    assert "note: the test split has chosen" in capsys.readouterr().out


def test_a_split_that_is_not_there_cannot_choose(tmp_path) -> None:
    data = CONFIG["data"] | {"split": {"val": 0.2}}
    with pytest.raises(ConfigError, match="there is no test split, only: train, val"):
        dl.run(CONFIG | {"data": data, "train": {"best": {"metric": "mse", "split": "test"}}}, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_parts_of_which_none_is_there_measure_nothing(tmp_path) -> None:
    data = CONFIG["data"] | {"split": {"val": 0.2}}
    with pytest.raises(ConfigError, match="train.evaluate: there is no test split, only: train, val"):
        dl.run(CONFIG | {"data": data, "train": {"evaluate": ["test"]}}, out=tmp_path)
    assert not list(tmp_path.iterdir())
