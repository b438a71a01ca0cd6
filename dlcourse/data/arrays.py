"""One's own data from a file of NumPy arrays."""

import contextlib
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from dlcourse.data.bounds import check_size
from dlcourse.data.cells import listed
from dlcourse.data.dataset import DataSchema, Dataset, Task
from dlcourse.data.doubts import many_names
from dlcourse.data.encoder import categories, codes_of
from dlcourse.data.files import find
from dlcourse.errors import ConfigError, DataError
from dlcourse.registry import register

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError,
    EOFError, ValueError, TypeError, NotImplementedError, RuntimeError, SyntaxError,
)  # fmt: skip
"""What reading a damaged archive raises."""
_BLOCK = 1 << 20
_CHANNELS = (1, 3, 4)
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


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
        target_name: what y is.
    Raises:
        DataError: the file is no such archive, is damaged, or declares arrays that are not in it or that no memory
            holds. Nothing in it is ever unpickled.
    """

    path: str
    task: Literal["regression", "classification"] | None = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    target_name: str = "y"

    def load(self, seed: int) -> Dataset:
        """Read the file; the seed changes nothing."""
        path = find(self.path)
        arrays = read_npz(path, ("x", "y"), ("x_test", "y_test"))
        _note_unread(path, arrays)
        if ("x_test" in arrays) != ("y_test" in arrays):
            raise DataError(f"{path}: x_test and y_test go together, only one of them is there")
        inputs = [_inputs(path, name, arrays[name]) for name in ("x", "x_test") if name in arrays]
        x = inputs[0]
        _note_layout(path, x)
        targets = [arrays[name] for name in ("y", "y_test") if name in arrays]
        y, names = _targets(path, targets, self.task, len(x), self.class_names)
        task: Task = "regression" if names is None else "classification"
        if self.class_names is not None and (names is None or len(self.class_names) < len(names)):
            raise ConfigError(f"data.class_names: {len(self.class_names)} names for {len(names or ())} classes")
        if names is not None and self.class_names is None:
            _note_missing_classes(path, y[0], names)
        width = x.shape[1] if x.ndim == 2 else 0
        if self.feature_names is not None and len(self.feature_names) != width:
            raise ConfigError(f"data.feature_names: {len(self.feature_names)} names for {width} columns")
        return Dataset(
            x=x,
            y=y[0],
            task=task,
            feature_names=self.feature_names or (),
            target_name=self.target_name,
            class_names=names or (),
            test=(inputs[1], y[1]) if len(inputs) > 1 else None,
            source=str(path),
        )

    def load_as(self, schema: DataSchema) -> Dataset:
        """Read the file with the classes of a trained model.

        Raises:
            DataError: as :meth:`load`; or a class is not among them.
        """
        names = schema.class_names or None
        return replace(self, task="classification" if names else "regression", class_names=names).load(0)


def read_npz(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read arrays of an .npz archive, having compared what each declares with what is in the file and with memory.

    Raises:
        DataError: no archive, a damaged one, an array that is missing, or one that holds Python objects; or the arrays
            would take more than the bound of :mod:`dlcourse.data.bounds`.
    """
    with _opened(path, path) as archive:
        names = [name for name in (*required, *optional) if name in archive]
        lacking = [name for name in required if name not in names]
        if lacking:
            there = listed(archive.members) or "nothing"
            raise DataError(f"{path} has no array {lacking[0]!r}; it holds {there}")
        return archive.read(names)


def read_one_of(path: Path, file: BinaryIO | None = None) -> np.ndarray | None:
    """The array ``x`` of an .npz archive, or else its first one; None where it holds none.

    Args:
        path: for messages, and the file unless ``file`` is one.
    Raises:
        DataError: as :func:`read_npz`.
    """
    with _opened(path, file or path) as archive:
        name = "x" if "x" in archive else next(iter(archive.members), None)
        return None if name is None else archive.read([name])[name]


@dataclass(frozen=True)
class _Archive:
    """An open archive and its arrays by name."""

    path: Path
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """These arrays, if they are not too much."""
        size = sum(self.members[name].file_size for name in names)
        check_size(self.path, size, f"the array{'s' * (len(names) != 1)} {', '.join(names)}")
        return {name: _read_member(self.path, self.archive, self.members[name]) for name in names}


@contextlib.contextmanager
def _opened(path: Path, file: Path | BinaryIO) -> Iterator[_Archive]:
    """An archive, in whose block whatever is wrong with it becomes a DataError."""
    try:
        with zipfile.ZipFile(file) as archive:
            there = {member.filename: member for member in archive.infolist()}
            members = {name.removesuffix(".npy"): each for name, each in there.items() if name.endswith(".npy")}
            yield _Archive(path, archive, members)
    except _DAMAGE as error:
        raise DataError(f"{path} is not an .npz archive of NumPy, or it is damaged: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADER_READERS:
            raise DataError(f"{path}: {member.filename} has the unknown format version {version}")
        shape, _, dtype = _HEADER_READERS[version](stream)
        if dtype.hasobject:
            raise DataError(f"{path}: {member.filename} holds Python objects, which are not read")
        declared, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
        if declared != there:
            raise DataError(f"{path}: {member.filename} declares {declared} bytes but {there} follow")
    with archive.open(member) as stream:
        return np.asarray(np.lib.format.read_array(stream), order="C")


def _note_layout(path: Path, x: np.ndarray) -> None:
    """Say it where images seem to come with their channels first."""
    if x.ndim == 4 and x.shape[1] in _CHANNELS and x.shape[3] not in _CHANNELS:
        _, channels, height, width = x.shape
        warnings.warn(
            f"{path}: x has shape {x.shape}, which is read as {channels} x {height} pixels in {width} channels; if it "
            f"is PyTorch's layout (N, channels, height, width), store x.transpose(0, 2, 3, 1)",
            stacklevel=3,
        )


def _note_unread(path: Path, read: Mapping[str, np.ndarray]) -> None:
    """Say which arrays look like splits of the data and are not read."""
    with _opened(path, path) as archive:
        unread = [name for name in archive.members if name[:2].lower() in ("x_", "y_") and name not in read]
    if unread:
        warnings.warn(
            f"{path}: {listed(unread)} {'is' if len(unread) == 1 else 'are'} not read, only x, y, "
            "x_test and y_test are; data.split takes the validation split from x",
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


def _targets(
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
