"""Whether the arguments of an assignment's cases are those that its functions take: a typing error there would cost
every student the points.

What they take is read from the starter file, without running it, or from the cases that ask for a function to be there.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from dlcourse.errors import UserError

Signatures = dict[str, Signature]


def read_starter(path: Path) -> Signatures:
    """What the functions of a starter file take, by their names.

    Raises:
        UserError: there is no such file, or it is no Python.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except OSError:
        raise UserError(f"there is no file {path}") from None
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is no Python: {error}") from None
    return {node.name: _signature(node.args) for node in tree.body if isinstance(node, ast.FunctionDef)}


def _signature(given: ast.arguments) -> Signature:
    plain = [*given.posonlyargs, *given.args]
    needed = len(plain) - len(given.defaults)
    found = [
        Parameter(
            each.arg,
            Parameter.POSITIONAL_ONLY if each in given.posonlyargs else Parameter.POSITIONAL_OR_KEYWORD,
            default=Parameter.empty if number < needed else None,
        )
        for number, each in enumerate(plain)
    ]
    found += [Parameter(given.vararg.arg, Parameter.VAR_POSITIONAL)] if given.vararg else []
    found += [
        Parameter(each.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if default is None else None)
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    found += [Parameter(given.kwarg.arg, Parameter.VAR_KEYWORD)] if given.kwarg else []
    return Signature(found)


def of_parts(parts: Iterable[Mapping[str, Any]]) -> Signatures:
    """What functions have to take that a submission has to have; more may have defaults, so that none is required."""
    return {
        part["name"]: Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=None) for name in names])
        for part in parts
        if part["kind"] == "function" and (names := part["parameters"])
    }


def misfits(kind: str, case: Mapping[str, Any], signatures: Signatures) -> Iterator[tuple[str, str]]:
    """What of a case its function does not take: the key, and what is wrong.

    Args:
        kind: of the case: part, value, gradient or figure.
    """
    function = case["name"] if kind == "part" else case["function"]
    if function not in signatures:
        return
    signature = signatures[function]
    takes = f"{function} takes ({', '.join(signature.parameters)})"
    if kind == "part":
        if case["kind"] == "function" and list(signature.parameters)[: len(case["parameters"])] != case["parameters"]:
            yield ".parameters", f"{takes} in the starter, got {', '.join(case['parameters'])}"
    elif kind == "figure":
        if not _binds(signature, None, None, None):
            yield ".function", f"{takes}, and is called with three: training inputs, their targets, test inputs"
    elif not _binds(signature, **dict.fromkeys(case["arguments"])):
        yield ".arguments", f"{takes}, got {', '.join(case['arguments']) or 'none'}"


def _binds(signature: Signature, *arguments: None, **named: None) -> bool:
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True
