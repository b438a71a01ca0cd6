"""Series that are drawn: the adding problem, and sine waves to forecast."""

import numpy as np
import pytest

from dlcourse.data.adding_problem import AddingProblem
from dlcourse.data.sine_waves import SineWaves
from dlcourse.errors import ConfigError


def test_the_target_is_the_sum_of_the_marked_numbers() -> None:
    data = AddingProblem(samples=500, steps=7).load(0)
    numbers, marks = data.x[:, :, 0], data.x[:, :, 1]
    assert data.x.shape == (500, 7, 2) and data.y.shape == (500, 1)
    assert (marks[:, :3].sum(axis=1) == 1).all() and (marks[:, 3:].sum(axis=1) == 1).all()
    assert (marks.sum(axis=0) > 0).all()
    np.testing.assert_array_equal(data.y[:, 0], (numbers * marks).sum(axis=1))
    assert ((data.y - 1) ** 2).mean() == pytest.approx(1 / 6, abs=0.02)
    with pytest.raises(ConfigError, match="data.steps: two numbers to add take at least 2 steps"):
        AddingProblem(steps=1)


def test_the_target_of_a_wave_is_its_value_some_steps_later() -> None:
    one, three = (SineWaves(samples=50, steps=40, horizon=horizon, noise=0).load(0) for horizon in (1, 3))
    assert one.x.shape == one.y.shape == (50, 40, 1)
    np.testing.assert_array_equal(one.x[:, 1:], one.y[:, :-1])
    np.testing.assert_array_equal(three.x[:, 3:], three.y[:, :-3])
    np.testing.assert_array_equal(one.x, three.x)
    noisy = SineWaves(samples=50, steps=40, noise=0.1).load(0)
    assert (noisy.x - one.x).std() == pytest.approx(0.1, rel=0.1) and noisy.noise == 0.1
