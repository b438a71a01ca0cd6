"""JSON Schema (draft 2020-12) of a whole config, for editors: completion, descriptions and errors while one types."""

from dataclasses import replace
from typing import Any, get_args

from dlcourse import registry
from dlcourse.config.section_schema import Key, SectionSchema, arguments, component_schema, section_schema
from dlcourse.config.sections import LISTS, ExperimentOptions


def json_schema() -> dict[str, Any]:
    """The schema of a config, with every component that is registered now, plugins included."""
    definitions: dict[str, Any] = {}
    top = _section(section_schema(ExperimentOptions), "config", definitions)
    for place, kind in ({kind: kind for kind in registry.KINDS} | LISTS).items():
        for name in registry.names(kind):
            definitions[f"{place}.{name}"] = _component(kind, name, place, definitions)
        definitions[place] = _choice(kind, place)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dlcourse config",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def section_json_schema(options: type, title: str) -> dict[str, Any]:
    """The schema of another file that has sections like a config, from the dataclass of its keys."""
    definitions: dict[str, Any] = {}
    top = _section(section_schema(options), title.replace(" ", "_"), definitions)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **top, "$defs": dict(sorted(definitions.items()))}


def _section(shape: SectionSchema, prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    section = {
        "type": "object",
        "description": shape.summary,
        "properties": {key.name: _key(key, prefix, definitions) for key in shape.keys.values()},
        "additionalProperties": False,
    }
    required = [key.name for key in shape.keys.values() if key.required]
    return section | {"required": required} if required else section


def _key(key: Key, prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    if key.options:
        name = key.options.__name__
        if name not in definitions:
            definitions[name] = _section(section_schema(key.options), name, definitions)
        schema: dict[str, Any] = {"$ref": f"#/$defs/{name}"}
        if key.annotation is not key.options:
            others = [replace(key, annotation=each) for each in get_args(key.annotation) if each is not key.options]
            schema = {"anyOf": [schema, *(other.adapter.json_schema()["items"] for other in others)]}
    else:
        whole = key.adapter.json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
        for name, definition in whole.get("$defs", {}).items():
            definitions[f"{prefix}.{name}"] = _with_references(_described(definition))
        schema = _with_references(whole["items"])
        if key.takes_list:
            schema = _or_one_number(schema)
    if key.description:
        schema["description"] = key.description
    return schema if key.required else schema | {"default": key.filled}


def _component(kind: str, name: str, place: str, definitions: dict[str, Any]) -> dict[str, Any]:
    section = _section(component_schema(kind, name, place), f"{place}.{name}", definitions)
    section["properties"] = {"name": {"const": name, "description": section["description"]}, **section["properties"]}
    section["required"] = ["name", *section.get("required", [])]
    return section


def _choice(kind: str, place: str) -> dict[str, Any]:
    """Any component of a kind: by its name alone if it needs nothing more, or as a mapping."""
    names, description = registry.names(kind), registry.KINDS[kind].summary
    needed = {name: [key.name for key in component_schema(kind, name).keys.values() if key.required] for name in names}
    bare = [name for name in names if not needed[name]]
    # An editor drops the branches of anyOf that lack a required key: the names stand here once more, for completion,
    # and as snippets (of VS Code's YAML extension) with the keys that they need.
    snippets = [
        {"label": name, "body": {"name": name, **{key: f"${i}" for i, key in enumerate(needed[name], start=1)}}}
        for name in names
        if needed[name]
    ]
    return {
        "description": description,
        "properties": {"name": {"enum": names, "description": f"which of the {description.partition(',')[0]}"}},
        **({"defaultSnippets": snippets} if snippets else {}),
        "anyOf": [
            *([{"enum": bare}] if bare else []),
            *({"$ref": f"#/$defs/{place}.{name}"} for name in names),
        ],
    }


def _or_one_number(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of a list, or null, that takes one number for a list of one, as the config does."""
    branches = schema.get("anyOf", [schema])
    items = [branch["items"] for branch in branches if branch.get("type") == "array"]
    numbers = [item for item in items if item.get("type") in ("integer", "number")]
    return {"anyOf": [*branches, *numbers]} if numbers else schema


def _described(definition: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's schema of a dataclass with the docstring's first line and ``Args:`` where they belong."""
    doc = definition.get("description", "")
    keys, about = definition.get("properties", {}), arguments(doc)
    described = {key: {**keys[key], "description": about[key]} for key in keys if key in about}
    if not described:
        return definition
    return {**definition, "description": doc.partition("\n")[0].rstrip("."), "properties": {**keys, **described}}


def _with_references(schema: Any) -> Any:
    """Pydantic's schema with a reference wherever a component goes."""
    if isinstance(schema, dict):
        if "x-component" in schema:
            rest = {key: value for key, value in schema.items() if key not in ("x-component", "title")}
            return {"$ref": f"#/$defs/{schema['x-component']}", **rest}
        return {key: _with_references(value) for key, value in schema.items() if not _is_title(key, value)}
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    return schema


def _is_title(key: str, value: Any) -> bool:
    # Pydantic repeats each field's name as its title; a property that is itself called title is a mapping.
    return key == "title" and isinstance(value, str)
