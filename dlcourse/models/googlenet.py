"""GoogLeNet: convolutions of several sizes side by side (lecture 9; Szegedy et al. 2014)."""

from typing import Annotated, Literal

from annotated_types import Len

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.models.base import Model
from dlcourse.models.cnn import conv_relu, image_shape
from dlcourse.models.mobilenet import scaled
from dlcourse.ops.linear import concatenate
from dlcourse.registry import register
from dlcourse.types import Count, Positive

__all__ = ["GoogLeNet"]

Branches = Annotated[list[Count], Len(6, 6)]
"""The channels of a block in the order of the paper's table: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; pool."""

_BLOCKS: list[Branches | Literal["pool"]] = [
    [64, 96, 128, 16, 32, 32],
    [128, 128, 192, 32, 96, 64],
    "pool",
    [192, 96, 208, 16, 48, 64],
    [160, 112, 224, 24, 64, 64],
    [128, 128, 256, 24, 64, 64],
    [112, 144, 288, 32, 64, 64],
    [256, 160, 320, 32, 128, 128],
    "pool",
    [256, 160, 320, 32, 128, 128],
    [384, 192, 384, 48, 128, 128],
]


class Inception(nn.Module):
    """Four branches on the same input, joined along the channels: 1x1; 1x1 - 3x3; 1x1 - 5x5; max pool 3x3 - 1x1.

    The 1x1 convolutions before the large ones make their inputs narrow, which saves most of the work. Each convolution
    is normalized and followed by a ReLU.
    """

    def __init__(self, in_channels: int, channels: list[int]):
        super().__init__()
        if len(channels) != 6:
            raise ArgumentError(f"googlenet: an inception block is six numbers, got {channels}")
        one, reduce3, three, reduce5, five, pool = channels
        self.one = _chain(conv_relu(in_channels, one, 1, True))
        self.three = _chain(conv_relu(in_channels, reduce3, 1, True), conv_relu(reduce3, three, 3, True))
        self.five = _chain(conv_relu(in_channels, reduce5, 1, True), conv_relu(reduce5, five, 5, True))
        self.pool = _chain([nn.MaxPool2d(3, stride=1, padding=1)], conv_relu(in_channels, pool, 1, True))
        self.out_channels = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        return concatenate([branch(x) for branch in (self.one, self.three, self.five, self.pool)], axis=-1)


def _chain(*parts: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*(module for part in parts for module in part))


@register("model", "googlenet")
class GoogLeNet(Model):
    """Conv 3x3, inception blocks with poolings between, mean over the image, Linear: (N, H, W, C) -> (N, out_features).

    The blocks are the paper's nine (table 1); for small images one 3x3 convolution with 192 channels stands for its
    layers before them, which shrink the image by 8. All convolutions are normalized (Ioffe & Szegedy 2015), so it needs
    no classifiers at half way.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        blocks: a list of six numbers is an inception block: the channels of its 1x1 branch, of the 1x1 and the 3x3
            convolution of the second, of the 1x1 and the 5x5 of the third, and of the pooling's 1x1; ``pool`` halves
            the image. The paper's are the default.
        width: multiplies all channels.
    Raises:
        ShapeError: an input is no image, or the poolings leave nothing of it.
        ValueError: a block is not six numbers.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        blocks: list[Branches | Literal["pool"]] = _BLOCKS,  # noqa: B006  never changed
        width: Positive = 1.0,
    ):
        super().__init__(in_shape, out_features)
        *size, in_channels = image_shape("googlenet", in_shape)
        poolings = blocks.count("pool")
        if min(size) >> poolings < 1:
            raise ShapeError(f"googlenet: {poolings} poolings leave nothing of an image {self.in_shape}")
        channels = scaled(192, width)
        layers = conv_relu(in_channels, channels, 3, batch_norm=True)
        for block in blocks:
            if block == "pool":
                layers.append(nn.MaxPool2d(2))
                continue
            inception = Inception(channels, [scaled(each, width) for each in block])
            layers.append(inception)
            channels = inception.out_channels
        self.layers = nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Linear(channels, self.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))
