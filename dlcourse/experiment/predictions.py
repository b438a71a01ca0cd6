"""Format what a trained model predicts, a value or class probabilities; sample text from one."""

from collections.abc import Iterator

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import random
from dlcourse.data.text import decode, encode
from dlcourse.errors import DataError, UserError
from dlcourse.experiment.trained import TrainedModel
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


def _class(inputs: InputSpec, row: np.ndarray, what: str) -> str:
    """``cat (probability 0.93; dog 0.05, ship 0.02)``, what the model is surest of first."""
    order = np.argsort(-row, kind="stable")
    others = ", ".join(f"{inputs.class_names[i]} {row[i]:.4f}" for i in order[1:MAX_CLASSES])
    return f"{inputs.class_names[order[0]]} ({what} {row[order[0]]:.4f}; {others})"


def continue_text(trained: TrainedModel, text: str, length: int = 300, temperature: float = 1.0, seed: int = 0) -> str:
    """``length`` characters after ``text``, the k-th a function of (seed, k) and those before it.

    The model sees the last characters only, as many as in training. p_c ~ exp(z_c / temperature) of its logits z.

    Args:
        temperature: below 1 the likelier characters are taken more often, at 0 always the likeliest.
    Raises:
        UserError: the model is not one of tokens, there is no text, a character is unknown, or a number is negative.
    """
    inputs = trained.inputs
    if not inputs.tokens:
        raise UserError("only a model of a text can go on with one")
    if not text:
        raise UserError("there is no text to go on with: give one character at least")
    if length < 0 or not temperature >= 0:
        raise UserError(f"length and temperature are at least 0, got {length} and {temperature:g}")
    try:
        tokens = encode(text, inputs.class_names).tolist()
    except DataError as error:
        raise UserError(f"input {text!r}: {error}") from error
    given, context = len(tokens), inputs.in_shape[0]
    with backend.use(trained.backend), no_grad():
        for place in range(length):
            seen = trained.backend.asarray(np.array([tokens[-context:]]))
            logits = backend.to_host(trained.model(Tensor(seen)).data)[0, -1].astype(np.float64)
            tokens.append(_drawn(logits, temperature, random.generator(seed, "continue", place).random()))
    return decode(np.array(tokens[given:], dtype=np.int64), inputs.class_names)


def _drawn(logits: np.ndarray, temperature: float, uniform: float) -> int:
    """The token at which the cumulative probability passes ``uniform``."""
    if temperature == 0:
        return int(logits.argmax())
    cumulative = np.exp((logits - logits.max()) / temperature).cumsum()
    return min(int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right")), len(logits) - 1)
