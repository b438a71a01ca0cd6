"""One's own series of numbers: from a long table, a row a step, or from arrays (N, T, D)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from dlcourse.characters import canonical
from dlcourse.data.arrays import read_arrays, read_targets
from dlcourse.data.bounds import check_size
from dlcourse.data.cells import Notation, canonical_names, check_notation, listed
from dlcourse.data.dataset import DataSchema, Dataset
from dlcourse.data.encoder import Column, TableEncoder, column_of, describe_columns
from dlcourse.data.files import find
from dlcourse.data.long_table import SeriesColumns
from dlcourse.data.table import Table, read_table
from dlcourse.errors import ConfigError, DataError
from dlcourse.registry import register
from dlcourse.types import Count, NonNegativeInt

_OF_A_TABLE = ("id", "time", "features", "target")

Pair = tuple[np.ndarray, np.ndarray]


@register("data", "series")
@dataclass(frozen=True)
class Series:
    """Series of T steps of D numbers, x (N, T, D), with one target each or a target at every step.

    From a csv file each row is a step: ``id`` says of which series, ``time`` in which order; without ``id`` all rows
    are one series. From an ``.npz`` file come x (N, T, D) or (N, T), y, and if they are there x_test and y_test; y is
    (N,) or (N, K) for one target a series, (N, T) or (N, T, K) for one at every step.

    With ``horizon`` h the targets are those h steps later: ``horizon: 1`` with the target among the features forecasts
    its next value at every step; the last h steps of a series have no target then. A file of arrays without y forecasts
    all of x.

    Series have to be of one length, and none is padded; ``window`` cuts them to one: series with a target at every step
    into windows side by side (what is left at the beginning is left out), of others the last ``window`` steps are
    taken. ``data.normalize`` scales each feature by its values at all steps of the training split.

    Args:
        path: the csv or npz file; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        target: the column to predict, or several (csv).
        id: the column that names the series (csv).
        time: the column of numbers or dates by which steps are in order; left out: the file's order (csv).
        features: the columns to predict from; if left out all others, with ``horizon`` the targets too (csv).
        per: one target a ``series`` or one a ``step``; left out: a series where the target is the same at all steps of
            each (csv), or by the shape of y (npz).
        horizon: steps from an input to its target.
        window: T, steps of a sample.
        task: ``classification`` for targets that are numbers of classes (csv), ``regression`` for whole numbers that
            are quantities (npz).
        class_names: one for each label 0, 1, ... (npz).
        units: the unit of a column, for the plots (csv).
        delimiter: what stands between cells (csv).
        decimal: what stands before the decimals of a number (csv).
    Raises:
        DataError: the file is not as it should be, names the row; or series differ in length.
    """

    path: str
    target: str | tuple[str, ...] | None = None
    id: str | None = None
    time: str | None = None
    features: tuple[str, ...] | None = None
    per: Literal["series", "step"] | None = None
    horizon: NonNegativeInt = 0
    window: Count | None = None
    task: Literal["regression", "classification"] | None = None
    class_names: tuple[str, ...] | None = None
    units: dict[str, str] | None = None
    delimiter: str = ","
    decimal: Literal[".", ","] = "."

    def __post_init__(self) -> None:
        canonical_names(self, *_OF_A_TABLE)
        if self.horizon and self.per == "series":
            raise ConfigError("data.horizon: later targets are targets at every step; leave data.per out")
        if self._of_arrays:
            if given := [key for key in _OF_A_TABLE if getattr(self, key) is not None]:
                raise ConfigError(f"data.{given[0]}: names columns of a csv file, and {self.path} holds arrays")
            return
        check_notation(self.decimal, None, self.delimiter)
        if not self._targets:
            raise ConfigError("data.target: name the column to predict, or several")
        for name in self._targets:
            if name in (self.id, self.time):
                raise ConfigError(f"data.target: {name!r} is the column of data.{'id' if name == self.id else 'time'}")
            if name in (self.features or ()) and not self.horizon:
                raise ConfigError(
                    f"data.features: {name!r} is the target and cannot be a feature; data.horizon: 1 predicts its next "
                    "value from those up to now"
                )
        if self.id is not None and self.id in (self.features or ()):
            raise ConfigError(f"data.features: {self.id!r} names the series, and is no feature of them")
        if self.class_names is not None:
            raise ConfigError("data.class_names: are those in the target's cells; leave the key out")

    @property
    def _of_arrays(self) -> bool:
        return Path(self.path).suffix.lower() == ".npz"

    @property
    def _targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    def load(self, seed: int) -> Dataset:
        """Read the file; the seed changes nothing."""
        if self._of_arrays:
            return self._arrays()
        table = self._table()
        textual = self.task == "classification"
        columns = [column_of(table, name, False) for name in self._feature_columns(table)]
        targets = [column_of(table, name, textual) for name in self._targets]
        if len(targets) > 1 and any(target.categories is not None for target in targets):
            raise ConfigError("data.target: each of several targets has to be numbers, no classes; take one target")
        if self.task == "regression" and targets[0].categories is not None:
            raise ConfigError(f"data.task: the target {targets[0].name!r} holds text, so it cannot be a regression")
        return self._dataset(table, columns, targets)

    def load_as(self, schema: DataSchema) -> Dataset:
        """Read the file with the columns, categories and classes of a trained model.

        Raises:
            DataError: as :meth:`load`; or a category or a class is not among them.
        """
        names = schema.class_names or None
        if self._of_arrays:
            return replace(self, task="classification" if names else "regression", class_names=names).load(0)
        if schema.encoder is None:
            return self.load(0)
        targets = [Column(name, names) for name in self._targets]
        return self._dataset(self._table(), list(schema.encoder.columns), targets)

    def _table(self) -> Table:
        return read_table(find(self.path), self.delimiter, Notation(self.decimal, None))

    def _feature_columns(self, table: Table) -> list[str]:
        for name in (*self._targets, *(each for each in (self.id, self.time) if each is not None)):
            table.position(name)
        if self.features is not None:
            return list(self.features)
        left_out = {self.id, self.time, *(() if self.horizon else self._targets)}
        names = [name for name in table.header if name and canonical(name) not in left_out]
        if not names:
            raise DataError(
                f"{table.path}: there is no column left to predict {listed(self._targets)} from; data.horizon: 1 "
                "predicts its next value from those up to now"
            )
        return names

    def _dataset(self, table: Table, columns: list[Column], targets: list[Column]) -> Dataset:
        width = sum(column.width for column in (*columns, *targets))
        check_size(table.path, 8 * len(table.rows) * width, f"{len(table.rows)} rows of {width} numbers")
        inputs, y = _numbers(table, columns), _numbers(table, targets)
        if targets[0].categories is not None:
            y = y.argmax(axis=1).astype(np.int64)
        groups = SeriesColumns(self.id, self.time).rows(table)
        per_step = self._per_step(table, groups, y)
        rows, later = self._windows(table.path, groups, per_step)
        return Dataset(
            x=inputs[rows],
            y=y[later],
            **describe_columns(table, columns, targets, self.units),
            encoder=TableEncoder(tuple(columns), table.delimiter, self.decimal),
            series=SeriesColumns(self.id, self.time, rows.shape[1]),
        )

    def _per_step(self, table: Table, groups: dict[str, np.ndarray], y: np.ndarray) -> bool:
        """Whether a series has a target at every step."""
        if self.horizon or self.per == "step":
            return True
        for name, rows in groups.items():
            other = (y[rows] != y[rows[0]]).reshape(len(rows), -1).any(axis=1)
            if other.any() and self.per == "series":
                row = int(rows[other.argmax()])
                raise DataError(
                    f"{table.where(row)}: {_series(name)} has another target here than at its first step, and "
                    "data.per: series expects one; data.per: step takes one at every step"
                )
            if other.any():
                return True
        return False

    def _windows(self, path: Path, groups: dict[str, np.ndarray], per_step: bool) -> Pair:
        """The rows of each sample, (N, T), and those of its targets: (N, T), or (N,) with one a series."""
        lengths = {name: len(rows) - self.horizon for name, rows in groups.items()}
        if short := [name for name, length in lengths.items() if length < (self.window or 1)]:
            steps_there = len(groups[short[0]])
            there = f"{steps_there} step{'s' * (steps_there != 1)}"
            ahead = f" and data.horizon {self.horizon}" if self.horizon else ""
            needs = f"data.window {self.window}" if self.window else "one step with a target"
            raise DataError(f"{path}: {_series(short[0])} has {there}, too few for {needs}{ahead}")
        first, *rest = lengths
        if self.window is None and (other := next((name for name in rest if lengths[name] != lengths[first]), None)):
            raise DataError(
                f"{path}: series differ in length: {_series(first)} has {len(groups[first])} steps, {_series(other)} "
                f"{len(groups[other])}; data.window: {min(lengths.values())} cuts all to one length"
            )
        inputs, targets = [], []
        for name, rows in groups.items():
            steps = self.window or lengths[name]
            if not per_step:
                inputs.append(rows[-steps:])
                targets.append(rows[-1:])
                continue
            for start in range(lengths[name] % steps, lengths[name], steps):
                inputs.append(rows[start : start + steps])
                targets.append(rows[start + self.horizon : start + self.horizon + steps])
        if len(inputs) == 1:
            by_id = "" if self._of_arrays else ", or data.id names the column that tells series apart"
            raise DataError(
                f"{path} is one series of {lengths[first]} steps, so one sample; data.window: {self._guess(lengths)} "
                f"cuts it into windows{by_id}"
            )
        found = np.stack(targets)
        return np.stack(inputs), found if per_step else found[:, 0]

    @staticmethod
    def _guess(lengths: dict[str, int]) -> int:
        """A length for windows that leaves some to learn from."""
        return max(1, min(50, min(lengths.values()) // 10))

    def _arrays(self) -> Dataset:
        path = find(self.path)
        arrays = read_arrays(path, bool(self.horizon), "; data.horizon: 1 forecasts x itself")
        inputs = [_steps(path, name, arrays[name]) for name in ("x", "x_test") if name in arrays]
        if len({x.shape[2] for x in inputs}) > 1:
            raise DataError(f"{path}: x has {inputs[0].shape[2]} features, x_test {inputs[1].shape[2]}")
        if "y" not in arrays:
            targets, per_step, classes = [x.astype(np.float64) for x in inputs], True, None
        else:
            given = [arrays[name] for name in ("y", "y_test") if name in arrays]
            targets, per_step, classes = self._targets_of_arrays(path, inputs, given)
        parts = [self._cut(path, x, y, per_step) for x, y in zip(inputs, targets, strict=True)]
        width = inputs[0].shape[2]
        x, y = parts[0]
        return Dataset(
            x=x,
            y=y,
            task="regression" if classes is None else "classification",
            feature_names=tuple(f"x{i + 1}" for i in range(width)) if width > 1 else ("x",),
            feature_units=("",) * width,
            target_name="y" if "y" in arrays else "x",
            class_names=classes or (),
            test=parts[1] if len(parts) > 1 else None,
            series=SeriesColumns(window=x.shape[1]),
            source=str(path),
        )

    def _targets_of_arrays(
        self, path: Path, inputs: list[np.ndarray], targets: list[np.ndarray]
    ) -> tuple[list[np.ndarray], bool, tuple[str, ...] | None]:
        """Targets (N, T, K), (N, K), (N, T) or (N,); whether they are those of steps; the classes if they have such."""
        y, (samples, steps, _) = targets[0], inputs[0].shape
        for x, each, name in zip(inputs, targets, ("y", "y_test"), strict=False):
            if each.ndim == 0 or len(each) != len(x):
                raise DataError(f"{path}: {name} has shape {each.shape}, expected one row for each of {len(x)} series")
        fits = y.ndim in (2, 3) and y.shape[1] == steps
        per_step = bool(self.horizon) or (fits if self.per is None else self.per == "step")
        if per_step and not fits:
            raise DataError(f"{path}: y has shape {y.shape}, expected ({samples}, {steps}) for a target at every step")
        if any(each.shape[1:2] != x.shape[1:2] for x, each in zip(inputs, targets, strict=True)) and per_step:
            raise DataError(f"{path}: y_test has shape {targets[1].shape}, which fits x_test of {inputs[1].shape} not")
        if y.ndim > (3 if per_step else 2):
            raise DataError(f"{path}: y has shape {y.shape}, expected (N,) or (N, K), or (N, T) or (N, T, K)")
        flat = [each.reshape(-1, *each.shape[2:]) if per_step else each for each in targets]
        found, classes = read_targets(path, flat, self.task, len(flat[0]), self.class_names)
        if self.class_names is not None and (classes is None or len(self.class_names) < len(classes)):
            raise ConfigError(f"data.class_names: {len(self.class_names)} names for {len(classes or ())} classes")
        if per_step:
            found = [
                each.reshape(*given.shape[:2], *each.shape[1:]) for each, given in zip(found, targets, strict=True)
            ]
        return found, per_step, classes

    def _cut(self, path: Path, x: np.ndarray, y: np.ndarray, per_step: bool) -> Pair:
        """x (N, T, D) and y as samples of ``window`` steps with targets ``horizon`` later."""
        if self.window is None and not self.horizon:
            return x, y
        count, steps, width = x.shape
        rows = {str(i): np.arange(i * steps, (i + 1) * steps) for i in range(count)}
        inputs, targets = self._windows(path, rows, per_step)
        own = y.reshape(-1, *y.shape[2:])[targets] if per_step else y
        return x.reshape(-1, width)[inputs], own


def _series(name: str) -> str:
    return f"series {name!r}" if name else "the file"


def _numbers(table: Table, columns: list[Column]) -> np.ndarray:
    """The columns as (rows, D) float64; a missing cell is refused."""
    blocks = [column.encode(table) for column in columns]
    for column, block in zip(columns, blocks, strict=True):
        missing = np.isnan(block[:, 0])
        if missing.any():
            others = f" (and in {missing.sum() - 1} more rows)" if missing.sum() > 1 else ""
            raise DataError(
                f"{table.where(int(missing.argmax()))}: column {column.name!r} has a missing cell{others}; fill it, or "
                "leave the row out: a series has a number at every step"
            )
    return np.concatenate(blocks, axis=1)


def _steps(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    """x as (N, T, D) floating point."""
    if x.dtype.kind not in "buif" or x.ndim not in (2, 3):
        raise DataError(f"{path}: {name} is {x.dtype} of shape {x.shape}, expected numbers (N, T, D) or (N, T)")
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    return x[:, :, None] if x.ndim == 2 else x
