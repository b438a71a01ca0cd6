"""Transpose nodes that cancel each other are left out, and others go down behind what works element by element, until
they meet their inverse."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["folded"]

ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Neg", "Abs", "Exp", "Log", "Sqrt", "Tanh", "Sigmoid", "Relu"),
    *("Reciprocal", "LeakyRelu", "Elu", "Erf", "Softplus", "Clip", "Floor", "Ceil", "Sign", "Cast", "Where"),
    *("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"),
}
ALONG_AXES = {"Pad", "Slice", "Concat", "ReduceMean", "ReduceMax", "ReduceSum"}


class Turned(NamedTuple):
    """A value that is another one with its axes in another order."""

    source: str
    perm: tuple[int, ...]


class _Folding:
    """Goes through the nodes once; what is turned stays so until something needs it as it was."""

    def __init__(self, helper: Any, constants: dict[str, np.ndarray]):
        self.helper, self.constants = helper, constants
        self.nodes: list[Any] = []
        self.turned: dict[str, Turned] = {}
        self.made: dict[tuple, str] = {}

    def see(self, node: Any) -> None:
        moved = False
        if node.op_type == "Transpose":
            moved = self._transpose(node)
        elif node.op_type in ELEMENTWISE:
            moved = self._below(node, self._elementwise(node))
        elif node.op_type in ALONG_AXES:
            moved = self._below(node, self._along_axes(node))
        if not moved:
            for place, name in enumerate(node.input):
                node.input[place] = self.plain(name)
            self.nodes.append(node)

    def plain(self, name: str) -> str:
        """The value with its axes as they are to be; the node for it is written where it is first asked for."""
        if name not in self.turned:
            return name
        turned = self.turned[name]
        if turned.perm == tuple(sorted(turned.perm)):
            return turned.source
        if turned not in self.made:
            transpose = self.helper.make_node("Transpose", [turned.source], [name], f"{name}_back", perm=turned.perm)
            self.nodes.append(transpose)
            self.made[turned] = name
        return self.made[turned]

    def _transpose(self, node: Any) -> bool:
        perm = tuple(node.attribute[0].ints)
        source, before = self.turned.get(node.input[0], Turned(node.input[0], tuple(range(len(perm)))))
        self.turned[node.output[0]] = Turned(source, tuple(before[axis] for axis in perm))
        return True

    def _below(self, node: Any, found: tuple[list[str], tuple[int, ...]] | None) -> bool:
        """Write the node with other inputs, so that its result is a turned one."""
        if found is None:
            return False
        inputs, perm = found
        name = f"{node.output[0]}_turned"
        self.turned[node.output[0]] = Turned(name, perm)
        del node.input[:]
        node.input.extend(inputs)
        node.output[0] = name
        self.nodes.append(node)
        return True

    def _common(self, names: Sequence[str]) -> tuple[int, ...] | None:
        """The order that all values have which are not constants."""
        perms = {self.turned[n].perm if n in self.turned else None for n in names if n and n not in self.constants}
        perm = perms.pop() if len(perms) == 1 else None
        return None if perm is None or perm == tuple(sorted(perm)) else perm

    def _elementwise(self, node: Any) -> tuple[list[str], tuple[int, ...]] | None:
        perm = self._common(node.input)
        if perm is None or any(self.constants[n].ndim > len(perm) for n in node.input if n in self.constants):
            return None
        return [self._constant(n, perm) if n in self.constants else self.turned[n].source for n in node.input], perm

    def _constant(self, name: str, perm: tuple[int, ...]) -> str:
        """A constant as it is to be for the source's order of axes."""
        array = self.constants[name]
        if array.size == 1 and array.ndim <= 1:
            return name
        whole = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
        back = np.argsort(perm)
        return self._stored(f"{name}_turned", np.ascontiguousarray(whole.transpose(back)))

    def _stored(self, name: str, array: np.ndarray) -> str:
        while name in self.constants and not np.array_equal(self.constants[name], array):
            name += "_"
        self.constants[name] = array
        return name

    def _along_axes(self, node: Any) -> tuple[list[str], tuple[int, ...]] | None:
        data = list(node.input) if node.op_type == "Concat" else [node.input[0]]
        perm = self._common(data)
        if perm is None or any(name not in self.turned for name in data):
            return None
        sources = [self.turned[name].source for name in data]
        if node.op_type == "Concat":
            node.attribute[0].i = perm[node.attribute[0].i]
            return sources, perm
        if any(name and name not in self.constants for name in node.input[1:]):
            return None
        settings = list(node.input[1:])
        if node.op_type == "Pad":
            pads = self.constants[settings[0]].reshape(2, -1)[:, np.argsort(perm)]
            settings[0] = self._stored(f"{settings[0]}_turned", pads.reshape(-1))
            return sources + settings, perm
        place = 2 if node.op_type == "Slice" else 0
        axes = [perm[axis] for axis in self.constants[settings[place]]]
        keeps = node.op_type == "Slice" or next(a.i for a in node.attribute if a.name == "keepdims")
        rest = tuple(axis for axis in perm if axis not in axes)
        if not keeps and rest != tuple(sorted(rest)):
            return None
        settings[place] = self._stored(f"{settings[place]}_turned", np.array(axes, dtype=np.int64))
        if keeps:
            return sources + settings, perm
        return sources + settings, tuple(range(len(rest)))


def folded(
    helper: Any, nodes: Sequence[Any], constants: dict[str, np.ndarray], outputs: Sequence[str]
) -> tuple[list[Any], dict[str, np.ndarray], list[str]]:
    """The nodes with as few Transposes as go, the constants that they read, and the names of the outputs."""
    folding = _Folding(helper, dict(constants))
    for node in nodes:
        folding.see(node)
    ends = [folding.plain(name) for name in outputs]
    needed, live = set(ends), []
    for node in reversed(folding.nodes):
        if needed.intersection(node.output):
            live.append(node)
            needed.update(node.input)
    constants = {name: array for name, array in folding.constants.items() if name in needed}
    return live[::-1], *_shortened(live, constants, ends)


def _shortened(
    nodes: Sequence[Any], constants: dict[str, np.ndarray], ends: Sequence[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """What is there turned only has the name of what it was before."""
    there = {*constants, *(name for node in nodes for name in (*node.input, *node.output))}

    def short(name: str) -> str:
        base = name.removesuffix("_turned")
        return name if base in there else base

    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = short(name)
    return {short(name): array for name, array in constants.items()}, [short(name) for name in ends]
