"""The keys of a section, read off a constructor's signature and docstring."""

import dataclasses
import enum
import inspect
import json
import math
import re
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass, replace
from functools import cache, cached_property
from os import PathLike, environ, fspath
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

from dlcourse import registry
from dlcourse.characters import encodable, visible
from dlcourse.component import Component
from dlcourse.config.sections import OPTIONS, OptimizerGroup
from dlcourse.errors import ConfigError, Problem, UserError

# Strict: "1" is not 1, true is not 1, 1 is fine for 1.0. JSON mode, in which a list is fine for a tuple.
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Key:
    """One key: its name, type with bounds, default (``inspect.Parameter.empty`` if it is required), and meaning."""

    name: str
    annotation: Any
    default: Any
    description: str

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def options(self) -> type | None:
        """The options dataclass whose section goes here, also where null or a number may stand instead."""
        return _options_class(self.annotation)

    @property
    def is_component(self) -> bool:
        """Whether the default names a component, whose own keys are to be filled in too."""
        named = any(isinstance(each, Component) for each in getattr(self.annotation, "__metadata__", ()))
        return named and isinstance(self.default, str)

    @property
    def filled(self) -> Any:
        """The default as plain data, as the resolved config holds it."""
        if dataclasses.is_dataclass(self.default) and not isinstance(self.default, type):
            return plain(dataclasses.asdict(self.default))  # A section's default is itself a section.
        return plain(self.default)

    @cached_property
    def adapter(self) -> TypeAdapter:
        # In a list, since pydantic takes no configuration for a bare dataclass.
        listed: Any = list[self.annotation]  # type: ignore[name-defined]  # made while the program runs
        try:
            with _without_plugins():
                return TypeAdapter(listed, config=_STRICT)
        except PydanticSchemaGenerationError as error:
            raise UserError(f"parameter {self.name!r}: a config cannot hold a {self.annotation}") from error

    @cached_property
    def item(self) -> "Key | None":
        """The key of a list's items, each of which can be checked by itself; also where null may stand instead."""
        lists = [branch for branch in _branches(self.annotation) if get_origin(branch) is list]
        inner = get_args(lists[0]) if len(lists) == 1 else ()
        return Key("", inner[0], inspect.Parameter.empty, "") if inner else None

    @cached_property
    def takes_list(self) -> bool:
        """Whether the value is a list of any length, so that one number may stand for a list of one."""
        return _takes_list(self.annotation)

    def validate(self, value: Any) -> Any:
        """The value as its type has it.

        Raises:
            pydantic.ValidationError: each error's location starts with 0, the index in the wrapping list.
        """
        return self.adapter.validate_json(json.dumps([value]))[0]


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Pydantic without plugins: to find them it reads the list of all installed packages (15 ms at each start)."""
    switch = "PYDANTIC_DISABLE_PLUGINS"
    before = environ.get(switch)
    environ[switch] = "__all__"
    try:
        yield
    finally:
        if before is None:
            del environ[switch]
        else:
            environ[switch] = before


def _takes_list(annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes_list(inner[0])
    if origin in (Union, types.UnionType):
        branches = [branch for branch in inner if branch is not type(None)]
        return len(branches) == 1 and _takes_list(branches[0])
    return origin is list or (origin is tuple and inner[1:] == (...,))


def _branches(annotation: Any) -> list[Any]:
    """What may stand there but null."""
    united = get_origin(annotation) in (Union, types.UnionType)
    return [branch for branch in get_args(annotation) if branch is not type(None)] if united else [annotation]


def _options_class(annotation: Any) -> type | None:
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        found = [cls for branch in get_args(annotation) if (cls := _options_class(branch))]
        return found[0] if len(found) == 1 else None
    return None


@dataclass(frozen=True)
class SectionSchema:
    """A section's keys in their order, and what the section is."""

    title: str
    summary: str
    keys: Mapping[str, Key]


@cache
def section_schema(cls: type) -> SectionSchema:
    """The shape of an options dataclass."""
    return SectionSchema("", summary(cls), _keys(cls, inspect.signature(cls, eval_str=True).parameters.values()))


