import numpy as np
import pytest

from dlcourse import config
from dlcourse.data import prepare
from dlcourse.errors import ConfigError, DivergenceError
from dlcourse.experiment import fit, fit_all
from dlcourse.sweeps import closed_form, resample, run_sweep


def resolved(make, **sections):
    return config.from_mapping(make(**{"sweep": None, **sections})).data


def test_error_on_new_data_is_bias_and_variance_and_noise(make, tmp_path):
    """Measured against fresh noisy targets, which share nothing with the three terms but the model."""
    swept = make(sweep={"grid": {"model.degree": [1, 3, 5]}, "resample": 200})
    result = run_sweep(swept, out=tmp_path, quiet=True, plots=False)
    rows = result.resample["points"]
    assert [row["id"] for row in rows] == [each.id for each in result.points]
    for row in rows:
        assert row["fits"] == 200
        assert row["expected"] == pytest.approx(row["bias2"] + row["variance"] + row["noise"])
        assert row["mse"] == pytest.approx(row["expected"], rel=0.04)
    line, cubic, quintic = rows
    assert line["bias2"] > 100 * cubic["bias2"]  # a line misses the curve, the cubic is the curve
    assert line["noise"] == pytest.approx(0.03**2)
    assert quintic["variance"] > cubic["variance"]


def test_test_error_of_the_fits_agrees_too(make):
    """The mean over ordinary runs' test errors, on test splits of their own, is the same expectation."""
    data = resolved(make, model={"name": "polynomial", "degree": 2})
    seeds = resample.seeds(0, 400)
    fits = [fit(resample.with_data_seed(data, seed)) for seed in seeds]
    x = np.linspace(0, 1, 200)[:, None]  # where the data come from
    record, _ = resample.curves(data, seeds, x, fit_all)
    assert np.mean([each.metrics["test"]["mse"] for each in fits]) == pytest.approx(record["expected"], rel=0.05)


def test_a_line_has_the_variance_of_the_formula(make):
    """Least squares of P coefficients on m points: the variance averaged over the training inputs is sigma^2 P / m."""
    data = resolved(make, data={"name": "polynomial_curve", "coefficients": [1, 2], "samples": 100, "noise": 0.5})
    data["model"] = {**data["model"], "degree": 1}
    seeds = resample.seeds(0, 400)
    record, arrays = resample.curves(data, seeds, np.linspace(0, 1, 200)[:, None], fit_all)
    assert record["variance"] == pytest.approx(0.25 * 2 / 100, rel=0.1)
    assert record["bias2"] < 0.1 * record["variance"]
    assert arrays["outputs"].shape == (400, 200, 1) and arrays["curve"].shape == (200, 1)


