"""Layers, losses and initializers: what ``from dlcourse import nn`` shows.

A new layer is a class in its family's file, named in that file's ``__all__``; a new file has its line here.
"""

import inspect

from dlcourse.nn import functional as functional
from dlcourse.nn import init as init
from dlcourse.nn import utils as utils
from dlcourse.nn.activation import *
from dlcourse.nn.activation_channels import *
from dlcourse.nn.activation_formulas import *
from dlcourse.nn.attention import *
from dlcourse.nn.container import *
from dlcourse.nn.conv import *
from dlcourse.nn.distance import *
from dlcourse.nn.dropout import *
from dlcourse.nn.embedding import *
from dlcourse.nn.initializer import *
from dlcourse.nn.linear import *
from dlcourse.nn.loss import *
from dlcourse.nn.margin_loss import *
from dlcourse.nn.module import *
from dlcourse.nn.norm import *
from dlcourse.nn.padding import *
from dlcourse.nn.pointwise_loss import *
from dlcourse.nn.pool import *
from dlcourse.nn.positions import *
from dlcourse.nn.receptive_field import *
from dlcourse.nn.recurrent import *
from dlcourse.nn.recurrent_cell import *
from dlcourse.nn.resize import *
from dlcourse.nn.summary import *
from dlcourse.nn.transformer import *

__all__ = ["functional", "init", "utils"]
__all__ += [name for name, value in dict(globals()).items() if name[0] != "_" and not inspect.ismodule(value)]


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing("nn", name, f"module 'dlcourse.nn' has no attribute {name!r}", sys.modules[__name__])
