"""A tar archive as a stream: members by name, in memory, never extracted to disk."""

import io
import posixpath
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dlcourse.data.sources.published import Checksum
from dlcourse.errors import DataError

SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")

_SLACK = 2 << 20  # bytes that an archive may hold beside the members that are asked for, headers among them
_BLOCK = 1 << 18
_MEMBERS = 1000  # that an archive may have; an honest one has about ten
_ENDS = 16  # times that the end of a stream may be met; an honest archive needs two or three
_HEADER = 512  # bytes, of a tar archive's first member


@dataclass(frozen=True)
class Archive:
    """A tar archive, compressed with gzip, xz or bzip2 or not at all; what it is, its first bytes say."""

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """What lies on disk."""
        return (self.path,)

    def members(self, wanted: Mapping[str, Checksum]) -> Iterator[tuple[str, bytes, str]]:
        """Each wanted member, whatever its folder: its name, its verified content, and what to call it in a message.

        Raises:
            DataError: the archive is damaged; a wanted member is there twice, is no regular file, or is not what was
                published; the archive has members that an honest one has not (links, devices, absolute or upward
                paths), or unpacks to much more than it should.
        """
        import lzma
        import tarfile

        try:
            with open(self.path, "rb") as file:
                stream = _Bounded(_unpacked(self.path, file), _SLACK, self.path)
                with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as tar:
                    yield from self._read(tar, stream, wanted)
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, ArithmeticError) as error:
            why = " ".join(str(error).split())[:200]  # it may quote what the archive holds
            raise DataError(f"{self.path} is damaged or no tar archive: {why}") from None
        except RecursionError:  # tarfile calls itself for each header that only names the next one
            raise DataError(f"{self.path} is damaged or no tar archive: headers within headers") from None
        except OSError as error:  # as of reading; gzip's complaints about a file have no errno
            fault = "cannot be read" if error.errno else "is damaged"
            raise DataError(f"{self.path} {fault}: {error.strerror or error}") from None

    def _read(self, tar: Any, stream: "_Bounded", wanted: Mapping[str, Checksum]) -> Iterator[tuple[str, bytes, str]]:
        seen = set()
        for count, member in enumerate(tar, 1):
            if count > _MEMBERS:
                raise DataError(f"{self.path} has more than {_MEMBERS} members; it is not the official archive")
            tar.members.clear()  # tarfile keeps them all
            path = posixpath.normpath(member.name)
            if path.startswith(("/", "..")):
                raise self._foreign(member.name, "leads out of it")
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise self._foreign(member.name, "is no ordinary file")
            name = posixpath.basename(path)
            if name not in wanted or member.isdir():
                continue
            source = f"{self.path}: {name}"
            if name in seen:
                raise DataError(f"{source} is there twice; it is not the official archive")
            seen.add(name)
            wanted[name].check_size(member.size, source)
            stream.allow(member.size)
            content = tar.extractfile(member).read(member.size)
            wanted[name].check(content, source)
            yield name, content, source

    def _foreign(self, name: str, why: str) -> DataError:
        return DataError(f"{self.path} holds {name[:100]!r}, which {why}; it is not the official archive")


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than so many bytes, as a small archive can unpack to any size, and to be asked
    again and again at its end, as tarfile does to skip a member that declares 2^80 bytes."""

    def __init__(self, stream: IO[bytes], limit: int, path: Path):
        self._stream, self._left, self._limit, self._path = stream, limit, limit, path
        self._ends = 0

    def allow(self, size: int) -> None:
        """Give so many bytes more."""
        self._left += size

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        block = self._stream.read(min(size, _BLOCK) if size >= 0 else _BLOCK)
        self._left -= len(block)
        if self._left < 0:
            limit = f"{self._limit >> 20} MiB"
            raise DataError(
                f"{self._path} unpacks to more than {limit} beside the official files; it is not the official archive"
            )
        self._ends += not block
        if self._ends > _ENDS:
            raise EOFError("it ends within a member")
        return block


def _unpacked(path: Path, file: IO[bytes]) -> IO[bytes]:
    """The stream of tar blocks in a file."""
    import bz2
    import gzip
    import lzma

    start = file.read(_HEADER)
    file.seek(0)
    if not start:
        raise DataError(f"{path} is empty")
    for magic, module in ((b"\x1f\x8b", gzip), (b"\xfd7zXZ\0", lzma), (b"BZh", bz2)):
        if start.startswith(magic):
            return module.open(file)
    if start[257:262] == b"ustar":
        return file
    raise DataError(f"{path} is no tar archive (compressed with gzip, xz, bzip2 or not at all)")
