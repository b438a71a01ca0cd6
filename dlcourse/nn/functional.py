"""Every differentiable function by its name: ``from dlcourse import functional as F``, then ``F.relu(x)``.

``import dlcourse.nn.functional as F`` is the same, as in PyTorch.

The ``__all__`` of each family's file names its functions; an activation's stands beside its layer. Fused functions
(``linear_relu``, ``add_relu``, ...) are not public: layers import them from ``dlcourse.ops``.
"""

from dlcourse.nn.activation import *
from dlcourse.nn.activation_channels import *
from dlcourse.nn.activation_formulas import *
from dlcourse.ops.adaptive_pool import *
from dlcourse.ops.algebra import *
from dlcourse.ops.attention import *
from dlcourse.ops.bilinear import *
from dlcourse.ops.conv import *
from dlcourse.ops.conv_transpose import *
from dlcourse.ops.ctc import *
from dlcourse.ops.distance import *
from dlcourse.ops.distance_loss import *
from dlcourse.ops.dropout import *
from dlcourse.ops.embedding import *
from dlcourse.ops.gaussian import *
from dlcourse.ops.group_norm import *
from dlcourse.ops.likelihood_loss import *
from dlcourse.ops.linear import *
from dlcourse.ops.loss import *
from dlcourse.ops.margin_loss import *
from dlcourse.ops.norm import *
from dlcourse.ops.pad import *
from dlcourse.ops.pool import *
from dlcourse.ops.rearrange import *
from dlcourse.ops.recurrent import *
from dlcourse.ops.resample import *
from dlcourse.ops.rms_norm import *
from dlcourse.ops.rotary import *
from dlcourse.ops.softmax import *
from dlcourse.ops.unpool import *

__all__ = [name for name in dir() if name.islower() and not name.startswith("_")]


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing("functional", name, f"module 'dlcourse.functional' has no attribute {name!r}", sys.modules[__name__])
