"""A stand-in for CuPy on a machine without a GPU: its names, its signatures and its refusals, computed by NumPy.

As a pytest plugin (``-p tests.fake_cupy --device cuda``) it puts itself in CuPy's place before dlcourse asks for one.
The CuPy wheel has to be installed, which imports without a GPU: a name that it lacks is an AttributeError here too, a
call that its signature does not take a TypeError, and an array of the host never meets one of the device. Our own CUDA
kernels run on the host too (``tests/cuda_host``). What it cannot show: results of CuPy's own kernels, its rounding, its
speed, races, and what several devices or streams do.
"""

import contextlib
import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import cupy as real
import cupyx  # noqa: F401 - loads while ``cupy`` is the real one; others, such as SciPy, ask for it later
import numpy as np

from dlcourse.backend.diagnostics import probe
from tests.cuda_host import capture, cublaslt
from tests.cuda_host.module import RawModule

_BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
_COMPARE = "eq ne lt le gt ge".split()
_UNARY = "neg pos abs invert".split()


class ndarray:
    """An array of the device: what CuPy's has, and no way for NumPy to read it unasked."""

    __slots__ = ("__weakref__", "host")
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, host: np.ndarray):
        if host.base is None:
            _pool_in_use.allot(host)
        self.host = host

    def __getattr__(self, name: str) -> Any:
        if not hasattr(real.ndarray, name):
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        value = getattr(self.host, name)
        return _device_function(value) if callable(value) else _wrapped(value)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self.host.ctypes.data)

    @property
    def device(self) -> SimpleNamespace:
        return SimpleNamespace(id=0)

    @property
    def __array_interface__(self) -> dict:
        raise AttributeError("cupy.ndarray has no attribute '__array_interface__'")

    @property
    def base(self) -> "ndarray | None":
        return ndarray(self.host.base) if isinstance(self.host.base, np.ndarray) else None

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        assert isinstance(array, np.ndarray) and array.dtype == self.dtype and array.shape == self.shape
        capture.refuse("a copy from the host")
        self.host[...] = array

    def get(self) -> np.ndarray:
        capture.refuse("a copy to the host")
        return self.host.copy()

    def item(self, *index: int) -> Any:
        capture.refuse("a copy to the host")
        return self.host.item(*index)

    def tolist(self) -> Any:
        capture.refuse("a copy to the host")
        return self.host.tolist()

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> Any:
        return _device_function(self.host.astype)(dtype, copy=copy)

    def __getitem__(self, index: Any) -> "ndarray":
        if any(isinstance(each, ndarray) and each.host.dtype == bool for each in _several(index)):
            capture.refuse("a boolean mask, whose result's size only the device knows,")
        plain = _index(index)
        result = _wrapped(self.host[plain])
        capture.note(lambda: self.host[plain], [result.host], [self.host], index, "cupy_take")
        return result

    def __setitem__(self, index: Any, value: Any) -> None:
        capture.changing([self.host])

        def write() -> None:
            self.host[_index(index)] = _unwrapped(value)

        write()
        capture.note(write, [], [self.host], (index, value), "cupy_copy into")

    def __iter__(self) -> Any:
        if self.host.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        capture.refuse("a copy to the host")
        return bool(self.host)

    def __int__(self) -> int:
        capture.refuse("a copy to the host")
        return int(self.host)

    def __float__(self) -> float:
        capture.refuse("a copy to the host")
        return float(self.host)

    def __index__(self) -> int:
        return self.host.__index__()

    def __deepcopy__(self, memo: dict) -> "ndarray":
        return ndarray(self.host.copy())

    def __repr__(self) -> str:
        return f"cupy{self.host!r}"


def _operator(name: str, in_place: bool = False) -> Callable:
    def apply(self: ndarray, *others: Any) -> ndarray:
        if others and not isinstance(others[0], ndarray) and getattr(others[0], "__array_ufunc__", self) is None:
            return NotImplemented  # CuPy's rule: what has None there computes by itself
        if name in ("__matmul__", "__rmatmul__"):
            capture.refuse("cuBLAS by CuPy")
        if in_place:
            capture.changing([self.host])
        result = _device_function(getattr(self.host, name), writes=in_place)(*others)
        return self if in_place else result

    return apply


for _name in [*_BINARY, *(f"r{name}" for name in _BINARY), *_COMPARE, *_UNARY]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in _BINARY:
    setattr(ndarray, f"__i{_name}__", _operator(f"__i{_name}__", in_place=True))


