"""Some classes of a data set, in place of all."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dlcourse import registry
from dlcourse.data.cells import listed
from dlcourse.data.dataset import Dataset
from dlcourse.errors import ConfigError


def chosen(dataset: Dataset, classes: Sequence[str | int]) -> Dataset:
    """The data set with these classes alone, numbered as they come here.

    Samples stay where they are, so that nothing is copied: those of other classes get the label -1, and
    :func:`members` leaves them out.

    Args:
        classes: their names.
    Raises:
        ConfigError: a class that is not there, or twice; or the targets are no classes.
    """
    if dataset.task != "classification" or dataset.y.ndim > 1:
        what = "one at each step of a series" if dataset.task == "classification" else f"but this is for {dataset.task}"
        raise ConfigError(f"data.only_classes: needs one class a sample, {what}")
    names, known = [str(name) for name in classes], dataset.class_names
    for name in names:
        if name not in known:
            raise ConfigError(
                f"data.only_classes: {name!r} is none of the classes ({registry.hint(name, known)}{listed(known)})"
            )
        if names.count(name) > 1:
            raise ConfigError(f"data.only_classes: {name!r} is there twice")
    label = np.full(len(known), -1, dtype=np.int64)
    label[[known.index(name) for name in names]] = np.arange(len(names))
    own: dict[str, Any] = {name: (x, label[y]) for name, (x, y) in dataset.own_splits.items()}
    return replace(dataset, y=label[dataset.y], class_names=tuple(names), **own)


def members(labels: np.ndarray) -> np.ndarray:
    """The indices of the samples that belong to a class."""
    return np.flatnonzero(labels >= 0)
