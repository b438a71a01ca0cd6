"""Residual nets for small images (lecture 9; He, Zhang, Ren & Sun 2015, section 4.2)."""

from collections.abc import Mapping
from typing import Any

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError
from dlcourse.models.base import Model
from dlcourse.models.cnn import image_shape
from dlcourse.nn import init
from dlcourse.nn.container import then_add_relu, then_relu
from dlcourse.ops.pool import global_avg_pool2d
from dlcourse.ops.residual import add_relu, downsample_shortcut
from dlcourse.registry import register
from dlcourse.types import Count, Depth

__all__ = ["ResNet"]


class ResidualBlock(nn.Module):
    """y = ReLU(F(x) + x), F = conv - norm - ReLU - conv - norm - [squeeze and excite].

    Where the block halves the image and widens it, x does so without parameters: every second row and column, and
    zeros for the new channels (the paper's option A).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, squeeze: int | None = None):
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm1 = nn.BatchNorm(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.norm2 = nn.BatchNorm(out_channels)
        self.excite = None if squeeze is None else SqueezeExcite(out_channels, max(1, out_channels // squeeze))

    def forward(self, x: Tensor) -> Tensor:
        y = then_relu(self.norm1, self.conv1(x))
        same = self.stride == 1 and x.shape[-1] == self.out_channels
        shortcut = x if same else downsample_shortcut(x, self.stride, self.out_channels)
        y = self.conv2(y)
        if self.excite is None:
            return then_add_relu(self.norm2, y, shortcut)
        return add_relu(self.excite(self.norm2(y)), shortcut)


class SqueezeExcite(nn.Module):
    """y = s x with one factor for each channel, s = sigmoid(W2 ReLU(W1 mean(x) + b1) + b2), the mean over the image: a
    channel counts more where the whole image speaks for it. (Hu, Shen & Sun 2017.)"""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        factors = self.excite(self.squeeze(global_avg_pool2d(x)).relu()).sigmoid()
        return x * factors.reshape(len(x), 1, 1, x.shape[-1])


@register("model", "resnet")
class ResNet(Model):
    """Conv 3x3, three stages of residual blocks, mean over the image, Linear: (N, H, W, C) -> (N, out_features).

    The stages have 1, 2 and 4 times ``width`` channels and n = (depth - 2) / 6 blocks each; the second and third halve
    the image. Depth 20 has 0.27 million parameters, and 0.9125 of CIFAR-10's test images right in the paper.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        depth: 6 n + 2: 8, 14, 20, 32, 44, 56, 110.
        width: channels of the first stage.
        squeeze: scale the channels of each block by what the whole image shows (squeeze and excite); a hidden layer
            narrower by so many times decides, 16 in the paper. Left out: no such thing.
    Raises:
        ShapeError: an input is no image.
        ValueError: ``depth`` is not 6 n + 2.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        depth: Depth = 20,
        width: Count = 16,
        squeeze: Count | None = None,
    ):
        super().__init__(in_shape, out_features)
        channels = image_shape("resnet", in_shape)[2]
        self.check_settings({"depth": depth})
        self.conv, self.norm = conv3x3(channels, width), nn.BatchNorm(width)
        blocks, in_channels = [], width
        for stage in range(3):
            for index in range((depth - 2) // 6):
                out_channels = width << stage
                blocks.append(ResidualBlock(in_channels, out_channels, 2 if stage and not index else 1, squeeze))
                in_channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.GlobalAvgPool2d()
        self.linear = nn.Linear(in_channels, self.out_features)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        depth = settings.get("depth", 8)
        if depth < 8 or depth % 6 != 2:
            raise ArgumentError(f"resnet: depth is 6 n + 2 (8, 14, 20, 32, 44, 56, 110), got {depth}")

    def forward(self, x: Tensor) -> Tensor:
        x = then_relu(self.norm, self.conv(as_tensor(x)))
        return self.linear(self.pool(self.blocks(x)))


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3 without bias, drawn by He et al.'s rule for what a ReLU follows."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    conv.weight.data = init.kaiming_normal(conv.weight.shape, nonlinearity="relu")
    return conv
