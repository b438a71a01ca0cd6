import numpy as np
import pytest

from dlcourse.backend.linalg import RankDeficientWarning
from dlcourse.config import from_mapping
from dlcourse.errors import DivergenceError
from dlcourse.experiment import fit, run

from .samples import LINE, NET, changed


@pytest.mark.parametrize("config", [LINE, changed(NET, train={"epochs": 3})], ids=["closed form", "net"])
def test_in_memory_it_comes_to_what_a_run_comes_to(tmp_path, config: dict) -> None:
    resolved = from_mapping(config)
    fitted = fit(resolved.data)
    ran = run(config, out=tmp_path, plots=False, quiet=True)
    assert fitted.metrics == ran.metrics and fitted.estimates == ran.estimates
    assert not fitted.model.training
    with np.load(ran.folder / "predictions.npz") as found:
        np.testing.assert_array_equal(fitted.experiment.predict(found["test_x"]), found["test_output"])


def test_another_seed_of_the_data_is_another_fit() -> None:
    section = {**LINE["data"], "seed": 3}
    assert fit(from_mapping(LINE)).estimates != fit(from_mapping({**LINE, "data": section})).estimates


def test_divergence_is_an_error() -> None:
    config = changed(LINE, optimizer={"name": "sgd", "lr": 50.0}, train={"epochs": 100})
    config["optimizer"] = {"name": "sgd", "lr": 50.0}
    with pytest.raises(DivergenceError):
        fit(from_mapping(config))


@pytest.mark.parametrize("normalize", ["none", "standardize", "minmax"])
@pytest.mark.parametrize("model", ["linear", "gaussian_regression"])
@pytest.mark.parametrize("columns", ["one-hot", "twice", "constant", "more than rows"])
def test_columns_that_depend_on_each_other_are_found_whatever_the_precision(
    tmp_path, normalize: str, model: str, columns: str
) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(50, 20, size=(80, 1))
    more = {
        "one-hot": np.eye(3)[rng.integers(3, size=80)],
        "twice": 0.3 * first,
        "constant": np.full((80, 1), 0.1),
        "more than rows": rng.normal(size=(80, 90)),
    }[columns]
    y = 10 * first + rng.normal(scale=20, size=(80, 1))
    np.savez(tmp_path / "data.npz", x=np.concatenate([first, more], axis=1), y=y)
    config = {
        "data": {"name": "arrays", "path": str(tmp_path / "data.npz"), "normalize": normalize, "split": {"test": 0.2}},
        "model": model,
        "loss": "half_sse" if model == "linear" else "gaussian_nll",
        "optimizer": "least_squares" if model == "linear" else "closed_form",
        "metrics": ["r2"],
    }
    if columns == "more than rows" and model != "linear":
        pytest.skip("it goes through every target, so that there is no likelihood")
    if columns == "constant" and model != "linear":  # scaled to zeros inside, which need no coefficient
        pytest.skip("its column of zeros is left alone")
    with pytest.warns(RankDeficientWarning):
        fitted = fit(from_mapping(config))
    assert fitted.metrics["train"]["r2"] > 0.98
    assert columns == "more than rows" or fitted.metrics["test"]["r2"] > 0.95
