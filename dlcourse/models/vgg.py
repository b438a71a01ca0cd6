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
            halves the image: ``[64, 64, pool, 128, 128, pool]``. Or the depth of one of the paper's nets, whose
            convolutions are taken then: 11 (A), 13 (B), 16 (D) or 19 (E).
        batch_norm: whether each convolution is normalized (Ioffe & Szegedy 2015); it has no bias then.
        dropout: probability of dropping a feature before the last layer, in training.
    Raises:
        ShapeError: an input is no image, or the poolings leave nothing of it.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        layers: list[Count | Literal["pool"]] | Literal[11, 13, 16, 19],
        batch_norm: bool = True,
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        height, width, in_channels = image_shape("vgg", in_shape)
        layers = layers if isinstance(layers, list) else _published(layers)
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


_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many convolutions stand before each pooling, by the number of layers with weights (the paper's table 1)."""


def _published(depth: int) -> list[int | Literal["pool"]]:
    layers: list[int | Literal["pool"]] = []
    for channels, count in zip((64, 128, 256, 512, 512), _BLOCKS[depth], strict=True):
        layers += [channels] * count + ["pool"]
    return layers
