"""``optimizer.groups`` of a config: what it trains, what is refused, what is shown."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, config
from dlcourse.commands import show
from dlcourse.errors import ConfigError
from dlcourse.experiment.experiment import Experiment

BASE = {
    "data": {"name": "spirals", "samples": 60, "split": {"val": 0.2}},
    "model": {"name": "mlp", "hidden": [5, 5]},
    "loss": "cross_entropy",
    "train": {"epochs": 2, "batch_size": 16},
}
GROUPS = [
    {"match": "*.bias", "weight_decay": 0},
    {"match": "layers.5", "lr": 0.5},
    {"match": "*", "ndim": 2, "optimizer": {"name": "muon", "lr": 0.02}},
]


def made(groups: Any, **changes: Any) -> Experiment:
    given = {**BASE, "optimizer": {"name": "adamw", "lr": 0.01, "schedule": "cosine", "groups": groups}, **changes}
    return Experiment.from_config(config.from_mapping(given), backend.get("cpu"))


def test_each_parameter_is_in_the_first_group_that_matches() -> None:
    experiment = made(GROUPS)
    optimizer = experiment.train_step().optimizer
    names = {id(p): name for name, p in experiment.model.named_parameters()}
    found = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
    assert found == [
        ["layers.1.bias", "layers.3.bias", "layers.5.bias"],
        ["layers.5.weight"],
        ["layers.1.weight", "layers.3.weight"],
    ]
    assert [type(member).__name__ for member in optimizer.members] == ["AdamW", "AdamW", "Muon"]
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.5, 0.02]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0.01, 0.1]


def test_training_goes_on_exactly_from_a_state() -> None:
    through, half = made(GROUPS), made(GROUPS)
    steps = [each.train_step() for each in (through, half)]
    for k in range(3):
        for step, each in zip(steps, (through, half), strict=True):
            step(*each.loader.batch(k))
    resumed = made(GROUPS)
    last = resumed.train_step()
    resumed.model.load_state_dict(half.model.state_dict())
    last.load_state_dict(steps[1].state_dict())
    for k in range(3, 6):
        steps[0](*through.loader.batch(k))
        last(*resumed.loader.batch(k))
    for name, array in through.model.state_dict().items():
        np.testing.assert_array_equal(array, resumed.model.state_dict()[name])


def test_a_group_has_a_schedule_of_its_own(tmp_path) -> None:
    own = {"match": "*.bias", "schedule": {"name": "linear", "total_iters": 4}}
    step = made([own, {"match": "layers.5", "lr": 0.5}]).train_step()
    total = step.schedule.total_steps
    shared = [step.schedule.factor(k) for k in range(total)]
    assert [step.rates_at(k) for k in (0, 3, 5)] == [
        pytest.approx([0.01 * shared[k], 0.01 * max(0, 1 - k / 4), 0.5 * shared[k]]) for k in (0, 3, 5)
    ]
    # Steps taken by a schedule of the whole length are others in a longer training, also where only a group has one.
    given = {**BASE, "optimizer": {"name": "sgd", "lr": 0.1, "groups": [{"match": "*.bias", "schedule": "linear"}]}}
    folder = dl.run(given, out=tmp_path, quiet=True, plots=False, device="cpu").folder
    with pytest.raises(ConfigError, match="optimizer.groups.0.schedule: linear is spread over the whole training"):
        dl.run(resume=folder, overrides={"train.epochs": 3}, quiet=True)


def test_the_average_that_is_kept_is_the_one_that_is_loaded(tmp_path) -> None:
    """Groups lie in another order than the model's parameters."""
    given = {**BASE, "optimizer": {"name": "sgd", "lr": 0.1, "groups": [{"match": "*.bias", "lr": 0.5}]}}
    given["train"] = {**BASE["train"], "ema": 0.5}
    result = dl.run(given, out=tmp_path, quiet=True, plots=False, device="cpu")
    loaded = dl.load_run(result.folder).model.state_dict()
    for name, array in result.model.state_dict().items():
        np.testing.assert_array_equal(array, loaded[name])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([{"match": "*.biass"}], "groups.0.match: .*biass' matches no parameter .*layers.1, layers.3"),
        ([{"match": "*.bias", "momentum": 1}], "groups.0.momentum: unknown key"),
        ([{"match": "*.bias", "lr": -1}], "groups.0.lr: expected a number of at least 0"),
        (
            [{"match": "*.bias", "optimizer": "muon"}],
            "groups.0: muon takes parameters with 2 or more axes.* not layers.1.bias.*ndim: 2",
        ),
        ([{"match": "*", "lr": 1, "optimizer": "adam"}], "groups.0.lr: this group has an optimizer of its own"),
        ([{"weight_decay": 0}], "groups.0.match: required"),
        ({"match": "a"}, "groups: expected a list"),
        ([{"match": "*.bias", "ndim": 3}], "groups.0.match: .*3 axes"),
        ([{"match": "*"}, {"match": "*.bias"}], "groups.1.match: .*in groups before it"),
        (
            [{"match": "*", "optimizer": {"name": "adam", "schedule": "cosine"}}],
            "optimizer.schedule: is a key of the group",
        ),
        ([{"match": "*", "optimizer": "least_squares"}], "optimizer.name: least_squares solves in one step"),
        (
            [{"match": "*.bias", "schedule": {"name": "plateau", "metric": "loss"}}],
            "groups.0.schedule: plateau watches",
        ),
        ([{"match": "*.bias", "schedule": {"name": "step", "step_size": 0}}], "groups.0.schedule.step_size: expected"),
        ([{"match": "*.bias", "schedule": "cosin"}], "groups.0.schedule.*cosine"),
        ([5], "groups.0: expected a mapping"),
    ],
)
def test_what_is_wrong_is_named(groups: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(groups)


def test_a_closed_form_has_no_groups() -> None:
    given = {**BASE, "optimizer": {"name": "least_squares", "groups": [{"match": "*"}]}}
    with pytest.raises(ConfigError, match="optimizer.groups: has no effect"):
        config.from_mapping(given)


def test_muon_alone_names_what_it_does_not_take() -> None:
    with pytest.raises(
        ConfigError, match=r"optimizer: muon takes parameters with 2 or more.*layers.1.bias.*by optimizer.groups"
    ):
        made(None, optimizer={"name": "muon"})


def test_show_lists_the_groups() -> None:
    text = show._model(made(GROUPS).config)
    assert "parameter groups:" in text
    assert "AdamW(lr=0.01, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0" in text
    assert "Muon(lr=0.02" in text and "35 parameters: layers.1.weight, layers.3.weight" in text


def test_one_batch_is_learned_by_heart_without_the_groups_decay(tmp_path) -> None:
    groups = [{"match": "*.bias", "weight_decay": 5.0}, {"match": "*", "optimizer": {"name": "muon", "lr": 0.05}}]
    given = {**BASE, "optimizer": {"name": "adamw", "lr": 0.02, "groups": [groups[0], {**groups[1], "ndim": 2}]}}
    result = dl.run(given, out=tmp_path, quiet=True, device="cpu", overfit_batch=True)
    assert result.metrics
