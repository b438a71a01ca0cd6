"""A plain convolutional net: convolutions and poolings, then linear layers (lecture 8)."""

from collections.abc import Mapping
from typing import Any

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.models.base import Model
from dlcourse.registry import register
from dlcourse.types import Count, Probability

__all__ = ["CNN"]


@register("model", "cnn")
class CNN(Model):
    """(Conv - [BatchNorm] - ReLU - MaxPool) for each of ``channels``, then (Linear - ReLU - [Dropout]) for each of
    ``hidden``, then Linear: (N, H, W, C) -> (N, out_features).

    With one convolution and one hidden layer it is the homework's three-layer net.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        channels: output channels of the convolutions; each keeps the image's size.
        kernel_size: their height and width; odd.
        pool: window and step of the max pooling after each.
        hidden: widths of the hidden linear layers.
        batch_norm: whether each convolution is normalized; it has no bias then.
        dropout: probability of dropping a hidden unit in training.
    Raises:
        ShapeError: an input is no image, or the poolings leave nothing of it.
        ValueError: ``kernel_size`` is even.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: list[Count],
        hidden: list[Count],
        kernel_size: Count = 3,
        pool: Count = 2,
        batch_norm: bool = False,
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        height, width, in_channels = image_shape("cnn", in_shape)
        self.check_settings({"kernel_size": kernel_size})
        layers: list[nn.Module] = []
        for out_channels in channels:
            layers += [*conv_relu(in_channels, out_channels, kernel_size, batch_norm), nn.MaxPool2d(pool)]
            height, width, in_channels = height // pool, width // pool, out_channels
        if height < 1 or width < 1:
            raise ShapeError(f"cnn: {len(channels)} poolings by {pool} leave nothing of an image {self.in_shape}")
        layers.append(nn.Flatten())
        features = height * width * in_channels
        for size in hidden:
            layers += [nn.Linear(features, size), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            features = size
        self.layers = nn.Sequential(*layers, nn.Linear(features, self.out_features))

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        if settings.get("kernel_size", 1) % 2 == 0:
            size = settings["kernel_size"]
            raise ArgumentError(f"cnn: kernel_size is odd, so that the image keeps its size, got {size}")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))


def conv_relu(
    in_channels: int, out_channels: int, kernel_size: int, batch_norm: bool, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution that keeps the image's size (or takes every so many positions), perhaps its normalization (it has
    no bias then), and a ReLU."""
    edge, bias = kernel_size // 2, not batch_norm
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=edge, groups=groups, bias=bias)
    return [conv, nn.BatchNorm(out_channels), nn.ReLU()] if batch_norm else [conv, nn.ReLU()]


def image_shape(name: str, in_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(H, W, C) of an input that has to be an image.

    Raises:
        ShapeError: it is no image.
    """
    if len(in_shape) != 3:
        raise ShapeError(f"{name}: an input is an image (height, width, channels), got {tuple(in_shape)}")
    height, width, channels = in_shape
    return height, width, channels
