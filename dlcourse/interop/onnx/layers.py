"""ONNX nodes of the operations that layers are made of, but for those on images."""

from typing import Any

import numpy as np

from dlcourse.autograd.products import EuclideanDistances
from dlcourse.interop.onnx.arithmetic import gelu
from dlcourse.interop.onnx.graph import Graph, Unsayable, Value
from dlcourse.interop.onnx.step import Step, exports
from dlcourse.nn import activation, activation_channels
from dlcourse.nn.hooks import Marked
from dlcourse.ops import (
    attention,
    embedding,
    group_norm,
    linear,
    norm,
    recurrent,
    rms_norm,
    rotary,
)
from dlcourse.ops.gaussian import GaussianLogDensity

__all__: list[str] = []

# --- activations ------------------------------------------------------------------------------------------------------


@exports(activation.LeakyReLUFunction)
def leaky_relu(step: Step, x: Value) -> Value:
    return step.graph.node("LeakyRelu", x, alpha=float(step.function.negative_slope))


@exports(activation.ELUFunction)
def elu(step: Step, x: Value) -> Value:
    return step.graph.node("Elu", x, alpha=float(step.function.alpha))


@exports(activation.GELUFunction)
def gelu_exact(step: Step, x: Value) -> Value:
    return gelu(x)


@exports(activation.GELUTanhFunction)
def gelu_tanh(step: Step, x: Value) -> Value:
    return gelu(x, "tanh")


@exports(activation.SiLUFunction)
def silu(step: Step, x: Value) -> Value:
    return x * step.graph.node("Sigmoid", x)


@exports(activation.SoftplusFunction)
def softplus(step: Step, x: Value) -> Value:
    beta, threshold = step.setting(lambda f: f.beta), step.setting(lambda f: f.threshold)
    scaled = x if beta == 1 else x * beta
    y = step.graph.node("Softplus", scaled)
    y = y if beta == 1 else y * (1 / beta)
    return y if threshold >= 20 else step.graph.where(scaled > threshold, x, y)  # from 20 on it is x in float32


@exports(activation_channels.GLUFunction)
def glu(step: Step, x: Value) -> Value:
    a, gate = step.graph.node("Split", x, outputs=2, axis=step.setting(lambda f: f.axis), num_outputs=2)
    return a * step.graph.node("Sigmoid", gate)


@exports(activation_channels.PReLUFunction)
def prelu(step: Step, x: Value, weight: Value) -> Value:
    return step.graph.node("PRelu", x, weight)


@exports(Marked)
def marked(step: Step, *values: Value) -> tuple[Value, ...]:
    return values


# --- products ---------------------------------------------------------------------------------------------------------


@exports(linear.Linear)
def affine(step: Step, x: Value, weight: Value, *bias: Value) -> Value:
    if x.ndim == 2:
        y = step.graph.node("Gemm", x, weight, *bias, transB=1)
    else:
        y = x @ step.graph.node("Transpose", weight, perm=[1, 0])
        y = y + bias[0] if bias else y
    if isinstance(step.function, linear.LinearReLU):
        return step.graph.node("Relu", y)
    return gelu(y, "tanh") if isinstance(step.function, linear.LinearGELU) else y


@exports(embedding.Embedding)
def embed(step: Step, weight: Value) -> Value:
    return step.graph.node("Gather", weight, step.setting(lambda f: f.indices), dtype=weight.dtype, axis=0)


# --- normalization ----------------------------------------------------------------------------------------------------


@exports(GaussianLogDensity)
def gaussian_log_density(step: Step, x: Value, means: Value, factors: Value) -> Value:
    if means.array is None or factors.array is None:
        raise Unsayable("Gaussian densities whose means or covariances depend on the input")
    lower = np.tril(factors.array.astype(np.float64))
    diagonals = np.diagonal(lower, axis1=1, axis2=2)
    constants = np.log(np.abs(diagonals)).sum(axis=1) + diagonals.shape[1] / 2 * np.log(2 * np.pi)
    apart = step.graph.unsqueeze(x, 1) - means  # (N, C, D)
    z = step.graph.unsqueeze(apart, 2) @ np.linalg.inv(lower).transpose(0, 2, 1).astype(x.dtype)
    squares = step.graph.reduce("Sum", z * z, [2, 3], False)
    return squares * -0.5 - constants.astype(x.dtype)


@exports(EuclideanDistances)
def distances(step: Step, a: Value, b: Value) -> Value:
    axes = list(range(b.ndim))
    turned = b.transpose(*axes[:-2], axes[-1], axes[-2])
    squares = step.graph.unsqueeze(step.graph.reduce("Sum", b * b, [-1], False), -2)
    total = step.graph.reduce("Sum", a * a, [-1], True) + squares - 2 * (a @ turned)
    return step.graph.node("Sqrt", step.graph.node("Max", total, 0))


@exports(norm.LayerNorm)
def layer_norm(step: Step, x: Value, weight: Value, bias: Value) -> Value:
    return step.graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(step.function.eps))


@exports(norm.BatchNorm)
def batch_norm(step: Step, x: Value, weight: Value, bias: Value, *residual: Value) -> Value:
    eps, _, relu = step.function.settings
    y = _standardized(step.graph, x, list(range(x.ndim - 1)), eps) * weight + bias
    y = y + residual[0] if residual else y
    return step.graph.node("Relu", y) if relu else y


