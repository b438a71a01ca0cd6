"""``plugins: [my_parts.py]`` of a config: files with components of one's own, imported where code is allowed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dlcourse import plugins, registry
from dlcourse.config.locations import Location, located
from dlcourse.config.reader import Path as Keys
from dlcourse.errors import ConfigError, Problem, UserError


def load_plugins(names: Any, config: Path | None, locations: Mapping[Keys, Location]) -> Any:
    """Import the files that a config names, before its components are looked up.

    Args:
        names: ``plugins`` of the config as written.
        config: its file; a plugin is looked for beside it first, then in the current folder.
    Returns:
        The absolute paths of these files, so that whatever is made of the config still finds them.
    Raises:
        ConfigError: code is not allowed, or a file is missing or cannot be imported.
    """
    names = [names] if isinstance(names, str) else names
    if not names or not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return names  # nothing to import, or for the check to refuse
    paths = [_find(name, config) for name in names]
    problems = [Problem(f"plugins.{i}", text) for i, path in enumerate(paths) for text in _problems(path)]
    if problems:
        raise ConfigError([located(problem, locations) for problem in problems])
    return [str(path) for path in paths]


def _find(name: str, config: Path | None) -> Path:
    path = Path(name).expanduser()
    beside = path if config is None else config.absolute().parent / path
    try:
        return (beside if beside.is_file() else path).resolve()
    except (OSError, ValueError):  # no name that a file can have
        return path


def _problems(path: Path) -> Iterator[str]:
    try:
        if plugins.is_loaded(path):
            return
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        if any(Path(loaded).name == path.name for loaded in plugins.loaded()):
            return  # named elsewhere by the command line, as of a sweep whose file was moved
        close = registry.nearest(path.name, [each.name for each in path.parent.glob("*.py")])
        meant = f" (did you mean {close!r}?)" if close else ""
        yield f"no such file: {path}{meant}; where it was moved, name it by --plugin"
    elif not plugins.code_allowed():
        yield (
            f"this config asks to run the Python file {path}; where you trust it, add --allow-code, or name it: "
            f"--plugin {path} (in Python: allow_code=True)"
        )
    else:
        try:
            plugins.load(path)
        except UserError as error:
            yield str(error)
