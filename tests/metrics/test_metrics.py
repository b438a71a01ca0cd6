"""Metrics: known values, wrong shapes, and that batches add up to the whole, on every device."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse import backend, registry
from dlcourse.errors import ShapeError, UserError
from dlcourse.metrics import Metric, confusion_matrix

REGRESSION = ["mse", "half_sse", "rmse", "mae", "r2"]
OF_CLASSES = ["precision", "recall", "f1", "balanced_accuracy", "kappa", "roc_auc", "average_precision"]
OF_SAMPLES = ["accuracy", "error", "top_k", "cross_entropy", "log_likelihood", "perplexity"]
OF_TEXTS = ["nats_per_character", "bits_per_character", "bits_per_byte"]
CLASSIFICATION = [*OF_SAMPLES, *OF_TEXTS, *OF_CLASSES]
OTHERS = ["gaussian_nll", "sequence_accuracy"]


def measure(name, *batches, **parameters):
    if name == "top_k":
        parameters.setdefault("k", 2)
    metric = registry.build("metric", {"name": name, **parameters})
    for outputs, targets in batches:
        metric.update(outputs, targets)
    return metric.compute()


def regression(random, samples, width=2, dtype=np.float32):
    targets = random.normal(3, 2, (samples, width)).astype(dtype)
    return targets + random.normal(0, 1, targets.shape).astype(dtype), targets


def classification(random, samples, classes=4):
    # Few distinct values, so that there are ties.
    return random.integers(-3, 3, (samples, classes)).astype(np.float32), random.integers(0, classes, samples)


def batches_of(name, random, samples):
    """Outputs and targets that a metric can judge."""
    metric = registry.lookup("metric", name)
    if name == "gaussian_nll":
        outputs, targets = regression(random, samples)
        return np.concatenate([outputs, random.normal(size=targets.shape)], axis=1), targets
    return classification(random, samples) if "classification" in metric.tasks else regression(random, samples)


def test_every_metric_is_tested():
    ours = {n for n in registry.names("metric") if registry.lookup("metric", n).__module__.startswith("dlcourse.")}
    of_drawn = {n for n in ours if registry.lookup("metric", n).of_drawn}  # in tests/models/test_gan.py
    assert ours - of_drawn == {*REGRESSION, *CLASSIFICATION, *OTHERS}


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_every_element_of_a_sequence_counts(name):
    outputs, labels = classification(np.random.default_rng(0), 12)
    assert measure(name, (outputs.reshape(3, 4, 4), labels.reshape(3, 4))) == measure(name, (outputs, labels))


def test_a_sequence_is_right_where_every_step_is():
    outputs = np.eye(3, dtype=np.float32)[[[0, 1], [2, 2], [1, 0]]]
    assert measure("sequence_accuracy", (outputs, np.array([[0, 1], [2, 0], [1, 0]]))) == pytest.approx(2 / 3)
    with pytest.raises(ShapeError, match="expected logits"):
        measure("sequence_accuracy", (outputs, np.array([0, 1, 2])))


def test_perplexity_and_bits_of_equally_likely_tokens():
    outputs, labels = np.zeros((5, 8), dtype=np.float32), np.arange(5)
    assert measure("perplexity", (outputs, labels)) == pytest.approx(8)
    assert measure("bits_per_character", (outputs, labels)) == pytest.approx(3)


def test_the_cost_of_a_text_does_not_depend_on_its_tokens(device):
    """Of tokens of 3, 1 and 2 characters, 4, 1 and 5 bytes, in two batches; without sizes each token is one."""
    sizes = {"characters": np.array([3, 1, 2]), "bytes": np.array([4, 1, 5])}
    asarray = backend.current().asarray
    batches = [
        (np.zeros((1, 2, 3), "float32"), np.array([[0, 1]])),
        (np.zeros((1, 2, 3), "float32"), np.array([[2, 2]])),
    ]
    nats, found = 4 * math.log(3), {}
    for name in OF_TEXTS:
        for given_sizes in (sizes, None):
            metric = registry.build("metric", {"name": name})
            metric.token_sizes = given_sizes
            for outputs, targets in batches:
                metric.update(asarray(outputs), asarray(targets))
            found[name, given_sizes is None] = metric.compute()
    assert found["nats_per_character", False] == pytest.approx(nats / 8)
    assert found["bits_per_character", False] == pytest.approx(nats / 8 / math.log(2))
    assert found["bits_per_byte", False] == pytest.approx(nats / 15 / math.log(2))
    assert found["nats_per_character", True] == pytest.approx(math.log(3))
    metric = registry.build("metric", {"name": "bits_per_byte"})
    for sizes, message in ((None, "is no text"), ({"characters": np.ones(3)}, "<unk>")):
        metric.token_sizes = sizes
        with pytest.raises(UserError, match=message):
            metric.check_classes(3)


@pytest.mark.parametrize("name", [*REGRESSION, *CLASSIFICATION, *OTHERS])
@given(st.integers(2, 40), st.lists(st.integers(0, 40), max_size=5), st.integers(0, 2**32))
def test_batches_add_up_to_the_whole(name, samples, cuts, seed):
    outputs, targets = batches_of(name, np.random.default_rng(seed), samples)
    cuts = sorted(min(cut, samples) for cut in cuts)
    parts = list(zip(np.split(outputs, cuts), np.split(targets, cuts), strict=True))  # some of them empty
    whole = measure(name, (outputs, targets))
    assert measure(name, *parts) == pytest.approx(whole, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", [*REGRESSION, *CLASSIFICATION, *OTHERS])
def test_devices_agree_and_reset_forgets(name, device):
    outputs, targets = batches_of(name, np.random.default_rng(0), 30)
    here = backend.current()
    metric = registry.build("metric", {"name": name, **({"k": 2} if name == "top_k" else {})})
    assert math.isnan(metric.compute())
    metric.update(here.asarray(outputs[::-1].copy() + 1), here.asarray(targets))
    metric.reset()
    for span in (slice(0, 20), slice(20, 30)):
        metric.update(here.asarray(outputs[span]), here.asarray(targets[span]))
    value = metric.compute()
    assert isinstance(value, float)
    assert value == pytest.approx(measure(name, (outputs, targets)), rel=1e-9)


def test_squares_of_a_case_done_by_hand():
    data = np.array([[1.0], [2.0], [6.0]]), np.array([[1.0], [4.0], [7.0]])
    assert measure("half_sse", data) == 2.5
    assert measure("mse", data) == pytest.approx(5 / 3)
    assert measure("rmse", data) == pytest.approx(math.sqrt(5 / 3))
    assert measure("mae", data) == 1
    assert measure("r2", data) == pytest.approx(1 - 5 / 18)


def test_r2_does_not_cancel_and_knows_constant_targets():
    targets = 1e9 + np.arange(10.0)[:, None]
    assert measure("r2", (targets + 1, targets)) == pytest.approx(1 - 10 / 82.5, rel=1e-9)
    constant = np.full((7, 1), 0.1)
    split = [(constant[:3], constant[:3]), (constant[3:], constant[3:])]
    assert measure("r2", *split) == 1
    assert measure("r2", (constant + 1, constant)) == 0
    assert math.isnan(measure("r2", (constant[:1], constant[:1])))


def test_single_precision_sums_do_not_drift():
    outputs, targets = np.full((100_000, 1), 0.1, np.float32), np.zeros((100_000, 1), np.float32)
    exact = float(np.float32(0.1)) ** 2
    assert measure("mse", *[(outputs, targets)] * 10) == pytest.approx(exact, rel=1e-12)


def test_a_gaussian_output_counts_by_its_mean():
    outputs, targets = np.array([[1.0, 0.0], [3.0, 5.0]]), np.array([[2.0], [3.0]])
    assert measure("mse", (outputs, targets)) == 0.5
    nll = [0.5 * math.log(2 * math.pi) + 0.5, 0.5 * math.log(2 * math.pi) + 5]
    assert measure("gaussian_nll", (outputs, targets)) == pytest.approx(np.mean(nll))


def test_classes_of_a_case_done_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.5, 0.4]]))
    data = logits, np.array([0, 1, 2])
    assert measure("accuracy", data) == pytest.approx(1 / 3)
    assert measure("error", data) == pytest.approx(2 / 3)
    assert measure("top_k", data) == 1
    expected = -np.mean(np.log([0.7, 0.3, 0.4]))
    assert measure("cross_entropy", data) == pytest.approx(expected)
    assert measure("log_likelihood", data) == pytest.approx(-expected)


def test_large_logits_do_not_overflow():
    data = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32), np.array([0, 0])
    assert measure("cross_entropy", data) == pytest.approx(1e4)


@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 2**32))
def test_top_1_is_accuracy_and_top_c_is_all(samples, classes, seed):
    data = classification(np.random.default_rng(seed), samples, classes)
    assert measure("top_k", data, k=1) == measure("accuracy", data)
    assert measure("top_k", data, k=classes) == 1
    assert measure("accuracy", data) + measure("error", data) == pytest.approx(1)


def test_an_output_that_is_nan_puts_no_class_first():
    data = np.full((3, 4), np.nan), np.array([1, 2, 3])
    assert measure("top_k", data, k=3) == 0


def test_more_top_classes_than_classes_is_a_mistake():
    with pytest.raises(UserError, match="k = 5 is more than the 4 classes"):
        measure("top_k", classification(np.random.default_rng(0), 3), k=5)


@pytest.mark.parametrize("name", REGRESSION)
def test_outputs_and_targets_never_broadcast(name):
    for outputs, targets in (((5, 1), (5,)), ((5,), (5,)), ((5, 3), (5, 1)), ((5, 1), (4, 1)), ((1, 1), (5, 1))):
        with pytest.raises(ShapeError, match="expected outputs and targets of one shape"):
            measure(name, (np.ones(outputs), np.ones(targets)))


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_labels_have_to_be_labels(name):
    with pytest.raises(ShapeError, match=r"expected logits \(N, C\) and labels \(N,\)"):
        measure(name, (np.ones((5, 3)), np.ones((5, 1), int)))
    with pytest.raises(ShapeError, match="integer class labels, came float64"):
        measure(name, (np.ones((5, 3)), np.ones(5)))


def test_inputs_are_not_changed():
    for name in [*REGRESSION, *CLASSIFICATION, *OTHERS]:
        outputs, targets = batches_of(name, np.random.default_rng(0), 9)
        before = outputs.copy(), targets.copy()
        outputs.flags.writeable = targets.flags.writeable = False
        measure(name, (outputs, targets))
        np.testing.assert_array_equal(outputs, before[0])
        np.testing.assert_array_equal(targets, before[1])


def test_confusion_counts_rows_by_true_class(device):
    here = backend.current()
    logits = np.eye(3)[[0, 1, 1, 2, 0]]
    counts = confusion_matrix(here.asarray(logits), here.asarray(np.array([0, 1, 2, 2, 2])))
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 0], [1, 1, 1]])
    assert isinstance(counts, np.ndarray)


class TestAgainstScikitLearn:
    @pytest.fixture
    def sklearn(self):
        return pytest.importorskip("sklearn.metrics", reason="scikit-learn is the second opinion")

    def test_regression(self, sklearn):
        outputs, targets = regression(np.random.default_rng(1), 200, 3, np.float64)
        assert measure("mse", (outputs, targets)) == pytest.approx(sklearn.mean_squared_error(targets, outputs))
        assert measure("rmse", (outputs, targets)) == pytest.approx(sklearn.mean_squared_error(targets, outputs) ** 0.5)
        assert measure("mae", (outputs, targets)) == pytest.approx(sklearn.mean_absolute_error(targets, outputs))
        assert measure("r2", (outputs, targets)) == pytest.approx(sklearn.r2_score(targets, outputs))

    def test_classification(self, sklearn):
        random = np.random.default_rng(1)
        logits, labels = random.normal(size=(200, 5)), random.integers(0, 5, 200)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        guess = logits.argmax(axis=1)
        assert measure("accuracy", (logits, labels)) == pytest.approx(sklearn.accuracy_score(labels, guess))
        assert measure("cross_entropy", (logits, labels)) == pytest.approx(sklearn.log_loss(labels, probabilities))
        for k in (1, 2, 4):
            expected = sklearn.top_k_accuracy_score(labels, logits, k=k)
            assert measure("top_k", (logits, labels), k=k) == pytest.approx(expected)
        expected = sklearn.confusion_matrix(labels, guess)
        np.testing.assert_array_equal(confusion_matrix(logits, labels), expected)


def test_metrics_of_many_fits_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    targets, outputs = rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 7, 2, 4))
    targets[1, :, 1] = 2.0  # no spread
    classes = [registry.lookup("metric", name) for name in registry.names("metric")]
    able = [cls for cls in classes if cls.__module__.startswith("dlcourse.") and cls.takes_many()]
    assert {cls.__name__ for cls in able} >= {"MeanSquaredError", "R2", "MeanAbsoluteError"}
    for cls in able:
        found = cls().compute_many(targets[..., None] - outputs, targets)
        for g, p in np.ndindex(3, 4):
            metric = cls()
            metric.update(outputs[g, :, :, p], targets[g])
            assert found[g, p] == pytest.approx(metric.compute(), rel=1e-12)


def test_a_metric_of_its_own_values_does_not_take_many() -> None:
    class Capped(registry.lookup("metric", "mse")):  # type: ignore[misc]
        def values(self, outputs, targets):
            return np.minimum(super().values(outputs, targets), 1.0)

    assert not Capped.takes_many()


def test_one_value_a_batch_is_no_value_a_sample() -> None:
    class Mean(Metric):
        def values(self, outputs, targets):
            return np.array([(outputs.argmax(axis=1) == targets).mean()])

    class OfLastClass(Metric):
        def values(self, outputs, targets):
            return (outputs.argmax(axis=1) == targets)[targets == 2]

    outputs, targets = np.eye(3, dtype="float32"), np.array([0, 1, 2])
    with pytest.raises(ShapeError, match=r"of 3 samples it returned an array of the shape \(1,\)"):
        Mean().update(outputs, targets)
    metric = OfLastClass()
    metric.update(outputs, targets)
    assert metric.compute() == 1.0
