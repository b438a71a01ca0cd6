"""Bounded numbers for constructor signatures: the signature is the config's schema, so the bounds belong there.

They are ordinary ``int`` and ``float`` to Python; the config reads the bounds (``annotated_types``) and refuses what
lies outside with the path and the line.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

MAX_COUNT = 10**12
"""More of anything is a slip of the keyboard, and no integer of NumPy's overflows with so many."""

Count = Annotated[int, Ge(1), Le(MAX_COUNT)]
"""A whole number of at least one."""

NonNegativeInt = Annotated[int, Ge(0), Le(MAX_COUNT)]
"""A whole number of at least zero."""

MAX_SEED = 2**64 - 1
"""The generator's key is one 64-bit word: a larger seed would draw what a smaller one draws."""

Seed = Annotated[int, Ge(0), Le(MAX_SEED)]
"""A whole number of at least zero that 64 bits hold."""

Depth = Annotated[int, Ge(1), Le(1000)]
"""How many layers stand above each other."""

Classes = Annotated[int, Ge(2), Le(10_000)]
"""How many classes made-up data have."""

Positive = Annotated[float, Gt(0)]
"""A finite number above zero."""

NonNegative = Annotated[float, Ge(0)]
"""A finite number of at least zero."""

Fraction = Annotated[float, Ge(0), Le(1)]
"""A share between zero and one, both included."""

Probability = Annotated[float, Ge(0), Lt(1)]
"""A probability below one, as of dropping."""
