"""Explanations of a score: PyTorch's numbers on the same weights, what each promises; the model stays as it was."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import explain, nn
from dlcourse import functional as F
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.optim import SGD

SHAPE = (9, 8, 3)


def net() -> nn.Module:
    """With all that evaluation mode changes, and an odd size."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(2 * 2 * 5, 4),
    )  # fmt: skip


def trained() -> nn.Module:
    """With running statistics of its own, and a step's gradient in its buffers."""
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, SGD(model.parameters(), lr=0.05))
    for _ in range(3):
        step(images(20), np.arange(20) % 4)
    return model


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, *SHAPE)).astype("float32")


METHODS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "input_gradient": explain.input_gradient,
    "saliency": explain.saliency,
    "smooth_grad": lambda model, x: explain.smooth_grad(model, x, nt_samples=3),
    "integrated_gradients": lambda model, x: explain.integrated_gradients(model, x, n_steps=4),
    "grad_cam": explain.grad_cam,
    "occlusion": lambda model, x: explain.occlusion(model, x, 3, 2),
    "activations": lambda model, x: explain.activations(model, x, "5"),
    "features": explain.features,
    "class_visualization": lambda model, x: explain.class_visualization(model, [1], SHAPE, steps=3),
    "nearest_neighbors": lambda model, x: explain.nearest_neighbors(model, x, x, 2)[0],
    "randomized": lambda model, x: [explain.saliency(each, x) for _, each in explain.cascading_randomization(model)][0],
}


@pytest.mark.parametrize("name", METHODS)
def test_the_model_stays_as_it_was(name: str, device: str) -> None:
    """Weights, gradients, running statistics, flags and hooks; and no draw moves the stream of random numbers."""
    model = trained()
    model[1].eval()  # one module in another mode than the rest
    model[4].weight.requires_grad = False
    F.cross_entropy(model(dl.tensor(images())), dl.tensor(np.array([0, 1, 2]))).backward()

    def state() -> list[Any]:
        arrays = [*model.state_dict().values(), *(p.grad.numpy().copy() for p in model.parameters() if p.requires_grad)]
        flags = [[each.training for each in model.modules()], [p.requires_grad for p in model.parameters()]]
        return [*arrays, *flags, [each._hooks for each in model.modules()]]

    before = state()
    with dl.no_grad():  # where a user asks from makes no difference
        first = METHODS[name](model, images())
    second = METHODS[name](model, dl.tensor(images()))
    assert np.isfinite(first.numpy()).all() and first.device == dl.tensor(0.0).device
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(old, new) if isinstance(old, np.ndarray) else None
        assert isinstance(old, np.ndarray) or old == new


@pytest.fixture(scope="module")
def peers() -> tuple[nn.Module, Any]:
    """A model of ours and PyTorch's with the same weights, in float64 and evaluation mode."""
    torch = pytest.importorskip("torch")
    dl.manual_seed(0)
    ours = trained().to(dtype="float64").eval()
    conv, norm, second, head = (ours[i] for i in (0, 1, 4, 8))

    class Reordered(torch.nn.Module):
        """Flattened channels last, as ours."""

        def forward(self, x: Any) -> Any:
            return x.permute(0, 2, 3, 1).flatten(1)

    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.BatchNorm2d(6), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(6, 5, 3), torch.nn.ReLU(), Reordered(), torch.nn.Dropout(0.5), torch.nn.Linear(20, 4),
    ).double().eval()  # fmt: skip
    with torch.no_grad():
        for mine, other in ((conv, theirs[0]), (second, theirs[4])):
            other.weight.copy_(torch.tensor(mine.weight.numpy().transpose(0, 3, 1, 2).copy()))
            other.bias.copy_(torch.tensor(mine.bias.numpy()))
        for name in ("weight", "bias"):
            getattr(theirs[8], name).copy_(torch.tensor(getattr(head, name).numpy()))
            getattr(theirs[1], name).copy_(torch.tensor(getattr(norm, name).numpy()))
        for name in ("running_mean", "running_var"):
            getattr(theirs[1], name).copy_(torch.tensor(np.asarray(getattr(norm, name))))
    return ours, theirs


def torch_gradient(model: Any, x: np.ndarray, target: list[int]) -> np.ndarray:
    """d score / d input by PyTorch, channels last."""
    import torch

    leaf = torch.tensor(x.transpose(0, 3, 1, 2).copy(), dtype=torch.float64, requires_grad=True)
    model(leaf)[range(len(x)), target].sum().backward()
    return leaf.grad.numpy().transpose(0, 2, 3, 1)


