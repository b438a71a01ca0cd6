"""A graph as it is drawn: each operation a box, or from some depth on each call of a module one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from dlcourse.errors import ArgumentError
from dlcourse.graphs.structure import Frame, Node, Value
from dlcourse.text import format_number

Look = Literal["input", "parameter", "frozen", "constant", "operation", "module"]

LOOKS: dict[Look, str] = {
    "input": "input",
    "parameter": "parameter",
    "frozen": "parameter that is not trained",
    "constant": "constant",
    "operation": "operation",
    "module": "module",
}
"""What each kind of box is called in a legend."""

BOXES = 40
"""A drawing is as deep as it has so many boxes at most, where nothing else is asked for."""
NUMBERS = 6
"""An array of so many elements is shown by all of them, a larger one by its mean, standard deviation and norm."""


@dataclass(eq=False)
class Box:
    """One thing that is drawn.

    Attributes:
        look: its shape and color.
        name: what it is called; of a module its dotted name.
        title: what it does.
        lines: its shape, and how many parameters it has.
        value: what it gives.
        group: the call around it that is drawn as a frame.
        sources: the boxes that lead to it; with False where what comes has no gradient.
        nodes: what it stands for.
        is_output: whether it is what the graph computes.
    """

    look: Look
    name: str
    title: str
    lines: list[str]
    value: Value
    group: Frame | None = None
    sources: dict["Box", bool] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    is_output: bool = False


def boxes_of(nodes: Sequence[Node], depth: int | None = None) -> list[Box]:
    """The boxes of a graph, in order.

    Args:
        depth: of calls that are frames, 0 for none; those inside are one box each. By default as many levels as give
            no more than :data:`BOXES` boxes, but the modules in the model at least.
    Raises:
        ArgumentError: ``depth`` is negative.
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ArgumentError(f"depth: expected a whole number of at least 0, got {depth!r}")
    if depth is None:
        deepest = max((len(node.frame.path) for node in nodes if node.frame), default=0)
        fitting = (level for level in range(deepest, 1, -1) if len(_boxes(nodes, level)) <= BOXES)
        depth = next(fitting, min(1, deepest))
    return _boxes(nodes, depth)


def _boxes(nodes: Sequence[Node], depth: int) -> list[Box]:
    single = _single(nodes)
    made: dict[int, Box] = {}
    for node in nodes:
        path = [frame for frame in (node.frame.path if node.frame else ()) if frame not in single]
        whole = path[depth] if len(path) > depth else None
        key = id(node if whole is None else whole)
        if key not in made:
            made[key] = _of_node(node) if whole is None else _of_module(whole)
            level = min(depth, len(path))
            made[key].group = path[level - 1] if level else None
        made[id(node)] = made[key]
        made[key].nodes.append(node)
    boxes = list(dict.fromkeys(made.values()))
    for box in boxes:
        _connect(box, made)
    return boxes


def _single(nodes: Sequence[Node]) -> set[Frame]:
    """The calls that are one operation without parameters: it says all that a frame around it would."""
    inside: dict[Frame, list[Node]] = {}
    for node in nodes:
        for frame in node.frame.path if node.frame else ():
            inside.setdefault(frame, []).append(node)
    return {frame for frame, found in inside.items() if len(found) == 1 and not frame.parameters}


def _of_node(node: Node) -> Box:
    look: Look = "frozen" if node.kind == "parameter" and not node.trained else node.kind
    title = node.operation if node.kind == "operation" else node.name
    lines = [value.shown for value in node.values]
    return Box(look, node.name, title, lines, node.values[0])


def _of_module(frame: Frame) -> Box:
    lines = [f"{frame.parameters:,} parameters"] if frame.parameters else []
    return Box("module", frame.title, frame.kind, lines, Value((), ""))


def _connect(box: Box, made: dict[int, Box]) -> None:
    """Find what leads to a box, and what a module gives."""
    box.is_output = any(node.is_output for node in box.nodes)
    for node in box.nodes:
        for source in node.sources:
            other = made[id(source.node)]
            if other is not box:
                box.sources[other] = box.sources.get(other, False) or source.position is not None
                if other.look == "module":
                    _give(other, source.node.values[source.output])
        if node.is_output and box.look == "module":
            _give(box, node.values[0])


def _give(box: Box, value: Value) -> None:
    """Note a value that leaves a module, the first as what it gives."""
    if value.shown not in box.lines:
        box.lines.insert(len(box.lines) - (len(box.lines) and box.lines[-1].endswith("parameters")), value.shown)
    if not box.value.dtype:
        box.value = value


def figures(array: np.ndarray | None) -> str:
    """The numbers of an array, or of a large one what they are like; "" where it is not known."""
    if array is None:
        return ""
    if array.size <= NUMBERS:
        return _numbers(array.tolist())
    if array.dtype.kind in "biu":
        return f"{array.min()} to {array.max()}"
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        facts = {"mean": wide.mean(), "std": wide.std(), "norm": np.sqrt((wide * wide).sum())}
    return ", ".join(f"{name} {format_number(fact, 3)}" for name, fact in facts.items())


def _numbers(values: object) -> str:
    if isinstance(values, list):
        return f"[{', '.join(map(_numbers, values))}]"
    return format_number(values, 4) if isinstance(values, float) else str(values)