@exports(group_norm.GroupNorm)
def grouped_norm(step: Step, x: Value, weight: Value, bias: Value) -> Value:
    groups, channels = step.function.groups, x.shape[-1]
    assert isinstance(channels, int)
    apart = step.graph.node(
        "Reshape", x, np.array([*(0 for _ in x.shape[:-1]), groups, channels // groups], dtype=np.int64)
    )
    axes = [axis for axis in range(1, x.ndim + 1) if axis != x.ndim - 1]
    whole = step.graph.node(
        "Reshape",
        _standardized(step.graph, apart, axes, step.function.eps),
        np.array([*(0 for _ in x.shape[:-1]), channels], dtype=np.int64),
    )
    return whole * weight + bias


def _standardized(graph: Graph, x: Value, axes: list[int], eps: float) -> Value:
    """(x - mu) / sqrt(var + eps) over axes."""
    centered = x - graph.reduce("Mean", x, axes, True)
    variance = graph.reduce("Mean", centered * centered, axes, True)
    return centered / graph.node("Sqrt", variance + float(eps))


@exports(rms_norm.RMSNorm)
def root_mean_square_norm(step: Step, x: Value, weight: Value) -> Value:
    mean = step.graph.reduce("Mean", x * x, [-1], True)
    return x / step.graph.node("Sqrt", mean + float(step.function.eps)) * weight


# --- recurrences ------------------------------------------------------------------------------------------------------

GATES = {recurrent.RNN: (0,), recurrent.LSTM: (0, 3, 1, 2), recurrent.GRU: (1, 0, 2)}
"""Where ONNX's gates are among ours: i, o, f, c of i, f, g, o, and z, r, h of r, z, n."""


@exports(*GATES)
def recurrence(step: Step, x: Value, *operands: Value) -> Any:
    kind, graph = type(step.function), step.graph
    *states, weight_ih, weight_hh, bias_ih, bias_hh = operands
    order = GATES[kind]
    hidden = weight_hh.shape[1]
    assert isinstance(hidden, int)

    def gates(weight: Value) -> Value:
        """With ONNX's order of the gates, and an axis for the direction."""
        if len(order) > 1:
            rows = np.concatenate([np.arange(hidden) + k * hidden for k in order])
            if weight.array is not None:
                return graph.constant(weight.array[rows][None], weight.name_wanted)
            weight = graph.node("Gather", weight, rows, axis=0)
        elif weight.array is not None:
            return graph.constant(weight.array[None], weight.name_wanted)
        return graph.unsqueeze(weight, 0)

    biases = [gates(each) for each in (bias_ih, bias_hh)]
    bias = graph.node("Concat", *biases, axis=1)
    first_states = [None if _is_zero(state) else graph.unsqueeze(state, 0) for state in states]
    attributes: dict[str, Any] = {"hidden_size": hidden}
    if kind is recurrent.GRU:
        attributes["linear_before_reset"] = 1
    if kind is recurrent.RNN and step.function.relu:
        attributes["activations"] = ["Relu"]
    steps_first = graph.node("Transpose", x, perm=[1, 0, 2])
    found = graph.node(
        kind.__name__,
        *(steps_first, gates(weight_ih), gates(weight_hh), bias, None, *first_states),
        outputs=3 if kind is recurrent.LSTM else 2,
        **attributes,
    )
    output = graph.node("Transpose", graph.squeeze(found[0], 1), perm=[1, 0, 2])
    return (output, graph.squeeze(found[2], 0)) if kind is recurrent.LSTM else output


@exports(recurrent.ReorderSteps)
def reorder_steps(step: Step, x: Value) -> Value:
    index = step.graph.unsqueeze(step.setting(lambda f: f.index), -1)
    return step.graph.node("GatherND", x, index, dtype=x.dtype, batch_dims=1)


def _is_zero(state: Value) -> bool:
    return state.fill == 0 or (state.array is not None and not state.array.any())


# --- attention --------------------------------------------------------------------------------------------------------


@exports(attention.Attention)
def attend(step: Step, q: Value, k: Value, v: Value, *bias: Value) -> Any:
    graph, width = step.graph, q.shape[3]
    assert isinstance(width, int)
    scores = (q * width**-0.5) @ graph.node("Transpose", k, perm=[0, 1, 3, 2])
    mask = bias[0] if bias else step.setting(lambda f: f.mask)
    if mask is not None:
        hidden = -np.inf if mask.dtype == bool else None
        scores = scores + mask.cast(q.dtype) if hidden is None else graph.where(mask, scores, hidden)
    if step.setting(lambda f: f.causal):
        scores = scores + _hidden_future(graph, q, k)
    weights = graph.node("Softmax", scores, axis=-1)
    if mask is not None and mask.array is None:  # a query that sees no key gets zeros
        weights = graph.where(scores.equal(-np.inf), 0, weights)
    y = weights @ v
    return (y, weights) if getattr(step.function, "give", False) else y


@exports(rotary.Rotate)
def rotate(step: Step, x: Value) -> Value:
    cos, sin = step.setting(lambda f: f.cos), step.setting(lambda f: f.sin)
    first, second = step.graph.node("Split", x, outputs=2, num_outputs=2, axis=-1)
    turned = first * cos - second * sin, second * cos + first * sin
    return step.graph.node("Concat", *turned, axis=-1)


def _hidden_future(graph: Graph, q: Value, k: Value) -> Value:
    """(T, S): -inf above the diagonal that ends in the lower right corner, else 0."""
    steps, keys = q.shape[2], k.shape[2]
    if isinstance(steps, int) and isinstance(keys, int):
        return graph.constant(np.triu(np.full((steps, keys), -np.inf, dtype=q.dtype), keys - steps + 1))
    whole = graph.node("Expand", np.array(-np.inf, dtype=q.dtype), graph.sizes((steps, keys), [q, k]), dtype=q.dtype)
    if steps == keys:
        offset: Any = np.array(1, dtype=np.int64)
    else:
        offset = graph.squeeze(graph.size(keys, [k]) - graph.size(steps, [q]) + 1, 0)
    return graph.node("Trilu", whole, offset, upper=1)
