"""Every differentiable function by its name: ``from dlcourse import functional as F``, then ``F.relu(x)``.

A new function stands in its family's file under ``dlcourse/ops``, in that file's ``__all__``, and here. Fused functions
(``linear_relu``, ``add_relu``, ...) are not public: layers import them from ``dlcourse.ops``.
"""

from dlcourse.ops.activation import elu, gelu, leaky_relu, relu, sigmoid, silu, softplus, tanh
from dlcourse.ops.algebra import broadcast_to, logdet, matmul, maximum, minimum, solve, trace, where
from dlcourse.ops.attention import scaled_dot_product_attention
from dlcourse.ops.conv import conv2d
from dlcourse.ops.dropout import dropout
from dlcourse.ops.embedding import embedding
from dlcourse.ops.gaussian import gaussian_log_density
from dlcourse.ops.linear import concatenate, linear, stack, unbind
from dlcourse.ops.loss import cross_entropy, gaussian_nll, half_sse, mse_loss, multiclass_hinge
from dlcourse.ops.norm import batch_norm, group_norm, layer_norm
from dlcourse.ops.pool import avg_pool2d, global_avg_pool2d, max_pool2d
from dlcourse.ops.recurrent import gru, lstm, rnn
from dlcourse.ops.softmax import log_softmax, logsumexp, softmax

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "broadcast_to",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gaussian_log_density",
    "gaussian_nll",
    "gelu",
    "global_avg_pool2d",
    "group_norm",
    "gru",
    "half_sse",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logdet",
    "logsumexp",
    "lstm",
    "matmul",
    "max_pool2d",
    "maximum",
    "minimum",
    "mse_loss",
    "multiclass_hinge",
    "relu",
    "rnn",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "solve",
    "stack",
    "tanh",
    "trace",
    "unbind",
    "where",
]
