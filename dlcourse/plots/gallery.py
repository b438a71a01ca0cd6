"""Find all plots, draw those that fit a folder, and read back what was drawn."""

import base64
import contextlib
import importlib
import inspect
import io
import logging
import pkgutil
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.errors import DlcourseError, UserError, named
from dlcourse.plots import figures
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView, is_run
from dlcourse.plots.style import DPI, FORMATS, save, styled
from dlcourse.plots.sweep_view import SweepView
from dlcourse.records.writing import real_folder

log = logging.getLogger("dlcourse.plots")


@dataclass(frozen=True)
class PlotFile:
    """A PNG of ``plots/`` with the title and caption that it carries; its size is that at 150 dpi."""

    path: Path
    title: str
    caption: str
    width: int
    height: int
    photographs: tuple[tuple[int, int, int, int], ...] | None = None
    """Left, top, right and bottom of the photographs in it; None where another program drew it."""

    @property
    def wide(self) -> bool:
        """Whether it takes the whole width of a report."""
        return self.width > 1.25 * self.height and self.width > 1100

    @property
    def data(self) -> str:
        """The file in base 64."""
        return base64.b64encode(self.path.read_bytes()).decode("ascii")

    @property
    def dark(self) -> str:
        """The file for a dark page, in base 64, where a filter on the whole of it would turn photographs to negatives;
        else empty."""
        if not self.photographs:
            return ""
        from PIL import Image

        image: Any
        with Image.open(self.path) as image:
            light = np.asarray(image.convert("RGB"))
        dark = darkened(light)
        for left, top, right, bottom in self.photographs:
            inside = np.s_[max(top, 0) : bottom, max(left, 0) : right]
            dark[inside] = light[inside]
        stream = io.BytesIO()
        Image.fromarray(dark).save(stream, "png")
        return base64.b64encode(stream.getvalue()).decode("ascii")


def darkened(pixels: np.ndarray) -> np.ndarray:
    """Bytes (H, W, 3) with light and dark exchanged and the hues kept, as CSS's ``invert(.9) hue-rotate(180deg)``."""
    inverted = 0.9 * 255 - 0.8 * pixels.astype(np.float32)
    # https://www.w3.org/TR/filter-effects-1/#funcdef-filter-hue-rotate: half a turn, 2 L - x with the luminance L
    luminance = inverted @ np.array([0.213, 0.715, 0.072], np.float32)
    return np.clip(np.rint(2 * luminance[..., None] - inverted), 0, 255).astype(np.uint8)


@cache
def plots() -> tuple[Plot, ...]:
    """One of every concrete :class:`Plot` in ``figures/``, in the order of a report."""
    found = []
    for info in pkgutil.iter_modules(figures.__path__, figures.__name__ + "."):
        for member in vars(importlib.import_module(info.name)).values():
            own = inspect.isclass(member) and issubclass(member, Plot) and member.__module__ == info.name
            if own and not inspect.isabstract(member):
                found.append(member())
    return tuple(sorted(found, key=lambda plot: (plot.order, plot.name)))


