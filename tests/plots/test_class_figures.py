"""ROC, precision-recall and calibration: their points, and when they are drawn."""

import numpy as np
import pytest

from dlcourse.plots.figures.calibration import binned
from dlcourse.plots.figures.ranking import precision_recall_points, roc_points
from dlcourse.plots.gallery import open_view, plots
from dlcourse.plots.style import styled
from tests.plots.folders import write_run

FACTS = {"task": "classification", "confidence": "probability", "class_names": ["no", "yes", "maybe"]}


def outputs(classes, samples=200, sharpness=1.0):
    random = np.random.default_rng(0)
    y = random.integers(0, classes, samples)
    return y, sharpness * (2 * np.eye(classes)[y] + random.normal(size=(samples, classes)))


def drawn(path, y, output, **facts):
    view = open_view(write_run(path, arrays={"test_y": y, "test_output": output}, facts=FACTS | facts))
    titles = {}
    for plot in plots():
        if plot.kind == "run" and plot.name in ("roc", "precision_recall", "calibration") and plot.applies(view):
            with styled():
                titles[plot.name] = plot.draw(view)[0].get_label()
    return titles


def test_points_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the second opinion")
    y, output = outputs(2)
    scores, positive = np.round(output[:, 1], 1), y == 1
    false, true, _ = metrics.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_points(scores, positive), (false, true))
    precision, recall, _ = metrics.precision_recall_curve(positive, scores)
    found = precision_recall_points(scores, positive)
    np.testing.assert_allclose(np.array(found)[:, 1:], (recall[-2::-1], precision[-2::-1]))
    assert (found[0][0], found[1][0]) == (0, found[1][1])


def test_calibration_of_a_case_done_by_hand():
    """Two samples at 0.6, one right; two at 0.9, both right."""
    p = np.array([0.6, 0.6, 0.9, 0.9])
    logits = np.stack([np.log(p), np.log(1 - p)], axis=1)
    found = binned(logits, np.array([0, 1, 0, 0]), bins=5)
    np.testing.assert_array_equal(found.count, [0, 0, 2, 0, 2])
    assert found.error == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    always = binned(np.array([[1e4, 0.0]]), np.array([0]))
    assert always.count[-1] == 1 and always.error == 0


def test_titles_say_what_is_seen(tmp_path):
    two = drawn(tmp_path / "two", *outputs(2))
    assert two["roc"].startswith("Area under ROC of yes: 0.9")
    assert two["precision_recall"].startswith("Average precision of yes: 0.9")
    three = drawn(tmp_path / "three", *outputs(3))
    assert "Area under ROC (test): mean 0.9" in three["roc"] and ", least of " in three["roc"]
    assert drawn(tmp_path / "sharp", *outputs(3, sharpness=9.0))["calibration"].startswith("Overconfident: 9")
    assert drawn(tmp_path / "flat", *outputs(3, sharpness=0.1))["calibration"].startswith("Underconfident: ")
    assert drawn(tmp_path / "right", *outputs(3, 4000, 2.0))["calibration"].startswith("As sure as right: ")


def test_where_they_say_nothing_they_are_not_drawn(tmp_path):
    y, output = outputs(3)
    assert "calibration" not in drawn(tmp_path / "score", y, output, confidence="score")
    assert drawn(tmp_path / "one", np.zeros_like(y), output).keys() == {"calibration"}
    assert not drawn(tmp_path / "few", y[:10], output[:10])
    broken = output.copy()
    broken[3, 1] = np.nan
    assert not drawn(tmp_path / "nan", y, broken)
    assert "roc" not in drawn(tmp_path / "many", *outputs(30))
