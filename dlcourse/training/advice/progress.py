"""Rules on the course of training: a rate that is too high or too low, a net that learns nothing.

Each gives a sentence, or None where it has nothing to say.
"""

import numpy as np

from dlcourse.text import format_number
from dlcourse.training.advice.evidence import Evidence, Guessing

FEW_LINES = 10
"""Log points below which the losses say nothing."""
FEW_EVALUATIONS = 5
FEW_STEPS = 50
"""Steps after which something should have been learned."""
FEW_SAMPLES = 16
"""In a batch, below which the first loss by itself says little: the first fifth of all counts."""
ROSE = 1.5
"""The losses at the end over those at the start: where training did harm."""
JUMPED = 3.0
"""Three losses in a row over the first ones: where training was thrown back."""
LEAPT = 10.0
"""One loss over the first ones, where the last are no better: heavy tails of the targets leave a batch below that."""
GAINED = 0.1
"""A fall by more than this part of the first loss is something to lose again."""
LOST = 0.5
"""The part of that fall which, lost again at the end, is no noise."""
STEADY = 0.4
"""Share of the whole fall of the loss in the second half of the steps: half on a straight line; what approaches its
end, as the loss of a well chosen rate does, leaves a quarter or less."""
SHORT_WAY = 0.3
"""A fall by less than this part of the first loss is little."""
LITTLE = 0.02
"""Accuracy or r2 above guessing that still counts as nothing."""
RARE = 0.7
"""Share of the commonest class from which the others are too rare for accuracy to tell."""


