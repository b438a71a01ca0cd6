"""A net trained against an attack, and trained nets under attack."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, plots
from dlcourse.cli import main
from dlcourse.data import prepare
from dlcourse.errors import ConfigError
from dlcourse.experiment.attacking import AttackResult
from dlcourse.experiment.building import build_attack
from dlcourse.experiment.masking import masking_notes
from dlcourse.sweeps import run_sweep
from tests.configs.reduced import pictures

DATA = {
    "name": "synthetic_images",
    "samples": 600,
    "classes": 4,
    "image_size": 8,
    "channels": 1,
    "noise": 10,
    "shift": 1,
}
DATA |= {"negatives": 0.0, "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"}
PGD = {"name": "pgd", "epsilon": 0.06, "steps": 3}


def config(attack: dict | None = None, **more: Any) -> dict:
    return {
        "name": "attacked",
        "device": "cpu",
        "data": DATA,
        "model": {"name": "mlp", "hidden": [32]},
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "lr": 5e-3},
        "metrics": ["accuracy"],
        "train": {"steps": 120, "batch_size": 50, "attack": attack},
    } | more


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("attacked")
    return [dl.run(config(each), out=folder, quiet=True, plots=False).folder for each in (None, PGD)]


def test_training_against_an_attack_keeps_more_under_it(
    runs: list[Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = plots.draw
    kept = []
    monkeypatch.setattr(plots, "draw", lambda path: None if path == runs[1] else drawn(path))
    for run in runs:
        assert main(["attack", str(run), "--attack", "pgd", "--epsilon", "0.03,0.06", "steps=10"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split() == ["attack", "epsilon", "accuracy", "sure", "when", "wrong", "random", "perturbation"]
        kept.append([float(each) for each in lines[3].split()])
        with np.load(run / "attack-pgd-steps-10.npz") as arrays:
            assert arrays["accuracy"][1] == pytest.approx(kept[-1][1], abs=1e-4)
            assert arrays["attack_originals"].shape == arrays["attack_changed"].shape == (10, 8, 8, 1)
            moved = np.abs(arrays["attack_changed"] - arrays["attack_originals"]).max()
            assert moved == pytest.approx(0.06 * 255, rel=0.01)
    (_, plain, _, control), (_, robust, _, _) = kept
    assert plain + 0.1 < robust and plain + 0.2 < control
    assert {path.stem for path in (runs[0] / "plots").glob("attack*.png")} == {"attack_accuracy", "attacked_images"}


def test_the_smallest_perturbations_and_transfer(
    runs: list[Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "draw", lambda path: None)  # it is drawn above
    assert main(["attack", str(runs[0]), "--attack", "deepfool", "--count", "30"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["mean", "length", "median"]
    assert main(["attack", str(runs[0]), "--epsilon", "0.1", "--source", str(runs[1])]) == 0
    assert "fgsm on 120 inputs of the test split" in capsys.readouterr().out


ATTACKS = [
    {"name": "fgsm", "epsilon": 0.06, "sizes": 3},
    {"name": "pgd", "epsilon": 0.06, "steps": 5, "sizes": 3, "count": 60},
    {"name": "universal", "epsilon": 0.1, "sizes": 1, "split": "val"},
    {"name": "deepfool", "count": 20},
]


def test_a_config_holds_the_attacks_that_end_it(runs: list[Path], tmp_path: Path) -> None:
    transfer = {"name": "fgsm", "epsilon": 0.06, "sizes": 1, "source": str(runs[1])}
    result = dl.run(config() | {"attacks": [*ATTACKS, transfer]}, out=tmp_path, quiet=True, plots=False)
    again = dl.load_run(result.folder)
    with np.load(result.folder / "attack-fgsm.npz") as fgsm, np.load(result.folder / "attack-deepfool.npz") as fool:
        assert fgsm["epsilons"] == pytest.approx([0.02, 0.04, 0.06]) and int(fgsm["count"]) == 120
        assert result.metrics["test"]["accuracy(fgsm, epsilon=0.06)"] == fgsm["accuracy"][2] < fgsm["accuracy"][0]
        assert 0.25 < fgsm["confidence"][2] <= 1 and (fgsm["control"] > fgsm["accuracy"][2]).all()
        assert str(fool["norm"]) == "l2" and len(fool["distances"]) >= 15 and int(fool["count"]) == 20
    named = f"accuracy(fgsm, source={runs[1]}, epsilon=0.06)"
    assert result.metrics["test"][named] > result.metrics["test"]["accuracy(fgsm, epsilon=0.06)"]
    assert "accuracy(universal, epsilon=0.1)" in result.metrics["val"]
    assert again.metrics == result.metrics  # result.json has them too
    log = (result.folder / "log.txt").read_text()
    assert "under attack" in log and "pgd(steps=5)" in log
    assert {"attack_accuracy", "attacked_images"} <= pictures(result.folder)


def result(label: str, accuracy: list[float], **more: Any) -> AttackResult:
    sizes = 0.1 * np.arange(1, 1 + len(accuracy))
    given = {"label": label, "split": "test", "count": 500, "clean": 0.99, "norm": "linf", "epsilons": sizes}
    given |= {"accuracy": np.array(accuracy), "confidence": np.full(len(sizes), 0.9), "distances": np.empty(0)}
    return AttackResult(**given | {"control": np.full(len(sizes), 0.95)} | more)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([result("fgsm", [0.5, 0.2]), result("pgd", [0.4, 0.0]), result("pgd(target=1)", [0.98], targeted=True)], None),
        ([result("fgsm", [0.5, 0.2]), result("pgd", [0.51, 0.22])], None),  # no more than chance
        ([result("fgsm", [0.9], unmoved=7)], "fgsm left 7 of 500 inputs that the net gets right as they are"),
        ([result("fgsm", [0.9], control=np.array([0.6]))], "random changes fool the net more than fgsm does"),
        ([result("pgd", [0.3, 0.6])], "pgd fools the net less at epsilon 0.2 than with a smaller one"),
        ([result("fgsm", [0.3]), result("pgd", [0.6])], "fgsm fools the net more than pgd, "),
        ([result("pgd(source=runs/other)", [0.3]), result("pgd", [0.6])], "pgd.source=runs/other. fools the net more"),
    ],
)
def test_signs_of_hidden_gradients(results: list[AttackResult], message: str | None) -> None:
    found = list(masking_notes(results))
    assert not found if message is None else len(found) == 1 and re.search(message, found[0])


def test_a_net_that_is_too_sure_has_no_gradient(tmp_path: Path) -> None:
    """Logits of thousands: softmax is 1 in float32, and the loss has the gradient 0."""
    sure = config() | {"model": "softmax", "optimizer": {"name": "sgd", "lr": 3000}, "attacks": ATTACKS[:1]}
    log = (dl.run(sure, out=tmp_path, quiet=True, plots=False).folder / "log.txt").read_text()
    assert re.search("note: fgsm left [0-9]+ of 120 inputs .* as they are: the loss has no gradient there", log)


@pytest.mark.parametrize("normalize", ["none", "standardize", "per_pixel", "mean_image", "minmax"])
def test_epsilon_is_a_share_of_the_pixels_range_however_they_are_normalized(normalize: str) -> None:
    data = prepare(dl.config.from_mapping(config() | {"data": DATA | {"normalize": normalize}}).data["data"], 0)
    dl.manual_seed(0)
    net = dl.nn.Sequential(dl.nn.Flatten(), dl.nn.Linear(64, 4))
    normalizer, raw = data.normalizer, data.splits["test"].x[:20]
    x = normalizer.apply(raw, np.float32)
    for spec in ({"name": "fgsm", "epsilon": 0.1}, {"name": "pgd", "epsilon": 1.0, "norm": "l2", "steps": 5}):
        found = build_attack(spec, data)(net, x, data.splits["test"].y[:20]) * normalizer.scale + normalizer.shift
        moved = (found - raw) / 255
        assert found.min() > -1e-3 and found.max() < 255 + 1e-3
        size = abs(moved).max() if spec["name"] == "fgsm" else np.sqrt((moved**2).sum(axis=(1, 2, 3))).max()
        assert size == pytest.approx(spec["epsilon"], rel=1e-3)


def test_epsilon_is_a_share_of_each_features_own_range(tmp_path: Path) -> None:
    """Features in units of their own, and one that never varies."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.uniform(0, 1000, 80), rng.uniform(-1, 1, 80), np.full(80, 7.0)])
    np.savez(tmp_path / "features.npz", x=x, y=(x[:, 0] > 500).astype(int))
    table = {
        "name": "arrays",
        "path": str(tmp_path / "features.npz"),
        "split": {"test": 0.25},
        "normalize": "standardize",
    }
    data = prepare(dl.config.from_mapping(config() | {"data": table}).data["data"], 0)
    net, normalizer, raw = dl.nn.Linear(3, 2, bias=False), data.normalizer, data.splits["test"].x
    net.weight.data[...] = [[-1, 0.3, 1], [1, -0.2, -1]]
    searches = {"name": "deepfool"}, {"name": "carlini_wagner", "steps": 20}
    for spec in ({"name": "fgsm", "epsilon": 0.1}, {"name": "pgd", "epsilon": 0.1, "norm": "l2"}, *searches):
        found = build_attack(spec, data)(net, normalizer.apply(raw, np.float32), data.splits["test"].y)
        moved = abs(found * normalizer.scale + normalizer.shift - raw)
        assert np.isfinite(moved).all() and (moved[:, 2] < 1e-5).all() and moved[:, 0].max() > 10
        if spec["name"] == "fgsm":
            width = data.splits["train"].x.max(axis=0) - data.splits["train"].x.min(axis=0)
            np.testing.assert_allclose(moved.max(axis=0), 0.1 * width, rtol=1e-3, atol=1e-4)