def open_view(folder: Path) -> RunView | SweepView:
    """A folder as the figures see it.

    Raises:
        UserError: it is neither a run nor a sweep.
    """
    if (folder / "sweep.json").is_file():
        view = SweepView(folder)
        if not view.outcome:
            raise UserError(f"{folder}: {'; '.join(view.damage)}")
        return view
    if is_run(folder):
        return RunView(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected the folder of a run or a sweep")
    raise UserError(f"{folder}: neither a run nor a sweep: expected result.json, metrics.jsonl or sweep.json in it")


def draw_all(folder: Path, formats: Sequence[str] = (), dpi: int = DPI) -> list[Path]:
    """See :func:`dlcourse.plots.draw`."""
    view = open_view(folder)
    target = folder / "plots"
    try:
        real_folder(target).mkdir(exist_ok=True)
    except OSError as error:
        raise DlcourseError(f"{target}: cannot be written: {error.strerror}") from error
    drawn = []
    with _missing_glyphs(view.path):
        for plot in plots():
            path = target / f"{plot.name}.png"
            kinds = [kind for kind in FORMATS if kind in formats or path.with_suffix(f".{kind}").exists()]
            if plot.kind == view.kind and _draw(plot, view, path, kinds, dpi):
                drawn.append(path)
            else:
                for kind in ("png", *FORMATS):
                    path.with_suffix(f".{kind}").unlink(missing_ok=True)
    return drawn


def draw_explained(folder: Path, names: Sequence[str], explained: Path, target: Path) -> list[Path]:
    """See :func:`dlcourse.plots.draw_explained`."""
    view = RunView(folder, explained)
    try:
        (real_folder(target) if target.parent == folder else target).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from error
    wanted = [plot for plot in plots() if plot.kind == "run" and plot.name in names]
    with _missing_glyphs(view.path):
        return [path for plot in wanted if _draw(plot, view, path := target / f"{plot.name}.png", [], DPI)]


@contextlib.contextmanager
def _missing_glyphs(folder: Path) -> Iterator[None]:
    """Inside the ``with`` block collect Matplotlib's warnings about characters that the font lacks; say them once."""
    lacking: dict[str, None] = {}
    show = warnings.showwarning

    def take(message: Warning | str, *arguments: Any, **settings: Any) -> None:
        found = re.match(r"Glyph (\d+) .* missing from", str(message))
        if found:
            lacking[chr(int(found[1]))] = None
        else:
            show(message, *arguments, **settings)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = take
        yield
    if lacking:
        shown = " ".join(list(lacking)[:20]) + (" ..." if len(lacking) > 20 else "")
        log.warning("the plots of %s show boxes for characters that their font lacks: %s", folder, shown)


def _draw(plot: Plot, view: RunView | SweepView, path: Path, kinds: Sequence[str], dpi: int) -> bool:
    """Draw the PNG, and beside it files of other kinds; whether the plot fits and was drawn.

    One that fails must not cost the others, nor the run that it belongs to."""
    try:
        if not plot.applies(view):
            return False
        with styled(dpi), np.errstate(all="ignore"):  # losses on their way to infinity overflow a scale too
            figure, caption = plot.draw(view)
            for kind in ("png", *kinds):
                save(figure, path.with_suffix(f".{kind}"), caption)
    except OSError as error:
        raise DlcourseError(f"{path}: cannot be written: {error.strerror}") from error
    except Exception as error:  # a plot is any code, a plugin's too, on whatever a run left
        log.warning("the plot %s of %s could not be drawn: %s", plot.name, view.path, named(error))
        log.debug("", exc_info=True)
        return False
    return True


def _boxes(text: str | None) -> tuple[tuple[int, int, int, int], ...] | None:
    """The places of photographs in a PNG, as :func:`~dlcourse.plots.style.save` writes them."""
    if text is None or not re.fullmatch(r"(-?\d{1,6}(,-?\d{1,6}){3} ?)*", text):
        return None
    boxes = (tuple(map(int, box.split(","))) for box in text.split())
    return tuple((left, top, right, bottom) for left, top, right, bottom in boxes)


def images(folder: Path) -> list[PlotFile]:
    """What lies in ``plots/``, those drawn here in their order, then any other PNG by name."""
    from PIL import Image, UnidentifiedImageError

    order = {plot.name: index for index, plot in enumerate(plots())}
    paths = sorted((folder / "plots").glob("*.png"), key=lambda path: (order.get(path.stem, len(order)), path.name))
    found = []
    for path in paths:
        if path.is_symlink():
            continue
        try:
            image: Any
            with Image.open(path) as image:
                text, (width, height) = dict(image.text), image.size
                scale = DPI / image.info["dpi"][0] if "Title" in text and "dpi" in image.info else 1.0
        except (OSError, UnidentifiedImageError, SyntaxError):
            log.warning("%s is no readable PNG and is left out of the report", path)
            continue
        title = text.get("Title") or path.stem.replace("_", " ")
        size = round(scale * width), round(scale * height)
        found.append(PlotFile(path, title, text.get("Description", ""), *size, _boxes(text.get("Pictures"))))
    return found
