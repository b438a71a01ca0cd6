"""Published files that lie in a folder, each as it is or gzipped."""

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dlcourse.data.sources.published import Checksum
from dlcourse.errors import DataError


@dataclass(frozen=True)
class Folder:
    """The files of a folder by member name; a path that ends in ``.gz`` is unpacked on the way."""

    path: Path
    paths: Mapping[str, Path]

    @property
    def files(self) -> tuple[Path, ...]:
        """What lies on disk."""
        return tuple(self.paths.values())

    def members(self, wanted: Mapping[str, Checksum]) -> Iterator[tuple[str, bytes, str]]:
        """Each file: its name, its verified content, and what to call it in a message.

        Raises:
            DataError: a file cannot be read, or is not what was published.
        """
        for name, path in self.paths.items():
            content = _content(path, wanted[name])
            wanted[name].check(content, str(path))
            yield name, content, str(path)


def _content(path: Path, published: Checksum) -> bytes:
    """What a file holds, unpacked, but never much more than it should."""
    try:
        if path.suffix != ".gz":
            published.check_size(os.path.getsize(path), str(path))
            return path.read_bytes()
        if not os.path.getsize(path):
            raise DataError(f"{path} is empty")
        return _gunzipped(path, published)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _gunzipped(path: Path, published: Checksum) -> bytes:
    import gzip

    try:
        with gzip.open(path) as file:
            content = file.read(published.size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or no gzip file: {error}") from None
    if len(content) > published.size:
        raise DataError(f"{path} unpacks to more than the official {published.size:,} bytes; it is another file")
    return content
