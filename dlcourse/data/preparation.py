"""From the config's ``data`` section to split, normalized data."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from dlcourse import registry
from dlcourse.config.data_sections import Augment, ColorJitter, DataOptions, Folds, Limit, SplitSizes
from dlcourse.data import class_choice, splitting
from dlcourse.data.dataset import Data, DataSchema, Dataset, Split, check
from dlcourse.data.normalizer import Normalizer, TargetNormalizer
from dlcourse.data.rows import Rows
from dlcourse.errors import ConfigError, DataError

COMMON = frozenset(field.name for field in fields(DataOptions))
"""The keys of a config's ``data`` section that all data sets share."""


def prepare(
    section: Mapping[str, Any],
    seed: int,
    schema: DataSchema | None = None,
    dataset: Dataset | None = None,
    like: Data | None = None,
) -> Data:
    """Load the data set that a section names, split it, and fit the normalizer on the training split.

    Args:
        section: ``name``, the data set's parameters, and the keys of ``DataOptions``; what is left out has its default.
        seed: draws a synthetic data set (unless it has a seed of its own) and chooses the split.
        schema: what a trained model knows of columns and classes, by which a table or arrays are read then: a file of
            few rows need not show all categories.
        dataset: what an earlier call has read for a section that differs in its fold alone.
        like: what an earlier call has made of a section that differs in the data set's own seed alone: as many samples
            are split in the same way.
    Raises:
        ConfigError: a key or a split that cannot be.
        DataError: the data are not as they should be.
    """
    options = _options(section)
    if dataset is None:
        spec = {key: value for key, value in section.items() if key not in COMMON}
        named = registry.build("data", spec)
        if hasattr(named, "splits"):
            return replace(_sequence(named, options), name=section["name"])
        dataset = _loaded(named, options, seed, schema)
    if dataset.tokens and options.normalize != "none":
        raise ConfigError("data.normalize: has no meaning for a sequence of tokens; leave the key out")
    check_augment(options.augment, dataset.x, dataset.y, classes=dataset.task == "classification")
    if like is not None and _splits_alike(dataset, like.dataset, options):
        index = {name: split.index for name, split in like.splits.items()}
    else:
        index = _split(dataset, options, seed)
    if dataset.fill_missing:
        dataset = _filled(dataset, _statistics(dataset, index["train"]))
    splits = {}
    for name, rows in index.items():
        x, y = dataset.own_splits.get(name, (dataset.x, dataset.y))
        splits[name] = Split(_rows(x, rows), np.asarray(y[rows]), rows)
    normalizer = Normalizer.fit(splits["train"].x, options.normalize, dataset.of_categories)
    targets = _target_normalizer(dataset, splits["train"].y, options)
    return Data(dataset, splits, normalizer, options.augment, targets, section["name"], options.bootstrap)


def _loaded(named: Any, options: DataOptions, seed: int, schema: DataSchema | None) -> Dataset:
    # With only_classes the model knows some of the classes alone.
    as_trained = schema and hasattr(named, "load_as") and not options.only_classes
    dataset: Dataset = named.load_as(schema) if as_trained else named.load(seed)
    check(dataset)
    return class_choice.chosen(dataset, options.only_classes) if options.only_classes else dataset


def _options(section: Mapping[str, Any]) -> DataOptions:
    """The common keys of a section; mappings within them, as a config has them, become their options too."""
    options = {key: value for key, value in section.items() if key in COMMON}
    for key, cls in (("split", SplitSizes), ("kfold", Folds), ("limit", Limit), ("augment", Augment)):
        if isinstance(options.get(key), Mapping):
            options[key] = cls(**options[key])
    return DataOptions(**options)


def _sequence(named: Any, options: DataOptions) -> Data:
    """A data set that is cut by position, and so cuts itself."""
    refused = {
        "kfold": options.kfold,
        "stratify": options.stratify,
        "only_classes": options.only_classes,
        "normalize": options.normalize != "none",
        "normalize_target": options.normalize_target != "none",
        "augment": options.augment,
        "bootstrap": options.bootstrap is not None,
    }
    if wrong := [key for key, given in refused.items() if given]:
        raise ConfigError(f"data.{wrong[0]}: has no meaning for a sequence of tokens; leave the key out")
    sizes = {subset: size for subset, size in vars(options.split).items() if size is not None}
    dataset, splits = named.splits(sizes, vars(options.limit) if options.limit else {})
    check(dataset)
    return Data(dataset, splits, Normalizer.fit(dataset.x, "none"))


def _split(dataset: Dataset, options: DataOptions, seed: int) -> splitting.SplitIndices:
    """The indices of every subset; those of a split that the data set brings itself count in that."""
    sizes = {subset: size for subset, size in vars(options.split).items() if size is not None}
    for subset in dataset.own_splits:
        what = {"val": "validation"}.get(subset, subset)
        if sizes[subset]:
            raise ConfigError(f"data.split.{subset}: this data set brings a {what} split of its own; leave the key out")
        if subset == "val" and options.kfold:
            raise ConfigError(f"data.kfold: this data set brings a {what} split of its own; leave the key out")
    if options.stratify and dataset.task != "classification":
        raise ConfigError(f"data.stratify: needs classes, but this data set is for {dataset.task}")
    if options.stratify and dataset.y.ndim > 1:
        raise ConfigError("data.stratify: needs one class a sample, and these data have one at every step of a series")
    there = class_choice.members(dataset.y) if options.only_classes else np.arange(len(dataset.y))
    labels = dataset.y[there] if options.stratify else None
    if options.kfold:
        # The folds share what the test split leaves: sizes of train and val have no say.
        sizes = {"test": sizes["test"]}
    index = splitting.by_size(len(there), sizes, seed, labels=labels, shuffle=options.shuffle)
    if options.kfold:
        rest, folds, fold = index["train"], options.kfold.folds, options.kfold.fold
        if options.limit:
            rest = rest[: options.limit.train]
        of_rest = None if labels is None else labels[rest]
        index |= splitting.by_fold(rest, folds, fold, seed, labels=of_rest, shuffle=options.shuffle)
    index = {subset: there[rows] for subset, rows in index.items()}
    for subset, (_, y) in dataset.own_splits.items():
        index[subset] = class_choice.members(y) if options.only_classes else np.arange(len(y))
    index = {subset: index[subset] for subset in ("train", "val", "test") if subset in index}
    if options.limit:
        index = {subset: rows[: getattr(options.limit, subset)] for subset, rows in index.items()}
    return index


