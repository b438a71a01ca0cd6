"""Where the boxes of a graph lie: layers, each box below all that lead to it (Sugiyama, Tagawa & Toda 1981).

1. The layer of a box follows from the longest path to it; what is wanted later only stands right above its use.
2. An edge over several layers gets a place in each of them, so that it passes between the boxes. Edges that come from
   one box share these places.
3. The order in a layer follows the barycenter of the neighbors, down and up again; that with the fewest crossings
   stays.
4. The places in a layer are those nearest to the neighbors that keep the order and the distances: least squares, by
   pooling neighbors that would overlap.

A frame is laid out by itself, then it is a box in what is around it; edges go through ports in its border.
"""

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

GAP = 22.0
"""Between boxes of a layer."""
LANE = 12.0
"""Between an edge that passes and what is beside it."""
LAYER = 34.0
"""Between layers."""
PAD = 14.0
"""Between a frame and what is in it."""
SWEEPS = 24
_ENTRY, _EXIT = -1, -2  # layers of ports, before there are layers

Point = tuple[float, float]


@dataclass(eq=False)
class Item:
    """A box, or a frame with what is in it. ``along`` is the direction of the layers, ``across`` that of one of them.

    Attributes:
        across, along: its size; that of a frame is found.
        head: what a frame needs for its title, (before all across, before all along, the least size across).
        light: whether it follows what it goes into, and does not pull at it, as parameters.
        place: of its corner, found.
        ins, outs: where the edges from a box enter and leave, from its corner across.
    """

    across: float = 0.0
    along: float = 0.0
    parent: "Item | None" = None
    light: bool = False
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    children: list["Item"] = field(default_factory=list)
    place: Point = (0.0, 0.0)
    ins: dict["Item", float] = field(default_factory=dict)
    outs: dict["Item", float] = field(default_factory=dict)
    _routes: dict[tuple["Item", "Item | None"], list[Point]] = field(default_factory=dict)

    @property
    def path(self) -> list["Item"]:
        """The frames around it from the outermost, and it at last."""
        return [*(self.parent.path if self.parent else ()), self]


def arrange(root: Item, edges: list[tuple[Item, Item]]) -> dict[tuple[Item, Item], list[Point]]:
    """Give every item its place, and find the way of each edge.

    Args:
        root: the frame of all; its size is found.
        edges: between items that have no children.
    Returns:
        For each edge the points that it goes through, along straight up to a layer's border and from there on a curve
        to the next point.
    """
    _inside(root, edges)
    _settle(root, (0.0, 0.0))
    return {(source, target): list(_route(source, target)) for source, target in edges}


def _settle(item: Item, corner: Point) -> None:
    item.place = corner
    for child in item.children:
        _settle(child, (corner[0] + child.place[0], corner[1] + child.place[1]))


def _route(source: Item, target: Item) -> Iterator[Point]:
    up, down = source.path, target.path
    shared = sum(1 for _ in _common(up, down))
    for level in range(len(up) - 2, shared - 1, -1):
        yield from _piece(up[level], source, None)
    yield from _piece(up[shared - 1], source, down[shared])
    for level in range(shared, len(down) - 1):
        yield from _piece(down[level], source, down[level + 1])


def _common(first: list[Item], second: list[Item]) -> Iterator[Item]:
    for a, b in zip(first, second, strict=False):
        if a is not b:
            return
        yield a


def _piece(frame: Item, source: Item, target: Item | None) -> Iterator[Point]:
    """The way of the edges from a box inside one frame, to an item of it or (None) to its border."""
    for across, along in frame._routes[source, target]:
        yield frame.place[0] + across, frame.place[1] + along


@dataclass(eq=False)
class _Spot:
    """What has a place in a layer: an item, a port of the frame, or where an edge passes through."""

    item: Item | None
    size: float
    net: Item | None = None
    layer: int = 0
    x: float = 0.0
    before: list[tuple["_Spot", "_Net"]] = field(default_factory=list)
    after: list[tuple["_Spot", "_Net"]] = field(default_factory=list)


@dataclass(eq=False)
class _Net:
    """All edges from one box inside one frame: where they begin, and where they end."""

    source: Item
    start: _Spot
    ends: dict[Item | None, _Spot] = field(default_factory=dict)
    lanes: list[_Spot] = field(default_factory=list)

    def from_spot(self, layer: int) -> _Spot:
        """What it leaves to go to a layer."""
        index = layer - self.start.layer - 2
        return self.start if index < 0 else self.lanes[index]


def _inside(frame: Item, edges: list[tuple[Item, Item]]) -> None:
    """Lay out what is in a frame, the frames in it first."""
    for child in frame.children:
        if child.children:
            _inside(child, edges)
    spots = {child: _Spot(child, child.across) for child in frame.children}
    nets = _nets(frame, edges, spots)
    layers = _layers(list(spots.values()), list(nets.values()))
    _order(layers)
    _place_across(layers)
    _finish(frame, layers, nets)


