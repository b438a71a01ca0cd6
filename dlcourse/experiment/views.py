"""Test-time augmentation: the mean of what a model says to several views of an image."""

from typing import Literal, get_args

from dlcourse.autograd import Tensor
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.errors import UserError
from dlcourse.models.base import Model

__all__ = ["TestTime", "Views", "check_images", "over_views"]

TestTime = Literal["none", "flip", "flip_shift"]
PIXELS = 1


class Views(Model):
    """The weighted mean of a model's outputs for views of images (N, H, W, C).

    "flip": the image and its mirror image, 1/2 each. "flip_shift": these, 1/4 each, and both moved by a pixel up and
    left, and down and right, 1/8 each; what comes in at the border is the image mirrored at its edge. (Jordan 2024.)

    Args:
        model: of images; 16-bit outputs are averaged as they are.
        kind: which views.
    """

    def __init__(self, model: Model, kind: TestTime):
        super().__init__(model.in_shape, model.out_features)
        self.model, self.kind = model, kind
        self.every_step, self.target_names = model.every_step, model.target_names

    def forward(self, x: Tensor) -> Tensor:
        views = [(0.5, 0)] if self.kind == "flip_shift" else [(1.0, 0)]
        views += [(0.25, -PIXELS), (0.25, PIXELS)] if self.kind == "flip_shift" else []
        total: Tensor | None = None
        for share, pixels in views:
            for mirrored in (False, True):
                found = self.model(Tensor(view(x.data, mirrored, pixels))) * (share / 2)
                total = found if total is None else total + found
        assert total is not None
        return total


def view(images: Array, mirrored: bool, pixels: int) -> Array:
    """Images mirrored left to right, or moved down and right by so many pixels, or both."""
    xp = array_module(images)
    moved = images
    for axis in (1, 2) if pixels else ():
        last = images.shape[axis] - 1
        moved = moved.take(last - abs(last - abs(xp.arange(last + 1) - pixels)), axis=axis)
    return xp.ascontiguousarray(moved[:, :, ::-1]) if mirrored else moved


def check_images(kind: str, in_shape: tuple[int, ...], where: str) -> None:
    """Raise UserError where there are no such views, or of no such inputs.

    Args:
        where: the key or option that asks for them.
    """
    if kind not in get_args(TestTime):
        raise UserError(f"{where}: expected one of {', '.join(get_args(TestTime))}, got {kind!r}")
    if kind == "none":
        return
    if len(in_shape) != 3:
        raise UserError(f"{where}: {kind} needs images (height, width, channels), but an input here is {in_shape}")
    if kind == "flip_shift" and min(in_shape[:2]) <= PIXELS:
        raise UserError(f"{where}: {kind} needs images of at least 2 x 2, but an input here is {in_shape}")


def over_views(model: Model, kind: TestTime) -> Model:
    """The model itself for "none", else what averages over views."""
    return model if kind == "none" else Views(model, kind)
