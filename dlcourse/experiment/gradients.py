"""Compare numeric with analytic gradients of the model, loss and data that a config names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.autograd.check import one_sided, outside, unsteady
from dlcourse.backend import random
from dlcourse.config import Config
from dlcourse.errors import UserError
from dlcourse.experiment.experiment import Experiment

STEPS = (1e-5, 1e-6)
"""Of the differences; the better of the two counts, as a wrong gradient agrees with neither."""

POINTS, MOVED = 6, 1e-3
"""Points at which a gradient that does not agree is looked at again before it counts as wrong, and how far, as a
standard deviation, the parameters move from one to the next. A kink (of ReLU, of max pooling, of |w|) that lies within
a step at one point does not at another, and a backward pass that is wrong is so at each."""


@dataclass(frozen=True)
class ParameterCheck:
    """One parameter's gradients compared.

    Attributes:
        name, shape: of the parameter.
        entries: how many of its elements were looked at.
        error: the largest relative error, |numeric - analytic| / max(|numeric|, |analytic|), where gradients that are
            tiny beside the loss and the parameter's other gradients count as no smaller than what rounding leaves of
            them.
        worst: place, numeric and analytic value of that element.
        kinks: how many elements agree only as a slope between those on both sides, or at a point near by: there the
            function has a kink, which is no error.
    """

    name: str
    shape: tuple[int, ...]
    entries: int
    error: float
    worst: tuple[tuple[int, ...], float, float]
    kinks: int = 0


def check_gradients(
    config: Config, device: backend.Backend, samples: int = 8, entries: int = 30, tolerance: float = 1e-5
) -> list[ParameterCheck]:
    """Compare, in float64, at the initial weights moved a little at random (zeros are special places).

    Dropout stays on: its mask is the same in every evaluation.

    Args:
        config: checked; its precision is not looked at.
        device: the current one.
        samples: how many of the first training batch.
        entries: at most so many elements of each parameter, chosen at random.
        tolerance: an error above it is looked at again at other points, of which the best counts.
    Returns:
        One for each parameter; none where the model has none.
    Raises:
        UserError: the config names no loss.
    """
    changes = {"precision": "float64", "train.freeze": []}  # frozen parts are the model's too
    experiment = Experiment.from_config(config.apply_overrides(changes), device)
    if experiment.loss is None and not experiment.has_objective:
        raise UserError("no gradient to check: this config is solved in closed form and names no loss; try loss=...")
    model, (x, y) = experiment.model.train(), experiment.loader.batch(0)
    x, y = x[:samples], y[:samples]
    rng = random.generator(config.data["seed"], "gradient check")

    def loss() -> Tensor:
        random.begin_step(0)
        return experiment.cost(x, y)

    return compare_gradients(dict(model.named_parameters()), loss, device, rng, entries, tolerance)


def compare_gradients(
    parameters: Mapping[str, Tensor],
    loss: Callable[[], Tensor],
    device: backend.Backend,
    rng: np.random.Generator,
    entries: int = 30,
    tolerance: float = 1e-5,
) -> list[ParameterCheck]:
    """Compare the gradients of a loss with differences, in float64, near the present values.

    Args:
        parameters: by name: parameters, or other tensors with ``requires_grad``; they are changed.
        loss: computes it from what they hold now; random draws inside have to be the same each time.
        device: the current one.
        rng: chooses elements and points.
        entries, tolerance: see :func:`check_gradients`.
    Raises:
        UserError: the loss is another one when it is computed again.
    """
    point = _Point(parameters, loss, device, rng, tolerance)
    point.move(0.01)
    found = {}
    for name, parameter in parameters.items():
        for flat_index in rng.permutation(parameter.size)[:entries]:
            place = tuple(int(i) for i in np.unravel_index(flat_index, parameter.shape))
            found[name, place] = point.compare(name, place)
    for _ in range(POINTS):
        doubtful = [entry for entry, (error, _, _) in found.items() if not error <= tolerance]
        if not doubtful:
            break
        point.move(MOVED)
        for entry in doubtful:
            found[entry] = min(found[entry], point.compare(*entry))
    kinks = [entry for entry in point.doubtful if found[entry][0] <= tolerance]
    return [_worst(name, parameter.shape, found, kinks) for name, parameter in parameters.items()]


def _worst(
    name: str, shape: tuple[int, ...], found: dict[tuple, tuple[float, float, float]], kinks: list[tuple]
) -> ParameterCheck:
    own = {place: outcome for (of, place), outcome in found.items() if of == name}
    place, (error, numeric, exact) = max(own.items(), key=lambda item: item[1][0], default=((), (0.0, 0.0, 0.0)))
    at_kinks = sum(of == name for of, _ in kinks)
    return ParameterCheck(name, shape, len(own), error, (place, numeric, exact), at_kinks)


class _Point:
    """The parameters' values, and the gradients that backward gives there.

    Args:
        parameters: by name; they are changed.
        loss: computes it at the present values.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        loss: Callable[[], Tensor],
        device: backend.Backend,
        rng: np.random.Generator,
        tolerance: float,
    ):
        self.parameters, self.loss, self.device, self.rng = parameters, loss, device, rng
        self.tolerance = tolerance
        self.doubtful: set[tuple] = set()

    def value(self) -> float:
        """The loss, without a graph."""
        with no_grad():
            return self.loss().item()

    def move(self, far: float) -> None:
        """Go to another point, ``far`` away in each direction as a standard deviation."""
        for parameter in self.parameters.values():
            step = self.device.asarray(far * self.rng.standard_normal(parameter.shape))
            parameter.data = self.device.asarray(parameter.data + step)  # NumPy makes a number of what has no axes
            parameter.grad = None
        now = self.loss()
        if now.requires_grad:
            now.backward()
        self.here = self.value()
        if why := unsteady(now.item(), self.here):
            raise UserError(f"no difference of the loss says anything: {why}")
        self.exact = {
            name: np.zeros(p.shape) if p.grad is None else p.grad.numpy() for name, p in self.parameters.items()
        }

    def compare(self, name: str, place: tuple[int, ...]) -> tuple[float, float, float]:
        """Relative error, numeric and analytic gradient of one element.

        Where that is above the tolerance because the slopes on both sides differ, at a kink or beside one, what lies
        between the two is right.
        """
        gradient, array = self.exact[name], self.parameters[name].data
        exact = float(gradient[place])
        # Of a difference of two losses rounding leaves about 1e-16 loss / step.
        floor = 1e-4 * np.abs(gradient).max(initial=0.0) + 1e-5 * (abs(self.here) + 1e-3)
        outcomes = []
        for step in STEPS:
            below, above = one_sided(self.value, array, place, step * max(1.0, abs(array[place].item())), self.here)
            numeric = (below + above) / 2
            size = max(abs(numeric), abs(exact), floor)
            outcomes.append((_number(abs(numeric - exact) / size), numeric, exact))
        best = min(outcomes)
        if best[0] <= self.tolerance:
            return best
        self.doubtful.add((name, place))
        return min(best, (_number(outside(exact, below, above) / size), numeric, exact))  # of the smallest step


def _number(error: float) -> float:
    return np.inf if np.isnan(error) else float(error)
