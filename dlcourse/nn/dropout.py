"""Dropout as layers: of single elements, and of whole channels."""

from typing import ClassVar

from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentError
from dlcourse.nn.module import Module
from dlcourse.ops.dropout import alpha_dropout, dropout, dropout1d, dropout2d, feature_alpha_dropout

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "FeatureAlphaDropout"]


class _Dropping(Module):
    """What they share: the probability."""

    varies: ClassVar[tuple[str, ...]] = ("p",)

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p is a probability, got {p}")
        self.p = p


class Dropout(_Dropping):
    """In training each element is 0 with probability ``p`` and the rest is scaled by 1 / (1 - p); in evaluation y = x.

    Args:
        p: the probability of dropping, as in PyTorch (the course's homework states the probability of keeping).
    Example:
        >>> dropout = nn.Dropout(0.5)
        >>> sorted(set(dropout(dl.tensor(np.ones(1000, "float32"))).tolist()))
        [0.0, 2.0]
        >>> dropout.eval()(dl.tensor([1.0, 1.0])).tolist()
        [1.0, 1.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


class Dropout1d(_Dropping):
    """In training whole channels of a sequence (N, T, C) are 0 with probability ``p`` and the rest is scaled by
    1 / (1 - p); in evaluation y = x. (Tompson et al. 2015.)

    Args:
        p: the probability of dropping.
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout1d(x, self.p, self.training)


class Dropout2d(_Dropping):
    """In training whole channels of an image (N, H, W, C) are 0 with probability ``p`` and the rest is scaled by
    1 / (1 - p); in evaluation y = x. (Tompson et al. 2015.)

    Args:
        p: the probability of dropping.
    Example:
        >>> y = nn.Dropout2d(0.5)(dl.tensor(np.ones((1, 4, 4, 8), "float32"))).numpy()
        >>> (y == y[:, :1, :1]).all()
        np.True_
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout2d(x, self.p, self.training)


class AlphaDropout(_Dropping):
    """In training each element is SELU's least value with probability ``p``, and all are scaled and shifted so that
    mean 0 and variance 1 stay; in evaluation y = x. (Klambauer et al. 2017.)

    Args:
        p: the probability of dropping.
    """

    def forward(self, x: Tensor) -> Tensor:
        return alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_Dropping):
    """:class:`AlphaDropout` of whole channels of (N, ..., C).

    Args:
        p: the probability of dropping.
    """

    def forward(self, x: Tensor) -> Tensor:
        return feature_alpha_dropout(x, self.p, self.training)