class _Function:
    """A function of CuPy's: its signature, NumPy's arithmetic. A ufunc of it has ``at``, and no ``reduce``."""

    def __init__(self, name: str, signature_of: Any, compute: Any):
        self.name, self.compute = name, compute
        try:
            self.signature = inspect.signature(signature_of)
        except (TypeError, ValueError):  # compiled, it does not tell
            self.signature = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.signature is not None:
            self.signature.bind(*arguments, **options)
        if self.compute is None:
            raise NotImplementedError(f"cupy.{self.name} has no counterpart in NumPy")
        if self.name in ("array", "asarray", "ascontiguousarray"):  # the way from the host to the device
            return self._brought(*arguments, **options)
        if self.name in ("matmul", "dot", "tensordot", "einsum", "vdot", "inner"):
            capture.refuse("cuBLAS by CuPy")
        if self.name == "lexsort" and not isinstance(arguments[0], ndarray):
            raise TypeError("cupy.lexsort takes an array of keys")
        return _device_function(self.compute)(*arguments, **options)

    def _brought(self, value: Any, *arguments: Any, **options: Any) -> ndarray:
        if isinstance(value, ndarray):
            return _device_function(self.compute)(value, *arguments, **options)
        if isinstance(value, list | tuple):
            value = [each.host if isinstance(each, ndarray) else each for each in value]
        capture.refuse("a copy from the host")
        return ndarray(np.array(value, *arguments, **options))

    def at(self, array: ndarray, index: Any, value: Any) -> None:
        capture.refuse("a test of an index")
        self.compute.at(_unwrapped(array), _index(index), _unwrapped(value))


class _Module(ModuleType):
    """CuPy or a module in it: the names that it has, with NumPy's computations."""

    def __init__(self, name: str, real_module: ModuleType, computes: Any):
        super().__init__(name)
        self.__dict__.update(_real=real_module, _computes=computes)
        self.__spec__ = real_module.__spec__  # by which others ask whether CuPy is installed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._real, name)  # AttributeError where CuPy lacks it
        ours = getattr(self._computes, name, None)
        if name.startswith("_"):
            return found  # CuPy's own affair, such as how it finds NVRTC
        if isinstance(found, ModuleType):
            found = _Module(name, found, ours)
        elif callable(found) and not isinstance(found, type):
            found = _Function(name, found, ours)
        self.__dict__[name] = found
        return found


class _Device:
    """The one device, which is this machine's memory."""

    mem_info = (1 << 33, 1 << 33)
    compute_capability = "90"
    attributes = {"MemoryClockRate": 2_619_000, "GlobalMemoryBusWidth": 5120}

    def __init__(self, index: int = 0):
        self.id = index

    def __enter__(self) -> "_Device":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def use(self) -> None:
        pass

    def synchronize(self) -> None:
        capture.wait("the device")


class _Memory:
    """A block of the device's memory, of which there is so much and no more; the numbers themselves are NumPy's."""

    most = 1 << 33
    """Bytes of the largest block."""
    live = 0
    """Bytes of all blocks that were not given back to the device."""

    def __init__(self, size: int):
        self.size = 0
        if size > self.most:
            raise real.cuda.runtime.CUDARuntimeError(2)
        self.size = size
        _Memory.live += size

    def __del__(self) -> None:
        type(self).live -= self.size


