"""A checkpoint is one safetensors file: arrays, and in its metadata a JSON state and a sha256 of the whole file.

One file, so that one rename replaces it and it can never be half old, half new. The hash is taken over the file with
the hash's own 64 digits set to zero, so a change of any bit, the header's included, is found when the file is read.
Nothing in it depends on the clock: two runs that end in the same state write the same bytes.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.errors import CheckpointError
from dlcourse.records import CheckpointState, Wrong, check

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


def encode(arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint file: host arrays by name and a state of plain JSON values."""
    from safetensors.numpy import save

    # The digest comes first in the text: no string inside the state can be mistaken for it.
    header = json.dumps({"sha256": _NO_HASH.decode(), "format": FORMAT, "state": dict(state)})
    # safetensors writes the memory of a transposed array as it lies, so each is laid out in row order first.
    content = save({name: np.array(a, order="C", copy=None) for name, a in arrays.items()}, metadata={_KEY: header})
    place = _HASH.search(content)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[: place.start(1)] + digest + content[place.end(1) :]


def decode(content: bytes, path: Path) -> Checkpoint:
    """Read the bytes of a checkpoint file.

    Raises:
        CheckpointError: the bytes are damaged, or no checkpoint of this program.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")
    place = _HASH.search(content, 8, 8 + length) if 8 + length <= len(content) else None
    if place is None:
        raise CheckpointError(f"{path}: damaged or cut short, or no checkpoint of this program ({len(content)} bytes)")
    digest = hashlib.sha256(content[: place.start(1)])
    digest.update(_NO_HASH)
    digest.update(memoryview(content)[place.end(1) :])
    if digest.hexdigest().encode() != place[1]:
        raise CheckpointError(f"{path}: damaged: its content does not match its sha256")
    try:
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_KEY])
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of this program ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("state"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of this program (it holds no state)")
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {header.get('format')}; this version reads format {FORMAT}")
    return Checkpoint(arrays, header["state"], path)


def read(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: it is missing, unreadable or damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    found = decode(content, path)
    try:
        check(found.state, CheckpointState)
    except Wrong as error:
        raise CheckpointError(f"{path}: not a checkpoint of this program: state.{error}") from error
    return found


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
