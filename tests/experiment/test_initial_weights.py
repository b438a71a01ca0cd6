"""``train.init_from``, ``reinit`` and ``freeze``: transfer learning in three lines."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend
from dlcourse.config import from_mapping
from dlcourse.data import Normalizer
from dlcourse.errors import ConfigError
from dlcourse.experiment import load_run
from dlcourse.experiment.gradients import check_gradients
from dlcourse.experiment.initial_weights import Source, freeze, notes
from dlcourse.experiment.trained import evaluate_run
from dlcourse.nn import BatchNorm, Linear, Sequential
from dlcourse.sweeps import run_sweep

from .samples import changed

MANY: dict[str, Any] = {
    "name": "many",
    "device": "cpu",
    "data": {"name": "synthetic_images", "samples": 150, "classes": 5, "image_size": 8, "split": {"val": 0.2}},
    "model": {"name": "vgg", "layers": [4, "pool", 6, "pool"]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 0.1},
    "metrics": ["accuracy"],
    "train": {"epochs": 2, "batch_size": 30, "ema": 0.5, "checkpoint_every": 3},
}
FEW = changed(MANY, name="few", data={"classes": 3})


def test_other_tokens_are_said_once_where_they_are_the_classes() -> None:
    """As of a text, where the next one is to be told."""
    source = Source({}, "runs/x", class_names=["a", "b"], token_names=["a", "b"])
    for tokens, said in ((("a", "c"), "other tokens: 'b' (here 'c')"), ((), "other classes, or in another order: 'b'")):
        named = SimpleNamespace(feature_names=(), token_names=tokens, class_names=("a", "c"))
        data: Any = SimpleNamespace(dataset=named, class_names=["a", "c"], target_normalizer=None)
        data.normalizer = Normalizer(np.zeros(1), np.ones(1))
        (note,) = notes(source if tokens else replace(source, token_names=()), data, ())
        assert said in note


def go(config: dict, out: Path, **train: Any):
    return dl.run(changed(config, train=train), out=out, quiet=True, plots=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return go(MANY, tmp_path_factory.mktemp("source")).folder


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return load_run(folder).model.state_dict()


def test_a_frozen_body_stays_bit_for_bit_what_it_was_and_a_new_head_learns(source: Path, tmp_path: Path) -> None:
    before = arrays(source)
    head = next(name.rpartition(".")[0] for name, array in before.items() if array.shape[0] == 5)
    body = [module for module in dict.fromkeys(name.rpartition(".")[0] for name in before) if module != head]
    found = go(FEW, tmp_path, init_from=str(source), reinit=[head], freeze=body)
    after = arrays(found.folder)
    for name in before:
        same = before[name].shape == after[name].shape and np.array_equal(before[name], after[name])
        assert same == (not name.startswith(head)), name  # running statistics too
    trained = [name for name, _ in found.model.named_parameters() if not name.startswith(head)]
    log = (found.folder / "log.txt").read_text()
    count = len(before)
    assert f"initial weights: {count - 2} of {count} arrays from {source}" in log
    assert f"new: {head}.weight (3, 24), {head}.bias (3,)" in log
    assert f"frozen: {sum(after[n].size for n in trained):,} of " in log


def test_all_of_it_is_where_training_begins(source: Path, tmp_path: Path) -> None:
    found = go(MANY, tmp_path, init_from=str(source), steps=1, epochs=None, ema=None)
    first = found.history[0]["loss"]
    fresh = go(MANY, tmp_path / "fresh", steps=1, epochs=None, ema=None).history[0]["loss"]
    assert first < fresh


@pytest.mark.parametrize("form", ["checkpoint", "safetensors", "npz"])
def test_a_file_does_as_well_as_a_run(source: Path, tmp_path: Path, form: str) -> None:
    path = source / "checkpoints" / "last.safetensors"
    if form != "checkpoint":
        path = tmp_path / f"weights.{form}"
        load_run(source).export(path)
    one = go(MANY, tmp_path / "file", init_from=str(path))
    two = go(MANY, tmp_path / "run", init_from=str(source))
    assert one.metrics == two.metrics


def test_a_resumed_run_needs_the_source_no_more(source: Path, tmp_path: Path) -> None:
    borrowed = tmp_path / "borrowed"
    shutil.copytree(source, borrowed)
    settings = {"init_from": str(borrowed), "freeze": ["layers.0"]}
    whole = go(MANY, tmp_path / "whole", **settings, epochs=4)
    part = go(MANY, tmp_path / "part", **settings)
    shutil.rmtree(borrowed)
    longer = dl.run(resume=part.folder, overrides={"train.epochs": 4}, quiet=True, plots=False)
    assert longer.metrics == whole.metrics
    for name, array in arrays(longer.folder).items():
        assert np.array_equal(array, arrays(whole.folder)[name])


def test_a_config_names_a_file_beside_it_and_a_sweep_tries_several(source: Path, tmp_path: Path, monkeypatch) -> None:
    load_run(source).export(tmp_path / "weights.safetensors")
    config = from_mapping(changed(MANY, train={"init_from": "weights.safetensors", "epochs": 1})).dump()
    (tmp_path / "config.yaml").write_text(config)
    monkeypatch.chdir(source)
    dl.run(tmp_path / "config.yaml", out=tmp_path / "runs", quiet=True, plots=False)
    sweep = {"sweep.grid": {"train.freeze": [[], ["layers.0"]]}}
    done = run_sweep(tmp_path / "config.yaml", overrides=sweep, out=tmp_path / "runs", quiet=True, plots=False)
    assert [point.status for point in done.points] == ["done", "done"]


@pytest.mark.parametrize(
    ("config", "train", "message"),
    [
        (
            FEW,
            {"init_from": "SOURCE"},
            r"is \(5, 24\) in it, \(3, 24\) in the model; .*train.reinit: \[layers.\d",
        ),
        (MANY, {"init_from": "SOURCE", "reinit": ["head"]}, r"reinit: 'head' matches no parameter"),
        (MANY, {"init_from": "SOURCE", "reinit": ["*"]}, "leaves nothing to take"),
        (MANY, {"freeze": ["layer.0"]}, r"freeze: 'layer.0' matches no parameter \(did you mean 'layers.0'"),
        (MANY, {"freeze": ["*"]}, "nothing is left to train"),
        (MANY, {"reinit": ["layers.0"]}, "train.reinit: all weights are new"),
        (MANY, {"init_from": "nowhere"}, "train.init_from: there is no run folder and no file nowhere"),
        (MANY, {"init_from": "SOURCE/config.yaml"}, "not a readable safetensors"),
        (changed(MANY, model={"layers": [4, "pool"]}), {"init_from": "SOURCE"}, "does not fit"),
        (MANY, {"init_from": "."}, "not a run folder"),
    ],
)
def test_what_does_not_fit_is_said(
    source: Path, tmp_path: Path, monkeypatch, config: dict, train: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    train = {key: value.replace("SOURCE", str(source)) if key == "init_from" else value for key, value in train.items()}
    with pytest.raises(ConfigError, match=message):
        go(config, tmp_path, **train)


def test_other_normalization_is_noted(source: Path, tmp_path: Path) -> None:
    config = changed(MANY, data={"normalize": "standardize"})
    found = go(config, tmp_path, init_from=str(source), epochs=1)
    assert "trained with inputs as they are, and here they come normalized" in (found.folder / "log.txt").read_text()


@pytest.mark.parametrize("suffix", ["", "npz"])
def test_other_classes_are_noted_unless_something_begins_anew(tmp_path: Path, suffix: str) -> None:
    first, last = ([f"class {index}" for index in indices] for indices in ((0, 1, 2), (4, 1, 3)))
    config = changed(MANY, data={"only_classes": first}, train={"epochs": 1})
    found = go(config, tmp_path)
    weights, trained = found.folder, load_run(found.folder)
    if suffix:
        trained.export(weights := tmp_path / f"weights.{suffix}")
    assert evaluate_run(trained) == found.metrics
    for classes, reinit, noted in ((first, [], False), (last, [], True), (last, ["layers.9"], False)):
        begun = changed(config, data={"only_classes": classes})
        log = (go(begun, tmp_path, init_from=str(weights), reinit=reinit).folder / "log.txt").read_text()
        assert ("other classes, or in another order: 'class 0' (here 'class 4'), 'class 2' (here" in log) == noted


@pytest.mark.parametrize("suffix", ["", "safetensors", "npz"])
def test_other_features_are_noted(tmp_path: Path, suffix: str) -> None:
    def config(features: list[str]) -> dict[str, Any]:
        data = {"name": "csv", "path": str(tmp_path / "flats.csv"), "target": "rent", "features": features}
        of = {"data": data, "model": "linear", "loss": "mse", "optimizer": {"name": "sgd", "lr": 1e-3}}
        return {**of, "name": "flats", "device": "cpu", "train": {"epochs": 1}}

    (tmp_path / "flats.csv").write_text("a,b,c,rent\n" + "".join(f"{i},{i % 3},{i % 5},{i % 7}\n" for i in range(12)))
    weights = go(config(["a", "b"]), tmp_path).folder
    if suffix:
        load_run(weights).export(tmp_path / f"weights.{suffix}")
        weights = tmp_path / f"weights.{suffix}"
    for features, note in (
        (["a", "b"], None),
        (["a", "c"], "was trained with other features: 'b' (here 'c')"),
        (["b", "a"], "was trained with these features in another order: 'a' (here 'b'), 'b' (here 'a')"),
    ):
        log = (go(config(features), tmp_path, init_from=str(weights)).folder / "log.txt").read_text()
        assert note in log if note else "was trained with" not in log


def test_a_closed_form_has_no_use_for_it() -> None:
    config = {"data": "westwood_rent", "model": "linear", "optimizer": "least_squares", "train": {"freeze": ["weight"]}}
    with pytest.raises(ConfigError, match=r"train.freeze: has no effect with the optimizer least_squares"):
        from_mapping(config)


def test_frozen_running_statistics_do_not_move(device: str) -> None:
    model = Sequential(BatchNorm(2), Linear(2, 1))
    freeze(model, ["0"])
    model.train()
    assert not model[0].training and model[1].training
    freeze(free := Sequential(BatchNorm(2), Linear(2, 1)), ["0.weight"])
    assert free.train()[0].training


def test_a_gradient_check_is_of_frozen_parts_too() -> None:
    config = from_mapping(changed(MANY, data={"samples": 20}, train={"freeze": ["layers.0"], "ema": None}))
    with backend.use("cpu") as cpu:
        found = check_gradients(config, cpu, entries=3)
    assert all(each.error < 1e-5 for each in found) and found[0].name.startswith("layers.0")
