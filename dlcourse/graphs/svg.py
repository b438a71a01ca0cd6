"""A graph as an SVG picture, which any browser shows; no other program is needed."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import takewhile

from dlcourse.graphs.layout import Item, Point, arrange
from dlcourse.graphs.structure import Frame
from dlcourse.graphs.view import LOOKS, Box, Look, figures

_CHARACTER, _LINE, _SIDE, _TOP = 7.3, 15.0, 10.0, 7.0
_MARGIN = 10.0
_INK, _GREY, _VALUE, _GRADIENT = "#222222", "#6E6E6E", "#00694C", "#B24300"

Turn = Callable[[Point], Point]

COLORS: dict[Look, tuple[str, str]] = {
    "input": ("#D9F0E7", "#009E73"),
    "parameter": ("#D6E8F5", "#0072B2"),
    "frozen": ("#EEF1F4", "#0072B2"),
    "constant": ("#EEEEEE", "#7A7A7A"),
    "operation": ("#FFFFFF", "#555555"),
    "module": ("#FCEFD6", "#C98500"),
}
"""Of each kind of box the color inside and that of the border: tints of those of the plots."""


def svg_text(boxes: Sequence[Box], with_figures: bool, to_the_right: bool, title: str) -> str:
    """The picture.

    Args:
        with_figures: write values and gradients into the boxes.
        to_the_right: the direction of the layers, else down.
        title: of the picture, for a reader that reads it out.
    """
    root, items, frames = _items(boxes, with_figures, to_the_right)
    edges = {(items[source], items[box]): live for box in boxes for source, live in box.sources.items()}
    ways = arrange(root, list(edges))
    turned = _turned if to_the_right else _as_it_is
    width, height = turned((root.across, root.along))
    body = [_frame(item, turned) for item in frames.values()]
    body += _edges(ways, edges, turned)
    body += [_frame_title(frame, item, turned) for frame, item in frames.items()]
    body += [_box(box, items[box], with_figures, turned) for box in boxes]
    legend, legend_width, legend_height = _legend(boxes, with_figures, height + 4)
    width, height = max(width, legend_width) + 2 * _MARGIN, height + 4 + legend_height + 2 * _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-_MARGIN:.0f} {-_MARGIN:.0f} {width:.0f} {height:.0f}" role="img" font-size="12" '
        "font-family=\"'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace\">"
    )
    about = f"<title>{_text(title)}</title>"
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="{_GREY}"/></marker></defs>'
    )
    paper = f'<rect x="{-_MARGIN:.0f}" y="{-_MARGIN:.0f}" width="100%" height="100%" fill="#FFFFFF"/>'
    return "\n".join([head, about, arrow, paper, *body, *legend, "</svg>", ""])


def box_lines(box: Box, with_figures: bool) -> list[tuple[str, str]]:
    """What is written in a box, each line with its color."""
    named = box.name and box.name != box.title and box.look not in ("operation", "module")
    title = f"{box.name} {box.title}" if named else box.title
    lines = [(title, _INK)]
    if box.look == "module" and box.name != box.title:
        lines.append((box.name, _GREY))
    lines += [(line, _GREY) for line in box.lines]
    if with_figures and box.value.array is not None:
        lines.append((figures(box.value.array), _VALUE))
    if with_figures and box.value.gradient is not None:
        lines.append((figures(box.value.gradient), _GRADIENT))
    return [(line, color) for line, color in lines if line]


def width_of(text: str) -> float:
    """How wide a text is in the picture; East Asian characters take two places."""
    return _CHARACTER * sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def _items(
    boxes: Sequence[Box], with_figures: bool, to_the_right: bool
) -> tuple[Item, dict[Box, Item], dict[Frame, Item]]:
    """What is laid out: an item for each box, inside those of the frames."""
    root = Item()
    frames: dict[Frame, Item] = {}

    def frame_of(frame: Frame | None) -> Item:
        if frame is None:
            return root
        if frame not in frames:
            parent = frame_of(frame.parent)
            least = width_of(caption(frame)) + 2 * _SIDE
            head = (20.0, 0.0, 0.0) if to_the_right else (0.0, 20.0, least)
            frames[frame] = Item(parent=parent, head=head)
            parent.children.append(frames[frame])
        return frames[frame]

    led = {source for box in boxes if not box.is_output or len(box.sources) == 1 for source in box.sources}
    aside = {box for box in boxes if box.look == "input" and box not in led}  # targets
    items = {}
    for box in boxes:
        lines = box_lines(box, with_figures)
        width = max(width_of(line) for line, _ in lines) + 2 * _SIDE
        height = len(lines) * _LINE + 2 * _TOP
        across, along = (height, width) if to_the_right else (width, height)
        parent = frame_of(box.group)
        items[box] = Item(across, along, parent, light=box.look in ("parameter", "frozen", "constant") or box in aside)
        parent.children.append(items[box])
    return root, items, frames


def caption(frame: Frame) -> str:
    """What stands on a frame: ``blocks.0: ResidualBlock``."""
    return frame.kind if frame.title == frame.kind else f"{frame.title}: {frame.kind}"


def _as_it_is(point: Point) -> Point:
    return point


def _turned(point: Point) -> Point:
    return point[1], point[0]


def _corner(item: Item, turned: Turn) -> tuple[float, float, float, float]:
    """Left, top, width and height."""
    return *turned(item.place), *turned((item.across, item.along))


def _frame(item: Item, turned: Turn) -> str:
    x, y, width, height = _corner(item, turned)
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" fill="#888888" '
        'fill-opacity="0.07" stroke="#9A9A9A" stroke-dasharray="5 3"/>'
    )


def _frame_title(frame: Frame, item: Item, turned: Turn) -> str:
    """What stands on a frame, legible where an edge passes."""
    x, y, _, _ = _corner(item, turned)
    halo = 'stroke="#F4F4F4" stroke-width="4" paint-order="stroke"'
    return f'<text x="{x + _SIDE:.1f}" y="{y + 15:.1f}" fill="{_GREY}" {halo}>{_text(caption(frame))}</text>'


def _box(box: Box, item: Item, with_figures: bool, turned: Turn) -> str:
    x, y, width, height = _corner(item, turned)
    parts = [f"<title>{_text(_tip(box))}</title>", _outline(box.look, x, y, width, height, box.is_output)]
    for number, (line, color) in enumerate(box_lines(box, with_figures)):
        bold = ' font-weight="bold"' if number == 0 else ""
        at = f'x="{x + width / 2:.1f}" y="{y + _TOP + _LINE * number + 11.5:.1f}" text-anchor="middle"'
        parts.append(f'<text {at} fill="{color}"{bold}>{_text(line)}</text>')
    return f"<g>{''.join(parts)}</g>"


def _outline(look: Look, x: float, y: float, width: float, height: float, heavy: bool = False) -> str:
    """Round for an input, with its corners cut for a parameter, doubled for a module."""
    fill, stroke = COLORS[look]
    style = f'fill="{fill}" stroke="{stroke}" stroke-width="{2.5 if heavy else 1.2}"'
    if look == "frozen":
        style += ' stroke-dasharray="4 2"'
    if look in ("parameter", "frozen"):
        c = min(7.0, height / 3)
        points = [(x + c, y), (x + width - c, y), (x + width, y + c), (x + width, y + height - c)]
        points += [(x + width - c, y + height), (x + c, y + height), (x, y + height - c), (x, y + c)]
        return f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" {style}/>'
    radius = {"input": min(height / 2, 20.0), "operation": 5.0}.get(look, 0.0)
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}" {style}/>'
    if look == "module":
        inner = f'x="{x + 3:.1f}" y="{y + 3:.1f}" width="{width - 6:.1f}" height="{height - 6:.1f}"'
        shape += f'<rect {inner} fill="none" stroke="{stroke}" stroke-width="0.6"/>'
    return shape


def _tip(box: Box) -> str:
    """What a browser shows where the mouse rests on a box."""
    lines = [" ".join(dict.fromkeys(part for part in (box.name, box.title) if part)), *box.lines]
    if box.value.array is not None:
        lines.append(f"value {figures(box.value.array)}")
    if box.value.gradient is not None:
        lines.append(f"gradient {figures(box.value.gradient)}")
    return "\n".join(lines)


def path_of(points: Sequence[Point], to_the_right: bool = False) -> str:
    """A way as an SVG path: straight along the layers' direction, from there on curves that begin and end in it."""
    turned = _turned if to_the_right else _as_it_is
    (x, y), *rest = points
    parts = ["M{:.1f} {:.1f}".format(*turned((x, y)))]
    for across, along in rest:
        if abs(across - x) < 0.05 and abs(along - y) < 0.05:
            continue  # an arrowhead takes its direction from the last piece
        if abs(across - x) < 0.05:
            parts.append("L{:.1f} {:.1f}".format(*turned((across, along))))
        else:
            middle = (y + along) / 2
            bends = ((x, middle), (across, middle), (across, along))
            parts.append("C" + " ".join("{:.1f} {:.1f}".format(*turned(bend)) for bend in bends))
        x, y = across, along
    return "".join(parts)


