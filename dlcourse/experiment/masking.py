"""Signs that an attack failed by a hidden gradient, and not because the net is robust."""

from collections.abc import Iterator, Sequence

import numpy as np

from dlcourse.experiment.attacking import AttackResult

__all__ = ["masking_notes"]

_ERRORS = 2.0
"""Standard errors of the difference of two shares from which it is no chance."""


def masking_notes(results: Sequence[AttackResult]) -> Iterator[str]:
    """What makes attacks' figures doubtful (Athalye et al. 2018; Carlini et al. 2019).

    - Inputs that stay as they are: their loss has no gradient, as where float32 rounds a probability to 1.
    - Random changes fool the net more than an attack of the same size.
    - A larger change fools it less.
    - One step, or the gradients of another net, fool it more than many steps along its own.
    """
    for each in results:
        if each.unmoved:
            share = f"{each.unmoved} of {each.count} inputs that the net gets right"
            yield f"{each.label} left {share} as they are: the loss has no gradient there"
        if each.targeted:  # it wants one class, not any other
            continue
        higher = each.accuracy[: len(each.control)] - each.control
        if len(higher) and higher.max() > _noise(each, each):
            yield f"random changes fool the net more than {each.label} does: its gradients do not lead to the errors"
        rises = each.accuracy - np.minimum.accumulate(each.accuracy)
        if len(each.epsilons) and rises.max() > _noise(each, each):
            place = int(rises.argmax())
            yield f"{each.label} fools the net less at epsilon {each.epsilons[place]:g} than with a smaller one"
    for strong in results:
        for weak in results:
            if _ought_to_win(strong, weak):
                shared = np.isclose(strong.epsilons[:, None], weak.epsilons).nonzero()
                gaps = strong.accuracy[shared[0]] - weak.accuracy[shared[1]]
                if len(gaps) and gaps.max() > _noise(strong, weak):
                    yield f"{weak.label} fools the net more than {strong.label}, which takes many steps"


def _ought_to_win(strong: AttackResult, weak: AttackResult) -> bool:
    """Whether the first is PGD along the net's own gradients, and the second is one step, or along another net's."""
    if strong is weak or strong.norm != weak.norm or strong.targeted or weak.targeted or strong.split != weak.split:
        return False
    own = strong.label.startswith("pgd") and "source=" not in strong.label
    return own and (weak.label.startswith("fgsm") or "source=" in weak.label)


def _noise(one: AttackResult, other: AttackResult) -> float:
    """A difference of two shares that chance alone hardly makes."""
    return _ERRORS * float(np.sqrt(0.25 / one.count + 0.25 / other.count))
