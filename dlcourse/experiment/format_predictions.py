"""Format a model's outputs: a value with its unit, or a class with probabilities."""

from collections.abc import Iterator

import numpy as np

from dlcourse.models.base import Model
from dlcourse.text import format_number
from dlcourse.training.input_spec import InputSpec

MAX_CLASSES = 5


def answers(inputs: InputSpec, outputs: np.ndarray, model: Model) -> Iterator[str]:
    """One line for each row of the model's outputs."""
    if inputs.task != "classification":
        return (_value(inputs, row) for row in outputs.astype(np.float64))
    return (_class(inputs, row, model.confidence) for row in model.confidences(outputs))


def _value(inputs: InputSpec, row: np.ndarray) -> str:
    """``rent = 812.4 dollars``; with a standard deviation where the model has one (its outputs are then twice as many,
    the second half log standard deviations)."""
    count = inputs.out_features
    unit = f" {inputs.target_unit}" if inputs.target_unit else ""
    values = [format_number(value, 6) for value in row[:count]]
    if len(row) == 2 * count:
        spreads = [format_number(np.exp(spread), 6) for spread in row[count:]]
        values = [f"{value} +- {spread}" for value, spread in zip(values, spreads, strict=True)]
    return f"{inputs.target_name} = {', '.join(values)}{unit}"


def _class(inputs: InputSpec, row: np.ndarray, what: str) -> str:
    """``cat (probability 0.93; dog 0.05, ship 0.02)``, what the model is surest of first."""
    order = np.argsort(-row, kind="stable")
    others = ", ".join(f"{inputs.class_names[i]} {row[i]:.4f}" for i in order[1:MAX_CLASSES])
    return f"{inputs.class_names[order[0]]} ({what} {row[order[0]]:.4f}; {others})"
