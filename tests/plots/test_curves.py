"""Thinning, smoothing and the choice of scales."""

import numpy as np
import pytest

from dlcourse.plots.curves import decimate, geometric, smooth, span, wants_log
from dlcourse.plots.run_view import History


def test_thinning_keeps_every_spike_and_the_order() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 1000)
    y[[12_345, 67_890]] = 50, -50
    y[500:900] = np.nan
    thin_x, thin_y = decimate(x, y, 1000)
    assert len(thin_x) <= 1000
    assert np.all(np.diff(thin_x) > 0)
    assert np.nanmax(thin_y) == 50 and np.nanmin(thin_y) == -50
    np.testing.assert_array_equal(thin_y, y[thin_x.astype(int)])


def test_short_curves_are_left_alone() -> None:
    x = np.arange(5.0)
    assert decimate(x, x)[0] is x


def test_moving_mean_is_centered_and_leaves_out_nan() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    np.testing.assert_allclose(smooth(values, 3), [1.0, 1.5, 3.0, 4.5, 4.5])
    line = np.arange(50.0)
    np.testing.assert_allclose(smooth(line, 9)[:-4], line[:-4])  # no shift, not even at the start
    np.testing.assert_allclose(smooth(line, 9)[-4:], 45)  # the end is the mean of the last window


@pytest.mark.parametrize(
    ("values", "log"), [([1.0, 100.0], True), ([1.0, 5.0], False), ([0.0, 100.0], False), ([np.inf, 1.0, 2.0], False)]
)
def test_log_axis_when_positive_values_span_decades(values: list[float], log: bool) -> None:
    assert wants_log([np.array(values)]) is log
    assert not wants_log([])


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([1e-4, 1e-3, 1e-2], True),
        ([12, 15, 20, 30, 50, 80, 120, 200, 350, 600], True),
        (range(1, 16), False),
        ([0, 1, 10, 100], False),
        ([1, 100], False),
        ([16, 32, 64], True),
        ([10, 20, 30, 40], False),
    ],
)
def test_geometric_values_get_a_log_axis(values: list[float], log: bool) -> None:
    assert geometric(values) is log


def test_span_ignores_what_is_not_finite() -> None:
    assert span([np.array([0.0, 1.0, np.inf, np.nan])], margin=0.1) == pytest.approx((-0.1, 1.1))
    assert span([np.array([np.nan])]) is None
    low, high = span([np.array([3.0])])
    assert low < 3 < high


def test_the_small_last_batch_of_an_epoch_is_no_part_of_a_curve() -> None:
    rows = [(1, 0.1, 10, 2.0), (10, 1.0, 95, 9.0), (15, 1.5, 145, 1.0), (20, 2.0, 190, 0.1)]
    names = ("step", "epoch", "samples", "loss")
    history = History([{"event": "train", **dict(zip(names, row, strict=True))} for row in rows])
    assert history.losses(10)[1].tolist() == [2.0, 9.0, 1.0, 0.1]  # half a batch counts
    assert history.losses(20)[1].tolist() == [2.0, 9.0, 1.0, 0.1]
    assert history.losses(12)[1].tolist() == [2.0, 9.0, 1.0, 0.1]
    assert history.losses(19)[0].tolist() == [1, 10, 15, 20]  # no small one
    assert history.losses(31)[0].tolist() == [1, 15] and history.losses("full")[0].tolist() == [1, 10, 15, 20]
