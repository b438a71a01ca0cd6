"""What a model such as ``seq2seq`` answers to texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import no_grad
from dlcourse.backend.device import Backend
from dlcourse.data.sequence_pairs import padded
from dlcourse.data.text import decode, encode
from dlcourse.errors import DataError, UserError
from dlcourse.nn.calls import in_evaluation
from dlcourse.special_tokens import EOS
from dlcourse.training.input_spec import InputSpec

__all__ = ["answer_texts", "encoded"]


def encoded(text: str, inputs: InputSpec) -> np.ndarray:
    """A text as tokens, (n,).

    Raises:
        UserError: there is none, or a character is unknown.
    """
    if not text:
        raise UserError("there is no text to go on with or to answer: give one character at least")
    try:
        return encode(text, inputs.vocabulary, inputs.tokenizer)
    except DataError as error:
        raise UserError(f"input {text!r}: {error}") from error


def answer_texts(model: Any, texts: Sequence[str], inputs: InputSpec, device: Backend) -> list[str]:
    """The likeliest answer to each text, token by token (greedy).

    Raises:
        UserError: these are no texts, one is empty, or a character is unknown.
    """
    if isinstance(texts, str):
        raise UserError(f"expected a list of texts, got the text {texts!r}")
    if not texts:
        return []
    tokens = padded([encoded(text, inputs) for text in texts])
    with backend.use(device), in_evaluation(model), no_grad():
        answers = backend.to_host(model.attend(device.asarray(tokens))[0])
    return [decode(row[: list(row).index(EOS)] if EOS in row else row, inputs.class_names) for row in answers]
