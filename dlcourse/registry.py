"""Components by kind and name: what a config can say ``{name: ...}`` of.

There is one rule and no second list: a component is a class in its kind's package with ``@register(kind, name)`` on it,
and its constructor's signature is its schema. Adding one is adding a file::

    @register("model", "mlp")
    class MLP(Model):
        def __init__(self, in_shape: tuple[int, ...], out_features: int, hidden: list[Count], dropout: Probability = 0):

The program itself supplies some parameters (``Kind.supplied``, here ``in_shape`` and ``out_features``, which come from
the data); all others come from the config, so each has an annotation that holds its type and bounds.
"""

import difflib
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from dlcourse.characters import odd_characters
from dlcourse.errors import UserError

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Kind:
    """A family of components: their package, what they are, and what the program supplies to their constructors.

    Attributes:
        bases: classes by their full names, one of which a component derives from; empty: any class will do.
        made: an attribute that the constructor of the first of them sets, without which an instance cannot be used.
    """

    package: str
    summary: str
    supplied: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    made: str = ""


KINDS: dict[str, Kind] = {
    "data": Kind("dlcourse.data", "data sets"),
    "model": Kind(
        "dlcourse.models",
        "models",
        ("in_shape", "out_features", "out_shape", "vocab_size"),
        bases=("dlcourse.models.Model",),
    ),
    "init": Kind(
        "dlcourse.nn",
        "initializers, how a model's weights are drawn, under model.init",
        bases=("dlcourse.nn.Initializer",),
    ),
    "loss": Kind("dlcourse.nn", "losses, what training minimizes", bases=("dlcourse.nn.Loss",)),
    "optimizer": Kind(
        "dlcourse.optim",
        "optimizers and closed-form solvers",
        ("params",),
        bases=("dlcourse.optim.Optimizer", "dlcourse.optim.closed_form.Solver"),
        made="flat",
    ),
    "schedule": Kind("dlcourse.optim", "learning-rate schedules, under optimizer.schedule", ("total_steps",)),
    "metric": Kind("dlcourse.metrics", "metrics, what is measured", bases=("dlcourse.metrics.base.Metric",)),
    "logging": Kind(
        "dlcourse.training.loggers",
        "loggers, where a run's numbers go too",
        ("path", "history"),
        bases=("dlcourse.training.callback.Callback",),
    ),
    "attack": Kind(
        "dlcourse.attacks",
        "attacks, which change inputs until a net is wrong, under train.attack",
        bases=("dlcourse.attacks.Attack",),
    ),
}

registered: dict[str, dict[str, type]] = {kind: {} for kind in KINDS}


OWN_FILE = "one of your own comes from a file: --plugin FILE.py, or plugins: [FILE.py] in the config"
"""What a message about an unknown name ends with."""


class UnknownComponentError(UserError):
    """No component of that kind has that name; the message names the nearest and all that there are."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` that ``word`` was probably meant to be, by its letters or its beginning, or None."""
    lowered = {w.lower(): w for w in words}
    word = str(word).lower()
    found = [each for each in difflib.get_close_matches(word, lowered, n=5, cutoff=_ALIKE) if _alike(word, each)][:1]
    found = found or [longer for longer in lowered if len(word) > 2 and longer.startswith(word)]
    return lowered[found[0]] if found else None


def hint(word: str, words: Iterable[str]) -> str:
    """``did you mean 'lr'? ``, before it which of its characters cannot be seen; empty without either."""
    close = nearest(word, words)
    odd = odd_characters(str(word), close)
    return (f"it holds {odd}; " if odd else "") + (f"did you mean {close!r}? " if close else "")


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """:func:`hint` by itself: `` (did you mean 'lr'?)``."""
    text = hint(word, words).rstrip("; ")
    return f" ({text})" if text else ""


_ALIKE = 0.6  # of the letters; difflib's own measure for words that a person may have mixed up


