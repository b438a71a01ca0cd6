"""Save and load a flat mapping of arrays as safetensors or npz: nothing is ever unpickled."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend, tensorfile
from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentError, ArgumentTypeError, CheckpointError
from dlcourse.filesystem import naming, replacing, write_in_place

TORCH_ENDINGS = ".pt", ".pth", ".bin"
"""Of the files that ``torch.save`` writes, see :mod:`dlcourse.interop.torch`."""


def save(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write arrays or tensors by name, such as ``model.state_dict()``, whole or not at all.

    The format is what the name's ending says: ``.npz``, or ``.safetensors``, which a name without an ending means too.

    Raises:
        TypeError: a value is no array of numbers.
        ArgumentError: the name ends in something else.
    """
    if isinstance(path, Mapping) and isinstance(state, str | os.PathLike):
        raise ArgumentTypeError(f"save: the path comes first: dl.save({os.fspath(state)!r}, model.state_dict())")
    file_format(path)  # before anything is copied from a device
    if not isinstance(state, Mapping):
        kind = type(state).__name__
        raise ArgumentTypeError(f"save: expected arrays by name, such as model.state_dict(), got {kind}")
    arrays = {}
    for name, value in state.items():
        array = value.data if isinstance(value, Tensor) else value
        if not hasattr(array, "dtype"):
            raise TypeError(f"save: {name!r} is {type(array).__name__}, not an array")
        arrays[name] = backend.to_host(array)
    pieces = [encode(path, arrays)] if file_format(path) == "npz" else tensorfile.pieces(arrays, {})
    target = Path(path)
    with naming(path):
        if write_in_place(target, pieces):
            return
    with naming(path), replacing(target, durable=True) as file:
        file.writelines(pieces)


def file_format(path: str | os.PathLike) -> str:
    """``safetensors`` or ``npz``, by a file's name.

    Raises:
        ArgumentError: its ending is that of another format.
    """
    ending = Path(path).suffix.lower()
    if ending not in ("", ".safetensors", ".npz"):
        raise ArgumentError(f"{path}: expected a name that ends in .safetensors or .npz, and this ends in {ending}")
    return ending.removeprefix(".") or "safetensors"


def encode(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str] | None = None) -> bytes:
    """The content of a file with these arrays, in the format that its name says.

    Args:
        texts: put into the metadata of safetensors; arrays of text in an npz.
    Raises:
        TypeError: an array of Python objects, or of a type that the format lacks.
        ArgumentError: the name ends in something else.
    """
    texts = texts or {}
    if file_format(path) == "npz":
        return tensorfile.npz({**arrays, **{name: np.array(text) for name, text in texts.items()}})
    return b"".join(tensorfile.pieces(arrays, texts))


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read what :func:`save` wrote, whatever the file is called.

    Raises:
        CheckpointError: the file is missing or damaged.
        UserError: it holds bfloat16, for which a package is not installed.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    return _arrays_of(archive)
            return _read_safetensors(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: not a readable npz file ({error})") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors or npz file ({error})") from error


def load_texts(path: str | os.PathLike) -> dict[str, str]:
    """The texts that :func:`encode` put beside the arrays of a file that :func:`load` reads; empty for none.

    Raises:
        OSError, ValueError: it is no such file.
    """
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return {name: str(array) for name, array in arrays.items() if array.dtype.kind == "U"}
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        return tensorfile.layout(file.read(length), size - 8 - length)[0]


def _arrays_of(archive: Any) -> dict[str, np.ndarray]:
    arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # np.load gives the bytes of what is no array
            pickled = "; PyTorch's own files hold code: save them as safetensors" if name.endswith(".pkl") else ""
            raise ValueError(f"{name!r} in it is no array{pickled}")
    return arrays


def _read_safetensors(file: BufferedIOBase) -> dict[str, np.ndarray]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if 8 + length > size:
        raise ValueError("it is cut short, or of another format")
    _, arrays = tensorfile.layout(file.read(length), size - 8 - length)
    for array in arrays.values():
        for _ in tensorfile.fill(file, array):
            pass
    return arrays
