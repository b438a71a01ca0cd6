"""A graph as text for Graphviz (https://graphviz.org/doc/info/lang.html), whose programs draw it in many formats."""

from collections.abc import Iterator, Sequence

from dlcourse.graphs.structure import Frame
from dlcourse.graphs.svg import COLORS, box_lines, caption
from dlcourse.graphs.view import LOOKS, Box, Look

_SHAPES: dict[Look, str] = {
    "input": 'shape=box, style="rounded,filled"',
    "parameter": "shape=octagon, style=filled",
    "frozen": 'shape=octagon, style="filled,dashed"',
    "constant": "shape=box, style=filled",
    "operation": 'shape=box, style="rounded,filled"',
    "module": "shape=box, peripheries=2, style=filled",
}


def dot_text(boxes: Sequence[Box], with_figures: bool, to_the_right: bool, title: str) -> str:
    """The graph, calls of modules as clusters; for the arguments see :func:`~dlcourse.graphs.svg.svg_text`."""
    names = {box: f"n{number}" for number, box in enumerate(boxes)}
    lines = [
        f"digraph {_quoted(title)} {{",
        f'  rankdir={"LR" if to_the_right else "TB"}; fontname="monospace"; fontsize=11;',
        '  node [fontname="monospace", fontsize=11]; edge [color="#6E6E6E", arrowsize=0.7];',
        *_cluster(None, boxes, names, with_figures, "  "),
    ]
    for box in boxes:
        for source, live in box.sources.items():
            lines.append(f"  {names[source]} -> {names[box]}{'' if live else ' [style=dashed]'};")
    lines += ["  subgraph cluster_legend {", '    label="legend"; color="#9A9A9A"; style=dashed;']
    there = [look for look in LOOKS if look in {box.look for box in boxes}]
    lines += [f"    legend_{look} [label={_quoted(LOOKS[look])}, {_style(look)}];" for look in there]
    return "\n".join([*lines, "  }", "}", ""])


def _cluster(
    frame: Frame | None, boxes: Sequence[Box], names: dict[Box, str], with_figures: bool, indent: str
) -> Iterator[str]:
    """The boxes of a call, and the calls in it."""
    level = 0 if frame is None else len(frame.path)
    inner: dict[Frame, list[Box]] = {}
    for box in boxes:
        path = [] if box.group is None else box.group.path
        if len(path) > level:
            inner.setdefault(path[level], []).append(box)
            continue
        label = "\\n".join(_escaped(line) for line, _ in box_lines(box, with_figures))
        heavy = ", penwidth=2.5" if box.is_output else ""
        yield f'{indent}{names[box]} [label="{label}", {_style(box.look)}{heavy}];'
    for each, inside in inner.items():
        yield f"{indent}subgraph cluster_{names[inside[0]]}_{level} {{"
        yield f'{indent}  label={_quoted(caption(each))}; color="#9A9A9A"; style=dashed;'
        yield from _cluster(each, inside, names, with_figures, indent + "  ")
        yield indent + "}"


def _style(look: Look) -> str:
    fill, border = COLORS[look]
    return f'{_SHAPES[look]}, fillcolor="{fill}", color="{border}"'


def _escaped(text: str) -> str:
    """Text inside quotation marks: a backslash begins an escape there."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\0", " ")


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
