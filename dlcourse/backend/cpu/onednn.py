"""oneDNN on NumPy arrays: its C API through ctypes, as thin as it goes.

oneDNN is the library behind PyTorch's convolutions; the optional package ``onednn-cpu-gomp`` (extra ``cpu``, 39 MB)
brings it for Linux on x86-64. Arrays are described by their strides, so that channels-last arrays are read and written
where they lie. A primitive (an operation compiled for one shape) is made once and kept by its builder. Where the
library is absent, or has no code for a setting, a build raises :class:`Unsupported`: an override of :func:`override`
declines, and the NumPy one goes on alone.
"""

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_void_p
from typing import Any

import numpy as np

from dlcourse.backend import kernels
from dlcourse.backend.cpu import packaged
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import Unsupported

PACKAGE = "onednn-cpu-gomp"
DISABLE = "DLCOURSE_ONEDNN"
"""Environment variable: ``0`` leaves oneDNN alone even where it is installed."""

SRC, DST, WEIGHTS, BIAS, MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE, SCRATCHPAD = 1, 17, 33, 41, 49, 50, 51, 52, 64, 80
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 255, 256
FORWARD_TRAINING, BACKWARD = 64, 128
QUERY_IMPLEMENTATION, QUERY_WEIGHTS, QUERY_DIFF_WEIGHTS, QUERY_WORKSPACE, QUERY_SCRATCHPAD = 8, 131, 132, 135, 136
FLOAT32, ANY_TAG = 3, 1
SRC_1, POST_OPERAND = 2, 32768
ADD, MULTIPLY, MAX = 0x1FFF0, 0x1FFF1, 0x1FFF2
ABS, SQRT, LINEAR, CLIP, POWER = 0x24, 0x25, 0x26, 0x2E, 0x30

SPINS = "10000"

USER_SCRATCHPAD = 1

lock = threading.RLock()
"""Held while a primitive runs: its memory objects and the scratchpad serve one call at a time, and one call uses all
threads anyway. Where more has to stay as it is, such as the buffers of a :class:`Reordering`, it is held for longer."""


class _Argument(ctypes.Structure):
    _fields_ = [("which", c_int), ("memory", c_void_p)]


def available() -> bool:
    """Whether oneDNN can be called in this process."""
    return not packaged.forked() and library() is not None


def switched_off() -> bool:
    """Whether the user has switched it off."""
    return os.environ.get(DISABLE) == "0"


def version() -> str | None:
    """The loaded library's own version, None without one."""
    if library() is None:
        return None

    class Version(ctypes.Structure):
        _fields_ = [("major", c_int), ("minor", c_int), ("patch", c_int)]

    function = library().dnnl_version
    function.restype = POINTER(Version)
    found = function().contents
    return f"{found.major}.{found.minor}.{found.patch}"


def instructions() -> int | None:
    """A number for the instructions that it uses of this processor's (``ONEDNN_MAX_CPU_ISA``), None without oneDNN."""
    return None if library() is None else int(library().dnnl_get_effective_cpu_isa())


@packaged.once
def library() -> ctypes.CDLL | None:
    """The library, loaded at the first call; None where it is not installed, broken, or switched off."""
    path = None if switched_off() else packaged.library_file(PACKAGE, "libdnnl.so.3")
    if path is None:
        return None
    try:
        with _brief_waiting():
            loaded = ctypes.CDLL(path)
    except OSError:
        return None
    loaded.dnnl_primitive_desc_query_md.restype = c_void_p
    loaded.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    return loaded


@contextlib.contextmanager
def _brief_waiting() -> Iterator[None]:
    """OpenMP's threads are to look for work for some 20 microseconds after a region, then to sleep.

    Threads that sleep at once cost 60 to 100 microseconds a region on a virtual machine, where waking takes that long
    (Adam on 1.8 million numbers in pieces of 65,536: 9.0 ms asleep, 2.0 so); threads that spin on take the cores from
    NumPy's part of the work. GNU OpenMP reads the variables when it is loaded; what the user set is left as it is, and
    ours is taken back, for it is no business of other programs. How many threads it takes it reads from
    ``OMP_NUM_THREADS`` and the cores, as :func:`threads.budget` does.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def check(status: int) -> None:
    """Turn a status that is not success into :class:`Unsupported`."""
    if status:
        raise Unsupported(f"status {status}")


def _made(function: str, *arguments: object) -> c_void_p:
    """What the library's function of that name makes of these arguments, given back through its first one."""
    made = c_void_p()
    check(getattr(library(), f"dnnl_{function}")(byref(made), *arguments))
    return made


@packaged.once
def _engine_and_stream() -> tuple[c_void_p, c_void_p]:
    engine = _made("engine_create", 1, ctypes.c_size_t(0))
    return engine, _made("stream_create", engine, 1)


