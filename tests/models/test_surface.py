"""The model `surface`: its functions, their gradients and minima, and the path that a run records."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentError, ConfigError
from dlcourse.models.surface import SURFACES, SurfaceModel
from dlcourse.plots.run_view import RunView

CONFIG: dict[str, Any] = {
    "precision": "float64",
    "data": "constant",
    "model": {"name": "surface", "function": "bowl", "condition": 4},
    "loss": "mean",
    "optimizer": {"name": "sgd", "lr": 0.5},
    "train": {"steps": 3, "batch_size": "full", "log_every": 1},
}


@pytest.mark.parametrize("function", SURFACES)
def test_the_gradient_is_that_of_differences_and_0_in_the_minima(function: str) -> None:
    model = SurfaceModel((1,), 1, function).to(dtype=np.float64)

    def value(point: Any) -> Tensor:
        return model.surface.value(point[0], point[1])

    assert dl.gradcheck(value, (dl.tensor(np.array([0.7, -0.4]), requires_grad=True),))
    for minimum in model.surface.minima[::60]:
        model.point.data[...] = minimum
        model.zero_grad()
        lowest = model(Tensor(np.zeros((3, 1))))
        assert lowest.shape == (3, 1)
        lowest.mean().backward()
        np.testing.assert_allclose(model.point.grad.numpy(), 0, atol=1e-10)
        assert lowest.numpy().min() <= model.plot_arrays()["surface_values"].min() + 1e-12
    assert model.estimates()["distance"] == pytest.approx(0)


def test_a_run_records_the_path(tmp_path: Path) -> None:
    result = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False)
    steps, points = RunView(result.folder).history.path()
    np.testing.assert_array_equal(steps, [0, 1, 2, 3])
    start = np.array([-2.5, 1.5])
    np.testing.assert_allclose(points, [start * np.array([1 - 0.5 / 4, 0.5]) ** k for k in range(4)])
    assert result.estimates["a"] == points[-1, 0]
    assert "surface_values" in RunView(result.folder).predictions


def test_other_models_record_none(tmp_path: Path) -> None:
    line = {"data": "westwood_rent", "model": "linear", "loss": "mse", "optimizer": {"name": "sgd", "lr": 1e-9}}
    result = dl.run(line, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert not RunView(result.folder).history.trace


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"function": "plateau"}, "bowl"),
        ({"function": "beale", "condition": 3}, "beale has no condition"),
        ({"function": "bowl", "condition": 0}, "condition"),
        ({"function": "bowl", "start": [1]}, "start"),
        ({}, "function"),
    ],
)
def test_wrong_surfaces_are_named(model: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, ArgumentError), match=message):
        dl.run(CONFIG | {"model": {"name": "surface", **model}}, out=tmp_path, quiet=True)


def test_data_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="surface is for estimation"):
        dl.run(CONFIG | {"data": "westwood_rent"}, out=tmp_path, quiet=True)
