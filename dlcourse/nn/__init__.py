"""Layers, losses and initializers; a new layer needs only its family's file and an entry in that file's ``__all__``."""

import sys

from dlcourse.collect import public_names

globals().update(public_names(sys.modules[__name__]))
__all__ = sorted(public_names(sys.modules[__name__]))