def engine() -> c_void_p:
    """The CPU as oneDNN's engine."""
    return _engine_and_stream()[0]


def _dims(values: tuple[int, ...]) -> Array:
    """Sizes as the C array that every call takes."""
    return (c_int64 * len(values))(*values)


def strided(shape: tuple[int, ...], strides: tuple[int, ...] | None) -> c_void_p:
    """A float32 memory descriptor with these strides, counted in elements; None leaves the layout to oneDNN."""
    sizes = len(shape), _dims(shape), FLOAT32
    if strides is None:
        return _made("memory_desc_create_with_tag", *sizes, ANY_TAG)
    return _made("memory_desc_create_with_strides", *sizes, _dims(strides))


def images(shape: tuple[int, ...]) -> c_void_p:
    """The descriptor of a contiguous (N, H, W, C) array; oneDNN counts its axes as N, C, H, W."""
    n, h, w, c = shape
    return strided((n, c, h, w), (h * w * c, 1, w * c, c))


def post_operand(index: int) -> int:
    """The number of the second operand of a primitive's post-operation ``index``, if that is a binary one."""
    return POST_OPERAND * (index + 1) | SRC_1


def _attributes(operations: Sequence[tuple]) -> c_void_p:
    """A primitive's attributes: operations on its result, and a scratchpad that the caller brings.

    The library's own scratchpad belongs to the thread that made the primitive. Run by another thread, a primitive
    would write over whatever lies behind that thread's smaller one, or nowhere.
    """
    chain = _made("post_ops_create")
    for kind, *settings in operations:
        if kind == "eltwise":
            algorithm, alpha, beta = settings
            check(library().dnnl_post_ops_append_eltwise(chain, algorithm, c_float(alpha), c_float(beta)))
        elif kind == "binary":
            check(library().dnnl_post_ops_append_binary(chain, *settings))
        else:
            check(library().dnnl_post_ops_append_sum(chain, c_float(*settings), 0, 0))
    made = _made("primitive_attr_create")
    check(library().dnnl_primitive_attr_set_post_ops(made, chain))
    check(library().dnnl_primitive_attr_set_scratchpad_mode(made, USER_SCRATCHPAD))
    check(library().dnnl_post_ops_destroy(chain))
    return made


def describe(function: str, *arguments: object, after: Sequence[tuple] = ()) -> c_void_p:
    """A primitive descriptor from ``dnnl_<function>_primitive_desc_create``.

    Args:
        arguments: the function's, without the engine, which comes first (a reorder names two), and without the
            attributes, which come last. A float is a C float, a tuple an array of sizes.
        after: operations on the result, one after another in the same pass over memory: ``("eltwise", algorithm,
            alpha, beta)``, ``("binary", algorithm, layout of the second operand)`` or ``("sum", scale)``, which adds
            scale times what the destination held.
    Raises:
        Unsupported: there is none, or only oneDNN's own reference, plain loops that anything here beats.
    """
    engines = () if function == "reorder" else (engine(),)
    in_c = map(_in_c, arguments)
    made, name = _made(f"{function}_primitive_desc_create", *engines, *in_c, _attributes(after)), c_char_p()
    check(library().dnnl_primitive_desc_query(made, QUERY_IMPLEMENTATION, 0, byref(name)))
    implementation = name.value or b""
    # The reference of an LSTM is made of fast products.
    if implementation.startswith(b"ref") and not function.startswith("lstm"):
        raise Unsupported(f"{function}: only {implementation.decode()}")
    return made


def _in_c(argument: Any) -> Any:
    if isinstance(argument, tuple):
        return _dims(argument)
    return c_float(argument) if isinstance(argument, float) else argument


def queried(descriptor: c_void_p, what: int, index: int = 0) -> c_void_p:
    """A memory descriptor that oneDNN chose; it belongs to the primitive descriptor."""
    return c_void_p(library().dnnl_primitive_desc_query_md(descriptor, what, index))


def size(layout: c_void_p) -> int:
    """Bytes that a memory of this descriptor takes."""
    return library().dnnl_memory_desc_get_size(layout)


_scratchpad = np.empty(0, dtype=np.uint8)
"""The working memory of whichever primitive runs; it grows to what the largest one needs."""


def _scratchpad_of(count: int) -> Array:
    global _scratchpad
    if _scratchpad.size < count:
        _scratchpad = np.empty(count, dtype=np.uint8)
    return _scratchpad


