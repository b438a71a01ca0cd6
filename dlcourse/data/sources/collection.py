"""A published data set: where its files are looked for, how they are verified, and the arrays they become."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dlcourse.data.dataset import Dataset, Task
from dlcourse.data.files import FOLDER_VARIABLE, data_folder, find
from dlcourse.data.sources.archive import SUFFIXES, Archive
from dlcourse.data.sources.cache import Decoded, Layout, cache_folder, digest
from dlcourse.data.sources.download import Download, TransferError, fetch
from dlcourse.data.sources.folder import Folder
from dlcourse.data.sources.published import Checksum
from dlcourse.errors import DataError, DlcourseError, DownloadError

Source = Archive | Folder
Arrays = dict[str, np.ndarray]

Decode = Callable[[str, bytes, str, Arrays], None]
"""Puts a member where it belongs: its name, its content, what to call it in a message, the arrays to write to."""


@dataclass(frozen=True)
class Variant:
    """One packaging of a data set.

    Args:
        members: the files that are read, by name.
        downloads: what to fetch for them.
        archive: the name, without suffix, of the archive that they come in; empty where each comes by itself.
    """

    members: Mapping[str, Checksum]
    downloads: tuple[Download, ...]
    archive: str = ""


@dataclass(frozen=True)
class LoadedArrays:
    """A data set's arrays, where they come from, and where they lie decoded."""

    arrays: Arrays
    source: Path
    decoded: Path


@dataclass(frozen=True)
class Collection:
    """All packagings of a data set; whichever is found, the arrays are the same.

    Args:
        name: its name in a config.
        variants: the packagings; the first is the one to download.
        layout: the arrays that they become.
        decode: how a member is put into them.
        folders: where to look within ``DLCOURSE_DATA``, or within a folder that the user names beside itself.
    """

    name: str
    variants: tuple[Variant, ...]
    layout: Layout
    decode: Decode
    folders: tuple[str, ...]

    def open(self, path: str | None = None) -> LoadedArrays:
        """The arrays: from ``path`` if given, or else from ``DLCOURSE_DATA``, the cache, or the authors' server.

        What is found is verified once and decoded once; after that the decoded arrays are memory-mapped. A file that
        has changed since is verified again.

        Args:
            path: a folder or an archive, relative to the current folder or to ``DLCOURSE_DATA``.
        Raises:
            DataError: ``path`` has no such data, or what was found is damaged or was changed.
            DownloadError: nothing was found and nothing could be fetched; two lines, the second says what to do.
            DlcourseError: the cache cannot be written to.
        """
        source = self._find(path)
        decoded = self._decoded
        arrays = decoded.load()
        if arrays is None or (source is not None and not decoded.knows(source.files)):
            with decoded.lock():
                arrays = decoded.load()  # another process may have been at it meanwhile
                if arrays is None or (source is not None and not decoded.knows(source.files)):
                    if arrays is None and decoded.folder.exists():
                        warnings.warn(f"{decoded.folder} is damaged, or of an earlier version; made anew", stacklevel=2)
                    source = source or self._kept(decoded.home) or self._download(decoded.home)
                    self._take(source, decoded, known=arrays is not None)
                    arrays = decoded.load()
        if arrays is None:
            raise DlcourseError(f"{decoded.folder} was written but cannot be read back")
        return LoadedArrays(arrays, decoded.folder if source is None else source.path, decoded.folder)

    @property
    def _decoded(self) -> Decoded:
        return Decoded(cache_folder() / self.name, self.layout, digest((self._published, self.layout)))

    @property
    def _published(self) -> dict[str, Checksum]:
        """The members of all variants."""
        return {name: published for variant in self.variants for name, published in variant.members.items()}

    def _find(self, path: str | None) -> Source | None:
        """What the user's folders hold; None where there is nothing and nothing was named."""
        if path is None:
            folder = data_folder()
            return None if folder is None else self._search(folder, self.folders)
        location = find(path, folders=True)
        if location.is_dir():
            source = self._search(location, (".", *self.folders))
        else:
            source = Archive(location) if any(variant.archive for variant in self.variants) else None
        if source is None:
            raise DataError(f"{location} is not {self.name}: expected {self._expected()}")
        return source

    def _search(self, folder: Path, names: Sequence[str]) -> Source | None:
        """The files of a variant in a folder, as they are or in their archive."""
        for location in (folder / name for name in names):
            for variant in self.variants:
                paths = _files(location, variant)
                lacking = [name for name in variant.members if name not in paths]
                if paths and lacking:
                    raise DataError(f"{location} has {', '.join(paths)} of {self.name}, but lacks {', '.join(lacking)}")
                if paths:
                    return Folder(location, paths)
            for variant in self.variants:
                for suffix in SUFFIXES if variant.archive else ():
                    path = location / f"{variant.archive}{suffix}"
                    if path.is_file():
                        return Archive(path)
        return None

    def _kept(self, home: Path) -> Source | None:
        """What was downloaded, or put by hand, into the cache; an incomplete set is fetched."""
        try:
            return self._search(home, (".",))
        except DataError:
            return None

    def _take(self, source: Source, decoded: Decoded, known: bool) -> None:
        """Verify a source, and keep the arrays that it becomes unless they are known already."""
        if sys.stderr is not None and sys.stderr.isatty():  # as other progress: it takes seconds
            print(f"{self.name}: {'verifying' if known else 'reading'} {source.path}, once", file=sys.stderr)
        arrays = {} if known else {name: np.empty(shape, dtype) for name, (shape, dtype) in self.layout.items()}
        seen = set()
        for name, content, label in source.members(self._published):
            seen.add(name)
            if not known:
                self.decode(name, content, label, arrays)
        if not any(seen >= variant.members.keys() for variant in self.variants):
            nearest = max(self.variants, key=lambda variant: len(seen & variant.members.keys()))
            lacking = ", ".join(name for name in nearest.members if name not in seen)
            raise DataError(f"{source.path} lacks {lacking}; it is damaged or holds something else than {self.name}")
        if not known:
            decoded.save(arrays)
        decoded.remember(source.files)

    def _download(self, folder: Path) -> Source:
        variant = self.variants[0]
        try:
            for download in variant.downloads:
                if not (folder / download.name).is_file():
                    fetch(download, folder)
        except TransferError as error:
            names = ", ".join(download.name for download in variant.downloads)
            origin = variant.downloads[0].url.rpartition("/")[0]
            now = f" (now {data_folder()})" if data_folder() else ""
            raise DownloadError(
                f"{self.name} is not on this machine and cannot be downloaded: {error}\n"
                f"put {names} (from {origin}) into {folder}, or give its folder as data.path or {FOLDER_VARIABLE}{now}"
            ) from None
        except OSError as error:
            raise DlcourseError(f"cannot write to {folder}: {error.strerror or error}") from error
        found = self._kept(folder)
        if found is None:
            raise DlcourseError(f"{folder} has lost what was downloaded to it")
        return found

    def _expected(self) -> str:
        """What a folder should hold, for messages."""
        first = self.variants[0]
        names = ", ".join(first.members)
        return f"{first.archive}.tar.gz or the files {names}" if first.archive else f"the files {names}, gzipped or not"


