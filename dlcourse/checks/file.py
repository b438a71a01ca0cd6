"""All that a file brings, each component against the properties of its kind."""

import functools
import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from dlcourse import plugins, registry
from dlcourse.autograd import Tensor
from dlcourse.backend import current, random, to_host
from dlcourse.checks import examples
from dlcourse.checks.arrays import TOLERANCE
from dlcourse.checks.judges import check_loss, check_metric, tasks_of
from dlcourse.checks.module import Subject, check_learns, check_module, samples_apart
from dlcourse.checks.outcome import Checks, Failure, Outcome
from dlcourse.checks.samples import check_data
from dlcourse.checks.updates import check_optimizer, check_schedule
from dlcourse.errors import UserError, named
from dlcourse.models.base import Model
from dlcourse.nn import Embedding, Linear, Loss, Module
from dlcourse.training.history import History

OUT = 3
"""``out_features`` of a model that is tried."""

LAYER_SHAPES = ((4,), (5, 4), (6, 6, 4))
MODEL_SHAPES = ((4,), (8, 8, 3), (6, 4))
"""Inputs that are tried, until one is taken; ``example = {"input": (7,)}`` names another."""


def check_file(path: str | Path, tolerance: float = TOLERANCE) -> list[Outcome]:
    """Check every component that a file registers, and every layer in it.

    A layer is a class derived from ``nn.Module``; one whose name begins with ``_`` is left to what uses it. Arguments
    without a default are guessed by their annotation; a class attribute ``example = {"width": 4, "input": (7,)}`` names
    others, and under ``input`` the shape of one input.

    Args:
        path: a Python file; it is run.
        tolerance: largest relative error of a gradient.
    Raises:
        UserError: it cannot be imported, or there is nothing to check in it.
    """
    module = plugins.load(path)
    file = Path(str(module.__file__))
    found = [(kind, name, cls) for kind in registry.KINDS for name, cls in _registered(module, kind).items()]
    known = [cls for _, _, cls in found]
    layers = [cls for cls in vars(module).values() if _is_layer(cls, module) and cls not in known]
    if not found and not layers:
        raise UserError(
            f"{path}: registers nothing (@register(kind, name) above a class does, kinds: {', '.join(registry.KINDS)}) "
            "and has no layer (a class of nn.Module); `dlcourse init --plugin model` writes one to start from"
        )
    outcomes = []
    for cls in layers:
        checks = Checks(f"layer {cls.__name__}", file)
        _guarded(checks, functools.partial(_check_layer, checks, cls, tolerance))
        outcomes += checks.outcomes
    for kind, name, _ in found:
        outcomes += check_component(kind, name, file, tolerance)
    return outcomes


def check_component(kind: str, name: str, file: Path, tolerance: float = TOLERANCE) -> list[Outcome]:
    """Check one registered component.

    Args:
        file: where it is written.
    """
    checks = Checks(f"{kind} {name}", file)

    def check() -> None:
        registry.check_base(kind, name)
        _KINDS[kind](checks, kind, name, registry.lookup(kind, name), tolerance)

    _guarded(checks, check)
    return checks.outcomes


def _guarded(checks: Checks, check: Callable[[], None]) -> None:
    try:
        check()
    except Failure as failure:
        checks.add("can be made", False, str(failure))
    except (Exception, SystemExit) as error:  # a constructor is a user's own code
        checks.add("can be made", False, f"{checks.place(error)}{named(error)}")


def _registered(module: ModuleType, kind: str) -> dict[str, type]:
    classes = {name: registry.lookup(kind, name) for name in registry.names(kind)}
    return {name: cls for name, cls in classes.items() if cls.__module__ == module.__name__}


def _is_layer(cls: Any, module: ModuleType) -> bool:
    if not isinstance(cls, type) or cls.__module__ != module.__name__ or cls.__name__.startswith("_"):
        return False
    return issubclass(cls, Module) and not issubclass(cls, Model | Loss)


