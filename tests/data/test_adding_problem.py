"""The adding problem: two marks, one a half, whose numbers are the sum."""

import numpy as np
import pytest

from dlcourse.data.adding_problem import AddingProblem
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
