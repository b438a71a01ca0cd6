"""Optimizers, learning-rate schedules, gradient clipping and closed-form solvers.

Each file's ``__all__`` names what it makes public; a new file has its line here. A config needs no line.
"""

import inspect

from dlcourse.optim import lr_scheduler as lr_scheduler
from dlcourse.optim import swa_utils as swa_utils
from dlcourse.optim.adam import *
from dlcourse.optim.adam_family import *
from dlcourse.optim.adaptive import *
from dlcourse.optim.asgd import *
from dlcourse.optim.base import *
from dlcourse.optim.clip import *
from dlcourse.optim.closed_form import *
from dlcourse.optim.cycles import *
from dlcourse.optim.groups import *
from dlcourse.optim.lbfgs import *
from dlcourse.optim.muon import *
from dlcourse.optim.plateau import *
from dlcourse.optim.ramps import *
from dlcourse.optim.schedules import *
from dlcourse.optim.second_order import *
from dlcourse.optim.sgd import *
from dlcourse.optim.sign import *

__all__ = [name for name, value in dict(globals()).items() if name[0] != "_" and not inspect.ismodule(value)]


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing("optim", name, f"module 'dlcourse.optim' has no attribute {name!r}", sys.modules[__name__])
