"""Small sweeps that every test here can vary."""

from typing import Any

import pytest

CONFIG: dict[str, Any] = {
    "name": "small",
    "precision": "float64",
    "device": "cpu",
    "data": {
        "name": "polynomial_curve",
        "samples": 60,
        "split": {"train": 0.6, "val": 0.2, "test": 0.2},
    },
    "model": {"name": "polynomial", "degree": 3},
    "loss": "mse",
    "optimizer": "least_squares",
    "metrics": ["mse", "r2"],
    "sweep": {"grid": {"model.degree": [1, 3, 9]}},
}


@pytest.fixture
def make():
    """``make(sweep={...}, optimizer=...)``: the small config with other sections."""
    return lambda **sections: {**CONFIG, **sections}
