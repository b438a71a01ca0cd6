"""Plots and the HTML report of a run or a sweep; everything is read from its folder.

One figure family is one file in ``figures/``: a subclass of :class:`dlcourse.plots.plot.Plot` that says which folders
it fits and draws itself. Nothing else names it. Importing this package is cheap: Matplotlib and Jinja are imported when
something is drawn.
"""

from pathlib import Path

__all__ = ["draw", "report"]


def draw(folder: Path | str) -> list[Path]:
    """Draw every plot that fits what a run's or a sweep's folder holds, into its ``plots/``.

    Plots drawn earlier are replaced; those that no longer fit are removed. A plot that fails is logged as a
    warning and the others are drawn all the same: a finished run is never lost to its plots.

    Returns:
        The PNG files, in the order in which a report shows them.
    Raises:
        UserError: the folder is neither a run nor a sweep.
    """
    from dlcourse.plots.gallery import draw_all

    return draw_all(Path(folder))


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
