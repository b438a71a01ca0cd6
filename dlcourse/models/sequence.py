"""What models of sequences of numbers (N, T, D) share: an output at every step, or one of the whole."""

from typing import Any, Literal

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ShapeError
from dlcourse.models.base import Model

__all__ = ["SequenceModel"]

Pool = Literal["last", "mean", "max"]
Scan = Literal["rows", "pixels"]


class SequenceModel(Model):
    """Features of every step, then a linear layer: (N, T, D) -> (N, T, out_features) or (N, out_features).

    The data decide which: where they have a target at every step (``every_step``), so has the model an output; else
    one is made of the steps' features as ``pool`` says. An image (H, W, C) is read as a sequence, see
    :func:`sequence_shape`.

    Args:
        in_shape: (T, D); any length is taken. Or (H, W, C).
        out_features: number of classes, or width of the target.
        encoder: what makes features of the steps, (N, T, D) -> (N, T, H); of a pair that it returns, the first counts.
        features: H.
        pool: what of the steps goes into a single output: the ``last``, or the ``mean`` or ``max`` over all.
        dropout: probability of dropping a feature before the linear layer, in training.
        scan: how images are read.
    Raises:
        ShapeError: an input is no sequence.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        encoder: nn.Module,
        features: int,
        pool: Pool,
        dropout: float,
        scan: Scan = "rows",
    ):
        super().__init__(in_shape, out_features)
        self.sequence = sequence_shape(type(self).__name__, in_shape, scan) if len(in_shape) == 3 else None
        self.encoder, self.pool = encoder, pool
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, self.out_features)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        found: Any = self.encoder(x if self.sequence is None else x.reshape(-1, *self.sequence))
        features = found[0] if isinstance(found, tuple) else found
        if not self.every_step:
            features = features[:, -1] if self.pool == "last" else getattr(features, self.pool)(axis=1)
        return self.linear(self.dropout(features))


def sequence_shape(name: str, in_shape: tuple[int, ...], scan: Scan = "rows") -> tuple[int, int]:
    """(T, D) of an input that has to be a sequence; of an image (H, W, C) those of its rows, (H, W C), or of its
    pixels, (H W, C).

    Raises:
        ShapeError: it is neither.
    """
    if len(in_shape) == 3:
        rows, columns, channels = in_shape
        return (rows, columns * channels) if scan == "rows" else (rows * columns, channels)
    if len(in_shape) != 2:
        hint = "; char_rnn and gpt take the tokens of a text" if len(in_shape) == 1 else ""
        raise ShapeError(
            f"{name}: an input is a sequence (steps, features) or an image (H, W, C), got {tuple(in_shape)}{hint}"
        )
    steps, features = in_shape
    return steps, features
