"""The gradient check: central differences against backward."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd.graph import no_grad
from dlcourse.autograd.tensor import Tensor, tensor
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentTypeError


class GradcheckError(AssertionError):
    """Numeric and analytic gradient differ; the message shows both where they differ most."""


def numerical_gradient(value: Callable[[], float], array: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    """d value / d array by central differences, (f(x + h) - f(x - h)) / 2h, which is off by O(h^2).

    Args:
        value: computes the scalar from what ``array`` holds now; the array is changed in place and put back.
        array: float64, contiguous, on the host or a device.
        eps: h, an absolute step.
    """
    grad = np.zeros(array.shape)
    flat = array.reshape(-1)
    for i in range(flat.size):
        below, above = _beside(value, flat, i, eps)
        grad.reshape(-1)[i] = (above - below) / (2 * eps)
    return grad


def one_sided(
    value: Callable[[], float], array: Any, index: tuple[int, ...], step: float, here: float
) -> tuple[float, float]:
    """The slopes (f(x) - f(x - h)) / h and (f(x + h) - f(x)) / h along one element; it is put back.

    Args:
        here: f(x).
    """
    below, above = _beside(value, array, index, step)
    return (here - below) / step, (above - here) / step


def _beside(value: Callable[[], float], array: Any, index: Any, step: float) -> tuple[float, float]:
    """f(x - h) and f(x + h) along one element, which is put back."""
    original = array[index].item()
    array[index] = original + step
    above = value()
    array[index] = original - step
    below = value()
    array[index] = original
    return below, above


def outside(slope: float, below: float, above: float) -> float:
    """How far a slope lies outside those on both sides. At a kink each slope between the two is a right one, and with a
    kink beside x one of the two is still the gradient; of a smooth function they are nearly equal."""
    lowest, highest = min(below, above), max(below, above)
    return max(lowest - slope, slope - highest, 0.0) if lowest == lowest and highest == highest else np.nan


def unsteady(first: float, again: float) -> str:
    """What is wrong with a function of which differences say nothing, as it gives another value when asked again."""
    if np.isclose(first, again, rtol=1e-9, atol=1e-9, equal_nan=True):
        return ""
    return (
        f"computed twice from the same inputs it is {first:.6g}, then {again:.6g}: it changes them, or draws at random"
    )


def gradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of ``fn`` with central differences in float64.

    An output that is no scalar is checked through its product with fixed weights, so every element counts. At a kink,
    such as ReLU's at 0, every slope between those on both sides passes.

    Args:
        fn: takes tensors, returns a tensor or a tuple of them.
        inputs: a tensor, array or sequence of them; floating-point ones are checked in float64, integers passed on.
        eps: step of the differences. With float64's 1e-16 and h = 1e-6 a numeric gradient is good to about 1e-9.
        atol, rtol: a pair passes when |analytic - numeric| <= atol + rtol |numeric|.
        raise_exception: raise where they differ, else print and return False.
    Raises:
        GradcheckError: they differ; the message holds both numbers. Or ``fn`` gives another value when called again.
        ValueError: no input is of floating point.
        TypeError: ``fn`` returns no tensor.
    Example:
        >>> dl.gradcheck(F.tanh, np.array([0.1, 0.2]))
        True
    """
    given = list(inputs) if isinstance(inputs, Sequence) else [inputs]
    arrays = [x.data if isinstance(x, Tensor) else x for x in given]
    tensors = [tensor(a, dtype=np.float64, requires_grad=True) if _is_float(a) else Tensor(a) for a in arrays]
    checked = [t for t in tensors if t.requires_grad]
    if not checked:
        raise ValueError("gradcheck needs an input of floating point")

    def scalar() -> Tensor:
        outputs = fn(*tensors)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        _require_tensors(outputs)
        terms = [(out * _weights(out, i)).sum() if out.ndim else out for i, out in enumerate(outputs)]
        return functools.reduce(operator.add, terms)

    def value() -> float:
        with no_grad():
            return scalar().item()

    result = scalar()
    if result.requires_grad:
        result.backward()
    why = unsteady(result.item(), value())
    if why:
        return _differs(f"gradcheck: no difference of this function says anything: {why}", raise_exception)
    for index, t in enumerate(tensors):
        if not t.requires_grad:
            continue
        analytic = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
        numeric = numerical_gradient(value, t.data, eps)
        error = np.abs(analytic - numeric)
        wrong = ~(error <= atol + rtol * np.abs(numeric))
        for at in map(tuple, np.argwhere(wrong)):
            wrong[at] = not _at_a_kink(value, t.data, at, float(analytic[at]), (eps, eps / 10), (atol, rtol))
        if wrong.any():
            message = _explain(index, analytic, numeric, np.where(np.isnan(error), np.inf, error), wrong)
            return _differs(message, raise_exception)
    return True


def _differs(message: str, raise_exception: bool) -> bool:
    if raise_exception:
        raise GradcheckError(message)
    print(message)
    return False


def _require_tensors(outputs: Sequence[Any]) -> None:
    strange = [out for out in outputs if not isinstance(out, Tensor)]
    if outputs and not strange:
        return
    came = f"a {type(strange[0]).__name__}, which has no gradient" if strange else "an empty tuple"
    came = "None: it lacks a return" if strange and strange[0] is None else came
    raise ArgumentTypeError(f"gradcheck: expected fn to return a tensor or a tuple of them, got {came}")


def _at_a_kink(
    value: Callable[[], float],
    array: Any,
    index: tuple[int, ...],
    analytic: float,
    steps: Sequence[float],
    tolerances: tuple[float, float],
) -> bool:
    """Whether a slope lies between those on both sides, which only at or beside a kink are not the same."""
    here, (atol, rtol) = value(), tolerances
    for step in steps:
        below, above = one_sided(value, array, index, step, here)
        if outside(analytic, below, above) <= atol + rtol * max(abs(below), abs(above)):
            return True
    return False


def _is_float(array: Any) -> bool:
    return is_floating(array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype)


def _weights(out: Tensor, index: int) -> Tensor:
    """Fixed, unequal weights of both signs, so that no error in the gradient cancels in the sum."""
    values = np.random.Generator(np.random.Philox(index + 1)).uniform(0.5, 1.5, out.shape)
    values *= np.where(np.arange(values.size).reshape(values.shape) % 2, -1, 1)
    return Tensor(backend.of(out.data).asarray(values, dtype=np.float64))


def _explain(index: int, analytic: np.ndarray, numeric: np.ndarray, error: np.ndarray, wrong: np.ndarray) -> str:
    worst = [np.unravel_index(i, error.shape) for i in np.argsort(-error, axis=None)[:5] if wrong.reshape(-1)[i]]
    lines = [f"gradcheck: input {index} of shape {analytic.shape}: {int(wrong.sum())} of {wrong.size} elements differ"]
    lines += [
        f"  at {tuple(int(i) for i in at)}: analytic {analytic[at]: .9g}, numeric {numeric[at]: .9g}" for at in worst
    ]
    return "\n".join(lines)
