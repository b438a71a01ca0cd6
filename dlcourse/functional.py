"""Every differentiable function by its name: ``from dlcourse import functional as F``, then ``F.relu(x)``.

A new function needs only its family's file under ``dlcourse/ops`` and a place in that file's ``__all__``.
"""

from dlcourse import ops
from dlcourse.collect import public_names

globals().update(public_names(ops))
__all__ = sorted(public_names(ops))
