"""Devices: parse ``auto``, ``cpu``, ``cuda``, ``cuda:N`` into a :class:`Backend`.

NumPy and CuPy share one array interface; a backend is that array library and the few things in which the two differ:
moving arrays to and from the host, waiting, and running a whole training step. Here is the CPU's; ``backend/cuda``
registers its own when it is loaded.
"""

import functools
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from dlcourse.errors import ArgumentError, ArgumentTypeError, DeviceError

Array = Any
"""``numpy.ndarray`` or ``cupy.ndarray``."""

CACHED_BYTES = 1 << 18
"""Of an array that is computed with piece by piece, so that it stays in cache with what lies between."""


@dataclass(frozen=True)
class Backend:
    """One device and the array library that computes on it; the methods are a CPU's, another device overrides them."""

    name: str
    """``cpu`` or ``cuda:N``."""
    kind: str
    """``cpu`` or ``cuda``: chooses among a kernel's overrides."""
    xp: ModuleType
    """``numpy`` or ``cupy``."""
    index: int = 0

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        """Bring a host array, device array or nested list here; no copy where it is here in that dtype already."""
        return np.asarray(to_host(array), dtype=dtype)

    def array(self, array: Any, dtype: Any = None) -> Array:
        """:meth:`asarray`, always as a copy."""
        return self.asarray(array, dtype).copy()

    @property
    def is_host(self) -> bool:
        """Whether its arrays are NumPy's."""
        return True

    def to_host(self, array: Array) -> np.ndarray:
        """The array as NumPy's; waits for the device where there is one."""
        return to_host(array)

    def data_budget_bytes(self) -> int:
        """Bytes that a data set may take of the device's own memory, half of what is free; 0 on a CPU, which has none:
        arrays of the host, mapped files among them, are at hand where they are."""
        return self.free_bytes() // 2

    def free_bytes(self) -> int:
        """Bytes of the device's own memory that are free; 0 on a CPU, which has none."""
        return 0

    def cached_parts(self, size: int, itemsize: int) -> list[slice]:
        """Slices of a flat array for several operations over each; a CPU's stay in its cache."""
        length = CACHED_BYTES // itemsize
        return [slice(start, min(start + length, size)) for start in range(0, size, length)]

    def double_buffer(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """What brings batches of that shape here while others are computed with; None on a CPU, where they are."""
        return None

    def step_runner(self) -> Any:
        """What captures training steps and replays each as one launch; None on a CPU, which has no launches."""
        return None

    def launch_timer(self, dtype: np.dtype) -> Any:
        """What times each launch of a step whose parameters have that type; None on a CPU, which has no launches."""
        return None

    def communicator(self, size: int, rank: int) -> Any:
        """What sums arrays of the ranks' devices, of which there are ``size``; None on a CPU, whose arrays MPI sums."""
        return None

    def free_idle_memory(self) -> None:
        """Give back the device's memory that is held for later."""

    def make_current(self) -> None:
        """Have the array library make new arrays here."""

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it; nothing to wait for on a CPU."""


CPU = Backend("cpu", "cpu", np)
_current: Backend | None = None
_makers: dict[str, Callable[[int], Backend]] = {}


def register(kind: str, make: Callable[[int], Backend]) -> None:
    """Say how the device of that kind and index is made; called by the modules that :func:`load` imports."""
    _makers[kind] = make


def numbered(name: str, number: int) -> str:
    """``cuda``, or what ``auto`` finds, as the GPU with this number; other names as they are."""
    name = get(name).name if name == "auto" else name
    return f"cuda:{number}" if name.partition(":")[0] == "cuda" else name


def get(name: str = "auto") -> Backend:
    """Find the device of that name.

    ``auto`` takes the GPU when one is usable, else the CPU; ``cuda`` is ``cuda:0`` and never falls back.

    Raises:
        ArgumentError: the name is none of these.
        DeviceError: the device is not there; the message says what to do.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?::([0-9]{1,3}))?", str(name))
    if match is None or (match[2] and match[1] != "cuda"):
        raise ArgumentError(f"no device {name!r}: expected auto, cpu, cuda or cuda:N{_meant(str(name))}")
    if match[1] == "cpu":
        return CPU
    # Imported here: the probe looks for CuPy, and a run on the CPU should not pay for that.
    from dlcourse.backend.diagnostics import probe

    status = probe.cuda_status()
    if not status.usable:
        if match[1] == "auto":
            return CPU
        remedy = f" ({status.remedy})" if status.remedy else ""
        raise DeviceError(f"device {name!r} is not there: {status.reason}{remedy}; `dlcourse devices` says more")
    index = int(match[2] or 0)
    if index >= status.count:
        raise DeviceError(f"device {name!r} is not there: {status.count} GPU(s) found, numbered from 0")
    return _cuda(index)


