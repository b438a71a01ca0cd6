"""What one key demands of another, found before anything runs."""

from typing import Any

import pytest

from dlcourse import config
from dlcourse.errors import ConfigError


def problems(given: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(given)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_epochs_default_to_one_where_there_are_no_steps(given: dict[str, Any]) -> None:
    assert config.from_mapping(given | {"train": {}}).data["train"]["epochs"] == 1
    steps = config.from_mapping(given | {"train": {"steps": 7}}).data["train"]
    assert (steps["epochs"], steps["steps"]) == (None, 7)
    assert "exclude each other" in problems(given | {"train": {"epochs": 1, "steps": 7}})["train.steps"]


@pytest.mark.parametrize(
    ("split", "path", "message"),
    [
        ({"train": 0.6, "val": 0.3, "test": 0.2}, "data.split", "add up to more than 1: 0.6 + 0.3 + 0.2 = 1.1"),
        ({"val": 0.5, "test": 0.5}, "data.split", "nothing is left for training"),
        ({"val": 1.0}, "data.split", "nothing is left for training"),
        ({"train": 0}, "data.split.train", "no training without samples"),
        ({"train": 0.0}, "data.split.train", "no training without samples"),
    ],
)
def test_splits_that_cannot_be(given: dict[str, Any], split: dict[str, Any], path: str, message: str) -> None:
    given["data"]["split"] = split
    found = problems(given)
    assert list(found) == [path]
    assert message in found[path]


@pytest.mark.parametrize(
    "split", [{"train": 0.7, "val": 0.2, "test": 0.1}, {"val": 20, "test": 0.2}, {"train": 60, "val": 20}, {"test": 1}]
)
def test_splits_that_can_be(given: dict[str, Any], split: dict[str, Any]) -> None:
    given["data"]["split"] = split
    assert config.from_mapping(given).data["data"]["split"] == {"train": None, "val": 0, "test": 0} | split


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "gpt", "width": 10, "heads": 3}, "gpt: width 10 does not fall into 3 heads"),
        ({"name": "gpt", "heads": 4, "num_kv_heads": 3}, "gpt: 4 heads do not share 3 of keys and values evenly"),
        ({"name": "vit", "heads": 5}, "vit: width 128 does not fall into 5 heads"),
        ({"name": "masked_lm", "width": 6}, "masked_lm: width 6 does not fall into 4 heads"),
        ({"name": "gpt", "width": -1, "heads": 3}, None),
        ({"name": "resnet", "depth": 21}, "resnet: depth is 6 n + 2 (8, 14, 20, 32, 44, 56, 110), got 21"),
        ({"name": "wide_resnet", "depth": 9}, "wide_resnet: depth is 6 n + 4 (10, 16, 22, 28, 40), got 9"),
        ({"name": "cnn", "channels": [4], "hidden": [], "kernel_size": 4},
         "cnn: kernel_size is odd, so that the image keeps its size, got 4"),
        ({"name": "conv1d", "channels": [4, 4], "dilations": [1]},
         "conv1d: 1 dilations for 2 channels, expected as many"),
        ({"name": "mlp", "hidden": [4], "batch_norm": True, "layer_norm": True},
         "mlp: batch_norm and layer_norm cannot both be true; choose one"),
        ({"name": "diffusion", "steps": 10, "sampler_steps": 50},
         "a sampler takes 1 to 10 steps of this diffusion, got 50"),
        ({"name": "vit", "batch_norm": True},
         "vit: batch_norm is of the tokenizer's convolutions, and there is no tokenizer"),
        ({"name": "cnn", "channels": [4], "hidden": [], "kernel_size": -1}, None),
    ],
)  # fmt: skip
def test_what_needs_no_data_is_checked_before_them(
    given: dict[str, Any], model: dict[str, Any], message: str | None
) -> None:
    assert problems(given | {"model": model}).get("model") == message


def test_folds(given: dict[str, Any]) -> None:
    given["data"]["kfold"] = {"folds": 3, "fold": 3}
    assert problems(given) == {"data.kfold.fold": "expected 0 to 2, got 3"}


