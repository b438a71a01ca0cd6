"""A data set before and after it is split: plain host arrays with their names and units."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.config.data_sections import Augment
from dlcourse.data.byte_pairs import BytePairs
from dlcourse.data.encoder import Column, TableEncoder
from dlcourse.data.image_file import Fit
from dlcourse.data.long_table import SeriesColumns
from dlcourse.data.normalizer import Normalizer, TargetNormalizer
from dlcourse.data.rows import Rows, chunks
from dlcourse.data.samples import Samples
from dlcourse.errors import DataError
from dlcourse.habits import missing
from dlcourse.markup import html_table
from dlcourse.special_tokens import has_special

Task = Literal["regression", "classification", "estimation"]

_CHUNK = 1 << 20  # numbers looked at at a time


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in raw units, as a data set's ``load(seed)`` returns them."""

    x: np.ndarray
    """(N, D) features in floating point, (N, T, D) series, (N, H, W, C) images in uint8, or (N, T) tokens in
    int64; may be memory-mapped."""
    y: np.ndarray
    """(N, K) floating point for a regression, (N,) int64 class labels; (N, T, K) and (N, T) where each step of a
    sequence has a target; for an estimation the samples themselves."""
    task: Task
    feature_names: tuple[str, ...] = ()
    """By default x, or x1, x2, ..."""
    feature_units: tuple[str, ...] = ()
    target_name: str = "y"
    target_unit: str = ""
    target_names: tuple[str, ...] = ()
    """One for each of K targets of a regression, which are then measured each by itself too; left out, they are not."""
    target_units: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    """One for each class, in the order of the labels."""
    curve: Callable[[np.ndarray], np.ndarray] | None = None
    """The known E[y | x], (N, D) -> (N, K)."""
    noise: float | None = None
    """The known standard deviation of y about it."""
    true_parameters: Mapping[str, float] = field(default_factory=dict)
    """The numbers that the data were drawn with."""
    test: tuple[np.ndarray, np.ndarray] | None = None
    """A test split of its own, x and y, where the data set brings one."""
    val: tuple[np.ndarray, np.ndarray] | None = None
    """A validation split of its own, likewise."""
    encoder: TableEncoder | None = None
    """Turns new inputs into rows of x, as ``predict`` needs: one numeric column a feature unless the data set says
    otherwise; None for images and tokens."""
    fill_missing: bool = False
    """Whether NaN in x stands for a missing value, to be replaced by a statistic of the training split."""
    fill_with: tuple[Literal["", "mean", "median"], ...] = ()
    """By which, for each column of the encoder; of a categorical column ``mean`` is the categories' shares, ``median``
    the most frequent one. Left out: the mean, for all."""
    series: SeriesColumns | None = None
    """How rows of a file are the steps of x, (N, T, D), which the encoder turns one by one; None where x are no such
    series."""
    image_fit: Fit | None = None
    """How images came from files of other sizes, as :func:`~dlcourse.data.image_file.read_image` did it; None where
    x came otherwise."""
    tokens: bool = False
    """Whether x are the numbers of tokens in sequences: they are looked up, and neither scaled nor turned to float."""
    tokenizer: BytePairs | None = None
    """What makes these tokens of a text; None where they are characters."""
    token_names: tuple[str, ...] = ()
    """One for each token, where x are tokens; left out, the class names are."""
    source: str = ""
    """The file, for messages."""

    @property
    def named_targets(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each of several targets, where they have names."""
        units = self.target_units or ("",) * len(self.target_names)
        return tuple(zip(self.target_names, units, strict=True))

    @property
    def pairs(self) -> bool:
        """Whether x are sequences of tokens and y others, of other lengths, that answer them."""
        return self.tokens and has_special(self.class_names)

    @property
    def own_splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The splits besides x and y that the data set brings, by name."""
        return {name: own for name, own in (("val", self.val), ("test", self.test)) if own is not None}

    @property
    def of_categories(self) -> np.ndarray | None:
        """Which features, (D,), are the zeros and ones of a column of categories; None where none are."""
        columns = self.encoder.columns if self.encoder else ()
        flags = [each.categories is not None for each in columns for _ in range(each.width)]
        return np.array(flags) if any(flags) and len(flags) == self.x.shape[-1] else None

    def __post_init__(self) -> None:
        if self.tokens and not self.token_names:
            object.__setattr__(self, "token_names", self.class_names)
        if self.x.ndim != 2 or self.tokens:
            return
        width = self.x.shape[1]
        names = self.feature_names or (("x",) if width == 1 else tuple(f"x{i + 1}" for i in range(width)))
        units = self.feature_units or ("",) * width
        encoder = self.encoder or TableEncoder(tuple(Column(name) for name in names))
        for key, value in (("feature_names", names), ("feature_units", units), ("encoder", encoder)):
            object.__setattr__(self, key, value)


@dataclass(frozen=True)
class DataSchema:
    """What a trained model knows of its data."""

    encoder: TableEncoder | None
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """One split: raw host arrays, and which samples of the data set they are (of its own test split, if it has one)."""

    x: np.ndarray | Rows
    """Images that do not follow one another in the data set, and others in a file, are :class:`Rows` of it."""
    y: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @property
    def stride(self) -> int:
        """Rows of the store from one sample to the next, see :class:`~dlcourse.data.sampler.Sampler`."""
        return 1

    @property
    def offsets(self) -> int:
        """How many rows an epoch may begin at."""
        return 1

    @property
    def on_disk(self) -> bool:
        """Whether x is memory-mapped: it may be larger than memory."""
        return isinstance(self.x.array if isinstance(self.x, Rows) else self.x, np.memmap)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, split, with the normalizer that its training split fitted."""

    dataset: Dataset
    splits: dict[str, Split]
    """``train`` and, where there are such, ``val`` and ``test``."""
    normalizer: Normalizer
    augment: Augment | None = None
    """What is done to the images that a training step sees."""
    target_normalizer: TargetNormalizer | None = None
    """What scales the targets for a model to learn, fitted on the training split; None where nothing does. The splits
    have raw ones."""
    name: str = ""
    """The data set's."""
    bootstrap: int | None = None
    """The seed by which the samples to train on are drawn from the training split; None: all of them."""

    @cached_property
    def to_train_on(self) -> Split:
        """The training split, or as many samples of it drawn with replacement."""
        split = self.splits["train"]
        if self.bootstrap is None:
            return split
        drawn = np.sort(generator(self.bootstrap, "data bootstrap").integers(len(split), size=len(split)))
        of_images = isinstance(split.x, Rows) or split.x.ndim > 2 or split.on_disk
        base = split.x if isinstance(split.x, Rows) else Rows(split.x, np.arange(len(split)))
        x = Rows(base.array, base.index[drawn]) if of_images else split.x[drawn]
        return Split(x, split.y[drawn], split.index[drawn])

    @cached_property
    def train(self) -> Samples:
        """The training split, as arrays."""
        return self._samples("train")

    @cached_property
    def val(self) -> Samples:
        """The validation split; AttributeError where there is none."""
        return self._samples("val")

    @cached_property
    def test(self) -> Samples:
        """The test split, likewise."""
        return self._samples("test")

    def _samples(self, name: str) -> Samples:
        if name not in self.splits:
            there = ", ".join(self.splits)
            raise AttributeError(
                f"these data have no {name} split, only {there}; ask for one: split={{{name!r}: 0.2}}, a fraction or a "
                "count"
            )
        return Samples(self.splits[name], self.normalizer, self.target_normalizer)

    if not TYPE_CHECKING:  # a type checker knows what is there

        def __getattr__(self, name: str) -> object:
            """Only for what is not there: a split that was not asked for, and advice for names that others have."""
            if name in ("train", "val", "test"):
                return self._samples(name)
            raise missing("data", name, f"'Data' object has no attribute {name!r}", self)

    def __iter__(self) -> Iterator[Samples]:
        """The splits that are there, in the order train, val, test: to be unpacked."""
        return (getattr(self, name) for name in self.splits)

    def __repr__(self) -> str:
        classes = f", {self.out_features} classes" if self.task == "classification" else ""
        counts = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        inputs = f"inputs {tuple(self.in_shape)} {self.dataset.x.dtype}"
        return f"Data({self.name}{': ' if self.name else ''}{self.task}{classes}; {counts}; {inputs})"

    def _repr_html_(self) -> str:
        """The splits as a table, for a notebook."""
        shapes = (self.in_shape, self.dataset.y.shape[1:])
        rows = [
            [name, *(" x ".join(map(str, (len(split), *shape))) for shape in shapes)]
            for name, split in self.splits.items()
        ]
        return html_table(["", "inputs", "targets"], rows, [repr(self)])

    @property
    def class_names(self) -> tuple[str, ...]:
        """One for each class, in the order of the labels; of a text the tokens."""
        return self.dataset.class_names

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One for each column of a table's inputs."""
        return self.dataset.feature_names

    @property
    def task(self) -> Task:
        """``regression``, ``classification`` or ``estimation``."""
        return self.dataset.task

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one input: (D,), (H, W, C) or (T,)."""
        return self.dataset.x.shape[1:]

    @property
    def vocab_size(self) -> int | None:
        """How many tokens there are; None where inputs are numbers."""
        return len(self.dataset.token_names) if self.dataset.tokens else None

    @property
    def out_features(self) -> int:
        """The number of classes, or the width of the target."""
        return len(self.dataset.class_names) if self.task == "classification" else self.dataset.y.shape[-1]

    @property
    def every_step(self) -> bool:
        """Whether a sample is a sequence with a target at each of its steps."""
        return self.dataset.y.ndim == (2 if self.task == "classification" else 3)


def check(dataset: Dataset) -> None:
    """Raise DataError, naming the row (counted from 0), where samples are missing, odd in shape, or not finite.

    NaN in x is fine where it is to be filled.
    """
    for problem in _problems(dataset):
        raise DataError(f"{dataset.source}: {problem}" if dataset.source else problem)


def _problems(dataset: Dataset) -> Iterator[str]:
    if dataset.target_names and dataset.y.shape[1:] != (len(dataset.target_names),):
        yield f"{len(dataset.target_names)} names for targets of shape {dataset.y.shape}"
    yield from _array_problems(dataset, dataset.x, dataset.y, "")
    for name, own in dataset.own_splits.items():
        (x, y), (rest_x, rest_y) = own, (dataset.x, dataset.y)
        yield from _array_problems(dataset, x, y, f"{name} ")
        if (x.shape[1:], y.shape[1:]) != (rest_x.shape[1:], rest_y.shape[1:]):
            of_rest = f"the rest {rest_x.shape[1:]} and {rest_y.shape[1:]}"
            yield f"the {name} split has inputs {x.shape[1:]} and targets {y.shape[1:]}, {of_rest}"


def _array_problems(dataset: Dataset, x: np.ndarray, y: np.ndarray, which: str) -> Iterator[str]:
    if len(x) != len(y):
        yield f"{len(x)} {which}inputs but {len(y)} {which}targets"
    if x.size == 0:
        yield f"the {which}inputs hold nothing: shape {x.shape}"
    for name, array in (("x", x), ("y", y)):
        nan_is_fine = name == "x" and dataset.fill_missing
        for start, chunk in chunks(array, _CHUNK) if array.dtype.kind == "f" else ():
            bad = np.isinf(chunk) if nan_is_fine else ~np.isfinite(chunk)
            if bad.any():
                row = int(bad.reshape(len(chunk), -1).any(axis=1).argmax())
                yield f"{which}{name} holds {chunk[row][bad[row]].flat[0]} in row {start + row} (the first is 0)"
    if dataset.task == "classification":
        classes = len(dataset.class_names)
        if classes < 2:
            yield "the target has one class only, so there is nothing to tell apart"
        wrong = (y < 0) | (y >= classes)
        if wrong.any():
            row = int(wrong.argmax())
            yield f"{which}label {y[row]} in row {row} (the first is 0) is not in 0..{classes - 1}"
