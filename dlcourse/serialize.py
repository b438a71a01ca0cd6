"""Save and load a flat mapping of arrays as safetensors: nothing is ever unpickled."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
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
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    try:
        return decode(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
