"""Errors that a user can meet, each with the exit code that the command line ends with.

A message says what was expected, what came, and what to do. Mistakes of the user never show a traceback (unless
``--traceback``); everything else does, because it is ours.
"""

from dataclasses import dataclass


class DlcourseError(Exception):
    """Base of all errors raised on purpose. Exit code 1: offline, disk full, what is not the user's to mend."""

    exit_code = 1


class UserError(DlcourseError):
    """The config, the command line, or a file that they name is wrong. Exit code 2."""

    exit_code = 2


class BusyError(UserError):
    """Another process is at work in that folder, or made it a moment ago."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a config: where (``file:line``, dotted path) and what, with the nearest valid name if any."""

    path: str
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class ConfigError(UserError):
    """All problems of a config at once, so that one round mends the file."""

    def __init__(self, problems: list[Problem] | str):
        self.problems = [Problem("", problems)] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(UserError):
    """A data file is missing, damaged, or holds what it should not; names the file and the row or byte."""


class DamagedFileError(UserError):
    """A file that the program wrote is cut short, was edited, or holds what it should not; names it and the field."""


class ChangedDataError(DataError):
    """The data are not those that a run was trained on; names what changed."""


class DownloadError(DlcourseError):
    """A data set is not on this machine and cannot be fetched. Two lines: why, and which file to put where."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or belongs to another model."""


class ShapeError(UserError, ValueError):
    """Arrays do not fit an operation: says the shapes expected and those that came."""


class ArgumentError(UserError, ValueError):
    """A setting is outside its range, or does not go with another one: says which, what it may be, and what came."""


class AxisError(ShapeError, IndexError):
    """An axis is not there: says which there are."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of a kind that is not taken, or that NumPy and PyTorch read in two ways: says how to write each."""


class DeviceError(DlcourseError):
    """The device asked for is not there. Exit code 3."""

    exit_code = 3


class DivergenceError(DlcourseError):
    """The loss or a gradient became infinite or NaN. Exit code 4."""

    exit_code = 4
    step: int | None = None
    """The step in which it happened, where that is known."""
    advice: str = ""
    """What to try, in a run whose log does not say it aloud."""

    @property
    def facts(self) -> str:
        """What happened, without the advice."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.facts}. {self.advice[:1].upper()}{self.advice[1:]}" if self.advice else self.facts


class OutOfMemoryError(DlcourseError):
    """A batch did not fit into the device's memory. Exit code 1: what was saved before is intact."""


class Interrupted(BaseException):
    """A signal ended the work. Exit code 128 + signal number, such as 130 or 143.

    Like KeyboardInterrupt it is no Exception: what catches every Exception and goes on does not catch it.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = 128 + signum
        self.folder: str | None = None
        """The folder of the run that was interrupted and can be resumed, where there is one."""


def named(error: BaseException) -> str:
    """An error in words: ours speak for themselves, of others the class is half of what they say."""
    return str(error) if isinstance(error, DlcourseError | Interrupted) else f"{type(error).__name__}: {error}"