def _nets(frame: Item, edges: list[tuple[Item, Item]], spots: dict[Item, _Spot]) -> dict[Item, _Net]:
    nets: dict[Item, _Net] = {}
    for source, target in edges:
        start, end = _child(frame, source), _child(frame, target)
        if start is end:  # outside of it, or inside one of its children
            continue
        if source not in nets:
            nets[source] = _Net(source, spots[start] if start else _Spot(None, 0.0, source, layer=_ENTRY))
        if end not in nets[source].ends:
            nets[source].ends[end] = spots[end] if end else _Spot(None, 0.0, source, layer=_EXIT)
    return nets


def _child(frame: Item, item: Item) -> Item | None:
    """The child of a frame that an item is or lies in."""
    path = item.path
    level = len(frame.path)
    return path[level] if len(path) > level and path[level - 1] is frame else None


def _layers(spots: list[_Spot], nets: list[_Net]) -> list[list[_Spot]]:
    """Step 1 and 2. Layer 0 has the ports that edges come in by, the last layer those that they leave by."""
    pairs = [(net.start, end) for net in nets for end in net.ends.values()]
    followers: dict[_Spot, list[_Spot]] = {}
    waiting: dict[_Spot, int] = dict.fromkeys(spots, 0)
    for start, end in pairs:
        if start.layer != _ENTRY and end.layer != _EXIT:
            followers.setdefault(start, []).append(end)
            waiting[end] += 1
    for spot in spots:
        spot.layer = 1
    ready = [spot for spot in spots if not waiting[spot]]
    for spot in ready:
        for end in followers.get(spot, ()):
            end.layer = max(end.layer, spot.layer + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    for spot in reversed(ready):
        if spot in followers:
            spot.layer = min(end.layer for end in followers[spot]) - 1
    last = max(spot.layer for spot in spots) + 1
    layers: list[list[_Spot]] = [[] for _ in range(last + 1)]
    for net in nets:
        if net.start.layer == _ENTRY:
            net.start.layer = 0
            layers[0].append(net.start)
    for spot in spots:
        layers[spot.layer].append(spot)
    for net in nets:
        out = net.ends.get(None)
        if out is not None:
            out.layer = last
            layers[last].append(out)
        _lay_lanes(net, layers)
    return layers


def _lay_lanes(net: _Net, layers: list[list[_Spot]]) -> None:
    before = net.start
    for layer in range(net.start.layer + 1, max(end.layer for end in net.ends.values())):
        lane = _Spot(None, 0.0, net.source, layer)
        layers[layer].append(lane)
        net.lanes.append(lane)
        _link(before, lane, net)
        before = lane
    for end in net.ends.values():
        _link(net.from_spot(end.layer), end, net)


def _link(start: _Spot, end: _Spot, net: _Net) -> None:
    start.after.append((end, net))
    end.before.append((start, net))


def _order(layers: list[list[_Spot]]) -> None:
    """Step 3."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        for layer in layers[1:] if sweep % 2 == 0 else layers[-2::-1]:
            beside: Callable[[_Spot], list] = (lambda s: s.before) if sweep % 2 == 0 else (lambda s: s.after)
            ranks = {
                spot: (sum(other.x for other, _ in beside(spot)) / len(beside(spot)) if beside(spot) else spot.x)
                for spot in layer
            }
            layer.sort(key=ranks.__getitem__)
            _number(layer)
        if (found := _crossings(layers)) < fewest:
            best, fewest = [list(layer) for layer in layers], found
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order


def _number(layer: list[_Spot]) -> None:
    for index, spot in enumerate(layer):
        spot.x = float(index)


def _crossings(layers: list[list[_Spot]]) -> int:
    """How many pairs of edges between neighboring layers cross; spots get their number in the layer as place."""
    for layer in layers:
        _number(layer)
    count = 0
    for layer in layers:
        seen: list[float] = []
        for spot in layer:
            ends = sorted(end.x for end, _ in spot.after)
            count += sum(len(seen) - bisect.bisect_right(seen, end) for end in ends)
            for end in ends:
                bisect.insort(seen, end)
    return count


def _place_across(layers: list[list[_Spot]]) -> None:
    """Step 4. ``x`` becomes the middle of each spot."""
    for layer in layers:
        for place, spot in zip(_distances(layer), layer, strict=True):
            spot.x = place
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            sides = [s.before if sweep % 2 == 0 else s.after for s in layer] if sweep < SWEEPS // 2 else None
            _relax(layer, sides or [[*s.before, *s.after] for s in layer])
    for border in (layers[0], layers[-1]):
        _relax(border, [[*s.before, *s.after] for s in border])


def _distances(layer: list[_Spot]) -> list[float]:
    """The middles of a layer's spots as near to each other as they may be."""
    places = [0.0]
    for one, other in pairwise(layer):
        gap = GAP if one.item and other.item else LANE
        places.append(places[-1] + (one.size + other.size) / 2 + gap)
    return places[: len(layer)]


def _relax(layer: list[_Spot], neighbors: list[list[tuple[_Spot, _Net]]]) -> None:
    """Move the spots of a layer to the weighted mean of their neighbors, as far as their order and distances allow.

    With z the wish less the least distance from the first, that is to find the rising sequence next to z.
    """
    least = _distances(layer)
    pools: list[list[float]] = []
    for spot, place, beside in zip(layer, least, neighbors, strict=True):
        weights = [_weight(spot, other, net) for other, net in beside]
        wishes = [other.x + _shift(other, net) - _shift(spot, net) for other, net in beside]
        total = sum(weights)
        wish = sum(w * x for w, x in zip(weights, wishes, strict=True)) / total if total else spot.x
        pools.append([wish - place, max(total, 1e-3), 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            z, weight, count = pools.pop()
            into = pools[-1]
            into[0] = (into[0] * into[1] + z * weight) / (into[1] + weight)
            into[1], into[2] = into[1] + weight, into[2] + count
    moved = [z for z, _, count in pools for _ in range(int(count))]
    for spot, place, z in zip(layer, least, moved, strict=True):
        spot.x = place + z


def _weight(one: _Spot, other: _Spot, net: _Net) -> float:
    """Long edges are to be straight, and what is light follows what it goes into."""
    if net.source.light:
        return 0.02
    return {0: 1.0, 1: 2.0, 2: 8.0}[(one.item is None) + (other.item is None)]


def _shift(spot: _Spot, net: _Net) -> float:
    """Where the edges of a net meet a spot, from its middle."""
    if spot.item is None or not spot.item.children:
        return 0.0
    ports = spot.item.outs if net.start is spot else spot.item.ins
    return ports[net.source] - spot.item.across / 2


def _finish(frame: Item, layers: list[list[_Spot]], nets: dict[Item, _Net]) -> None:
    """The places inside the frame, its size, its ports, and the ways inside."""
    spots = [spot for layer in layers for spot in layer]
    low = min(spot.x - spot.size / 2 for spot in spots)
    high = max(spot.x + spot.size / 2 for spot in spots)
    slack = max(0.0, frame.head[2] - (high - low + 2 * PAD)) / 2
    for spot in spots:
        spot.x += PAD + slack + frame.head[0] - low
    frame.across = high - low + 2 * (PAD + slack) + frame.head[0]
    borders, along = [], frame.head[1]
    for index, layer in enumerate(layers):
        depth = max((spot.item.along for spot in layer if spot.item), default=0.0)
        borders.append((along, along + depth))
        along += depth + (LAYER if 0 < index < len(layers) - 2 else PAD)
        for spot in layer:
            if spot.item is not None:
                free = depth - spot.item.along
                spot.item.place = spot.x - spot.size / 2, borders[-1][0] + (free if spot.item.light else free / 2)
    frame.along = borders[-1][1]
    borders[0] = 0.0, borders[0][1]
    entries = _entries(layers)
    for net in nets.values():
        start = net.start.x + _shift(net.start, net)
        if net.start.item is None:
            frame.ins[net.source] = start
        for target, end in net.ends.items():
            arrive = end.x + entries.get((end, net), 0.0)
            if target is None:
                frame.outs[net.source] = arrive
            frame._routes[net.source, target] = _way(net, end, start, arrive, borders)


def _entries(layers: list[list[_Spot]]) -> dict[Any, float]:
    """Where each edge ends at a box, from its middle: side by side, in the order in which they come."""
    found: dict[Any, float] = {}
    for spot in (spot for layer in layers for spot in layer if spot.item):
        if spot.item.children:  # type: ignore[union-attr]
            found.update({(spot, net): _shift(spot, net) for _, net in spot.before})
            continue
        coming = sorted(spot.before, key=lambda pair: pair[0].x)
        step = min(16.0, spot.size / (len(coming) + 1))
        middle = (len(coming) - 1) / 2
        heavy = [index for index, (_, net) in enumerate(coming) if not net.source.light]
        if heavy:  # which go straight in, where there is room
            free = max(0.0, (spot.size / 2 - 8) / step - middle)
            middle += min(free, max(-free, sum(heavy) / len(heavy) - middle))
        found.update({(spot, net): (index - middle) * step for index, (_, net) in enumerate(coming)})
    return found


def _way(net: _Net, end: _Spot, start: float, arrive: float, borders: list[tuple[float, float]]) -> list[Point]:
    first = net.start.layer
    item = net.start.item
    points = [(start, item.place[1] + item.along if item else 0.0), (start, borders[first][1])]
    for layer in range(first + 1, end.layer):
        lane = net.from_spot(layer + 1)
        points += [(lane.x, borders[layer][0]), (lane.x, borders[layer][1])]
    points.append((arrive, borders[end.layer][0]))
    if end.item is not None:
        points.append((arrive, end.item.place[1]))
    return points
