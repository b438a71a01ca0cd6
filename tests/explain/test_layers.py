"""Layers and features: the maps that belong to a convolution, neighbors and places in the space of features."""

import importlib.util

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import explain, nn, registry
from dlcourse.errors import ArgumentError, UserError
from dlcourse.explain import embedding
from dlcourse.models import Conv1D
from dlcourse.training import explanations


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"name": "cnn", "channels": [4, 5], "hidden": [6]}, ["layers.1", "layers.4"]),
        ({"name": "cnn", "channels": [4], "hidden": [], "batch_norm": True}, ["layers.2"]),
        ({"name": "vgg", "layers": [4, "pool", 5, "pool"]}, ["layers.2", "layers.6"]),
        ({"name": "mlp", "hidden": [5]}, []),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_the_layer_that_ends_a_convolutions_work(model: dict, expected: list[str]) -> None:
    made = registry.build("model", model, in_shape=(8, 8, 3), out_features=3)
    assert list(explain.convolutional_layers(made, images(1, 8, 8, 3))) == expected


def test_in_a_residual_net_the_block_ends_the_work() -> None:
    made = registry.build("model", {"name": "resnet", "depth": 8}, in_shape=(8, 8, 3), out_features=3)
    found = explain.convolutional_layers(made, images(1, 8, 8, 3))
    assert len(found) >= 7
    last = list(found.values())[-1]
    assert explain.activations(made, images(1, 8, 8, 3), last).shape == (1, 2, 2, 64)
    assert not isinstance(last, nn.Conv2d | nn.BatchNorm) and explain.grad_cam(made, images(2, 8, 8, 3)).shape == (
        2,
        8,
        8,
    )


def test_activations_are_what_the_layers_give(device: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.Linear(5, 2))
    x = images(3, 8, 8, 3)
    every = explain.activations(model, x)
    assert list(every) == ["0", "1", "2", "3", "4", ""]
    step = dl.tensor(x)
    for name in "01234":
        step = model[int(name)](step)
        np.testing.assert_allclose(every[name].numpy(), step.numpy(), atol=1e-6)
    some = explain.activations(model, x, ["1", model[3]])
    assert list(some) == ["1", "3"] and explain.activations(model, x, "3").shape == (3, 5)
    np.testing.assert_allclose(explain.features(model, x, batch_size=2).numpy(), every["3"].numpy(), atol=1e-6)
    assert explain.features(model, x, "1").shape == (3, 144)
    assert explain.filters(model).shape == explain.filters(model, "0").shape == (4, 3, 3, 3)


def test_filters_along_a_sequence_have_a_row_for_each_channel() -> None:
    for model in (nn.Sequential(nn.Conv1d(4, 6, 3)), Conv1D((9, 4), 2, channels=[6, 5])):
        weight, picture = explain.filters(model).numpy().reshape(6, 3, 4), explanations.filters(model)
        np.testing.assert_array_equal(picture.arrays["filters"], weight.swapaxes(1, 2)[..., None])
        assert picture.facts["along_steps"]


def test_a_module_called_twice_gives_its_last_output() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared)
    x = images(2, 2)
    assert set(explain.activations(model, x)) == {"0", "1", "2", ""}
    np.testing.assert_array_equal(explain.activations(model, x, shared).numpy(), model(dl.tensor(x)).numpy())


@pytest.mark.parametrize("metric", ["l2", "l1", "linf", "cosine"])
def test_neighbors_are_those_of_the_features(metric: str, device: str) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    many, few = images(40, 4), images(5, 4)
    distances, indices = explain.nearest_neighbors(model, few, many, 3, metric=metric)
    a, b = (explain.features(model, x).numpy().astype(float) for x in (few, many))
    gap = a[:, None] - b
    ways = {"l2": np.sqrt((gap**2).sum(-1)), "l1": abs(gap).sum(-1), "linf": abs(gap).max(-1)}
    ways["cosine"] = 1 - a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    order = ways[metric].argsort(axis=1)[:, :3]
    np.testing.assert_array_equal(indices.numpy(), order)
    np.testing.assert_allclose(distances.numpy(), np.take_along_axis(ways[metric], order, 1), atol=1e-5)
    assert explain.nearest_neighbors(model, many, many, 1)[1].numpy()[:, 0].tolist() == list(range(40))


