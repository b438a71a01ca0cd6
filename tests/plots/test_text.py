"""Numbers, names and units as a reader sees them."""

import math

import pytest

from dlcourse.plots.text import axis_name, number, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.03125, "0.03125"),
        (0.123456, "0.1235"),
        (12345, "12,345"),
        (2467061.95, "2,467,062"),
        (-3.5, "−3.5"),
        (1.23e-7, "1.23e-7"),
        (-1.5e-7, "−1.5e-7"),
        (3.0e12, "3e12"),
        (0.0, "0"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (None, "—"),
        (True, "yes"),
        ("words", "words"),
    ],
)
def test_number(value: object, text: str) -> None:
    assert number(value) == text


def test_durations() -> None:
    assert [seconds(value) for value in (0.4237, 200, 7500, None)] == ["0.424 s", "3 min 20 s", "2 h 5 min", "—"]


def test_axis_names() -> None:
    names = [axis_name(path) for path in ("model.degree", "optimizer.lr", "optimizer.name", "data.limit.train")]
    assert names == ["degree", "learning rate", "optimizer", "training samples"]
