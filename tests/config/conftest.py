"""Components under names of the tests' own, so that no test here depends on what the program happens to have."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, MaxLen

from dlcourse import registry
from dlcourse.errors import ConfigError
from dlcourse.metrics.base import Metric
from dlcourse.models import Model
from dlcourse.nn import Loss
from dlcourse.optim import Optimizer
from dlcourse.optim.closed_form import Solver
from dlcourse.types import Count, Fraction, NonNegative, Positive, Probability


@dataclass
class Cloud:
    """Points around a center. They have no other structure.

    Args:
        samples: number of points.
        center: where they lie.
        noise: their spread,
            in meters.
    """

    samples: Count = 100
    center: tuple[float, float] = (0.0, 0.0)
    noise: NonNegative = 1.0

    def __post_init__(self) -> None:
        if self.noise > self.samples:
            raise ConfigError(f"data.noise: at most the number of samples, got {self.noise:g}")


class Net(Model):
    """A net.

    Args:
        hidden: widths of its layers.
        dropout: share of the units dropped.
        tag: anything to call it.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: list[Count],
        activation: Literal["relu", "tanh"] = "relu",
        dropout: Probability = 0.0,
        scale: Positive | Literal["auto"] = "auto",
        tag: str | None = None,
        bounds: Annotated[list[tuple[float, float]], MaxLen(3)] | None = None,
    ):
        self.hidden = hidden


class Cost(Loss):
    """A loss."""

    def __init__(self, smoothing: Fraction = 0.0, weights: dict[str, float | bool] | None = None):
        self.smoothing = smoothing


class Descent(Optimizer):
    """An optimizer."""

    closed_form = False

    def __init__(self, params: Any, lr: Positive, momentum: float = 0.0, nesterov: bool = False):
        self.lr = lr


class Solve(Solver):
    """A closed form."""

    closed_form = True

    def __init__(self, params: Any = (), ridge: NonNegative = 0.0):
        self.ridge = ridge


class Ramp:
    """A schedule."""

    def __init__(self, total_steps: int, warmup: Annotated[int, Ge(0)] = 0):
        self.warmup = warmup


class Distance(Metric):
    """A metric."""

    higher_is_better = False

    def __init__(self, order: Count = 2):
        self.order = order


COMPONENTS = {
    "data": {"t_cloud": Cloud},
    "model": {"t_net": Net},
    "loss": {"t_cost": Cost},
    "optimizer": {"t_descent": Descent, "t_solve": Solve},
    "schedule": {"t_ramp": Ramp},
    "metric": {"t_distance": Distance},
}


@pytest.fixture(autouse=True, scope="module")
def components() -> Iterator[None]:
    """The components above are registered while a file's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, classes in COMPONENTS.items():
            registry.names(kind)
            for name, cls in classes.items():
                patch.setitem(registry.registered[kind], name, cls)
        yield


@pytest.fixture
def given() -> dict[str, Any]:
    """A valid config of the components above."""
    return {
        "name": "trial",
        "data": {"name": "t_cloud", "split": {"train": 0.6, "val": 0.2, "test": 0.2}},
        "model": {"name": "t_net", "hidden": [8, 4]},
        "loss": "t_cost",
        "optimizer": {"name": "t_descent", "lr": 0.1, "schedule": {"name": "t_ramp", "warmup": 3}},
        "train": {"epochs": 5},
        "metrics": ["t_distance"],
    }