class Primitive:
    """A compiled operation: ``primitive({SRC: x, DST: y})`` runs it on these arrays, which lie as described.

    Any thread may make it and any thread may run it.
    """

    def __init__(self, descriptor: c_void_p, layouts: Mapping[int, c_void_p]):
        self.handle = _made("primitive_create", descriptor)
        scratchpad = queried(descriptor, QUERY_SCRATCHPAD)
        self.scratchpad_bytes = size(scratchpad)
        layouts = {**layouts, SCRATCHPAD: scratchpad} if self.scratchpad_bytes else layouts
        self.memories = {
            which: _made("memory_create", layout, engine(), c_void_p(0)) for which, layout in layouts.items()
        }
        self.arguments = (_Argument * len(layouts))(
            *(_Argument(which, memory) for which, memory in self.memories.items())
        )

    def __call__(self, arrays: Mapping[int, Array]) -> None:
        hang = library().dnnl_memory_set_data_handle
        with lock:
            if self.scratchpad_bytes:
                hang(self.memories[SCRATCHPAD], c_void_p(_scratchpad_of(self.scratchpad_bytes).ctypes.data))
            for which, array in arrays.items():
                hang(self.memories[which], c_void_p(array.ctypes.data))
            stream = _engine_and_stream()[1]
            status = library().dnnl_primitive_execute(self.handle, stream, len(self.arguments), self.arguments)
        if status:
            raise RuntimeError(f"oneDNN failed with status {status}")


def elementwise(count: int, algorithm: int, second: str, *after: tuple) -> Primitive:
    """``DST <- algorithm(SRC, SRC_1)`` for arrays of ``count`` numbers, then further operations, all in one pass.

    Args:
        second: ``array`` or ``number``, what SRC_1 is: a number is an array of one element, so it may change from call
            to call with nothing compiled anew.
        after: as for :func:`describe`, with ``array`` or ``number`` for a layout; the operand of number i is
            ``post_operand(i)``.
    """
    layouts = {"array": strided((count,), (1,)), "number": strided((1,), (1,))}
    after = tuple((*step[:2], layouts[step[2]]) if step[0] == "binary" else step for step in after)
    array = layouts["array"]
    descriptor = describe("binary", algorithm, array, layouts[second], array, after=after)
    others = {post_operand(i): step[2] for i, step in enumerate(after) if step[0] == "binary"}
    return Primitive(descriptor, {SRC: array, SRC_1: layouts[second], DST: array} | others)


class Reordering(Primitive):
    """A primitive some of whose arrays it wants in layouts of its own; their bytes are kept here.

    Args:
        layouts: of all arrays, as they are given.
        inner: its own layouts of some of them.
        results: those of ``inner`` that it writes to; the others it reads.
        adds: it adds to its results.
    """

    def __init__(
        self,
        descriptor: c_void_p,
        layouts: Mapping[int, c_void_p],
        inner: Mapping[int, c_void_p],
        results: Collection[int] = (),
        adds: bool = False,
    ):
        super().__init__(descriptor, {**layouts, **inner})
        self.adds = adds
        self.buffers: dict[int, Array] = {}
        self.enter: dict[int, Primitive] = {}
        self.leave: dict[int, Primitive] = {}
        for which, layout in inner.items():
            if library().dnnl_memory_desc_equal(layouts[which], layout):
                continue
            self.buffers[which] = np.empty(size(layout), dtype=np.uint8)
            outward = which in results
            source, target = (layout, layouts[which]) if outward else (layouts[which], layout)
            copy = Primitive(describe("reorder", source, engine(), target, engine()), {SRC: source, DST: target})
            (self.leave if outward else self.enter)[which] = copy

    def __call__(self, arrays: Mapping[int, Array]) -> None:
        with lock:
            for which, copy in self.enter.items():
                copy({SRC: arrays[which], DST: self.buffers[which]})
            for which in self.leave if self.adds else ():
                self.buffers[which].fill(0)
            super().__call__({**arrays, **self.buffers})
            for which, copy in self.leave.items():
                copy({SRC: self.buffers[which], DST: arrays[which]})


def built_once(build: Callable) -> Callable:
    """Keep what a builder gives for its settings; Unsupported where oneDNN has nothing for them, or is absent.

    As many as a few hundred shapes are kept: a primitive holds compiled code, and its scratch memory is oneDNN's own.
    """

    @functools.lru_cache(maxsize=512)
    def built(*settings: object) -> object:
        try:
            return build(*settings)
        except Unsupported:
            return None

    @functools.wraps(build)
    def find(*settings: object) -> object:
        found = built(*settings) if available() else None
        if found is None:
            raise Unsupported
        return found

    return find


def override(of: kernels.Kernel, priority: int = 1) -> Callable[[Callable], Callable]:
    """Declare an override by oneDNN, tried before the NumPy one; it declines where a builder has nothing."""
    return lambda function: kernels.override(of, "cpu", priority=priority)(kernels.declining(function))


def suits(*arrays: Array) -> bool:
    """Whether oneDNN computes on these: float32, and something in each."""
    return all(array.dtype == np.float32 and array.size for array in arrays)
