"""Save and load a flat mapping of arrays as safetensors: nothing is ever unpickled."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend import precision
from dlcourse.errors import CheckpointError


def save(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write arrays or tensors by name, such as ``model.state_dict()``, whole or not at all.

    Raises:
        TypeError: a value is no array.
    """
    from safetensors.numpy import save as encode

    arrays = {}
    for name, value in state.items():
        array = value.data if isinstance(value, Tensor) else value
        if not hasattr(array, "dtype"):
            raise TypeError(f"save: {name!r} is {type(array).__name__}, not an array")
        arrays[name] = np.array(backend.to_host(array), order="C")  # ascontiguousarray would give a scalar an axis
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(encode(arrays))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read what :func:`save` wrote.

    Raises:
        CheckpointError: the file is missing or damaged.
        UserError: it holds bfloat16, for which a package is not installed.
    """
    from safetensors import SafetensorError, deserialize

    try:
        return {name: _array(entry) for name, entry in deserialize(Path(path).read_bytes())}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


_TYPES = {"BOOL": "bool", "C64": "complex64", "F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}
_TYPES |= {f"{sign}{bits}": f"{kind}{bits}" for sign, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}
"""NumPy's names of the format's types."""


def _array(entry: Mapping[str, Any]) -> np.ndarray:
    # Not by safetensors.numpy, which writes bfloat16 and does not read it.
    return np.frombuffer(entry["data"], precision.named(_TYPES[entry["dtype"]])).reshape(entry["shape"])
