"""A small net that learns CIFAR-10 to 94 % in the fewest operations (lecture 9; Jordan 2024, "94 % on CIFAR-10 in 3.29
seconds on a single GPU")."""

from math import prod

import numpy as np

from dlcourse import backend, nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError
from dlcourse.models.base import Model
from dlcourse.models.cnn import image_shape
from dlcourse.nn import init
from dlcourse.registry import register
from dlcourse.types import Count, Positive, Probability

__all__ = ["AirBench"]

_CHUNK = 250
"""Images whose patches are held at once."""


class ConvGroup(nn.Module):
    """Conv - max pool - norm - GELU - conv - norm - GELU: half the image's size, ``out_channels`` wide."""

    def __init__(self, in_channels: int, out_channels: int, norm_momentum: float):
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = _norm(out_channels, norm_momentum)
        self.conv2 = _conv(out_channels, out_channels)
        self.norm2 = _norm(out_channels, norm_momentum)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.pool(self.conv1(x))))
        return self.activation(self.norm2(self.conv2(x)))


@register("model", "airbench")
class AirBench(Model):
    """Whitening convolution - GELU, a :class:`ConvGroup` for each of ``channels``, max pool 3, Linear / its width:
    (N, H, W, C) -> (N, out_features). With the defaults and images of 32 x 32 it is "airbench94".

    The whitening convolution has 2 k k C filters that are taken from the data (:meth:`adapt`) and not trained, only its
    bias is: for each eigenvector v of the patches' second moments, with eigenvalue s, v / sqrt(s + whiten_eps) and its
    negative. What it gives is uncorrelated, with about one variance.

    The other convolutions begin as the identity: their first in_channels filters pass on a channel each (Dirac), the
    rest is drawn as PyTorch does. Batch norms have a bias only; the head's weights begin with standard deviation 1.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        channels: output channels of the groups; each halves the image.
        whiten_kernel_size: k, side of the whitened patches.
        whiten_eps: added to the eigenvalues.
        whiten_samples: the first so many training images are looked at.
        norm_momentum: the share of a new batch in batch norm's running averages.
    Raises:
        ShapeError: an input is no image, or the poolings leave nothing of it.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: list[Count] = [64, 256, 256],  # noqa: B006 - is only read
        whiten_kernel_size: Count = 2,
        whiten_eps: Positive = 5e-4,
        whiten_samples: Count = 5000,
        norm_momentum: Probability = 0.4,
    ):
        super().__init__(in_shape, out_features)
        height, width, in_channels = image_shape("airbench", in_shape)
        self.whiten_eps, self.adapts_to = whiten_eps, whiten_samples
        filters = 2 * whiten_kernel_size**2 * in_channels
        self.whiten = nn.Conv2d(in_channels, filters, whiten_kernel_size)
        self.whiten.weight.requires_grad = False
        sides = [(side - whiten_kernel_size + 1) // 2 ** len(channels) // 3 for side in (height, width)]
        if min(sides) < 1:
            raise ShapeError(f"airbench: {len(channels)} groups and a pooling by 3 leave nothing of {self.in_shape}")
        groups = [ConvGroup(a, b, norm_momentum) for a, b in zip([filters, *channels], channels, strict=False)]
        last = channels[-1] if channels else filters
        self.layers = nn.Sequential(nn.GELU(), *groups, nn.MaxPool2d(3), nn.Flatten())
        self.head = nn.Linear(prod(sides) * last, self.out_features, bias=False)
        self.head.weight.data /= self.head.weight.data.std(ddof=1)

    def adapt(self, x: Array, y: Array) -> None:
        """Make the whitening filters of the images (N, H, W, C)."""
        filters = whitening_filters(backend.to_host(x), self.whiten.kernel_size[0], self.whiten_eps)
        self.whiten.weight.data = filters.astype(self.whiten.weight.dtype, copy=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.whiten(as_tensor(x)))) / self.head.in_features


def whitening_filters(images: np.ndarray, size: int, eps: float) -> Array:
    """Filters (2 k k C, k, k, C), float32 on the current device, that whiten the k x k patches of images (N, H, W, C).

    Computed on the host in float64, with the sign of an eigenvector chosen, so that each device gets the same.
    """
    moments = np.zeros(())
    for start in range(0, len(images), _CHUNK):
        views = np.lib.stride_tricks.sliding_window_view(images[start : start + _CHUNK], (size, size), axis=(1, 2))
        patches = views.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * images.shape[-1]).astype(np.float64)
        moments = moments + patches.T @ patches
    count = len(images) * (images.shape[1] - size + 1) * (images.shape[2] - size + 1)
    values, vectors = np.linalg.eigh(moments / count)
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(len(values))]) / np.sqrt(values + eps)
    filters = vectors.T.reshape(-1, size, size, images.shape[-1])
    return backend.current().asarray(np.concatenate([filters, -filters]), dtype=np.float32)


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    through = conv.weight.data[:in_channels]
    through[...] = init.dirac(through.shape)
    return conv


def _norm(channels: int, momentum: float) -> nn.BatchNorm:
    norm = nn.BatchNorm(channels, eps=1e-12, momentum=momentum)
    assert norm.weight is not None
    norm.weight.requires_grad = False
    return norm
