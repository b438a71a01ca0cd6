"""A model's outputs in words: a value with its unit, or a class with probabilities."""

from collections.abc import Iterator

import numpy as np

from dlcourse.training.inputs import Inputs
from dlcourse.training.summary import number

MOST_CLASSES = 5


def answers(inputs: Inputs, outputs: np.ndarray) -> Iterator[str]:
    """One line for each row of outputs."""
    say = _class if inputs.task == "classification" else _value
    return (say(inputs, row) for row in outputs.astype(np.float64))


def _value(inputs: Inputs, row: np.ndarray) -> str:
    """``rent = 812.4 dollars``; with a standard deviation where the model has one (its outputs are then twice as many,
    the second half log standard deviations)."""
    count = inputs.out_features
    unit = f" {inputs.target_unit}" if inputs.target_unit else ""
    values = [number(value) for value in row[:count]]
    if len(row) == 2 * count:
        values = [f"{value} +- {number(np.exp(spread))}" for value, spread in zip(values, row[count:], strict=True)]
    return f"{inputs.target_name} = {', '.join(values)}{unit}"


def _class(inputs: Inputs, row: np.ndarray) -> str:
    """``cat (probability 0.93; dog 0.05, ship 0.02)``, the most likely first."""
    odds = np.exp(row - row.max())
    odds /= odds.sum()
    order = np.argsort(-odds, kind="stable")
    others = ", ".join(f"{inputs.class_names[i]} {odds[i]:.4f}" for i in order[1:MOST_CLASSES])
    return f"{inputs.class_names[order[0]]} (probability {odds[order[0]]:.4f}; {others})"
