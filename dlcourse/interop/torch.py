"""Weights to and from PyTorch: what a state dict of the one holds, as a state dict of the other.

A model here and its twin in PyTorch have the same modules by the same names; images and sequences of a convolution are
(N, H, W, C) and (N, T, C) here, (N, C, H, W) and (N, C, T) there, all other sequences (N, T, D) in both
(``batch_first=True``). So

- a convolution's weight (out, kh, kw, in) is (out, in, kh, kw) there, that of a transposed one (in, kh, kw, out) is
  (in, out, kh, kw); layer norm over (H, W, C) is one over (C, H, W);
- the columns of a linear layer that reads a flattened image, and the rows of one whose output becomes an image, are in
  another order, as are the weights of what stands between. For this the model is run once on an input of its shape;
- batch norm counts its batches there (``num_batches_tracked``), which nothing reads here.

All else is the same, array by array: linear and recurrent layers with their cells, embeddings, attention, transformer
layers, normalizations. A module of a plugin says where its arrays differ by :meth:`~dlcourse.nn.Module.torch_axis`.

Example:
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 10))
    >>> arrays = dl.interop.torch.to_torch_arrays(net, in_shape=(8, 8, 3))
    >>> arrays["0.weight"].shape  # (8, 5, 5, 3) here
    (8, 3, 5, 5)
    >>> dl.interop.torch.load_torch_state_dict(net, arrays, in_shape=(8, 8, 3))
    IncompatibleKeys(missing_keys=[], unexpected_keys=[])
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend, serialize
from dlcourse.autograd import Tensor
from dlcourse.errors import ArgumentTypeError, CheckpointError, UserError
from dlcourse.interop.layout import in_torch_names, places
from dlcourse.nn import Module
from dlcourse.nn.calls import require_module
from dlcourse.nn.module import IncompatibleKeys

__all__ = ["from_torch_arrays", "load_torch_state_dict", "to_torch_arrays", "to_torch_state_dict"]

WRAPPERS = "module.", "_orig_mod."
"""What PyTorch's DataParallel and compile put before every name."""


NESTED = "state_dict", "model_state_dict", "model"
"""The usual names of the weights in a checkpoint that holds more."""


