"""Rotary positions: queries and keys turned by an angle that grows with their place."""

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

__all__ = ["rotary_embedding"]


class Rotate(Function):
    """(y_i, y_(i + d/2)) = (x_i cos a - x_(i + d/2) sin a, x_(i + d/2) cos a + x_i sin a), a = a_ti: a turn of each
    pair of numbers, and the gradient is turned back: dx is the same of dy by -a.

    Shapes: x (..., T, d), cos and sin (T, d / 2), which are constants.
    """

    compute_in_float32 = True

    def __init__(self, cos: Array, sin: Array):
        self.cos, self.sin = cos, sin

    def forward(self, x: Array) -> Array:
        return _turned(x, self.cos, self.sin)

    def backward(self, dout: Array) -> Array:
        return _turned(dout, self.cos, -self.sin)


def _turned(x: Array, cos: Array, sin: Array) -> Array:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    y = xp_of(x).empty_like(x)
    y[..., :half] = first * cos - second * sin
    y[..., half:] = second * cos + first * sin
    return y


def rotary_embedding(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (x_i, x_(i + d/2)) of each position t by the angles whose cosines and sines are given.

    The product of two vectors that were turned by angles a t and a s depends on t - s alone. (Su et al. 2021; the pairs
    are those of GPT-NeoX and Llama, and of ONNX's ``RotaryEmbedding`` with ``interleaved=0``.)

    Args:
        x: (..., T, d), d even.
        cos, sin: (T, d / 2); they get no gradient.
    Raises:
        ShapeError: the shapes do not fit.
    Example:
        >>> x, quarter = dl.tensor([[1.0, 0.0]]), np.array([[np.pi / 2]])
        >>> F.rotary_embedding(x, dl.tensor(np.cos(quarter)), dl.tensor(np.sin(quarter))).numpy().round(3).tolist()
        [[0.0, 1.0]]
    """
    x, cos, sin = as_tensor(x), as_tensor(cos), as_tensor(sin)
    if x.ndim < 2 or x.shape[-1] % 2 or not cos.shape == sin.shape == (x.shape[-2], x.shape[-1] // 2):
        raise ShapeError(
            f"rotary_embedding: expected x (..., T, d) with d even, cos and sin (T, d / 2), got {x.shape}, {cos.shape} "
            f"and {sin.shape}"
        )
    return apply(Rotate(cos.data, sin.data), x)
