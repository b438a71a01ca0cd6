"""The bilinear form of two vectors."""

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ShapeError

__all__ = ["bilinear"]


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = sum_ij x1_i w_oij x2_j + b_o; as ``torch.nn.functional.bilinear``.

    dx1_i = sum_oj dy_o w_oij x2_j, dx2_j = sum_oi dy_o x1_i w_oij, dw_oij = sum dy_o x1_i x2_j, db_o = sum dy_o.

    Args:
        x1, x2: (..., I) and (..., J), the axes before of one shape.
        weight: (O, I, J).
        bias: (O,).
    Raises:
        ShapeError: the shapes do not fit each other.
    """
    x1, x2, weight = as_tensor(x1), as_tensor(x2), as_tensor(weight)
    fits = weight.ndim == 3 and x1.ndim > 0 and x1.shape[:-1] == x2.shape[:-1]
    if (
        not fits
        or (x1.shape[-1], x2.shape[-1]) != weight.shape[1:]
        or (bias is not None and bias.shape != weight.shape[:1])
    ):
        raise ShapeError(
            f"bilinear: expected x1 (..., I), x2 (..., J), weight (O, I, J) and bias (O,), got {x1.shape}, {x2.shape}, "
            f"{weight.shape}, {None if bias is None else bias.shape}"
        )
    outputs, first, second = weight.shape
    of_first = x1 @ weight.transpose(1, 0, 2).reshape(first, outputs * second)
    y = (of_first.reshape(*x1.shape[:-1], outputs, second) * x2.unsqueeze(-2)).sum(axis=-1)
    return y if bias is None else y + bias
