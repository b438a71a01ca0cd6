"""Fetch a published file: resumed where a transfer broke off, hashed, and only then given its name."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dlcourse.streams import progress_bar

PARTIAL = ".partial"
TIMEOUT = 30
"""Seconds without an answer after which a server counts as silent."""

_ATTEMPTS = 5
_BLOCK = 1 << 16


class TransferError(Exception):
    """A file did not come; the message says why, in one line."""


@dataclass(frozen=True)
class Download:
    """A file on a server, with the size and the MD5 sum that its authors publish."""

    url: str
    size: int
    md5: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]


def fetch(download: Download, folder: Path) -> Path:
    """Fetch a file into a folder, and say so on stderr.

    What a broken transfer leaves, ``NAME.partial``, is gone on with at the next call. What turns out to be another file
    than was published, such as a proxy's page, is deleted.

    Raises:
        TransferError: no connection, a server's refusal, or the wrong file.
        OSError: the folder cannot be written to.
    """
    target = folder / download.name
    partial = folder / f"{download.name}{PARTIAL}"
    for _ in range(2):
        resumed = _size(partial)
        _receive_all(download, partial)
        found = _md5(partial)
        if found == download.md5:
            os.replace(partial, target)
            return target
        partial.unlink()
        if not resumed:
            break
        # What was there may have been of another file: once more, from the start.
    raise TransferError(f"{download.url} gave a file with md5 {found}, the official one has {download.md5}")


def _receive_all(download: Download, partial: Path) -> None:
    """Bring ``partial`` to its full size; a transfer that breaks off is taken up again as long as that helps."""
    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(partial)
        if before >= download.size:
            return
        try:
            _receive(download, partial, before)
        except TransferError as error:
            if attempt == _ATTEMPTS or _size(partial) <= before:
                raise TransferError(f"{download.url}: {error}") from None


def _receive(download: Download, partial: Path, start: int) -> None:
    """One transfer, from byte ``start`` if the server can do that."""
    headers = {"User-Agent": "dlcourse", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with _connection(download.url, headers) as response:
        resumed = response.status == 206
        total = _announced(response)
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise TransferError("the server sends another part than was asked for")
        if total not in (None, download.size):
            raise TransferError(f"the server has a file of {total:,} bytes, the official one has {download.size:,}")
        if response.headers.get_content_type() == "text/html":
            raise TransferError("the server sends a web page instead of the file; is there a proxy or a login?")
        start = start if resumed else 0
        what = f"{download.url} ({download.size / 2**20:.1f} MiB)"
        print(f"{'going on with' if start else 'downloading'} {what} to {partial.parent}", file=sys.stderr)
        with open(partial, "r+b" if start else "wb") as file:
            file.seek(start)
            _copy(response, file, download, start)
    there = _size(partial)
    if there == download.size:
        return
    if there < download.size and total is not None:
        raise TransferError(f"the connection broke off after {there:,} of {download.size:,} bytes")
    partial.unlink()
    raise TransferError(f"the server sends {'more' if there > download.size else 'less'} than the official file")


@contextmanager
def _connection(url: str, headers: dict[str, str]) -> Iterator[Any]:
    """An open response; whatever goes wrong with the network, here or while reading, is a TransferError."""
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=_trust()) as response:
            yield response
    except urllib.error.HTTPError as error:
        raise TransferError(f"the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise TransferError(_line(error.reason)) from None
    except http.client.IncompleteRead:
        raise TransferError("the connection broke off") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise TransferError(_line(error)) from None


def _copy(response: Any, file: IO[bytes], download: Download, start: int) -> None:
    """The rest of the response into the file, with a progress bar on a terminal; not much more than is due."""
    bar = progress_bar(total=download.size, initial=start, unit="B", unit_scale=True, desc=download.name)
    with nullcontext() if bar is None else bar:
        while file.tell() <= download.size and (block := response.read(_BLOCK)):
            file.write(block)
            if bar is not None:
                bar.update(len(block))


def _announced(response: Any) -> int | None:
    """The size of the whole file as the server announces it, if it does."""
    if response.status == 206:
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        whole = response.headers.get("Content-Length", "")
    return int(whole) if whole.isdecimal() else None


def _trust() -> Any:
    """The system's certificates, and certifi's where that is installed: some Pythons come without any."""
    import ssl

    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context


def _line(reason: object) -> str:
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