@pytest.mark.parametrize("section", ["early_stopping", "best"])
def test_the_watched_metric_is_measured(given: dict[str, Any], section: str) -> None:
    watched = {"metric": "t_distanse"} | ({"patience": 3} if section == "early_stopping" else {})
    given["train"][section] = watched
    found = problems(given)
    assert list(found) == [f"train.{section}.metric"]
    message = "'t_distanse' is not measured (did you mean 't_distance'? valid: loss, t_distance; add it to metrics)"
    assert found[f"train.{section}.metric"] == message
    for metric in ("loss", "t_distance"):
        watched["metric"] = metric
        assert config.from_mapping(given).data["train"][section]["metric"] == metric


def test_a_metric_with_parameters_is_watched_by_its_label(given: dict[str, Any]) -> None:
    given["metrics"] = [{"name": "t_distance", "order": 1}, {"name": "t_distance", "order": 2}]
    given["train"]["best"] = {"metric": "t_distance(order=1)"}
    labels = ["t_distance(order=1)", "t_distance"]  # 2 is the default
    assert config.metric_labels(config.from_mapping(given).data["metrics"]) == labels
    for metric, label in [(labels[0], labels[0]), ("t_distance", labels[1]), ("t_distance(order=2)", labels[1])]:
        given["train"]["best"] = {"metric": metric}
        assert config.from_mapping(given).data["train"]["best"]["metric"] == label
    given["metrics"] = [{"name": "t_distance", "order": 1}]
    given["train"]["best"] = {"metric": "t_distance"}
    assert config.from_mapping(given).data["train"]["best"]["metric"] == labels[0]
    given["train"]["best"] = {"metric": "t_distance(order=3)"}
    assert list(problems(given)) == ["train.best.metric"]


def test_the_label_of_a_metric_says_what_was_changed() -> None:
    specs = [
        {"name": "f1", "average": "macro", "label": 1},
        {"name": "f1", "average": "macro", "label": None},
        {"name": "precision", "average": "weighted", "label": None},
        {"name": "average_precision", "average": "macro", "label": None},
        {"name": "top_k", "k": 2},
        {"name": "accuracy"},
    ]
    assert config.metric_labels(specs) == [
        "f1(label=1)",
        "f1",
        "precision(average=weighted)",
        "average_precision(average=macro)",
        "top_k(k=2)",
        "accuracy",
    ]


def test_title_unit_and_direction_come_from_the_metric() -> None:
    assert config.metric_facts("top_k(k=3)") == {"title": "top-k accuracy (k=3)", "unit": "", "higher_is_better": True}
    assert not config.metric_facts("half_sse")["higher_is_better"] and config.metric_facts("rmse")["unit"] == "target"
    assert config.metric_facts("perplexity")["title"] == "perplexity"  # not that of the metric it is made from
    assert config.metric_facts("my_own") == {"title": "my own", "unit": "", "higher_is_better": False}


def test_the_watched_split_is_there(given: dict[str, Any]) -> None:
    given["data"]["split"] = {"test": 0.2}
    given["train"]["best"] = {"metric": "loss"}
    assert problems(given) == {
        "train.best.split": "there is no validation split: give data.split.val or data.kfold, or say split: train"
    }
    given["train"]["best"]["split"] = "train"
    config.from_mapping(given)
    del given["train"]["best"]["split"]
    config.from_mapping(given | {"sweep": {"kfold": 3}})
    given["data"]["kfold"] = {"folds": 3}
    config.from_mapping(given)


def test_a_metric_twice(given: dict[str, Any]) -> None:
    given["metrics"] = ["t_distance", {"name": "t_distance", "order": 2}]
    assert problems(given) == {"metrics.1": "t_distance stands here twice"}


def test_a_closed_form_takes_no_part_in_descent(given: dict[str, Any]) -> None:
    given["optimizer"] = {"name": "t_solve", "schedule": "t_ramp"}
    stopping = {"metric": "loss", "patience": 3}
    given["train"] = {"clip_norm": 1.0, "l2": 0.1, "accumulate": 2, "ema": 0.9, "early_stopping": stopping}
    given["data"]["augment"] = {"flip": True}
    found = problems(given)
    assert set(found) == {"optimizer.schedule", "data.augment", *(f"train.{key}" for key in given["train"])}
    assert all("t_solve, which solves in one step" in message for message in found.values())
    # Values that say "none" are fine: so a resolved config is.
    given["data"]["augment"] = None
    config.from_mapping(given | {"optimizer": "t_solve", "train": {"clip_norm": None, "l2": 0, "accumulate": 1}})


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_closed_form_needs_more_than_16_bits(given: dict[str, Any], precision: str) -> None:
    given |= {"precision": precision}
    config.from_mapping(given)
    found = problems(given | {"optimizer": "t_solve", "train": {}})
    assert found == {"precision": "t_solve solves for the weights, which 16 bits cannot; take float32 or float64"}


