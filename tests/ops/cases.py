"""Sample inputs for every differentiable operation; the generic tests of ``test_ops.py`` run each of them.

A case is one line: what to compute, on which inputs, and the same in PyTorch where PyTorch has it. The generic tests
check its gradient by differences in float64, its value and gradient against PyTorch, that inputs come back unmodified,
that non-contiguous inputs give the same, and that a graph is gone after its backward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn
from dlcourse import functional as F
from dlcourse.autograd import Tensor, apply
from dlcourse.autograd.pairs import PAIR_FORMULAS
from dlcourse.autograd.unary import FORMULAS
from dlcourse.ops.attention import attend
from dlcourse.ops.conv import conv1d_relu, conv2d_relu
from dlcourse.ops.linear import linear_gelu_tanh, linear_relu
from dlcourse.ops.norm import SyncBatchNorm
from dlcourse.ops.recurrent import reorder_steps
from dlcourse.ops.residual import add_relu, downsample_shortcut

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call of an operation.

    Attributes:
        name: shown by pytest.
        run: the computation on tensors.
        inputs: shapes (filled with standard normal numbers) or arrays (integers are passed on, not differentiated).
        torch: the same on PyTorch's tensors given the module ``torch``, or None.
        positive: rng from 0.5..2 instead, for functions that need it.
    """

    name: str
    run: Callable[..., Tensor]
    inputs: tuple[Any, ...]
    torch: Callable[..., Any] | None = None
    positive: bool = False

    def arrays(self) -> list[np.ndarray]:
        """The inputs, the same at every call."""
        rng = np.random.default_rng(sum(map(ord, self.name)))
        made = []
        for item in self.inputs:
            if isinstance(item, np.ndarray):
                made.append(item.copy())
            else:
                made.append(rng.uniform(0.5, 2.0, item) if self.positive else rng.normal(size=item))
        return made


def _spd(size: int) -> np.ndarray:
    """A well-conditioned positive definite matrix."""
    root = np.random.default_rng(size).normal(size=(size, size))
    return root @ root.T + size * np.eye(size)


def _torch_log_density(t: Any, x: Any, mean: Any, factor: Any) -> Any:
    return t.distributions.MultivariateNormal(mean, scale_tril=t.tril(factor), validate_args=False).log_prob(x)


def _torch_conv(t: Any, x: Any, weight: Any, bias: Any, name: str = "conv2d", **settings: Any) -> Any:
    y = getattr(t.nn.functional, name)(x.movedim(-1, 1), weight.movedim(-1, 1), bias, **settings)
    return y.movedim(1, -1)


BAGS = np.array([3, 0, 3, 1, 4, 1, 0, 2, 1])
UNPOOLED = np.array([[[[0, 1], [3, 4]], [[5, 9], [7, 6]]]])

DOMAINS = {
    **dict.fromkeys(("rsqrt", "log1p", "log2", "log10"), (0.5, 2.0)),
    **dict.fromkeys(("asin", "acos", "atanh"), (-0.9, 0.9)),
    **{"acosh": (1.2, 3.0), "logit": (0.1, 0.9)},
    **dict.fromkeys(("lgamma", "digamma"), (0.3, 4.0)),
}
"""Where a function of one number has a value and a moderate slope; -2..2 for the others."""


def _inside(name: str) -> np.ndarray:
    return np.random.default_rng(0).uniform(*DOMAINS.get(name, (-2.0, 2.0)), (3, 4))


def _torch_function(name: str, t: Any, *inputs: Any) -> Any:
    return getattr(t, name)(*inputs)


def _torch_activation(name: str, t: Any, x: Any) -> Any:
    if not hasattr(t.nn.functional, name):
        pytest.skip("PyTorch has no such activation")
    if name == "hardsigmoid":  # whose gradient has float32's digits in PyTorch
        return t.clamp(x + 3, 0, 6) / 6
    return getattr(t.nn.functional, name)(x)


def _loss(name: str, settings: dict, *inputs: Any) -> Tensor:
    rest = {key: value for key, value in settings.items() if key != "target"}
    return getattr(F, name)(*inputs, *([settings["target"]] if "target" in settings else []), **rest)


def _torch_loss(name: str, settings: dict, t: Any, *inputs: Any) -> Any:
    def given(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return t.tensor(value if value.dtype.kind == "i" else value.astype(str(inputs[0].dtype).split(".")[1]))

    rest = {key: given(value) for key, value in settings.items() if key != "target"}
    target = [given(settings["target"])] if "target" in settings else []
    return getattr(t.nn.functional, name)(*inputs, *target, **rest)


def _torch_pool(t: Any, name: str, x: Any, *settings: Any, **options: Any) -> Any:
    return getattr(t.nn.functional, name)(x.movedim(-1, 1), *settings, **options).movedim(1, -1)


ANGLES = tuple(dl.tensor(turn(np.outer(np.arange(4), [1.0, 0.3, 0.1]))) for turn in (np.cos, np.sin))


def _torch_rotary(t: Any, x: Any) -> Any:
    """As a product of complex numbers."""
    turn = t.complex(*(t.tensor(table.numpy(), dtype=x.dtype) for table in ANGLES))
    y = t.complex(x[..., :3], x[..., 3:]) * turn
    return t.cat([y.real, y.imag], dim=-1)


def _torch_recurrent(t: Any, name: str, inputs: tuple, cell: bool = False, **options: Any) -> Any:
    """PyTorch's layer with our tensors for its weights, through its functional call, so that gradients reach them."""
    x, *states, weight_ih, weight_hh, bias_ih, bias_hh = inputs
    layer = getattr(t.nn, name)(x.shape[2], weight_hh.shape[1], batch_first=True, dtype=x.dtype, **options)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = dict(zip(names, (weight_ih, weight_hh, bias_ih, bias_hh), strict=True))
    first = tuple(state[None] for state in states)
    output, last = t.func.functional_call(layer, weights, (x, first if len(first) > 1 else first[0]))
    # Added with weight zero: the test asks every input for a gradient.
    return last[1][0] + 0 * output.sum() if cell else output


def _by_eigenvectors(a: Any, linalg: Any = dl.linalg) -> Any:
    """Of a symmetric matrix; not by the signs of the vectors, which are free."""
    values, vectors = linalg.eigh(a + a.mT)
    return values + (vectors**2).cumsum(1).sum(0) * vectors[1].abs()


def _by_singular_vectors(a: Any, linalg: Any = dl.linalg) -> Any:
    u, s, vh = linalg.svd(a, full_matrices=False)
    return s + (u**3).sum(-2).abs() + (vh**3).sum(-1).abs()


def _torch_qr(t: Any, a: Any) -> Any:
    q, r = t.linalg.qr(a)
    return q @ r.abs()


def _written(a: Any, v: Any) -> Any:
    """x[i] = v, a part at a time, in either library; one value is written over."""
    x = 2 * a
    x[1] = 0.5
    x[:, 1:3] = v
    x[0, 1] = a[2, 2]
    return x


def _unbound_slices(a: Any) -> Tensor:
    first, second, third = F.unbind(a)
    return first * second * third


def _with_weights(y: Tensor, weights: Tensor) -> Tensor:
    return y.sum(axis=3) + (weights * weights).sum(axis=3)


def _torch_with_weights(t: Any, q: Any, k: Any, v: Any, bias: Any) -> Any:
    weights = t.softmax(q @ k.mT * q.shape[-1] ** -0.5 + bias, -1)
    return (weights @ v).sum(3) + (weights * weights).sum(3)


BACKWARDS = np.array([[2, 1, 0, 3, 4], [0, 1, 2, 3, 4]])


def _hooked(a: Any, b: Any) -> Tensor:
    """a b through a module whose backward hooks see all and change nothing."""

    class Product(nn.Module):
        def forward(self, a: Any, b: Any) -> Tensor:
            return a * b

    module = Product()
    module.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    return module(a, b)


KEYS = np.array([[1, 1, 0, 1, 0, 1], [1, 0, 0, 1, 1, 1]], dtype=bool)[:, None, None, :]
PLACES = np.array([[0, 2, 2, 1], [0, 0, 1, 1]])
APART = np.array([[0, 2, 2, 1], [2, 0, 1, 0]])
LABELS = np.array([2, 0, 1, 1, 2])
FLAGS = np.array([[True, False, True], [False, False, True]])

PROBABILITIES = np.random.default_rng(2).uniform(0.1, 0.9, (2, 4, 3))
SIGNS = np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]])
CLASSES = np.array([2, 0, 1, 1])
TEXTS = np.array([[0, 2, 0], [0, 0, 0], [3, 3, 0]])
VECTORS = (4, 3)
LOSSES: list[tuple[str, tuple, dict]] = [
    *((name, (VECTORS, VECTORS), {}) for name in ("l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")),
    *((name, (VECTORS, VECTORS), {"weight": PROBABILITIES[0]}) for name in ("mse_loss", "huber_loss")),
    ("smooth_l1_loss", (VECTORS, VECTORS), {"beta": 0.3}),
    ("huber_loss", (VECTORS, VECTORS), {"delta": 0.6}),
    ("binary_cross_entropy", (PROBABILITIES[0], PROBABILITIES[1]), {"weight": SIGNS[0] + 2}),
    ("binary_cross_entropy_with_logits", (VECTORS, PROBABILITIES[0]), {}),
    (
        "binary_cross_entropy_with_logits",
        (VECTORS, PROBABILITIES[0]),
        {"weight": SIGNS + 2, "pos_weight": SIGNS[0] + 3},
    ),
    ("kl_div", (VECTORS, PROBABILITIES[0]), {}),
    ("kl_div", (VECTORS, VECTORS), {"log_target": True}),
    ("poisson_nll_loss", (PROBABILITIES[0], 3 * PROBABILITIES[1]), {"log_input": False, "full": True}),
    ("gaussian_nll_loss", (VECTORS, VECTORS, PROBABILITIES[0]), {}),
    ("gaussian_nll_loss", (VECTORS, VECTORS, PROBABILITIES[0, :, 0]), {"full": True, "eps": 1e-3}),
    ("soft_margin_loss", (VECTORS,), {"target": SIGNS}),
    ("hinge_embedding_loss", (VECTORS,), {"target": SIGNS}),
    ("margin_ranking_loss", (VECTORS, (4, 1)), {"target": SIGNS, "margin": 0.3}),
    ("cosine_embedding_loss", (VECTORS, VECTORS), {"target": SIGNS[:, 0], "margin": -0.3}),
    ("triplet_margin_loss", (VECTORS, VECTORS, VECTORS), {"p": 1.5, "swap": True}),
    ("triplet_margin_with_distance_loss", (VECTORS, VECTORS, VECTORS), {"margin": 2.0}),
    ("multi_margin_loss", (VECTORS,), {"target": CLASSES, "p": 2, "margin": 0.7, "weight": SIGNS[0] + 2}),
    ("multi_margin_loss", (VECTORS,), {"target": CLASSES}),
    ("multilabel_margin_loss", (VECTORS,), {"target": np.array([[2, 0, -1], [-1, 1, 0], [1, -1, 1], [0, 1, 2]])}),
    ("multilabel_soft_margin_loss", (VECTORS,), {"target": PROBABILITIES[0], "weight": SIGNS[0] + 2}),
    ("nll_loss", (VECTORS,), {"target": CLASSES, "weight": SIGNS[0] + 2, "ignore_index": 0}),
]
"""Name, inputs that want a gradient, and settings, arrays among them; ``target`` is what comes behind the inputs."""

