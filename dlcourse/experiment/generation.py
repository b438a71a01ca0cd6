"""What a trained model makes by itself: it goes on with a text, answers one, or draws images."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import no_grad
from dlcourse.backend import Backend, random
from dlcourse.data.text import beginning, decode, encode
from dlcourse.errors import UserError
from dlcourse.experiment.answers import encoded
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.trained import TrainedModel
from dlcourse.nn.calls import in_evaluation
from dlcourse.training.input_spec import InputSpec
from dlcourse.training.samples import as_kept, drawn_inputs, writes_text

SAMPLE_LENGTH = 200
"""Characters of a text in a report."""
SAMPLE_IMAGES, SAMPLE_VECTORS = 10, 1000
"""New inputs that are kept at each evaluation: images, or points and other vectors."""


def continue_text(
    trained: TrainedModel,
    text: str,
    length: int = 300,
    temperature: float = 1.0,
    seed: int = 0,
    top_k: int | None = None,
    top_p: float = 1.0,
    count: int = 1,
) -> list[str]:
    """``count`` texts of ``length`` tokens (of most models characters) that follow ``text``, each token a function of
    the seed, its place and those before it.

    p_c ~ exp(z_c / temperature) of the logits z. A model with a context sees as many of the last tokens at most. It
    keeps what it has computed of them, so a token takes the same time wherever it stands.

    Args:
        temperature: below 1 the likelier tokens are taken more often, at 0 always the likeliest.
        top_k: only the k likeliest tokens are taken; None: all.
        top_p: only the likeliest tokens that together have this probability are taken (nucleus sampling, Holtzman
            et al. 2019).
    Raises:
        UserError: the model is not one of tokens, there is no text, a character is unknown, a number out of range.
    """
    inputs = trained.inputs
    if not inputs.tokens or not inputs.every_step or inputs.pairs:
        raise UserError("only a model of a text can go on with one")
    for name, value, within, taken in (
        ("length", length, length >= 0, "at least 0"),
        ("temperature", temperature, temperature >= 0, "at least 0"),
        ("count", count, count >= 1, "at least 1"),
        ("top_k", top_k, top_k is None or top_k >= 1, "at least 1"),
        ("top_p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
    ):
        if not within:
            raise UserError(f"{name} is {taken}, got {value:g}")
    start = np.tile(encoded(text, inputs), (count, 1))
    trained.model.eval()
    with backend.use(trained.backend):
        found = _continued(trained.model, trained.backend, start, length, temperature, seed, top_k, top_p)
    return [decode(row, inputs.class_names, inputs.tokenizer) for row in found]


def _continued(
    model: Any,
    chosen: Backend,
    tokens: np.ndarray,
    length: int,
    temperature: float = 1.0,
    seed: int = 0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> np.ndarray:
    """``length`` tokens (N, length) that follow each row of ``tokens``, see :func:`continue_text`."""
    found, state = np.empty((len(tokens), length), np.int64), None
    with no_grad():
        for place in range(length):
            logits, state = model.next_logits(chosen.asarray(tokens), state)
            odds = probabilities(backend.to_host(logits.data), temperature, top_k, top_p)
            uniform = random.generator(seed, "continue", place).random(len(tokens))
            found[:, place] = _drawn(odds, uniform)
            tokens = found[:, place : place + 1]
    return found


def probabilities(
    logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> np.ndarray:
    """With which probability each token is taken, (N, V) in float64, from logits (N, V); see :func:`continue_text`."""
    logits = logits.astype(np.float64)
    if temperature == 0:
        temperature, top_k = 1.0, 1
    odds = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    odds /= odds.sum(axis=1, keepdims=True)
    order = np.argsort(-odds, axis=1, kind="stable")
    falling = np.take_along_axis(odds, order, axis=1)
    before = falling.cumsum(axis=1) - falling  # what the likelier ones have together
    kept = before < top_p if top_p < 1 else np.ones_like(before, dtype=bool)
    kept[:, 0] = True
    kept[:, odds.shape[1] if top_k is None else top_k :] = False
    np.put_along_axis(odds, order, np.where(kept, falling, 0.0), axis=1)
    return odds / odds.sum(axis=1, keepdims=True)


def _drawn(odds: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """For each row the token at which the cumulative probability passes ``uniform``."""
    cumulative = odds.cumsum(axis=1)
    passed = cumulative > (uniform * cumulative[:, -1])[:, None]
    return np.where(passed.any(axis=1), passed.argmax(axis=1), odds.shape[1] - 1)


def draw_images(trained: TrainedModel, count: int, seed: int = 0, **settings: Any) -> np.ndarray:
    """``count`` new inputs as the data has them, (count, *in_shape) in float64.

    Args:
        settings: of the model's ``generate``, such as the ``sampler`` of a diffusion.
    Raises:
        UserError: the model generates nothing, ``count`` is below 1, or it has no such setting.
    """
    if count < 1:
        raise UserError(f"count is at least 1, got {count}")
    model, name = trained.model, trained.config.data["model"]["name"]
    known = inspect.signature(model.generate).parameters.keys() - {"count", "seed"}
    for setting in settings:
        if model.generates and setting not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UserError(f"{setting}: the samples of the model {name} have no such setting; there are: {there}")
    with backend.use(trained.backend):
        return drawn_inputs(model, trained.normalizer, count, seed, **settings if model.generates else {})


def sampler(experiment: Experiment) -> Callable[[], np.ndarray | list[str]] | None:
    """What makes the samples that a run keeps at each evaluation, ``train.samples`` of them, always of the same seed;
    None where it keeps none, or its model generates nothing."""
    model, data, wanted = experiment.model, experiment.data, experiment.train["samples"]
    if wanted == 0:
        return None
    if getattr(model, "generates", False):
        count = wanted or (SAMPLE_IMAGES if len(data.in_shape) == 3 else SAMPLE_VECTORS)
        inputs = InputSpec.of(data)
        return lambda: as_kept(drawn_inputs(model, data.normalizer, count), inputs)
    if not writes_text(data, model):
        return None

    def texts() -> list[str]:
        known = data.class_names, data.dataset.tokenizer
        first = np.tile(encode(beginning(*known), *known), (wanted or 1, 1))
        with in_evaluation(model):
            found = _continued(model, experiment.backend, first, SAMPLE_LENGTH)
        return [decode(row, *known) for row in found]

    return texts