def test_only_a_closed_form_goes_without_loss(given: dict[str, Any]) -> None:
    del given["loss"]
    assert problems(given)["loss"].startswith("required, but missing (valid: ")
    assert config.from_mapping(given | {"optimizer": "t_solve"}).data["loss"] is None


def test_rules_hold_where_other_parts_are_wrong(given: dict[str, Any]) -> None:
    given["data"] |= {"split": {"train": 0.9, "val": 0.9}, "noise": "x"}
    given["train"] = {"epochs": 1, "steps": 1, "clip_norm": "x"}
    assert set(problems(given)) == {"data.split", "data.noise", "train.steps", "train.clip_norm"}


def test_the_loss_is_not_watched_where_there_is_none(given: dict[str, Any]) -> None:
    del given["loss"]
    given |= {"optimizer": "t_solve", "train": {"best": {"metric": "loss"}}}
    assert "'loss' is not measured (valid: t_distance; add it" in problems(given)["train.best.metric"]


def test_early_stopping_needs_evaluations(given: dict[str, Any]) -> None:
    given["train"] |= {"eval_every": 0, "early_stopping": {"metric": "loss", "patience": 3}}
    assert problems(given) == {"train.eval_every": "0 evaluates at the end only: nothing to stop early by"}


@pytest.mark.parametrize(
    ("sections", "path", "task"),
    [
        ({"loss": "mse"}, "loss.name", "classification"),
        ({"model": "linear"}, "model.name", "classification"),
        ({"optimizer": "least_squares"}, "optimizer.name", "classification"),
        ({"metrics": ["accuracy", "r2"]}, "metrics.1", "classification"),
        ({"data": {"name": "polynomial_curve"}, "metrics": ["accuracy"]}, "metrics.0", "regression"),
        ({"data": {"name": "csv", "path": "x.csv", "target": "y", "task": "regression"}}, "loss.name", "regression"),
        ({"data": "cifar10", "loss": "mse"}, "loss.name", "classification"),
        ({"data": "mnist", "loss": "mse"}, "loss.name", "classification"),
        ({"data": {"name": "text", "path": "x.txt"}, "loss": "mse"}, "loss.name", "classification"),
        ({"sweep": {"grid": {"loss": ["cross_entropy", "mse"]}}}, "sweep.grid.loss.1", "classification"),
    ],
)
def test_what_is_not_for_these_data_is_found_before_they_are_loaded(sections, path, task) -> None:
    base = {"data": "spirals", "model": {"name": "mlp", "hidden": [4]}, "loss": "cross_entropy"}
    found = problems({**base, "optimizer": {"name": "sgd", "lr": 0.1}, **sections})
    assert f", the data are for {task}" in found[path]


def test_data_that_do_not_say_what_they_are_for_are_judged_when_loaded() -> None:
    data = {"name": "csv", "path": "x.csv", "target": "y"}
    config.from_mapping({"data": data, "model": "linear", "loss": "mse", "optimizer": "least_squares"})


def test_a_class_by_its_number_and_by_its_name_is_one_metric(given: dict[str, Any]) -> None:
    given["metrics"] = [{"name": "t_distance", "order": 3}, "t_distance"]
    config.from_mapping(given)
    labels = [{"name": "f1", "label": 1}, {"name": "f1", "label": "1"}]
    assert problems({**given, "metrics": labels})["metrics.1"] == "f1 stands here twice"


def test_values_to_try_without_a_grid(given: dict[str, Any]) -> None:
    message = "unknown key; to try several values: sweep: {grid: {optimizer.lr: [...]}}"
    assert problems({**given, "sweep": {"optimizer.lr": [0.1, 0.2]}})["sweep.optimizer.lr"] == message
