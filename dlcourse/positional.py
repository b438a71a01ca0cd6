"""The check of constructors for arguments by position beyond those that are in PyTorch's order."""

import inspect
from typing import Any, Self

from dlcourse.errors import ArgumentTypeError
from dlcourse.habits import OPTIONS, refused_option


class PositionalCheck:
    """Base of layers and optimizers, some of whose arguments are keyword-only.

    Too many arguments by position raise ArgumentTypeError, a TypeError, with the names of those that are taken by
    position and of those that are keyword-only; Python's own message has only their number.

    Attributes:
        keeps_arguments: whether a new object has what it was made with as ``_arguments``, before its constructor runs.
    """

    keeps_arguments = False

    def __new__(cls, *args: Any, **options: Any) -> Self:
        code = getattr(cls.__init__, "__code__", None)
        limit = code.co_argcount - 1 if code else 0 if cls.__init__ is object.__init__ else len(args)
        if len(args) > limit and not (code and code.co_flags & inspect.CO_VARARGS):
            raise ArgumentTypeError(_message(cls, len(args), limit))
        if not OPTIONS.keys().isdisjoint(options):
            _refuse_options(cls, code, options)
        if options and cls.__init__ is object.__init__:
            raise ArgumentTypeError(f"{_name(cls)} takes no arguments, got {', '.join(options)}")
        made = super().__new__(cls)
        if cls.keeps_arguments:
            vars(made)["_arguments"] = args, options
        return made


def _refuse_options(cls: Any, code: Any, options: dict[str, Any]) -> None:
    """Say what to do about keywords of PyTorch's that this constructor does not have."""
    if code is not None and code.co_flags & inspect.CO_VARKEYWORDS:
        return
    taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
    for name in options:
        if name in OPTIONS and name not in taken:
            raise ArgumentTypeError(refused_option(_name(cls), name))


def _message(cls: Any, given: int, limit: int) -> str:
    if cls.__init__ is object.__init__:
        return f"{_name(cls)} takes no arguments, got {given}"
    code = cls.__init__.__code__
    names, count = code.co_varnames, code.co_argcount
    positional, keyword = names[1:count], names[count : count + code.co_kwonlyargcount]
    taken = f"takes {limit} positional argument{'' if limit == 1 else 's'}"
    taken += f" ({', '.join(positional)})" if limit else ""
    also = f"; keyword-only: {', '.join(f'{name}=' for name in keyword)}" if keyword else ""
    return f"{_name(cls)} {taken}, got {given}{also}"


def _name(cls: type) -> str:
    """``nn.LSTM``; of a class that is not ours its own name."""
    package, *inside = cls.__module__.split(".")
    return f"{inside[0]}.{cls.__name__}" if package == "dlcourse" and inside else cls.__name__


# A class without a constructor of its own takes no arguments, and inspect.signature should say so.
_new: Any = PositionalCheck.__new__
_new.__signature__ = inspect.Signature([inspect.Parameter("cls", inspect.Parameter.POSITIONAL_ONLY)])