def _check_layer(checks: Checks, cls: type, tolerance: float) -> None:
    parameters = list(inspect.signature(cls, eval_str=True).parameters.values())
    plain = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    arguments = examples.arguments(cls, plain)
    inputs = list(inspect.signature(cls.forward).parameters.values())[1:]  # type: ignore[attr-defined]
    required = [each.name for each in inputs if each.default is each.empty and each.kind in _POSITIONAL]
    if len(required) > 1:
        several = f"takes several inputs ({', '.join(required)})"
        checks.add("shape", None, f"{several}: check it inside a model, or by dl.gradcheck")
        return
    tokens = examples.example(cls).get(examples.TOKENS)

    def subject(shape: tuple[int, ...]) -> Subject:
        return Subject(lambda: cls(**arguments), shape, tokens)

    check_module(checks, subject(_shape_for(cls, LAYER_SHAPES, subject)), tolerance, None)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _spec(kind: str, name: str, cls: type) -> dict[str, Any]:
    return {"name": name, **examples.arguments(cls, registry.parameters(kind, name))}


def _check_model(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    spec = _spec(kind, name, cls)

    def subject(shape: tuple[int, ...]) -> Subject:
        def build() -> Any:
            return registry.build(kind, spec, in_shape=shape, out_features=OUT)

        takes_tokens = getattr(cls, "takes_tokens", None)
        if takes_tokens is None:
            takes_tokens = any(isinstance(each, Embedding) for each in build().modules())
        tokens = OUT if takes_tokens else None
        return Subject(build, shape, examples.example(cls).get(examples.TOKENS, tokens))

    if getattr(cls, "objective_units", None):
        checks.add("shape", None, "has an objective of its own: `dlcourse check CONFIG` compares its gradient")
        return
    if not set(getattr(cls, "tasks", ("regression",))) & {"regression", "classification"}:
        checks.add("shape", None, f"nothing to try it with: tasks = {cls.tasks}")  # type: ignore[attr-defined]
        return
    shape = _shape_for(cls, MODEL_SHAPES, subject)
    made = subject(shape).build()
    if type(made).fit is not Model.fit and not list(made.parameters()):
        checks.add("shape", None, "is fitted in closed form and has no parameters: there is nothing to check here")
        return
    check_module(checks, subject(shape), tolerance, OUT)
    if checks.outcomes[0].passed:
        check_learns(checks, subject(shape), OUT)


def _shape_for(
    cls: type, shapes: tuple[tuple[int, ...], ...], subject: Callable[[tuple[int, ...]], Subject]
) -> tuple[int, ...]:
    """The first shape of an input that a forward pass takes, sample by sample where there is one that it takes so: a
    recurrent layer takes (T, D) for one sequence. The first of all where none is taken."""
    named = examples.example(cls).get(examples.INPUT)
    if named is not None:
        return tuple(named)
    taken = []
    for shape in shapes:
        try:
            made = subject(shape)
            made.outputs(made.make(), made.inputs())
            taken.append(shape)
            samples_apart(made)
        except (Exception, SystemExit):  # whatever a user's own code raises at a shape that is not meant for it
            continue
        return shape
    return taken[0] if taken else shapes[0]


def _check_loss(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    spec = _spec(kind, name, cls)

    def judge(outputs: Any, targets: Any) -> Any:
        return registry.build(kind, spec)(Tensor(outputs), targets)

    for task, own in _by_task(checks, cls, judge):
        check_loss(own, lambda: registry.build(kind, spec), task, tolerance)
        _gather(checks, own)


def _check_metric(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    spec = _spec(kind, name, cls)

    def judge(outputs: Any, targets: Any) -> Any:
        registry.build(kind, spec).update(outputs, targets)

    for task, own in _by_task(checks, cls, judge):
        check_metric(own, lambda: registry.build(kind, spec), task)
        _gather(checks, own)


def _gather(checks: Checks, own: Checks) -> None:
    """Take over what the checks of one of several tasks found."""
    if own is checks:
        return
    first, *others = own.outcomes
    if first.passed is False:
        first = replace(
            first, figure=f"{first.figure}; where it is not meant for that: tasks = (...) names what it is for"
        )
    checks.outcomes += [first, *others]


def _by_task(checks: Checks, cls: type, judge: Callable[[Any, Any], Any]) -> list[tuple[str, Checks]]:
    """The tasks that a class names, each with checks of its own where they are several."""
    tasks = tasks_of(cls, judge)
    if not tasks:
        checks.add("shape", None, f"nothing to try it with: tasks = {getattr(cls, 'tasks', ())}")
    if len(tasks) == 1:
        return [(tasks[0], checks)]
    return [(task, Checks(f"{checks.component}, {task}", checks.file)) for task in tasks]


def _check_optimizer(checks: Checks, kind: str, name: str, cls: Any, tolerance: float) -> None:
    if getattr(cls, "closed_form", False):
        checks.add("closed form", None, "takes no steps: there is nothing to check here")
        return
    spec = _spec(kind, name, cls)
    check_optimizer(checks, lambda params: registry.build(kind, spec, params=params))


def _check_schedule(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    spec = _spec(kind, name, cls)
    check_schedule(checks, lambda total: registry.build(kind, spec, total_steps=total))


def _check_data(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    spec: Mapping[str, Any] = _spec(kind, name, cls)
    check_data(checks, lambda: registry.build(kind, spec), spec)


def _check_logging(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    spec = _spec(kind, name, cls)

    def take_lines() -> str:
        with tempfile.TemporaryDirectory(prefix="dlcourse-") as place:
            history = History(None, 1)
            logger = registry.build(kind, spec, path=Path(place), history=history)
            trainer = SimpleNamespace(step=0, metrics={}, loss=None, position=lambda step=None: {"step": step or 0})
            logger.start(trainer)
            history.record(trainer, "train", loss=1.0, lr=0.1)
            history.record(trainer, "eval", metrics={"val": {"accuracy": None}})
            logger.finish(trainer)
            logger.close(trainer)
        return "a train and an eval line, a metric that is no number among them"

    checks.run("takes lines", take_lines)


def _check_init(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    initializer = registry.build(kind, _spec(kind, name, cls))
    shape = (6, 4)

    def draws_by_the_seed() -> str:
        def weights() -> np.ndarray:
            random.manual_seed(0)
            return to_host(initializer(shape))

        first = weights()
        if first.shape != shape or not np.isfinite(first).all():
            raise Failure(f"expected finite weights {shape}, got {first.shape}: {first.ravel()[:4]}")
        if not np.array_equal(first, weights()):
            raise Failure("the same seed gave other weights: draw by nn.init")
        return "finite weights of the shape asked for, the same again from the same seed"

    checks.run("draws by the seed", draws_by_the_seed)


def _check_attack(checks: Checks, kind: str, name: str, cls: type, tolerance: float) -> None:
    attack = registry.build(kind, _spec(kind, name, cls))
    x = random.generator(0, "check/attack").uniform(size=(4, *LAYER_SHAPES[0])).astype(np.float32)

    def stays_in_the_box() -> str:
        model = Linear(x.shape[-1], OUT)
        found = to_host(attack(model, current().asarray(x), np.arange(4) % OUT))
        if found.shape != x.shape or not np.isfinite(found).all():
            raise Failure(f"expected finite inputs {x.shape}, got {found.shape}: {found.ravel()[:4]}")
        if found.min() < -1e-6 or found.max() > 1 + 1e-6:
            raise Failure(f"inputs left 0..1, which self.box.clip prevents: {found.min():g} to {found.max():g}")
        return "finite inputs of the same shape, within the box"

    checks.run("stays in the box", stays_in_the_box)


_KINDS: dict[str, Callable[[Checks, str, str, Any, float], None]] = {
    "data": _check_data,
    "model": _check_model,
    "init": _check_init,
    "loss": _check_loss,
    "metric": _check_metric,
    "optimizer": _check_optimizer,
    "schedule": _check_schedule,
    "logging": _check_logging,
    "attack": _check_attack,
}
