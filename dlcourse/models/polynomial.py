"""Polynomial regression, well conditioned at every degree (lecture 2)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.linalg import nested_least_squares
from dlcourse.errors import ArgumentError
from dlcourse.models.base import FeatureModel, Scaling, flat, named_by_output
from dlcourse.ops.linear import linear
from dlcourse.registry import register

__all__ = ["PolynomialModel", "basis_terms"]

BASES = ("legendre", "chebyshev", "power")


def basis_terms(basis: str, degree: int, one: Array, times_z: Callable[[Array], Array]) -> list[Array]:
    """p_1, ..., p_degree by their three-term recurrence, as values or as coefficients: what p_0 = 1 looks like and
    what multiplies by z says which."""
    terms = [one, times_z(one)]
    for k in range(1, degree):
        if basis == "legendre":  # (k + 1) p_{k+1} = (2 k + 1) z p_k - k p_{k-1}
            terms.append(times_z(terms[k]) * ((2 * k + 1) / (k + 1)) - terms[k - 1] * (k / (k + 1)))
        elif basis == "chebyshev":  # p_{k+1} = 2 z p_k - p_{k-1}
            terms.append(2 * times_z(terms[k]) - terms[k - 1])
        else:
            terms.append(times_z(terms[k]))
    return terms[1:]


def _nested_design(x: Mapping[str, np.ndarray], basis: str, degree: int) -> dict[str, np.ndarray]:
    """(G, N, 1 + D degree) of every split: the constant, then all features' p_1, then all features' p_2, ..."""
    low, high = x["train"].min(axis=1, keepdims=True), x["train"].max(axis=1, keepdims=True)
    half = (high - low) / 2
    center, half = (low + high) / 2, np.where(half > 0, half, 1)
    design = {}
    for name, rows in x.items():
        z = (rows - center) / half
        terms = basis_terms(basis, degree, np.ones_like(z), z.__mul__)
        design[name] = np.concatenate([np.ones((*z.shape[:2], 1)), *terms], axis=2)
    return design


@register("model", "polynomial")
class PolynomialModel(FeatureModel):
    """y = b + sum_d sum_{k=1}^degree w_dk p_k(z_d), z_d the feature x_d scaled to [-1, 1] on the training split.

    Powers of raw inputs are nearly parallel columns: at degree 15 the condition of (1, x, x^2, ...) on [0, 1] is about
    1e11, and on [500, 1400] beyond float64. Orthogonal polynomials of scaled inputs span the same functions at a
    condition of about 10, so that QR loses nothing and gradient descent converges too. :meth:`estimates` gives the
    coefficients of the powers of raw x. Several features get powers of each, added, without products of features.

    Args:
        in_shape: shape of one input, D numbers in all.
        out_features: K, width of the target.
        degree: the highest power.
        basis: p_k: Legendre's or Chebyshev's polynomials, or plain powers of z.

    Attributes:
        weight: (K, D degree), features one after another, zeros at first.
        bias: (K,), zeros at first.
        low, high: (D,) the training split's range; outside it the polynomials grow as they do (extrapolation).
    Raises:
        ArgumentError: the degree is below 1 or above 30, or the basis unknown.
    """

    low: Array
    high: Array

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        degree: Annotated[int, Ge(1), Le(30)],
        basis: Literal["legendre", "chebyshev", "power"] = "legendre",
    ):
        if not 1 <= degree <= 30:
            raise ArgumentError(f"degree has to lie in 1..30, got {degree}")
        if basis not in BASES:
            raise ArgumentError(f"basis is legendre, chebyshev or power, got {basis!r}")
        super().__init__(in_shape, out_features, int(np.prod(in_shape)) * degree)
        self.degree, self.basis = degree, basis
        self.register_buffer("low", np.full(self.in_features, -1.0, dtype=np.float32))
        self.register_buffer("high", np.full(self.in_features, 1.0, dtype=np.float32))

    def adapt(self, x: Array, y: Array) -> None:
        """Take the range of each feature."""
        rows = flat(x)
        self.low[...] = rows.min(axis=0)
        self.high[...] = rows.max(axis=0)

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if not x.requires_grad:
            return super().forward(x)
        features: Any = self.features(x.to(dtype=self.weight.dtype))  # the same on tensors, so that x gets a gradient
        return linear(features, self.weight, self.bias)

    def features(self, x: Any) -> Any:
        xp = backend.array_module(x)
        center, half = self._range(x.dtype)
        z = (flat(x) - center) / half  # (N, D)
        terms = basis_terms(self.basis, self.degree, xp.ones_like(z), lambda term: z * term)
        return xp.stack(terms, axis=2).reshape(len(z), z.shape[1] * len(terms))  # (N, D, degree) -> (N, D degree)

    @classmethod
    def fit_many(
        cls, specs: Sequence[Mapping[str, Any]], x: Mapping[str, np.ndarray], y: np.ndarray, ridge: float = 0.0
    ) -> tuple[dict[str, np.ndarray], np.ndarray, list[int]]:
        """Least squares of P models on each of G training sets of one shape, on the CPU in float64.

        One triangular factor of a training set serves all degrees of a basis. The numbers are those of each model
        fitted by itself; without a penalty a degree of more coefficients than rows is left to that.

        Args:
            specs: of each model its parameters ``degree`` and ``basis``.
            x: inputs (G, N, D) by split; those of ``train`` are fitted.
            y: their targets, (G, N, K).
            ridge: weight of the penalty.
        Returns:
            By split the predictions (G, N, K, P); booleans (G, P), whether the training set determines the model, as
            its predictions say nothing else; and how many parameters each model has.
        """
        (sets, rows, features), outputs = x["train"].shape, y.shape[2]
        predicted = {split: np.zeros((*each.shape[:2], outputs, len(specs))) for split, each in x.items()}
        sound = np.zeros((sets, len(specs)), dtype=bool)
        max_degree = 30 if ridge else (rows - 1) // features
        for basis in dict.fromkeys(spec["basis"] for spec in specs):
            chosen = [i for i, spec in enumerate(specs) if spec["basis"] == basis and spec["degree"] <= max_degree]
            if not chosen:
                continue
            degrees = np.array([specs[i]["degree"] for i in chosen])
            design = _nested_design(x, basis, int(degrees.max()))
            others = [split for split in x if split != "train"]
            rest = np.concatenate([design[split] for split in others] or [design["train"][:, :0]], axis=1)
            there, elsewhere, independent = nested_least_squares(design["train"], y, rest, ridge)
            columns = features * degrees  # the last one of each degree
            sound[:, chosen] = independent[:, columns]
            ends = np.cumsum([x[split].shape[1] for split in others])[:-1]
            for split, found in [("train", there), *zip(others, np.split(elsewhere, ends, axis=1), strict=True)]:
                predicted[split][..., chosen] = found[..., columns]
        return predicted, sound, [outputs * (features * spec["degree"] + 1) for spec in specs]

    def _range(self, dtype: Any) -> tuple[Array, Array]:
        """Center and half width of the range of each feature; 1 for a feature without spread."""
        low, high = self.low.astype(dtype), self.high.astype(dtype)
        half = (high - low) / 2
        return (low + high) / 2, backend.array_module(low).where(half > 0, half, 1)

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """``theta_0``, ``theta_1``, ...: y = theta_0 + theta_1 x + theta_2 x^2 + ... in raw x.

        Of several features ``theta_0`` and ``theta[<feature>]_<power>``, or ``theta_<feature>_<power>`` with features
        counted from 1 where they have no names; none for more than 10. In a high degree these numbers are large and
        cancel each other: they are for reading, the model does not use them.
        """
        if self.in_features > 10:
            return {}
        shift, scale = self.raw_scaling(normalizer)
        center, half = map(backend.to_host, self._range(np.float64))
        weight, bias = self.coefficients()
        weight = weight.reshape(self.out_features, self.in_features, self.degree)
        tables = [self._in_powers(*window) for window in zip(shift + scale * center, scale * half, strict=True)]
        powers = np.stack([weight[:, d] @ table for d, table in enumerate(tables)], axis=1)  # (K, D, degree + 1)
        constants = bias + powers[:, :, 0].sum(axis=1)
        named = [self._named(constants[k], powers[k, :, 1:]) for k in range(self.out_features)]
        return named_by_output(named, self.target_names)

    def _in_powers(self, center: float, half: float) -> np.ndarray:
        """(degree, degree + 1): row k - 1 holds the coefficients of x^0, x^1, ... in p_k((x - center) / half)."""
        one = np.zeros(self.degree + 1)
        one[0] = 1.0

        def times_z(term: np.ndarray) -> np.ndarray:
            product = term * (-center / half)
            product[1:] += term[:-1] / half
            return product

        return np.stack(basis_terms(self.basis, self.degree, one, times_z))

    def _named(self, constant: float, powers: np.ndarray) -> dict[str, float]:
        """One output's coefficients, powers (D, degree) from the first on, by name."""
        named = {"theta_0": float(constant)}
        for prefix, row in zip(self.per_input("theta"), powers, strict=True):
            named.update({f"{prefix}_{k + 1}": float(value) for k, value in enumerate(row)})
        return named
