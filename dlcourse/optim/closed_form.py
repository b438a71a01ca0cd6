"""Solvers that find the best parameters at once, under the same face for the trainer as gradient descent."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from dlcourse.autograd import Tensor
from dlcourse.backend.linalg import least_squares
from dlcourse.errors import UserError
from dlcourse.optim.base import require
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = ["ClosedForm", "LeastSquares"]


class Solver:
    """Base of the closed forms: one :meth:`solve` on the whole training split, no state."""

    closed_form = True
    hook: ClassVar[str]
    """The method of a model that it asks."""
    otherwise: ClassVar[str]
    """What a model without that method is or lacks, and what fits it."""

    def __init__(self) -> None:
        self.steps = 0

    def solve(self, model: Any, x: Any, y: Any) -> None:
        """Set the model's parameters to the best for these samples.

        Args:
            model: a :class:`~dlcourse.models.Model`.
            x: inputs of the whole training split, an array on the model's device.
            y: its targets.
        """
        self._solve(model, _array(x), _array(y))
        self.steps += 1

    def _solve(self, model: Any, x: Any, y: Any) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """How often it was solved; there is no other state."""
        return {"steps": self.steps, "arrays": {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.steps = int(state["steps"])


@register("optimizer", "least_squares")
class LeastSquares(Solver):
    """theta = argmin 1/2 |X theta - Y|^2 + ridge/2 |theta|^2, with the model's design matrix X (lecture 2).

    For models linear in their parameters. The constant is not penalised; the penalty is on the coefficients that the
    model computes with (of the inputs as normalised; of a polynomial's basis), and the same as ``train.l2`` with the
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
    otherwise = "is not linear in its parameters; take closed_form, sgd, adam, ..."

    def __init__(self, ridge: NonNegative = 0.0, method: Literal["qr", "svd"] = "qr"):
        super().__init__()
        require(0 <= ridge < float("inf"), f"ridge has to be a finite number of at least 0, got {ridge}")
        require(method in ("qr", "svd"), f"method is qr or svd, got {method!r}")
        self.ridge, self.method = ridge, method

    def _solve(self, model: Any, x: Any, y: Any) -> None:
        if y.ndim != 2 or y.dtype.kind != "f":
            raise UserError(f"least_squares fits numbers, targets (N, K); got {y.dtype} targets of shape {y.shape}")
        design = model.design_matrix(x.astype("float64"))
        model.set_solution(least_squares(design, y, self.ridge, model.penalised, self.method))


@register("optimizer", "closed_form")
class ClosedForm(Solver):
    """What the model itself solves: ``model.fit(x, y)``, such as maximum likelihood of Gaussians."""

    hook = "fit"
    otherwise = "has no closed form of its own; take least_squares for linear ones, else sgd, adam, ..."

    def _solve(self, model: Any, x: Any, y: Any) -> None:
        model.fit(x, y)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value
