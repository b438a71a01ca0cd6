"""Stochastic weight averaging by ``train.swa``: the mean, batch norm's statistics for it, resume, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, config
from dlcourse.autograd import Tensor
from dlcourse.errors import ConfigError
from dlcourse.experiment import fit
from dlcourse.training.callback import Every
from dlcourse.training.checkpoints.callback import Checkpointing
from dlcourse.training.checkpoints.file_format import read
from dlcourse.training.weight_averaging import averaging_steps

from .samples import IMAGES, LINE, NET, changed, same_run
from .test_resume import go, killed_at

STEPS = 6
"""Of an epoch: 90 samples in batches of 16."""
AVERAGED: dict[str, Any] = changed(NET, train={"ema": None, "epochs": 4, "swa": {"start": 2}})
NORMED: dict[str, Any] = changed(AVERAGED, model={"batch_norm": True})


def flat(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([array.reshape(-1) for name, array in sorted(arrays.items()) if "running" not in name])


def test_the_mean_of_the_weights_after_each_epoch_is_what_is_judged_and_loaded(tmp_path: Path) -> None:
    constant = changed(AVERAGED, optimizer={"schedule": None})
    result = go(constant, tmp_path)
    without = [go(changed(constant, train={"swa": None, "epochs": n}), tmp_path).model.state_dict() for n in (2, 3, 4)]
    mean, weights = flat(result.model.state_dict()), [flat(each) for each in without]
    np.testing.assert_allclose(mean, np.mean(weights, axis=0), rtol=1e-5, atol=1e-7)
    found = read(result.folder / "checkpoints/last.safetensors")
    np.testing.assert_array_equal(flat(found.group("model")), weights[-1])
    assert found.state["train_step"]["swa"]["count"] == 3
    run = dl.load_run(result.folder)
    np.testing.assert_array_equal(flat(run.model.state_dict()), mean)
    evaluations = [line["metrics"] for line in result.history if line["event"] == "eval"]
    assert result.metrics["val"] == evaluations[-1]["val"]
    assert "the mean of the weights after 3 steps" in (result.folder / "log.txt").read_text()


def test_batch_norms_statistics_belong_to_the_mean_and_training_keeps_its_own(tmp_path: Path) -> None:
    result, plain = go(NORMED, tmp_path), go(changed(NORMED, train={"swa": None}), tmp_path)
    raw = read(result.folder / "checkpoints/last.safetensors").group("model")
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(raw[name], array, err_msg=name)
    loaded = dl.load_run(result.folder).model.state_dict()
    for name, array in result.model.state_dict().items():
        np.testing.assert_array_equal(loaded[name], array, err_msg=name)
        assert not np.array_equal(raw[name], array), name


def test_the_statistics_are_the_means_over_the_training_batches(device: str) -> None:
    done = fit(config.from_mapping(NORMED), device)
    linear, norm = done.model.layers[1], done.model.layers[2]
    batches = [linear(Tensor(x)).numpy() for x in done.experiment._training_inputs((0, 0))]
    assert len(batches) == STEPS
    mean, variance = map(backend.to_host, (norm.running_mean, norm.running_var))
    np.testing.assert_allclose(mean, np.mean([b.mean(axis=0) for b in batches], axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([b.var(axis=0, ddof=1) for b in batches], axis=0), rtol=1e-4)


@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize("steps", [(3, 13), (STEPS * 3,), (STEPS * 4 - 1,)], ids=str)
def test_it_goes_on_exactly(steps: tuple[int, ...], every: int | None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Checkpointing, "MIN_SECONDS", 0.0)
    given = changed(NORMED, train={"checkpoint_every": every, "swa": {"start": 0.5, "every": 0.4}, "eval_every": 2})
    whole = go(given, tmp_path / "whole").folder
    broken = killed_at(monkeypatch, given, tmp_path / "broken", *steps)
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


def test_images_in_half_precision_with_groups_and_early_stopping(tmp_path: Path) -> None:
    stopping = {"metric": "cross_entropy", "patience": 1}
    train = {"ema": None, "epochs": 6, "swa": {"start": 1}, "early_stopping": stopping, "accumulate": 2}
    model = {"name": "mlp", "hidden": [8], "batch_norm": True}
    groups = [{"match": "*.bias", "weight_decay": 0.1}]
    given = changed(IMAGES, model=model, train=train, precision="bf16", optimizer={"groups": groups, "schedule": None})
    result = go(given, tmp_path)
    loaded = dl.load_run(result.folder)
    for name, array in result.model.state_dict().items():
        np.testing.assert_array_equal(loaded.model.state_dict()[name], array, err_msg=name)
    values = [line["metrics"]["val"]["cross_entropy"] for line in result.history if line["event"] == "eval"]
    assert result.metrics["val"]["cross_entropy"] == pytest.approx(min(values), rel=1e-2)


def test_before_it_begins_the_weights_themselves_are_judged(tmp_path: Path) -> None:
    result, plain = go(AVERAGED, tmp_path), go(changed(AVERAGED, train={"swa": None}), tmp_path)
    both = [[line["metrics"] for line in each.history if line["event"] == "eval"] for each in (result, plain)]
    assert both[0][:2] == both[1][:2] and both[0][2] != both[1][2]


def test_it_is_lengthened_where_the_mean_stays_the_same(tmp_path: Path) -> None:
    given = changed(AVERAGED, optimizer={"schedule": None})
    whole = go(changed(given, train={"epochs": 6}), tmp_path).folder
    first = go(given, tmp_path).folder
    go(None, tmp_path, resume=first, overrides={"train.epochs": 6})
    same_run(whole, first)
    share = go(changed(given, train={"swa": {"start": 0.5}}), tmp_path).folder
    with pytest.raises(ConfigError, match=r"train.swa.start: is a share of the training: step 12 of 24, step 18 of 36"):
        go(None, tmp_path, resume=share, overrides={"train.epochs": 6})


@pytest.mark.parametrize(
    ("settings", "steps", "first", "between"),
    [
        ({"start": 0.75, "every": 1.0}, 1000, 700, 100),
        ({"start": 0.75, "every": 0.1}, 1000, 750, 10),
        ({"start": 3, "every": 2.0}, 1000, 300, 200),
        ({"start": 0.001, "every": 0.001}, 100, 1, 1),
    ],
)
def test_when_weights_are_taken_in(settings: dict[str, Any], steps: int, first: int, between: int) -> None:
    due = averaging_steps(settings, steps, 100)
    assert due == Every(between, start=first)
    assert [step for step in range(1, steps + 1) if step in due] == list(range(first, steps + 1, between))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (changed(AVERAGED, train={"ema": 0.9}), "train.swa: ema and swa exclude each other"),
        (changed(AVERAGED, train={"swa": {"start": 4}}), r"train.swa: the training has 4 epochs \(24 steps\); from"),
        (changed(AVERAGED, train={"swa": {"start": 0.5, "every": 9}}), "fewer than two weights for a mean"),
        (changed(AVERAGED, train={"swa": {"start": 0}}), "train.swa.start"),
        (changed(AVERAGED, train={"swa": {"start": 1.0}}), "train.swa.start"),
        (changed(AVERAGED, train={"swa": {"start": -0.5}}), "train.swa.start"),
        (changed(AVERAGED, train={"swa": {"every": 0}}), "train.swa.every"),
        (changed(AVERAGED, train={"swa": True}), r"train.swa: .*start: 0.75"),
        (changed(AVERAGED, train={"swa": 0.99}), "train.swa"),
        (changed(AVERAGED, train={"swa": {"lr": 0.1}}), "train.swa.lr: unknown key"),
        (changed(LINE, train={"swa": {}}), "train.swa: has no effect with the optimizer least_squares"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        go(given, tmp_path)
    assert list(tmp_path.iterdir()) == []