def rate_too_high(evidence: Evidence) -> str | None:
    """The loss ends above where it began, is thrown back on its way, or loses again what it gained."""
    steps, losses = evidence.losses.T
    finite = np.isfinite(losses)
    steps, losses = steps[finite], losses[finite]
    if evidence.status == "diverged":
        return _before_divergence(losses, evidence)
    if len(losses) < FEW_LINES:
        return None
    early = losses[: len(losses) // 5] if evidence.batch_size < FEW_SAMPLES else losses[:1]
    began = float(early.mean())
    ended = float(np.median(losses[-max(3, len(losses) // 5) :]))
    if began <= 0:
        return None  # a likelihood's logarithm, which has no natural zero
    if ended > ROSE * began:
        return (
            f"the training loss rose, from {format_number(began, 3)} to {format_number(ended, 3)}: steps are too long. "
            "Try a tenth of optimizer.lr, or train.clip_norm"
        )
    return (
        _leapt(steps, losses, began, ended) or _thrown_back(steps, losses, began) or _lost_again(steps, losses, began)
    )


def _leapt(steps: np.ndarray, losses: np.ndarray, began: float, ended: float) -> str | None:
    worst = int(losses.argmax())
    if losses[worst] < LEAPT * began or ended < (1 - GAINED) * began:
        return None
    return (
        f"the training loss leapt to {format_number(losses[worst], 3)} about step {int(steps[worst])}, from "
        f"{format_number(began, 3)} at the start, and ends at {format_number(ended, 3)}: steps are too long. Try a "
        "tenth of optimizer.lr, or train.clip_norm"
    )


def _thrown_back(steps: np.ndarray, losses: np.ndarray, began: float) -> str | None:
    lowest = np.minimum(np.minimum(losses[2:], losses[1:-1]), losses[:-2])
    worst = int(lowest.argmax())
    if lowest[worst] <= JUMPED * began:
        return None
    return (
        f"the training loss was thrown back to {format_number(lowest[worst], 3)} about step {int(steps[worst + 1])}, "
        f"from {format_number(began, 3)} at the start: the rate is at its limit. Try a lower optimizer.lr, a warm-up "
        "(optimizer.schedule), or train.clip_norm"
    )


def _lost_again(steps: np.ndarray, losses: np.ndarray, began: float) -> str | None:
    part = max(FEW_LINES, len(losses) // 10)
    if len(losses) < 2 * part:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(losses, part)
    means = windows.mean(axis=1)
    best = int(means.argmin())
    low, ended = float(means[best]), float(means[-1])
    noise = max(windows[best].std(), windows[-1].std()) / np.sqrt(part)
    if began - low < GAINED * began or ended - low < max(LOST * (began - low), 4 * noise):
        return None
    return (
        f"the training loss was down at {format_number(low, 3)} about step {int(steps[best + part // 2])}, and is at "
        f"{format_number(ended, 3)} at the end: steps are too long to stay there. Try a tenth of optimizer.lr, a "
        "schedule that lowers it (optimizer.schedule), or train.clip_norm"
    )


def _before_divergence(losses: np.ndarray, evidence: Evidence) -> str:
    grew = ""
    if len(losses) and losses.max() > losses[0]:
        grew = f": the loss grew from {format_number(losses[0], 3)} to {format_number(losses.max(), 3)} before"
    return (
        f"training left all bounds{grew}. Steps that are too long overshoot further each time: try "
        f"{_scaling(evidence)}a tenth of optimizer.lr, or train.clip_norm"
    )


def _scaling(evidence: Evidence) -> str:
    """What to scale, before anything else is tried."""
    if evidence.large_targets:
        return "targets that are scaled (data.normalize_target: standardize), "
    return "" if evidence.normalized else "inputs that are normalized (data.normalize), "


def rate_too_low(evidence: Evidence) -> str | None:
    """The loss falls along a straight line, slowly, to the very end."""
    if evidence.begins_trained or evidence.status != "done":
        return None
    found = _measured_fall(evidence) or _fall(evidence)
    if found is None:
        return None
    what, first, middle, last = found
    if not 0 < first - last < SHORT_WAY * first or middle - last < STEADY * (first - last):
        return None
    scaled = _scaling(evidence) if evidence.large_targets else ""
    return (
        f"{what} fell little and as fast at the end as at the start, from {format_number(first, 3)} to "
        f"{format_number(last, 3)}: the rate is too low for so few steps. Try {scaled}optimizer.lr ten times as high, "
        "or more epochs"
    )


Fall = tuple[str, float, float, float]
"""What fell, and where it was at the start, in the middle and at the end."""


def _measured_fall(evidence: Evidence) -> Fall | None:
    """Of a cost on the whole training split, where it was measured often enough."""
    for label in ("loss", "cross_entropy", "mse", "rmse", "mae"):
        values = evidence.curve("train", label)[:, 1]
        if len(values) >= FEW_EVALUATIONS and np.isfinite(values).all():
            first, middle, last = values[[0, len(values) // 2, -1]].tolist()
            return f"{label} on the training data", first, middle, last
    return None


def _fall(evidence: Evidence) -> Fall | None:
    """Of the batches' losses, where it is not lost in their noise."""
    losses = evidence.losses[:, 1]
    losses = losses[np.isfinite(losses)]
    if len(losses) < FEW_LINES:
        return None
    part, half = len(losses) // 5, len(losses) // 2
    first, middle, last = losses[:part], losses[half - part // 2 : half - part // 2 + part], losses[-part:]
    noise = max(first.std(), middle.std(), last.std()) / np.sqrt(part)
    if first.mean() - last.mean() < 4 * noise:
        return None
    return "the training loss", float(first.mean()), float(middle.mean()), float(last.mean())


def learns_nothing(evidence: Evidence) -> str | None:
    """Even on what it was trained on the model is no better than guessing."""
    if evidence.steps < FEW_STEPS or evidence.status != "done":
        return None
    guessing, right = evidence.guessing, evidence.accuracy("train")
    fix = "Try --overfit-batch: if one batch cannot be learned either, look at optimizer.lr, data.normalize, the loss"
    if guessing is not None and (evidence.weighted or guessing.accuracy > RARE):
        return _learns_no_class(evidence, guessing, fix)
    if guessing is not None and np.isfinite(right):
        if right > guessing.accuracy + LITTLE + 2 * evidence.unsure("train", guessing.accuracy):
            return None
        return (
            f"accuracy on the training data is {format_number(right, 3)}, and always guessing the commonest class "
            f"gives {format_number(guessing.accuracy, 3)}: nothing was learned. {fix}"
        )
    nats = evidence.final("train", "cross_entropy")
    if guessing is not None and np.isfinite(nats):
        if nats < (1 - LITTLE) * guessing.cross_entropy:
            return None
        return (
            f"cross-entropy on the training data is {format_number(nats, 3)}, and guessing by the classes' shares "
            f"gives {format_number(guessing.cross_entropy, 3)}: nothing was learned. {fix}"
        )
    explained = evidence.final("train", "r2")
    if explained <= LITTLE:  # never of NaN
        return (
            f"r2 on the training data is {format_number(explained, 3)}: the model says no more than the targets' mean. "
            f"{fix}, data.normalize_target"
        )
    return None


def _learns_no_class(evidence: Evidence, guessing: Guessing, fix: str) -> str | None:
    """Where most samples are of one class, accuracy and likelihood say little: each class has to count alike."""
    right, chance = evidence.final("train", "balanced_accuracy"), 1 / guessing.classes
    if not right <= chance + LITTLE:  # also of NaN
        return None
    return (
        f"balanced accuracy on the training data is {format_number(right, 3)}, and {format_number(chance, 3)} is what "
        f"guessing gives: nothing was learned. {fix}"
    )
