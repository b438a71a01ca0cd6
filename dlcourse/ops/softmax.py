"""Softmax and its logarithm, over the last axis or another."""

from typing import Any

from dlcourse.autograd import Tensor, apply, as_tensor, axes
from dlcourse.autograd.softmax import LogSoftmax, LogSumExp, Softmax

__all__ = ["log_softmax", "logsumexp", "softmax", "softmin"]


def softmax(x: Tensor, axis: int | None = None, *, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^x / sum e^x along the axis, the last one if left out: positive numbers that sum to one.

    Raises:
        AxisError: the axis is not there.
    Example:
        >>> F.softmax(dl.tensor([0.0, np.log(3.0)])).numpy().round(3).tolist()
        [0.25, 0.75]
    """
    return apply(Softmax(_axis("softmax", x, axis, dim)), _in(x, dtype))


def softmin(x: Tensor, axis: int | None = None, *, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^-x / sum e^-x along the axis, the last one if left out: the softmax of -x.

    Raises:
        AxisError: the axis is not there.
    """
    return softmax(-_in(x, dtype), axis, dim=dim)


def log_softmax(x: Tensor, axis: int | None = None, *, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log softmax(x) along the axis, the last one if left out, without overflow or log 0.

    Raises:
        AxisError: the axis is not there.
    """
    return apply(LogSoftmax(_axis("log_softmax", x, axis, dim)), _in(x, dtype))


def logsumexp(
    x: Tensor, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool | None = None
) -> Tensor:
    """log sum e^x along the axis, or several, the last one if left out, without overflow; the axis goes.

    Raises:
        AxisError: an axis is not there.
    """
    axis = -1 if axis is None and dim is None else axis
    return apply(LogSumExp(axes.several("logsumexp", x.shape, axis, dim), axes.keeps_dims(keepdims, keepdim)), x)


def _in(x: Any, dtype: Any) -> Any:
    return x if dtype is None else as_tensor(x).to(dtype=dtype)


def _axis(name: str, x: Tensor, axis: int | None, dim: int | None) -> int:
    return axes.single(name, x.shape, -1 if axis is None and dim is None else axis, dim)
