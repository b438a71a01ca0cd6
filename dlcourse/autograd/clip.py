"""Gradient clipping."""

from collections.abc import Iterable

from dlcourse import backend
from dlcourse.autograd.flat import FlatParameters
from dlcourse.autograd.parameter import Parameter
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import optim as kernels
from dlcourse.errors import ArgumentError

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_"]

Parameters = Iterable[Parameter] | Parameter | FlatParameters


def clip_grad_norm(params: Parameters, max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Scale the gradients in place so that their joint Euclidean norm is at most ``max_norm``.

    g <- g min(1, max_norm / (|g| + 1e-6)) over all parameters together (Pascanu, Mikolov & Bengio 2013), as
    ``torch.nn.utils.clip_grad_norm_``. For all the parameters of one optimizer it is one operation on the flat buffer.

    Args:
        params: parameters, one, or an optimizer's flat buffer.
        max_norm: above 0; infinity only measures.
        norm_type: 2, the Euclidean norm.
    Returns:
        The norm before clipping, a tensor without axes, still on the device.
    Raises:
        ValueError: ``max_norm`` is not above 0, the norm is another, or there is no parameter.
    Example:
        >>> w = nn.Parameter(np.array([3.0, 4.0], "float32"))
        >>> (w * w / 2).sum().backward()
        >>> optim.clip_grad_norm([w], max_norm=1.0).item()
        5.0
        >>> [round(each, 3) for each in w.grad.tolist()]
        [0.6, 0.8]
    """
    if not max_norm > 0:
        raise ArgumentError(f"max_norm has to be above 0, got {max_norm}")
    if norm_type != 2:
        raise ArgumentError(f"clip_grad_norm: norm_type is 2, the Euclidean norm, got {norm_type}")
    flat, apart = _held(params)
    if flat is not None:
        return _clip_whole(flat, max_norm)
    if not apart:
        raise ArgumentError("clip_grad_norm needs at least one parameter, got none")
    return Tensor(_clip_apart(apart, max_norm))


def _held(params: Parameters) -> tuple[FlatParameters | None, list[Parameter]]:
    """The buffer that holds all of them, or None and the parameters one by one."""
    if isinstance(params, FlatParameters):
        return params, []
    apart = [params] if isinstance(params, Parameter) else list(params)
    flat = FlatParameters.holding(apart)
    return flat, apart if flat is None else []


def _clip_whole(flat: FlatParameters, max_norm: float) -> Tensor:
    norm = kernels.clip_norm(flat.gather_grad(), max_norm)
    flat.spread()
    return Tensor(norm)


def _clip_apart(params: list[Parameter], max_norm: float) -> Array:
    """The same for parameters that are not one whole buffer: their gradients are joined and given back."""
    xp = backend.array_module(params[0].data)
    grads = [p.grad.data for p in params if p.grad is not None]
    if not grads:
        return xp.zeros((), dtype=params[0].dtype)
    joined = xp.concatenate([grad.reshape(-1) for grad in grads])
    norm = kernels.clip_norm(joined, max_norm)
    start = 0
    for grad in grads:
        grad[...] = joined[start : start + grad.size].reshape(grad.shape)
        start += grad.size
    return norm


clip_grad_norm_ = clip_grad_norm
"""PyTorch's name."""


def clip_grad_value_(params: Parameters, clip_value: float) -> None:
    """Bring each element of the gradients to the range from -clip_value to clip_value, in place.

    g <- max(-c, min(g, c)), as ``torch.nn.utils.clip_grad_value_``. For all the parameters of one optimizer it is one
    operation on the flat buffer.

    Args:
        params: parameters, one, or an optimizer's flat buffer.
        clip_value: above 0.
    Raises:
        ValueError: ``clip_value`` is not above 0.
    Example:
        >>> w = nn.Parameter(np.array([3.0, -0.5], "float32"))
        >>> (w * w / 2).sum().backward()
        >>> optim.clip_grad_value_([w], clip_value=1.0)
        >>> w.grad.tolist()
        [1.0, -0.5]
    """
    if not clip_value > 0:
        raise ArgumentError(f"clip_value has to be above 0, got {clip_value}")
    flat, apart = _held(params)
    if flat is not None:
        _limit(flat.gather_grad(), clip_value)
        flat.spread()
    for grad in [p.grad.data for p in apart if p.grad is not None]:
        _limit(grad, clip_value)


def _limit(grad: Array, most: float) -> None:
    backend.array_module(grad).clip(grad, -most, most, out=grad)