def test_arrays_for_the_images(make, tmp_path):
    result = run_sweep(make(sweep={"resample": 4}), out=tmp_path, quiet=True, plots=False)
    with np.load(result.folder / "resample.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"x", "000.outputs", "000.curve"}
        assert arrays["x"].shape == arrays["000.curve"].shape == (200,)
        assert arrays["000.outputs"].shape == (4, 200)
        assert np.abs(arrays["000.outputs"] - arrays["000.curve"]).max() < 0.2


def test_all_points_see_the_same_training_sets(make):
    assert resample.seeds(3, 5) == resample.seeds(3, 5) != resample.seeds(4, 5)
    one, other = (prepare(resample.with_data_seed(resolved(make), seed)["data"], 0) for seed in (1, 2))
    assert not np.array_equal(one.splits["train"].y, other.splits["train"].y)
    assert np.array_equal(one.splits["train"].index, other.splits["train"].index)


def test_estimators_against_their_formulas(tmp_path):
    swept = {
        "precision": "float64",
        "data": {"name": "gaussian_samples", "mean": 3.0, "sigma": 2.0, "samples": 5},
        "model": "gaussian_estimators",
        "optimizer": "closed_form",
        "sweep": {"resample": 1500},
    }
    result = run_sweep(swept, out=tmp_path, quiet=True, plots=False)
    assert result.resample["task"] == "estimation"
    (row,) = result.resample["points"]
    found = row["estimates"]
    assert set(found) == {"mean", "variance_ml", "variance_unbiased"}
    for estimate in found.values():
        theory = estimate["theory"]
        assert estimate["bias"] == pytest.approx(theory["bias"], abs=4 * (theory["variance"] / 1500) ** 0.5)
        assert estimate["variance"] == pytest.approx(theory["variance"], rel=0.15)
        assert estimate["mse"] == pytest.approx(theory["mse"], rel=0.15)
    assert found["variance_ml"]["theory"]["bias"] == pytest.approx(-4 / 5)
    assert found["mean"]["se"] == pytest.approx(2 / 5**0.5, rel=0.05)


def test_the_truth_must_be_known(make, tmp_path):
    unknown = {"name": "spirals", "samples": 60, "split": {"val": 0.2}}
    swept = make(data=unknown, model="softmax", loss="cross_entropy", metrics=[], optimizer={"name": "sgd", "lr": 0.1})
    with pytest.raises(ConfigError, match="sweep.resample: needs data drawn from a known curve"):
        run_sweep({**swept, "sweep": {"resample": 3}}, out=tmp_path, quiet=True)
    assert not any(tmp_path.iterdir())


def test_fits_that_diverge_are_left_out_and_counted(make):
    data = resolved(make)

    def fit_some(configs):
        return [fit(each) if i % 2 else DivergenceError("the loss is nan") for i, each in enumerate(configs)]

    x = np.linspace(0, 1, 10)[:, None]
    record, arrays = resample.curves(data, resample.seeds(0, 6), x, fit_some)
    assert record["fits"] == 3 and len(arrays["outputs"]) == 3
    with pytest.raises(DivergenceError, match="only 0 of 6 fits"):
        resample.curves(data, resample.seeds(0, 6), x, lambda configs: [DivergenceError("the loss is nan")] * 6)


def test_resume_does_only_the_resampling_that_is_missing(make, tmp_path, monkeypatch):
    swept = make(sweep={"grid": {"model.degree": [1, 3]}, "resample": 5})
    with monkeypatch.context() as patch:
        patch.setattr(closed_form, "resampled", lambda *_: 1 // 0)
        first = run_sweep(swept, out=tmp_path, quiet=True, plots=False)
    assert [each.status for each in first.points] == ["failed", "failed"]
    assert first.points[0].metrics  # the run itself came to its end
    second = run_sweep(swept, resume=first.folder, quiet=True, plots=False)
    assert [each.folder for each in second.points] == ["points/000-degree=1", "points/001-degree=3"]
    assert [row["fits"] for row in second.resample["points"]] == [5, 5]


NET = {
    "model": {"name": "mlp", "hidden": [6], "activation": "tanh", "dropout": 0.1},
    "optimizer": {"name": "adam", "lr": 0.05, "schedule": {"name": "cosine"}},
    "train": {"epochs": 4, "batch_size": 16, "ema": 0.9},
    "precision": "float64",
}


def assert_same_fits(one, other):
    for first, second in zip(one.resample["points"], other.resample["points"], strict=True):
        assert second["id"] == first["id"]
        for key in ("fits", "bias2", "variance", "noise", "expected", "mse"):
            assert second[key] == pytest.approx(first[key], rel=1e-6), key
    with np.load(one.folder / "resample.npz") as first, np.load(other.folder / "resample.npz") as second:
        assert set(first) == set(second)
        for name in first:
            np.testing.assert_allclose(second[name], first[name], rtol=1e-6, atol=1e-7, err_msg=name)


def stacked_and_not(given, tmp_path):
    return [run_sweep(given, out=tmp_path / str(s), quiet=True, plots=False, stack=s) for s in (False, True)]


@pytest.mark.parametrize("most", [256, 3])
def test_stacked_fits_are_those_by_themselves(make, tmp_path, monkeypatch, capsys, most):
    monkeypatch.setattr("dlcourse.sweeps.stacked.MAX_REPLICAS", most)
    early = {"early_stopping": {"metric": "mse", "split": "val", "patience": 1}}
    given = make(**NET, sweep={"grid": {"optimizer.lr": [0.01, 0.1]}, "resample": 5})
    given["train"] = {**given["train"], **early}
    alone, together = stacked_and_not(given, tmp_path)
    assert_same_fits(alone, together)
    text = (together.folder / "log.txt").read_text()
    assert f"stacked, up to {min(most, 5)} at once" in text and "one after another" not in text
    assert "one after another" not in capsys.readouterr().err  # nor did it turn out so later


def test_a_stacked_fit_that_diverges_is_left_out(make):
    net = {**NET, "optimizer": {"name": "sgd", "lr": 0.1}}
    data = resolved(make, **net)
    configs = [resample.with_data_seed(data, seed) for seed in resample.seeds(0, 4)]
    configs[1] = {**configs[1], "optimizer": {**configs[1]["optimizer"], "lr": 1e300}}
    found = list(fit_all(configs, at_once=4))
    assert [isinstance(each, DivergenceError) for each in found] == [False, True, False, False]
    for given, each in zip(configs, found, strict=True):
        if not isinstance(each, DivergenceError):
            assert each.metrics["test"]["mse"] == pytest.approx(fit(given).metrics["test"]["mse"], rel=1e-6)


def test_fits_that_cannot_be_stacked_say_why_once(make, tmp_path):
    given = make(optimizer={"name": "sgd", "lr": 0.1}, sweep={"grid": {"optimizer.lr": [0.1, 0.2]}, "resample": 3})
    alone, together = stacked_and_not(given, tmp_path)
    assert_same_fits(alone, together)
    text = (together.folder / "log.txt").read_text()
    assert text.count("one after another: model polynomial holds what it takes from its training set") == 1


def test_resumed_stacked_fits(make, tmp_path, monkeypatch):
    given = make(**NET, sweep={"grid": {"optimizer.lr": [0.01, 0.1]}, "resample": 3})
    whole = run_sweep(given, out=tmp_path, quiet=True, plots=False)
    with monkeypatch.context() as patch:
        patch.setattr(resample, "curves", lambda *_: 1 // 0)
        first = run_sweep(given, out=tmp_path, quiet=True, plots=False, stack=True)
    assert [each.status for each in first.points] == ["failed", "failed"]
    assert_same_fits(whole, run_sweep(given, resume=first.folder, quiet=True, plots=False, stack=True))


def test_fits_in_closed_form_are_not_made_one_after_another(make, tmp_path, monkeypatch):
    monkeypatch.setattr(resample, "curves", lambda *_: 1 // 0)
    result = run_sweep(make(sweep={"resample": 5}), out=tmp_path, quiet=True, plots=False)
    assert result.points[0].folder == "points/000" and result.resample["points"][0]["fits"] == 5
