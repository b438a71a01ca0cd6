"""Read a config's file; a fault of the file is one line."""

import difflib
from pathlib import Path

from dlcourse.config.reader import MAX_BYTES
from dlcourse.errors import ConfigError
from dlcourse.resources import configs_folder

__all__ = ["DATA_FILES", "read_text", "shipped"]

DATA_FILES = ("path", "test_path")
"""Keys of the section ``data`` that name files."""


def read_text(path: Path) -> str:
    """The text of a config's file.

    Raises:
        ConfigError: it is missing (the message names files of nearly that name), a folder, unreadable, too large, not
            UTF-8, or empty.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_suggest(path)}") from None
    except IsADirectoryError:
        inside = sorted(each.name for each in path.glob("*.yaml"))
        what = f"; name a file in it, such as {path / inside[0]}" if inside else " without .yaml files"
        raise ConfigError(f"{path}: is a folder{what}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no config is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8") from None
    if not text.strip():
        raise ConfigError(f"{path}: empty; `dlcourse init` copies a config to start from")
    return text


def shipped() -> list[Path]:
    """The configs that come with the program, relative to their folder."""
    folder = configs_folder()
    return sorted(path.relative_to(folder) for path in folder.rglob("*.yaml"))


def _suggest(path: Path) -> str:
    """Files that may have been meant: of a like name in the same folder, or among the course's configs."""
    folder = path.parent
    beside = {each.stem: each for each in folder.glob("*.yaml")} if folder.is_dir() else {}
    close = difflib.get_close_matches(path.stem, beside, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(str(beside[stem]) for stem in close)}?"
    by_stem = {each.stem: each for each in shipped()}
    close = difflib.get_close_matches(path.stem, by_stem, n=1, cutoff=0.6)
    if not close:
        return "; `dlcourse list configs` shows those that come with the program"
    found = configs_folder() / by_stem[close[0]]
    try:
        found = found.relative_to(Path.cwd())
    except ValueError:
        return f"; did you mean {found}? (`dlcourse init {by_stem[close[0]].with_suffix('')}` makes a copy here)"
    return f"; did you mean {found}?"
