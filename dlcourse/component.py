"""The annotation of a key that takes a component of some kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import core_schema


@dataclass(frozen=True)
class ComponentSpec:
    """A component as the config gives it, to be checked against the constructor that its name points to."""

    kind: str
    shared: str
    spec: str | Mapping[str, Any]


@dataclass(frozen=True)
class Component:
    """``Annotated[Any, Component("schedule")]``: a name, or a mapping of a name and its parameters.

    Pydantic sees only that much, and passes it on as :class:`ComponentSpec`: the parameters depend on the name.

    Attributes:
        kind: of component.
        within: the section whose keys components have here beside their own (``sections.OPTIONS``); else the kind's.
    """

    kind: str
    within: str = ""

    @property
    def shared(self) -> str:
        """The name of those keys."""
        return self.within or self.kind

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable) -> "core_schema.CoreSchema":
        from pydantic_core import core_schema

        given = core_schema.union_schema(
            [core_schema.str_schema(), core_schema.dict_schema()],
            custom_error_type="component",
            custom_error_message="a name, or a mapping of a name and parameters",
        )
        return core_schema.no_info_after_validator_function(partial(ComponentSpec, self.kind, self.shared), given)

    def __get_pydantic_json_schema__(self, schema: "core_schema.CoreSchema", handler: Callable) -> dict[str, Any]:
        return {"x-component": self.shared}  # ``dlcourse schema`` puts the reference there.
