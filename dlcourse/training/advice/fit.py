"""Rules on training against validation: overfitting, labels that have nothing to do with the inputs.

Each gives a sentence, or None where it has nothing to say.
"""

import numpy as np

from dlcourse.text import format_number
from dlcourse.training.advice.evidence import Evidence

GAP = 0.1
"""Between training and validation, in accuracy or r2, from which it is worth a word."""
TIMES_WRONG = 2.0
"""As many times as wrong on validation as on training."""
TURNED = 0.15
"""By this part of its whole way a validation metric came back from its best, and by more than luck."""
FEW = 20
"""Validation samples below which a difference may be luck."""
LEARNED = 0.3
"""Training accuracy above guessing that only the labels themselves explain, where validation shows nothing."""

_SQUARES = ("mse", "gaussian_nll", "cross_entropy", "bits_per_character")
_ROOTS = ("rmse", "mae")
_SHARES = ("accuracy", "error", "top_k")


def labels_look_shuffled(evidence: Evidence) -> str | None:
    """Learned by heart, and on validation no better than guessing."""
    guessing, train, val = evidence.guessing, evidence.accuracy("train"), evidence.accuracy("val")
    if guessing is None or evidence.counts.get("val", 0) < FEW or not np.isfinite(train + val):
        return None
    if train < guessing.accuracy + LEARNED or val > guessing.accuracy + evidence.unsure("val", guessing.accuracy):
        return None
    return (
        f"training accuracy is {format_number(train, 3)}, and on validation {format_number(val, 3)} is no better than "
        f"guessing ({format_number(guessing.accuracy, 3)}): the labels look shuffled. See whether inputs and labels "
        "belong together (dlcourse data info, data.target, the order of the rows)"
    )


def overfitting(evidence: Evidence) -> str | None:
    """Far better on what it was trained on, or better and better there while validation gets worse."""
    if evidence.counts.get("val", 0) < FEW or _guesses_one_class(evidence):
        return None
    found = _gap(evidence) or _turn(evidence)
    if found is None:
        return None
    more = "data.augment, " if evidence.images else ""
    fix = f"{more}train.l2 or weight decay, dropout, a smaller model, train.early_stopping"
    if not evidence.steps:  # a closed form
        fix = "a simpler model, a penalty (optimizer.ridge)"
    return f"{found}: overfitting. Try {fix}, or more data"


def _guesses_one_class(evidence: Evidence) -> bool:
    """Whether on the training data nothing is gained over one class for all samples, as far as was measured."""
    if evidence.guessing is None:
        return False
    chance = {"kappa": 0.0, "balanced_accuracy": 1 / evidence.guessing.classes}
    for label, of_one in chance.items():
        value = evidence.final("train", label)
        if np.isfinite(value):
            return bool(value <= of_one + 1e-9)
    right = evidence.accuracy("train")  # of NaN nothing is known
    return bool(right <= evidence.guessing.accuracy + 1e-9) and not evidence.weighted


def _gap(evidence: Evidence) -> str | None:
    for label, train, val in _pairs(evidence, ("accuracy", "error", "r2")):
        right, there = (1 - train, 1 - val) if label == "error" else (train, val)
        unsure = 0.0 if label == "r2" else 3 * evidence.unsure("val", there)
        if right - there >= max(GAP, unsure) and 1 - there >= TIMES_WRONG * (1 - right):
            return f"{label} is {format_number(train, 3)} on training and {format_number(val, 3)} on validation"
        return None
    for label, train, val in _pairs(evidence, (*_SQUARES, *_ROOTS)):
        times = TIMES_WRONG if label in _SQUARES else TIMES_WRONG**0.5
        if train > 0 and val >= times * train:
            return f"{label} is {format_number(train, 3)} on training and {format_number(val, 3)} on validation"
        return None
    return None


def _pairs(evidence: Evidence, labels: tuple[str, ...]) -> list[tuple[str, float, float]]:
    """Those that were measured on training and validation, with both values."""
    found = [(label, evidence.final("train", label), evidence.final("val", label)) for label in labels]
    return [each for each in found if np.isfinite(each[1] + each[2])]


def _turn(evidence: Evidence) -> str | None:
    if evidence.stops_early:
        return None
    for label in evidence.labels:
        sign = 1.0 if evidence.higher_is_better.get(label) else -1.0
        (epochs, val), train = evidence.curve("val", label).T, evidence.curve("train", label)[:, 1]
        if len(val) < 5 or not np.isfinite(val).all() or not np.isfinite(train).all():
            continue
        val, train = sign * val, sign * train
        best = int(val.argmax())
        last = float(np.mean(val[-2:]))
        way = float(val[best] - val.min())
        if best >= len(val) - 3:
            continue
        back, jitter = val[best] - last, float(np.std(np.diff(val[best:])))
        luck = 3 * evidence.unsure("val", abs(val[best])) if label.partition("(")[0] in _SHARES else 0.0
        if back > max(TURNED * way, 3 * jitter, luck) and np.mean(train[-2:]) > train[best]:
            return (
                f"{label} on validation was best at epoch {format_number(epochs[best], 3)} "
                f"({format_number(sign * val[best], 3)}), and {format_number(sign * last, 3)} at the end, while "
                "training went on improving"
            )
    return None
