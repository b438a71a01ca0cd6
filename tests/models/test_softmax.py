"""The linear classifier."""

import math

import numpy as np

from dlcourse import backend, models, nn, optim
from dlcourse.training.step import TrainStep


def test_it_starts_knowing_nothing_and_learns(device: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    images = rng.normal(size=(200, 3, 3, 2)) + rng.normal(size=(4, 3, 3, 2))[labels]
    x, y = (backend.current().asarray(a) for a in (images.astype(np.float32), labels))
    model = models.SoftmaxModel((3, 3, 2), 4).to(device=device)
    assert model.weight.shape == (4, 18) and not model.bias.numpy().any()
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5))
    assert abs(step(x, y).item() - math.log(4)) < 1e-3
    for _ in range(100):
        step(x, y)
    assert (model(x).argmax(axis=1).numpy() == labels).mean() > 0.9


def test_the_scale_is_the_standard_deviation_of_the_first_weights() -> None:
    weights = models.SoftmaxModel((32, 32, 3), 10, scale=0.01).weight.numpy()
    assert abs(weights.std() / 0.01 - 1) < 0.02 and abs(weights.mean()) < 3e-4
    assert not models.SoftmaxModel((2,), 2, scale=0.0).weight.numpy().any()


def test_templates_are_images_of_the_weights() -> None:
    model = models.SoftmaxModel((4, 5, 3), 3)
    weight = np.zeros((3, 60), np.float32)
    weight[0] = np.linspace(-1, 1, 60)
    weight[1, 7] = 5  # alone, so more than three standard deviations
    model.weight.data = backend.current().asarray(weight)
    templates, scales = model.plot_arrays().values()
    np.testing.assert_allclose(scales, [3 * weight[0].std(), 15 / 60**0.5, 0], rtol=1e-5)
    assert templates.shape == (3, 4, 5, 3) and templates.dtype == np.float32
    first = templates[0].reshape(-1)
    assert (np.diff(first) > 0).all() and abs(first + first[::-1] - 1).max() < 1e-6
    assert templates[1].reshape(-1)[7] == 1 and set(np.delete(templates[1].reshape(-1), 7)) == {0.5}
    assert (templates[2] == 0.5).all()


def test_only_gray_and_color_images_have_templates() -> None:
    assert set(models.SoftmaxModel((4, 4, 1), 2).plot_arrays()) == {"templates", "template_scales"}
    assert models.SoftmaxModel((48,), 2).plot_arrays() == {}
    assert models.SoftmaxModel((4, 4, 2), 2).plot_arrays() == {}


def test_how_sure_a_classifier_is() -> None:
    outputs = np.array([[0, np.log(3)], [1000, -1000]], np.float32)
    softmax, svm = models.SoftmaxModel((2,), 2), models.LinearSVM((2,), 2)
    np.testing.assert_allclose(softmax.confidences(outputs), [[0.25, 0.75], [1, 0]], rtol=1e-6)
    np.testing.assert_array_equal(svm.confidences(outputs), outputs)
    assert (softmax.confidence, svm.confidence) == ("probability", "score")
