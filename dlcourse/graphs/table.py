"""The walk through a graph as a table for a terminal."""

from collections.abc import Iterator, Sequence

from dlcourse.graphs.structure import Node, Value
from dlcourse.graphs.view import NUMBERS, Box, figures
from dlcourse.text import table

_HEAD = ["node", "operation", "from", "shape", "value", "gradient", "local gradients"]


def walk_text(boxes: Sequence[Box]) -> str:
    """A line for each box; before a module those of its parameters."""
    rows = [row for box in boxes for row in _rows(box)]
    used = [column for column in range(len(_HEAD)) if any(row[column] for row in rows)]
    return table([[row[column] for column in used] for row in [_HEAD, *rows]], left=len(used))


def _rows(box: Box) -> Iterator[list[str]]:
    if box.look == "module":
        for node in box.nodes:
            if node.kind == "parameter":
                yield _row(f"  {node.name}", "parameter", "", node.values[0], "")
    operation = box.title if box.look in ("operation", "module") else box.look
    sources = ", ".join(_called(source) for source in box.sources)
    local = _local(box.nodes[0]) if box.look == "operation" else ""
    yield _row(_called(box), operation, sources, box.value, local)


def _row(name: str, operation: str, sources: str, value: Value, local: str) -> list[str]:
    shape = value.shown if value.dtype else ""
    return [name, operation, sources, shape, figures(value.array), figures(value.gradient), local]


def _called(box: Box) -> str:
    return box.name or box.title


def _local(node: Node) -> str:
    """``d/dx 1, d/dy 1``, of those that are few numbers."""
    pairs = [(source.node.name, each) for source, each in zip(node.sources, node.local, strict=False)]
    few = [(name, each) for name, each in pairs if each is not None and each.size <= NUMBERS]
    return ", ".join(f"d/d{name} {figures(each.squeeze() if each.ndim > 2 else each)}" for name, each in few)
