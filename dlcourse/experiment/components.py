"""The component files of a run: its folder keeps a copy, which is used if the original changed.

A run's folder runs no code by itself, as it may have come from another person: a file has to be named with ``--plugin``
(or loaded by the caller), or ``--allow-code`` allows what the run kept. The copy takes the place of the file that was
named only where the run says that it was made from that very path; a file of the same name elsewhere is used as it is.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dlcourse import plugins
from dlcourse.errors import DamagedFileError, UserError
from dlcourse.records.run import Plugin
from dlcourse.training.environment import source_hash
from dlcourse.training.folder import RunFolder

Say = Callable[[str], None]


@contextlib.contextmanager
def code_of(folder: RunFolder, say: Say) -> Iterator[None]:
    """Inside the ``with`` block the components of a run's own files are as they were when the run was made.

    Args:
        say: called with which file is used where one was changed.
    Raises:
        UserError: a file is not loaded; says how to name it.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(plugins.allowing_code(folder.path.resolve() in _trusted))
        for plugin in _plugins(folder, say):
            found = _allowed(folder, plugin)
            if found is not None:
                stack.enter_context(plugins.loaded_for_now(found))
                continue
            replacement = _replacement(folder, plugin, say)
            if replacement is not None:
                stack.enter_context(plugins.replaced(*replacement))
        yield


_trusted: set[Path] = set()


def trust(folder: RunFolder) -> None:
    """From now on in this process :func:`code_of` may import what this run kept."""
    _trusted.add(folder.path.resolve())


def run_copies(names: Iterable[str], plugins: Sequence[Plugin], folder: Path | None = None) -> list[str]:
    """The component files that a config names, as a run names its own copies of them, by their place in its folder.

    Args:
        plugins: the files that were imported, and the copies.
        folder: of the run, where some names are of such copies already.
    """
    copies = {plugin["path"]: plugin["copy"] for plugin in plugins}
    by_hash = {plugin["sha256"]: plugin["copy"] for plugin in plugins}
    root = None if folder is None else folder.resolve()

    def copy_of(name: str) -> str:
        path = Path(name)
        if root is not None and path.is_relative_to(root):
            return path.relative_to(root).as_posix()
        if name in copies:
            return copies[name]
        if not path.is_file():  # the file of that name was imported from elsewhere
            return next((copy for place, copy in copies.items() if Path(place).name == path.name), name)
        return by_hash.get(source_hash(path.read_bytes()), name)  # another file of that content was imported

    return [copy_of(name) for name in names]


def changed_files(folder: RunFolder) -> list[str]:
    """The component files of a run that are loaded, and are not as they were when it was made."""
    now = {str(path): source_hash(content) for path, content in plugins.sources().items()}
    then = {plugin["path"]: plugin["sha256"] for plugin in _plugins(folder, lambda text: None)}
    return [path for path in now if path in then and now[path] != then[path]]


def _plugins(folder: RunFolder, say: Say) -> list[Plugin]:
    try:
        return folder.read_environment().get("plugins", [])
    except DamagedFileError as error:
        say(f"{error}; so it does not say which component files the run was made with")
        return []


def _allowed(folder: RunFolder, plugin: Plugin) -> Path | None:
    """Where code is allowed: the file to import for a plugin that is not loaded; None otherwise."""
    sources = plugins.sources()
    original = Path(plugin["path"])
    if not plugins.code_allowed() or original in sources or plugin["sha256"] in map(source_hash, sources.values()):
        return None
    if any(path.name == original.name for path in sources):
        return None
    return _copy(folder, plugin)


def _replacement(folder: RunFolder, plugin: Plugin, say: Say) -> tuple[Path, Path] | None:
    """The file that is loaded and the copy to use in its place; None to leave all as it is."""
    sources = plugins.sources()
    if plugin["sha256"] in map(source_hash, sources.values()):
        return None
    copy, original = _copy(folder, plugin), Path(plugin["path"])
    named = original if original in sources else next((path for path in sources if path.name == original.name), None)
    if named is None:
        own = "" if copy is None else f", or as the run keeps it: --plugin {copy}"
        raise UserError(
            f"{folder.path}: was made with the component file {original}, which is not loaded; name it again: "
            f"--plugin {original}{own}{_or_allowed(copy)}"
        )
    if copy is not None and named == original:
        say(f"{named} was changed since this run was made with it; the run's own copy is used: {copy}")
        return named, copy
    own = "and the run keeps no copy of it" if copy is None else f"as it was then: --plugin {copy}"
    say(f"{named} is not as the file that this run was made with; it is used all the same ({own})")
    return None


def _or_allowed(copy: Path | None) -> str:
    return "" if copy is None or plugins.code_allowed() else "; or --allow-code, where you trust it"


def _copy(folder: RunFolder, plugin: Plugin) -> Path | None:
    """The run's copy of a component file; None where there is none, or not as it was."""
    copy = folder.path.absolute() / plugin.get("copy", "")
    inside = copy.parent == folder.plugins.absolute() and not folder.plugins.is_symlink() and not copy.is_symlink()
    if not inside or not copy.is_file():
        return None
    return copy if hashlib.sha256(copy.read_bytes()).hexdigest() == plugin["sha256"] else None
