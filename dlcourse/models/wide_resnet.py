"""Wide residual nets (lecture 9; Zagoruyko & Komodakis 2016), of blocks that normalize first (He et al. 2016)."""

from collections.abc import Mapping
from typing import Any

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError
from dlcourse.models.base import Model
from dlcourse.models.cnn import image_shape
from dlcourse.models.resnet import conv3x3
from dlcourse.nn.container import then_relu
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["WideResNet"]


class PreActivationBlock(nn.Module):
    """y = F(x) + x, F = norm - ReLU - conv - norm - ReLU - [dropout] - conv.

    Nothing lies on the way of x but sums. Where the block changes its shape, a 1x1 convolution of what the first ReLU
    gives stands for it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float):
        super().__init__()
        same = stride == 1 and in_channels == out_channels
        self.norm1, self.conv1 = nn.BatchNorm(in_channels), conv3x3(in_channels, out_channels, stride)
        self.norm2, self.conv2 = nn.BatchNorm(out_channels), conv3x3(out_channels, out_channels)
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.shortcut = None if same else nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = then_relu(self.norm1, x)
        y = then_relu(self.norm2, self.conv1(z))
        if self.dropout is not None:
            y = self.dropout(y)
        return self.conv2(y) + (x if self.shortcut is None else self.shortcut(z))


@register("model", "wide_resnet")
class WideResNet(Model):
    """Conv 3x3, three stages of blocks, norm, ReLU, mean over the image, Linear: (N, H, W, C) -> (N, out_features).

    The stages have 16, 32 and 64 times ``widen`` channels and n = (depth - 4) / 6 blocks each; the second and third
    halve the image. WRN-16-8, ``{depth: 16, widen: 8}``, has 11.0 million parameters, WRN-28-10 36.5 million.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        depth: 6 n + 4: 10, 16, 22, 28, 40.
        widen: how many times wider than a plain one, the paper's k.
        dropout: probability of dropping an element between the two convolutions of a block in training.
    Raises:
        ShapeError: an input is no image.
        ValueError: ``depth`` is not 6 n + 4.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        depth: Depth = 16,
        widen: Count = 4,
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        channels = image_shape("wide_resnet", in_shape)[2]
        self.check_settings({"depth": depth})
        self.conv, blocks, in_channels = conv3x3(channels, 16), [], 16
        for stage in range(3):
            for index in range((depth - 4) // 6):
                out_channels = 16 * widen << stage
                blocks.append(PreActivationBlock(in_channels, out_channels, 2 if stage and not index else 1, dropout))
                in_channels = out_channels
        self.blocks, self.norm = nn.Sequential(*blocks), nn.BatchNorm(in_channels)
        self.pool = nn.GlobalAvgPool2d()
        self.linear = nn.Linear(in_channels, self.out_features)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        depth = settings.get("depth", 10)
        if depth < 10 or depth % 6 != 4:
            raise ArgumentError(f"wide_resnet: depth is 6 n + 4 (10, 16, 22, 28, 40), got {depth}")

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.conv(as_tensor(x)))
        return self.linear(self.pool(then_relu(self.norm, x)))
