"""Convolutions along the steps of a sequence of numbers (Bai, Kolter and Koltun 2018)."""

from collections.abc import Mapping
from typing import Any

from dlcourse import nn
from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentError
from dlcourse.models.sequence import Pool, Scan, SequenceModel, sequence_shape
from dlcourse.registry import register
from dlcourse.types import Count, Probability

__all__ = ["Conv1D"]


@register("model", "conv1d")
class Conv1D(SequenceModel):
    """(Convolution over the steps - [BatchNorm] - ReLU - [Dropout]) for each of ``channels``, then Linear: at every
    step where the data have a target at every step, else on the mean over all steps (or as ``pool`` says).

    A convolution keeps the number of steps. Causal, a step sees itself and those before it, in all
    1 + (kernel_size - 1) times the sum of the dilations; else as many to both sides together, also those to come: with
    targets that are later values of the inputs, it would read the answer.

    Args:
        in_shape: (T, D), or an image (H, W, C).
        out_features: number of classes, or width of the target.
        channels: output channels of the convolutions.
        kernel_size: steps that a convolution looks at; odd unless causal.
        dilations: for each convolution the distance of these steps from each other, such as [1, 2, 4]; 1 if left out.
        causal: whether a step sees no later one.
        batch_norm: whether each convolution is normalized; it has no bias then.
        dropout: probability of dropping a feature after each convolution, in training.
        pool: what of the steps goes into a single output: the last, or the mean or the maximum over all.
        scan: how an image is read: its rows are the steps, H of W C numbers, or its pixels, H W of C.
    Raises:
        ShapeError: an input is no sequence.
        ValueError: ``kernel_size`` is even and not causal, or there are not as many dilations as channels.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        channels: list[Count],
        kernel_size: Count = 3,
        dilations: list[Count] | None = None,
        causal: bool = True,
        batch_norm: bool = False,
        dropout: Probability = 0.0,
        pool: Pool = "mean",
        scan: Scan = "rows",
    ):
        _, width = sequence_shape("conv1d", in_shape, scan)
        self.check_settings(
            {"channels": channels, "kernel_size": kernel_size, "dilations": dilations, "causal": causal}
        )
        layers: list[nn.Module] = []
        for out_channels, dilation in zip(channels, dilations or [1] * len(channels), strict=True):
            layers.append(_Convolution(width, out_channels, kernel_size, dilation, causal, bias=not batch_norm))
            layers += [nn.BatchNorm(out_channels)] if batch_norm else []
            layers.append(nn.ReLU())
            layers += [nn.Dropout(dropout)] if dropout else []
            width = out_channels
        super().__init__(in_shape, out_features, nn.Sequential(*layers), width, pool, 0.0, scan)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        channels, dilations = settings.get("channels"), settings.get("dilations")
        size, causal = settings.get("kernel_size", 1), settings.get("causal", True)
        if channels is not None and not channels:
            raise ArgumentError("conv1d: needs at least one number in channels")
        if size % 2 == 0 and not causal:
            raise ArgumentError(f"conv1d: kernel_size is odd, so that the sequence keeps its length, got {size}")
        if channels and dilations is not None and len(dilations) != len(channels):
            raise ArgumentError(f"conv1d: {len(dilations)} dilations for {len(channels)} channels, expected as many")


class _Convolution(nn.Module):
    """(N, T, C) -> (N, T, out), as a convolution of images of one row."""

    def __init__(self, width: int, out: int, kernel_size: int, dilation: int, causal: bool, bias: bool):
        super().__init__()
        reach = (kernel_size - 1) * dilation
        padding = 0, reach if causal else reach // 2
        self.conv = nn.Conv2d(width, out, (1, kernel_size), padding=padding, dilation=(1, dilation), bias=bias)

    def forward(self, x: Any) -> Tensor:
        steps = x.shape[1]
        return self.conv(x[:, None])[:, 0, :steps]  # causal: what lies behind the last step is cut off
