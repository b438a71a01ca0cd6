"""Files of a user's own that register components: importing them, once, and taking them back.

What a config or a run's folder names is imported only where :func:`allowing_code` says so.
"""

import contextlib
import hashlib
import importlib.util
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

from dlcourse import registry
from dlcourse.errors import UserError


def load(path: str | Path) -> types.ModuleType:
    """Import a user's own Python file, which registers components of its own.

    A file is imported once, however often it is named, and so is its copy.

    Raises:
        UserError: the file is missing, raises, or takes a name that is taken.
    """
    path = Path(path).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"plugin {path}: no such file")
    module_name = _module_name(path)
    if module_name in sys.modules:
        return sys.modules[module_name]
    same = _loaded_as(path)
    if same is not None:
        return same
    for kind in registry.KINDS:  # So that a name of ours is taken before the plugin can take it.
        registry.names(kind)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {path}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    before = {kind: dict(components) for kind, components in registry.registered.items()}
    try:
        # Not by the loader, which may take an older compiled file, and leaves one beside the source.
        source = path.read_bytes()
        vars(module)["__dlcourse_source__"] = source
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
        for kind, components in registry.registered.items():
            for name in components.keys() - before[kind].keys():
                registry.parameters(kind, name)
    except BaseException as error:
        del sys.modules[module_name]
        registry.registered.update(before)
        if isinstance(error, UserError):
            raise UserError(f"plugin {path}: {error}") from error
        if isinstance(error, Exception | SystemExit):  # exit(0) in it would end the program as if all were well
            raise UserError(f"plugin {path}: {_where(error, path)}{type(error).__name__}: {error}") from error
        raise
    return module


def is_loaded(path: str | Path) -> bool:
    """Whether :func:`load` has imported that file, or one of the same content."""
    path = Path(path).expanduser().resolve()
    return _module_name(path) in sys.modules or _loaded_as(path) is not None


def _loaded_as(path: Path) -> types.ModuleType | None:
    """The module that was imported from a file of the same content."""
    modules = _modules()
    try:
        content = path.read_bytes() if modules else b""
    except OSError:
        return None
    return next((module for module in modules if module.__dlcourse_source__ == content), None)


_code_allowed = False


def code_allowed() -> bool:
    """Whether the files that a config or a run's folder names may be imported, see :func:`allowing_code`."""
    return _code_allowed


@contextlib.contextmanager
def allowing_code(allowed: bool = True) -> Iterator[None]:
    """Inside the ``with`` block ``plugins: [FILE.py]`` of a config is obeyed; what was allowed before stays so.

    A config or a run's folder may have come from another person: what it names runs only where a person allows it.
    """
    global _code_allowed
    before = _code_allowed
    _code_allowed = before or allowed
    try:
        yield
    finally:
        _code_allowed = before


def reload_changed() -> None:
    """Import again the files whose content has changed since: what an editor beside a notebook expects.

    Raises:
        UserError: one cannot be imported any more; what it registered before stays.
    """
    for path, content in sources().items():
        if path.is_file() and path.read_bytes() != content:
            before = {kind: dict(components) for kind, components in registry.registered.items()}
            module = sys.modules.pop(_module_name(path))
            _forget(module.__name__)
            try:
                load(path)
            except BaseException:
                sys.modules[module.__name__] = module
                registry.registered.update(before)
                raise


def loaded() -> list[str]:
    """The files that :func:`load` has imported, in order: what another process has to load too."""
    return list(map(str, sources()))


def sources() -> dict[Path, bytes]:
    """Those files, and what each held when it was imported."""
    return {Path(str(module.__file__)): module.__dlcourse_source__ for module in _modules()}


def _modules() -> list[types.ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(registry.PLUGIN_PREFIX)]


@contextlib.contextmanager
def loaded_for_now(path: Path) -> Iterator[None]:
    """Inside the ``with`` block a file is imported.

    Raises:
        UserError: it cannot be imported.
    """
    module = load(path)
    try:
        yield
    finally:
        sys.modules.pop(module.__name__, None)
        _forget(module.__name__)


@contextlib.contextmanager
def replaced(path: Path, other: Path) -> Iterator[None]:
    """Inside the ``with`` block another file stands in for one that :func:`load` has imported.

    Raises:
        UserError: it cannot be imported.
    """
    name = _module_name(path)
    module = sys.modules.pop(name)
    before = {kind: dict(components) for kind, components in registry.registered.items()}
    _forget(name)
    try:
        load(other)
        yield
    finally:
        sys.modules.pop(_module_name(other.resolve()), None)
        sys.modules[name] = module
        registry.registered.update(before)


def _forget(module_name: str) -> None:
    """Take out what a module registered."""
    for components in registry.registered.values():
        for each in [each for each, cls in components.items() if cls.__module__ == module_name]:
            del components[each]


def _module_name(path: Path) -> str:
    return f"{registry.PLUGIN_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _where(error: BaseException, path: Path) -> str:
    """``line N: `` of the last line of the plugin itself that an error passed through."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"line {lines[-1]}: " if lines else ""
