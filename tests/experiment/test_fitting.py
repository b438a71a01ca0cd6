import numpy as np
import pytest

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
        np.testing.assert_array_equal(fitted.predict(found["test_x"]), found["test_output"])


def test_another_seed_of_the_data_is_another_fit() -> None:
    section = {**LINE["data"], "seed": 3}
    assert fit(from_mapping(LINE)).estimates != fit(from_mapping({**LINE, "data": section})).estimates


def test_divergence_is_an_error() -> None:
    config = changed(LINE, optimizer={"name": "sgd", "lr": 50.0}, train={"epochs": 100})
    config["optimizer"] = {"name": "sgd", "lr": 50.0}
    with pytest.raises(DivergenceError):
        fit(from_mapping(config))
