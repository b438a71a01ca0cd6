"""Hold the components of a file against the properties that every component must have.

outcomes = check_file("my_parts.py")       # what `dlcourse check my_parts.py` prints
"""

from dlcourse.checks.file import check_file
from dlcourse.checks.outcome import Outcome

__all__ = ["Outcome", "check_file"]
