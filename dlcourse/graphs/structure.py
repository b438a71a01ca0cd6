"""What a computational graph is made of: nodes, what they give, and the calls of modules in which they lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

Kind = Literal["input", "parameter", "constant", "operation"]


@dataclass(eq=False)
class Frame:
    """One call of a module.

    Attributes:
        name: of the module, dotted; empty for the model itself.
        kind: its class.
        parent: the call inside which it was called.
        call: which call of this module it is, from 1.
        parameters: how many numbers the module holds, with those of the modules inside.
    """

    name: str
    kind: str
    parent: "Frame | None" = None
    call: int = 1
    parameters: int = 0

    @property
    def path(self) -> list["Frame"]:
        """The calls around this one, from the outermost, and it at last."""
        return [*(self.parent.path if self.parent else ()), self]

    @property
    def title(self) -> str:
        """``blocks.0``, ``cell (2)``: the name, and the number of the call where it is not the first."""
        return f"{self.name or self.kind}{f' ({self.call})' if self.call > 1 else ''}"


@dataclass(eq=False)
class Value:
    """One array that an operation gives, or that goes into the graph.

    Attributes:
        shape, dtype: of the array.
        axes: the length of each axis as it is shown: "N" where it is that of the batch.
        array: on the host; None where it is not known.
        gradient: of the output with respect to it; None where none came.
    """

    shape: tuple[int, ...]
    dtype: str
    array: np.ndarray | None = None
    gradient: np.ndarray | None = None
    axes: tuple[str, ...] | None = None

    @property
    def shown(self) -> str:
        """``(N, 10) float32``."""
        axes = tuple(map(str, self.shape)) if self.axes is None else self.axes
        return f"({', '.join(axes)}{',' if len(axes) == 1 else ''}) {self.dtype}"


class Source(NamedTuple):
    """Where an operand comes from.

    Attributes:
        node, output: which of the node's values.
        position: which operand it is; None for what goes in as a setting (labels, indices), which has no gradient.
    """

    node: "Node"
    output: int
    position: int | None


@dataclass(eq=False)
class Node:
    """An input, a parameter, a constant or an operation.

    Attributes:
        name: what the caller calls it; of results ``v1``, ``v2``, ... in the order in which they were computed.
        operation: what is computed, such as ``linear`` or ``* 2``; "" of what is none.
        values: what it gives, for most operations one.
        sources: the operands.
        local: for each source the derivative with respect to it: of the shape of the value where each element depends
            on one alone, else of the shape of the value and that of the source; None where it has many elements.
        frame: the call of a module in which it lies.
        is_output: whether it is what the graph computes.
        trained: of a parameter, whether it wants a gradient.
    """

    kind: Kind
    name: str
    operation: str = ""
    values: list[Value] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    local: list[np.ndarray | None] = field(default_factory=list)
    frame: Frame | None = None
    is_output: bool = False
    trained: bool = True
    function: Any = field(default=None, repr=False)

    @property
    def value(self) -> np.ndarray | None:
        """The first of its values."""
        return self.values[0].array

    @property
    def gradient(self) -> np.ndarray | None:
        """The gradient of the output with respect to it (lecture 5: the upstream gradient)."""
        return self.values[0].gradient

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first of its values."""
        return self.values[0].shape


def needed_for(outputs: Sequence[Node]) -> set[int]:
    """The identities of the nodes that outputs are computed from, and of these."""
    found: set[int] = set()
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if id(node) not in found:
            found.add(id(node))
            waiting += [source.node for source in node.sources]
    return found


def common_frame(frames: Iterator[Frame | None]) -> Frame | None:
    """The innermost call that all of these lie in."""
    paths = [[] if frame is None else frame.path for frame in frames]
    found = None
    for level in zip(*paths, strict=False):
        if any(each is not level[0] for each in level):
            break
        found = level[0]
    return found
