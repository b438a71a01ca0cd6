"""The base class of plots: a class that knows which folders it fits and draws itself."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from matplotlib.figure import Figure

T = TypeVar("T")


def seen(value: T | None) -> T:
    """In ``draw``: what ``applies`` has seen to be there."""
    assert value is not None, "a plot is drawn where it applies"
    return value


class Plot(ABC):
    """One plot of a run or of a sweep.

    Attributes:
        kind: "run" or "sweep": which view it is given.
        name: the file's name in ``plots/``, without ``.png``.
        order: where it stands in the report, lowest first.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    order: ClassVar[int]

    @abstractmethod
    def applies(self, view: Any) -> bool:
        """Whether the folder holds what this plot shows, and the plot would say something.

        Args:
            view: a :class:`~dlcourse.plots.run_view.RunView` or :class:`~dlcourse.plots.sweep_view.SweepView`.
        """

    @abstractmethod
    def draw(self, view: Any) -> tuple[Figure, str]:
        """The figure, with a headline that says what is seen, and a caption: one sentence on how to read it."""
