"""Nearest neighbors: votes, ties, state; and scikit-learn's answers."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.autograd import tensor
from dlcourse.errors import CheckpointError, UserError
from dlcourse.models.knn import KNN


def points(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    return (rng.normal(size=(count, 4)) + y[:, None]).astype("float32"), y


def fitted(k: int, metric: str = "l2", count: int = 60) -> KNN:
    model = KNN((4,), 3, k=k, metric=metric)
    x, y = points(count)
    model.fit(tensor(x).data, tensor(y).data)
    return model


def test_the_output_is_the_share_of_votes(device: str) -> None:
    model = KNN((1,), 3, k=3)
    model.fit(tensor([[0.0], [1.0], [2.0], [10.0]]).data, tensor([2, 2, 1, 0]).data)
    np.testing.assert_allclose(model(tensor([[0.4], [9.0]])).numpy(), [[0, 1 / 3, 2 / 3], [1 / 3, 1 / 3, 1 / 3]])


@pytest.mark.parametrize("metric", ["l1", "l2", "linf"])
@pytest.mark.parametrize("k", [1, 4, 10])
def test_predictions_are_scikit_learns(metric: str, k: int) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors", reason="scikit-learn is not installed: no parity with it")
    x, y = points(60)
    queries, _ = points(40, seed=1)
    name = {"l1": "manhattan", "l2": "euclidean", "linf": "chebyshev"}[metric]
    peer = neighbors.KNeighborsClassifier(k, algorithm="brute", metric=name).fit(x, y)
    np.testing.assert_array_equal(fitted(k, metric)(tensor(queries)).numpy().argmax(axis=1), peer.predict(queries))


def test_k_of_one_remembers_its_samples(device: str) -> None:
    x, y = points(60)
    assert (fitted(1)(tensor(x)).numpy().argmax(axis=1) == y).all()


def test_the_samples_are_its_state(device: str) -> None:
    source, target = fitted(3), KNN((4,), 3, k=3)
    target.load_state_dict(source.state_dict())
    queries = tensor(points(20, seed=1)[0])
    np.testing.assert_array_equal(target(queries).numpy(), source(queries).numpy())
    with pytest.raises(CheckpointError, match="samples"):
        KNN((5,), 3).load_state_dict(source.state_dict())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="fit it first"):
        KNN((4,), 3)(tensor(np.zeros((1, 4), "float32")))
    with pytest.raises(UserError, match="only 60"):
        fitted(61)
    with pytest.raises(UserError, match="labels"):
        KNN((4,), 3).fit(np.zeros((3, 4)), np.zeros((3, 1)))


def test_the_most_similar_samples_are_the_nearest(device: str) -> None:
    model = KNN((1,), 3, k=1)
    assert KNN.confidence == "share of votes"
    model.fit(tensor([[0.0], [1.0], [2.5], [10.0]]).data, tensor([2, 2, 1, 0]).data)
    found = model.nearest_training_samples(tensor([[0.4], [9.0]]).data, 3)
    np.testing.assert_array_equal(backend.to_host(found), [[0, 1, 2], [3, 2, 1]])
    assert model.nearest_training_samples(tensor([[0.4]]).data, 10).shape == (1, 4)
    shares = np.array([[0.2, 0.8, 0.0]], np.float32)
    np.testing.assert_array_equal(model.confidences(shares), shares)
