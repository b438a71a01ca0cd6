"""Nets that see a noisy input and how noisy it is, for models that take noise away: (x, t) -> an array of x's shape."""

import math
from typing import Any

from dlcourse import nn
from dlcourse.autograd import Tensor
from dlcourse.autograd.joining import cat
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError
from dlcourse.models.cnn import image_shape
from dlcourse.nn.initializer import initializer

__all__ = ["DenoisingMLP", "TimeEmbedding", "UNet"]

_LONGEST = 10_000.0
"""The longest wave of a position's sinusoids over 2 pi (Vaswani et al. 2017)."""
_GROUPS = 8


class TimeEmbedding(nn.Module):
    """Linear - SiLU - Linear - SiLU of the sinusoids of times (N,) -> (N, width).

        cos(t w_k), sin(t w_k),   w_k = 10000^(-2 k / width),  k = 0 ... width / 2 - 1

    (Ho et al. 2020, as the positions of Vaswani et al. 2017.)
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Array, dtype: Any = "float32") -> Tensor:
        xp = array_module(t)
        waves = xp.exp(xp.arange(self.width // 2, dtype="float32") * (-2 * math.log(_LONGEST) / self.width))
        angles = t[:, None].astype("float32") * waves
        return self.layers(Tensor(xp.concatenate([xp.cos(angles), xp.sin(angles)], axis=1).astype(dtype)))


class DenoisingMLP(nn.Module):
    """For vectors: h <- SiLU(W h + b + V e(t)) for each hidden layer, then Linear; e is a :class:`TimeEmbedding`.

    The first h is x, beside it sin(2^k pi / 2 x) and cos(2^k pi / 2 x) for k = 0 ... ``frequencies`` - 1: with them
    it learns what changes within a short way (Tancik et al. 2020, "Fourier features let networks learn high frequency
    functions in low dimensional domains").

    Args:
        in_features: of an input, and of the output.
        hidden: widths of the hidden layers.
        frequencies: of the sinusoids of each number.
    """

    def __init__(self, in_features: int, hidden: list[int], frequencies: int = 0):
        super().__init__()
        self.frequencies = frequencies
        width, first = 2 * -(-max(hidden, default=2) // 2), in_features * (1 + 2 * frequencies)
        self.embedding = TimeEmbedding(width)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip([first, *hidden], hidden, strict=False))
        self.times = nn.ModuleList(nn.Linear(width, b) for b in hidden)
        self.activation = nn.SiLU()
        self.output = nn.Linear(hidden[-1] if hidden else first, in_features)
        for layer in (*self.layers, *self.times):
            initializer("auto").fill(layer, nn.SiLU.gain, nn.SiLU.saturates)

    def forward(self, x: Tensor, t: Array) -> Tensor:
        e, h = self.embedding(t, x.dtype), x.flatten(1)
        angles = [h * (2**k * math.pi / 2) for k in range(self.frequencies)]
        if angles:
            h = cat([h, *(wave for angle in angles for wave in (angle.sin(), angle.cos()))], dim=1)
        for layer, time in zip(self.layers, self.times, strict=True):
            h = self.activation(layer(h) + time(e))
        return self.output(h).reshape(x.shape)


class TimedBlock(nn.Module):
    """x -> shortcut(x) + conv2(SiLU(norm2(conv1(SiLU(norm1(x))) + V e))): (N, H, W, in) -> (N, H, W, out).

    ``conv2`` begins at zero, so that a new block passes on its input.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int):
        super().__init__()
        self.norm1 = _norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(width, out_channels)
        self.norm2 = _norm(out_channels)
        self.conv2 = _zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(self.activation(self.norm1(x))) + self.time(e).reshape(len(e), 1, 1, -1)
        return self.shortcut(x) + self.conv2(self.activation(self.norm2(h)))


class UNet(nn.Module):
    """For images: blocks on the way down to few pixels, and on the way up, where each also sees what its level gave on
    the way down (Ronneberger et al. 2015; with time Ho et al. 2020).

    At each level but the last a :class:`TimedBlock`, then a convolution of stride 2; two blocks at the last; then up: a
    convolution of the doubled pixels, and a block of that and the level's earlier output.

    Args:
        in_shape: (H, W, C).
        channels: of each level; each has half the side of the one before.
        patch: the pixels of patches of so many a side are channels to it, which makes it fast.
    Raises:
        ShapeError: an input is no image, or its sides cannot be halved so often.
    """

    def __init__(self, in_shape: tuple[int, ...], channels: list[int], patch: int = 1):
        super().__init__()
        height, width, depth = image_shape("diffusion", in_shape)
        least = patch * 2 ** (len(channels) - 1)
        if height % least or width % least:
            raise ShapeError(
                f"diffusion: patches of {patch} pixels and {len(channels)} levels (channels) want sides that {least} "
                f"divides, got images of {height} x {width}"
            )
        time, depth = 4 * channels[0], depth * patch**2
        self.embedding = TimeEmbedding(time)
        self.cut, self.join = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)
        self.input = nn.Conv2d(depth, channels[0], 3, padding=1)
        pairs = list(zip(channels, channels[1:], strict=False))
        self.down = nn.ModuleList(TimedBlock(a, a, time) for a, _ in pairs)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.middle = nn.ModuleList(TimedBlock(channels[-1], channels[-1], time) for _ in range(2))
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in pairs)
        self.up = nn.ModuleList(TimedBlock(2 * a, a, time) for a, _ in pairs)
        self.larger = nn.Upsample(scale_factor=2)
        self.norm, self.activation = _norm(channels[0]), nn.SiLU()
        self.output = _zero(nn.Conv2d(channels[0], depth, 3, padding=1))

    def forward(self, x: Tensor, t: Array) -> Tensor:
        e, h, passed = self.embedding(t, x.dtype), self.input(self.cut(x)), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            passed.append(block(h, e))
            h = shrink(passed[-1])
        for block in self.middle:
            h = block(h, e)
        levels = list(zip(self.up, self.grow, passed, strict=True))
        for block, grow, before in reversed(levels):
            h = block(cat([grow(self.larger(h)), before], dim=-1), e)
        return self.join(self.output(self.activation(self.norm(h))))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    for parameter in conv.parameters():
        parameter.data[...] = 0
    return conv
