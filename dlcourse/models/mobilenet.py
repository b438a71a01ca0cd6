"""MobileNet: convolutions taken apart into one that looks at positions and one that looks at channels (lecture 9)."""

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.models.base import Model
from dlcourse.models.cnn import conv_relu, image_shape
from dlcourse.registry import register
from dlcourse.types import Count, Positive

__all__ = ["MobileNet"]

_CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


@register("model", "mobilenet")
class MobileNet(Model):
    """Conv 3x3, depthwise separable blocks, mean over the image, Linear: (N, H, W, C) -> (N, out_features).

    A block is a 3x3 convolution of each channel by itself, then a 1x1 convolution of all channels, each with its
    normalization and a ReLU. Of k x k taps, C inputs and K outputs that takes k^2 C + C K multiplications a position
    in place of k^2 C K. The first block keeps the image's size; one with more channels than the block before halves it.
    (Howard et al. 2017, table 1, without the first stride, which small images have no use for.)

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        channels: of the blocks, one after another; the paper's are the default.
        width: multiplies all channels, the paper's alpha.
    Raises:
        ShapeError: an input is no image.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: list[Count] = list(_CHANNELS),  # noqa: B006  never changed
        width: Positive = 1.0,
    ):
        super().__init__(in_shape, out_features)
        sizes = [scaled(size, width) for size in (32, *channels)]
        layers = conv_relu(image_shape("mobilenet", in_shape)[2], sizes[0], 3, batch_norm=True)
        for index, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            layers.append(depthwise_separable(before, after, stride=2 if index and after > before else 1))
        self.layers = nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Linear(sizes[-1], self.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))


def depthwise_separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution within each channel, a 1x1 convolution across channels, each with normalization and ReLU."""
    depthwise = conv_relu(in_channels, in_channels, 3, batch_norm=True, stride=stride, groups=in_channels)
    return nn.Sequential(*depthwise, *conv_relu(in_channels, out_channels, 1, batch_norm=True))


def scaled(channels: int, width: float) -> int:
    """So many channels times ``width``, at least one."""
    return max(1, round(channels * width))
