"""What the checks share: arrays to try, and how arrays are compared."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.checks.outcome import Failure, require
from dlcourse.experiment.gradients import ParameterCheck, compare_gradients

TOLERANCE = 1e-5
"""The largest relative error of a gradient; in float64 differences are good to about 1e-8."""

ENTRIES, MAX_ENTRIES = 12, 240
"""Elements of each array whose gradient is compared, and of all arrays together; of each at least 2."""


def host(value: Any) -> np.ndarray:
    """A copy on the host of an array, a tensor or a number."""
    return np.array(backend.to_host(value.data if isinstance(value, Tensor) else value))


def tensors_of(value: Any) -> list[Tensor]:
    """The tensors that a forward pass returns: one, or several in tuples, as of a recurrent layer."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list) and value:
        return [each for item in value for each in tensors_of(item)]
    came = "None: it lacks a return" if value is None else f"a {type(value).__name__}"
    raise Failure(f"expected a tensor, came {came}")


def same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    """Whether arrays are equal bit for bit."""
    pairs = zip(map(host, one), map(host, other), strict=True)
    return all(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def furthest(one: Iterable[Any], other: Iterable[Any]) -> float:
    """The largest difference between two lists of arrays; infinite where shapes differ."""
    pairs = list(zip(map(host, one), map(host, other), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return np.inf
    return max((float(np.abs(a.astype(np.float64) - b).max(initial=0.0)) for a, b in pairs), default=0.0)


def weighted(outputs: list[Tensor]) -> Tensor:
    """A scalar in which every element counts, by fixed, unequal weights of both signs."""
    total: Any = 0.0
    for number, output in enumerate(outputs):
        weights = np.random.Generator(np.random.Philox(number + 1)).uniform(0.5, 1.5, output.shape)
        weights *= np.where(np.arange(weights.size).reshape(weights.shape) % 2, -1, 1)
        total = total + (output * Tensor(backend.current().asarray(weights))).sum()
    return total


def gradients(
    checks: Any, parts: Callable[[], tuple[dict[str, Tensor], Callable[[], Tensor]]], tolerance: float
) -> None:
    """A line for each tensor: the analytic gradient of a scalar against differences, in float64.

    Args:
        parts: gives the tensors by name, and what computes the scalar.
    """
    rng = np.random.Generator(np.random.Philox(7))
    found: list[ParameterCheck] = []

    def compare() -> str:
        tensors, loss = parts()
        entries = max(2, min(ENTRIES, MAX_ENTRIES // max(1, len(tensors))))
        found.extend(compare_gradients(tensors, loss, backend.current(), rng, entries, tolerance))
        return ""

    if not checks.run("gradient, float64", compare):
        return
    checks.outcomes.pop()
    for each in found:
        checks.run(f"gradient of {each.name}", lambda each=each: _figure(each, tolerance))


def _figure(each: ParameterCheck, tolerance: float) -> str:
    index, numeric, analytic = each.worst
    if not each.error <= tolerance:
        where = f"{each.name}{list(index)}: differences give {numeric:.6g}, backward {analytic:.6g}"
        raise Failure(f"relative error {each.error:.1e} above {tolerance:g}, and no kink: at {where}")
    kinks = f", {each.kinks} of them at a kink, where any slope between both sides is right" if each.kinks else ""
    return f"relative error {each.error:.1e} in {each.entries} elements{kinks}"


def unmodified(before: list[np.ndarray], now: list[Any], names: list[str]) -> str:
    """Raise Failure where an array is not as it was."""
    for name, was, array in zip(names, before, now, strict=True):
        changed = int((was != host(array)).sum())
        require(changed == 0, f"{name} was changed: {changed} of {was.size} elements; work on a copy")
    return f"{', '.join(names)} as before"
