"""Solvers that find the best parameters at once, under the same face for the trainer as gradient descent."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend.linalg import RankDeficientWarning, cancellation, least_squares
from dlcourse.errors import UserError
from dlcourse.optim.require import require
from dlcourse.registry import register
from dlcourse.text import call_text
from dlcourse.types import NonNegative

__all__ = ["ClosedForm", "LeastSquares", "PoorFitWarning"]

_LOST = 1e-3
"""The share of the targets' spread that rounding in the model's own type may add to the squared error."""


class PoorFitWarning(UserWarning):
    """A solved model is worse on its own training samples than their mean."""


class Solver:
    """Base of the closed forms: one :meth:`solve` on the whole training split, no state."""

    closed_form = True
    hook: ClassVar[str]
    """The method of a model that it asks."""
    hook_for_many: ClassVar[str] = ""
    """The method of a model class that solves for many training sets and models at once, where the solver has one."""
    otherwise: ClassVar[str]
    """What a model without that method is or lacks, and what fits it."""

    def __init__(self) -> None:
        self.steps = 0

    def __repr__(self) -> str:
        return call_text(self)

    @classmethod
    def wants_float64(cls, model: Any) -> bool:
        """Whether ``x`` and ``y`` should come in float64 whatever the model's type: where rounding them to float32
        would hide that columns depend on each other."""
        return False

    def solve(self, model: Any, x: Any, y: Any) -> Tensor | None:
        """Set the model's parameters to the best for these samples.

        Args:
            model: a :class:`~dlcourse.models.Model`.
            x: inputs of the whole training split, an array on the model's device.
            y: its targets.
        Returns:
            The model's outputs for ``x`` of a regression; else None.
        Warns:
            PoorFitWarning: the targets are numbers, and their mean predicts them better than the model.
        """
        x, y = _array(x), _array(y)
        found = self._solve(model, x, y)
        self.steps += 1
        if y.ndim != 2 or y.dtype.kind != "f" or "regression" not in model.tasks:
            return None
        outputs, count = _outputs(model, x), y.shape[1]
        targets = y.astype("float64", copy=False)
        spread, error = _squares(targets - targets.mean(axis=0)), _squares(targets - outputs.data[:, :count])
        if bool((error > _LOST * spread).any()):
            outputs = self._improved(model, x, targets, found, outputs, spread, error)
            _compare_with_mean(outputs.data[:, :count], y, spread)
        return outputs

    def _solve(self, model: Any, x: Any, y: Any) -> Any:
        """Set the parameters; what it returns is for :meth:`_improved`."""
        raise NotImplementedError

    def _improved(self, model: Any, x: Any, y: Any, found: Any, outputs: Tensor, spread: Any, error: Any) -> Tensor:
        """The outputs of a fit that is not perfect, perhaps of another solution that the model's type holds better.

        Args:
            y: in float64.
            outputs: as the model is.
            spread, error: the sums of squares about the mean and about the outputs, (K,).
        """
        return outputs

    def state_dict(self) -> dict[str, Any]:
        """How often it was solved; there is no other state."""
        return {"steps": self.steps, "arrays": {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.steps = int(state["steps"])


@register("optimizer", "least_squares")
class LeastSquares(Solver):
    """theta = argmin 1/2 |X theta - Y|^2 + ridge/2 |theta|^2, with the model's design matrix X (lecture 2).

    For models linear in their parameters. The constant is not penalized; the penalty is on the coefficients that the
    model computes with (of the inputs as normalized; of a polynomial's basis), and the same as ``train.l2`` with the
    loss half_sse. Solved in float64, whatever the model's precision.

    Args:
        ridge: weight of the penalty.
        method: ``qr``, or ``svd`` which is slower and takes columns that depend on each other (``qr`` passes such
            problems on to it).
    Raises:
        ValueError: ``ridge`` is negative or the method unknown.
    """

    tasks = ("regression",)
    hook = "design_matrix"
    hook_for_many = "fit_many"
    otherwise = "is not linear in its parameters; take closed_form, sgd, adam, ..."

    def __init__(self, ridge: NonNegative = 0.0, method: Literal["qr", "svd"] = "qr"):
        super().__init__()
        require(0 <= ridge < float("inf"), f"ridge has to be a finite number of at least 0, got {ridge}")
        require(method in ("qr", "svd"), f"method is qr or svd, got {method!r}")
        self.ridge, self.method = ridge, method

    @classmethod
    def wants_float64(cls, model: Any) -> bool:
        return True

    def _solve(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        if y.ndim != 2 or y.dtype.kind != "f":
            raise UserError(f"least_squares fits numbers, targets (N, K); got {y.dtype} targets of shape {y.shape}")
        design = model.design_matrix(x.astype("float64", copy=False))
        theta = least_squares(design, y, self.ridge, model.penalized, self.method)
        model.set_solution(theta)
        return design, theta

    def _improved(self, model: Any, x: Any, y: Any, found: Any, outputs: Tensor, spread: Any, error: Any) -> Tensor:
        dtype, (design, theta) = _dtype(model, x), found
        if dtype == np.float64 or not bool((error > _squares(y - design @ theta) + _LOST * spread).any()):
            return outputs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RankDeficientWarning)
            smaller = least_squares(design, y, self.ridge, model.penalized, "svd", 100 * float(np.finfo(dtype).eps))
        model.set_solution(smaller)
        again = _outputs(model, x)
        if float(_squares(y - again.data).sum()) >= float(error.sum()):
            model.set_solution(theta)
            return outputs
        warnings.warn(cancellation(dtype), RankDeficientWarning, stacklevel=4)
        return again


@register("optimizer", "closed_form")
class ClosedForm(Solver):
    """What the model itself solves: ``model.fit(x, y)``, such as maximum likelihood of Gaussians."""

    hook = "fit"
    otherwise = "has no closed form of its own; take least_squares for linear ones, else sgd, adam, ..."

    @classmethod
    def wants_float64(cls, model: Any) -> bool:
        return model.fits_in_float64

    def _solve(self, model: Any, x: Any, y: Any) -> None:
        model.fit(x, y)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _dtype(model: Any, x: Any) -> np.dtype:
    """The type that the model computes in."""
    return next((parameter.dtype for parameter in model.parameters()), x.dtype)


def _outputs(model: Any, x: Any) -> Tensor:
    """What the model says of x, in its own type."""
    with no_grad():
        return model(Tensor(x.astype(_dtype(model, x), copy=False)))


def _squares(error: Any) -> Any:
    """The sum over samples, (K,), in float64."""
    error = error.astype("float64", copy=False)
    return (error * error).sum(axis=0)


def _compare_with_mean(outputs: Any, y: Any, spread: Any) -> None:
    """Warn where the mean of the targets (N, K) predicts one of them better than the outputs (N, K) do; ``spread`` are
    its sums of squares."""
    error = _squares(y.astype("float64", copy=False) - outputs)
    # Targets that are all the same are met but for rounding, and have no spread but rounding's.
    size = abs(y).max(axis=0)
    target_floor, output_floor = ((16 * float(np.finfo(each.dtype).eps) * size) ** 2 * len(y) for each in (y, outputs))
    worse = (error > 1.001 * spread) & ((spread > target_floor) | (error > output_floor))
    if bool(worse.any()):
        k = int(worse.argmax())
        which = f"target {k + 1} of {y.shape[1]}" if y.shape[1] > 1 else "the target"
        warnings.warn(
            f"the solved model predicts {which} worse on the training samples than its mean does: squared error "
            f"{float(error[k]):.4g}, of the mean {float(spread[k]):.4g}; data.normalize: standardize or "
            "precision: float64 may help, another model may be needed",
            PoorFitWarning,
            stacklevel=4,
        )