def torch_scores(model: Any, x: np.ndarray, target: list[int]) -> np.ndarray:
    import torch

    with torch.no_grad():
        found = model(torch.tensor(x.transpose(0, 3, 1, 2).copy(), dtype=torch.float64))
    return found[range(len(x)), target].numpy()


TARGET = [2, 0, 3]


def test_gradients_are_pytorchs(peers) -> None:
    ours, theirs = peers
    expected = torch_gradient(theirs, images(), TARGET)
    np.testing.assert_allclose(explain.input_gradient(ours, images(), TARGET).numpy(), expected, atol=1e-12)
    found = explain.saliency(ours, images(), TARGET)
    assert found.shape == (3, 9, 8)
    np.testing.assert_allclose(found.numpy(), abs(expected).max(axis=-1), atol=1e-12)


def test_integrated_gradients_are_pytorchs(peers) -> None:
    ours, theirs = peers
    x, base = images().astype("float64"), np.full(SHAPE, 0.2)
    places, weights = np.polynomial.legendre.leggauss(7)
    total = sum(
        w / 2 * torch_gradient(theirs, base + (a + 1) / 2 * (x - base), TARGET)
        for a, w in zip(places, weights, strict=True)
    )
    found, delta = explain.integrated_gradients(ours, x, base, TARGET, n_steps=7, return_convergence_delta=True)
    np.testing.assert_allclose(found.numpy(), (x - base) * total, atol=1e-12)
    change = torch_scores(theirs, x, TARGET) - torch_scores(theirs, np.stack([base] * 3), TARGET)
    np.testing.assert_allclose(delta.numpy(), found.numpy().sum(axis=(1, 2, 3)) - change, atol=1e-12)


@pytest.mark.parametrize("layer", [1, 5])
def test_grad_cam_is_pytorchs(peers, layer: int) -> None:
    import torch

    ours, theirs = peers
    maps = theirs[: layer + 1](torch.tensor(images().transpose(0, 3, 1, 2).copy(), dtype=torch.float64)).detach()
    maps.requires_grad_()
    theirs[layer + 1 :](maps)[range(3), TARGET].sum().backward()
    expected = (maps.grad.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).detach()
    small = explain.grad_cam(ours, images(), TARGET, layer=ours[layer], relu_attributions=False, upsample=False)
    np.testing.assert_allclose(small.numpy(), expected[:, 0].numpy(), atol=1e-12)
    large = torch.nn.functional.interpolate(expected.relu(), SHAPE[:2], mode="bilinear")[:, 0].numpy()
    np.testing.assert_allclose(explain.grad_cam(ours, images(), TARGET, layer=str(layer)).numpy(), large, atol=1e-12)
    assert large.max() > 0


