"""All paths of a config, ``train.epochs`` and ``model.hidden``, as completion and hints name them."""

from collections.abc import Iterator
from typing import Any

from dlcourse import registry
from dlcourse.config.section_schema import SectionSchema, component_schema, section_schema
from dlcourse.config.sections import ExperimentOptions, TrainOptions

_COMPONENTS = ("optimizer", "model", "data", "loss")
"""Sections that are one component, the likelier ones first."""


def paths(names: dict[str, str] | None = None) -> Iterator[str]:
    """Every path that a config can have, those of the top level and of ``train`` first.

    Args:
        names: the component of a section, such as ``{"model": "mlp"}``; by default the keys of all components come.
    """
    top = section_schema(ExperimentOptions)
    yield from _inside(top, "")
    for section in _COMPONENTS:
        yield f"{section}.name"
        chosen = (names or {}).get(section)
        known = registry.names(section)
        for name in [chosen] if chosen in known else known:
            yield from _inside(component_schema(section, str(name)), f"{section}.")


def path_of(key: str, nearly: bool = False) -> str | None:
    """Where a key stands, ``train.epochs`` for ``epochs``; a path as it is; None where no config has such a key.

    Args:
        nearly: or one of nearly that name.
    """
    known = list(dict.fromkeys(paths()))
    if key in known:
        return key
    if nearly:
        key = registry.nearest(key, [path.rpartition(".")[2] for path in known]) or key
    return next((path for path in known if path.rpartition(".")[2] == key), None)


def values(path: str) -> list[str]:
    """What may stand at a path, where that is a name or one of few words; else nothing."""
    section, _, key = path.partition(".")
    if section in registry.KINDS and key in ("", "name"):
        return registry.names(section)
    top = section_schema(ExperimentOptions).keys
    found: list[str] = []
    if not key:
        found = list(_words(top[path].adapter.json_schema()["items"])) if path in top else []
    elif section == "train":
        inner = section_schema(TrainOptions).keys
        found = list(_words(inner[key].adapter.json_schema()["items"])) if key in inner else []
    elif section in _COMPONENTS:
        for name in registry.names(section):
            keys = component_schema(section, name).keys
            found += _words(keys[key].adapter.json_schema()["items"]) if key in keys else []
    return list(dict.fromkeys(found))


def _words(schema: Any) -> Iterator[str]:
    """The words that a JSON Schema lists."""
    if schema.get("type") == "boolean":
        yield from ("true", "false")
    yield from (str(word) for word in schema.get("enum", []))
    yield from [str(schema["const"])] if "const" in schema else []
    for branch in schema.get("anyOf", []):
        yield from _words(branch)


def _inside(shape: SectionSchema, prefix: str) -> Iterator[str]:
    for key in shape.keys.values():
        yield f"{prefix}{key.name}"
        if key.options:
            yield from _inside(section_schema(key.options), f"{prefix}{key.name}.")
