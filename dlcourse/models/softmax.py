"""Softmax regression: the linear classifier (lecture 3)."""

import numpy as np

from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.models.base import Model, Scaling, templates
from dlcourse.nn import init
from dlcourse.ops.linear import linear
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = ["SoftmaxModel"]


@register("model", "softmax")
class SoftmaxModel(Model):
    """Logits z = W x + b, and P(class c | x) = softmax(z)_c; the loss cross_entropy applies the softmax.

    Images are flattened, and nothing is scaled: with pixels 0..255 take a small learning rate or ``data.normalize``.

    Args:
        in_shape: shape of one input, D numbers in all.
        out_features: C, number of classes.
        scale: standard deviation of the initial W; b starts at 0. Small, so that all classes begin about equally
            probable and the first loss is about log C.

    Attributes:
        weight: W, (C, D): row c is the template of class c.
        bias: b, (C,).
    """

    tasks = ("classification",)

    def __init__(self, in_shape: tuple[int, ...], out_features: int, scale: NonNegative = 1e-4):
        super().__init__(in_shape, out_features)
        self.weight = Parameter(init.normal((self.out_features, self.in_features), std=scale))
        self.bias = Parameter(init.zeros((self.out_features,)))

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """For images ``templates``: what speaks for each class, see :func:`~dlcourse.models.base.templates`."""
        return templates(self.weight.numpy(), self.in_shape)

    def forward(self, x: Tensor) -> Tensor:
        return linear(as_tensor(x).flatten(1), self.weight, self.bias)
