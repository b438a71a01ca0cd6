"""Checks between components of a config that are each right by themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

from dlcourse import nn, registry
from dlcourse.config.reader import dotted
from dlcourse.config.rules import task_mismatches
from dlcourse.data import Data
from dlcourse.errors import Problem, UserError
from dlcourse.models.base import Model


def mismatches(config: Mapping[str, Any], data: Data, model: Any, metrics: Mapping[str, Any]) -> list[Problem]:
    """Loss, model, optimizer and metrics that are not for data like these, or not for each other.

    Args:
        config: resolved.
        metrics: by label; ``loss`` may be among them.
    """
    problems = [Problem(dotted(found.path), found.message) for found in task_mismatches(config, data.task)]
    problems += _inputs(config["model"]["name"], data, model) if not problems else []
    # What cannot be fitted at all needs no second message about how.
    return problems or [*_solvable(config, model), *_classes(data, metrics)]


def _inputs(name: str, data: Data, model: Any) -> Iterator[Problem]:
    told = getattr(model, "takes_tokens", None)
    if told and not data.dataset.tokens:
        yield Problem("model.name", f"{name} looks up the tokens of a text, and the inputs of these data are numbers")
    elif data.dataset.tokens and not (told or any(isinstance(each, nn.Embedding) for each in model.modules())):
        yield Problem("model.name", f"{name} takes numbers, and the inputs of these data are the tokens of a text")


def _classes(data: Data, metrics: Mapping[str, Any]) -> Iterator[Problem]:
    """Metrics that mean nothing for so many classes, such as the 5 best of 3."""
    for i, (label, metric) in enumerate(metrics.items()):
        check = getattr(metric, "check_classes", None)
        if data.task != "classification" or label == "loss" or check is None:
            continue
        try:
            check(data.out_features)
        except UserError as error:
            yield Problem(f"metrics.{i}", str(error))


def _solvable(config: Mapping[str, Any], model: Any) -> Iterator[Problem]:
    optimizer = registry.lookup("optimizer", config["optimizer"]["name"])
    name, named = config["optimizer"]["name"], config["model"]["name"]
    if not optimizer.closed_form:
        if next(iter(model.parameters()), None) is None:
            yield Problem(
                "optimizer.name",
                f"{name} trains parameters, and the model {named} has none; take optimizer: {{name: closed_form}}",
            )
    elif getattr(type(model), optimizer.hook) is getattr(Model, optimizer.hook):
        yield Problem("optimizer.name", f"{name} cannot fit the model {named}, which {optimizer.otherwise}")
