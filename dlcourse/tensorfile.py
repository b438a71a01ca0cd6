"""The safetensors format, written and read piece by piece, and npz archives.

By itself the package of that name makes several copies of all arrays, and where memory runs out its native code ends
the process. Here no more than a piece is held beside the arrays, and what goes wrong is an exception.

A file is 8 bytes with the length of the header, the header (JSON: type, shape and place of each array, and metadata),
and the arrays' bytes in row order, without gaps.
"""

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from typing import Any

import numpy as np

from dlcourse.backend import precision
from dlcourse.characters import encodable
from dlcourse.errors import ArgumentError

PIECE = 1 << 22
"""Bytes at a time."""

_NAMES = {"BOOL": "bool", "C64": "complex64", "F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}
_NAMES |= {f"{sign}{bits}": f"{kind}{bits}" for sign, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}
"""NumPy's names of the format's types."""
_CODES = {name: code for code, name in _NAMES.items()}


def pieces(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, the header first; the same arrays give the same bytes in whatever order they come.

    Raises:
        TypeError: an array of a type that the format lacks.
        ArgumentError: an array has the name that the format keeps for itself.
    """
    if "__metadata__" in arrays:
        raise ArgumentError("safetensors keeps the name '__metadata__' for itself; give the array another")
    # Wide types first, so that each array is aligned.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name in order:
        array = arrays[name]
        if array.dtype.name not in _CODES:
            raise TypeError(f"{name!r} is of {array.dtype}, which safetensors cannot hold")
        places = [start, start + array.nbytes]
        header[name] = {"dtype": _CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": places}
        start += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        yield from _array_pieces(arrays[name])


def npz(arrays: Mapping[str, np.ndarray], compressed: bool = False) -> bytes:
    """The content of an npz archive; not by np.savez, which pickles objects and takes no array that is called "file".

    Args:
        compressed: where that gains much for little time: float32 and float64 hardly get smaller.
    Raises:
        TypeError: an array of Python objects, or of a type that the format lacks.
        ArgumentError: a name that it cannot hold.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compresslevel=1) as archive:
        for name, array in arrays.items():
            if "\0" in name or not encodable(name):
                raise ArgumentError(f"an npz cannot hold the name {name!r}; take .safetensors")
            if array.dtype.kind not in "biufcUS":
                raise TypeError(f"{name!r} is of {array.dtype}, which an npz cannot hold; take .safetensors")
            entry = zipfile.ZipInfo(f"{name}.npy")
            if compressed and (array.dtype.kind != "f" or array.dtype.itemsize == 2):
                entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return content.getvalue()


def layout(header: bytes, size: int) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What a header says: the metadata, and arrays to be filled in this order from ``size`` bytes that follow it.

    Raises:
        ValueError: it is no such header, or says something else of the file's size.
        UserError: an array is of bfloat16, for which a package is not installed.
    """
    described = json.loads(header)
    if not isinstance(described, dict):
        raise ValueError("the header is no mapping")
    metadata = described.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("the metadata are no texts")
    entries = sorted((_entry(name, entry) for name, entry in described.items()), key=lambda entry: entry[1:3])
    end = 0
    for name, start, stop, kind, shape in entries:
        if start != end or stop - start != math.prod(shape) * precision.as_dtype(kind).itemsize:
            raise ValueError(f"array {name!r} does not lie where it should")
        end = stop
    if end != size:
        raise ValueError(f"the arrays take {end} bytes, and the file has {size} for them")
    return metadata, {name: np.empty(shape, precision.as_dtype(kind)) for name, _, _, kind, shape in entries}


def fill(file: BufferedIOBase, array: np.ndarray) -> Iterator[memoryview]:
    """Read an array of :func:`layout` from a file; yields its bytes, piece by piece, as they come.

    Raises:
        ValueError: the file ends before.
    """
    view = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(view), PIECE):
        piece = view[start : start + PIECE]
        done = 0
        while done < len(piece):
            count = file.readinto(piece[done:])
            if not count:
                raise ValueError("the file ends too early")
            done += count
        yield piece


def _entry(name: str, entry: object) -> tuple[str, int, int, str, tuple[int, ...]]:
    if not isinstance(entry, dict) or entry.get("dtype") not in _NAMES:
        raise ValueError(f"array {name!r} is of no known type")
    shape: Any = entry.get("shape")
    places: Any = entry.get("data_offsets")
    if not _is_sizes(shape) or not _is_sizes(places) or len(places) != 2 or len(shape) > 64:
        raise ValueError(f"array {name!r} has no shape or no place")
    return name, *places, _NAMES[entry["dtype"]], tuple(shape)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 1 << 62 for each in value)


def _array_pieces(array: np.ndarray) -> Iterator[memoryview]:
    if not array.size:
        return
    if array.dtype.byteorder != ">" and array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(flat), PIECE):
            yield flat[start : start + PIECE]
        return
    rows = max(1, PIECE * len(array) // array.nbytes) if array.ndim else 1
    for start in range(0, len(array) if array.ndim else 1, rows):
        piece = array[start : start + rows] if array.ndim else array
        kind = piece.dtype.newbyteorder("<") if piece.dtype.byteorder == ">" else piece.dtype
        dense = np.array(piece, dtype=kind, order="C")
        yield dense.reshape(-1).view(np.uint8).data
