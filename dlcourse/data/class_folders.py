"""A folder of image files with a folder for each class: what is in it, and what is not read."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlcourse.data.cells import listed
from dlcourse.data.image_file import SUFFIXES
from dlcourse.errors import DataError

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The split that a folder of such a name is."""

_CLUTTER = ("__macosx", "thumbs.db", "desktop.ini")
"""What systems leave in folders, besides names that begin with a dot."""


@dataclass(frozen=True)
class ImageEntry:
    """An image file: its path within the folder, its class, and what tells whether it changed."""

    name: str
    label: str
    size: int
    times: tuple[int, int]
    """Of its content and of its status, as of its permissions, in nanoseconds."""


@dataclass(frozen=True)
class ClassFolders:
    """The image files of each split, class by class, and the files that are none.

    Args:
        path: the folder.
        splits: ``train`` and, where there are such folders, ``val`` and ``test``.
        others: paths of files and folders that are not read, within the folder.
    """

    path: Path
    splits: dict[str, list[ImageEntry]]
    others: list[str]

    @property
    def bytes(self) -> int:
        """Of all image files together."""
        return sum(entry.size for entries in self.splits.values() for entry in entries)

    @classmethod
    def scan(cls, path: Path) -> "ClassFolders":
        """Look into a folder of class folders, or of folders ``train``, ``val`` and ``test`` of such.

        Hidden files are passed over. Folders below that of a class are looked into too.

        Raises:
            DataError: there is no folder of a class, or it cannot be read.
        """
        try:
            folders, others = _listing(path)
            parts = _parts(folders)
            if parts:
                others += [name for name in folders if name not in parts.values()]
            splits = {}
            for split, part in (parts or {"train": ""}).items():
                inside = folders if not part else _class_folders(path / part, others, part)
                found = {name: list(_images(path, part, name, others)) for name in inside}
                others += [Path(part, name).as_posix() for name, entries in found.items() if not entries]
                splits[split] = [entry for entries in found.values() for entry in entries]
                if not splits[split]:
                    raise DataError(_nothing(path / part, inside, others))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        return cls(path, splits, others)


def in_order(names: set[str]) -> tuple[str, ...]:
    """Names of classes in the order of their labels: by number where all are numbers, else by letter."""
    numbered = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbered else 0, name)))


def _listing(path: Path) -> tuple[list[str], list[str]]:
    """The folders and the files in a folder, by name, without hidden ones."""
    with os.scandir(path) as found:
        entries = sorted((entry.name, entry.is_dir()) for entry in found if not _hidden(entry.name))
    return [name for name, folder in entries if folder], [name for name, folder in entries if not folder]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _parts(folders: list[str]) -> dict[str, str]:
    """The folder of each split; empty where the folders are classes (one may be called train)."""
    found = {_SPLITS[name.lower()]: name for name in reversed(folders) if name.lower() in _SPLITS}
    if "train" not in found or (len(found) == 1 and len(folders) > 1):
        return {}
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _class_folders(path: Path, others: list[str], part: str) -> list[str]:
    folders, files = _listing(path)
    others += [f"{part}/{name}" for name in files]
    return folders


def _images(root: Path, part: str, label: str, others: list[str]) -> Iterator[ImageEntry]:
    """The image files of a class, by name."""
    for place, folders, files in os.walk(root / part / label):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in sorted(files):
            path = Path(place, name)
            shown = path.relative_to(root).as_posix()
            if _hidden(name):
                continue
            if path.suffix.lower() not in SUFFIXES:
                others.append(shown)
                continue
            try:
                status = path.stat()
            except OSError:  # a link to nothing
                others.append(shown)
                continue
            yield ImageEntry(shown, label, status.st_size, (status.st_mtime_ns, status.st_ctime_ns))


def _nothing(path: Path, folders: list[str], others: list[str]) -> str:
    """The message where a folder has no image of any class."""
    expected = "expected a folder for each class, with image files in it, such as cat/1.png"
    loose = [name for name in others if Path(name).suffix.lower() in SUFFIXES]
    if loose and not folders:
        return f"{path} holds {len(loose)} images but no folders; {expected}"
    there = listed(folders, 5)
    return f"{path} holds no image of a class; {expected}{f'; its folders: {there}' if there else ''}"
