"""Transformers of images: patches, or what convolutions make of the image, are the tokens (lecture 14)."""

from collections.abc import Mapping
from typing import Any, Literal

from dlcourse import nn
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.autograd.joining import cat
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.models.base import Model
from dlcourse.models.cnn import conv_relu, image_shape
from dlcourse.models.transformer import check_attention
from dlcourse.nn import init
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["VisionTransformer"]

STD = 0.02
"""Of the initial positions and class token, as in the paper's code."""


@register("model", "vit")
class VisionTransformer(Model):
    """Tokens of the image, a vector added for the place of each, pre-norm encoder layers, norm, pool, Linear:
    (N, H, W, C) -> (N, out_features).

    By default it is ViT (Dosovitskiy et al. 2020): the image is cut into patches, one linear layer makes a token of
    each (a convolution whose step is its kernel's size), and the answer is read from a class token that is put before
    them. With ``tokenizer`` and ``pool: sequence`` it is the compact convolutional transformer (CCT, Hassani et al.
    2021), which needs fewer images: convolutions make the tokens, and the answer is read from the mean of all tokens,
    weighted by the softmax of a score of each.

    Args:
        in_shape: (H, W, C).
        out_features: number of classes, or width of the target.
        patch_size: side of a patch, which divides the image's sides; 4 where left out.
        tokenizer: in place of patches: output channels of 3x3 convolutions that stand before a last one to ``width``;
            each is followed by a ReLU and a max pooling of 3x3 that halves the image. ``[64]``: two convolutions.
        batch_norm: whether the tokenizer's convolutions are normalized (Xiao et al. 2021); they have no bias then.
        layers: encoder layers.
        heads: attention heads; a divisor of ``width``.
        width: length of a token's vector.
        feedforward: width between the two linear layers of an encoder layer; 4 times ``width`` where left out.
        pool: what the last layer sees: the class ``token``, the weighted mean of the ``sequence``, or its ``mean``.
        positions: what is added to the tokens: ``learned`` vectors, or ``sinusoidal`` ones (Vaswani et al. 2017).
        dropout: probability of dropping an element of a branch, an embedding or an attention weight, in training.
    Raises:
        ShapeError: an input is no image, or patches or poolings do not fit it.
        ArgumentError: ``patch_size`` stands beside ``tokenizer``, ``batch_norm`` without it, or the width does not
            fall into the heads.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        patch_size: Count | None = None,
        tokenizer: list[Count] | None = None,
        batch_norm: bool = False,
        layers: Depth = 6,
        heads: Count = 4,
        width: Count = 128,
        feedforward: Count | None = None,
        pool: Literal["token", "sequence", "mean"] = "token",
        positions: Literal["learned", "sinusoidal"] = "learned",
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        height, side, channels = image_shape("vit", in_shape)
        self.check_settings({"patch_size": patch_size, "tokenizer": tokenizer, "batch_norm": batch_norm})
        self.pool = pool
        self.tokenizer, shrink = (
            _patches(channels, width, patch_size or 4, (height, side))
            if tokenizer is None
            else _convolutions([channels, *tokenizer, width], batch_norm)
        )
        rows, columns = (-(-edge // shrink) for edge in (height, side))
        self.class_token = Parameter(init.normal((width,), std=STD)) if pool == "token" else None
        tokens = rows * columns + (pool == "token")
        learned = positions == "learned"
        self.position_embedding = Parameter(init.normal((tokens, width), std=STD)) if learned else None
        self.position_encoding = None if learned else nn.PositionalEncoding(width, tokens)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, heads, feedforward or 4 * width, dropout, "gelu", norm_first=True)
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1) if pool == "sequence" else None
        self.head = nn.Linear(width, self.out_features)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        check_attention(settings)
        if settings.get("tokenizer", ()) is None:
            if settings.get("batch_norm"):
                raise ArgumentError("vit: batch_norm is of the tokenizer's convolutions, and there is no tokenizer")
        elif settings.get("patch_size") is not None:
            raise ArgumentError("vit: tokens come from patches or from a tokenizer; leave out patch_size or tokenizer")

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokenizer(as_tensor(x)).flatten(1, 2)
        if self.class_token is not None:
            h = cat([self.class_token.expand(len(h), 1, -1), h], 1)
        h = h + self.position_embedding if self.position_encoding is None else self.position_encoding(h)
        return self.head(self._pooled(self.norm(self.blocks(self.dropout(h)))))

    def _pooled(self, h: Tensor) -> Tensor:
        """One vector (N, width) of the tokens (N, T, width)."""
        if self.class_token is not None:
            return h[:, 0]
        if self.score is None:
            return h.mean(axis=1)
        weights = self.score(h).softmax(axis=1)
        return (weights.transpose(1, 2) @ h).squeeze(1)


def _patches(channels: int, width: int, size: int, image: tuple[int, int]) -> tuple[nn.Module, int]:
    """One linear layer for all patches, and how many pixels a token is wide."""
    if any(edge % size for edge in image):
        raise ShapeError(f"vit: patches of {size} x {size} pixels do not divide an image of {image[0]} x {image[1]}")
    return nn.Conv2d(channels, width, size, stride=size), size


def _convolutions(channels: list[int], batch_norm: bool) -> tuple[nn.Module, int]:
    """A convolution, ReLU and pooling for each pair of neighbors, and how many pixels a token is wide."""
    modules: list[nn.Module] = []
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        modules += [*conv_relu(before, after, 3, batch_norm), nn.MaxPool2d(3, stride=2, padding=1)]
    return nn.Sequential(*modules), 2 ** (len(channels) - 1)
