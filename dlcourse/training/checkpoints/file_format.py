"""A checkpoint is one safetensors file: arrays, and in its metadata a JSON state and a sha256 of the whole file.

One file, so that one rename replaces it and it can never be half old, half new. The hash is taken over the file with
the hash's own 64 digits set to zero, so a change of any bit, the header's included, is found when the file is read.
Nothing in it depends on the clock: two runs that end in the same state write the same bytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dlcourse import tensorfile
from dlcourse.errors import CheckpointError
from dlcourse.records.check import Wrong, check
from dlcourse.records.run import CheckpointState

FORMAT = 1
_KEY = "dlcourse"  # one metadata key only: safetensors does not keep the order of several
_NO_HASH = b"0" * 64
_HASH = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]
    path: Path

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays named ``prefix.<name>``, by name."""
        return {name[len(prefix) + 1 :]: a for name, a in self.arrays.items() if name.startswith(prefix + ".")}


def write(file: BinaryIO, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write a checkpoint into a new file that can be sought in: host arrays by name and a state of plain JSON values.

    Nothing is copied but a piece at a time.
    """
    # The digest comes first in the text: no string inside the state can be mistaken for it.
    header = json.dumps({"sha256": _NO_HASH.decode(), "format": FORMAT, "state": dict(state)})
    digest, place = hashlib.sha256(), 0
    for piece in tensorfile.pieces(arrays, {_KEY: header}):
        found = None if place else _HASH.search(piece)  # in the first piece, which is the header
        place = found.start(1) if found else place
        digest.update(piece)
        file.write(piece)
    end = file.tell()
    file.seek(place)
    file.write(digest.hexdigest().encode())
    file.seek(end)


def read(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: it is missing, unreadable, damaged, or no checkpoint of this program.
    """
    return _open(path, keep=True)


def read_state(path: Path) -> dict[str, Any]:
    """The state alone of a checkpoint that is verified as by :func:`read`; its arrays take no memory.

    Raises:
        CheckpointError: it is missing, unreadable, damaged, or no checkpoint of this program.
    """
    return _open(path, keep=False).state


def _open(path: Path, keep: bool) -> Checkpoint:
    try:
        with open(path, "rb") as file:
            found = _read(file, os.fstat(file.fileno()).st_size, path, keep)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        check(found.state, CheckpointState)
    except Wrong as error:
        raise CheckpointError(f"{path}: not a checkpoint of this program: state.{error}") from error
    return found


def _read(file: BufferedIOBase, size: int, path: Path, keep: bool = True) -> Checkpoint:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    header = start + file.read(length) if 8 + length <= size else b""
    place = _HASH.search(header, 8)
    if place is None:
        raise CheckpointError(f"{path}: damaged or cut short, or no checkpoint of this program ({size} bytes)")
    digest = hashlib.sha256(header[: place.start(1)] + _NO_HASH + header[place.end(1) :])
    fault = None
    try:
        metadata, arrays = tensorfile.layout(header[8:], size - len(header))
        content = json.loads(metadata[_KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        fault, content, arrays = error, None, {}
    try:
        for array in arrays.values() if keep else ():
            for piece in tensorfile.fill(file, array):
                digest.update(piece)
    except ValueError as error:  # it was cut while it was read
        raise CheckpointError(f"{path}: damaged: {error}") from error
    while rest := file.read(tensorfile.PIECE):
        digest.update(rest)
    if digest.hexdigest().encode() != place[1]:
        raise CheckpointError(f"{path}: damaged: its content does not match its sha256")
    if fault is not None:
        raise CheckpointError(f"{path}: not a checkpoint of this program ({fault})") from fault
    if not isinstance(content, dict) or not isinstance(content.get("state"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of this program (it holds no state)")
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {content.get('format')}; this version reads format {FORMAT}")
    return Checkpoint(arrays, content["state"], path)


def verify(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], path: Path, what: str) -> None:
    """Check that arrays belong to a model (or an optimizer).

    Args:
        expected: the state as it is now, for its names, shapes and types.
        found: the arrays that were read.
        what: what they belong to, for the message.
    Raises:
        CheckpointError: lists every array that is missing, extra, or of another shape or type.
    """
    faults = [f"missing: {name} {_form(a)}" for name, a in expected.items() if name not in found]
    faults += [f"extra: {name} {_form(a)}" for name, a in found.items() if name not in expected]
    for name in expected.keys() & found.keys():
        if expected[name].shape != found[name].shape or expected[name].dtype != found[name].dtype:
            faults.append(f"differs: {name}: expected {_form(expected[name])}, got {_form(found[name])}")
    if faults:
        raise CheckpointError(f"{path}: does not fit {what}:\n  " + "\n  ".join(sorted(faults)))


def flatten(tree: Any, prefix: str, arrays: dict[str, np.ndarray]) -> Any:
    """Take the arrays out of a nested state: they go into ``arrays`` under dotted names, a reference stays behind.

    Returns:
        the state with ``{"$array": name}`` in place of each array: plain JSON.
    """
    if isinstance(tree, Mapping):
        return {key: flatten(value, f"{prefix}.{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, np.ndarray):
        arrays[prefix] = tree
        return {"$array": prefix}
    return tree


def unflatten(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The nested state that :func:`flatten` took apart."""
    if isinstance(tree, dict):
        if set(tree) == {"$array"}:
            return arrays[tree["$array"]]
        return {key: unflatten(value, arrays) for key, value in tree.items()}
    return tree


def _form(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"
