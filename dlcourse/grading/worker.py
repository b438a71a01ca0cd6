"""The process of one case: imports the submission and does what the grader asks; it judges nothing.

It answers with what the submission's functions gave, as arrays. Whether that is right is decided by the grader, outside
this process, so that nothing here is worth patching.
"""

import contextlib
import inspect
import os
import resource
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import plugins, registry
from dlcourse.grading.messages import frame, receive

Arrays = dict[str, np.ndarray]


def main(requests: int, answers: int) -> None:
    """Take one request from a pipe, and answer it on another."""
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    with os.fdopen(requests, "rb") as source:
        message, arrays = receive(source.read, max_bytes=1 << 40)
    token = message.pop("token")
    _write(answers, frame({"token": token, "ready": True}))
    _limit(message.pop("seconds"), message.pop("memory"))
    try:
        found, given = _ACTIONS[message["do"]](message, arrays)
        answer = frame({"token": token, **found}, given)
    except BaseException as error:  # also SystemExit, with which a submission may hope to get away
        answer = frame({"token": token, "error": _words(error, message["submission"])})
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it may be anything by now
            stream.flush()
    _write(answers, answer)
    os._exit(0)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _limit(seconds: float, memory: int) -> None:
    """Limits of this process and those that it starts, beside what it has taken already."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    limits = [
        (resource.RLIMIT_CPU, int(used + 4 * seconds) + 2),  # threads count together; the grader's clock is the limit
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 1 << 28),
    ]
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits.append((resource.RLIMIT_AS, pages * resource.getpagesize() + (memory << 20)))
    except (OSError, ValueError):  # not Linux
        pass
    for which, limit in limits:
        hard = resource.getrlimit(which)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(which, (limit, limit))


def _words(error: BaseException, submission: str) -> str:
    """An error with the lines of the submission that it came through."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, SystemExit):
        return f"the submission calls exit({error.code})"
    if isinstance(error, SyntaxError) and error.filename == submission:
        return f"line {error.lineno}: SyntaxError: {error.msg}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == submission]
    lines = [f"line {each.lineno}, in {each.name}: {each.line}" for each in frames[-5:]]
    return "\n".join([f"{type(error).__name__}: {error}", *lines])


def _load(message: Mapping[str, Any], components: bool = False) -> Any:
    """The submission's module.

    Args:
        components: whether those that it registers are asked for; else those of the program need not be imported.
    """
    path = message["submission"]
    if components:
        return plugins.load(path)
    module = types.ModuleType("submission")
    module.__file__ = path
    sys.modules[module.__name__] = module
    exec(compile(Path(path).read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
    return module


def _function(module: Any, name: str) -> Callable:
    found = getattr(module, name, None)
    if found is None:
        there = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        raise NameError(f"the submission has no function {name!r}{registry.did_you_mean(name, there)}")
    if not callable(found):
        raise TypeError(f"{name} is a {type(found).__name__}, no function")
    return found


def _describe(message: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    name, kind = message["name"], message["kind"]
    module = _load(message, kind in registry.KINDS)
    if kind in ("function", "class"):
        found = _function(module, name)
        if inspect.isclass(found) != (kind == "class"):
            raise TypeError(f"{name} is no {kind}")
    else:
        found = registry.lookup(kind, name)
        if found.__module__ != module.__name__:
            raise NameError(f"{kind} {name!r} comes with the program; the submission registers none of that name")
    return {"parameters": list(inspect.signature(found).parameters)}, {}


def _call(message: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    """The outputs of a function, for each call; one argument's element may differ from call to call."""
    function = _function(_load(message), message["function"])
    _require_parameters(function, message["function"], {**arrays, **message["plain"]})
    found: Arrays = {}
    for number, change in enumerate(message["calls"]):
        arguments = {name: array.copy() for name, array in arrays.items()}
        if change:
            arguments[change["name"]].reshape(-1)[change["index"]] = change["value"]
        outputs = flat_outputs(function(**arguments, **message["plain"]))
        if number == 0:
            found |= {f"argument.{name}": array for name, array in arguments.items()}
        else:
            outputs = {path: outputs[path] for path in message["keep"] if path in outputs}
        found |= {f"{number}.{path}": array for path, array in outputs.items()}
    return {}, found


def _require_parameters(function: Callable, name: str, arguments: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # one of NumPy's, perhaps
        return
    try:
        signature.bind(**arguments)
    except TypeError:
        takes = f"{name} takes ({', '.join(signature.parameters)})"
        raise TypeError(f"{takes}; the case gives it: {', '.join(arguments) or 'nothing'}") from None


def flat_outputs(value: Any) -> Arrays:
    """What a function returns as arrays by path: ``0``, ``1``, ... of a tuple, keys of a dictionary, ``1.weight``."""
    found: Arrays = {}

    def visit(value: Any, path: str) -> None:
        if isinstance(value, tuple | dict):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                visit(item, f"{path}.{key}" if path else str(key))
            return
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)  # a tensor
        if value is None or array.dtype.kind not in "biuf":
            came = "None: it lacks a return" if value is None else f"a {type(value).__name__}"
            raise TypeError(f"expected numbers and arrays, the function returned {came}")
        found[path] = np.ascontiguousarray(array).reshape(array.shape)

    visit(value if isinstance(value, tuple | dict) else (value,), "")
    return found


def _predict(message: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    function = _function(_load(message), message["function"])
    return {}, flat_outputs(function(arrays["x"], arrays["y"], arrays["x_test"]))


def _fit(message: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    from dlcourse.config import from_mapping  # late: other cases start without all this
    from dlcourse.experiment.fitting import fit

    _load(message, components=True)
    np.savez("train.npz", x=arrays["x"], y=arrays["y"])
    result = fit(from_mapping(message["config"]))
    return {}, {"0": np.ascontiguousarray(result.experiment.predict(arrays["x_test"]))}  # type: ignore[union-attr]


_ACTIONS: dict[str, Callable[[Mapping[str, Any], Arrays], tuple[dict[str, Any], Arrays]]] = {
    "describe": _describe,
    "call": _call,
    "predict": _predict,
    "fit": _fit,
}