@dataclass(frozen=True)
class PublishedImages:
    """Base of a published data set of images, which names its ``files`` and its ``class_names``."""

    path: str | None = None

    task: ClassVar[Task] = "classification"
    files: ClassVar[Collection]
    class_names: ClassVar[tuple[str, ...]]

    def load(self, seed: int) -> Dataset:
        """Memory-mapped images (N, H, W, C) uint8 and labels in the official order; the seed changes nothing."""
        found = self.open()
        train, test = ((found.arrays[f"{split}_x"], found.arrays[f"{split}_y"]) for split in ("train", "test"))
        names, source = self.class_names, str(found.source)
        return Dataset(*train, self.task, target_name="class", class_names=names, test=test, source=source)

    def open(self) -> LoadedArrays:
        """The arrays and where they lie."""
        return self.files.open(self.path)


def image_layout(samples: Mapping[str, int], shape: tuple[int, int, int]) -> Layout:
    """Images of bytes of that shape (H, W, C), and their labels, by split."""
    x = {f"{split}_x": ((count, *shape), "u1") for split, count in samples.items()}
    return x | {f"{split}_y": ((count,), "i8") for split, count in samples.items()}


def check_labels(labels: np.ndarray, classes: int, source: str) -> None:
    """Raise DataError, naming the image, unless all are in 0..classes - 1."""
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{source}: label {labels[row]} of image {row} (the first is 0) is not in 0..{classes - 1}")


def _files(location: Path, variant: Variant) -> dict[str, Path]:
    """The members that lie in a folder, as they are or gzipped."""
    paths = {}
    for name in variant.members:
        for path in (location / name, location / f"{name}.gz"):
            if path.is_file():
                paths[name] = path
                break
    return paths
