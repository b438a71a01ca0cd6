"""``train.evaluate``: which parts are measured."""

import pytest

import dlcourse as dl
from dlcourse.errors import ConfigError

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


def test_pictures_come_from_a_part_that_is_measured(tmp_path) -> None:
    pictures = {"name": "synthetic_images", "samples": 60, "classes": 3, "image_size": 4}
    config = CONFIG | {
        "data": pictures | {"split": {"val": 20, "test": 20}},
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
