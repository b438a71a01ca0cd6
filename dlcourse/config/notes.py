"""Notes on a config that breaks no rule, and probably does not say what is meant."""

from collections.abc import Iterator, Mapping
from typing import Any

from dlcourse import registry
from dlcourse.config.rules import is_closed_form


def config_notes(config: Mapping[str, Any], total_steps: int | None = None) -> Iterator[str]:
    """Warnings about a resolved config that is right, and probably not meant.

    Args:
        config: resolved.
        total_steps: of the whole training, where the data are known.
    """
    yield from _chosen_by_test(config)
    yield from _endless_warmup(config, total_steps or config["train"]["steps"])
    yield from _scaled_loss(config)
    yield from _more_than_one_step(config)
    yield from _search_in_minibatches(config)


def _more_than_one_step(config: Mapping[str, Any]) -> Iterator[str]:
    for key in ("epochs", "steps"):
        if (config["train"][key] or 1) > 1 and is_closed_form(config):
            name = config["optimizer"]["name"]
            yield f"train.{key}: {config['train'][key]} has no effect: the optimizer {name} solves in one step"


def _search_in_minibatches(config: Mapping[str, Any]) -> Iterator[str]:
    name, size = config["optimizer"]["name"], config["train"]["batch_size"]
    if size != "full" and getattr(registry.lookup("optimizer", name), "needs_closure", False):
        yield (
            f"train.batch_size: {size}: {name} is a method for full batches: what it learns of one batch misleads it "
            "in the next; take batch_size: full"
        )


def _scaled_loss(config: Mapping[str, Any]) -> Iterator[str]:
    if config["data"].get("normalize_target", "none") != "none" and config["loss"] is not None:
        yield (
            f"the loss {config['loss']['name']} is that of the standardized target, which the model learns "
            "(data.normalize_target); metrics, plots and predictions are in the target's own unit"
        )


def _endless_warmup(config: Mapping[str, Any], total_steps: int | None) -> Iterator[str]:
    warmup = (config["optimizer"].get("schedule") or {}).get("warmup")
    if isinstance(warmup, int) and total_steps is not None and 1 < total_steps <= warmup:  # one step is a trial
        yield (
            f"optimizer.schedule.warmup: {warmup} steps, and the whole training has {total_steps}: it ends while the "
            f"learning rate still grows, at {total_steps / (warmup + 1):.2g} of what the warm-up leads to; the unit is "
            "steps, not epochs"
        )


def _chosen_by_test(config: Mapping[str, Any]) -> Iterator[str]:
    chosen = {"early_stopping": "when to stop", "best": "the best weights"}
    for section, what in chosen.items():
        watched = config["train"][section]
        if watched and watched["split"] == "test":
            yield (
                f"train.{section} chooses {what} by the test split, which spoils it: its numbers are then too good for "
                "new data; choose by a validation split (data.split.val or data.kfold, and split: val)"
            )