def _alike(one: str, other: str) -> bool:
    """Whether two names are also alike without the words that they share: ``batch_norm`` is no ``clip_norm``."""
    ours, theirs = one.split("_"), other.split("_")
    our_rest = "_".join(word for word in ours if word not in theirs)
    their_rest = "_".join(word for word in theirs if word not in ours)
    if not our_rest or not their_rest:
        return True
    return difflib.SequenceMatcher(None, our_rest, their_rest).ratio() >= _ALIKE


def register(kind: str, name: str) -> Callable[[C], C]:
    """Class decorator: make the class the component ``name`` of ``kind``.

    Importing the same class again (a reloaded module) replaces it.

    Raises:
        ValueError: no such kind.
        UserError: another class has the name.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of component {kind!r}; the kinds are {', '.join(KINDS)}")

    def add(cls: C) -> C:
        there = registered[kind].get(name)
        if there is not None and (there.__module__, there.__qualname__) != (cls.__module__, cls.__qualname__):
            raise UserError(f"{kind} {name!r} is registered twice: {_home(there)} and {_home(cls)}; rename one")
        registered[kind][name] = cls
        return cls

    return add


def _home(cls: type) -> str:
    """Where a class is written: its module, or the file of a user's own."""
    module = sys.modules.get(cls.__module__)
    own = cls.__module__.startswith(PLUGIN_PREFIX) and module is not None
    return f"{cls.__qualname__} of {module.__file__}" if own else f"{cls.__module__}.{cls.__qualname__}"  # type: ignore[union-attr]


PLUGIN_PREFIX = "dlcourse_plugin_"


@functools.cache
def _import_package(package: str) -> None:
    """Import every module of a package, whatever registers itself on the way."""
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        importlib.import_module(module.name)


def _of_kind(kind: str) -> dict[str, type]:
    if kind not in KINDS:
        raise UnknownComponentError(
            f"no kind of component {kind!r}{did_you_mean(kind, KINDS)}; the kinds are {', '.join(KINDS)}"
        )
    _import_package(KINDS[kind].package)
    return registered[kind]


def names(kind: str) -> list[str]:
    """The names of all components of a kind, sorted."""
    return sorted(_of_kind(kind))


def lookup(kind: str, name: str) -> Any:
    """The class of a component.

    Raises:
        UnknownComponentError: no such kind or name; says the nearest and all.
    """
    components = _of_kind(kind)
    if name not in components:
        raise UnknownComponentError(
            f"no {kind} {name!r}{did_you_mean(name, components)}; there are: {', '.join(sorted(components)) or 'none'}"
            f"; {OWN_FILE}"
        )
    return components[name]


def check_base(kind: str, name: str) -> None:
    """Raise UserError unless the class of a component derives from the base class of its kind."""
    bases, cls = KINDS[kind].bases, lookup(kind, name)
    if bases and not any(issubclass(cls, _class_named(base)) for base in bases):
        what = {"logging": "logger"}.get(kind, kind)
        article = "an" if what[0] in "aeiou" else "a"
        raise UserError(f"{article} {what} derives from {bases[0]}; {cls.__qualname__} does not")


def _class_named(full_name: str) -> type:
    module, _, name = full_name.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


def name_of(kind: str, cls: type) -> str:
    """The name by which a config knows a component of that kind; of another class its own."""
    return next((name for name, each in registered[kind].items() if each is cls), cls.__name__)


def parameters(kind: str, name: str) -> list[inspect.Parameter]:
    """What a config can say of a component: its constructor's parameters but those that the program supplies.

    Raises:
        UnknownComponentError: no such component.
        UserError: the constructor is no schema: a parameter without annotation, ``*args`` or ``**kwargs``.
    """
    return list(_parameters(lookup(kind, name), KINDS[kind].supplied))


