"""Normalization over the positions of each sample: of groups of channels, and of single channels."""

from dlcourse.autograd import Function, Tensor, apply, as_tensor, promotion
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import group_norm as kernels
from dlcourse.errors import ShapeError
from dlcourse.ops.norm import affine, batch_norm

__all__ = ["group_norm", "instance_norm"]


class GroupNorm(Function):
    """y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/M) over the M = P C / G numbers of each group of C / G
    neighboring channels of each sample.

    With xhat = (x - mu) / sqrt(var + eps) and g = dy w, and means over the group: dx = (g - mean g - xhat mean(g xhat))
    / sqrt(var + eps), dw = sum dy xhat, db = sum dy. Shapes: x (N, ..., C), w and b (C,). (Wu & He 2018.)
    """

    refuses_whole = True

    def __init__(self, groups: int, eps: float):
        self.groups, self.eps = groups, eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        positions = x.size // max(1, x.shape[0] * x.shape[-1])
        self.x, self.weight = x.reshape(x.shape[0], positions, x.shape[-1]), weight
        y, self.mean, self.inverse = kernels.group_norm(self.x, weight, bias, self.groups, self.eps)
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        known = self.x, self.weight, self.mean, self.inverse, self.grad_buffers[1:]
        dx, dweight, dbias = kernels.group_norm_grad(dout.reshape(self.x.shape), *known)
        return dx.reshape(dout.shape), dweight, dbias


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalize groups of channels of each sample together; as ``torch.nn.functional.group_norm``, channels last.

    y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/M) over the M = P C / G numbers of a sample's group: P positions
    and C / G neighboring channels. The gradient is that of layer norm over these numbers. (Wu & He 2018.)

    Args:
        x: (N, ..., C).
        num_groups: G, which divides C.
        weight, bias: (C,); ones and zeros if left out.
        eps: added to the variance.
    Raises:
        ShapeError: the shapes do not fit.
    """
    x = as_tensor(x)
    promotion.refuse_whole("group_norm", [x])
    channels = x.shape[-1] if x.ndim else 0
    weight, bias = affine(x, (channels,), weight, bias)
    if x.ndim < 2 or num_groups < 1 or channels % num_groups or {weight.shape, bias.shape} != {(channels,)}:
        raise ShapeError(
            f"group_norm: expected x (N, ..., C) with C a multiple of {num_groups}, weight and bias (C,), "
            f"got {x.shape}, {weight.shape}, {bias.shape}"
        )
    return apply(GroupNorm(num_groups, eps), x, weight, bias)


def instance_norm(
    x: Tensor,
    running_mean: Array | Tensor | None = None,
    running_var: Array | Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample over its positions; as ``torch.nn.functional.instance_norm``.

    It is :func:`group_norm` with as many groups as channels. (Ulyanov, Vedaldi & Lempitsky 2016.)

    Args:
        x: (N, ..., C).
        running_mean, running_var: averages (C,) of the mean and of the unbiased variance over samples. They move in
            place by ``momentum``, if given; without ``use_input_stats`` x is normalized by them.
        weight, bias: (C,); ones and zeros if left out.
        use_input_stats: normalize by each sample's own statistics.
        eps: added to the variance.
    Raises:
        ShapeError: the shapes do not fit, or a sample has one position, which has no variance.
        ValueError: neither statistics are there.
    """
    x = as_tensor(x)
    promotion.refuse_whole("instance_norm", [x])
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    channels = x.shape[-1] if x.ndim else 0
    positions = x.size // max(1, x.shape[0] * channels) if x.ndim else 0
    weight, bias = affine(x, (channels,), weight, bias)
    mean, variance = (None if given is None else as_tensor(given) for given in (running_mean, running_var))
    if x.ndim < 3 or any(given is not None and given.shape != (channels,) for given in (weight, bias, mean, variance)):
        shapes = [given.shape for given in (x, mean, variance, weight, bias) if given is not None]
        raise ShapeError(f"instance_norm: expected x (N, ..., C), all else (C,), got {', '.join(map(str, shapes))}")
    if positions == 1:
        raise ShapeError(f"instance_norm: one value a channel has no variance, got x {x.shape}")
    function = GroupNorm(channels, eps)
    y = apply(function, x, weight, bias)
    if mean is not None and variance is not None:
        of_samples = 1 / (function.inverse * function.inverse) - eps
        for running, batch in ((mean, function.mean), (variance, of_samples * (positions / (positions - 1)))):
            running.data *= 1 - momentum
            running.data += (momentum * batch.mean(axis=0)).astype(running.dtype)
    return y
