"""LeNet-5, the first convolutional net that was in daily use (lecture 8; LeCun, Bottou, Bengio & Haffner 1998)."""

from typing import Literal

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.models.base import Model
from dlcourse.models.cnn import image_shape
from dlcourse.models.mlp import ActivationName
from dlcourse.nn.activation import ACTIVATIONS
from dlcourse.registry import register

__all__ = ["LeNet"]

SIDE = 32
"""Of the paper's images; smaller ones get a border of zeros."""


@register("model", "lenet")
class LeNet(Model):
    """Conv 5x5 with 6 channels - pool - conv 5x5 with 16 - pool - linear 120 - 84 - out_features, an activation after
    each convolution and hidden layer: (N, H, W, C) -> (N, out_features).

    61,706 parameters on MNIST. As is usual today each of the 16 channels sees all 6, pooling has no weights, and the
    last layer gives logits; the paper had a table of connections, weighted pooling, and radial basis functions.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        activation: the paper's is tanh.
        pool: which number stands for a window of 2 x 2, its mean or its maximum; the paper's is the mean.
    Raises:
        ShapeError: an input is no image.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        activation: ActivationName = "tanh",
        pool: Literal["mean", "max"] = "mean",
    ):
        super().__init__(in_shape, out_features)
        *size, channels = image_shape("lenet", in_shape)
        border = tuple(max(0, SIDE - length + 1) // 2 for length in size)
        height, width = (((length + 2 * p - 4) // 2 - 4) // 2 for length, p in zip(size, border, strict=True))
        follows, pooling = ACTIVATIONS[activation], {"mean": nn.AvgPool2d, "max": nn.MaxPool2d}[pool]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=border),
            follows(),
            pooling(2),
            nn.Conv2d(6, 16, 5),
            follows(),
            pooling(2),
            nn.Flatten(),
            nn.Linear(height * width * 16, 120),
            follows(),
            nn.Linear(120, 84),
            follows(),
            nn.Linear(84, self.out_features),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))
