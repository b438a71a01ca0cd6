"""A line search for the strong Wolfe conditions."""

from collections.abc import Callable
from typing import NamedTuple

from dlcourse.backend.device import Array

ENOUGH_DECREASE, FLATTER = 1e-4, 0.9
"""The constants c1 and c2 of the conditions, Nocedal & Wright's for quasi-Newton methods."""
MOST = 25
"""Evaluations of one search after the first."""


class Point(NamedTuple):
    """A point of the line: how far along, the cost, its gradient, and the slope along the line."""

    t: float
    cost: float
    grad: Array
    slope: float


def strong_wolfe(
    at: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    tolerance: float = 1e-9,
    flatter: float = FLATTER,
    most: int = MOST,
) -> tuple[Point, int]:
    """A point where cost <= start.cost + c1 t start.slope and |slope| <= c2 |start.slope|.

    Nocedal & Wright (2006), algorithms 3.5 and 3.6: bracket such a point, then narrow the bracket by cubic
    interpolation; step for step what ``torch.optim.LBFGS`` does.

    Args:
        at: evaluates a point of the line.
        start: the point t = 0, whose slope is below 0.
        t: tried first.
        size: the largest element of the direction.
        tolerance: a bracket that moves no weight by more is narrow enough.
        flatter: c2.
        most: evaluations after the first.
    Returns:
        The best point of the search, and how often it evaluated.
    """

    def too_high(point: Point) -> bool:
        return not point.cost <= start.cost + ENOUGH_DECREASE * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -flatter * start.slope

    before, new, count = start, at(t), 0
    while count < most:
        if too_high(new) or (count > 1 and new.cost >= before.cost) or new.slope >= 0:
            break
        if flat(new):
            return new, count + 1
        further = cubic_minimum(before, new, (new.t + 0.01 * (new.t - before.t), new.t * 10))
        before, new, count = new, at(further), count + 1
    if count < most and flat(new) and not too_high(new) and not (count > 1 and new.cost >= before.cost):
        return new, count + 1
    bracket = [before if count < most else start, new]
    return _narrowed(at, bracket, count, size, tolerance, too_high, flat, most)


def _narrowed(
    at: Callable[[float], Point],
    bracket: list[Point],
    count: int,
    size: float,
    tolerance: float,
    too_high: Callable[[Point], bool],
    flat: Callable[[Point], bool],
    most: int,
) -> tuple[Point, int]:
    """The second part: between two points, of which the lower one meets the first condition."""
    stuck, low = False, int(bracket[0].cost > bracket[1].cost)
    while count < most:
        ends = sorted(point.t for point in bracket)
        if (ends[1] - ends[0]) * size < tolerance:
            break
        t, stuck = _inside(cubic_minimum(bracket[0], bracket[1]), ends, stuck)
        new, count = at(t), count + 1
        if too_high(new) or new.cost >= bracket[low].cost:
            bracket[1 - low] = new
            low = int(bracket[0].cost > bracket[1].cost)
            continue
        done = flat(new)
        if not done and new.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = new
        if done:
            break
    return bracket[low], count + 1


def _inside(t: float, ends: list[float], stuck: bool) -> tuple[float, bool]:
    """A point well inside the bracket: twice in a row near its end, a tenth of it away from there."""
    margin = 0.1 * (ends[1] - ends[0])
    if min(ends[1] - t, t - ends[0]) >= margin:
        return t, False
    if not stuck and ends[0] < t < ends[1]:
        return t, True
    return (ends[1] - margin if abs(t - ends[1]) < abs(t - ends[0]) else ends[0] + margin), False


def cubic_minimum(one: Point, other: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with these costs and slopes is least, within the bounds; else their middle."""
    least, most = bounds or (min(one.t, other.t), max(one.t, other.t))
    first, second = (one, other) if one.t <= other.t else (other, one)
    if first.t == second.t:
        return (least + most) / 2
    a = one.slope + other.slope - 3 * (one.cost - other.cost) / (one.t - other.t)
    square = a * a - one.slope * other.slope
    if not square >= 0:
        return (least + most) / 2
    root = square**0.5
    below = second.slope - first.slope + 2 * root
    if not below:
        return (least + most) / 2
    place = second.t - (second.t - first.t) * ((second.slope + root - a) / below)
    return min(max(place, least), most)
