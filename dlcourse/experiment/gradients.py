"""Numeric against analytic gradients of the very model, loss and data that a config names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import random
from dlcourse.config import Config
from dlcourse.errors import UserError
from dlcourse.experiment.pieces import assemble

STEPS = (1e-5, 1e-6)
"""Of the differences. Where a kink (of ReLU, of |w|) lies between the two points one step is wrong and the other,
most likely, right: the better of the two counts, as a wrong gradient agrees with neither."""


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
    """

    name: str
    shape: tuple[int, ...]
    entries: int
    error: float
    worst: tuple[tuple[int, ...], float, float]


def check_gradients(
    config: Config, device: backend.Backend, samples: int = 8, entries: int = 30
) -> list[ParameterCheck]:
    """Compare, in float64, at the initial weights moved a little at random (zeros are special places).

    Dropout stays on: its mask is the same in every evaluation.

    Args:
        config: checked; its precision is not looked at.
        device: the current one.
        samples: how many of the first training batch.
        entries: at most so many elements of each parameter, chosen at random.
    Returns:
        One for each parameter; none where the model has none.
    Raises:
        UserError: the config names no loss.
    """
    if config.data["loss"] is None:
        raise UserError("no gradient to check: this config is solved in closed form and names no loss; try loss=...")
    pieces = assemble(config.apply_overrides({"precision": "float64"}).data, device)
    model, (x, y) = pieces.model.train(), pieces.loader.batch(0)
    x, y = x[:samples], y[:samples]
    draw = random.generator(config.data["seed"], "gradient check")
    for parameter in model.parameters():
        parameter.data = parameter.data + device.asarray(0.01 * draw.standard_normal(parameter.shape))

    def loss() -> Tensor:
        random.begin_step(0)
        return pieces.loss(model(Tensor(x)), y)

    def value() -> float:
        with no_grad():
            return loss().item()

    now = loss()
    if now.requires_grad:
        now.backward()
    return [_check(name, p, value, abs(now.item()), draw, entries) for name, p in model.named_parameters()]


def _check(
    name: str, parameter: Any, value: Callable[[], float], loss: float, draw: np.random.Generator, entries: int
) -> ParameterCheck:
    analytic = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
    # Of a difference of two losses rounding leaves about 1e-16 loss / step.
    floor = 1e-4 * np.abs(analytic).max(initial=0.0) + 1e-5 * (loss + 1e-3)
    chosen = draw.permutation(parameter.size)[:entries]
    worst, error = ((), 0.0, 0.0), 0.0
    for flat_index in chosen:
        place = tuple(int(i) for i in np.unravel_index(flat_index, parameter.shape))
        exact = float(analytic[place])
        best = (np.inf, 0.0)
        for step in STEPS:
            numeric = _difference(parameter, place, value, step)
            away = abs(numeric - exact) / max(abs(numeric), abs(exact), floor)
            best = min(best, (np.inf if np.isnan(away) else away, numeric))
        if best[0] >= error:
            error, worst = best[0], (place, best[1], exact)
    return ParameterCheck(name, parameter.shape, len(chosen), float(error), worst)


def _difference(parameter: Any, place: tuple[int, ...], value: Callable[[], float], step: float) -> float:
    """(L(w + h) - L(w - h)) / 2h for one element w."""
    array = parameter.data
    kept = array[place].item()
    step *= max(1.0, abs(kept))
    array[place] = kept + step
    above = value()
    array[place] = kept - step
    below = value()
    array[place] = kept
    return (above - below) / (2 * step)
