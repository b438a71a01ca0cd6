"""What a check found: one line of the table."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlcourse.errors import named


@dataclass(frozen=True)
class Outcome:
    """One property of one component.

    Attributes:
        component: ``model two_layers``.
        what: the property.
        passed: None where it says nothing here.
        figure: the numbers, or what is wrong and what to do.
    """

    component: str
    what: str
    passed: bool | None
    figure: str


class Failure(Exception):
    """A property does not hold; the message says with which numbers, and what to do."""


class NotHere(Exception):
    """A property says nothing of this component; the message says why."""


class Checks:
    """The properties of one component, one after another.

    Args:
        component: its kind and name.
        file: where it is written, for the line of an error.
    """

    def __init__(self, component: str, file: Path):
        self.component, self.file = component, file
        self.outcomes: list[Outcome] = []

    def add(self, what: str, passed: bool | None, figure: str) -> None:
        """One line."""
        self.outcomes.append(Outcome(self.component, what, passed, figure))

    def run(self, what: str, check: Callable[[], str]) -> bool:
        """One property: its figure, or the error that it ended with. Returns whether it holds."""
        try:
            figure = check()
        except Failure as failure:
            self.add(what, False, str(failure))
            return False
        except NotHere as reason:
            self.add(what, None, str(reason))
            return True
        except (Exception, SystemExit) as error:  # a user's own code raises anything, and may call exit(0)
            self.add(what, False, f"{self.place(error)}{named(error)}")
            return False
        self.add(what, True, figure)
        return True

    def place(self, error: BaseException) -> str:
        """``line N: `` of the component's own file that an error passed through."""
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.file)]
        return f"line {own[-1].lineno}: " if own else ""


def require(condition: bool, message: str) -> None:
    """Raise Failure where the condition does not hold."""
    if not condition:
        raise Failure(message)
