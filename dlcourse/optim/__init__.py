"""Optimizers, schedules, clipping, closed-form solvers; a new one needs its file and an entry in its ``__all__``."""

import sys

from dlcourse.collect import public_names

globals().update(public_names(sys.modules[__name__]))
__all__ = sorted(public_names(sys.modules[__name__]))