def _edges(
    ways: dict[tuple[Item, Item], list[Point]], edges: dict[tuple[Item, Item], bool], turned: Turn
) -> Iterator[str]:
    """All edges, each from where it leaves those that were drawn from the same box."""
    drawn: dict[Item, set[Point]] = {}
    for (source, target), live in edges.items():
        points, known = ways[source, target], drawn.setdefault(source, set())
        shared = sum(1 for _ in takewhile(known.__contains__, points))
        known.update(points)
        path = path_of(points[max(0, min(shared, len(points) - 1) - 1) :], turned is _turned)
        dashed = "" if live else ' stroke-dasharray="3 3"'
        yield f'<path d="{path}" fill="none" stroke="{_GREY}" stroke-width="1.2"{dashed} marker-end="url(#arrow)"/>'


def _legend(boxes: Sequence[Box], with_figures: bool, top: float) -> tuple[list[str], float, float]:
    """What the shapes and colors mean, of those that are there; its lines, its width and its height."""
    entries = list(_entries(boxes, with_figures))
    parts, x, y = [], 0.0, top + 14
    for sample, words in entries:
        parts.append(sample.format(x=x, y=y))
        x += 30 if sample else 0
        parts.append(f'<text x="{x:.1f}" y="{y + 10:.1f}" fill="{_GREY}" font-size="11">{words}</text>')
        x += width_of(words) + 14
    return parts, x, 30.0


def _entries(boxes: Sequence[Box], with_figures: bool) -> Iterator[tuple[str, str]]:
    there = {box.look for box in boxes}
    for look, words in LOOKS.items():
        if look in there:
            yield "<g transform='translate({x:.1f} {y:.1f})'>" + _outline(look, 0, 0, 24, 12) + "</g>", words
    if any(not live for box in boxes for live in box.sources.values()):
        line = f'stroke="{_GREY}" stroke-dasharray="3 3"'
        yield f'<path d="M{{x:.1f}} {{y:.1f}}m0 6h24" {line}/>', "without gradient"
    if with_figures:
        yield "", f'<tspan fill="{_VALUE}">value</tspan>, <tspan fill="{_GRADIENT}">gradient</tspan>'


def _text(text: str) -> str:
    """Text for XML: escaped, without characters that XML does not know."""
    return escape("".join(each if each >= " " or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text))
