"""Bounded numbers for constructor signatures: the signature is the config's schema, so the bounds belong there.

They are ordinary ``int`` and ``float`` to Python; the config reads the bounds (``annotated_types``) and refuses what
lies outside with the path and the line.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(1)]
"""A whole number of at least one."""

NonNegativeInt = Annotated[int, Ge(0)]
"""A whole number of at least zero."""

Positive = Annotated[float, Gt(0)]
"""A finite number above zero."""

NonNegative = Annotated[float, Ge(0)]
"""A finite number of at least zero."""

Fraction = Annotated[float, Ge(0), Le(1)]
"""A share between zero and one, both included."""

Probability = Annotated[float, Ge(0), Lt(1)]
"""A probability below one, as of dropping."""
