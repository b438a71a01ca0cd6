"""Graph: a computation drawn as SVG or as text for Graphviz, and walked through, node by node."""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlcourse.errors import ArgumentError
from dlcourse.filesystem import naming, replacing
from dlcourse.graphs.dot import dot_text
from dlcourse.graphs.structure import Node
from dlcourse.graphs.svg import svg_text
from dlcourse.graphs.table import walk_text
from dlcourse.graphs.view import NUMBERS, Box, boxes_of
from dlcourse.registry import did_you_mean

Direction = Literal["down", "right"]
FORMATS = ("svg", "dot")


class Graph:
    """What :func:`dlcourse.graph` gives. A notebook shows it as a picture.

    ``graph["x"].value``, ``graph["x"].gradient``; ``graph.svg()``, ``graph.dot()``, ``graph.save("net.svg")``;
    ``print(graph.walk())``.

    Args:
        nodes: in the order in which they were computed.
        title: what it is of.
    """

    def __init__(self, nodes: Sequence[Node], title: str = "computational graph"):
        self.nodes, self.title = list(nodes), title
        numbers = itertools.count(1)
        for node in self.nodes:
            if not node.name:
                node.name = f"v{next(numbers)}" if node.kind == "operation" else node.kind

    def __getitem__(self, name: str) -> Node:
        """The node of that name: an input, a parameter, or a result by its number, ``v3``.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        names = [node.name for node in self.nodes]
        raise KeyError(f"the graph has no node {name!r}{did_you_mean(str(name), names)}; it has {', '.join(names)}")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def boxes(self, depth: int | None = None) -> list[Box]:
        """What is drawn, see :func:`~dlcourse.graphs.view.boxes_of`."""
        return boxes_of(self.nodes, depth)

    def svg(self, depth: int | None = None, direction: Direction = "down", figures: bool | None = None) -> str:
        """The picture.

        Args:
            depth: how many levels of modules are drawn as frames, 0 for none; what lies deeper is one box a module. By
                default as many as stay readable.
            direction: in which it goes, ``down`` or to the ``right``.
            figures: whether values and gradients are written into the boxes; by default those of small graphs.
        Raises:
            ValueError: an argument is none of these.
        """
        return svg_text(self.boxes(depth), self._with(figures), _to_the_right(direction), self.title)

    def dot(self, depth: int | None = None, direction: Direction = "down", figures: bool | None = None) -> str:
        """The same as text for Graphviz: ``dot -Tpdf``. The arguments are those of :meth:`svg`."""
        return dot_text(self.boxes(depth), self._with(figures), _to_the_right(direction), self.title)

    def walk(self, depth: int | None = None) -> str:
        """A table with a line for each box: what it computes of what, its value, the gradient of the output with
        respect to it, and the local gradients with respect to its operands."""
        return walk_text(self.boxes(depth))

    def to_dict(self) -> dict[str, Any]:
        """The nodes for JSON: names, operations, sources, shapes, and the numbers of small arrays."""
        places = {id(node): place for place, node in enumerate(self.nodes)}
        return {"title": self.title, "nodes": [_as_dict(node, places) for node in self.nodes]}

    def save(self, path: str | os.PathLike, **options: Any) -> None:
        """Write ``.svg`` or ``.dot``, as the name ends; the options are those of :meth:`svg`.

        Raises:
            ValueError: it ends otherwise.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise ArgumentError(f"save: expected a name that ends in .svg or .dot, got {path.name!r}")
        with naming(path), replacing(path) as file:
            file.write(getattr(self, kind)(**options).encode())

    def __repr__(self) -> str:
        operations = sum(node.kind == "operation" for node in self.nodes)
        return f"Graph({self.title}, {operations} operation{'s' * (operations != 1)})"

    def _repr_svg_(self) -> str:
        """For a notebook."""
        return self.svg()

    def _with(self, figures: bool | None) -> bool:
        if figures is not None:
            return bool(figures)
        arrays = [value.array for node in self.nodes for value in node.values]
        return all(array is None or array.size <= NUMBERS for array in arrays) and any(a is not None for a in arrays)


def _to_the_right(direction: str) -> bool:
    if direction not in ("down", "right"):
        raise ArgumentError(f"direction: expected 'down' or 'right', got {direction!r}")
    return direction == "right"


def _as_dict(node: Node, places: dict[int, int]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": node.name, "kind": node.kind}
    if node.operation:
        found["operation"] = node.operation
    if node.frame is not None:
        found["module"] = [frame.title for frame in node.frame.path]
    found["sources"] = [places[id(source.node)] for source in node.sources]
    found["values"] = [
        {
            "shape": list(value.shape) if value.axes is None else list(value.axes),
            "dtype": value.dtype,
            **{key: _facts(a) for key, a in (("value", value.array), ("gradient", value.gradient)) if a is not None},
        }
        for value in node.values
    ]
    if any(each is not None for each in node.local):
        found["local_gradients"] = [None if each is None else each.tolist() for each in node.local]
    return found | ({"output": True} if node.is_output else {})


def _facts(array: np.ndarray) -> Any:
    """A small array as lists, of a large one mean, standard deviation and norm."""
    if array.size <= NUMBERS**2:
        return array.tolist()
    wide = array.astype(np.float64)
    return {"mean": wide.mean(), "std": wide.std(), "norm": float(np.sqrt((wide * wide).sum()))}