def _splits_alike(one: Dataset, other: Dataset, options: DataOptions) -> bool:
    """Whether the numbers of samples alone say how a data set is split, and are those of another one."""
    by_class = options.stratify or options.only_classes
    sizes = [[len(each.y), *((name, len(y)) for name, (_, y) in each.own_splits.items())] for each in (one, other)]
    return not by_class and sizes[0] == sizes[1]


def _target_normalizer(dataset: Dataset, train: np.ndarray, options: DataOptions) -> TargetNormalizer | None:
    """Fitted on the targets of the training split; None where they stay as they are."""
    if options.normalize_target == "none":
        return None
    if dataset.task != "regression":
        what = "class labels" if dataset.task == "classification" else "samples to estimate from"
        raise ConfigError(f"data.normalize_target: scales the numbers of a regression, and these targets are {what}")
    return TargetNormalizer.fit(train, options.normalize_target)


def check_augment(augment: Augment | None, x: Any, y: Any, classes: bool) -> None:
    """Raise ConfigError where images x (N, H, W, C) with these targets cannot be augmented so.

    Args:
        classes: whether the targets are labels of classes.
    """
    shape = x.shape[1:]
    if augment is None:
        return
    if len(shape) != 3:
        raise ConfigError(f"data.augment: needs images (height, width, channels), but a sample here is {shape}")
    for key in ("crop", "cutout"):
        pixels = getattr(augment, key)
        if pixels >= min(shape[:2]):
            raise ConfigError(f"data.augment.{key}: {pixels} pixels of {shape[0]} x {shape[1]} leave no image")
    if augment.border != "zero" and not augment.crop:
        raise ConfigError(f"data.augment.border: {augment.border} has no effect without crop; leave it out")
    for key in ("mixup", "cutmix"):
        if getattr(augment, key) and not (classes and y.ndim == 1):
            raise ConfigError(f"data.augment.{key}: mixes the labels of classes, and these targets are none")
    _check_jitter(augment.color_jitter, shape[2], x.dtype)


def _check_jitter(how: ColorJitter | None, channels: int, dtype: np.dtype) -> None:
    if how is None:
        return
    if dtype != np.uint8 or channels not in (1, 3):
        came = f"{channels} channels of {dtype}"
        raise ConfigError(f"data.augment.color_jitter: needs images in bytes, gray or in color, and these have {came}")
    if channels == 1 and (how.saturation or how.hue):
        raise ConfigError("data.augment.color_jitter: gray images have no saturation and no hue; leave these out")


def _rows(array: np.ndarray, index: np.ndarray) -> np.ndarray | Rows:
    """The rows of an ascending index; no copy where they follow one another, nor of images or what lies in a file."""
    first, last = index[0], index[-1]
    if last - first + 1 == len(index):
        return array[first : last + 1]
    return Rows(array, index) if array.ndim > 2 or isinstance(array, np.memmap) else array[index]


def _statistics(dataset: Dataset, train: np.ndarray) -> np.ndarray:
    """The mean or median of each column of x over the training split, (D,), without what is missing."""
    rows = dataset.x[train]
    known = ~np.isnan(rows)
    counts = known.sum(axis=0)
    if not counts.all():
        name = dataset.feature_names[int(counts.argmin())]
        rule = next(filter(None, dataset.fill_with), "mean")
        raise DataError(f"{dataset.source}: {name!r} has no value in the whole training split, so it has no {rule}")
    found = np.where(known, rows, 0).sum(axis=0) / counts
    start = 0
    for rule, column in zip(dataset.fill_with, dataset.encoder.columns if dataset.encoder else (), strict=False):
        part = slice(start, start + column.width)
        if rule == "median":
            found[part] = _middle(rows[:, part], found[part], column.categories is not None)
        start += column.width
    return found


def _middle(rows: np.ndarray, means: np.ndarray, categorical: bool) -> np.ndarray:
    """The median of each column, or of the shares of categories a one where the most frequent is."""
    if categorical:
        return (np.arange(len(means)) == means.argmax()).astype(np.float64)
    return np.nanmedian(rows, axis=0)


def _filled(dataset: Dataset, values: np.ndarray) -> Dataset:
    """Put these values, (D,), wherever x has NaN."""
    own = {name: (np.where(np.isnan(x), values, x), y) for name, (x, y) in dataset.own_splits.items()}
    return replace(
        dataset,
        x=np.where(np.isnan(dataset.x), values, dataset.x),
        val=own.get("val"),
        test=own.get("test"),
        encoder=dataset.encoder and dataset.encoder.with_fill(values, [bool(each) for each in dataset.fill_with]),
    )
