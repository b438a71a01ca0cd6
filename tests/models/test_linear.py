"""The linear model: slope and intercept in the data's units, whatever was normalized."""

import numpy as np
import pytest

from dlcourse import backend, models, optim
from dlcourse.data.normalizer import Normalizer
from dlcourse.errors import ShapeError


@pytest.mark.parametrize("kind", ["none", "standardize", "minmax"])
def test_slope_and_intercept_come_in_raw_units(kind: str, device: str) -> None:
    x = np.random.default_rng(0).uniform(500, 1400, (40, 1))
    normalizer = Normalizer.fit(x, kind)
    z = backend.current().asarray(normalizer.apply(x.copy()))
    model = models.LinearModel((1,), 1).to(device=device, dtype=np.float64)
    optim.LeastSquares().solve(model, z, backend.current().asarray(4.0 * x - 300.0))
    assert model.estimates(normalizer) == pytest.approx({"slope": 4.0, "intercept": -300.0}, rel=1e-9)


def test_several_features_and_targets() -> None:
    x = np.random.default_rng(0).normal(size=(30, 3)) * [1, 10, 100] + [5, 0, -7]
    true = np.array([[1.0, -2.0, 3.0], [0.5, 0.25, 0.0]])
    normalizer = Normalizer.fit(x, "standardize")
    model = models.LinearModel((3,), 2).to(dtype=np.float64)
    optim.LeastSquares().solve(model, normalizer.apply(x.copy()), x @ true.T + [7.0, -1.0])
    found = model.estimates(normalizer)
    assert found["slope_2[0]"] == pytest.approx(-2) and found["intercept[1]"] == pytest.approx(-1)
    assert [found[f"slope_{d}[0]"] for d in (1, 2, 3)] == pytest.approx(true[0])


def test_without_a_normalizer_the_inputs_are_raw() -> None:
    model = models.LinearModel((1,), 1)
    model.weight.data[...], model.bias.data[...] = 2.0, 1.0
    assert model.estimates() == {"slope": 2.0, "intercept": 1.0}


def test_images_are_flattened_and_normalized_by_channel(device: str) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (5, 2, 2, 3))
    model = models.LinearModel((2, 2, 3), 4).to(device=device)
    inputs = backend.current().asarray(x.astype(np.float32))
    assert model(inputs).shape == (5, 4) and model.design_matrix(inputs).shape == (5, 13)
    shift, scale = model.raw_scaling(Normalizer.fit(x, "standardize"))
    assert shift.shape == (12,) and (shift[:3] == shift[3:6]).all() and scale[0] != scale[1]


def test_the_design_matrix_gives_the_outputs() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2))
    theta = np.random.default_rng(1).normal(size=(3, 2))
    model = models.LinearModel((2,), 2).to(dtype=np.float64)
    model.set_solution(theta)
    np.testing.assert_allclose(model(x).numpy(), model.design_matrix(x) @ theta, rtol=1e-14)
    assert model.penalized.tolist() == [True, True, False]


def test_no_inputs_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least one input"):
        models.LinearModel((0,), 1)
