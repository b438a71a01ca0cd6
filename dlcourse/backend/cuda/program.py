"""The CUDA sources beside this file, compiled once and launched: ``program("norm").launch("layer_norm_float", ...)``.

A program is one ``sources/<family>.cu``, compiled by NVRTC through CuPy at its first launch (CuPy keeps the result in
its own cache on disk). What takes seconds to compile is a header, and each of its types and widths a source, so that a
run compiles what it uses. A kernel is an ``extern "C"`` function whose name ends in the type it computes in. Nothing
here waits for the device, and all of it may happen while a stream is being captured, once the program has been loaded.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.backend import kernels, tracing
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.device_counter import DeviceCounter

SOURCES = Path(__file__).parent / "sources"
OPTIONS = ("-std=c++17", f"-I{SOURCES}")

TYPES = {"float32": "float", "float64": "double"}
"""The element types that have kernels, as the kernels' names end."""
HALVES = {"float16": "half", "bfloat16": "bfloat16"}
"""Those of 16 bits, which only kernels declared with ``half=True`` meet."""

NULL = np.uint64(0)
"""The argument for a pointer that may be null."""

THREADS = 256
"""Of a block of a kernel whose threads stride over a count."""

BLOCKS = 8 * 132
"""Such blocks that the 132 multiprocessors of an H100 or H200 hold at a time. A smaller GPU takes turns."""


class Program:
    """One source file.

    Args:
        family: its name without the ending.
    Raises:
        FileNotFoundError: there is no such source.
    """

    def __init__(self, family: str):
        self.family = family
        # CuPy's cache on disk goes by this text and by the folder of the headers, not by what is in them.
        self.code = (SOURCES / f"{family}.cu").read_text(encoding="utf-8") + f"\n// headers: {_headers(SOURCES)}\n"
        self._functions: dict[str, Any] = {}

    def launch(
        self,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared: int = 0,
        flops: int | None = None,
    ) -> None:
        """Queue one kernel on CuPy's current stream.

        Args:
            name: of the kernel.
            grid, block: their sizes along x, y, z.
            args: contiguous arrays of the device, any strides for pointers declared ``strided``, None for a null
                pointer, and NumPy scalars of exactly the type that the kernel declares.
            shared: bytes of dynamic shared memory.
            flops: floating-point operations, where a profile should know them.
        Raises:
            TypeError: an argument is a plain number, whose size CuPy would have to guess.
        """
        for arg in args:
            if isinstance(arg, int | float) and not isinstance(arg, np.generic):
                raise TypeError(f"{name}: {arg!r} has no size; wrap it as np.int32, np.int64, np.float32 or np.float64")
        args = tuple(NULL if arg is None else arg for arg in args)
        function = self._function(name)
        if tracing.listener is None:
            function(grid, block, args, shared_mem=shared)
        else:
            call = functools.partial(function, grid, block, args, shared_mem=shared)
            tracing.listener(call, name, tracing.nbytes(args), flops)

    def launch_over(self, count: int, name: str, *args: Any) -> None:
        """Queue a kernel whose threads stride over ``count`` things; the arguments are those of :meth:`launch`."""
        self.launch(name, (blocks_for(count),), (THREADS,), args)

    def load(self) -> None:
        """Compile and load it now, not at its first launch."""
        self._module.compile()

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        return self._functions[name]

    @functools.cached_property
    def _module(self) -> Any:
        import cupy

        return cupy.RawModule(code=self.code, options=OPTIONS)


def _headers(folder: Path) -> str:
    """A hash of the folder's headers."""
    texts = (path.read_bytes() for path in sorted(folder.glob("*.cuh")))
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


@functools.cache
def program(family: str) -> Program:
    """The program of that name; one object for all callers."""
    return Program(family)


def families() -> list[str]:
    """All programs there are."""
    return sorted(path.stem for path in SOURCES.glob("*.cu"))


def override(of: kernels.Kernel, half: bool = False, priority: int = 0) -> Callable[[Callable], Callable]:
    """Declare an override for CUDA, which declines by :func:`~dlcourse.backend.kernels.require` too."""
    return lambda function: kernels.override(of, "cuda", half, priority)(kernels.declining(function))


def type_suffix(*arrays: Array | None) -> str:
    """How the kernels for the common type of these arrays end; None among them does not count.

    Raises:
        Unsupported: types differ or have no kernels, or an array holds nothing.
    """
    there: list[Array] = [array for array in arrays if array is not None]
    suffix = (TYPES | HALVES).get(there[0].dtype.name)
    if suffix is None or not all(array.size and array.dtype == there[0].dtype for array in there):
        raise kernels.Unsupported
    return suffix


def contiguous(*arrays: Array | None) -> list[Any]:
    """The arrays, each copied where its elements do not lie together; None stays None."""
    return [None if array is None else array_module(array).ascontiguousarray(array) for array in arrays]


def step_number(step: Any) -> tuple[Any, np.int64]:
    """A step number as the kernels take it: a counter of the device, None where there is none, and what to add."""
    return (step.counter, np.int64(step.ahead)) if isinstance(step, DeviceCounter) else (None, np.int64(step))


def blocks_for(count: int) -> int:
    """The blocks of a kernel whose threads stride over ``count`` things."""
    return max(1, min(BLOCKS, -(-count // THREADS)))


def packs_of(array: Array) -> int:
    """The count of a kernel that has 16 bytes of the array a thread (``sources/packs.cuh``)."""
    return -(-array.size * array.itemsize // 16)


def divisor(by: int) -> np.uint64:
    """What ``sources/division.cuh`` divides numbers below 2^31 with instead of ``by`` > 0."""
    shift = (by - 1).bit_length()
    return np.uint64(((1 << 32) * ((1 << shift) - by) // by + 1) | shift << 32)


def packable(each: int, *arrays: Array) -> bool:
    """Whether the arrays begin where packs of so many elements may be read (``sources/packs.cuh``)."""
    return all(array.data.ptr % (each * array.itemsize) == 0 for array in arrays)
