"""One's own data from a file of NumPy arrays."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from dlcourse.data.cells import listed
from dlcourse.data.dataset import DataSchema, Dataset, Task
from dlcourse.data.doubts import many_names
from dlcourse.data.encoder import categories, codes_of
from dlcourse.data.files import find
from dlcourse.data.npz import open_npz
from dlcourse.errors import ConfigError, DataError
from dlcourse.registry import register

_CHANNELS = (1, 3, 4)
_NAMES = ("x", "y", "x_test", "y_test")


@register("data", "arrays")
@dataclass(frozen=True)
class Arrays:
    """Arrays x and y, and if they are there x_test and y_test, of a file that ``np.savez`` wrote.

    x is (N,), (N, D) or images (N, H, W, C); uint8 stays as it is, all else becomes floating point. y is (N,)
    whole numbers or texts (class labels), or (N,) or (N, K) floating point. Whole numbers or texts that are nearly all
    different are refused unless ``task`` says what they are.

    Args:
        path: the file; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        task: ``regression`` to take whole numbers for quantities, ``classification`` for classes; otherwise y's type
            decides.
        class_names: one for each label 0, 1, ...
        feature_names: one for each column of x.
        target_name: what y is; of (N, K) numbers a name for each, which then has metrics of its own too.
    Raises:
        DataError: the file is no such archive, is damaged, or declares arrays that are not in it or that no memory
            holds. Nothing in it is ever unpickled.
    """

    path: str
    task: Literal["regression", "classification"] | None = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    target_name: str | tuple[str, ...] = "y"

    def load(self, seed: int) -> Dataset:
        """Read the file; the seed changes nothing."""
        path = find(self.path)
        arrays = read_arrays(path)
        inputs = [_inputs(path, name, arrays[name]) for name in ("x", "x_test") if name in arrays]
        x = inputs[0]
        _note_layout(path, x)
        targets = [arrays[name] for name in ("y", "y_test") if name in arrays]
        y, classes = read_targets(path, targets, self.task, len(x), self.class_names)
        task: Task = "regression" if classes is None else "classification"
        if self.class_names is not None and (classes is None or len(self.class_names) < len(classes)):
            raise ConfigError(f"data.class_names: {len(self.class_names)} names for {len(classes or ())} classes")
        if classes is not None and self.class_names is None:
            _note_missing_classes(path, y[0], classes)
        called = self._names(y[0])
        width = x.shape[1] if x.ndim == 2 else 0
        if self.feature_names is not None and len(self.feature_names) != width:
            raise ConfigError(f"data.feature_names: {len(self.feature_names)} names for {width} columns")
        return Dataset(
            x=x,
            y=y[0],
            task=task,
            feature_names=self.feature_names or (),
            target_name=", ".join(called),
            target_names=called if len(called) > 1 else (),
            class_names=classes or (),
            test=(inputs[1], y[1]) if len(inputs) > 1 else None,
            source=str(path),
        )

    def _names(self, y: np.ndarray) -> tuple[str, ...]:
        """Of the targets, one or as many as y has columns."""
        if isinstance(self.target_name, str):
            return (self.target_name,)
        names, count = tuple(self.target_name), y.shape[1] if y.ndim == 2 else 1
        if len(names) != count or len(set(names)) < count:
            raise ConfigError(f"data.target_name: y holds {count} target(s), and {list(names)} are not as many names")
        return names

    def load_as(self, schema: DataSchema) -> Dataset:
        """Read the file with the classes of a trained model.

        Raises:
            DataError: as :meth:`load`; or a class is not among them.
        """
        names = schema.class_names or None
        return replace(self, task="classification" if names else "regression", class_names=names).load(0)


def read_arrays(path: Path, without_y: bool = False, hint: str = "") -> dict[str, np.ndarray]:
    """The arrays x and y of a file, and x_test and y_test where it has these.

    Args:
        without_y: x alone is enough.
        hint: what to say where there is no y.
    Raises:
        DataError: an array is not there, or the file is damaged.
    """
    with open_npz(path) as archive:
        names = [name for name in _NAMES if name in archive.members]
        if lacking := [name for name in ("x", "y") if name not in names and not (name == "y" and without_y)]:
            there = listed(archive.members) or "nothing"
            raise DataError(f"{path} has no array {lacking[0]!r}; it holds {there}{hint if lacking[0] == 'y' else ''}")
        arrays = archive.read(names)
        _note_unread(path, (name for name in archive.members if name not in names))
    if "y" in arrays and ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError(f"{path}: x_test and y_test go together, only one of them is there")
    return arrays


def _note_layout(path: Path, x: np.ndarray) -> None:
    """Say it where images seem to come with their channels first."""
    if x.ndim == 4 and x.shape[1] in _CHANNELS and x.shape[3] not in _CHANNELS:
        _, channels, height, width = x.shape
        warnings.warn(
            f"{path}: x has shape {x.shape}, which is read as {channels} x {height} pixels in {width} channels; if it "
            f"is PyTorch's layout (N, channels, height, width), store x.transpose(0, 2, 3, 1)",
            stacklevel=3,
        )


def _note_unread(path: Path, others: Iterable[str]) -> None:
    """Say which arrays look like splits of the data and are not read."""
    unread = [name for name in others if name[:2].lower() in ("x_", "y_")]
    if unread:
        warnings.warn(
            f"{path}: {listed(unread)} {'is' if len(unread) == 1 else 'are'} not read, only x, y, x_test and y_test "
            "are; data.split takes the validation split from x",
            stacklevel=3,
        )


def _note_missing_classes(path: Path, y: np.ndarray, names: Sequence[str]) -> None:
    """Say which classes have no sample to train with."""
    missing = np.setdiff1d(np.arange(len(names)), y)
    if not len(missing) or not y.size:
        return
    which, they = ("label", "it counts") if len(missing) == 1 else ("labels", "they count")
    warnings.warn(
        f"{path}: no sample of y has the {which} {listed(names[c] for c in missing)}, and {they} among the "
        f"{len(names)} classes all the same{'; labels that count from 1 need y - 1' if missing[0] == 0 else ''}",
        stacklevel=3,
    )


def _inputs(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8 and x.ndim > 2:
        return x
    if x.dtype.kind not in "buif" or x.ndim == 0:
        raise DataError(f"{path}: {name} is {x.dtype} of shape {x.shape}, expected an array of numbers")
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    return x[:, None] if x.ndim == 1 else x


def read_targets(
    path: Path, targets: list[np.ndarray], task: str | None, samples: int, given: tuple[str, ...] | None
) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """The targets of all splits, and the classes, ``given`` or those that show; None for a regression."""
    kinds = {y.dtype.kind for y in targets}
    if not kinds <= set("buifU") or ("U" in kinds and len(kinds) > 1) or 0 in {y.ndim for y in targets}:
        raise DataError(f"{path}: y is {targets[0].dtype}, expected numbers or texts, one a sample")
    if task is None and "f" not in kinds:
        _refuse_names(path, targets[0])
    if (task or ("regression" if "f" in kinds else "classification")) == "regression":
        if "U" in kinds:
            raise ConfigError("data.task: y holds texts, so it cannot be a regression")
        return [(y[:, None] if y.ndim == 1 else y).astype(np.float64) for y in targets], None
    targets = [y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y for y in targets]
    if any(y.ndim != 1 for y in targets):
        raise DataError(f"{path}: class labels have shape {targets[0].shape}, expected (N,)")
    if "U" in kinds:
        return _labels_of_texts(path, targets, given)
    return _labels_of_numbers(path, targets, samples, given)


def _refuse_names(path: Path, y: np.ndarray) -> None:
    """Raise DataError where whole numbers or texts are nearly all different."""
    different = len(np.unique(y))
    if many_names(different, y.size):
        text = y.dtype.kind == "U"
        fix = "" if text else "data.task: regression takes them for quantities, "
        raise DataError(
            f"{path}: y holds {different} different {'texts' if text else 'whole numbers'} in {y.size} samples, too "
            f"many for classes; {fix}data.task: classification for classes all the same"
        )


def _labels_of_texts(
    path: Path, targets: list[np.ndarray], given: tuple[str, ...] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    texts = np.concatenate(targets).tolist()
    names = given or categories(texts)
    labels = codes_of(texts, names)
    if (labels < 0).any():
        raise DataError(f"{path}: y has {texts[labels.argmin()]!r}, which is none of the classes {', '.join(names)}")
    return np.split(labels, np.cumsum([len(y) for y in targets])[:-1]), tuple(names)


def _labels_of_numbers(
    path: Path, targets: list[np.ndarray], samples: int, given: tuple[str, ...] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    for y in targets:
        wrong = (y != np.floor(y)) | (y < 0) | (y >= max(samples, len(given or ())))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{path}: label {y[row]} in row {row} (the first is 0): expected whole numbers from 0, fewer classes "
                f"than the {samples} samples"
            )
    classes = 1 + max((int(y.max()) for y in targets if y.size), default=0)
    names = given if given and classes <= len(given) else tuple(map(str, range(classes)))
    return [y.astype(np.int64) for y in targets], tuple(names)
