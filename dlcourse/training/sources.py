"""Files with new inputs for a trained model: their kind, and the images in them."""

import contextlib
import io
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dlcourse.data.bounds import check_size
from dlcourse.data.files import read_bytes
from dlcourse.data.image_file import SUFFIXES
from dlcourse.errors import UserError

_KINDS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    ".npz": "npz",
    **dict.fromkeys(SUFFIXES, "image"),
}
_BEGINNINGS = {b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"\x89PNG": "image", b"\xff\xd8\xff": "image"}
_STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


@dataclass(frozen=True)
class Source:
    """A file, or standard input.

    Args:
        name: for messages.
        path: where it lies; None for what can be read only once.
    """

    name: str
    path: Path | None

    @cached_property
    def content(self) -> bytes:
        """All of it, of what can be read only once."""
        try:
            stream = sys.stdin.buffer if self.name in _STDIN else open(self.name, "rb")  # noqa: SIM115 - closed below
            content = stream.read((1 << 30) + 1)
            if stream is not sys.stdin.buffer:
                stream.close()
        except (OSError, ValueError, AttributeError) as error:  # AttributeError: there is no stdin
            raise UserError(f"{self.name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not content:
            raise UserError(f"{self.name} is empty")
        check_size(Path(self.name), len(content), "what comes from it")
        return content

    @property
    def stream(self) -> BinaryIO | None:
        """It as an open file, where it has no path."""
        return io.BytesIO(self.content) if self.path is None else None

    def read(self) -> bytes:
        """All of it."""
        return self.content if self.path is None else read_bytes(self.path)

    @cached_property
    def kind(self) -> str | None:
        """``csv``, ``npz`` or ``image``, by its extension in any case or else by how it begins; None: neither."""
        kind = _KINDS.get(Path(self.name).suffix.lower()) if self.path is not None else None
        if kind is None:
            start = self.content[:512] if self.path is None else _start(self.path)
            kind = next((each for begins, each in _BEGINNINGS.items() if start.startswith(begins)), None)
            if kind is None and b"\0" not in start:
                kind = "csv"
        return kind


def source_of(given: str) -> Source | None:
    """The file that was named; None where the text is no file but cells.

    Raises:
        UserError: it is a folder or a device, or has a file's extension but is not there.
    """
    if given in _STDIN:
        return Source(given, None)
    try:
        mode = os.stat(given).st_mode
    except (OSError, ValueError):  # not there, or no name of a file: too long, a NUL
        if Path(given).suffix.lower() in _KINDS:
            raise UserError(f"{given}: no such file") from None
        return None
    if stat.S_ISREG(mode):
        return Source(given, Path(given))
    if stat.S_ISFIFO(mode) or given == os.devnull:
        return Source(given, None)
    if stat.S_ISDIR(mode) and not looks_like_a_path(given):
        return None  # a folder that happens to be called as a cell
    raise UserError(f"{given}: is a {'folder' if stat.S_ISDIR(mode) else 'device'}; expected a file")


def looks_like_a_path(given: str) -> bool:
    """Whether a text seems to have been meant for a file."""
    suffix = Path(given).suffix[1:]
    return os.sep in given or (suffix.isalnum() and not suffix.isdecimal())


def image_shape(source: Source) -> tuple[int, int, int]:
    """(H, W, channels) as an image's header declares them, without transparency; nothing is unpacked."""
    from PIL import Image

    with _decoding(source), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(source.path or io.BytesIO(source.content)) as image:
            (width, height), channels = image.size, min(len(image.getbands()), 3)
    return height, width, channels


def read_image(source: Source, channels: int) -> np.ndarray:
    """An image as (H, W, channels) uint8: without transparency; a gray one repeated, a colored one averaged."""
    from matplotlib.image import imread

    with _decoding(source):
        pixels = np.asarray(imread(source.path) if source.path is not None else _decoded(source))
    if pixels.dtype != np.uint8:  # matplotlib gives 0..1 for png
        pixels = np.round(pixels * 255).astype(np.uint8)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels[:, :, :3]
    if channels == 1 < pixels.shape[2]:
        return np.round(pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
    return np.repeat(pixels, channels, axis=2) if pixels.shape[2] == 1 else pixels


def _decoded(source: Source) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(source.content), format="png" if source.content.startswith(b"\x89PNG") else "jpg")


@contextlib.contextmanager
def _decoding(source: Source) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damaged bytes make decoders raise errors of any type
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{source.name}: not a readable image ({reason})") from error


def _start(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(512)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