class _MemoryPool:
    """Keeps the blocks of arrays that are gone for the next of that size and stream, as CuPy's does.

    Where a block is refused, it gives back all that lie idle, and asks once more. A pool that is dropped leaves those
    taken for ever: CuPy's free blocks belong to an arena that belongs to them.
    """

    leaked: list[_Memory] = []

    def __init__(self, allocator: Callable | None = None) -> None:
        self.allocator = allocator or (lambda size: SimpleNamespace(mem=_Memory(size)))
        self.idle: dict[tuple[int, int], list[_Memory]] = {}
        self.taken = 0

    def __del__(self) -> None:
        self.leaked += [block for blocks in self.idle.values() for block in blocks]

    def malloc(self, size: int) -> None:
        raise NotImplementedError

    def allot(self, host: np.ndarray) -> None:
        """A block for this array, for as long as it lives."""
        if not host.nbytes or (id(host) in _allotted and _allotted[id(host)]() is host):
            return
        stream, size = capture.current_stream().ptr, -(-host.nbytes // 512) * 512
        idle = self.idle.get((stream, size))
        block = idle.pop() if idle else self._new(size)
        number, pool = id(host), weakref.ref(self)

        def give_back(_: Any) -> None:
            _allotted.pop(number, None)
            if pool() is not None:
                pool().idle.setdefault((stream, size), []).append(block)

        _allotted[number] = weakref.ref(host, give_back)

    def _new(self, size: int) -> _Memory:
        try:
            block = self.allocator(size).mem
        except real.cuda.runtime.CUDARuntimeError:
            self.free_all_blocks()
            try:
                block = self.allocator(size).mem
            except real.cuda.runtime.CUDARuntimeError:
                raise real.cuda.memory.OutOfMemoryError(size, self.taken, _Memory.most) from None
        self.taken += size
        return block

    def total_bytes(self) -> int:
        return self.taken

    def free_all_blocks(self, stream: Any = None) -> None:
        for key in [key for key in self.idle if stream is None or key[0] == stream.ptr]:
            self.taken -= key[1] * len(self.idle.pop(key))


_allotted: dict[int, weakref.ref] = {}
"""The arrays of the device that have a block, by identity."""
_default_pool = _pool_in_use = _MemoryPool()


@contextlib.contextmanager
def _using_allocator(allocator: Callable) -> Iterator[None]:
    global _pool_in_use
    before, _pool_in_use = _pool_in_use, allocator.__self__
    try:
        yield
    finally:
        _pool_in_use = before


def _device_function(compute: Callable, writes: bool = False) -> Callable:
    """NumPy's function for arrays of the device; a method's own array counts among its inputs.

    Args:
        writes: it changes the array that it is a method of.
    """
    own = getattr(compute, "__self__", None)
    writes = writes or getattr(compute, "__name__", "") in ("fill", "sort", "partition", "put")

    def call(*arguments: Any, **options: Any) -> Any:
        inputs = [own] if isinstance(own, np.ndarray) else []
        inputs += [each.host for each in _several((*arguments, *options.values())) if isinstance(each, ndarray)]
        target = options.get("out")
        capture.changing([target.host] if isinstance(target, ndarray) else [own] if writes else [])

        def run() -> Any:
            return compute(*map(_unwrapped, arguments), **{k: _unwrapped(v) for k, v in options.items()})

        result = run()
        in_place = writes or isinstance(target, ndarray)
        wrapped = _wrapped(result)
        made = [] if in_place else [each.host for each in _several(wrapped) if isinstance(each, ndarray)]
        name = getattr(compute, "__name__", "operation").strip("_")
        capture.note(run, made, inputs, (arguments, options), f"cupy_{name}")
        return wrapped

    return call


def _several(value: Any) -> list:
    """All that stands in nested lists and tuples."""
    return [each for part in value for each in _several(part)] if isinstance(value, list | tuple) else [value]


def _unwrapped(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value.host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type numpy.ndarray (shape {value.shape}): the host's, beside the device's")
    return type(value)(map(_unwrapped, value)) if isinstance(value, list | tuple) else value


def _index(index: Any) -> Any:
    """What stands between brackets; there CuPy takes indices from the host too."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    return index.host if isinstance(index, ndarray) else index


def _wrapped(value: Any) -> Any:
    """Results of NumPy's as the device's: arrays, and its scalars as arrays without axes."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, list | tuple) and any(isinstance(each, np.ndarray | np.generic) for each in value):
        return type(value)(map(_wrapped, value)) if type(value) in (list, tuple) else tuple(map(_wrapped, value))
    return value


def _install() -> None:
    """Take CuPy's place, and say that there is a device."""
    fake = _Module("cupy", real, np)
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, memGetInfo=lambda: _Device.mem_info)
    runtime.CUDARuntimeError = real.cuda.runtime.CUDARuntimeError
    runtime.getDeviceProperties, runtime.driverGetVersion = lambda device: {"name": b"the stand-in"}, lambda: 0
    cuda = SimpleNamespace(
        Device=_Device, runtime=runtime, get_current_stream=capture.current_stream, Stream=capture.Stream
    )
    cuda.MemoryPool, cuda.using_allocator = _MemoryPool, _using_allocator
    cuda.Memory, cuda.MemoryPointer = _Memory, lambda memory, offset: SimpleNamespace(mem=memory)
    cuda.alloc_pinned_memory = bytearray
    cuda.Event, cuda.get_elapsed_time = capture.Event, capture.elapsed
    fake.get_default_memory_pool = lambda: _default_pool
    fake.__dict__.update(ndarray=ndarray, cuda=cuda, RawModule=RawModule, __version__=real.__version__)
    sys.modules["cupy"] = fake
    status = probe.CudaStatus(True, 1)
    probe.cuda_status = lambda: status
    from dlcourse.backend.cuda import blas, cudnn

    blas.library = functools.cache(cublaslt.Library)
    cudnn.library = lambda: None  # the library of this machine, if it has one, needs a GPU; test_cudnn.py has a twin


_install()
