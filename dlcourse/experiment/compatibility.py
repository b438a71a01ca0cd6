"""Checks between components of a config that are each right by themselves."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dlcourse import nn, registry
from dlcourse.autograd import Tensor, no_grad
from dlcourse.config.reader import dotted
from dlcourse.config.rules import task_mismatches
from dlcourse.data import Data
from dlcourse.errors import ConfigError, Problem, UserError
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


def check_output(config: Mapping[str, Any], data: Data, model: Any, one_sample: Callable[[], Any]) -> None:
    """Check what a model that is none of this program's makes of a sample; call it with the model adapted.

    More outputs than classes are legal, as in PyTorch, and said: the classes beyond those of the data are never right.

    Args:
        one_sample: gives one, (1, ...).
    Raises:
        ConfigError: the model's forward returns no tensor.
    """
    if type(model).__module__.startswith("dlcourse."):
        return
    name, training = config["model"]["name"], model.training
    model.eval()
    with no_grad():
        output = model(Tensor(one_sample()))
    model.train(training)
    if not isinstance(output, Tensor):
        came = "None: it lacks a return" if output is None else f"a {type(output).__name__}"
        raise ConfigError([Problem("model", f"{name}.forward has to return a tensor of outputs, and returned {came}")])
    width = output.shape[-1] if output.ndim else 1
    if data.task == "classification" and width > data.out_features:
        warnings.warn(
            f"the model {name} has {width} outputs, and the data {data.out_features} classes: out_features tells it",
            stacklevel=2,
        )


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
