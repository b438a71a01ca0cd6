"""Inputs in the space of a net's features: the nearest ones, and a map of all in the plane."""

import importlib.util
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend.device import array_module
from dlcourse.backend.kernels.neighbors import nearest
from dlcourse.errors import ArgumentError, UserError
from dlcourse.explain.layers import Layer, features
from dlcourse.nn import Module

__all__ = ["PrincipalComponents", "embed", "nearest_neighbors", "principal_components"]

Metric = Literal["l2", "l1", "linf", "cosine"]
Method = Literal["pca", "tsne"]


def nearest_neighbors(
    model: Module,
    queries: Any,
    inputs: Any,
    n_neighbors: int = 5,
    *,
    layer: Layer | None = None,
    metric: Metric = "l2",
) -> tuple[Tensor, Tensor]:
    """For each query the inputs whose features are nearest; as scikit-learn's ``kneighbors``.

    Args:
        model: any.
        queries: (Q, ...) in floating point, normalized as in training.
        inputs: (N, ...), likewise: where neighbors are looked for.
        n_neighbors: so many for each query.
        layer: see :func:`features`.
        metric: "l2", "l1", "linf", or "cosine": 1 - cosine of the angle.
    Returns:
        Distances and indices into ``inputs``, (Q, n_neighbors) each, the nearest first.
    Raises:
        ArgumentError: there are not so many inputs, or the metric is unknown.
    """
    if metric not in get_args(Metric):
        raise ArgumentError(f"nearest_neighbors: metric is one of {', '.join(get_args(Metric))}, got {metric!r}")
    spaces = [features(model, each, layer).data for each in (queries, inputs)]
    if not 1 <= n_neighbors <= len(spaces[1]):
        raise ArgumentError(f"nearest_neighbors: n_neighbors is 1..{len(spaces[1])}, got {n_neighbors}")
    if metric != "cosine":
        indices, distances = nearest(*spaces, n_neighbors, metric)
        return Tensor(distances), Tensor(indices)
    # Of unit vectors |a - b|^2 = 2 (1 - cosine), so the order is the same.
    xp = array_module(spaces[0])
    units = [each / xp.maximum(xp.sqrt((each * each).sum(axis=1, keepdims=True)), 1e-12) for each in spaces]
    indices, distances = nearest(*units, n_neighbors, "l2")
    return Tensor(distances**2 / 2), Tensor(indices)


class PrincipalComponents(NamedTuple):
    """What :func:`principal_components` finds."""

    coordinates: np.ndarray
    """(N, n): each row of x along the components."""
    components: np.ndarray
    """(n, D): unit vectors, the one with most variance first; the largest entry of each is positive."""
    explained_variance_ratio: np.ndarray
    """(n,): which share of the variance each has."""


def principal_components(x: Any, n_components: int = 2) -> PrincipalComponents:
    """The directions in which rows vary most: with X centered, X = U S V^T, they are the first rows of V^T.

    Args:
        x: (N, D).
        n_components: n, at most min(N, D).
    Raises:
        ArgumentError: there are not so many.
    """
    rows = np.asarray(x.numpy() if isinstance(x, Tensor) else backend.to_host(x), np.float64)
    if rows.ndim != 2 or not 1 <= n_components <= min(rows.shape):
        raise ArgumentError(f"principal_components: {n_components} of rows of shape {rows.shape}; at most min(N, D)")
    centered = rows - rows.mean(axis=0)
    _, sizes, ways = np.linalg.svd(centered, full_matrices=False)
    ways = ways[:n_components]
    largest = ways[np.arange(n_components), abs(ways).argmax(axis=1)]
    ways = ways * np.where(largest < 0, -1, 1)[:, None]
    total = (sizes**2).sum() or 1.0
    return PrincipalComponents(centered @ ways.T, ways, sizes[:n_components] ** 2 / total)


def embed(
    model: Module,
    inputs: Any,
    method: Method = "pca",
    n_components: int = 2,
    *,
    layer: Layer | None = None,
    seed: int = 0,
) -> np.ndarray:
    """A place in the plane for each input, by its features.

    "pca": along the two directions in which they vary most, distances as they are seen from there. "tsne": so that near
    ones stay near, by scikit-learn's ``TSNE`` (van der Maaten & Hinton 2008); far apart says nothing there.

    Args:
        model: any.
        inputs: (N, ...) in floating point, normalized as in training.
        method: "pca" or "tsne".
        n_components: 2, or more of PCA.
        layer: see :func:`features`.
        seed: of t-SNE.
    Returns:
        (N, n_components), on the host.
    Raises:
        UserError: scikit-learn is not installed, which t-SNE needs.
        ArgumentError: the method is unknown, or there are too few inputs.
    """
    if method not in get_args(Method):
        raise ArgumentError(f"embed: method is one of {', '.join(get_args(Method))}, got {method!r}")
    if method == "tsne":
        require_scikit_learn()
    return placed(features(model, inputs, layer).numpy(), method, n_components, seed)


def placed(rows: np.ndarray, method: Method, n_components: int = 2, seed: int = 0) -> np.ndarray:
    """As :func:`embed`, of features (N, D)."""
    if method == "pca":
        return principal_components(rows, n_components).coordinates
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(rows) < 4:
        raise ArgumentError(f"embed: t-SNE needs 4 inputs at least, got {len(rows)}")
    maker = TSNE(n_components, perplexity=min(30.0, (len(rows) - 1) / 3), init="pca", random_state=seed)
    # Its threads wait for one another by spinning: beside other work several are far slower than one.
    with threadpool_limits(1, user_api="openmp"):
        return np.asarray(maker.fit_transform(rows.astype(np.float64)), np.float64)


def has_scikit_learn() -> bool:
    """Whether t-SNE can be made."""
    return importlib.util.find_spec("sklearn") is not None


def require_scikit_learn() -> None:
    """Raise UserError where t-SNE cannot be made."""
    if not has_scikit_learn():
        raise UserError("t-SNE needs scikit-learn: pip install scikit-learn; PCA needs nothing: method='pca'")
