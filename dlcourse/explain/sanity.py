"""The sanity check of explanations: a map that random weights do not change says nothing about the net."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend.random import generator
from dlcourse.errors import ShapeError
from dlcourse.nn import Module
from dlcourse.nn.calls import require_module

__all__ = ["cascading_randomization", "rank_correlation"]

Explain = Callable[[Module], Any]


def cascading_randomization(model: Module, seed: int = 0) -> Iterator[tuple[str, Module]]:
    """The model with its layers made random one after another, from the output to the input (Adebayo et al. 2018).

    A layer's weights become normal numbers of mean 0 and their own standard deviation, and its biases and gains such of
    their own mean. The model itself stays as it was; one copy of it is changed on the way.

    Yields:
        The name of the layer that has just been made random, and the copy.
    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> [name for name, _ in dl.explain.cascading_randomization(model)]
        ['2', '0']
    """
    require_module(model)
    changed = copy.deepcopy(model)
    layers = [(name, list(module.own_parameters())) for name, module in changed.named_modules()]
    for number, (name, parameters) in enumerate(reversed([each for each in layers if each[1]])):
        for own, parameter in parameters:
            values = backend.to_host(parameter.data).astype(np.float64)
            draw = generator(seed, f"explain/random/{own}", number).standard_normal(values.shape)
            # Weights of a mean below 0, many of them, would leave all units of the next layer dead.
            mean = values.mean() if values.ndim < 2 else 0.0
            new = (mean + values.std() * draw).astype(np.float32)
            parameter.data = backend.of(parameter.data).asarray(new, dtype=parameter.dtype)
        yield name, changed


def rank_correlation(first: Any, second: Any) -> np.ndarray:
    """Spearman's rank correlation of each map of two batches (N, ...), (N,): 1 where they order places alike, near 0
    where one tells nothing of the other.

    Equal values share the mean of their ranks; of a map that is one value everywhere the correlation counts as 0.
    """
    a, b = (np.asarray(each.numpy() if isinstance(each, Tensor) else backend.to_host(each)) for each in (first, second))
    if a.shape != b.shape or a.ndim < 2:
        raise ShapeError(
            f"rank_correlation: expected two batches of maps (N, ...) of one shape, got {a.shape}, {b.shape}"
        )
    found = np.zeros(len(a))
    for i, pair in enumerate(zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True)):
        x, y = (_ranks(each) for each in pair)
        x, y = x - x.mean(), y - y.mean()
        length = np.sqrt((x @ x) * (y @ y))
        found[i] = x @ y / length if length else 0.0
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Of each value its place in order; equal ones share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[which]
