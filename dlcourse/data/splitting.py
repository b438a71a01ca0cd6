"""Split samples into training, validation and test: each index belongs to at most one, by the seed alone."""

import functools
from collections.abc import Mapping

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.errors import ConfigError

SplitIndices = dict[str, np.ndarray]
"""The indices of each split, ascending; a split without samples is absent."""


def by_size(
    samples: int, sizes: Mapping[str, float | int], seed: int, *, labels: np.ndarray | None = None, shuffle: bool = True
) -> SplitIndices:
    """Split by fractions (floats) or counts (ints) of ``train``, ``val`` and ``test``; train gets the rest if left out.

    Shuffled, the test and validation splits do not depend on the size of the training split, and a smaller training
    split is contained in a larger one (unless stratified). Unshuffled, they follow one another in the file's order:
    train, val, test (stratified: each is spread evenly over each class).

    Args:
        samples: how many there are.
        sizes: fractions or counts, together at most everything.
        seed: chooses the samples.
        labels: (N,), to give each class its share in every split (stratified).
        shuffle: choose at random.
    Raises:
        ConfigError: more than everything is asked for, or a split that is asked for is empty, or a class has fewer
            members than there are subsets.
    """
    counts = _counts(samples, sizes)
    used = {subset: count for subset, count in counts.items() if count}
    if labels is not None:
        _check_classes(labels, len(used), "splits of data.split")
    if not shuffle and labels is None:
        ends = np.cumsum(list(used.values()))
        return {subset: np.arange(end - used[subset], end) for subset, end in zip(used, ends, strict=True)}
    order = _order(samples, seed, "split", labels, shuffle)
    split = {}
    for subset in reversed(used):
        chosen = _evenly(len(order), used[subset]) if labels is not None else np.arange(len(order)) < used[subset]
        split[subset] = np.sort(order[chosen])
        order = order[~chosen]
    return {subset: split[subset] for subset in used}


def by_fold(
    index: np.ndarray, folds: int, fold: int, seed: int, *, labels: np.ndarray | None = None, shuffle: bool = True
) -> SplitIndices:
    """k-fold cross-validation: deal the indices into folds; one is ``val``, the others are ``train``.

    Fold sizes differ by at most one; with labels so do the members of every class (stratified). Unshuffled, a fold is
    a stretch of the file (with labels: of each class).

    Args:
        index: (N,) the samples to deal.
        folds: how many folds.
        fold: which is the validation split, from 0.
        seed: deals the samples; the same for all folds of one cross-validation.
        labels: (N,) the labels of ``index``.
    Raises:
        ConfigError: fewer than two folds, more folds than samples or than members of a class, or no such fold.
    """
    if folds < 2:
        raise ConfigError(f"data.kfold.folds: expected at least 2, got {folds}")
    if not 0 <= fold < folds:
        raise ConfigError(f"data.kfold.fold: expected 0 to {folds - 1}, got {fold}")
    if folds > len(index):
        raise ConfigError(f"data.kfold.folds: {folds} folds of {len(index)} samples")
    if labels is not None:
        _check_classes(labels, folds, "folds")
    order, position = _order(len(index), seed, "kfold", labels, shuffle), np.arange(len(index))
    held = (position * folds // len(index) if labels is None else position % folds) == fold
    return {"train": np.sort(index[order[~held]]), "val": np.sort(index[order[held]])}


def _order(count: int, seed: int, purpose: str, labels: np.ndarray | None, shuffle: bool) -> np.ndarray:
    """All samples at random or as they are; with labels class by class."""
    order = _permutation(count, seed, purpose) if shuffle else np.arange(count)
    return order if labels is None else order[np.argsort(labels[order], kind="stable")]


@functools.lru_cache(4)
def _permutation(count: int, seed: int, purpose: str) -> np.ndarray:
    """Kept, as the folds and the resamples of a sweep are cut from the same order."""
    order = generator(seed, purpose).permutation(count)
    order.flags.writeable = False
    return order


def _counts(samples: int, sizes: Mapping[str, float | int]) -> dict[str, int]:
    """How many samples each split gets, in the order train, val, test."""
    counts = {subset: _count(subset, sizes[subset], samples) for subset in ("val", "test", "train") if subset in sizes}
    fractions = sum(size for size in sizes.values() if isinstance(size, float))
    if fractions > 1 + 1e-9:
        raise ConfigError(f"data.split: the fractions add up to {fractions:g}, more than 1")
    val, test = counts.get("val", 0), counts.get("test", 0)
    rest = samples - val - test
    train = counts.get("train", rest)
    # Three rounded fractions may together be one sample off: the training split gives or takes it.
    if isinstance(sizes.get("train"), float) and (abs(fractions - 1) < 1e-9 or train == rest + 1):
        train = rest
    if train > rest:
        raise ConfigError(f"data.split: asks for {train + val + test} samples, but there are {samples}")
    if train < 1:
        raise ConfigError(f"data.split: no sample of {samples} is left for training")
    return {"train": train, "val": val, "test": test}


def _count(subset: str, size: float | int, samples: int) -> int:
    if isinstance(size, float) and size > 1:
        raise ConfigError(f"data.split.{subset}: a fraction is at most 1, got {size}; a count is a whole number")
    if size < 0:
        raise ConfigError(f"data.split.{subset}: expected 0 or more, got {size}")
    count = round(size * samples) if isinstance(size, float) else size
    if size and not count:
        raise ConfigError(f"data.split.{subset}: {size} of {samples} samples is not one")
    return count


def _evenly(length: int, count: int) -> np.ndarray:
    """A mask of ``count`` positions: any stretch holds its share of them, to less than one (systematic sampling)."""
    position = np.arange(length + 1) * count // length
    return position[1:] > position[:-1]


def _check_classes(labels: np.ndarray, needed: int, what: str) -> None:
    """Raise ConfigError if a class cannot be in all the splits."""
    classes, members = np.unique(labels, return_counts=True)
    few = np.flatnonzero(members < needed)
    if len(few):
        number, label = int(members[few[0]]), classes[few[0]]
        raise ConfigError(f"data.stratify: class {label} has {number} member(s), fewer than the {needed} {what}")
