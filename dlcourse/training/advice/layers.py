"""Rules on what ``train.watch`` saw: dead units, vanishing and exploding gradients, steps of the wrong length.

Each gives a sentence, or None where it has nothing to say.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcourse.text import format_number
from dlcourse.training.advice.evidence import Evidence

DEAD = 0.75
"""Share of a layer's units that say the same for every sample of a batch; healthy nets reach a half."""
SHRINKS = 1e-3
"""The first layer's gradient over the last one's, each the root mean square of a weight's."""
LONG_STEP = 0.1
"""Of a layer's weights by one step, in the second half of training; 0.001 is usual."""
SHORT_STEP = 1e-5
GROWS = 100.0
"""A gradient over those of the looks before it."""


def dead_units(evidence: Evidence) -> str | None:
    """A layer most of whose units never change any more."""
    last = evidence.layers[-1] if evidence.layers else {}
    dead = {name: facts for name, facts in last.items() if (facts.get("dead") or 0.0) >= DEAD}
    if not dead:
        return None
    name, facts = max(dead.items(), key=lambda item: item[1]["dead"])
    more = f" ({len(dead) - 1} more such layer{'s' if len(dead) > 2 else ''})" if len(dead) > 1 else ""
    return (
        f"{facts['dead']:.0%} of the units of {name} ({facts['kind']}) give the same for every sample{more}: they are "
        "dead, and no gradient comes through them. Try a lower optimizer.lr, normalized inputs (data.normalize), or "
        "another activation, such as leaky_relu"
    )


def vanishing_gradients(evidence: Evidence) -> str | None:
    """At the start of training the first layers get next to no gradient."""
    chain = _chain(evidence)
    if chain is None or not chain[0][1] < SHRINKS * chain[-1][1]:
        return None
    (first, small), (last, large) = chain[0], chain[-1]
    return (
        f"a weight of {first} gets {format_number(small / large, 2)} of the gradient that one of {last} gets: it "
        "vanishes on its way back. Try relu instead of sigmoid or tanh, initial weights that fit (model.init), batch "
        "norm, residual connections, or fewer layers"
    )


def exploding_gradients(evidence: Evidence) -> str | None:
    """It grows from layer to layer on its way back, or from one look to the next."""
    chain = _chain(evidence)
    if chain is not None and chain[0][1] * SHRINKS > chain[-1][1]:
        (first, large), (last, small) = chain[0], chain[-1]
        return (
            f"a weight of {first} gets {format_number(large / small, 2)} times the gradient that one of {last} gets: "
            "it explodes on its way back. Try smaller initial weights (model.init), batch norm, or normalized inputs "
            "(data.normalize)"
        )
    norms = np.array([_whole(look) for look in evidence.layers])
    for index in range(2, len(norms)):
        before = float(np.median(norms[:index]))
        if norms[index] > GROWS * before > 0:
            return (
                f"the gradient's norm grew to {format_number(norms[index], 3)}, from {format_number(before, 3)} in the "
                "looks before: it explodes. Try train.clip_norm, or a lower optimizer.lr"
            )
    return None


def step_too_long(evidence: Evidence) -> str | None:
    """Late in training a step still moves the weights by much of what they are."""
    ratio = _late_ratio(evidence)
    if ratio is None or ratio < LONG_STEP:
        return None
    return (
        f"late in training one step still moves the weights by {format_number(ratio, 2)} of their norm (0.001 is "
        "usual): the rate is too high. Try a tenth of optimizer.lr, or a schedule that lowers it"
    )


def step_too_short(evidence: Evidence) -> str | None:
    """A step hardly moves anything, and did not at the start either."""
    ratios = [_ratio(look) for look in evidence.layers]
    if len(ratios) < 3 or not all(0 < ratio < SHORT_STEP for ratio in ratios):
        return None
    return (
        f"one step moves the weights by {format_number(float(np.median(ratios)), 2)} of their norm (0.001 is usual): "
        "the rate is too low. Try optimizer.lr ten times as high"
    )


def _chain(evidence: Evidence) -> list[tuple[str, float]] | None:
    """At the first look: of the layers that multiply, in order, the name and a weight's mean gradient; None for few."""
    first = evidence.layers[0] if evidence.layers else {}
    chain = [
        (name, facts["gradient"] / facts["size"] ** 0.5)
        for name, facts in first.items()
        if facts.get("gradient") and facts.get("size") and _multiplies(facts)
    ]
    return chain if len(chain) >= 3 else None


def _multiplies(facts: Mapping[str, Any]) -> bool:
    return not any(word in facts["kind"] for word in ("Norm", "Embedding"))


def _whole(look: Mapping[str, Mapping[str, Any]]) -> float:
    return float(np.sqrt(sum((facts.get("gradient") or 0.0) ** 2 for facts in look.values())))


def _ratio(look: Mapping[str, Mapping[str, Any]]) -> float:
    """Of the whole net: by which part of its norm a step moves it."""
    squares = [
        (facts["weight"] ** 2, (facts["ratio"] * facts["weight"]) ** 2)
        for facts in look.values()
        if facts.get("weight") and facts.get("ratio") is not None
    ]
    return float(np.sqrt(sum(moved for _, moved in squares) / sum(held for held, _ in squares))) if squares else 0.0


def _late_ratio(evidence: Evidence) -> float | None:
    late = [_ratio(look) for look in evidence.layers[len(evidence.layers) // 2 :]]
    return float(np.median(late)) if len(evidence.layers) >= 4 else None
