"""The samples of a split as arrays, as Python code wants them."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dlcourse.data.normalizer import Normalizer, TargetNormalizer
from dlcourse.errors import ArgumentTypeError
from dlcourse.habits import missing

if TYPE_CHECKING:
    from dlcourse.data.dataset import Split

__all__ = ["Samples"]


class Samples:
    """The inputs and targets of one split, as NumPy arrays: ``x, y = data.train``; also ``data.train[0]`` and
    ``data.train[1]``.

    Attributes:
        split: the raw samples, and which of the data set they are.
        normalizer, target_normalizer: fitted on the training split.
    """

    def __init__(self, split: "Split", normalizer: Normalizer, target_normalizer: TargetNormalizer | None = None):
        self.split, self.normalizer, self.target_normalizer = split, normalizer, target_normalizer

    @cached_property
    def inputs(self) -> np.ndarray:
        """(N, D) features or (N, H, W, C) images in float32 where ``normalize`` was asked for, else as the data set has
        them (images in uint8, 0..255); (N, T) tokens in int64."""
        x = self.split.x
        return np.asarray(x) if self.normalizer.identity else self.normalizer.apply(np.asarray(x), np.float32)

    @cached_property
    def targets(self) -> np.ndarray:
        """(N,) class labels in int64, (N, K) numbers of a regression, in their own unit or standardized where
        ``normalize_target`` was asked for; (N, T) tokens, each the next of an input's."""
        y = self.split.y
        return np.asarray(y) if self.target_normalizer is None else self.target_normalizer.apply(y, np.float32)

    @property
    def index(self) -> np.ndarray:
        """(N,) the number of each sample in the data set, or in the split's own file."""
        return self.split.index

    def __len__(self) -> int:
        return len(self.split)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Inputs, then targets: to be unpacked."""
        return iter((self.inputs, self.targets))

    def __getitem__(self, index: int) -> np.ndarray:
        """The inputs by 0, the targets by 1, as of a pair."""
        if index not in (0, 1):
            raise ArgumentTypeError(
                f"a split is a pair: [0] is its inputs, [1] its targets; got [{index!r}]. A sample is "
                "data.train.inputs[i], data.train.targets[i]"
            )
        return self.targets if index else self.inputs

    if not TYPE_CHECKING:  # a type checker knows what is there

        def __getattr__(self, name: str) -> object:
            """Only for what is not there: advice for names that others have."""
            raise missing("samples", name, f"'Samples' object has no attribute {name!r}", self)

    def __repr__(self) -> str:
        x, y = self.split.x, self.split.y
        inputs = f"inputs {tuple(x.shape)} {x.dtype if self.normalizer.identity else 'float32'}"
        targets = f"targets {tuple(y.shape)} {y.dtype if self.target_normalizer is None else 'float32'}"
        return f"Samples({inputs}, {targets})"