@functools.cache
def _parameters(cls: type, supplied: tuple[str, ...]) -> tuple[inspect.Parameter, ...]:
    try:
        signature = inspect.signature(cls, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        raise UserError(f"{cls.__qualname__}: its constructor's signature cannot be read: {error}") from error
    found = [parameter for parameter in signature.parameters.values() if parameter.name not in supplied]
    for parameter in found:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UserError(f"{cls.__qualname__}: a config cannot give {parameter}; name each parameter")
        if parameter.annotation is parameter.empty:
            raise UserError(
                f"{cls.__qualname__}: parameter {parameter.name!r} needs an annotation to check a config by"
            )
    return tuple(found)


def own_parameters(kind: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """Of a config's section: ``name`` and the component's own parameters, without the keys all of its kind share.

    ``own_parameters("data", {"name": "spirals", "turns": 2, "split": ...})`` is ``{"name": "spirals", "turns": 2}``.
    """
    own = {"name"} | {parameter.name for parameter in parameters(kind, section["name"])}
    return {key: value for key, value in section.items() if key in own}


def build(kind: str, spec: Mapping[str, Any], **supplied: Any) -> Any:
    """An instance of the component that ``spec`` names, from the parameters in ``spec`` and what the program supplies.

    Lists become tuples where the constructor's annotation says tuple; nothing else is changed or checked but the names,
    as the config has checked the values.

    Args:
        kind: a key of ``KINDS``.
        spec: ``{"name": ..., parameter: value, ...}``.
        supplied: the parameters in ``KINDS[kind].supplied`` that this constructor has; those it lacks are not passed.

    Raises:
        UnknownComponentError: no such component.
        UserError: a parameter is unknown or missing, or the class lacks the base class of its kind or does not call
            the constructor of that.
    """
    if "name" not in spec:
        raise UserError(f"a {kind} needs a name: {dict(spec)}")
    name = spec["name"]
    cls = lookup(kind, name)
    check_base(kind, name)
    own = {parameter.name: parameter for parameter in parameters(kind, name)}
    arguments = {}
    for key, value in spec.items():
        if key == "name":
            continue
        if key not in own:
            valid = ", ".join(own) or "none"
            raise UserError(f"{kind} {name!r} has no parameter {key!r}{did_you_mean(key, own)}; it has: {valid}")
        arguments[key] = _as_annotated(value, own[key].annotation)
    missing = [p.name for p in own.values() if p.default is p.empty and p.name not in arguments]
    if missing:
        raise UserError(f"{kind} {name!r} needs {', '.join(missing)}")
    unexpected = set(supplied) - set(KINDS[kind].supplied)
    if unexpected:
        raise TypeError(f"the program supplies {KINDS[kind].supplied} to a {kind}, not {sorted(unexpected)}")
    accepted = inspect.signature(cls).parameters if supplied else ()
    made = cls(**{key: value for key, value in supplied.items() if key in accepted}, **arguments)
    _check_made(kind, made)
    return made


def _check_made(kind: str, made: Any) -> None:
    needed = KINDS[kind].made
    if not needed or needed in vars(made):
        return
    base = _class_named(KINDS[kind].bases[0])
    if isinstance(made, base):
        signature = ", ".join(list(inspect.signature(base).parameters)[:2])
        raise UserError(f"{type(made).__qualname__}.__init__ has to call super().__init__({signature})")


def _as_annotated(value: Any, annotation: Any) -> Any:
    """Lists as tuples where the annotation says so: YAML and JSON have no tuples."""
    if not isinstance(value, list):
        return value
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _as_annotated(value, inner[0])
    if origin in (Union, types.UnionType):
        wanted = [branch for branch in inner if (get_origin(branch) or branch) in (tuple, list)]
        return _as_annotated(value, wanted[0]) if len(wanted) == 1 else value
    if origin is list:
        return [_as_annotated(item, inner[0]) for item in value]
    if origin is tuple:
        each = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(_as_annotated(item, a) for item, a in zip(value, each, strict=True))
    return tuple(value) if annotation is tuple else value
