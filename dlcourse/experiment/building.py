"""Model, loss and metrics as a resolved config names them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dlcourse import nn, registry
from dlcourse.attacks import Attack, Box
from dlcourse.backend import memory
from dlcourse.config import metric_labels
from dlcourse.data import Data
from dlcourse.data.normalizer import TargetNormalizer
from dlcourse.errors import ConfigError, Problem, UserError
from dlcourse.metrics.of_target import for_each_target
from dlcourse.text import metric_unit
from dlcourse.training.evaluation import LossMetric, ObjectiveMetric


def build_model(spec: Mapping[str, Any], data: Data) -> Any:
    """The model that a config's ``model`` names, with its initial weights.

    Raises:
        ConfigError: its constructor refuses, or there is no memory for its weights, or for what training keeps of each.
    """
    try:
        model = registry.build(
            "model", spec, in_shape=data.in_shape, out_features=data.out_features, vocab_size=data.vocab_size
        )
        model.every_step = data.every_step
        count = sum(parameter.size for parameter in model.parameters())
        # Optimizers hold the weights and the gradients in buffers of their own, and most of them one array more.
        memory.require(12 * count, f"training {count:,} parameters", on_device=True)
    except ConfigError:
        raise
    except (UserError, ValueError) as error:
        raise ConfigError([Problem("model", str(error))]) from error
    return model


def build_loss(
    spec: Mapping[str, Any] | None,
    class_names: Sequence[str] = (),
    counts: Sequence[int] | None = None,
    data: Data | None = None,
) -> Any:
    """The loss that a config's ``loss`` names, or None.

    Args:
        class_names: of a classification.
        counts: how many samples of each class the training split has, by which the loss may weight them.
        data: whose training targets the loss may look at.
    """
    loss = None if spec is None else registry.build("loss", spec)
    try:
        if counts is not None and isinstance(loss, nn.Loss):
            loss.fit_classes(np.asarray(counts), tuple(class_names))
        if data is not None and isinstance(loss, nn.Loss) and data.task in loss.tasks:
            targets, normalizer = data.splits["train"].y, data.target_normalizer
            loss.check_targets(targets if normalizer is None else normalizer.apply(targets))
    except UserError as error:
        raise ConfigError([Problem("loss", str(error))]) from error
    return loss


def build_metrics(
    specs: Sequence[Mapping[str, Any]],
    deciding: Collection[str],
    loss: Any,
    targets: TargetNormalizer | None = None,
    named: Sequence[tuple[str, str]] = (),
    class_names: Sequence[str] = (),
    model: Any = None,
    token_sizes: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """What a config's ``metrics`` name, by label; the loss too, where it decides something or is all that is measured.
    Of a model with an objective what that measures comes first.

    Args:
        specs: the config's ``metrics``.
        deciding: labels of those by which something is decided, see :func:`~dlcourse.config.rules.watched_by`.
        loss: of :func:`build_loss`.
        targets: scales the targets of the loss, where training does.
        named: name and unit of each of several targets, which are measured each by itself too.
        class_names: of a classification, by which a metric may name a class.
        model: that is measured.
        token_sizes: of a text how many characters and bytes each token stands for.
    """
    units = getattr(model, "objective_units", None) or {}
    of_labels = dict(zip(metric_labels(specs), specs, strict=True))

    def build(label: str) -> Any:
        metric = registry.build("metric", of_labels[label])
        metric.class_names, metric.token_sizes = tuple(class_names), token_sizes
        return metric

    if units:
        own: dict[str, Any] = {name: ObjectiveMetric(name, unit) for name, unit in units.items()}
        return own | {label: build(label) for label in of_labels}
    metrics = for_each_target({label: build(label) for label in of_labels}, named, build)
    if loss is not None and (not metrics or "loss" in deciding):
        metrics["loss"] = LossMetric(loss, targets)
    return metrics


def build_attack(spec: Mapping[str, Any], data: Data, path: str = "train.attack") -> Attack:
    """The attack that a config names, within the range of the data: of bytes 0..255, else that of the training split.

    Where inputs are no images each feature has a range of its own.

    Args:
        path: where the config names it.
    Raises:
        ConfigError: the inputs are tokens, or the attack wants a class that the data do not have.
    """
    x = data.splits["train"].x
    if data.dataset.tokens:
        raise ConfigError([Problem(path, "changes numbers, and the inputs of these data are tokens")])
    target = spec.get("target")
    if isinstance(target, int) and target >= data.out_features:
        raise ConfigError([Problem(f"{path}.target", f"the classes are 0..{data.out_features - 1}, got {target}")])
    axis = 0 if x.ndim == 2 else None  # features have units of their own
    ends = (0, 255) if x.dtype == np.uint8 else (np.min(x, axis=axis), np.max(x, axis=axis))
    attack: Attack = registry.build("attack", spec)
    low, high = (data.normalizer.apply(np.broadcast_to(end, (1, *data.in_shape)))[0] for end in ends)
    attack.box = Box(low, high)
    return attack


def metric_units(metrics: Mapping[str, Any], target_unit: str) -> dict[str, str]:
    """The unit of each metric by label, empty for one without."""
    return {label: metric_unit(metric.unit, target_unit) for label, metric in metrics.items()}
