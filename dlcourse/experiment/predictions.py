"""What a trained model answers to new inputs, as text and as a table."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.errors import UserError
from dlcourse.experiment.trained import TrainedModel
from dlcourse.models.base import Model
from dlcourse.text import csv_text, format_number
from dlcourse.training.input_spec import InputSpec
from dlcourse.training.new_inputs import NewInputs, read_all

MAX_CLASSES = 5
_OWN_COLUMNS = ("input", "row", "step", "problem")
_ROWS = 256
"""Rows of small inputs that are predicted together."""


@dataclass(frozen=True)
class Answer:
    """What the model says to one row.

    Attributes:
        input: the argument or file that it comes from.
        row: its number in the file, or the name of the series; None for an input of one sample.
        step: of a sequence with an answer at every step, from 1.
        output: the model's outputs; None where there is a problem.
        problem: why there is no answer.
    """

    input: str
    row: int | str | None
    output: np.ndarray | None
    problem: str = ""
    step: int | None = None


def read_and_answer(trained: TrainedModel, given: Sequence[str]) -> tuple[list[Answer], list[str]]:
    """The answers to arguments of ``dlcourse predict``, row by row, and a sentence for each feature that leaves the
    range of the training split.

    Raises:
        UserError: see :func:`~dlcourse.training.new_inputs.read_all`.
    """
    trained.check_predicts()
    tables: list[np.ndarray] = []

    def noted() -> Iterator[NewInputs]:
        for entry in read_all(trained.inputs, given):
            tables.extend([entry.x] if trained.inputs.low else [])
            yield entry

    found = list(answer_all(trained, noted(), lone=len(given) == 1 and not os.path.isdir(given[0])))
    return found, trained.inputs.outside(np.concatenate(tables)) if tables else []


def answer_all(trained: TrainedModel, entries: Iterable[NewInputs], lone: bool = False) -> Iterator[Answer]:
    """The model's answers, row by row in order.

    Args:
        lone: raise what is wrong with an input as a whole, instead of saying it in its rows.
    Raises:
        UserError: an answer is no finite number, and the input is a lone one.
    """
    for chunk in _chunks(entries):
        filled = [entry for entry in chunk if len(entry.x)]
        outputs: list[np.ndarray | str] = []
        if filled:
            try:
                found = trained.predict(np.concatenate([entry.x for entry in filled]))
                outputs = list(np.split(found, np.cumsum([len(entry.x) for entry in filled])[:-1]))
            except UserError:
                if lone:
                    raise
                outputs = [_each(trained, entry.x) for entry in filled]
        by_entry = dict(zip(map(id, filled), outputs, strict=True))
        for entry in chunk:
            yield from _rows_of(entry, by_entry.get(id(entry), ""))


def _rows_of(entry: NewInputs, outputs: np.ndarray | str) -> Iterator[Answer]:
    left = iter(outputs)
    for place, problem in enumerate(entry.problems):
        row = entry.rows[place] if entry.rows else None
        if not problem and isinstance(outputs, str):
            problem = outputs
        output = None if problem else next(left)
        if output is not None and output.ndim == 2:
            for step, each in enumerate(output, 1):
                yield Answer(entry.name, row, each, step=step)
        else:
            yield Answer(entry.name, row, output, problem)


def _each(trained: TrainedModel, x: np.ndarray) -> np.ndarray | str:
    try:
        return trained.predict(x)
    except UserError as error:
        return str(error)


def _chunks(entries: Iterable[NewInputs]) -> Iterator[list[NewInputs]]:
    """Entries in order, small ones of one type and shape together."""
    chunk: list[NewInputs] = []
    for entry in entries:
        rows = sum(len(each.x) for each in chunk)
        kinds = {(each.x.dtype, each.x.shape[1:]) for each in (entry, *chunk[:1])}
        if chunk and (rows + len(entry.x) > _ROWS or len(kinds) > 1):
            yield chunk
            chunk = []
        chunk.append(entry)
    if chunk:
        yield chunk


def as_lines(
    trained: TrainedModel, answers: Iterable[Answer], top: int = MAX_CLASSES, named: bool = False
) -> Iterator[str]:
    """A line for each answer.

    Args:
        top: how many classes are named, the likeliest first.
        named: begin each line with the input.
    """
    for each in answers:
        if each.output is None:
            where = f"row {each.row}: " if each.row is not None and not named else ""
            text = f"no answer: {where}{each.problem}"
        elif trained.inputs.task == "classification":
            (confidences,) = trained.model.confidences(each.output[None])
            text = _class(trained.inputs, confidences, trained.model.confidence, top)
        else:
            text = _value(trained.inputs, each.output.astype(np.float64))
        series = isinstance(each.row, str) or each.step is not None
        parts = [] if each.row is None else [f"{'series' if series else 'row'} {each.row}"]
        parts += [] if each.step is None else [f"step {each.step}"]
        if named:
            yield f"{', '.join([each.input, *parts])}: {text}"
        else:  # rows come in the order of the file
            yield f"{', '.join(parts)}: {text}" if series else text


def as_csv(trained: TrainedModel, answers: Sequence[Answer], top: int | None = None) -> str:
    """A table of the answers: ``input``, ``row`` (and ``step`` of a sequence), ``prediction`` and a column for each
    class (``probability_cat``); of a regression the target's name, and ``_sd`` behind it for its standard deviation
    where the model has one.

    Args:
        top: so many pairs ``class_1, probability_1, ...``, the likeliest first, in place of a column for each class.
    """
    inputs, model = trained.inputs, trained.model
    good = [each.output for each in answers if each.output is not None]
    if inputs.task == "classification":
        header, cells = _class_cells(inputs, model, good, top)
    else:
        header, cells = _value_cells(inputs, good)
    header = [f"predicted_{name}" if name in _OWN_COLUMNS else name for name in header]
    problems, steps = any(each.problem for each in answers), any(each.step is not None for each in answers)
    left = iter(cells)
    rows = []
    for each in answers:
        values = [None] * len(header) if each.output is None else next(left)
        rows.append(
            [each.input, each.row, *([each.step] if steps else []), *values, *([each.problem] if problems else [])]
        )
    return csv_text(["input", "row", *(["step"] if steps else []), *header, *(["problem"] if problems else [])], rows)


def _class_cells(
    inputs: InputSpec, model: Model, outputs: Sequence[np.ndarray], top: int | None
) -> tuple[list[str], list[list[Any]]]:
    what = model.confidence.replace(" ", "_")
    confidences = model.confidences(np.stack(outputs)) if outputs else np.empty((0, len(inputs.class_names)))
    names = _output_names(inputs, confidences.shape[1])
    order = np.argsort(-confidences, axis=1, kind="stable")
    if top is None:
        header = ["prediction", *(f"{what}_{name}" for name in names)]
        return header, [[names[first[0]], *row.tolist()] for first, row in zip(order, confidences, strict=True)]
    top = min(top, len(names))
    header = [f"{word}_{place}" for place in range(1, top + 1) for word in ("class", what)]
    rows = zip(order[:, :top].tolist(), confidences.tolist(), strict=True)
    return header, [[cell for i in first for cell in (names[i], row[i])] for first, row in rows]


def _value_cells(inputs: InputSpec, outputs: Sequence[np.ndarray]) -> tuple[list[str], list[list[Any]]]:
    count = inputs.out_features
    names = [name for name, _ in inputs.named_targets] or [inputs.target_name]
    if len(names) != count:
        names = [f"{names[0]}_{place + 1}" for place in range(count)]
    spread = bool(outputs) and len(outputs[0]) == 2 * count
    rows = [row.astype(np.float64) for row in outputs]
    cells = [[*row[:count].tolist(), *(np.exp(row[count:]).tolist() if spread else [])] for row in rows]
    return [*names, *(f"{name}_sd" for name in names if spread)], cells


def _value(inputs: InputSpec, row: np.ndarray) -> str:
    """``rent = 812.4 dollars``; with a standard deviation where the model has one (its outputs are then twice as many,
    the second half log standard deviations); of several targets each with its name."""
    count = inputs.out_features
    values = [format_number(value, 6) for value in row[:count]]
    if len(row) == 2 * count:
        spreads = [format_number(np.exp(spread), 6) for spread in row[count:]]
        values = [f"{value} +- {spread}" for value, spread in zip(values, spreads, strict=True)]
    if inputs.named_targets:
        pairs = zip(inputs.named_targets, values, strict=True)
        return ", ".join(f"{name} = {value} {unit}".rstrip() for (name, unit), value in pairs)
    return f"{inputs.target_name} = {', '.join(values)} {inputs.target_unit}".rstrip()


def _class(inputs: InputSpec, row: np.ndarray, what: str, top: int) -> str:
    """``cat (probability 0.93; dog 0.05, ship 0.02)``, what the model is surest of first."""
    order, names = np.argsort(-row, kind="stable"), _output_names(inputs, len(row))
    others = ", ".join(f"{names[i]} {row[i]:.4f}" for i in order[1:top])
    return f"{names[order[0]]} ({what} {row[order[0]]:.4f}{'; ' if others else ''}{others})"


def _output_names(inputs: InputSpec, width: int) -> list[str]:
    """The classes, then ``no class (output 3)`` for each output that a model has beyond them."""
    classes = inputs.class_names
    return [*classes, *(f"no class (output {i})" for i in range(len(classes), width))]