def _meant(name: str) -> str:
    """`` (did you mean 'cuda:1'?)`` for ``gpu:1``, and the like."""
    word, colon, index = name.strip().lower().partition(":")
    kind = "cuda" if word in ("gpu", "cuda", "nvidia") else word if word in ("cpu", "auto") else ""
    number = f":{index}" if kind == "cuda" and index.isdecimal() and len(index) <= 3 else ""
    return f" (did you mean {kind + number!r}?)" if kind else ""


def auto_reason() -> str:
    """Why ``auto`` takes the device that it takes."""
    from dlcourse.backend.diagnostics import probe

    status = probe.cuda_status()
    return "a GPU is there" if status.usable else f"no usable GPU: {status.reason}"


@functools.cache
def load(kind: str) -> None:
    """Import every module under ``backend/<kind>``, once; each declares what that kind of device does its own way."""
    package = importlib.import_module(f"dlcourse.backend.{kind}")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


@functools.cache
def _cuda(index: int) -> Backend:
    load("cuda")
    return _makers["cuda"](index)


def current() -> Backend:
    """The device on which new tensors are made; the CPU until :func:`set_device` says otherwise."""
    return _current or CPU


def set_device(name: "str | Backend | use") -> Backend:
    """Make new tensors on this device from now on; returns its backend."""
    global _current
    _current = name if isinstance(name, Backend) else get(str(name))
    _current.make_current()
    return _current


class use:
    """A device: inside ``with use(name):`` new tensors are made on it; ``x.to(use(name))`` moves a tensor there.

    As ``torch.device``, its text is its name, and it equals that.
    """

    def __init__(self, name: "str | Backend | use"):
        self._chosen = name if isinstance(name, Backend) else str(name)
        self._before: list[Backend] = []

    def __enter__(self) -> Backend:
        self._before.append(current())
        return set_device(self._chosen)

    def __exit__(self, *_: Any) -> None:
        set_device(self._before.pop())

    def __str__(self) -> str:
        return self._chosen if isinstance(self._chosen, str) else self._chosen.name

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, str | use) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def type(self) -> str:
        """``cpu`` or ``cuda``; ``auto`` until it is used."""
        return str(self).partition(":")[0]


def synchronize() -> None:
    """Wait until the current device has finished; needed before reading a clock."""
    current().synchronize()


def array_module(array: Array) -> ModuleType:
    """``numpy`` or ``cupy``, whichever the array belongs to."""
    if isinstance(array, np.ndarray | np.generic):
        return np
    # A CuPy array can exist only if CuPy was imported, so nothing is imported for the sake of asking.
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


_DLPACK_HOST, _DLPACK_CUDA = (1, 3), (2, 13)
"""DLPack's numbers of kinds of memory: the host's own and pinned, a GPU's own and managed."""


def from_dlpack(source: Any) -> Array:
    """An array of another library, such as PyTorch or JAX, in its own memory, by the DLPack protocol.

    Raises:
        ArgumentTypeError: it does not speak the protocol.
        DeviceError: it lies on a device that is not there for this package.
    """
    if not hasattr(source, "__dlpack__") or not hasattr(source, "__dlpack_device__"):
        raise ArgumentTypeError(f"expected an array that has __dlpack__, got a {type(source).__name__}")
    kind, index = source.__dlpack_device__()
    if int(kind) in _DLPACK_HOST:
        return np.from_dlpack(source)
    if int(kind) not in _DLPACK_CUDA:
        raise DeviceError(f"the array lies on a device of DLPack's kind {int(kind)}, which is neither a CPU nor CUDA")
    return get(f"cuda:{index}").xp.from_dlpack(source)


def own(array: Any) -> Array:
    """NumPy's and CuPy's arrays as they are; one of another library as one of theirs, in the same memory."""
    if isinstance(array, np.ndarray) or array_module(array) is not np:
        return array
    return from_dlpack(array) if hasattr(array, "__dlpack__") else np.asarray(array)


def of(array: Array) -> Backend:
    """The backend of the device that an array lies on."""
    if array_module(array) is np:
        return CPU
    return _cuda(array.device.id)


def same_device(first: Array, second: Array) -> bool:
    """Whether two arrays may meet in one operation; NumPy and CuPy arrays never mix silently."""
    if type(first) is np.ndarray and type(second) is np.ndarray:
        return True
    return of(first) is of(second)


def address(array: Array) -> int:
    """Where an array's first element lies."""
    return array.data.ptr if array_module(array) is not np else array.__array_interface__["data"][0]


def to_host(array: Any) -> np.ndarray:
    """Any array as NumPy's; a device array is copied (this waits for the device)."""
    return array.get() if array_module(array) is not np else np.asarray(array)
