"""The rules, in the order in which their sentences come."""

from collections.abc import Callable
from dataclasses import dataclass

from dlcourse.records.run import AdviceFacts
from dlcourse.training.advice import fit, layers, progress
from dlcourse.training.advice.evidence import Evidence


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        name: what it is called in ``result.json``.
        lectures: those that explain it.
        find: gives the sentence, or None.
        unless: rules that say the same; this one is left out where one of them holds.
    """

    name: str
    lectures: str
    find: Callable[[Evidence], str | None]
    unless: tuple[str, ...] = ()


_TOO_FAR = ("rate_too_high", "step_too_long", "exploding_gradients")
"""Where one of them holds, a higher rate is no help."""

RULES = (
    Rule("rate_too_high", "lectures 3 and 7", progress.rate_too_high),
    Rule("step_too_long", "lectures 5 and 7", layers.step_too_long, unless=("rate_too_high",)),
    Rule("dead_units", "lectures 4 and 5", layers.dead_units),
    Rule("vanishing_gradients", "lecture 5", layers.vanishing_gradients),
    Rule("exploding_gradients", "lectures 5 and 11", layers.exploding_gradients, unless=("rate_too_high",)),
    Rule("rate_too_low", "lectures 3 and 7", progress.rate_too_low, unless=_TOO_FAR),
    Rule("step_too_short", "lectures 5 and 7", layers.step_too_short, unless=(*_TOO_FAR, "rate_too_low")),
    Rule(
        "learns_nothing",
        "lecture 5",
        progress.learns_nothing,
        unless=("rate_too_high", "dead_units", "vanishing_gradients", "rate_too_low", "step_too_short"),
    ),
    Rule("labels_look_shuffled", "lecture 2", fit.labels_look_shuffled),
    Rule("overfitting", "lectures 2 and 6", fit.overfitting, unless=("labels_look_shuffled", "learns_nothing")),
)


def advise(evidence: Evidence) -> list[AdviceFacts]:
    """What the rules find in a run; nothing of most, nor of a range test, which ends with rates that are too high, nor
    of two players, whose costs rise without anything being wrong."""
    found: list[AdviceFacts] = []
    says_nothing = evidence.tests_rates or (evidence.has_players and evidence.status != "diverged")
    for rule in () if says_nothing else RULES:
        text = None if {each["rule"] for each in found} & set(rule.unless) else rule.find(evidence)
        if text is not None:
            found.append({"rule": rule.name, "text": f"{text} ({rule.lectures})."})
    return found