def component_schema(kind: str, name: str, shared: str = "") -> SectionSchema:
    """The shape of ``{name: ..., parameters}``, with the keys that all components of the kind share; without ``name``.

    Args:
        shared: whose keys they share, by the name in ``OPTIONS``; the kind's own if left out.
    Raises:
        UnknownComponentError: no such component.
        UserError: its constructor has a parameter whose name is taken by ``name`` or a shared key.
    """
    return _component_shape(kind, name, shared or kind, registry.lookup(kind, name))


@cache
def _component_shape(kind: str, name: str, options: str, cls: type) -> SectionSchema:
    own = _keys(cls, registry.parameters(kind, name))
    shared = section_schema(OPTIONS[options]).keys if options in OPTIONS else {}
    if "groups" in shared:
        groups = replace(shared["groups"], annotation=list[_group_of(name, own)] | None)  # type: ignore[misc]
        shared = {**shared, "groups": groups}
    taken = sorted(set(own) & {"name", *shared})
    if taken:
        raise UserError(f"{kind} {name!r}: its parameter {taken[0]!r} has the name of a key that every {kind} has")
    return SectionSchema(f"{kind} {name}", summary(cls), {**own, **shared})


def _group_of(name: str, keys: Mapping[str, Key]) -> type:
    """A group of an optimizer's parameters: :class:`OptimizerGroup` with the optimizer's own keys, all optional."""
    taken = inspect.signature(OptimizerGroup).parameters
    fields = [(key.name, key.annotation | None, None) for key in keys.values() if key.name not in taken]
    about = "".join(f"\n    {key.name}: {key.description}" for key in keys.values() if key.description)
    doc = f"{summary(OptimizerGroup)}.\n\nArgs:{about}\n"
    return make_dataclass(
        f"{name}_group", fields, bases=(OptimizerGroup,), frozen=True, namespace={"__doc__": doc, "only_given": True}
    )


def _keys(cls: type, parameters: Any) -> dict[str, Key]:
    meanings = descriptions(cls)
    return {p.name: Key(p.name, p.annotation, p.default, meanings.get(p.name, "")) for p in parameters}


def summary(cls: type) -> str:
    """The first sentence of a class's docstring, in one line."""
    text = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[^.]\.) (?=[A-Z])", text)[0].rstrip(".:").replace("``", "")


def descriptions(cls: type) -> dict[str, str]:
    """Each parameter's meaning by the ``Args:`` of the docstring, or of a base class's."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found.update(arguments(inspect.cleandoc(base.__dict__.get("__doc__") or "")))
    return found


def arguments(doc: str) -> dict[str, str]:
    """``Args:`` of a docstring: ``name: text``, or ``one, two: text``, each going on over lines that stand deeper."""
    block = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", doc, re.MULTILINE)
    if not block:
        return {}
    found: dict[str, str] = {}
    entries = re.split(r"^ {4}(?=\S)", block[1], flags=re.MULTILINE)
    for entry in entries:
        names, colon, text = entry.partition(":")
        if colon:
            for name in names.split(","):
                found[name.strip().lstrip("*")] = " ".join(text.split()).replace("``", "")
    return found


def plain(value: Any, path: str = "") -> Any:
    """A value from Python as YAML would hold it: tuples as lists, NumPy's numbers as Python's, paths as text.

    Args:
        value: what to convert.
        path: where it is going, for messages.

    Raises:
        ConfigError: a value that no config holds, such as an infinite number.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value, path)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError([Problem(path, f"{value} is not a finite number")])
    if isinstance(value, str) and not encodable(value):
        raise ConfigError([Problem(path, f"{visible(value)!r} is not text: it holds what UTF-8 cannot encode")])
    for base in (int, float, str):  # Subclasses, such as NumPy's float64, as what they are made of.
        if isinstance(value, base):
            return base(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}.{i}".lstrip(".")) for i, item in enumerate(value)]
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):  # An array or a number of NumPy's.
        return plain(value.tolist(), path)
    raise ConfigError(
        [Problem(path, f"a config holds numbers, text, true, false, null, lists and mappings, not {value!r}")]
    )
