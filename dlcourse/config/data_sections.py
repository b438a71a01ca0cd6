"""The ``data`` section's keys that every data set has: how samples are split, limited, normalized and varied; see
:mod:`dlcourse.config.sections`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le, MinLen

from dlcourse.types import Count, Fraction, NonNegative, NonNegativeInt, Seed

__all__ = ["Augment", "ColorJitter", "DataOptions", "Folds", "Limit", "SplitSizes"]

Share = NonNegativeInt | Fraction
"""A count of samples, or a fraction of them between 0.0 and 1.0."""


@dataclass(frozen=True)
class SplitSizes:
    """How samples are dealt out: each split as a fraction (0.2) or a count (20); no sample is in two splits.

    Args:
        train: training split; left out, all that val and test leave.
        val: validation split, which chooses between models.
        test: test split, looked at once.
    """

    EXAMPLE: ClassVar[str] = "{val: 0.1, test: 0.1}"

    train: Share | None = None
    val: Share = 0
    test: Share = 0


@dataclass(frozen=True)
class Folds:
    """Cross-validation: what the test split leaves is cut into folds; one validates, the others train.

    Args:
        folds: how many.
        fold: which one validates, from 0.
    """

    EXAMPLE: ClassVar[str] = "{folds: 5, fold: 0}"

    folds: Annotated[int, Ge(2)]
    fold: NonNegativeInt = 0


@dataclass(frozen=True)
class Limit:
    """At most so many samples of each split, the first in order.

    Args:
        train: of the training split; with kfold, of what the folds share.
        val: of the validation split.
        test: of the test split.
    """

    EXAMPLE: ClassVar[str] = "{train: 1000}"

    train: Count | None = None
    val: Count | None = None
    test: Count | None = None


@dataclass(frozen=True)
class ColorJitter:
    """How far colors are changed, for each image in an order of its own, as by torchvision's transform of that name.

    Args:
        brightness: the colors times a factor up to so far from 1.
        contrast: the distance from the image's mean gray times such a factor.
        saturation: the distance from each pixel's gray times such a factor.
        hue: turned by up to this share of the circle each way, at most 0.5.
    """

    EXAMPLE: ClassVar[str] = "{brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}"

    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Ge(0), Le(0.5)] = 0.0


@dataclass(frozen=True)
class Augment:
    """How the images of a training step are varied, anew in each step; what has no pixel becomes 0.

    Args:
        flip: mirror left to right, every other image on average; alternating draws once which, and mirrors all of them
            in every other epoch, so that two epochs show each image both ways.
        crop: move by up to so many pixels each way: a random crop of the image padded by so many.
        cutout: blank a square of so many pixels a side about a random position.
        border: what a crop is padded with, zeros or the image mirrored at its edge.
        color_jitter: change brightness, contrast, saturation and hue, before all else.
        mixup: alpha of Beta(alpha, alpha), by whose draws each image, and its label, is mixed with another (0: not).
        cutmix: alpha of Beta(alpha, alpha), which says how large a box of another image is pasted in, and how much its
            label counts (0: not); with mixup each batch is mixed by one of the two.
        erase: probability of blanking a rectangle of 2 to 33 % of the image, of random shape and place.
    """

    EXAMPLE: ClassVar[str] = "{flip: true, crop: 4}"

    flip: bool | Literal["alternating"] = False
    crop: NonNegativeInt = 0
    cutout: NonNegativeInt = 0
    border: Literal["zero", "reflect"] = "zero"
    color_jitter: ColorJitter | None = None
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    erase: Fraction = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.color_jitter, Mapping):
            object.__setattr__(self, "color_jitter", ColorJitter(**self.color_jitter))


@dataclass(frozen=True)
class DataOptions:
    """Keys that every data set has beside its own.

    Args:
        split: fractions or counts of the training, validation and test split.
        kfold: cross-validation instead of a fixed validation split.
        stratify: keep the classes' shares equal in all splits.
        only_classes: only the samples of these classes, which are numbered in this order.
        limit: at most so many samples of each split.
        normalize: shift and scale the inputs by statistics of the training split, of each feature (those of categories
            stay 0 and 1), or of each channel of images: to mean 0 and standard deviation 1 (standardize) or to the
            range 0 to 1 (minmax). per_pixel does as standardize for each pixel and channel; mean_image subtracts the
            mean of each, no more.
        normalize_target: shift and scale the targets of a regression, each to mean 0 and standard deviation 1 over the
            training split, for the model to learn; metrics, plots and predictions are in the targets' own units, the
            loss is that of the scaled ones.
        augment: vary the images of each training step at random.
        bootstrap: train on as many samples as the training split has, drawn from it with replacement by this seed, as
            bagging does; what is measured, and statistics for normalizing, are those of the whole split.
        shuffle: deal the samples out in random order, by the seed; false keeps the order of the file.
    """

    split: SplitSizes = SplitSizes()
    kfold: Folds | None = None
    stratify: bool = False
    only_classes: Annotated[list[str | int], MinLen(2)] | None = None
    limit: Limit | None = None
    normalize: Literal["none", "standardize", "per_pixel", "mean_image", "minmax"] = "none"
    normalize_target: Literal["none", "standardize"] = "none"
    augment: Augment | None = None
    bootstrap: Seed | None = None
    shuffle: bool = True