CASES = [
    # --- arithmetic with broadcasting -----------------------------------------------------------------------------
    Case("add", lambda a, b: a + b, ((3, 4), (3, 4)), lambda t, a, b: a + b),
    Case("add-broadcast", lambda a, b: a + b, ((3, 4), (4,)), lambda t, a, b: a + b),
    Case("add-scalar-tensor", lambda a, b: a + b, ((2, 3), ()), lambda t, a, b: a + b),
    Case("add-number", lambda a: 2 + a + 1.5, ((3,),), lambda t, a: 2 + a + 1.5),
    Case("sub-broadcast", lambda a, b: a - b, ((3, 1), (1, 4)), lambda t, a, b: a - b),
    Case("sub-number", lambda a: (1 - a) - 2, ((3,),), lambda t, a: (1 - a) - 2),
    Case("mul-broadcast", lambda a, b: a * b, ((2, 3, 4), (3, 1)), lambda t, a, b: a * b),
    Case("mul-hooked", _hooked, ((2, 3), (2, 3)), lambda t, a, b: a * b),
    Case("mul-same", lambda a: a * a, ((3, 4),), lambda t, a: a * a),
    Case("mul-number", lambda a: 3 * a * 0.5, ((3,),), lambda t, a: 3 * a * 0.5),
    Case("div-broadcast", lambda a, b: a / b, ((3, 4), (4,)), lambda t, a, b: a / b, positive=True),
    Case("div-number", lambda a: 2 / a / 3, ((3,),), lambda t, a: 2 / a / 3, positive=True),
    Case("neg", lambda a: -a, ((3, 4),), lambda t, a: -a),
    Case("pow-2", lambda a: a**2, ((3, 4),), lambda t, a: a**2),
    Case("pow-3", lambda a: a**3, ((3, 4),), lambda t, a: a**3),
    Case("pow-4", lambda a: a**4, ((3, 4),), lambda t, a: a**4),
    Case("pow-7", lambda a: a**7, ((3, 4),), lambda t, a: a**7),
    Case("pow-0", lambda a: a**0, ((3, 4),), lambda t, a: a**0),
    Case("pow-1", lambda a: a**1, ((3, 4),), lambda t, a: a**1),
    Case("pow-negative", lambda a: a**-1.5, ((3, 4),), lambda t, a: a**-1.5, positive=True),
    Case("pow-tensor", lambda a, b: a**b, ((3, 4), (4,)), lambda t, a, b: a**b, positive=True),
    Case("pow-number-base", lambda b: 2.0**b, ((3, 4),), lambda t, b: 2.0**b),
    Case("exp", lambda a: a.exp(), ((3, 4),), lambda t, a: a.exp()),
    Case("log", lambda a: a.log(), ((3, 4),), lambda t, a: a.log(), positive=True),
    Case("sqrt", lambda a: a.sqrt(), ((3, 4),), lambda t, a: a.sqrt(), positive=True),
    Case("abs", lambda a: a.abs(), ((3, 4),), lambda t, a: a.abs()),
    Case("clip", lambda a: a.clip(-0.5, 0.7), ((3, 4),), lambda t, a: a.clip(-0.5, 0.7)),
    Case("clip-below", lambda a: a.clip(min=0.1), ((3, 4),), lambda t, a: a.clip(min=0.1)),
    Case("clip-above", lambda a: a.clip(max=0.1), ((3, 4),), lambda t, a: a.clip(max=0.1)),
    Case(
        "clip-tensors",
        lambda a, low, high: a.clip(low, high),
        ((3, 4), (4,), (3, 1)),
        lambda t, a, low, high: t.clamp(a, low, high),
    ),
    Case("maximum", F.maximum, ((3, 4), (4,)), lambda t, a, b: t.maximum(a, b)),
    Case("minimum", F.minimum, ((3, 1), (3, 4)), lambda t, a, b: t.minimum(a, b)),
    Case("maximum-number", lambda a: F.maximum(a, 0.3), ((3, 4),), lambda t, a: a.clip(min=0.3)),
    Case(
        "clip-arrays",
        lambda x, a, b: x.clip(a, b),
        ((4, 5), (5,), (4, 1)),
        lambda t, x, a, b: t.clamp(x, a.expand(4, 5), b.expand(4, 5)),
    ),
    Case("where", lambda a, b: F.where(FLAGS, a, b), ((2, 3), (3,)), lambda t, a, b: t.where(t.as_tensor(FLAGS), a, b)),
    Case("cast", lambda a: a.to(dtype=np.float64) * 2, ((3,),), lambda t, a: a.to(t.float64) * 2),
    # --- reductions -----------------------------------------------------------------------------------------------
    Case("sum", lambda a: a.sum(), ((3, 4),), lambda t, a: a.sum()),
    Case("sum-axis", lambda a: a.sum(axis=1), ((3, 4),), lambda t, a: a.sum(1)),
    Case("sum-axes-keep", lambda a: a.sum(axis=(0, -1), keepdims=True), ((2, 3, 4),), lambda t, a: a.sum((0, 2), True)),
    Case("sum-scalar", lambda a: a.sum(), ((),), lambda t, a: a.sum()),
    Case("sum-empty", lambda a: a.sum(axis=0), ((0, 3),), lambda t, a: a.sum(0)),
    Case("mean", lambda a: a.mean(), ((3, 4),), lambda t, a: a.mean()),
    Case("mean-axis", lambda a: a.mean(axis=-1, keepdims=True), ((2, 3, 4),), lambda t, a: a.mean(-1, True)),
    Case("max", lambda a: a.max(), ((3, 4),), lambda t, a: a.max()),
    Case("max-axis", lambda a: a.max(axis=0), ((3, 4),), lambda t, a: a.amax(0)),
    Case("min-axis", lambda a: a.min(axis=1, keepdims=True), ((3, 4),), lambda t, a: a.amin(1, True)),
    Case("max-dim", lambda a: a.max(dim=1).values, ((3, 4),), lambda t, a: a.max(1).values),
    Case("min-dim-keep", lambda a: a.min(dim=0, keepdim=True)[0], ((3, 4),), lambda t, a: a.min(0, True)[0]),
    Case("var", lambda a: a.var(), ((3, 4),), lambda t, a: a.var()),
    Case("var-axis", lambda a: a.var(axis=0, correction=0), ((3, 4),), lambda t, a: a.var(0, correction=0)),
    Case("var-axes", lambda a: a.var(axis=(0, 2)), ((3, 4, 2),), lambda t, a: a.var((0, 2))),
    # --- shapes ---------------------------------------------------------------------------------------------------
    Case("reshape", lambda a: a.reshape(2, -1) * 2, ((3, 4),), lambda t, a: a.reshape(2, -1) * 2),
    Case("flatten", lambda a: a.flatten(1), ((2, 3, 4),), lambda t, a: a.flatten(1)),
    Case("transpose", lambda a: a.transpose(), ((2, 3, 4),), lambda t, a: a.permute(2, 1, 0)),
    Case("transpose-axes", lambda a: a.transpose(1, 2, 0), ((2, 3, 4),), lambda t, a: a.permute(1, 2, 0)),
    Case("transpose-two", lambda a: a.transpose(0, -1), ((2, 3, 4),), lambda t, a: a.transpose(0, -1)),
    Case("T", lambda a: a.T, ((3, 4),), lambda t, a: a.T),
    Case("getitem-int", lambda a: a[1], ((3, 4),), lambda t, a: a[1]),
    Case("getitem-slice", lambda a: a[1:, ::2], ((3, 4),), lambda t, a: a[1:, ::2]),
    Case("getitem-newaxis", lambda a: a[:, None, ..., 0], ((3, 4),), lambda t, a: a[:, None, ..., 0]),
    Case("getitem-array", lambda a: a[np.array([2, 0, 2, 2])], ((3, 4),), lambda t, a: a[[2, 0, 2, 2]]),
    Case("getitem-pairs", lambda a: a[[0, 1, 2], [1, 0, 3]], ((3, 4),), lambda t, a: a[[0, 1, 2], [1, 0, 3]]),
    Case("getitem-mask", lambda a: a[FLAGS], ((2, 3),), lambda t, a: a[t.as_tensor(FLAGS)]),
    Case("getitem-empty", lambda a: a[3:], ((3, 4),), lambda t, a: a[3:]),
    Case("concatenate", lambda a, b: F.concatenate([a, b], axis=1), ((3, 4), (3, 2)), lambda t, a, b: t.cat([a, b], 1)),
    Case("stack", lambda a, b: F.stack([a, b], axis=1), ((3, 4), (3, 4)), lambda t, a, b: t.stack([a, b], 1)),
    Case("unbind", lambda a: 2 * F.unbind(a)[0] + F.unbind(a)[2], ((3, 4),), lambda t, a: 2 * a[0] + a[2]),
    Case("unbind-axis", lambda a: F.unbind(a, -1)[1], ((3, 4),), lambda t, a: a.unbind(-1)[1]),
    Case("flatten-range", lambda a: a.flatten(1, 2), ((2, 3, 4, 2),), lambda t, a: a.flatten(1, 2)),
    Case("sum-no-axes", lambda a: a.sum(axis=-1, keepdims=True), ((),), lambda t, a: a.sum(-1, True)),
    Case("unbind-all", _unbound_slices, ((3, 4),), lambda t, a: (a[0] * a[1]) * a[2]),
    Case("broadcast_to", lambda a: F.broadcast_to(a, (2, 3, 4)), ((3, 1),), lambda t, a: t.broadcast_to(a, (2, 3, 4))),
    # --- PyTorch's names ------------------------------------------------------------------------------------------
    Case("std", lambda a: a.std(), ((3, 4),), lambda t, a: a.std()),
    Case("std-dim", lambda a: a.std(dim=1, keepdim=True), ((3, 4),), lambda t, a: a.std(1, keepdim=True)),
    Case("std-biased", lambda a: a.std(axis=0, correction=0), ((3, 4),), lambda t, a: a.std(0, correction=0)),
    Case("norm", lambda a: a.norm(), ((3, 4),), lambda t, a: a.norm()),
    Case("norm-dim", lambda a: a.norm(dim=-1, keepdim=True), ((2, 3, 4),), lambda t, a: a.norm(dim=-1, keepdim=True)),
    Case("norm-1", lambda a: a.norm(1, dim=0), ((3, 4),), lambda t, a: a.norm(1, dim=0)),
    Case("norm-3", lambda a: a.norm(3, dim=0), ((3, 4),), lambda t, a: a.norm(3, dim=0)),
    Case("norm-inf", lambda a: a.norm(float("inf")), ((3, 4),), lambda t, a: a.norm(float("inf"))),
    Case("prod", lambda a: a.prod(), ((3, 4),), lambda t, a: a.prod()),
    Case("prod-dim", lambda a: a.prod(dim=1, keepdim=True), ((2, 3, 4),), lambda t, a: a.prod(1, True)),
    Case("cumsum", lambda a: a.cumsum(dim=1), ((2, 3, 4),), lambda t, a: a.cumsum(1)),
    Case("amax", lambda a: a.amax(dim=(0, 2)), ((2, 3, 4),), lambda t, a: a.amax((0, 2))),
    *(
        Case(
            name,
            getattr(Tensor, name),
            (_inside(name),),
            None if name == "digamma" else partial(_torch_function, name),  # whose slope PyTorch has to 1e-9
        )
        for name in FORMULAS
    ),
    Case("logit", lambda a: a.logit(), (_inside("logit"),), lambda t, a: a.logit()),
    Case("logit-eps", lambda a: a.logit(0.2), ((3, 4),), lambda t, a: a.logit(0.2)),
    Case("square", lambda a: a.square(), ((3, 4),), lambda t, a: a.square()),
    Case("reciprocal", lambda a: a.reciprocal(), ((3, 4),), lambda t, a: a.reciprocal(), positive=True),
    Case("frac", lambda a: a.frac(), ((3, 4),), lambda t, a: a.frac()),
    Case("steps", lambda a: a * a.sign() + a.floor(), ((3, 4),), lambda t, a: a * a.sign() + a.floor()),
    Case("remainder", lambda a, b: a % b, ((3, 4), (4,)), lambda t, a, b: a % b, positive=True),
    Case("clone", lambda a: 2 * a.clone(), ((3, 4),), lambda t, a: 2 * a.clone()),
    Case("squeeze", lambda a: a.unsqueeze(1).squeeze() * 2, ((3, 4),), lambda t, a: a.unsqueeze(1).squeeze() * 2),
    Case("expand", lambda a: a.expand(2, -1, 4), ((3, 1),), lambda t, a: a.expand(2, -1, 4)),
    Case("repeat", lambda a: a.repeat(2, 1, 3), ((3, 4),), lambda t, a: a.repeat(2, 1, 3)),
    Case("flip", lambda a: a.flip(0, 2), ((2, 3, 4),), lambda t, a: a.flip(0, 2)),
    Case("tril", lambda a: a.tril(-1), ((2, 3, 4),), lambda t, a: a.tril(-1)),
    Case("diagonal", lambda a: a.diagonal(1, -2, -1), ((2, 3, 4),), lambda t, a: a.diagonal(1, -2, -1)),
    Case("diag", lambda a: a.diag(-1), ((3,),), lambda t, a: a.diag(-1)),
    Case("split", lambda a: a.split([1, 3], dim=1)[1], ((3, 4),), lambda t, a: a.split([1, 3], dim=1)[1]),
    Case("gather", lambda a: a.gather(0, PLACES), ((3, 4),), lambda t, a: a.gather(0, t.as_tensor(PLACES))),
    Case("sort", lambda a: a.sort(dim=0, descending=True)[0], ((3, 4),), lambda t, a: a.sort(0, descending=True)[0]),
    Case("topk", lambda a: a.topk(2, dim=1).values, ((3, 4),), lambda t, a: a.topk(2, 1).values),
    Case("masked_fill", lambda a: a.masked_fill(FLAGS, 3.0), ((2, 3),), lambda t, a: a.masked_fill(t.tensor(FLAGS), 3)),
    *(
        Case(name, getattr(Tensor, name), ((3, 4), (4,)), partial(_torch_function, name), positive=True)
        for name in PAIR_FORMULAS
    ),
    Case("lerp", lambda a, b: a.lerp(b, 0.3), ((3, 4), (4,)), lambda t, a, b: a.lerp(b.expand(3, 4), 0.3)),
    Case("cross", lambda a, b: a.cross(b, dim=-1), ((4, 3), (4, 3)), lambda t, a, b: a.cross(b, dim=-1)),
    Case(
        "addmm",
        lambda x, a, b: x.addmm(a, b, beta=0.5, alpha=2),
        ((4,), (3, 2), (2, 4)),
        lambda t, x, a, b: x.addmm(a, b, beta=0.5, alpha=2),
    ),
    Case("cumprod", lambda a: a.cumprod(1), ((2, 5, 3),), lambda t, a: a.cumprod(1)),
    Case("cumprod-zeros", lambda a: a.cumprod(0), (np.array([2.0, 0.0, 3.0, 0.0, 5.0]),), lambda t, a: a.cumprod(0)),
    Case("logcumsumexp", lambda a: a.logcumsumexp(-1), ((3, 5),), lambda t, a: a.logcumsumexp(-1)),
    Case("cummax", lambda a: a.cummax(1).values, ((3, 5),), lambda t, a: a.cummax(1).values),
    Case("median", lambda a: a.median(dim=1).values, ((3, 4),), lambda t, a: a.median(1).values),
    Case("quantile", lambda a: a.quantile(0.3, dim=1), ((3, 4),), lambda t, a: a.quantile(0.3, dim=1)),
    Case("diff", lambda a: a.diff(2), ((3, 5),), lambda t, a: a.diff(2)),
    Case("nansum", lambda a: a.nansum(0), ((3, 5),), lambda t, a: a.nansum(0)),
    Case("roll", lambda a: a.roll((1, -2), (0, 1)), ((3, 4),), lambda t, a: a.roll((1, -2), (0, 1))),
    Case("rot90", lambda a: a.rot90(), ((3, 4),), lambda t, a: a.rot90()),
    Case("repeat_interleave", lambda a: a.repeat_interleave(2, 1), ((3, 4),), lambda t, a: a.repeat_interleave(2, 1)),
    Case("unfold-windows", lambda a: a.unfold(1, 3, 2), ((2, 7),), lambda t, a: a.unfold(1, 3, 2)),
    Case("diag_embed", lambda a: a.diag_embed(1), ((2, 3),), lambda t, a: a.diag_embed(1)),
    Case("chunk", lambda a: a.chunk(3, 1)[0] * a.chunk(3, 1)[2], ((2, 6),), lambda t, a: a[:, :2] * a[:, 4:]),
    Case("set-item", _written, ((3, 4), (2,)), lambda t, a, v: _written(a, v)),
    Case(
        "scatter",
        lambda a, v: a.scatter(0, APART, v),
        ((3, 4), (2, 4)),
        lambda t, a, v: a.scatter(0, t.as_tensor(APART), v),
    ),
    *(
        Case(
            f"scatter_reduce-{how}-{included}",
            lambda a, v, how=how, included=included: a.scatter_reduce(0, PLACES, v, how, include_self=included),
            ((3, 4), (2, 4)),
            lambda t, a, v, how=how, included=included: a.scatter_reduce(
                0, t.as_tensor(PLACES), v, how, include_self=included
            ),
        )
        for how in ("sum", "prod", "mean", "amax", "amin")
        for included in (True, False)
    ),
    Case("cov", lambda a: a.cov(correction=0), ((3, 5),), lambda t, a: a.cov(correction=0)),
    Case(
        "cov-weights",
        lambda a: a.cov(
            fweights=dl.tensor([1, 2, 0, 1, 3]), aweights=dl.tensor([0.5, 1, 2, 1, 0.25]).to(dtype=a.dtype)
        ),
        ((3, 5),),
        lambda t, a: a.cov(fweights=t.tensor([1, 2, 0, 1, 3]), aweights=t.tensor([0.5, 1, 2, 1, 0.25], dtype=a.dtype)),
    ),
    Case("corrcoef", lambda a: a.corrcoef()[0], ((3, 5),), lambda t, a: a.corrcoef()[0]),
    Case(
        "scatter_add",
        lambda a, v: a.scatter_add(0, PLACES, v),
        ((3, 4), (2, 4)),
        lambda t, a, v: a.scatter_add(0, t.as_tensor(PLACES), v),
    ),
    Case(
        "index_add",
        lambda a, v: a.index_add(0, np.array([1, 1]), v),
        ((3, 4), (2, 4)),
        lambda t, a, v: a.index_add(0, t.tensor([1, 1]), v),
    ),
    # --- products and matrices ------------------------------------------------------------------------------------
    Case("matmul", lambda a, b: a @ b, ((3, 4), (4, 2)), lambda t, a, b: a @ b),
    Case("matmul-vectors", lambda a, b: a @ b, ((4,), (4,)), lambda t, a, b: a @ b),
    Case("matmul-matrix-vector", lambda a, b: a @ b, ((3, 4), (4,)), lambda t, a, b: a @ b),
    Case("matmul-vector-matrix", lambda a, b: a @ b, ((4,), (4, 2)), lambda t, a, b: a @ b),
    Case("matmul-batch", lambda a, b: a @ b, ((2, 3, 4), (4, 5)), lambda t, a, b: a @ b),
    Case("matmul-batch-broadcast", lambda a, b: a @ b, ((2, 1, 3, 4), (3, 4, 5)), lambda t, a, b: a @ b),
    Case("matmul-vector-batch", lambda a, b: a @ b, ((4,), (2, 4, 5)), lambda t, a, b: a @ b),
    Case("matmul-batch-vector", lambda a, b: a @ b, ((2, 3, 4), (4,)), lambda t, a, b: a @ b),
    Case("matmul-empty", lambda a, b: a @ b, ((0, 4), (4, 2)), lambda t, a, b: a @ b),
    Case("linear", F.linear, ((3, 4), (2, 4), (2,)), lambda t, x, w, b: t.nn.functional.linear(x, w, b)),
    Case("linear-no-bias", F.linear, ((3, 4), (2, 4)), lambda t, x, w: t.nn.functional.linear(x, w)),
    Case("linear-sequence", F.linear, ((2, 5, 4), (3, 4), (3,)), lambda t, x, w, b: t.nn.functional.linear(x, w, b)),
    Case(
        "linear_relu",
        linear_relu,
        ((3, 5, 4), (2, 4), (2,)),
        lambda t, x, w, b: t.nn.functional.linear(x, w, b).relu(),
    ),
    Case(
        "linear_gelu_tanh",
        linear_gelu_tanh,
        ((3, 5, 4), (8, 4), (8,)),
        lambda t, x, w, b: t.nn.functional.gelu(t.nn.functional.linear(x, w, b), approximate="tanh"),
    ),
    Case("linear-empty", F.linear, ((0, 4), (2, 4), (2,)), lambda t, x, w, b: t.nn.functional.linear(x, w, b)),
    Case(
        "einsum",
        lambda a, b, c: dl.einsum("bij,bkj,k->ib", a, b, c),
        ((2, 3, 4), (2, 5, 4), (5,)),
        lambda t, a, b, c: t.einsum("bij,bkj,k->ib", a, b, c),
    ),
    Case("einsum-diagonal", lambda a: dl.einsum("ii->i", a), ((3, 3),), lambda t, a: t.einsum("ii->i", a)),
    Case(
        "einsum-ellipsis",
        lambda a, b: dl.einsum("...ij,...jk", a, b),
        ((2, 3, 4), (4, 5)),
        lambda t, a, b: t.einsum("...ij,...jk", a, b),
    ),
    Case(
        "tensordot",
        lambda a, b: dl.tensordot(a, b, ([1], [0])),
        ((3, 4), (4, 2)),
        lambda t, a, b: t.tensordot(a, b, ([1], [0])),
    ),
    Case("kron", dl.kron, ((2, 3), (3, 2)), lambda t, a, b: t.kron(a, b)),
    Case("cdist", dl.cdist, ((2, 5, 3), (4, 3)), lambda t, a, b: t.cdist(a, b)),
    Case(
        "cdist-product",
        lambda a, b: dl.cdist(a, b, 2.0, "use_mm_for_euclid_dist"),
        ((5, 3), (4, 3)),
        lambda t, a, b: t.cdist(a, b, compute_mode="use_mm_for_euclid_dist"),
    ),
    Case("trace", F.trace, ((3, 3),), lambda t, a: t.trace(a)),
    Case("inv", dl.linalg.inv, (np.stack([_spd(3), _spd(4)[:3, :3]]),), lambda t, a: t.linalg.inv(a)),
    Case("det", dl.linalg.det, ((2, 3, 3),), lambda t, a: t.linalg.det(a)),
    Case("det-singular", dl.linalg.det, (np.arange(9.0).reshape(3, 3),)),  # PyTorch gives a gradient of 0
    Case("slogdet", lambda a: dl.linalg.slogdet(a).logabsdet, ((3, 3),), lambda t, a: t.linalg.slogdet(a)[1]),
    Case(
        "cholesky",
        lambda a: dl.linalg.cholesky(a @ a.mT + 3 * dl.eye(3, dtype=a.dtype)),
        ((2, 3, 3),),
        lambda t, a: t.linalg.cholesky(a @ a.mT + 3 * t.eye(3, dtype=a.dtype)),
    ),
    Case("eigh", _by_eigenvectors, ((4, 4),), lambda t, a: _by_eigenvectors(a, t.linalg)),
    Case("svd", _by_singular_vectors, ((5, 3),), lambda t, a: _by_singular_vectors(a, t.linalg)),
    Case("svd-wide", _by_singular_vectors, ((2, 3, 5),), lambda t, a: _by_singular_vectors(a, t.linalg)),
    Case("qr", lambda a: dl.linalg.qr(a).Q @ dl.linalg.qr(a).R.abs(), ((5, 3),), _torch_qr),
    Case("pinv", dl.linalg.pinv, ((5, 3),), lambda t, a: t.linalg.pinv(a)),
    Case("norm-nuc", lambda a: dl.linalg.norm(a, "nuc"), ((4, 3),), lambda t, a: t.linalg.norm(a, "nuc")),
    Case("solve-batch", dl.linalg.solve, (_spd(3), (2, 3, 2)), lambda t, a, b: t.linalg.solve(a, b)),
    Case("logdet", F.logdet, (_spd(3),), lambda t, a: t.logdet(a)),
    Case("solve", F.solve, (_spd(3), (3, 2)), lambda t, a, b: t.linalg.solve(a, b)),
    # --- the derivatives of lecture 2 -----------------------------------------------------------------------------
    Case("lecture-inner-product", lambda a, x: a @ x, ((4,), (4,)), lambda t, a, x: a @ x),
    Case("lecture-quadratic-form", lambda x, a: x @ a @ x, ((4,), (4, 4)), lambda t, x, a: x @ a @ x),
    Case(
        "lecture-least-squares",
        lambda a, x, b: ((a @ x - b) ** 2).sum(),
        ((5, 3), (3,), (5,)),
        lambda t, a, x, b: ((a @ x - b) ** 2).sum(),
    ),
    Case("lecture-trace-product", lambda a, b: F.trace(a @ b), ((3, 4), (4, 3)), lambda t, a, b: t.trace(a @ b)),
    Case(
        "lecture-trace-quadratic",
        lambda a, b: F.trace(a @ b @ a.T),
        ((3, 4), (4, 4)),
        lambda t, a, b: t.trace(a @ b @ a.T),
    ),
    Case(
        "lecture-gaussian-likelihood",
        lambda s, d: F.logdet(s) + (d * F.solve(s, d)).sum(),
        (_spd(3), (3, 2)),
        lambda t, s, d: t.logdet(s) + (d * t.linalg.solve(s, d)).sum(),
    ),
    # --- activations ----------------------------------------------------------------------------------------------
    *(Case(name, getattr(F, name), ((3, 4),), partial(_torch_activation, name)) for name in nn.ACTIVATIONS),
    Case("leaky_relu-0.1", lambda x: F.leaky_relu(x, 0.1), ((3, 4),), lambda t, x: t.nn.functional.leaky_relu(x, 0.1)),
    Case("elu-0.7", lambda x: F.elu(x, 0.7), ((3, 4),), lambda t, x: t.nn.functional.elu(x, 0.7)),
    Case(
        "softplus-beta",
        lambda x: F.softplus(x, beta=3.0, threshold=0.2),
        ((3, 4),),
        lambda t, x: t.nn.functional.softplus(x, beta=3.0, threshold=0.2),
    ),
    Case(
        "gelu-tanh",
        lambda x: F.gelu(x, approximate="tanh"),
        ((3, 4),),
        lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    ),
    *[
        Case(
            f"{name}-settings",
            lambda x, name=name, settings=settings: getattr(F, name)(x, *settings),
            ((4, 5),),
            lambda t, x, name=name, settings=settings: getattr(t.nn.functional, name)(x, *settings),
        )
        for name, settings in {
            "celu": (0.5,),  # of 0.4 PyTorch's gradient has float32's digits
            "hardtanh": (-0.3, 0.8),
            "softshrink": (0.2,),
            "hardshrink": (0.2,),
            "threshold": (0.1, -2.0),
            "softplus": (2.0, 1.0),
            "rrelu": (0.1, 0.5),
        }.items()
    ],
    Case("rrelu-training", lambda x: F.rrelu(x, 0.2, 0.2, True), ((4, 5),), lambda t, x: t.where(x > 0, x, 0.2 * x)),
    Case("glu", F.glu, ((3, 4),), lambda t, x: t.nn.functional.glu(x)),
    Case("glu-dim", lambda x: F.glu(x, 1), ((2, 4, 3),), lambda t, x: t.nn.functional.glu(x, 1)),
    Case("prelu", F.prelu, ((5, 3), (3,)), lambda t, x, w: t.nn.functional.prelu(x, w)),
    Case("prelu-one", F.prelu, ((2, 3, 4), (1,)), lambda t, x, w: t.nn.functional.prelu(x, w)),
    Case("softmin", F.softmin, ((3, 4),), lambda t, x: t.nn.functional.softmin(x, -1)),
    Case("relu-empty", F.relu, ((0, 3),), lambda t, x: t.relu(x)),
    # --- softmax and losses ---------------------------------------------------------------------------------------
    Case("softmax", F.softmax, ((3, 4),), lambda t, x: t.softmax(x, -1)),
    Case("softmax-axis", lambda x: F.softmax(x, axis=1), ((2, 3, 4),), lambda t, x: t.softmax(x, 1)),
    Case("log_softmax", F.log_softmax, ((3, 4),), lambda t, x: t.log_softmax(x, -1)),
    Case("logsumexp", lambda x: F.logsumexp(x, axis=0), ((3, 4),), lambda t, x: t.logsumexp(x, 0)),
    Case(
        "logsumexp-axes",
        lambda x: F.logsumexp(x, (0, 2), True),
        ((3, 4, 2),),
        lambda t, x: x.logsumexp((0, 2), keepdim=True),
    ),
    Case("softmax-no-axes", lambda x: F.softmax(x, axis=0), ((),), lambda t, x: t.softmax(x, 0)),
    Case("softmax-empty", F.softmax, ((0, 3),), lambda t, x: t.softmax(x, -1)),
    Case(
        "cross_entropy",
        lambda z: F.cross_entropy(z, LABELS),
        ((5, 3),),
        lambda t, z: t.nn.functional.cross_entropy(z, t.as_tensor(LABELS)),
    ),
    Case(
        "cross_entropy-smoothed",
        lambda z: F.cross_entropy(z, LABELS, label_smoothing=0.2),
        ((5, 3),),
        lambda t, z: t.nn.functional.cross_entropy(z, t.as_tensor(LABELS), label_smoothing=0.2),
    ),
    Case(
        "cross_entropy-sequence",
        lambda z: F.cross_entropy(z, LABELS[:4].reshape(2, 2)),
        ((2, 2, 3),),
        lambda t, z: t.nn.functional.cross_entropy(z.reshape(4, 3), t.as_tensor(LABELS[:4])),
    ),
    *[
        Case(
            f"cross_entropy-weights-{reduction}",
            lambda z, reduction=reduction: F.cross_entropy(
                z, LABELS, weight=[0.5, 2.0, 1.0], ignore_index=1, reduction=reduction, label_smoothing=0.1
            ),
            ((5, 3),),
            lambda t, z, reduction=reduction: t.nn.functional.cross_entropy(
                z,
                t.as_tensor(LABELS),
                t.tensor([0.5, 2.0, 1.0], dtype=z.dtype),
                ignore_index=1,
                reduction=reduction,
                label_smoothing=0.1,
            ),
        )  # fmt: skip
        for reduction in ("mean", "sum", "none")
    ],
    Case(
        "cross_entropy-probabilities",
        lambda z, p: F.cross_entropy(z, p, label_smoothing=0.2),
        ((5, 3), (5, 3)),
        lambda t, z, p: t.nn.functional.cross_entropy(z, p, label_smoothing=0.2),
    ),
    Case(
        "multiclass_hinge",
        lambda s: F.multiclass_hinge(s, LABELS),
        ((5, 3),),
        lambda t, s: 3 * t.nn.functional.multi_margin_loss(s, t.as_tensor(LABELS)),
    ),
    Case(
        "mse_loss",
        lambda y: F.mse_loss(y, np.ones((3, 2))),
        ((3, 2),),
        lambda t, y: t.nn.functional.mse_loss(y, t.ones(3, 2, dtype=y.dtype)),
    ),
    *[
        Case(
            f"mse_loss-{reduction}",
            lambda y, x, reduction=reduction: F.mse_loss(y, x, reduction=reduction),
            ((3, 2), (3, 2)),
            lambda t, y, x, reduction=reduction: t.nn.functional.mse_loss(y, x, reduction=reduction),
        )
        for reduction in ("sum", "none")
    ],
    *[
        Case(
            f"{name}-{number}-{reduction}",
            partial(_loss, name, {**settings, "reduction": reduction}),
            inputs,
            partial(_torch_loss, name, {**settings, "reduction": reduction}),
        )
        for number, (name, inputs, settings) in enumerate(LOSSES)
        for reduction in ("mean", "none")
    ],
    Case(
        "kl_div-batchmean",
        lambda x, y: F.kl_div(x, y, reduction="batchmean"),
        ((3, 4), (3, 4)),
        lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="batchmean"),
        positive=True,
    ),
    *[
        Case(
            f"ctc_loss-{reduction}",
            lambda z, reduction=reduction: F.ctc_loss(
                F.log_softmax(z), TEXTS, [5, 4, 5], [2, 0, 3], 1, reduction, zero_infinity=True
            ),
            ((3, 5, 4),),
            lambda t, z, reduction=reduction: t.nn.functional.ctc_loss(
                z.log_softmax(-1).transpose(0, 1), t.tensor(TEXTS), (5, 4, 5), (2, 0, 3), 1, reduction, True
            ),
        )
        for reduction in ("mean", "sum", "none")
    ],
    Case("half_sse", lambda y: F.half_sse(y, np.ones((3, 2))), ((3, 2),), lambda t, y: 0.5 * ((y - 1) ** 2).sum()),
    Case(
        "gaussian_nll",
        lambda o: F.gaussian_nll(o, np.ones((3, 2))),
        ((3, 4),),
        lambda t, o: (
            2
            * t.nn.functional.gaussian_nll_loss(
                o[:, :2], t.ones(3, 2, dtype=o.dtype), (2 * o[:, 2:]).exp(), full=True, eps=1e-12
            )
        ),
    ),
    *[
        Case(
            f"gaussian_log_density-{copies}",
            F.gaussian_log_density,
            ((5, 3), (2, 3), np.stack([_spd(3), _spd(4)[:3, :3]])[:copies]),
            lambda t, x, m, f: t.distributions.MultivariateNormal(m, scale_tril=f.tril()).log_prob(x[:, None]),
        )
        for copies in (1, 2)
    ],
    Case(
        "gaussian_log_density",
        F.gaussian_log_density,
        ((5, 3), (2, 3), np.stack([np.linalg.cholesky(_spd(3)), np.eye(3)])),
        lambda t, x, m, factors: t.stack([_torch_log_density(t, x, m[c], factors[c]) for c in range(2)], 1),
    ),
    Case(
        "gaussian_log_density-shared",
        F.gaussian_log_density,
        ((5, 3), (2, 3), np.linalg.cholesky(_spd(3))[None]),
        lambda t, x, m, factors: t.stack([_torch_log_density(t, x, m[c], factors[0]) for c in range(2)], 1),
    ),
    # --- images -------------------------------------------------------------------------------------------------
    Case("conv2d", F.conv2d, ((2, 5, 6, 3), (4, 3, 3, 3), (4,)), lambda t, x, w, b: _torch_conv(t, x, w, b)),
    Case("conv2d-no-bias", F.conv2d, ((2, 5, 6, 3), (4, 1, 1, 3)), lambda t, x, w: _torch_conv(t, x, w, None)),
    Case(
        "conv2d-stride-padding",
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
        ((2, 6, 5, 3), (4, 3, 3, 3), (4,)),
        lambda t, x, w, b: _torch_conv(t, x, w, b, stride=2, padding=1),
    ),
    Case(
        "conv2d-dilation-uneven",
        lambda x, w: F.conv2d(x, w, stride=(1, 2), padding=(2, 1), dilation=(2, 1)),
        ((2, 6, 5, 2), (3, 3, 2, 2)),
        lambda t, x, w: _torch_conv(t, x, w, None, stride=(1, 2), padding=(2, 1), dilation=(2, 1)),
    ),
    Case(
        "conv2d-groups",
        lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2),
        ((2, 4, 4, 4), (6, 3, 3, 2), (6,)),
        lambda t, x, w, b: _torch_conv(t, x, w, b, padding=1, groups=2),
    ),
    Case(
        "conv2d_relu",
        lambda x, w, b: conv2d_relu(x, w, b, stride=(1, 2), padding=1),
        ((2, 6, 5, 3), (4, 3, 3, 3), (4,)),
        lambda t, x, w, b: _torch_conv(t, x, w, b, stride=(1, 2), padding=1).relu(),
    ),
    Case(
        "conv2d-depthwise-same",
        lambda x, w, b: F.conv2d(x, w, b, padding="same", dilation=(2, 1), groups=4),
        ((2, 5, 6, 4), (8, 3, 4, 1), (8,)),
        lambda t, x, w, b: _torch_conv(t, x, w, b, padding="same", dilation=(2, 1), groups=4),
    ),
    Case(
        "conv1d",
        lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=1, dilation=2, groups=2),
        ((2, 9, 4), (6, 3, 2), (6,)),
        lambda t, x, w, b: _torch_conv(t, x, w, b, "conv1d", stride=2, padding=1, dilation=2, groups=2),
    ),
    Case(
        "conv1d_relu",
        lambda x, w, b: conv1d_relu(x, w, b, padding="same"),
        ((2, 7, 4), (3, 4, 4), (3,)),
        lambda t, x, w, b: _torch_conv(t, x, w, b, "conv1d", padding="same").relu(),
    ),
    *[
        Case(
            f"conv_transpose2d-{number}",
            lambda x, w, *b, settings=settings: F.conv_transpose2d(x, w, *b, **settings),
            ((2, 3, 4, 4), (4, 3, 2, 2), *([(2 * settings.get("groups", 1),)] if number else [])),
            lambda t, x, w, b=None, settings=settings: _torch_conv(t, x, w, b, "conv_transpose2d", **settings),
        )
        for number, settings in enumerate(
            [
                {},
                {"stride": 2, "padding": (1, 0), "output_padding": 1},
                {"stride": (1, 3), "padding": 1, "dilation": 2, "groups": 2},
                {"stride": (2, 1), "output_padding": (2, 2), "dilation": 3},
            ]
        )
    ],
    Case(
        "conv_transpose1d",
        lambda x, w, b: F.conv_transpose1d(x, w, b, 3, 1, 2, 2, 2),
        ((2, 4, 4), (4, 3, 3), (6,)),
        lambda t, x, w, b: _torch_conv(
            t, x, w, b, "conv_transpose1d", stride=3, padding=1, output_padding=2, groups=2, dilation=2
        ),
    ),
    *[
        Case(
            f"pad-{mode}",
            lambda x, mode=mode: F.pad(x, (0, 0, 2, 1, 0, 3), mode),
            ((2, 4, 5, 3),),
            lambda t, x, mode=mode: t.nn.functional.pad(x.movedim(-1, 1), (2, 1, 0, 3), mode).movedim(1, -1),
        )
        for mode in ("constant", "reflect", "replicate", "circular")
    ],
    Case(
        "pad-negative",
        lambda x: F.pad(x, (2, -1, -1, 0), value=1.5),
        ((2, 4, 5),),
        lambda t, x: t.nn.functional.pad(x, (2, -1, -1, 0), value=1.5),
    ),
    Case("conv2d-empty", F.conv2d, ((0, 5, 6, 3), (4, 3, 3, 3), (4,)), lambda t, x, w, b: _torch_conv(t, x, w, b)),
    Case("max_pool2d", lambda x: F.max_pool2d(x, 2), ((2, 5, 4, 3),), lambda t, x: _torch_pool(t, "max_pool2d", x, 2)),
    Case(
        "max_pool2d-overlapping",
        lambda x: F.max_pool2d(x, 3, stride=2, padding=1),
        ((2, 6, 5, 3),),
        lambda t, x: _torch_pool(t, "max_pool2d", x, 3, stride=2, padding=1),
    ),
    Case("avg_pool2d", lambda x: F.avg_pool2d(x, 2), ((2, 5, 4, 3),), lambda t, x: _torch_pool(t, "avg_pool2d", x, 2)),
    Case(
        "avg_pool2d-overlapping",
        lambda x: F.avg_pool2d(x, (3, 2), stride=2, padding=1),
        ((2, 6, 5, 3),),
        lambda t, x: _torch_pool(t, "avg_pool2d", x, (3, 2), stride=2, padding=1),
    ),
    Case(
        "max_pool2d-dilated-ceil",
        lambda x: F.max_pool2d(x, (3, 2), 2, 1, (2, 1), ceil_mode=True),
        ((2, 9, 6, 3),),
        lambda t, x: _torch_pool(t, "max_pool2d", x, (3, 2), 2, 1, (2, 1), ceil_mode=True),
    ),
    Case(
        "avg_pool2d-ceil",
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
        ((2, 6, 5, 3),),
        lambda t, x: _torch_pool(t, "avg_pool2d", x, 3, 2, 1, ceil_mode=True),
    ),
    Case(
        "avg_pool2d-without-padding",
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        ((2, 6, 5, 3),),
        lambda t, x: _torch_pool(t, "avg_pool2d", x, 3, 2, 1, count_include_pad=False),
    ),
    Case(
        "max_pool1d",
        lambda x: F.max_pool1d(x, 3, 2, 1, 2, ceil_mode=True),
        ((2, 9, 3),),
        lambda t, x: _torch_pool(t, "max_pool1d", x, 3, 2, 1, 2, ceil_mode=True),
    ),
    Case(
        "avg_pool1d",
        lambda x: F.avg_pool1d(x, 3, 2, 1, True, False),
        ((2, 6, 3),),
        lambda t, x: _torch_pool(t, "avg_pool1d", x, 3, 2, 1, True, False),
    ),
    *[
        Case(
            f"adaptive_{kind}_pool{axes}d-{size}",
            lambda x, kind=kind, axes=axes, size=size: getattr(F, f"adaptive_{kind}_pool{axes}d")(x, size),
            ((2, *(6, 5)[:axes], 3),),
            lambda t, x, kind=kind, axes=axes, size=size: _torch_pool(t, f"adaptive_{kind}_pool{axes}d", x, size),
        )
        for kind in ("avg", "max")
        for axes, size in [(1, 4), (2, 1), (2, (3, 5)), (2, (4, 7)), (2, (None, 2))]
    ],
    *[
        Case(
            f"interpolate-{number}-{settings.get('mode', 'nearest')}",
            lambda x, settings=settings: F.interpolate(x, **settings),
            ((2, *(4, 5)[: 1 if settings.get("mode") == "linear" else 2], 3),),
            lambda t, x, settings=settings: t.nn.functional.interpolate(x.movedim(-1, 1), **settings).movedim(1, -1),
        )
        for number, settings in enumerate(
            [
                {"scale_factor": 2},
                {"size": (7, 3)},
                {"size": 7, "mode": "nearest-exact"},
                {"scale_factor": 2.3, "mode": "linear"},
                {"size": 7, "mode": "linear", "align_corners": True},
                {"scale_factor": (2, 0.6), "mode": "bilinear"},
                {"scale_factor": 2.3, "mode": "bilinear", "recompute_scale_factor": True},
                {"size": (9, 1), "mode": "bilinear", "align_corners": True},
                {"size": (9, 4), "mode": "bicubic"},
                {"size": (3, 7), "mode": "area"},
            ]
        )
    ],
    Case(
        "pixel_shuffle",
        lambda x: F.pixel_shuffle(x, 2),
        ((2, 3, 4, 8),),
        lambda t, x: t.nn.functional.pixel_shuffle(x.movedim(-1, 1), 2).movedim(1, -1),
    ),
    Case(
        "pixel_unshuffle",
        lambda x: F.pixel_unshuffle(x, 2),
        ((2, 4, 6, 3),),
        lambda t, x: t.nn.functional.pixel_unshuffle(x.movedim(-1, 1), 2).movedim(1, -1),
    ),
    Case(
        "unfold-images",
        lambda x: F.unfold(x, (3, 2), (1, 2), 1, 2),
        ((2, 5, 6, 3),),
        lambda t, x: t.nn.functional.unfold(x.movedim(-1, 1), (3, 2), (1, 2), 1, 2).movedim(1, -1),
    ),
    Case(
        "fold",
        lambda x: F.fold(x, (5, 6), (3, 2), (1, 2), 1, 2),
        ((2, 9, 18),),
        lambda t, x: t.nn.functional.fold(x.movedim(-1, 1), (5, 6), (3, 2), (1, 2), 1, 2).movedim(1, -1),
    ),
    Case("global_avg_pool2d", F.global_avg_pool2d, ((2, 5, 4, 3),), lambda t, x: x.mean((1, 2))),
    Case("add_relu", add_relu, ((3, 4), (3, 4)), lambda t, a, b: t.relu(a + b)),
    Case(
        "downsample_shortcut",
        lambda x: downsample_shortcut(x, 2, 5),
        ((2, 5, 4, 3),),
        lambda t, x: t.nn.functional.pad(x[:, ::2, ::2], (0, 2)),
    ),
    # --- normalization --------------------------------------------------------------------------------------------
    Case(
        "batch_norm",
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        ((6, 3), (3,), (3,)),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
    ),
    Case(
        "batch_norm-images",
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-3),
        ((2, 3, 4, 5), (5,), (5,)),
        lambda t, x, w, b: t.nn.functional.batch_norm(
            x.permute(0, 3, 1, 2), None, None, w, b, training=True, eps=1e-3
        ).permute(0, 2, 3, 1),
    ),
    Case(
        "batch_norm-relu",
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True, relu=True),
        ((6, 3), (3,), (3,)),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True).relu(),
    ),
    Case(
        "batch_norm-add-relu",
        lambda x, w, b, r: F.batch_norm(x, None, None, w, b, True, relu=True, residual=r),
        ((6, 3), (3,), (3,), (6, 3)),
        lambda t, x, w, b, r: (t.nn.functional.batch_norm(x, None, None, w, b, training=True) + r).relu(),
    ),
    Case(
        "batch_norm-of-ranks",
        lambda x, w, b, r: apply(SyncBatchNorm(1e-5, None, True), x, w, b, r),
        ((6, 3), (3,), (3,), (6, 3)),
        lambda t, x, w, b, r: (t.nn.functional.batch_norm(x, None, None, w, b, training=True) + r).relu(),
    ),
    Case(
        "batch_norm-add-relu-used-thrice",
        lambda x, w, b, r: (lambda y: y * y + 3 * y)(F.batch_norm(x, None, None, w, b, True, relu=True, residual=r)),
        ((2, 3, 2, 4), (4,), (4,), (2, 3, 2, 4)),
        lambda t, x, w, b, r: (lambda y: y * y + 3 * y)(
            (
                t.nn.functional.batch_norm(x.permute(0, 3, 1, 2), None, None, w, b, training=True).permute(0, 2, 3, 1)
                + r
            ).relu()
        ),
    ),
    Case(
        "layer_norm",
        lambda x, w, b: F.layer_norm(x, w.shape, w, b),
        ((2, 3, 5), (5,), (5,)),
        lambda t, x, w, b: t.nn.functional.layer_norm(x, (5,), w, b),
    ),
    Case(
        "layer_norm-of-what-is-used-elsewhere",
        lambda x, w, b: (lambda h: h * 3 + F.layer_norm(h, w.shape, w, b) * F.layer_norm(h, w.shape, b, w) + h * h)(
            x + 1
        ),
        ((2, 3, 5), (5,), (5,)),
        lambda t, x, w, b: (lambda h, norm: h * 3 + norm(h, (5,), w, b) * norm(h, (5,), b, w) + h * h)(
            x + 1, t.nn.functional.layer_norm
        ),
    ),
    Case(
        "group_norm",
        lambda x, w, b: F.group_norm(x, 2, w, b),
        ((2, 3, 4, 6), (6,), (6,)),
        lambda t, x, w, b: t.nn.functional.group_norm(x.permute(0, 3, 1, 2), 2, w, b).permute(0, 2, 3, 1),
    ),
    Case(
        "instance_norm",
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-3),
        ((2, 3, 4, 5), (5,), (5,)),
        lambda t, x, w, b: t.nn.functional.instance_norm(x.movedim(-1, 1), weight=w, bias=b, eps=1e-3).movedim(1, -1),
    ),
    Case(
        "rms_norm",
        lambda x, w: F.rms_norm(x, w.shape, w, 1e-3),
        ((2, 3, 5), (5,)),
        lambda t, x, w: t.nn.functional.rms_norm(x, (5,), w, 1e-3),
    ),
    Case("rms_norm-axes", lambda x: F.rms_norm(x, (3, 5)), ((2, 3, 5),), lambda t, x: t.rms_norm(x, (3, 5))),
    Case(
        "local_response_norm",
        lambda x: F.local_response_norm(x, 4, 0.5, 0.6, 1.5),
        ((2, 3, 3, 6),),
        lambda t, x: t.nn.functional.local_response_norm(x.movedim(-1, 1), 4, 0.5, 0.6, 1.5).movedim(1, -1),
    ),
    # --- dropout of everything, distances --------------------------------------------------------------------------
    Case("dropout2d-all", lambda x: F.dropout2d(x, 1.0), ((2, 3, 3, 4),), lambda t, x: 0 * x),
    Case("alpha_dropout-all", lambda x: F.alpha_dropout(x, 1.0, True), ((3, 4),), lambda t, x: 0 * x),
    Case(
        "cosine_similarity",
        lambda a, b: F.cosine_similarity(a, b, dim=-1),
        ((2, 3, 4), (3, 4)),
        lambda t, a, b: t.cosine_similarity(a, b, dim=-1),
    ),
    Case(
        "pairwise_distance",
        lambda a, b: F.pairwise_distance(a, b, 3.0, keepdim=True),
        ((3, 4), (1, 4)),
        lambda t, a, b: t.nn.functional.pairwise_distance(a, b, 3.0, keepdim=True),
    ),
    Case("normalize", F.normalize, ((3, 4),), lambda t, x: t.nn.functional.normalize(x)),
    Case(
        "bilinear",
        F.bilinear,
        ((2, 3, 4), (2, 3, 5), (6, 4, 5), (6,)),
        lambda t, *inputs: t.nn.functional.bilinear(*inputs),
    ),
    # --- sequences ------------------------------------------------------------------------------------------------
    *(
        Case(
            f"embedding_bag-{mode}",
            lambda w, mode=mode: F.embedding_bag(BAGS, w, np.array([0, 3, 3, 7]), mode=mode, padding_idx=1),
            ((5, 2),),
            lambda t, w, mode=mode: t.nn.functional.embedding_bag(
                t.tensor(BAGS), w, t.tensor([0, 3, 3, 7]), mode=mode, padding_idx=1
            ),
        )
        for mode in ("sum", "mean", "max")
    ),
    Case(
        "embedding_bag-weighted",
        lambda w, factors: F.embedding_bag(BAGS.reshape(3, 3), w, mode="sum", per_sample_weights=factors),
        ((5, 2), (3, 3)),
        lambda t, w, factors: t.nn.functional.embedding_bag(
            t.tensor(BAGS.reshape(3, 3)), w, mode="sum", per_sample_weights=factors
        ),
    ),
    *(
        Case(
            f"lp_pool2d-{name}",
            lambda x, p=p, settings=settings: F.lp_pool2d(x, p, *settings),
            ((2, 5, 4, 3),),
            lambda t, x, p=p, settings=settings: _torch_pool(t, "lp_pool2d", x, p, *settings),
            positive=True,
        )
        for name, p, settings in (("2", 2, (2,)), ("odd", 3.0, ((3, 2), 2, True)))
    ),
    Case(
        "lp_pool1d",
        lambda x: F.lp_pool1d(x, 2, 3, 2),
        ((2, 7, 3),),
        lambda t, x: t.nn.functional.lp_pool1d(x.movedim(-1, 1), 2, 3, 2).movedim(1, -1),
        positive=True,
    ),
    *(
        Case(
            f"max_unpool2d-{size}",
            lambda x, size=size: F.max_unpool2d(x, UNPOOLED, (2, 3), (2, 2), (1, 0), size),
            ((1, 2, 2, 2),),
            lambda t, x, size=size: t.nn.functional.max_unpool2d(
                x.movedim(-1, 1), t.tensor(UNPOOLED).movedim(-1, 1), (2, 3), (2, 2), (1, 0), size
            ).movedim(1, -1),
        )
        for size in (None, (3, 6))
    ),
    Case(
        "max_unpool1d",
        lambda x: F.max_unpool1d(x, np.array([[[0, 1], [3, 2]]]), 2),
        ((1, 2, 2),),
        lambda t, x: t.nn.functional.max_unpool1d(x.movedim(-1, 1), t.tensor([[[0, 3], [1, 2]]]), 2).movedim(1, -1),
    ),
    Case(
        "embedding",
        lambda w: F.embedding(np.array([[3, 0, 3], [1, 3, 0]]), w),
        ((4, 5),),
        lambda t, w: t.nn.functional.embedding(t.tensor([[3, 0, 3], [1, 3, 0]]), w),
    ),
    Case(
        "reorder_steps",
        lambda a: reorder_steps(a, BACKWARDS),
        ((2, 5, 3),),
        lambda t, a: t.stack([a[0, BACKWARDS[0]], a[1]]),
    ),
    Case(
        "rnn",
        F.rnn,
        ((2, 4, 3), (2, 5), (5, 3), (5, 5), (5,), (5,)),
        lambda t, *inputs: _torch_recurrent(t, "RNN", inputs),
    ),
    Case(
        "rnn-relu",
        lambda *inputs: F.rnn(*inputs, nonlinearity="relu"),
        ((2, 4, 3), (2, 5), (5, 3), (5, 5), (5,), (5,)),
        lambda t, *inputs: _torch_recurrent(t, "RNN", inputs, nonlinearity="relu"),
    ),
    Case(
        "lstm",
        lambda *inputs: F.lstm(*inputs)[0],
        ((2, 4, 3), (2, 5), (2, 5), (20, 3), (20, 5), (20,), (20,)),
        lambda t, *inputs: _torch_recurrent(t, "LSTM", inputs),
    ),
    Case(
        "lstm-last-cell",
        lambda *inputs: F.lstm(*inputs)[1],
        ((2, 4, 3), (2, 5), (2, 5), (20, 3), (20, 5), (20,), (20,)),
        lambda t, *inputs: _torch_recurrent(t, "LSTM", inputs, cell=True),
    ),
    Case(
        "gru",
        F.gru,
        ((2, 4, 3), (2, 5), (15, 3), (15, 5), (15,), (15,)),
        lambda t, *inputs: _torch_recurrent(t, "GRU", inputs),
    ),
    Case(
        "attention",
        F.scaled_dot_product_attention,
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5)),
        lambda t, *qkv: t.nn.functional.scaled_dot_product_attention(*qkv),
    ),
    Case(
        "rotary",
        lambda x: F.rotary_embedding(x, *(backend.of(x.data).asarray(each) for each in ANGLES)),
        ((2, 3, 4, 6),),
        lambda t, x: _torch_rotary(t, x),
    ),
    Case(
        "attention-causal",
        lambda *qkv: F.scaled_dot_product_attention(*qkv, causal=True),
        ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)),
        lambda t, *qkv: t.nn.functional.scaled_dot_product_attention(*qkv, is_causal=True),
    ),
    Case(
        "attention-mask",
        lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=KEYS),
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5)),
        lambda t, *qkv: t.nn.functional.scaled_dot_product_attention(*qkv, attn_mask=t.as_tensor(KEYS)),
    ),
    Case(
        "attention-bias",
        F.scaled_dot_product_attention,
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5), (3, 4, 6)),
        lambda t, q, k, v, b: t.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=b),
    ),
    Case(
        "attention-bias-dropout",
        lambda *qkvb: _same_draw(lambda: F.scaled_dot_product_attention(*qkvb, causal=True, dropout_p=0.3)),
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5), (4, 6)),
    ),
    Case(
        "attention-one-head",
        lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=KEYS[:, 0]),
        ((2, 4, 5), (2, 6, 5), (2, 6, 5)),
        lambda t, *qkv: t.nn.functional.scaled_dot_product_attention(*qkv, attn_mask=t.as_tensor(KEYS[:, 0])),
    ),
    Case(
        "attention-other-width",
        lambda *qkv: F.scaled_dot_product_attention(*qkv, is_causal=True, scale=0.4),
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7)),
        lambda t, *qkv: t.nn.functional.scaled_dot_product_attention(*qkv, is_causal=True, scale=0.4),
    ),
    Case(
        "attention-weights",
        lambda *qkv: _with_weights(*attend(*qkv, causal=True, weights=True)),
        ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)),
        lambda t, *qkv: _torch_with_weights(t, *qkv, t.full((4, 4), -t.inf, dtype=qkv[0].dtype).triu(1)),
    ),
    Case(
        "attention-weights-bias",
        lambda *qkvb: _with_weights(*attend(*qkvb, weights=True)),
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5), (3, 4, 6)),
        _torch_with_weights,
    ),
    Case(
        "attention-dropout",
        lambda *qkv: _same_draw(lambda: F.scaled_dot_product_attention(*qkv, dropout_p=0.3)),
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5)),
    ),
    # --- random: the gradient check redraws the same mask, being at the same place in the sequence ------------------
    Case("dropout", lambda x: _same_draw(lambda: F.dropout(x, 0.4)), ((6, 5),)),
]


def _same_draw(compute: Callable[[], Tensor]) -> Tensor:
    from dlcourse.backend import random

    random.begin_step(0)
    return compute()