@pytest.mark.parametrize(
    ("window", "strides"), [((4, 3, 3), (2, 3, 3)), ((5, 5), 2), ((3, 3, 1), (3, 2, 1)), (4, None)]
)
def test_occlusion_is_pytorchs(peers, window: Any, strides: Any) -> None:
    """Also where the last window is cut off, and where channels are covered one by one."""
    ours, theirs = peers
    x = images()
    size = window if isinstance(window, tuple) else (window, window)
    size = size if len(size) == 3 else (*size, 3)
    step = strides if isinstance(strides, tuple) else (strides or 1, strides or 1, 3)
    total, times, before = np.zeros(x.shape), np.zeros(x.shape), torch_scores(theirs, x, TARGET)
    starts = [range(0, -(-(n - k) // s) * s + 1, s) for n, k, s in zip(SHAPE, size, step, strict=True)]
    for corner in np.array(np.meshgrid(*starts)).reshape(3, -1).T:
        place = (slice(None), *(slice(c, c + k) for c, k in zip(corner, size, strict=True)))
        covered = x.copy()
        covered[place] = 0.5
        total[place] += (before - torch_scores(theirs, covered, TARGET))[:, None, None, None]
        times[place] += 1
    found = explain.occlusion(ours, x, window, strides, 0.5, TARGET, perturbations_per_eval=5)
    np.testing.assert_allclose(found.numpy(), total / times, atol=1e-12)


def test_integrated_gradients_are_complete(device: str) -> None:
    """What each pixel has adds up to the score's change, ever closer with more steps."""
    model, x = trained().to(dtype="float64"), images(4)
    found, delta = explain.integrated_gradients(model, x, n_steps=200, return_convergence_delta=True)
    scores = model.eval()(dl.tensor(x.astype("float64"))).numpy()
    start = model(dl.tensor(np.zeros_like(x, "float64"))).numpy()
    best = scores.argmax(axis=1)
    change = scores[range(4), best] - start[range(4), best]
    assert abs(found.numpy().sum(axis=(1, 2, 3)) - change).max() < 2e-3 < abs(change).max() / 10
    np.testing.assert_allclose(delta.numpy(), found.numpy().sum(axis=(1, 2, 3)) - change, atol=1e-9)
    coarse = explain.integrated_gradients(model, x, n_steps=3, return_convergence_delta=True)[1]
    assert abs(coarse.numpy()).mean() > abs(delta.numpy()).mean()


def test_without_a_target_the_largest_score_is_explained() -> None:
    model, x = trained(), images()
    best = model.eval()(dl.tensor(x)).numpy().argmax(axis=1)
    for given in (best, best.tolist(), dl.tensor(best)):
        np.testing.assert_array_equal(explain.saliency(model, x, given).numpy(), explain.saliency(model, x).numpy())
    one = explain.saliency(model, x, 1).numpy()
    np.testing.assert_array_equal(one, explain.saliency(model, x, [1, 1, 1]).numpy())


def test_smooth_grad_without_noise_is_saliency() -> None:
    model, x = trained(), images()
    smooth = explain.smooth_grad(model, x, nt_samples=2, stdevs=0.0).numpy()
    np.testing.assert_allclose(smooth, explain.saliency(model, x).numpy(), rtol=1e-6)
    with_noise = [explain.smooth_grad(model, x, nt_samples=2, seed=seed).numpy() for seed in (0, 0, 1)]
    assert (with_noise[0] == with_noise[1]).all() and (with_noise[0] != with_noise[2]).any()


def test_maps_follow_random_weights() -> None:
    """The sanity check of Adebayo et al. 2018: a map of a net without what it learned is another map."""
    model = spot_finder()
    x = spots(40)[0]
    kinds = {"saliency": explain.saliency, "grad_cam": explain.grad_cam,
             "occlusion": lambda *given: explain.occlusion(*given, 2, 2)}  # fmt: skip
    whole = {name: method(model, x) for name, method in kinds.items()}
    alike: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in range(4):
        (*_, (name, changed)) = explain.cascading_randomization(model, seed)
        assert name == "0"
        for kind, method in kinds.items():
            alike[kind].append(explain.rank_correlation(whole[kind], method(changed, x)).mean())
    assert all(abs(np.mean(values)) < 0.4 for values in alike.values()), alike
    same = {kind: explain.rank_correlation(whole[kind], method(model, x)) for kind, method in kinds.items()}
    assert all((value > 0.999).all() for value in same.values())


def spots(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with a bright spot of one of two colors: images, classes, and where each spot is, (N, 2)."""
    draw = np.random.default_rng(3)
    x = 0.3 * draw.normal(size=(count, 12, 12, 3)).astype("float32")
    y, place = draw.integers(0, 2, count), draw.integers(0, 9, (count, 2))
    for image, label, (row, column) in zip(x, y, place, strict=True):
        image[row : row + 4, column : column + 4, label] += 3
    return x, y, place


def spot_finder() -> nn.Module:
    dl.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.GlobalAvgPool2d(), nn.Linear(8, 2),
    )  # fmt: skip
    x, y, _ = spots(200)
    step = dl.TrainStep(model, F.cross_entropy, dl.optim.Adam(model.parameters(), lr=0.02))
    for _ in range(40):
        loss = step(x, y)
    assert loss.item() < 0.05
    return model


@pytest.mark.parametrize(
    ("method", "share"),
    [
        (explain.saliency, 0.3),
        (lambda *given: explain.smooth_grad(*given, nt_samples=8), 0.3),
        (lambda *given: abs(explain.integrated_gradients(*given).numpy()).sum(axis=-1), 0.6),
        (explain.grad_cam, 0.5),
        (lambda *given: explain.occlusion(*given, 3).numpy().mean(axis=-1).clip(0), 0.5),
    ],
    ids=["saliency", "smooth_grad", "integrated_gradients", "grad_cam", "occlusion"],
)
def test_maps_lie_where_the_class_is_seen(method: Callable, share: float) -> None:
    """Of what a map has, the spot and a pixel round it, a sixth of the image, have far more than that."""
    x, _, place = spots(30)
    maps = np.asarray(getattr(found := method(spot_finder(), x), "data", found))
    inside = np.zeros(maps.shape, bool)
    for each, (row, column) in zip(inside, place, strict=True):
        each[max(row - 1, 0) : row + 5, max(column - 1, 0) : column + 5] = True
    assert (maps * inside).sum() / maps.sum() > max(share, 1.5 * inside.mean())


def test_a_class_visualization_pleases_the_net(device: str) -> None:
    model = spot_finder()
    found = explain.class_visualization(model, [0, 1], (12, 12, 3), steps=30, bounds=(-1, [1, 1, 2])).numpy()
    scores = model.eval()(dl.tensor(found)).numpy()
    seen = model(dl.tensor(spots(40)[0])).numpy().max()
    assert (np.diag(scores) > seen).all() and (scores.argmax(axis=1) == [0, 1]).all()
    assert found.min() >= -1 and found[..., :2].max() <= 1 and found.max() <= 2
    assert found[0, ..., 0].mean() > found[0, ..., 1].mean() and found[1, ..., 1].mean() > found[1, ..., 0].mean()


def test_a_class_visualization_may_have_one_bound(device: str) -> None:
    model = spot_finder()
    found = explain.class_visualization(model, [0, 1], SHAPE, steps=5, bounds=(0, np.inf)).numpy()
    free = explain.class_visualization(model, [0, 1], SHAPE, steps=5).numpy()
    assert found.min() == 0 and free.min() < 0 and np.isfinite(found).all()


@pytest.mark.parametrize("setting", ["bounds", "scale"])
def test_a_class_visualization_is_that_of_any_unit_of_the_inputs(setting: str, device: str) -> None:
    unit = 256.0  # bytes beside shares: a step of 1 would leave the noise as it was

    def found(unit: float) -> np.ndarray:
        model = spot_finder()
        model[0].weight.data /= unit
        told = {"bounds": (-unit, 3 * unit)} if setting == "bounds" else {"scale": unit}
        return explain.class_visualization(model, [0, 1], SHAPE, steps=20, **told).numpy() / unit

    np.testing.assert_allclose(found(unit), found(1.0), rtol=1e-5, atol=1e-6)


def test_blur_keeps_means_and_flat_images(device: str) -> None:
    from dlcourse.explain.visualization import blurred

    flat = dl.tensor(np.full((2, 5, 6, 3), 0.7, "float32")).data
    np.testing.assert_allclose(dl.Tensor(blurred(flat, 1.0)).numpy(), 0.7, rtol=1e-6)
    dot = np.zeros((1, 9, 9, 1), "float32")
    dot[0, 4, 4] = 1
    spread = dl.Tensor(blurred(dl.tensor(dot).data, 0.8)).numpy()[0, :, :, 0]
    assert spread.sum() == pytest.approx(1, rel=1e-5) and spread[4, 4] == spread.max() > spread[4, 5] == spread[5, 4]


def test_other_models() -> None:
    """Saliency of any model with numbers as inputs: an MLP, a linear one, one of sequences; Grad-CAM along time."""
    linear = nn.Linear(5, 3)
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    np.testing.assert_allclose(explain.saliency(linear, x, 1).numpy(), abs(linear.weight.numpy()[[1, 1]]), rtol=1e-6)
    waves = np.random.default_rng(0).normal(size=(2, 10, 4)).astype("float32")
    temporal = nn.Sequential(nn.Conv1d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    assert explain.saliency(temporal, waves).shape == explain.grad_cam(temporal, waves).shape == (2, 10)
    attention = nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8), nn.Flatten(), nn.Linear(40, 3))
    assert explain.saliency(attention, waves).shape == (2, 10)
    assert explain.occlusion(attention, waves, 2).shape == waves.shape


class Voting(nn.Module):
    """No gradient leads to its inputs."""

    def forward(self, x: Any) -> dl.Tensor:
        return dl.tensor((dl.as_tensor(x).numpy() > 0).mean(axis=(1, 2)).astype("float32"))


class Twice(nn.Module):
    def forward(self, x: Any) -> tuple:
        return x, x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: explain.saliency(m, (x * 255).astype("uint8")), ArgumentError, "floating point"),
        (lambda m, x: explain.saliency(m, x, 4), ArgumentError, r"outputs are 0\.\.3"),
        (lambda m, x: explain.saliency(m, x, -1), ArgumentError, r"outputs are 0\.\.3"),
        (lambda m, x: explain.saliency(m, x, [0, 1]), TypeError, "3 of them"),
        (lambda m, x: explain.saliency(m, x, "cat"), TypeError, "number of an output"),
        (lambda m, x: explain.saliency(m, x, 0.5), TypeError, "number of an output"),
        (lambda m, x: explain.saliency(m, x[:0]), ShapeError, "a batch of inputs"),
        (lambda m, x: explain.saliency(m[:6], x), ShapeError, r"scores \(N, K\), got shape"),
        (lambda m, x: explain.saliency(Twice(), x), ShapeError, "got a tuple"),
        *((call, TypeError, "expected a model of dlcourse.nn, got a builtins.function") for call in (
            lambda m, x: explain.saliency(lambda x: x, x),
            lambda m, x: explain.filters(lambda x: x),
            lambda m, x: explain.attention_maps(lambda x: x, x),
            lambda m, x: next(explain.cascading_randomization(lambda x: x)),
        )),
        (lambda m, x: explain.saliency(Voting(), x), ArgumentError, "occlusion needs none"),
        (lambda m, x: explain.grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(216, 4)), x), ArgumentError,
         "Grad-CAM needs a convolutional layer; this model has none; use saliency"),
        (lambda m, x: explain.grad_cam(m, x, layer="9"), ArgumentError, "no module '9'"),
        (lambda m, x: explain.grad_cam(m, x, layer="8"), ArgumentError, "expected a layer with maps"),
        (lambda m, x: explain.grad_cam(m, x, layer=nn.ReLU()), ArgumentError, "no module of the model"),
        (lambda m, x: explain.grad_cam(m, x, layer=3), TypeError, "module or its name"),
        (lambda m, x: explain.occlusion(m, x, 9), ArgumentError, "sliding_window_shapes"),
        (lambda m, x: explain.occlusion(m, x, (3, 3, 3, 3)), ArgumentError, "sliding_window_shapes"),
        (lambda m, x: explain.occlusion(m, x, 2, 3), ArgumentError, "never be covered"),
        (lambda m, x: explain.occlusion(m, x, 2, 0), ArgumentError, "strides"),
        (lambda m, x: explain.occlusion(m, x, 2, baselines=np.zeros(4)), ShapeError, "baselines"),
        (lambda m, x: explain.integrated_gradients(m, x, n_steps=0), ArgumentError, "n_steps"),
        (lambda m, x: explain.smooth_grad(m, x, nt_samples=0), ArgumentError, "nt_samples"),
        (lambda m, x: explain.class_visualization(m, 1), ArgumentError, r"shape \(H, W, C\)"),
        (lambda m, x: explain.class_visualization(m, 7, SHAPE), ArgumentError, r"outputs are 0\.\.3"),
        (lambda m, x: explain.class_visualization(m, 1, SHAPE, steps=0), ArgumentError, "steps"),
        (lambda m, x: explain.class_visualization(m, 1, SHAPE, scale=0), ArgumentError, "scale"),
        (lambda m, x: explain.class_visualization(m, 1, SHAPE, bounds=(1, 1)), ArgumentError, "upper bound"),
        (lambda m, x: explain.filters(m, "8"), ArgumentError, "expected a convolution"),
        (lambda m, x: explain.filters(nn.Linear(2, 2)), ArgumentError, "needs a convolutional layer"),
        (lambda m, x: explain.activations(m, x, "conv"), ArgumentError, "no module 'conv'"),
        (lambda m, x: explain.features(m[:6], x), ArgumentError, "name a layer"),
        (lambda m, x: explain.nearest_neighbors(m, x, x, 4), ArgumentError, r"1\.\.3"),
        (lambda m, x: explain.nearest_neighbors(m, x, x, 1, metric="l3"), ArgumentError, "metric"),
        (lambda m, x: explain.embed(m, x, "umap"), ArgumentError, "method"),
        (lambda m, x: explain.principal_components(x), ArgumentError, "at most"),
        (lambda m, x: explain.rank_correlation(x, x[:2]), ShapeError, "two batches"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call(net(), images())