def test_principal_components_are_scikit_learns() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = images(30, 5) @ np.diag([5, 3, 1, 0.5, 0.1]) + 7
    theirs = decomposition.PCA(3, svd_solver="full").fit(x.astype(float))
    found = explain.principal_components(dl.tensor(x), 3)
    signs = np.sign((found.components * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(found.components, signs[:, None] * theirs.components_, atol=1e-6)
    np.testing.assert_allclose(found.coordinates, signs * theirs.transform(x.astype(float)), atol=1e-5)
    np.testing.assert_allclose(found.explained_variance_ratio, theirs.explained_variance_ratio_, atol=1e-6)
    assert (found.components[np.arange(3), abs(found.components).argmax(axis=1)] > 0).all()


def groups() -> tuple[nn.Module, np.ndarray, np.ndarray]:
    """A model that does nothing, and three groups of points."""
    labels = np.arange(60) % 3
    return nn.Sequential(nn.Linear(4, 2)), images(60, 4) + 8 * np.eye(4, dtype="float32")[labels], labels


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_an_embedding_keeps_groups_together(method: str) -> None:
    if method == "tsne":
        pytest.importorskip("sklearn")
    model, x, labels = groups()
    places = explain.embed(model, x, method)
    assert places.shape == (60, 2)
    centers = np.stack([places[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(places[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95
    np.testing.assert_array_equal(places, explain.embed(model, x, method))


def test_without_scikit_learn_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    model, x, _ = groups()
    with pytest.raises(UserError, match="pip install scikit-learn; PCA needs nothing"):
        explain.embed(model, x, "tsne")
    assert explain.embed(model, x).shape == (60, 2)


def test_rank_correlation_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 5, (4, 6, 7)), draw.normal(size=(4, 6, 7))
    expected = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(explain.rank_correlation(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(explain.rank_correlation(b, np.exp(b)), 1)
    assert (explain.rank_correlation(b, np.zeros_like(b)) == 0).all()


def test_randomization_leaves_the_model_and_keeps_the_scale() -> None:
    model = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 2))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    steps = []
    for name, changed in explain.cascading_randomization(model, seed=1):
        steps.append((name, {key: array.copy() for key, array in changed.state_dict().items()}))
    assert [name for name, _ in steps] == ["2", "0"]
    np.testing.assert_array_equal(steps[0][1]["0.weight"], before["0.weight"])
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
        assert (steps[1][1][name] != array).all()
    assert steps[1][1]["0.weight"].std() == pytest.approx(before["0.weight"].std(), rel=0.1)


def test_the_field_that_is_used_lies_in_the_field_there_is(device: str) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten())
    for convolution in (model[0], model[2]):
        convolution.weight.data[...] = abs(convolution.weight.data)  # nothing cancels, no unit is dead
    found = explain.receptive_field(model, abs(images(40, 12, 10, 2)))
    assert (found.layer, found.position, found.size) == ("3", (2, 1), (8, 8))
    assert found.bounds == ((3, 11), (1, 9))
    inside = np.zeros((12, 10), bool)
    inside[3:11, 1:9] = True
    np.testing.assert_array_equal(found.used.numpy() > 0, inside)
    assert found.used.numpy().max() == pytest.approx(1)
    first = explain.receptive_field(model, abs(images(2, 12, 10, 2)), "0", (0, 9))
    assert first.bounds == ((-1, 2), (8, 11)) and (first.used.numpy() > 0).sum() == 4


def test_places_that_are_not_there_are_named() -> None:
    model, x = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(144, 2)), images(1, 8, 8, 2)
    for arguments, message in [(("0", (6, 0)), "no position"), (("2",), "'2' has none"), (("9",), "no module '9'")]:
        with pytest.raises(ArgumentError, match=message):
            explain.receptive_field(model, x, *arguments)
    with pytest.raises(ArgumentError, match="needs a convolutional layer"):
        explain.receptive_field(nn.Sequential(nn.Flatten(), nn.Linear(128, 2)), x)
