"""New inputs for a trained model: several, files and folders, and what is wrong with each row of them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dlcourse.data.image_file import SUFFIXES
from dlcourse.errors import DataError, UserError
from dlcourse.training.input_spec import InputSpec
from dlcourse.training.sources import looks_like_a_path, source_of

_TABLES = frozenset((".csv", ".tsv", ".npz"))


@dataclass(frozen=True)
class NewInputs:
    """What one argument, or one file of a folder, holds.

    Attributes:
        name: the argument, or the file's path.
        x: (N, *in_shape): the rows that can be used.
        problems: of every row what is wrong with it, empty where nothing is.
        rows: the number of every row in its file: of a csv its line, the header being line 1; of series their names,
            where they have such; empty where the input is one sample by itself.
    """

    name: str
    x: np.ndarray
    problems: list[str]
    rows: list[int] | list[str] = field(default_factory=list)


def read_all(inputs: InputSpec, given: Sequence[str]) -> Iterator[NewInputs]:
    """The inputs of all arguments, one after another; those of a folder by name.

    An argument alone that cannot be used is an error; of several, and in a folder, it is a row with a problem.

    Raises:
        UserError: see :meth:`InputSpec.read`; or a folder holds no file that fits the model.
    """
    entries = [(name, is_listed) for argument in given for name, is_listed in _files(inputs, argument)]
    for name, is_listed in entries:
        try:
            yield _read(inputs, name)
        except UserError as error:
            if len(given) == 1 and not is_listed:
                raise
            yield NewInputs(name, np.empty((0, *inputs.in_shape)), [str(error).removeprefix(f"{name}: ")])


def _files(inputs: InputSpec, argument: str) -> Iterator[tuple[str, bool]]:
    """An argument; or the files of the folder that it names, and whether they are such."""
    if not os.path.isdir(argument) or (not looks_like_a_path(argument) and _is_a_cell(inputs, argument)):
        yield argument, False
        return
    wanted = SUFFIXES | {".npz"} if len(inputs.in_shape) == 3 else _TABLES
    found = []
    for place, folders, names in os.walk(argument):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in names if not name.startswith(".")]
    fitting = [str(path) for path in sorted(found) if path.suffix.lower() in wanted]
    if not fitting:
        kinds = ", ".join(sorted(wanted))
        raise UserError(f"{argument}: holds no file that the model takes ({kinds}); expected {inputs.expected()}")
    for path in fitting:
        yield path, True


def _is_a_cell(inputs: InputSpec, argument: str) -> bool:
    """Whether the name of a folder can be an input by itself, such as a category."""
    if inputs.encoder is None:
        return False
    try:
        inputs.read(argument)
    except UserError:
        return False
    return True


def _read(inputs: InputSpec, name: str) -> NewInputs:
    source = source_of(name)
    if source is not None and source.kind == "csv" and inputs.series is not None and inputs.encoder is not None:
        x, names = inputs.read_series(source)
        return NewInputs(name, x, [""] * len(x), names if inputs.series.id is not None else [])
    if source is not None and source.kind == "csv" and inputs.encoder is not None:
        try:
            x, rows, problems = inputs.encoder.parse_rows(source.read(), source.name)
        except DataError as error:
            raise UserError(str(error)) from error
        return NewInputs(name, inputs.checked(x, name) if len(x) else x, problems, rows)
    x = inputs.read(name)
    return NewInputs(name, x, [""] * len(x), list(range(1, len(x) + 1)) if len(x) > 1 else [])
