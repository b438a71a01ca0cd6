"""What metrics and attacks of a config are called in results."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dlcourse import registry
from dlcourse.config.sections import AttackOptions

__all__ = ["attack_label", "attack_labels", "metric_facts", "metric_labels", "other_names"]


def metric_labels(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each metric is called in results: its name, with those of its parameters that differ from the default."""
    return [_label(spec["name"], _changed(spec)) for spec in specs]


def metric_facts(label: str, unit: str | None = None) -> dict[str, Any]:
    """Title, unit and direction of a metric, by its label.

    One that is not registered (a plugin's, now missing, or the loss) is called by its name, and smaller is better.

    Args:
        unit: instead of that of its class, as of one of several targets.
    """
    label, _, target = label.removesuffix("]").partition("[") if label.endswith("]") else (label, "", "")
    name, _, settings = label.partition("(")
    metric = registry.lookup("metric", name) if name in registry.names("metric") else object
    title = vars(metric).get("title") or name.replace("_", " ")
    title = f"{title} ({settings}" if settings else title
    return {
        "title": f"{title} of {target}" if target else title,
        "unit": getattr(metric, "unit", "") if unit is None else unit,
        "higher_is_better": bool(getattr(metric, "higher_is_better", False)),
    }


def other_names(specs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The labels of metrics by what else says which is meant: all of its parameters, or the name alone, if it is the
    only one of that name."""
    names, labels = [spec["name"] for spec in specs], metric_labels(specs)
    found = {_label(spec["name"], _given(spec)): label for spec, label in zip(specs, labels, strict=True)}
    return found | {name: label for name, label in zip(names, labels, strict=True) if names.count(name) == 1}


def attack_label(spec: Mapping[str, Any]) -> str:
    """What a measured attack is called: its name, with those of its settings that differ from the default, but its
    size."""
    usual = {each.name: each.default for each in registry.parameters("attack", spec["name"])} | {"source": None}
    changed = {key: spec[key] for key in usual if key in spec and key != "epsilon" and spec[key] != usual[key]}
    return _label(spec["name"], changed)


def attack_labels(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each of a config's ``attacks`` is called: as :func:`attack_label` says, and those that would be called the
    same by what tells them apart."""
    usual = asdict(AttackOptions())
    found = []
    for spec in specs:
        label = attack_label(spec)
        alike = [each for each in specs if attack_label(each) == label]
        apart = {
            key for key in ("epsilon", "sizes", "count", "split") if any(e.get(key) != spec.get(key) for e in alike)
        }
        found.append(_label(label, {key: spec[key] for key in spec if key in apart and spec[key] != usual.get(key)}))
    return found


def _label(name: str, settings: Mapping[str, Any]) -> str:
    """A name, or a label, with these settings in brackets."""
    name, _, before = name.removesuffix(")").partition("(")
    shown = ", ".join([*filter(None, [before]), *(f"{key}={value}" for key, value in settings.items())])
    return f"{name}({shown})" if shown else name


def _given(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "name" and value is not None}


def _changed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that differ from the default; of one class there is no average."""
    usual = {each.name: each.default for each in registry.parameters("metric", spec["name"])}
    changed = {key: value for key, value in _given(spec).items() if value != usual.get(key)}
    if "label" in changed:
        changed.pop("average", None)
    return changed
