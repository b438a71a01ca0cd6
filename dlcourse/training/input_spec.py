"""InputSpec: what a trained model knows of its inputs: names, units, encoder, and the range of the training split."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.data import image_file
from dlcourse.data.byte_pairs import BytePairs
from dlcourse.data.cells import listed
from dlcourse.data.dataset import Data
from dlcourse.data.encoder import TableEncoder
from dlcourse.data.image_file import Fit
from dlcourse.data.long_table import SeriesColumns
from dlcourse.data.normalizer import Normalizer, TargetNormalizer
from dlcourse.data.npz import open_npz
from dlcourse.data.text import encode
from dlcourse.errors import CheckpointError, DataError, UserError
from dlcourse.records.check import Wrong, check
from dlcourse.shades import black_and_white
from dlcourse.special_tokens import has_special
from dlcourse.training.sources import Source, image_shape, looks_like_a_path, read_image, source_of

_MAX_SHOWN = 200
"""Characters of an input in a message."""

_LOOKED_AT = 64
"""Images of the training split whose range is found out."""


_FORMER_NAMES = {"symbols": "tokens"}
"""Fields by the names that they have in checkpoints of earlier versions."""


def current(state: Mapping[str, Any]) -> dict[str, Any]:
    """What :meth:`InputSpec.to_json` gave in this or an earlier version, with the names of this one."""
    return {_FORMER_NAMES.get(name, name): value for name, value in state.items()}


def class_counts(data: Data) -> list[int] | None:
    """How many samples (tokens of a text) of each class the training split has; None where there are no classes."""
    if data.task != "classification":
        return None
    return np.bincount(data.splits["train"].y.reshape(-1), minlength=data.out_features).tolist()


@dataclass(frozen=True)
class InputSpec:
    """Kept in every checkpoint, so that ``predict`` needs no data file."""

    task: str
    in_shape: list[int]
    out_features: int
    feature_names: list[str]
    feature_units: list[str]
    target_name: str
    target_unit: str
    class_names: list[str]
    encoder: TableEncoder | None
    """None for images."""
    low: list[float]
    """Smallest value of each feature in the training split; empty for images and tokens."""
    high: list[float]
    tokens: bool = False
    """Whether inputs are sequences of tokens, which the class names name."""
    largest: float | None = None
    """Largest absolute value in images of the training split, of which some are looked at; None for other inputs."""
    target_names: tuple[str, ...] = ()
    target_units: tuple[str, ...] = ()
    """One for each of several targets, where they have names."""
    every_step: bool = False
    """Whether an input is a sequence and the model answers at each of its steps."""
    series: SeriesColumns | None = None
    """How rows of a file are the steps of an input; None where inputs are no such series."""
    image_fit: Fit | None = None
    """How images come from files of other sizes; None where the data were no image files."""
    target_shift: list[float] | None = None
    target_scale: list[float] | None = None
    """The model's outputs z are those of targets shift + scale z; None where targets were not scaled."""
    class_counts: list[int] | None = None
    """How many samples of each class the training split has; None for what is no classification."""
    tokenizer: BytePairs | None = None
    """What makes tokens of a text; None where they are characters."""
    token_names: list[str] = field(default_factory=list)
    """One for each token, where the class names are not those."""
    smallest: float | None = None
    """Smallest value in the images that ``largest`` is from; None for other inputs, and where it is not known."""

    @classmethod
    def of(cls, data: Data) -> "InputSpec":
        """Take them from prepared data."""
        dataset, x, targets = data.dataset, data.splits["train"].x, data.target_normalizer
        ranged = not dataset.tokens and x.ndim in (2, 3) and len(dataset.feature_names) == x.shape[-1]
        rows = np.asarray(x).reshape(-1, x.shape[-1]) if ranged else np.empty((1, 0))
        images = None if dataset.tokens or x.ndim < 4 else x[:: -(-len(x) // _LOOKED_AT)]
        return cls(
            task=data.task,
            in_shape=list(data.in_shape),
            out_features=data.out_features,
            feature_names=list(dataset.feature_names),
            feature_units=list(dataset.feature_units),
            target_name=dataset.target_name,
            target_unit=dataset.target_unit,
            class_names=list(dataset.class_names),
            encoder=dataset.encoder,
            low=rows.min(axis=0).astype(float).tolist(),
            high=rows.max(axis=0).astype(float).tolist(),
            tokens=dataset.tokens,
            largest=None if images is None else _largest(images),
            target_names=dataset.target_names,
            target_units=tuple(unit for _, unit in dataset.named_targets),
            every_step=data.every_step,
            series=dataset.series,
            image_fit=dataset.image_fit,
            target_shift=None if targets is None else targets.shift.tolist(),
            target_scale=None if targets is None else targets.scale.tolist(),
            class_counts=class_counts(data),
            tokenizer=dataset.tokenizer,
            token_names=[] if dataset.token_names == dataset.class_names else list(dataset.token_names),
            smallest=None if images is None else float(images.min()),
        )

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "InputSpec":
        """What :meth:`to_json` gave.

        Raises:
            CheckpointError: it is something else.
        """
        try:
            found = check(current(state), cls, "data")
            found._check_targets()
        except (Wrong, DataError) as error:
            raise CheckpointError(f"not what a checkpoint of this program says of its data: {error}") from error
        return found

    def _check_targets(self) -> None:
        """Raise Wrong unless names, units and scaling of the targets are of so many."""
        if self.target_names and not len(self.target_names) == len(self.target_units) == self.out_features:
            raise Wrong(f"data.target_names: expected {self.out_features}, and as many data.target_units")
        scales = [each for each in (self.target_shift, self.target_scale) if each is not None]
        if len(scales) == 1 or any(len(each) != self.out_features for each in scales):
            raise Wrong(f"data.target_scale: expected {self.out_features} numbers beside as many of data.target_shift")
        if any(each <= 0 for each in self.target_scale or ()):
            raise Wrong("data.target_scale: expected numbers above 0")

    @property
    def vocabulary(self) -> list[str]:
        """A name for each token; none where inputs are numbers."""
        return (self.token_names or self.class_names) if self.tokens else []

    @property
    def vocab_size(self) -> int | None:
        """How many tokens there are; None where inputs are numbers."""
        return len(self.vocabulary) or None

    @property
    def pairs(self) -> bool:
        """Whether inputs are sequences of tokens, and the model answers with others."""
        return self.tokens and has_special(self.class_names)

    @property
    def classifies_texts(self) -> bool:
        """Whether inputs are sequences of tokens, and the model answers with one class for each."""
        return self.tokens and not self.every_step and not self.pairs

    @property
    def target_normalizer(self) -> TargetNormalizer | None:
        """What puts the model's outputs into the targets' own units; None where they are."""
        if self.target_shift is None or self.target_scale is None:
            return None
        return TargetNormalizer(np.array(self.target_shift), np.array(self.target_scale))

    @property
    def named_targets(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each of several targets, where they have names."""
        return tuple(zip(self.target_names, self.target_units, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Plain lists and mappings."""
        return asdict(self)

    def read(self, given: str) -> np.ndarray:
        """Turn what the user typed into inputs (N, *in_shape), in the data's own units.

        Args:
            given: a text, where the model tells texts apart; else cells separated by commas (or by the delimiter of
                the data's file); or the path of a csv, npz, png or jpeg file, whatever the case of its extension; or
                ``-`` for such a file on standard input.
        Raises:
            UserError: it does not fit; says what is expected.
        """
        if self.classifies_texts:
            return self._text(given)
        found = source_of(given)
        if found is None:
            return self._cells(given)
        reader = {"csv": self._csv, "npz": self._npz, "image": self._image}.get(found.kind or "")
        if reader is None:
            raise UserError(f"{found.name}: neither a csv, an npz nor an image; expected {self.expected()}")
        return reader(found)

    def _text(self, given: str) -> np.ndarray:
        """A text as tokens, (1, n)."""
        try:
            tokens = encode(given, self.vocabulary, self.tokenizer)
        except DataError as error:
            raise UserError(f"input {given[:_MAX_SHOWN]!r}: {error}") from error
        if not 1 <= len(tokens) <= self.in_shape[0]:
            raise UserError(f"input {given[:_MAX_SHOWN]!r}: {len(tokens)} tokens, expected {self.expected()}")
        return tokens[None]

    def outside(self, x: np.ndarray) -> list[str]:
        """The features that leave the range of the training split somewhere in x, each as a sentence."""
        found = []
        for index, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            column = x[..., index]
            beyond = (column < low) | (column > high)
            if beyond.any():
                unit = f" {self.feature_units[index]}" if self.feature_units[index] else ""
                found.append(
                    f"{self.feature_names[index]} = {column[beyond][0]:g} lies outside {low:g}..{high:g}{unit}, "
                    "where the model was trained"
                )
        return found

    @property
    def black_and_white(self) -> tuple[float, float]:
        """The values of an image that are shown as black and as white."""
        return black_and_white(self.smallest or 0.0, self.largest or 255.0)

    def other_scale(self, x: np.ndarray) -> str | None:
        """A sentence where images are far from the range of the training split, as 0..1 is from 0..255."""
        found = None if self.largest is None else _largest(x)
        if not found or not self.largest or self.largest / 10 <= found <= self.largest * 4:
            return None
        return (
            f"the largest value of these inputs is {found:g}, in training it was {self.largest:g}; the model takes "
            "them as they were there: pixels of 0..1 are others than pixels of 0..255"
        )

    def normalized_before(self, x: np.ndarray, normalizer: Normalizer) -> str | None:
        """A sentence where inputs lie in the range of the normalized training split, and most not in its own."""
        if normalizer.identity or not self.low:
            return None
        low, high = np.array(self.low), np.array(self.high)
        raw = ((x >= low) & (x <= high)).mean()
        low, high = normalizer.apply(low), normalizer.apply(high)
        if raw >= 0.5 or ((x >= low - 0.01) & (x <= high + 0.01)).mean() < 0.9:
            return None
        return (
            f"{1 - raw:.0%} of these numbers lie outside the range of the training data, and they look as if they were "
            "normalized already; the run's own normalization is applied to them: give inputs as the files have them"
        )

    def expected(self) -> str:
        """What an input is, for messages."""
        if self.tokens:
            return f"a text of 1 to {self.in_shape[0]} tokens" if self.classifies_texts else "a text to continue"
        if len(self.in_shape) == 2:
            return self._expected_series()
        if self.encoder is None:
            if self.image_fit is None:
                return f"a png or npz file with an image of shape {tuple(self.in_shape)}"
            height, width, _ = self.in_shape
            pixels = f"{height} x {width} pixels"
            return f"an image file of {pixels}" if self.image_fit == "none" else f"an image file, resized to {pixels}"
        cells = []
        units = dict(zip(self.feature_names, self.feature_units, strict=True))
        for column in self.encoder.columns:
            if column.categories is not None:
                shown = "|".join(column.categories[:5]) + ("|..." if len(column.categories) > 5 else "")
                cells.append(f"{column.name} ({shown})")
            elif column.dates is not None:
                cells.append(f"{column.name} ({column.dates.words})")
            else:
                cells.append(f"{column.name} [{units[column.name]}]" if units.get(column.name) else column.name)
        return f"{len(cells)} value{'s' * (len(cells) != 1)}: {', '.join(cells)}"

    def _expected_array(self) -> str:
        """What an array of inputs is: of a table, a number for each category."""
        if self.encoder is None or len(self.in_shape) != 1:
            return self.expected()
        count, names = self.in_shape[0], listed(self.feature_names, 12)
        return (
            f"{count} number{'s' * (count != 1)} a row, shape (N, {count}): {names}; cells as a text, or a csv file: "
            "`dlcourse predict RUN file.csv`, or run.predict(run.inputs.read('file.csv'))"
        )

    def _expected_series(self) -> str:
        """A file with series of T steps."""
        shape = f"an npz file with x of shape (N, {', '.join(map(str, self.in_shape))})"
        if self.encoder is None or self.series is None:
            return shape
        of = [name for name in (self.series.id, self.series.time) if name is not None]
        columns = ", ".join([*of, *(column.name for column in self.encoder.columns)])
        return f"a csv file with the columns {columns} and at least {self.in_shape[0]} rows a series, or {shape}"

    def _cells(self, given: str) -> np.ndarray:
        encoder = self.encoder
        no_file = "; nor is there such a file" if looks_like_a_path(given) else ""
        shown = given if len(given) <= _MAX_SHOWN else f"{given[:_MAX_SHOWN]}..."
        if encoder is None or self.series is not None:
            raise UserError(f"input {shown!r}: expected {self.expected()}{no_file}")
        separator = encoder.delimiter if encoder.delimiter in given else ","
        cells = _split(given, separator)
        blank = [column for column, cell in zip(encoder.columns, cells, strict=False) if not cell]
        if len(cells) != len(encoder.columns) or any(column.fill is None for column in blank):
            together = "; with commas between they are one input" if len(cells) == 1 and not no_file else ""
            raise UserError(f"input {shown!r}: got {len(cells)}, expected {self.expected()}{no_file}{together}")
        try:
            x = encoder.encode({column.name: cell for column, cell in zip(encoder.columns, cells, strict=True)})
        except DataError as error:
            raise UserError(f"input {shown!r}: {error}; expected {self.expected()}{no_file}") from error
        return self.checked(x, shown)

    def _csv(self, source: Source) -> np.ndarray:
        if self.encoder is None:
            raise UserError(f"{source.name}: expected {self.expected()}")
        if self.series is not None:
            return self.read_series(source)[0]
        return self.checked(self.encoder.parse(source.read(), source.name), source.name)

    def read_series(self, source: Source) -> tuple[np.ndarray, list[str]]:
        """The last T steps of each series in a csv file, (N, T, D), and the series' names.

        Raises:
            UserError: the model takes no series of rows, or a series or a cell is not as it should be.
        """
        encoder, series = self.encoder, self.series
        if encoder is None or series is None:
            raise UserError(f"{source.name}: expected {self.expected()}")
        try:
            return self._series(source, encoder, series)
        except DataError as error:
            raise UserError(str(error)) from error

    def _series(self, source: Source, encoder: TableEncoder, series: SeriesColumns) -> tuple[np.ndarray, list[str]]:
        table = encoder.table(source.read(), source.name)
        steps, groups = self.in_shape[0], series.rows(table)
        for name, rows in groups.items():
            if len(rows) < steps:
                which = f"series {name!r}" if name else "the file"
                raise UserError(
                    f"{source.name}: {which} has {len(rows)} step{'s' * (len(rows) != 1)}, expected {self.expected()}"
                )
        x = encoder.encode_table(table)
        found = np.stack([x[rows[-steps:]] for rows in groups.values()])
        return self.checked(found, source.name), list(groups)

    def _npz(self, source: Source) -> np.ndarray:
        try:
            with open_npz(Path(source.name), source.stream) as archive:
                name = "x" if "x" in archive.members else next(iter(archive.members), None)
                x = None if name is None else archive.read([name])[name]
        except DataError as error:
            raise UserError(f"{source.name}: not a readable npz file ({error})") from error
        if x is None:
            raise UserError(f"{source.name}: holds no array; expected {self.expected()}")
        return self.checked(x[None] if x.shape == tuple(self.in_shape) else x, source.name)

    def _image(self, source: Source) -> np.ndarray:
        if len(self.in_shape) != 3:
            raise UserError(f"{source.name}: the model takes no images; expected {self.expected()}")
        height, width, channels = self.in_shape
        if self.image_fit is not None:
            try:
                image = image_file.read_image(
                    source.path or io.BytesIO(source.content), (height, width, channels), self.image_fit
                )
            except DataError as error:
                raise UserError(f"{source.name}: {error}; expected {self.expected()}") from None
            return image[None]
        there = image_shape(source)
        if there[:2] != (height, width):  # before it is unpacked: it may declare any size
            raise UserError(f"{source.name}: got inputs of shape {there}, expected {self.expected()}")
        return self.checked(read_image(source, channels)[None], source.name)

    def checked(self, x: np.ndarray, source: str = "input") -> np.ndarray:
        """Inputs (N, *in_shape) as numbers with a fraction, or images in uint8.

        Raises:
            UserError: they are none, or have another shape; or one is no finite number.
        """
        if x.shape[1:] != tuple(self.in_shape) or x.dtype.kind not in "iuf":
            turned = len(self.in_shape) == 3 and x.shape[1:] == (self.in_shape[2], *self.in_shape[:2])
            hint = "; PyTorch's layout? x.transpose(0, 2, 3, 1) turns it" if turned else ""
            raise UserError(
                f"{source}: got inputs of shape {x.shape[1:]} ({x.dtype}), expected {self._expected_array()}{hint}"
            )
        if not len(x):
            raise UserError(f"{source}: holds no samples")
        if x.dtype.kind == "i":
            x = x.astype(np.float64)  # whole numbers in a file are quantities; tokens come as a text
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise UserError(f"{source}: holds a value that is not a finite number")
        return x


def _largest(x: np.ndarray) -> float:
    return max(abs(float(x.min())), abs(float(x.max())))


def _split(given: str, separator: str) -> list[str]:
    """The cells of a line as a csv file has them, quotes around a cell that holds the separator."""
    try:
        rows = list(csv.reader([given], delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:  # a quote that is not closed, or a line break: text as it is
        return [cell.strip() for cell in given.split(separator)]
    return [cell.strip() for row in rows for cell in row] or [""]
