"""PyTorch's functions of the top level: what its samples, in float64, do not show."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.autograd import Tensor, functions
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

SAME = """
t.bincount(y)              | t.bincount(y, minlength=5) | t.bincount(y, w)           | t.bincount(y, weights=w)
y & 1                      | t.bitwise_or(y, y + 1)     | ~y                         | t.bitwise_xor(y, 3)
t.floor_divide(y, 2)       | t.div(y, -2, rounding_mode='trunc') | t.div(y, -2, rounding_mode='floor') | y.fmod(-2)
t.tril_indices(3, 4, -1)   | t.triu_indices(4, 3)       | t.sin(y)                   | y.sigmoid()
t.einsum('i,i->', w, w)    | t.einsum('i,j', w, w)      | t.einsum('ij->ji', x)      | t.einsum('ij,ij->i', x, x)
t.std_mean(x, dim=1)       | t.aminmax(x)               | t.median(x)                | t.median(x, dim=0)
t.isin(y, t.tensor([0]))   | t.searchsorted(w, 0.5)     | t.bucketize(w, t.tensor([0.0, 1.0])) | t.finfo(t.float16).bits
t.where(x > 0, x, 0.0)     | x.logical_xor(x)           | t.count_nonzero(x, dim=0)  | t.cummax(x, 1)
t.meshgrid(y, y, indexing='xy') | t.cartesian_prod(y, y) | t.combinations(y)         | t.block_diag(x, x)
t.full_like(y, 3)          | t.randint_like(x, 1)   | x.new_full((2,), 7)        | x.new_zeros(2, 3)
x.cumsum(1)                | y.cumsum(0)                | y.cumprod(0)               | t.cumsum(x, dim=1)
x.roll(1)                  | x.roll((1, 1), (0, 1))     | x.moveaxis(0, 1)           | t.moveaxis(x, 0, -1)
x.norm(p=1, dim=1)         | x.norm(0)                  | t.dist(x, x + 1)           | x.trace()
x.argmax(dim=0, keepdim=True) | t.nanmean(x)            | x.quantile(0.5)            | t.kthvalue(x, 1)
t.scatter_add(y, 0, y // 2, y) | y.index_add(0, t.tensor([1, 1]), y[1:]) | y.index_fill(0, t.tensor([0]), -1)
t.fmax(x, x * 0)           | x.sum(dtype=t.float64)     | y.mean(dtype=t.float32)    | t.prod(y, 0, dtype=t.float64)
t.heaviside(w - 0.5, t.tensor(7.0)) | t.histc(x, 4)      | t.histc(w, 3, 0, 1)        | t.corrcoef(w)
t.cov(w)                   | t.cov(x.T) | x.clone().fill_diagonal_(7) | y.scatter_reduce(0, y // 2, y, 'sum')
x.T.clone().fill_diagonal_(7, wrap=True) | t.ones(7, 2).fill_diagonal_(5, wrap=True) | t.lgamma(y) | t.digamma(w)
y.scatter_reduce(0, y // 2, y, 'amax', include_self=False) | y.scatter_reduce(0, y // 2, y, 'prod') | t.corrcoef(x)
t.logsumexp(x, 1)          | x.softmax(-1)              | x.log_softmax(dim=0)       | x.logsumexp(dim=(0, 1))
"""


@pytest.mark.parametrize("line", [part.strip() for row in SAME.strip().splitlines() for part in row.split(" | ")])
def test_a_line_means_what_it_means_in_pytorch(line: str, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    x, y, w = (
        np.random.default_rng(0).normal(size=(2, 3)).astype("f"),
        np.array([3, 0, 2]),
        np.array([0.25, 0.5, 2], "f"),
    )

    def flat(value: Any) -> list:
        if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
            return [one for each in value for one in flat(each)]
        array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
        return [(array, array.dtype)]

    ours, theirs = (
        flat(eval(line, {"t": t} | {n: t.tensor(a) for n, a in zip("xyw", (x, y, w), strict=True)}))
        for t in (dl, torch)
    )
    for (one, kind), (other, their_kind) in zip(ours, theirs, strict=True):
        assert kind == their_kind
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: dl.einsum("ij,jk", x), ArgumentError, "names 2 operands, got 1"),
        (lambda x: dl.einsum("ijk->i", x), ArgumentError, "does not name the 2 axes"),
        (lambda x: dl.einsum("ij->ik", x), ArgumentError, "all of them given before"),
        (lambda x: dl.einsum("i1->i", x), ArgumentError, "other signs than letters"),
        (lambda x: dl.einsum("ij,ij->", x, x.T), ShapeError, "'i' of .* is 2 and 3 long"),
        (lambda x: dl.tensordot(x, x, 1), ShapeError, "different lengths"),
        (lambda x: dl.cdist(x, x.T), ShapeError, "rows of one length"),
        (lambda x: dl.cdist(x, x, compute_mode="fast"), ArgumentError, "compute_mode is one of"),
        (lambda x: dl.meshgrid(x), ShapeError, "expected vectors"),
        (lambda x: dl.meshgrid(x[0], indexing="ji"), ArgumentError, "'ij' or 'xy'"),
        (lambda x: dl.broadcast_tensors(x, x.T), ShapeError, "do not go together"),
        (lambda x: x.roll(1, (0, 1)), ArgumentError, "one shift for each axis"),
        (lambda x: x.quantile(1.5), ArgumentError, r"q is in 0\.\.1"),
        (lambda x: x.quantile(0.5, interpolation="cubic"), ArgumentError, "interpolation is one of linear"),
        (lambda x: x.kthvalue(9), ArgumentError, r"k in 1\.\.3"),
        (lambda x: x.norm("nuc"), ArgumentError, "a number p or 'fro'"),
        (lambda x: x.narrow(0, 1, 5), IndexError, "5 slices from 1 on are not there"),
        (lambda x: x.div(2, rounding_mode="up"), ArgumentError, "rounding_mode is None, 'floor' or 'trunc'"),
        (lambda x: x.scatter(0, dl.tensor([[0.5]]), 1.0), ShapeError, "whole numbers"),
        (lambda x: x.logsumexp(), ArgumentError, "expected the axes"),
        (lambda x: x.unfold(1, 5, 1), ShapeError, r"size in 0\.\.3"),
        (lambda x: x & 1, ArgumentTypeError, "booleans and whole numbers"),
        (lambda x: dl.searchsorted(x, x.T), ShapeError, "do not go with"),
        (lambda x: x.repeat_interleave(-1), ArgumentError, "at least 0"),
        (lambda x: dl.cat(x), ArgumentTypeError, "a list of tensors, got one"),
        (lambda x: dl.where(x > 0, x), ArgumentTypeError, "got one of them"),
        (lambda x: x.long().quantile(0.5), ArgumentError, "with a fraction, got int64"),
        (lambda x: dl.linalg.inv(dl.zeros(2, 2)), ArgumentError, "^inv: singular matrix, of matrices of shape"),
        (lambda x: dl.linalg.cholesky(-dl.eye(2)), ArgumentError, "^cholesky: matrix is not positive definite"),
        (lambda x: dl.linalg.svd(dl.ones(2, 3, requires_grad=True)), ShapeError, "write full_matrices=False"),
        (lambda x: dl.linspace(x, 1, 3), ArgumentTypeError, "expected a number"),
        (
            lambda x: x.scatter_reduce(0, dl.tensor([[0]]), x, "max"),
            ArgumentError,
            "one of sum, prod, mean, amax,",
        ),
        (lambda x: x.histc(0), ArgumentError, "bins is at least 1, got 0"),
        (lambda x: x.histc(3, 2, 1), ArgumentError, r"a finite range min\.\.max, got 2\.\.1"),
        (lambda x: x.long().histc(3), ArgumentError, "with a fraction, got int64"),
        (lambda x: x[None].cov(), ShapeError, r"variables in rows, \(D, N\) or \(N,\), got \(1, 2, 3\)"),
        (lambda x: x.cov(fweights=dl.tensor([1, 2])), ShapeError, r"expected fweights \(3,\), got \(2,\)"),
        (lambda x: x[0].fill_diagonal_(1), ShapeError, r"expected a matrix, or axes of one length, got \(3,\)"),
    ],
)
def test_a_mistake_is_named(call: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call(dl.ones(2, 3))


def test_functions_are_the_methods() -> None:
    x = dl.tensor([[0.25, 0.5], [0.75, 1.0]])
    for name in functions.__all__:
        method = getattr(Tensor, name.removesuffix("_"), None)
        function = getattr(dl, name.removesuffix("_"))
        assert method is None or function.__doc__, name
    assert dl.erf(x).tolist() == x.erf().tolist()
    assert dl.exp([0.0]).tolist() == [1.0]  # lists and arrays too


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_16_bits_stay(kind: str, device: str) -> None:
    pytest.importorskip("ml_dtypes")
    x = dl.tensor([[0.25, 0.5], [0.75, 0.5]], dtype=kind, requires_grad=True)
    for name, more in {
        **dict.fromkeys(("erf", "asin", "sinh", "log2", "logit", "median", "nansum", "nan_to_num", "trace"), ()),
        **dict.fromkeys(("atan2", "hypot", "logaddexp", "fmod", "kron", "cdist", "lerp", "inner"), (x,)),
        **dict.fromkeys(("cumprod", "logcumsumexp", "softmax", "diff", "roll"), (1,)),
        **{"quantile": (0.5,), "lerp": (x, 0.5), "einsum": (), "scatter_add": (0, dl.tensor([[0, 1]]), x[:1])},
    }.items():
        function = getattr(Tensor, name, None) or getattr(dl, name)
        y = dl.einsum("ij,ij->i", x, x) if name == "einsum" else function(x, *more)
        assert y.dtype == x.dtype, name
        y.backward(np.ones(y.shape))
        assert x.grad.dtype == x.dtype and np.isfinite(x.grad.numpy().astype("f")).all(), name
