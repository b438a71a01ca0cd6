"""Nets of 3x3 convolutions in blocks between poolings (lecture 9; Simonyan & Zisserman 2014)."""

from typing import Literal

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ShapeError
from dlcourse.models.base import Model
from dlcourse.models.cnn import conv_relu, image_shape
from dlcourse.registry import register
from dlcourse.types import Count, Probability

__all__ = ["VGG"]


@register("model", "vgg")
class VGG(Model):
    """What ``layers`` lists, one after another, then Linear: (N, H, W, C) -> (N, out_features).

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        layers: a number is a 3x3 convolution with so many output channels, its normalization and a ReLU; ``pool``
            halves the image. ``[64, 64, pool, 128, 128, pool, 256, 256, 256, pool]`` begins as the paper's net D.
        batch_norm: whether each convolution is normalized (Ioffe & Szegedy 2015); it has no bias then.
        dropout: probability of dropping a feature before the last layer, in training.
    Raises:
        ShapeError: an input is no image, or the poolings leave nothing of it.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        layers: list[Count | Literal["pool"]],
        batch_norm: bool = True,
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        height, width, in_channels = image_shape("vgg", in_shape)
        modules: list[nn.Module] = []
        for layer in layers:
            if layer == "pool":
                modules.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
                continue
            modules += conv_relu(in_channels, layer, 3, batch_norm)
            in_channels = layer
        if height < 1 or width < 1:
            raise ShapeError(f"vgg: {layers.count('pool')} poolings leave nothing of an image {self.in_shape}")
        modules.append(nn.Flatten())
        modules += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*modules, nn.Linear(height * width * in_channels, self.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))
