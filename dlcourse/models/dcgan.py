"""The two nets of a DCGAN: images from vectors by transposed convolutions, and back by strided ones (lecture 16)."""

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.models.base import Model
from dlcourse.models.cnn import image_shape
from dlcourse.nn.initializer import initializer
from dlcourse.registry import register
from dlcourse.types import Count, Positive

__all__ = ["DCGANDiscriminator", "DCGANGenerator"]

SLOPE = 0.2
"""Of leaky ReLU."""


@register("model", "dcgan_generator")
class DCGANGenerator(Model):
    """Linear - BatchNorm - ReLU to a small image of ``channels[0]``, then (ConvTranspose - BatchNorm - ReLU) to each
    other of ``channels``, then ConvTranspose: (N, latent) -> (N, H, W, C).

    Each transposed convolution, 4 x 4 with stride 2, makes the image twice as large: of two channels the small one has
    a quarter of its height. Weights are drawn from N(0, std^2). (Radford, Metz & Chintala 2016.)

    Args:
        in_shape: (latent,).
        out_features: of the image; its shape says more.
        out_shape: (H, W, C); the model ``gan`` gives it.
        channels: of the images inside, from the small one on.
        std: of the initial weights.
    Raises:
        ValueError: there is no image to make.
        ShapeError: halves of the image's height or width are no whole numbers.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: list[Count],
        std: Positive = 0.02,
        out_shape: tuple[int, ...] | None = None,
    ):
        super().__init__(in_shape, out_features)
        if out_shape is None or not channels:
            raise ArgumentError("dcgan_generator: makes images, as the generator of a model gan, and has some channels")
        height, width, colors = image_shape("dcgan_generator", out_shape)
        times = 2 ** len(channels)
        if height % times or width % times:
            raise ShapeError(
                f"dcgan_generator: {len(channels)} channels double a small image as often: {height} x {width} is no "
                f"multiple of {times}"
            )
        small = height // times, width // times, channels[0]
        layers: list[nn.Module] = [
            nn.Linear(self.in_features, small[0] * small[1] * small[2], bias=False),
            nn.Unflatten(1, small),
            *_normalized(channels[0]),
        ]
        for before, after in zip(channels[:-1], channels[1:], strict=True):
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False), *_normalized(after)]
        layers.append(nn.ConvTranspose2d(channels[-1], colors, 4, stride=2, padding=1))
        self.layers = _drawn(layers, std)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x).flatten(1))


@register("model", "dcgan_discriminator")
class DCGANDiscriminator(Model):
    """(Conv - [BatchNorm] - LeakyReLU) for each of ``channels``, then Linear: (N, H, W, C) -> (N, out_features).

    Each convolution, 4 x 4 with stride 2, halves the image; the first has no batch norm, in place of it a bias.
    Weights are drawn from N(0, std^2). (Radford, Metz & Chintala 2016.)

    Args:
        in_shape: (H, W, C).
        out_features: 1 as a discriminator, or the number of classes.
        channels: output channels of the convolutions.
        batch_norm: whether all but the first are normalized; a batch then has to be of one kind.
        std: of the initial weights.
    Raises:
        ShapeError: an input is no image, or the convolutions leave nothing of it.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: list[Count],
        batch_norm: bool = True,
        std: Positive = 0.02,
    ):
        super().__init__(in_shape, out_features)
        height, width, before = image_shape("dcgan_discriminator", in_shape)
        layers: list[nn.Module] = []
        for i, after in enumerate(channels):
            normalized = batch_norm and i > 0
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normalized))
            layers += [nn.BatchNorm(after)] if normalized else []
            layers.append(nn.LeakyReLU(SLOPE))
            height, width, before = height // 2, width // 2, after
        if height < 1 or width < 1:
            raise ShapeError(f"dcgan_discriminator: {len(channels)} halvings leave nothing of an image {self.in_shape}")
        self.layers = _drawn([*layers, nn.Flatten(), nn.Linear(height * width * before, self.out_features)], std)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))


def _normalized(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm(channels), nn.ReLU()]


def _drawn(layers: list[nn.Module], std: float) -> nn.Sequential:
    """The layers one after another, their weights drawn from N(0, std^2), their biases 0."""
    fill = initializer({"name": "normal", "std": std}).fill
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fill(layer)
    return nn.Sequential(*layers)