def test_training_is_the_same_with_attacks_at_its_end(tmp_path: Path) -> None:
    short = {"train": {"steps": 10, "batch_size": 50}}
    runs = [
        dl.run(config() | short | more, out=tmp_path, quiet=True, plots=False) for more in ({}, {"attacks": ATTACKS})
    ]
    plain, attacked = (run.metrics for run in runs)
    assert all(attacked[split][label] == value for split in plain for label, value in plain[split].items())


def test_nets_of_a_sweep_side_by_side(tmp_path: Path) -> None:
    points = {"sweep": {"zip": {"name": ["plain", "robust"], "train.attack": [None, PGD]}}, "attacks": ATTACKS[:1]}
    points["train"] = {"steps": 60, "batch_size": 50}
    found = run_sweep(config() | points, out=tmp_path, quiet=True, plots=False)
    assert "robustness" in pictures(found.folder)
    plain, robust = (point.metrics["test.accuracy(fgsm, epsilon=0.06)"] for point in found.points)
    assert plain < robust


def test_an_attack_that_fails_costs_no_run(tmp_path: Path) -> None:
    neighbors = {"model": "knn", "loss": None, "optimizer": "closed_form", "train": {}}
    result = dl.run(config() | neighbors | {"attacks": ATTACKS[:1]}, out=tmp_path, quiet=True, plots=False)
    assert result.metrics["test"]["accuracy"] > 0.5
    assert "the attack fgsm was not measured: " in (result.folder / "log.txt").read_text()


