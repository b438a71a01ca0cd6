"""Files as their authors published them: nothing is read that does not match."""

import hashlib
from dataclasses import dataclass

from dlcourse.errors import DataError

_LARGEST = 1 << 63  # bytes in a file; an archive can declare anything


@dataclass(frozen=True)
class Checksum:
    """What identifies an official file: its size in bytes and its MD5 sum."""

    size: int
    md5: str

    def check_size(self, size: int, source: str) -> None:
        """Raise DataError unless this is the official size."""
        if size != self.size:
            what = f"has {size:,} bytes" if 0 < size < _LARGEST else "is empty" if size == 0 else "has no possible size"
            raise DataError(f"{source} {what}, the official file has {self.size:,}; it is damaged or another file")

    def check(self, content: bytes, source: str) -> None:
        """Raise DataError, with both sums, unless this is the official content."""
        self.check_size(len(content), source)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if md5 != self.md5:
            raise DataError(f"{source} has md5 {md5}, the official file has {self.md5}; it is damaged or was changed")