def to_torch_arrays(
    model: Module, in_shape: Sequence[int] | None = None, *, names: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """The state of a model as its twin in PyTorch has it, in NumPy arrays: for ``dl.save``, without PyTorch.

    Args:
        in_shape: shape of one input, such as (32, 32, 3); those of ``models`` know it. It is needed where a linear
            layer may read a flattened image.
        names: PyTorch's names of parts that are called otherwise there: ``{"layers.1": "fc1"}``.
    Raises:
        ArgumentError: ``in_shape`` is missing or does not fit, or an order is not known.
    """
    known, state = places(model, in_shape), model.state_dict()
    called = in_torch_names(list(known), names or {})
    found = {called[name]: place.to_torch(state[name]) for name, place in known.items()}
    return found | _torch_only(model, called, names or {})


def to_torch_state_dict(
    model: Module, in_shape: Sequence[int] | None = None, *, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """:func:`to_torch_arrays` as PyTorch's tensors, for ``load_state_dict`` of the twin and for ``torch.save``.

    Raises:
        UserError: PyTorch is not installed.
        ArgumentError: as :func:`to_torch_arrays` has them.
    """
    torch = _torch("to_torch_state_dict makes PyTorch's tensors; to_torch_arrays makes NumPy arrays")
    arrays = to_torch_arrays(model, in_shape, names=names)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def load_torch_state_dict(
    model: Module,
    state: Mapping[str, Any] | str | os.PathLike,
    in_shape: Sequence[int] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    strict: bool = True,
) -> IncompatibleKeys:
    """Give a model the weights of its twin in PyTorch.

    Args:
        state: ``torch_model.state_dict()``, arrays by name, or a file of them: safetensors, npz, or what ``torch.save``
            writes (``.pt``, ``.pth``, ``.bin``; it needs PyTorch and loads tensors only).
        in_shape, names: as for :func:`to_torch_arrays`.
        strict: every name has to be there, and no other.
    Returns:
        ``missing_keys`` and ``unexpected_keys``, by PyTorch's names; both empty where it is strict.
    Raises:
        CheckpointError: names are missing or unknown, or shapes differ; lists all of them.
        ArgumentError: as :func:`to_torch_arrays` has them.
    """
    require_module(model)
    arrays = read_state(state)
    model.resize_buffers(arrays)
    known = places(model, in_shape)
    called = in_torch_names(list(known), names or {})
    passed_over = _torch_only(model, called, names or {})
    shared = {id(known[name].value) for name, there in called.items() if there in arrays}
    result = IncompatibleKeys(
        [there for name, there in called.items() if id(known[name].value) not in shared],
        [name for name in arrays if name not in set(called.values()) and name not in passed_over],
    )
    faults = [f"missing: {name}" for name in result.missing_keys if strict]
    faults += [f"unexpected: {name}" for name in result.unexpected_keys if strict]
    for name, there in called.items():
        if there in arrays and arrays[there].shape != known[name].torch_shape:
            given, own = arrays[there].shape, known[name].value.shape
            hint = "; that is the shape here: model.load_state_dict takes arrays as they are here" * (given == own)
            faults.append(f"shape of {there}: expected {known[name].torch_shape}, got {given}{hint}")
    if faults:
        listed = "\n  ".join(sorted(faults))
        raise CheckpointError(f"the state does not fit the model, as PyTorch would have it:\n  {listed}")
    wanted = {name: known[name].from_torch(arrays[there]) for name, there in called.items() if there in arrays}
    model.load_state_dict(wanted, strict=False)
    return result


def from_torch_arrays(model: Module, state: Mapping[str, Any] | str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays of PyTorch's layout as the model has them, by the same names; what has no place in it stays as it is.

    For a model that knows the shape of its inputs.

    Raises:
        CheckpointError: a file is missing or damaged.
        ArgumentError: as :func:`to_torch_arrays` has them.
    """
    known = places(model, None)
    return {
        name: known[name].from_torch(array) if name in known else array
        for name, array in read_state(state).items()
        if not name.endswith("num_batches_tracked")
    }


def _torch_only(model: Module, called: Mapping[str, str], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """What PyTorch's state has besides, by its names."""
    own = {
        f"{path}.{name}" if path else name: value
        for path, module in model.named_modules(remove_duplicate=False)
        for name, value in module.torch_only().items()
    }
    there = in_torch_names([*called, *own], names)
    return {there[name]: value for name, value in own.items()}


def read_state(state: Any) -> dict[str, np.ndarray]:
    """A state dict, or a file of one, as NumPy arrays in PyTorch's layout; of a checkpoint that holds one by a usual
    name, that one."""
    source = "load_torch_state_dict"
    if isinstance(state, str | os.PathLike):
        source, state = os.fspath(state), _read_file(Path(state))
    if isinstance(state, Module) or not isinstance(state, Mapping):
        raise ArgumentTypeError(
            f"{source}: expected arrays by name, such as torch_model.state_dict(), or a file of them, got "
            f"{type(state).__name__}"
        )
    inside = [state[name] for name in NESTED if isinstance(state.get(name), Mapping)]
    state = inside[0] if len(inside) == 1 else state
    arrays = {str(name): _array(source, str(name), value) for name, value in state.items()}
    for before in WRAPPERS:
        if arrays and all(name.startswith(before) for name in arrays):
            arrays = {name.removeprefix(before): array for name, array in arrays.items()}
    return arrays


def _read_file(path: Path) -> Any:
    if path.suffix.lower() not in serialize.TORCH_ENDINGS:
        return serialize.load(path)
    torch = _torch(f"{path} is a file of PyTorch's; a safetensors file needs no PyTorch")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except Exception as error:  # whatever it says of a file that is none of its own, or holds code
        raise CheckpointError(
            f"{path}: PyTorch reads no tensors from it; expected what torch.save(model.state_dict(), path) writes, "
            "for a file of a whole module holds code"
        ) from error


def _array(source: str, name: str, value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        return backend.to_host(value.data)
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu()
        return (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    if not hasattr(value, "dtype"):
        raise ArgumentTypeError(
            f"{source}: {name!r} is a {type(value).__name__}, not an array; of a whole checkpoint take the part that "
            'holds the weights, often checkpoint["state_dict"]'
        )
    return backend.to_host(value)


def _torch(why: str) -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise UserError(f"{why}: PyTorch is not installed; pip install torch") from error