def test_a_trial_attacks_two_inputs(tmp_path: Path) -> None:
    attacks = {"attacks": [{"name": "pgd", "epsilon": 0.1}, "deepfool"]}
    assert (
        dl.run(config() | attacks, fast_dev_run=True, quiet=True, plots=False).metrics["test"][
            "accuracy(pgd, epsilon=0.1)"
        ]
        <= 1
    )


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        (["pdg"], "attacks.0.name: no attack 'pdg' \\(did you mean 'pgd'"),
        (["fgsm"], "attacks.0.epsilon: required, but missing"),
        ([{"name": "fgsm", "epsilon": 0}], "attacks.0.epsilon: 0 changes nothing"),
        ([{"name": "fgsm", "epsilon": 0.1, "sizes": 0}], "attacks.0.sizes: expected"),
        ([{"name": "deepfool", "sizes": 3}], "attacks.0.sizes: deepfool looks for the smallest change"),
        ([{"name": "fgsm", "epsilon": 0.1, "target": 4}], "attacks.0.target: the classes are 0..3, got 4"),
        ([{"name": "fgsm", "epsilon": 0.1, "cuont": 5}], "attacks.0.cuont: .*did you mean 'count'"),
        ([{"name": "fgsm", "epsilon": 0.1}, {"name": "fgsm", "epsilon": 0.1}], "attacks.1: fgsm stands here twice"),
        ([{"name": "deepfool", "source": "runs/nowhere"}], "attacks.0.source: there is no run folder runs/nowhere"),
        ([{"name": "deepfool", "source": "."}], "attacks.0.source: "),
        ({"name": "fgsm"}, "attacks: expected a list"),
    ],
)
def test_wrong_attacks(attacks: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dl.run(config() | {"attacks": attacks}, out=tmp_path, quiet=True, plots=False)


@pytest.mark.parametrize(
    ("apart", "labels"),
    [
        ([{}, {"split": "val"}], ["pgd(steps=5)", "pgd(steps=5, split=val)"]),
        ([{"count": 50}, {"count": 90}], ["pgd(steps=5, count=50)", "pgd(steps=5, count=90)"]),
        (
            [{"sizes": 6}, {"sizes": 1}, {"steps": 9, "sizes": 1}],
            ["pgd(steps=5)", "pgd(steps=5, sizes=1)", "pgd(steps=9)"],
        ),
        ([{}, {"epsilon": 0.2}], ["pgd(steps=5, epsilon=0.1)", "pgd(steps=5, epsilon=0.2)"]),
        ([{"count": 50, "split": "val"}], ["pgd(steps=5)"]),
    ],
)
def test_attacks_are_told_apart(apart: list[dict], labels: list[str]) -> None:
    given = [{"name": "pgd", "epsilon": 0.1, "steps": 5} | each for each in apart]
    specs = dl.config.from_mapping(config() | {"attacks": given}).data["attacks"]
    assert dl.config.attack_labels(specs) == labels
    assert result("pgd(steps=5, epsilon=0.1)", [0.5]).metrics == {"accuracy(pgd, steps=5, epsilon=0.1)": 0.5}


def test_a_run_goes_on_without_the_net_whose_gradients_its_attack_follows(
    runs: list[Path], tmp_path: Path, capsys
) -> None:
    """It is named beside the config, as data files are; once it is gone its attack is not measured, and the rest is."""
    shutil.copytree(runs[1], tmp_path / "source")
    attacks = {
        "attacks": [
            {"name": "fgsm", "epsilon": 0.06, "source": "source"},
            {"name": "fgsm", "epsilon": 0.06, "sizes": 1},
        ]
    }
    path = tmp_path / "transfer.yaml"
    path.write_text(json.dumps(config() | {"train": {"steps": 2}} | attacks))
    assert main(["validate", str(path)]) == 0
    assert "note" not in capsys.readouterr().out
    first = dl.run(path, out=tmp_path, quiet=True, plots=False)
    assert f"accuracy(fgsm, source={tmp_path / 'source'}, epsilon=0.06)" in first.metrics["test"]
    shutil.rmtree(tmp_path / "source")
    again = dl.run(resume=first.folder, overrides={"train.steps": 3}, quiet=True, plots=False)
    assert [name for name in again.metrics["test"] if "(" in name] == ["accuracy(fgsm, epsilon=0.06)"]
    log = (first.folder / "log.txt").read_text()
    for words in ("will not be", "was not"):
        assert f"source) {words} measured: there is no run folder {tmp_path / 'source'}\n" in log
    assert main(["validate", str(path)]) == 0
    assert (
        "note: attacks.0.source: there is no run folder and no file source; a run needs it" in capsys.readouterr().out
    )
    assert main(["run", str(path)]) == 2
    assert "transfer.yaml:1: attacks.0.source: there is no run folder source" in capsys.readouterr().err
    (tmp_path / "source").mkdir()
    assert main(["validate", str(path)]) == 2


def test_attacks_that_these_data_do_not_take(tmp_path: Path) -> None:
    no_test = {"data": DATA | {"split": {"val": 0.2}}, "attacks": ["deepfool"]}
    with pytest.raises(ConfigError, match="attacks.0.split: these data have no test split; there are: train, val"):
        dl.run(config() | no_test, out=tmp_path, quiet=True, plots=False)
    line = {"data": {"name": "sine_curve"}, "model": "linear", "loss": "mse", "metrics": [], "attacks": ["deepfool"]}
    with pytest.raises(ConfigError, match="attacks.0: changes inputs .* there are no classes here"):
        dl.run(config() | line, out=tmp_path, quiet=True, plots=False)


def test_a_run_that_goes_on_is_the_same_run(tmp_path: Path) -> None:
    short = {"train": {"steps": 10, "batch_size": 50, "attack": PGD}}
    whole = dl.run(config() | short, out=tmp_path, quiet=True, plots=False)
    half = dl.run(config() | short, overrides={"train.steps": 4}, out=tmp_path, quiet=True, plots=False)
    rest = dl.run(resume=half.folder, overrides={"train.steps": 10}, quiet=True, plots=False)
    assert rest.metrics == whole.metrics
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(array, rest.model.state_dict()[name])


def test_each_device_trains_against_an_attack_and_measures_others(device: str, tmp_path: Path) -> None:
    """In the Euclidean norm, as the sign of a gradient near 0 is chance."""
    steps = {"steps": 6, "batch_size": 50, "attack": {"name": "pgd", "epsilon": 0.5, "steps": 2, "norm": "l2"}}
    ends = [{"name": "fgsm", "epsilon": 0.5, "norm": "l2", "sizes": 2, "count": 40}, {"name": "deepfool", "count": 10}]
    given = config() | {"model": {"name": "cnn", "channels": [4], "hidden": [8], "batch_norm": True}}
    given |= {"train": steps, "attacks": ends}
    runs = [dl.run(given | {"device": each}, out=tmp_path, quiet=True, plots=False) for each in ("cpu", device)]
    assert "was not measured" not in (runs[1].folder / "log.txt").read_text()
    for name, array in runs[0].model.state_dict().items():
        np.testing.assert_allclose(array, backend.to_host(runs[1].model.state_dict()[name]), atol=2e-3, err_msg=name)
    found = [np.load(run.folder / "attack-deepfool.npz")["distances"] for run in runs]
    assert len(found[0]) == len(found[1]) and np.allclose(*found, rtol=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"attack": "deepfool"}}, "train.attack.name: deepfool looks for the smallest change"),
        ({"train": {"attack": {"name": "pgd"}}}, "train.attack.epsilon: required, but missing"),
        (
            {"train": {"attack": {"name": "pgd", "epsilon": -1}}},
            "train.attack.epsilon: expected a number of at least 0",
        ),
        (
            {"data": {"name": "sine_curve"}, "model": "linear", "loss": "mse", "metrics": []},
            "there are no classes here",
        ),
    ],
)
def test_what_cannot_be_trained_against(change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dl.run(config(PGD) | change, out=tmp_path, quiet=True, plots=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "pdg"], "did you mean 'pgd'"),
        (["stepz=3", "--attack", "pgd"], "has no parameter 'stepz'"),
        (["--attack", "deepfool", "--epsilon", "0.1"], "has no epsilon"),
        (["--epsilon", "a"], "numbers separated by commas"),
        (["--count", "0"], "count is at least 1"),
        (["epsilon=1"], "give the sizes by --epsilon"),
    ],
)
def test_wrong_arguments(runs: list[Path], arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["attack", str(runs[0]), *arguments]) == 2
    assert message in capsys.readouterr().err
