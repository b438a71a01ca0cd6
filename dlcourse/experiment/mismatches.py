"""What in a config does not go together, each part of it being right by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from dlcourse import registry
from dlcourse.errors import Problem
from dlcourse.models.base import Model


def mismatches(
    config: Mapping[str, Any], task: str, model: Any, loss: Any, metrics: Mapping[str, Any]
) -> list[Problem]:
    """Loss, model, optimizer and metrics that are not for data of this task, or not for each other.

    Args:
        config: resolved.
        task: the data's: ``regression``, ``classification`` or ``estimation``.
        metrics: by label; ``loss`` may be among them.
    """
    optimizer = registry.lookup("optimizer", config["optimizer"]["name"])
    named = {"model": model, "loss": loss, "optimizer": optimizer}
    parts = [(f"{key}.name", config[key]["name"], part) for key, part in named.items() if part is not None]
    parts += [("metrics", label, metric) for label, metric in metrics.items() if label != "loss"]
    problems = []
    for path, name, part in parts:
        tasks = getattr(part, "tasks", (task,))  # a plugin's need not say
        if task not in tasks:
            problems.append(Problem(path, f"{name} is for {' and '.join(tasks)}, the data are for {task}"))
    # What cannot be fitted at all needs no second message about how.
    return problems or list(_solvable(config, optimizer, model))


def _solvable(config: Mapping[str, Any], optimizer: Any, model: Any) -> Iterator[Problem]:
    name, named = config["optimizer"]["name"], config["model"]["name"]
    if not optimizer.closed_form:
        if next(iter(model.parameters()), None) is None:
            yield Problem(
                "optimizer.name",
                f"{name} trains parameters, and the model {named} has none; take optimizer: {{name: closed_form}}",
            )
    elif getattr(type(model), optimizer.hook) is getattr(Model, optimizer.hook):
        yield Problem("optimizer.name", f"{name} cannot fit the model {named}, which {optimizer.otherwise}")
