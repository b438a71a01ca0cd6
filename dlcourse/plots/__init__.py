"""Plots and the HTML report of a run or a sweep; everything is read from its folder.

One figure family is one file in ``figures/``: a subclass of :class:`dlcourse.plots.plot.Plot` that says which folders
it fits and draws itself. Nothing else names it. Importing this package is cheap: Matplotlib and Jinja are imported when
something is drawn.
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["draw", "draw_explained", "report"]


def draw(folder: Path | str, formats: Sequence[str] = (), dpi: int = 150) -> list[Path]:
    """Draw every plot that fits what a run's or a sweep's folder holds, into its ``plots/``.

    Plots drawn earlier are replaced; those that no longer fit are removed. A plot that fails is logged as a
    warning and the others are drawn all the same: a finished run is never lost to its plots.

    Args:
        formats: ``svg``, ``pdf`` or both: such files too, beside each PNG. Those that are there are drawn again.
        dpi: dots per inch of the PNG files, and of images inside the others.
    Returns:
        The PNG files, in the order in which a report shows them.
    Raises:
        UserError: the folder is neither a run nor a sweep; or there is no such format.
    """
    from dlcourse.errors import UserError
    from dlcourse.plots.gallery import draw_all
    from dlcourse.plots.style import FORMATS

    if unknown := [each for each in formats if each not in FORMATS]:
        raise UserError(f"no format {unknown[0]!r} of plots: expected {' or '.join(FORMATS)} (a png is always drawn)")
    if not 20 <= dpi <= 1200:
        raise UserError(f"dpi {dpi}: expected 20 to 1200 dots per inch")
    return draw_all(Path(folder), formats, dpi)


def draw_explained(folder: Path | str, names: Sequence[str], explained: Path, target: Path) -> list[Path]:
    """Draw pictures of what a run's net sees.

    Args:
        folder: the run's.
        names: which.
        explained: where their files are: the run's ``explain/``, or another folder.
        target: where the PNG files go.
    Returns:
        Those that were drawn, in the order in which a report shows them.
    Raises:
        UserError: the target cannot be made, or is a link in the run's folder.
    """
    from dlcourse.plots import gallery

    return gallery.draw_explained(Path(folder), names, explained, target)


def report(folder: Path | str) -> Path:
    """Write ``report.html`` from what the folder holds, with the plots of its ``plots/`` inside.

    The plots are drawn first if there are none yet. The file needs nothing else: it opens offline, anywhere.

    Returns:
        The path of the report.
    Raises:
        UserError: the folder is neither a run nor a sweep.
    """
    from dlcourse.plots.html import write_report

    return write_report(Path(folder))
