"""A function of two numbers whose lowest place an optimizer looks for (lecture 7)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Len

from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.errors import ArgumentError
from dlcourse.models.base import Model, Scaling
from dlcourse.registry import register
from dlcourse.types import Positive

__all__ = ["SurfaceModel"]

GRID_POINTS = 160


@dataclass(frozen=True)
class Surface:
    """A function f(a, b) and what a picture of it shows.

    Attributes:
        value: f, of arrays or tensors.
        start: where a search begins, by default.
        low, high: the corners of the picture.
        minima: the lowest places; of a line of them many points.
    """

    value: Callable[[Any, Any], Any]
    start: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    minima: tuple[tuple[float, float], ...]


STEPS, GOAL = 50, 0.7
"""Of the recurrent net: how long it runs, and what it is to answer then."""


def _recurrence(a: Any, b: Any) -> Any:
    """The squared error of a recurrent net of one unit after its last step."""
    return (_answer(a, b) - GOAL) ** 2


def _answer(a: Any, b: Any) -> Any:
    answer: Any = 1 / (1 + np.exp(-0.5))
    for _ in range(STEPS):
        answer = 1 / (1 + np.exp(-(a * answer + b)))
    return answer


def _valley(count: int = 161) -> tuple[tuple[float, float], ...]:
    """The places (a, b) at which the recurrent net is right, up to where the wall begins: its answer rises with b."""
    a = np.linspace(2.5, 4.7, count)
    low, high = np.full(count, -5.0), np.zeros(count)
    for _ in range(60):
        middle = (low + high) / 2
        above = _answer(a, middle) > GOAL
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return tuple(zip(a.tolist(), middle.tolist(), strict=True))


SURFACES: dict[str, Callable[[float], Surface]] = {
    "bowl": lambda k: Surface(
        lambda a, b: (a * a / k + b * b) / 2, (-2.5, 1.5), (-3.0, -2.0), (1.5, 2.0), ((0.0, 0.0),)
    ),
    "rosenbrock": lambda k: Surface(
        lambda a, b: (1 - a) ** 2 + k * (b - a * a) ** 2, (-1.5, 2.0), (-2.0, -1.0), (2.0, 3.0), ((1.0, 1.0),)
    ),
    "beale": lambda k: Surface(
        lambda a, b: (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2,
        (1.0, 1.5),
        (-1.0, -1.5),
        (4.0, 2.0),
        ((3.0, 0.5),),
    ),
    "saddle": lambda k: Surface(
        lambda a, b: (a * a - b * b) / 2 + b**4 / 4, (1.0, 1e-3), (-1.2, -0.8), (1.4, 1.4), ((0.0, 1.0), (0.0, -1.0))
    ),
    "recurrence": lambda k: Surface(_recurrence, (6.0, -2.0), (3.0, -3.5), (6.6, -1.0), _valley()),
}
"""By name, for a condition."""


@register("model", "surface")
class SurfaceModel(Model):
    """f(w) at a point w = (a, b), the same output for every input; with ``loss: mean`` training looks for its minimum.

    - ``bowl``: (a^2 / k + b^2) / 2, whose curvatures are 1/k and 1: k is its condition;
    - ``rosenbrock``: (1 - a)^2 + k (b - a^2)^2 (Rosenbrock 1960), by default with k = 100; minimum at (1, 1);
    - ``beale``: (1.5 - a + a b)^2 + (2.25 - a + a b^2)^2 + (2.625 - a + a b^3)^2 (Beale 1958); minimum at (3, 0.5);
    - ``saddle``: (a^2 - b^2) / 2 + b^4 / 4; a saddle at (0, 0), minima at (0, 1) and (0, -1);
    - ``recurrence``: (s_50 - 0.7)^2 of a recurrent net of one unit, s_t = sigmoid(a s_(t-1) + b), whose first state is
      sigmoid(1/2). Its minima are a line, and from a = 5 on there is a wall: on one side of it the state goes to 0, on
      the other to 1 (Pascanu, Mikolov and Bengio 2013).

    Args:
        in_shape: shape of one input; inputs are not looked at.
        out_features: 1.
        function: which one.
        condition: k; by default 10 of a bowl and 100 of Rosenbrock's valley; the others have none.
        start: w at first; left out, the place that is usual for the function.

    Attributes:
        point: w, (2,).
    Raises:
        ArgumentError: the function is unknown, or has no condition.
    """

    tasks = ("estimation",)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        function: Literal["bowl", "rosenbrock", "beale", "saddle", "recurrence"],
        condition: Positive | None = None,
        start: Annotated[list[float], Len(2, 2)] | None = None,
    ):
        super().__init__(in_shape, out_features)
        if function not in SURFACES:
            raise ArgumentError(f"function is one of {', '.join(SURFACES)}, got {function!r}")
        usual = {"bowl": 10.0, "rosenbrock": 100.0}
        if condition is not None and function not in usual:
            raise ArgumentError(f"{function} has no condition: leave it out, or take {' or '.join(usual)}")
        self.function, self.condition = function, float(condition or usual.get(function, 1.0))
        self.surface = SURFACES[function](self.condition)
        if start is not None and (len(start) != 2 or not np.isfinite(start).all()):
            raise ArgumentError(f"start is a point of two finite numbers, got {start}")
        self.point = Parameter(np.array(self.surface.start if start is None else start, dtype=np.float32))

    def forward(self, x: Tensor) -> Tensor:
        value = self.surface.value(self.point[0], self.point[1])
        return value.reshape(1, 1).expand(len(as_tensor(x)), self.out_features)

    def trace(self) -> list[float]:
        return self.point.numpy().astype(np.float64).tolist()

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """The point, and how far it is from the nearest minimum."""
        a, b = self.trace()
        distance = min(np.hypot(a - x, b - y) for x, y in self.surface.minima)
        return {"a": a, "b": b, "distance": float(distance)}

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """The function over the plane, its minima, and a bowl's curvatures."""
        axes = np.linspace(self.surface.low, self.surface.high, GRID_POINTS, axis=1)  # (2, M)
        arrays = {
            "surface_axes": axes,
            "surface_values": self.surface.value(*np.meshgrid(*axes)),  # (M, M): rows go with b
            "surface_minima": np.array(self.surface.minima),
        }
        return arrays | ({"surface_curvatures": np.array([1 / self.condition, 1.0])} if self.function == "bowl" else {})
