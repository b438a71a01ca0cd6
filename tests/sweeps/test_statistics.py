import math

import numpy as np
import pytest

from dlcourse.sweeps.statistics import (
    Summary,
    best_index,
    decompose,
    estimator_errors,
    one_standard_error,
    summarize,
)


def test_mean_and_standard_error_by_hand():
    found = summarize([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0 and found.n == 5
    assert found.se == pytest.approx(math.sqrt(2.5) / math.sqrt(5))
    assert summarize([2.0]) == Summary(2.0, None, 1)
    with pytest.raises(ValueError, match="at least one"):
        summarize([])


def test_best_knows_its_direction_and_skips_what_diverged():
    values = [3.0, None, float("nan"), 1.0, 1.0, float("inf")]
    assert best_index(values, higher_is_better=False) == 3
    assert best_index(values, higher_is_better=True) == 0
    assert best_index([None, float("nan")], higher_is_better=True) is None


def test_one_standard_error_takes_the_simplest_within_reach():
    summaries = [Summary(9, 1, 5), Summary(5.4, 1, 5), Summary(5.1, 1, 5), Summary(5.0, 0.5, 5), Summary(7, 1, 5)]
    degrees = [(1.0,), (2.0,), (3.0,), (4.0,), (5.0,)]
    assert one_standard_error(summaries, degrees, higher_is_better=False) == 1
    ridges = [(4.0, -1e-3), (4.0, -1e-2), (4.0, -1e-1), (4.0, -1.0), (4.0, -10.0)]  # more ridge, simpler
    assert one_standard_error(summaries, ridges, higher_is_better=False) == 3


def test_one_standard_error_where_more_is_better():
    summaries = [Summary(0.5, 0.1, 5), Summary(0.88, 0.01, 5), Summary(0.9, 0.05, 5)]
    assert one_standard_error(summaries, [(1.0,), (2.0,), (3.0,)], higher_is_better=True) == 1


def test_one_standard_error_needs_folds_a_result_and_something_to_choose_by():
    key = [(1.0,), (2.0,)]
    assert one_standard_error([None, None], key, False) is None
    assert one_standard_error([Summary(1, None, 1), Summary(2, None, 1)], key, False) is None
    assert one_standard_error([Summary(1, 1, 2), Summary(2, 1, 2)], [(5.0,), (5.0,)], False) is None
    assert one_standard_error([None, Summary(2, 1, 2)], key, False) == 1


def test_decomposition_adds_up():
    generator = np.random.default_rng(0)
    curve = generator.normal(size=50)
    outputs = curve + 0.3 + 0.2 * generator.normal(size=(400, 50))
    targets = curve + 0.5 * generator.normal(size=(400, 50))
    found = decompose(outputs, curve, 0.5, targets)
    assert found.bias2 == pytest.approx(0.09, rel=0.05)
    assert found.variance == pytest.approx(0.04, rel=0.05)
    assert found.noise == 0.25
    assert found.bias2 + found.variance == pytest.approx(np.mean((outputs - curve) ** 2), rel=1e-12)
    assert found.mse == pytest.approx(found.expected, rel=0.05)
    assert found.fits == 400


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_standard_error_of_the_bias_is_its_scatter_over_repetitions(shift):
    generator = np.random.default_rng(0)
    found = []
    for _ in range(300):
        outputs = shift + 0.5 * generator.normal(size=(20, 1)) + 0.1 * generator.normal(size=(20, 6))
        found.append(decompose(outputs, np.zeros(6), 0.0, outputs))
    scatter = np.std([each.bias2 for each in found])
    error = np.mean([each.bias2_se for each in found])
    # Where there is a bias it is right; where there is none it errs on the large side, and bias2 is cut off at 0.
    assert 0.85 * scatter < error < (1.3 if shift else 3) * scatter
    assert decompose(outputs[:2], np.zeros(6), 0.0, outputs[:2]).bias2_se is None


def test_estimator_errors_against_the_formulas():
    generator = np.random.default_rng(1)
    samples = 3.0 + 2.0 * generator.normal(size=(20000, 5))
    mean = estimator_errors(samples.mean(axis=1), 3.0)
    assert mean["se"] == pytest.approx(2 / math.sqrt(5), rel=0.03)
    variance = estimator_errors(samples.var(axis=1), 4.0)
    assert variance["bias"] == pytest.approx(-4 / 5, abs=0.06)  # -sigma^2 / m
    assert variance["variance"] == pytest.approx(2 * 16 * 4 / 25, rel=0.06)  # 2 (m - 1) sigma^4 / m^2
    assert variance["mse"] == pytest.approx(variance["bias"] ** 2 + variance["variance"])


@pytest.mark.parametrize("value", [0.9083, 1 / 3, 1e-300, 0.0, -7.1])
def test_equal_values_have_no_spread(value):
    for count in (2, 3, 5, 7):
        assert summarize([value] * count).se == 0.0
    assert summarize([0.1 + 0.2, 0.3, 0.3]).se == 0.0
    assert summarize([0.3, 0.3 + 1e-12]).se > 0
