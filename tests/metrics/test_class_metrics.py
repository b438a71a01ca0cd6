"""Metrics by class: scikit-learn's values, what is defined where a class is missing, ties, and how they are named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlcourse as dl
from dlcourse import registry
from dlcourse.errors import ConfigError, ShapeError, UserError
from dlcourse.metrics.class_scores import log_odds

RATES = ["precision", "recall", "f1"]


def measure(name, logits, labels, **settings):
    metric = registry.build("metric", {"name": name, **settings})
    for rows in np.array_split(np.arange(len(labels)), 3):
        metric.update(logits[rows], labels[rows])
    return metric.compute()


def guesses(labels, classes):
    """Logits of a model that says exactly this."""
    return np.eye(classes, dtype=np.float32)[labels]


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn.metrics", reason="scikit-learn is the second opinion")


@pytest.mark.filterwarnings("ignore")  # scikit-learn warns where a class is missing
@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_scikit_learn(sklearn, seed):
    random = np.random.default_rng(seed)
    classes, samples = random.integers(2, 7), random.integers(1, 60)
    logits, labels = (
        random.normal(size=(samples, classes)),
        random.integers(0, random.integers(1, classes + 1), samples),
    )
    guess = logits.argmax(axis=1)
    for average in ("macro", "weighted"):
        for name in RATES:
            expected = getattr(sklearn, f"{name}_score")(labels, guess, average=average, zero_division=0)
            assert measure(name, logits, labels, average=average) == pytest.approx(expected), (name, average)
    of_each = sklearn.precision_recall_fscore_support(labels, guess, labels=range(classes), zero_division=0)
    for name, expected in zip(RATES, of_each, strict=False):
        found = [measure(name, logits, labels, label=c) for c in range(classes)]
        np.testing.assert_allclose(found, expected)
    assert measure("balanced_accuracy", logits, labels) == pytest.approx(sklearn.balanced_accuracy_score(labels, guess))
    expected = sklearn.cohen_kappa_score(labels, guess)
    assert measure("kappa", logits, labels) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("whole", [False, True])  # whole numbers tie
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_rankings_are_those_of_scikit_learn(sklearn, classes, whole):
    random = np.random.default_rng(classes)
    logits, labels = 3 * random.normal(size=(90, classes)), random.integers(0, classes, 90)
    logits = np.round(logits) if whole else logits
    # Whole numbers: sums in one order, so that what ties ties for scikit-learn too.
    p = softmax(np.sort(logits, axis=1))[np.arange(90)[:, None], logits.argsort(axis=1).argsort(axis=1)]
    for average in (None,) if classes == 2 else ("macro", "weighted"):
        of_two = (labels, p[:, 1])
        of_all = (labels, np.round(p, 14) if whole and classes > 2 else p)
        if classes == 2:
            auc, ap = sklearn.roc_auc_score(*of_two), sklearn.average_precision_score(*of_two)
        else:
            one_hot = np.eye(classes)[labels]
            auc = sklearn.roc_auc_score(one_hot, of_all[1], average=average)
            ap = sklearn.average_precision_score(one_hot, of_all[1], average=average)
        assert measure("roc_auc", logits, labels, average=average) == pytest.approx(auc)
        assert measure("average_precision", logits, labels, average=average) == pytest.approx(ap)
    for c in range(classes):
        own = labels == c
        assert measure("roc_auc", logits, labels, label=c) == pytest.approx(sklearn.roc_auc_score(own, p[:, c]))
        expected = sklearn.average_precision_score(own, p[:, c])
        assert measure("average_precision", logits, labels, label=c) == pytest.approx(expected)


def test_of_two_classes_the_second_unless_an_average_or_a_class_is_asked_for():
    random = np.random.default_rng(0)
    labels, logits = (np.arange(60) < 15).astype(int), random.normal(size=(60, 2))
    of_each = [measure("average_precision", logits, labels, label=c) for c in (0, 1)]
    assert measure("average_precision", logits, labels) == of_each[1] != of_each[0]
    assert measure("average_precision", logits, labels, average="macro") == pytest.approx(np.mean(of_each))
    weighted = np.average(of_each, weights=[45, 15])
    assert measure("average_precision", logits, labels, average="weighted") == pytest.approx(weighted)


def test_a_case_done_by_hand():
    """Class 1: two of three found, two of four taken for it right."""
    labels, guess = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 0, 1, 1, 0])
    logits = guesses(guess, 2)
    assert measure("precision", logits, labels, label=1) == 2 / 4
    assert measure("recall", logits, labels, label=1) == 2 / 3
    assert measure("f1", logits, labels, label=1) == pytest.approx(4 / 7)
    assert measure("precision", logits, labels) == (1 / 2 + 2 / 4) / 2
    assert measure("balanced_accuracy", logits, labels) == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert measure("kappa", logits, labels) == pytest.approx(0.0)


def test_a_class_that_never_occurs_does_not_count():
    labels, guess = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    for name in (*RATES, "balanced_accuracy", "kappa"):
        two, five = measure(name, guesses(guess, 2), labels), measure(name, guesses(guess, 5), labels)
        assert two == pytest.approx(five), name
    for name in RATES:
        assert measure(name, guesses(guess, 5), labels, label=4) == 0
    scores = np.array([[3, 1, 0], [2, 2, 0], [0, 1, 0], [1, 3, 0.0]])
    assert measure("roc_auc", scores, labels) == pytest.approx(
        np.mean([measure("roc_auc", scores, labels, label=c) for c in (0, 1)])
    )
    assert math.isnan(measure("roc_auc", scores, labels, label=2))
    assert math.isnan(measure("average_precision", scores, labels, label=2))


def test_a_class_that_nothing_is_taken_for_has_0():
    logits, labels = guesses(np.zeros(10, int), 2), np.array([0] * 9 + [1])
    assert [measure(name, logits, labels, label=1) for name in RATES] == [0, 0, 0]
    assert measure("precision", logits, labels) == pytest.approx(0.45)
    assert measure("balanced_accuracy", logits, labels) == 0.5
    assert measure("kappa", logits, labels) == 0


def test_one_class_only_has_no_ranking_and_no_kappa():
    logits, labels = guesses(np.zeros(4, int), 2), np.zeros(4, int)
    for name in ("roc_auc", "average_precision", "kappa"):
        assert math.isnan(measure(name, logits, labels)), name
    assert measure("balanced_accuracy", logits, labels) == measure("f1", logits, labels) == 1


def test_equal_scores_are_chance():
    labels = np.array([0, 1, 1, 2, 2, 2])
    for classes in (2, 3):
        own = np.minimum(labels, classes - 1)
        assert measure("roc_auc", np.zeros((6, classes)), own) == 0.5
        shares = [np.mean(own == 1)] if classes == 2 else np.bincount(own) / 6
        assert measure("average_precision", np.zeros((6, classes)), own) == pytest.approx(np.mean(shares))


def test_certainties_that_softmax_rounds_to_1_still_rank():
    """Probabilities of 1 - 1e-22 and less are one number in float64; the log-odds are not."""
    logits, labels = np.array([[0, 50], [0, 60], [0, 70], [0, 80.0]]), np.array([0, 0, 1, 1])
    assert measure("roc_auc", logits, labels) == measure("average_precision", logits, labels) == 1
    assert measure("roc_auc", np.array([[0, 1e4, 2], [0, 1e5, 3], [1e4, 1, 2.0]]), np.array([1, 1, 0])) == 1


def test_an_output_that_is_nan_has_no_ranking():
    assert math.isnan(measure("roc_auc", np.array([[0, np.nan], [0, 1], [1, 0]]), np.array([0, 1, 0])))
    assert math.isnan(measure("roc_auc", np.array([[0, np.nan, 1], [0, 1, 1], [1, 0, 2]]), np.array([0, 1, 2])))


@given(st.integers(2, 6), st.integers(0, 2**32))
def test_log_odds_are_those_of_softmax_in_any_order(classes, seed):
    random = np.random.default_rng(seed)
    logits = random.integers(-3, 4, (8, classes)).astype(np.float32)
    p = softmax(logits.astype(float))
    np.testing.assert_allclose(log_odds(logits), np.log(p / (1 - p)), rtol=1e-9, atol=1e-9)
    order = random.permutation(classes)
    np.testing.assert_array_equal(log_odds(logits[:, order]), log_odds(logits)[:, order])


def test_a_label_beyond_the_outputs_is_a_mistake():
    for name in ("f1", "roc_auc"):
        with pytest.raises(ShapeError, match=r"labels in 0\.\.2, came 0\.\.3"):
            measure(name, np.zeros((6, 3)), np.array([0, 3, 0, 0, 0, 0]))


def test_a_class_is_named_by_the_name_that_the_data_have():
    metric = registry.build("metric", {"name": "recall", "label": "cat"})
    metric.class_names = ("dog", "cat")
    metric.check_classes(2)
    metric.update(guesses(np.array([1, 0, 0]), 2), np.array([1, 1, 0]))
    assert metric.compute() == 0.5
    metric.label = "cow"
    with pytest.raises(UserError, match=r"no class 'cow'; the classes are: dog, cat"):
        metric.check_classes(2)
    with pytest.raises(UserError, match="give one of them"):
        registry.build("metric", {"name": "roc_auc", "label": 1, "average": "weighted"}).check_classes(2)


CONFIG = {
    "data": {"name": "spirals", "samples": 60, "split": {"train": 0.6, "val": 0.2, "test": 0.2}},
    "model": "softmax",
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "train": {"epochs": 2},
}


def test_a_run_says_which_of_two_classes_is_measured(tmp_path, capsys):
    config = CONFIG | {"data": CONFIG["data"] | {"classes": 2}, "metrics": ["roc_auc", "average_precision", "f1"]}
    result = dl.run(config, out=tmp_path, plots=False)
    assert "roc_auc and average_precision: of the class 'arm 1', the second of two" in capsys.readouterr().out
    assert set(result.metrics["test"]) == {"roc_auc", "average_precision", "f1"}
    dl.run(config | {"metrics": [{"name": "roc_auc", "label": "arm 0"}]}, out=tmp_path, plots=False)
    assert "the second of two" not in capsys.readouterr().out


def test_a_config_names_them(tmp_path):
    metrics = [
        {"name": "f1", "average": "weighted"},
        {"name": "f1"},
        "balanced_accuracy",
        {"name": "roc_auc", "label": "arm 1"},
    ]
    watched = {"metric": "balanced_accuracy", "patience": 1}
    config = CONFIG | {"metrics": metrics, "train": {"epochs": 2, "early_stopping": watched}}
    result = dl.run(config, out=tmp_path, quiet=True, plots=False)
    assert {"f1(average=weighted)", "balanced_accuracy", "roc_auc(label=arm 1)"} <= set(result.metrics["test"])
    with pytest.raises(ConfigError, match=r"metrics\.0: there is no class 'arm 9'"):
        dl.run(CONFIG | {"metrics": [{"name": "recall", "label": "arm 9"}]}, out=tmp_path, quiet=True)
    with pytest.raises(ConfigError, match=r"metrics\.0\.average"):
        dl.run(CONFIG | {"metrics": [{"name": "recall", "average": "mean"}]}, out=tmp_path, quiet=True)
