"""The layout: no boxes overlap, edges are all there, end where they should, and pass between the boxes."""

import itertools

import numpy as np
import pytest

from dlcourse.graphs.layout import Item, arrange


def random_graph(seed: int, nodes: int, nested: bool) -> tuple[Item, list[Item], list[tuple[Item, Item]]]:
    """A graph whose boxes lie in frames as calls do: one interval of time inside another."""
    rng = np.random.default_rng(seed)
    root = Item()
    inside = [root]
    items: list[Item] = []
    for _ in range(nodes):
        if nested and rng.random() < 0.3:
            inside.append(Item(parent=inside[-1], head=(0.0, 20.0, rng.uniform(50, 300))))
            inside[-2].children.append(inside[-1])
        item = Item(rng.uniform(20, 150), rng.uniform(20, 80), inside[-1], light=rng.random() < 0.3)
        inside[-1].children.append(item)
        items.append(item)
        if len(inside) > 1 and rng.random() < 0.4:
            inside.pop()
    pairs = {(int(rng.integers(max(0, end - 8), end)), end) for end in range(1, nodes) for _ in range(2)}
    return root, items, [(items[a], items[b]) for a, b in sorted(pairs)]


def box(item: Item) -> tuple[float, float, float, float]:
    return *item.place, item.place[0] + item.across, item.place[1] + item.along


def everything(item: Item) -> list[Item]:
    return [each for child in item.children for each in (child, *everything(child))]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_boxes_and_edges(seed: int, nested: bool) -> None:
    root, items, edges = random_graph(seed, 2 + 4 * seed, nested)
    ways = arrange(root, edges)
    assert set(ways) == set(edges)
    for item in everything(root):
        left, top, right, bottom = box(item)
        outer = box(item.parent)
        assert outer[0] <= left and outer[1] <= top and right <= outer[2] and bottom <= outer[3]
        for one, other in itertools.combinations(item.parent.children, 2):
            a, b = box(one), box(other)
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for (source, target), points in ways.items():
        (x, y), (end_x, end_y) = points[0], points[-1]
        assert y == pytest.approx(source.place[1] + source.along) and end_y == pytest.approx(target.place[1])
        assert box(source)[0] < x < box(source)[2] and box(target)[0] < end_x < box(target)[2]
        assert all(later[1] >= earlier[1] - 1e-9 for earlier, later in itertools.pairwise(points))
        others = [item for item in items if item not in (source, target)]
        for point in sampled(points):
            assert not any(within(point, box(item)) for item in others)


def sampled(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of the curve as it is drawn: cubic, upright at both ends."""
    found = []
    for (x, y), (x2, y2) in itertools.pairwise(points):
        for t in np.linspace(0, 1, 7):
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            found.append(((a + b) * x + (c + d) * x2, a * y + (b + c) * (y + y2) / 2 + d * y2))
    return found


def within(point: tuple[float, float], area: tuple[float, float, float, float]) -> bool:
    return area[0] + 1e-6 < point[0] < area[2] - 1e-6 and area[1] + 1e-6 < point[1] < area[3] - 1e-6


def test_a_chain_is_straight_and_a_diamond_does_not_cross() -> None:
    root = Item()
    a, b, c, d = (Item(40, 20, root) for _ in range(4))
    root.children += [a, b, c, d]
    arrange(root, [(a, b), (b, c), (c, d)])
    assert len({item.place[0] for item in (a, b, c, d)}) == 1
    assert [item.place[1] for item in (a, b, c, d)] == sorted(item.place[1] for item in (a, b, c, d))
    arrange(root, [(a, b), (a, c), (b, d), (c, d)])
    assert b.place[1] == c.place[1] and a.place[0] == pytest.approx(d.place[0])
    assert a.place[0] == pytest.approx((b.place[0] + c.place[0]) / 2)


def test_crossings_that_need_not_be_are_gone() -> None:
    root = Item()
    upper, lower = ([Item(40, 20, root) for _ in range(5)] for _ in range(2))
    root.children += [*upper, *reversed(lower)]
    arrange(root, list(zip(upper, lower, strict=True)))
    assert [item.place[0] for item in upper] == pytest.approx([item.place[0] for item in lower])
