"""cuDNN's convolutions on our arrays: its C API through ctypes, as thin as it goes.

cuDNN is optional (extra ``cudnn``). Of its two APIs this is the older, one function for each of a convolution's three
passes: ``cudnnConvolutionForward``, ``...BackwardData``, ``...BackwardFilter``. Arrays are described by their strides,
so channels-last images and weights (O, kh, kw, C) are read and written where they lie. What a setting needs is
planned once and kept. Only algorithms that cuDNN calls deterministic are asked, with sums in float32, and never one
that rounds float32 factors unless the run's precision says TF32. cuDNN has no channels-last kernels for some settings;
then there is no plan.
"""

import ctypes
import functools
import os
import subprocess
import sys
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module

DISABLE = "DLCOURSE_CUDNN"
"""Environment variable: ``0`` leaves cuDNN alone even where it is installed."""

FORWARD, INPUT_GRAD, WEIGHT_GRAD = "Forward", "BackwardData", "BackwardFilter"
"""The passes, as the functions' names have them."""

OPERANDS = {
    FORWARD: ("x", "weight", "out"),
    INPUT_GRAD: ("weight", "out", "x"),
    WEIGHT_GRAD: ("x", "out", "weight"),
}
"""What each pass reads, reads and writes, in its arguments' order; a gradient has the layout of its array."""

DATA = {"float32": 0, "float16": 2, "bfloat16": 9}
"""cudnnDataType_t by element type. In float64 runs exactness matters more than speed: they keep to our own kernels."""
FLOAT, NHWC, CROSS_CORRELATION, DETERMINISTIC = 0, 1, 1, 1
DEFAULT_MATH, TENSOR_OP_MATH, FMA_MATH = 0, 1, 3
"""cudnnMathType_t. For float32, the default lets cuDNN round factors to TF32 and FMA does not."""

MAX_WORKSPACE = 256 << 20
"""Bytes; algorithms that need more are left out."""
MAX_ALGORITHMS = 3
"""Of each setting, in the order in which cuDNN recommends them."""
ALIGNMENT = 16
"""Bytes that the kernels for channels-last arrays load or store at once."""
CHECK = Path(__file__).parents[1] / "diagnostics" / "cudnn_check.py"
TIMEOUT = 60.0
"""Seconds for the check; it takes half of one."""


class CudnnError(RuntimeError):
    """cuDNN refused a call."""


class _Found(ctypes.Structure):
    """cudnnConvolutionFwdAlgoPerf_t; the two of the gradients have the same members."""

    _fields_ = [
        ("algorithm", c_int),
        ("status", c_int),
        ("time", c_float),
        ("memory", c_size_t),
        ("determinism", c_int),
        ("math", c_int),
        ("reserved", c_int * 3),
    ]


class Algorithm(NamedTuple):
    """cuDNN's number of it, and the bytes of workspace that it takes."""

    number: int
    workspace: int


def switched_off() -> bool:
    """Whether the user has switched it off."""
    return os.environ.get(DISABLE) == "0"


def available() -> bool:
    """Whether cuDNN can be called in this process; the first call tries it in another one."""
    return not switched_off() and library() is not None


@functools.cache
def library() -> Any:
    """The library, once it has passed ``cudnn_check.py``; None where it is not installed or not whole."""
    return _load()


def _load() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    # -P: the folder of the script holds a random.py and others that must not hide the standard library's.
    command = [sys.executable, "-P", str(CHECK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode:
            return None
        return ctypes.CDLL(done.stdout.splitlines()[-1].partition(" ")[2])
    except (OSError, subprocess.SubprocessError):
        return None


def _check(status: int) -> None:
    if status:
        raise CudnnError(f"cuDNN: status {status}")


def _made(function: str) -> c_void_p:
    """What the library's function of that name makes."""
    made = c_void_p()
    _check(getattr(library(), function)(byref(made)))
    return made


@functools.cache
def _handle(device: int) -> c_void_p:
    """Of the current device, which has that number. Made once: it brings memory of its own on the device."""
    return _made("cudnnCreate")


class Convolution:
    """One pass for one setting: its descriptors, and the algorithms that cuDNN has for it.

    Args:
        device: the current one's number.
        which: FORWARD, INPUT_GRAD or WEIGHT_GRAD.
        sizes: of x (N, H, W, C), of the weight (O, kh, kw, C / groups), of the output (N, H', W', O).
        stride, padding, dilation: (vertical, horizontal).
        groups: of channels.
        dtype: name of the element type.
        tf32: float32 factors may be rounded to TF32.
    Raises:
        CudnnError: cuDNN does not know such a setting at all.
    """

    def __init__(
        self,
        device: int,
        which: str,
        sizes: tuple[tuple[int, ...], ...],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
        dtype: str,
        tf32: bool,
    ):
        self.handle, self.which, kind = _handle(device), which, DATA[dtype]
        x, weight, out = sizes
        made = {"x": _tensor(x, kind), "weight": _filter(weight, kind), "out": _tensor(out, kind)}
        self.first, self.second, self.result = (made[name] for name in OPERANDS[which])
        self.settings = _made("cudnnCreateConvolutionDescriptor")
        pairs = *padding, *stride, *dilation
        _check(library().cudnnSetConvolution2dDescriptor(self.settings, *pairs, CROSS_CORRELATION, FLOAT))
        math = TENSOR_OP_MATH if dtype != "float32" else DEFAULT_MATH if tf32 else FMA_MATH
        _check(library().cudnnSetConvolutionMathType(self.settings, math))
        _check(library().cudnnSetConvolutionGroupCount(self.settings, groups))
        self.algorithms = self._algorithms()

    def _algorithms(self) -> tuple[Algorithm, ...]:
        """The best by cuDNN's own estimate, each once: it lists one again for another kind of arithmetic.

        Whether it has one for ours, and with how much workspace, the last question tells.
        """
        descriptors = self.handle, self.first, self.second, self.settings, self.result
        most, count = c_int(), c_int()
        _check(self._call("cudnnGetConvolution{}AlgorithmMaxCount", self.handle, byref(most)))
        found = (_Found * most.value)()
        _check(self._call("cudnnGetConvolution{}Algorithm_v7", *descriptors, most, byref(count), found))
        fitting: dict[int, Algorithm] = {}
        for each in found[: count.value]:
            size = c_size_t()
            if each.status or each.determinism != DETERMINISTIC:
                continue
            status = self._call("cudnnGetConvolution{}WorkspaceSize", *descriptors, each.algorithm, byref(size))
            if status == 0 and size.value <= MAX_WORKSPACE:
                fitting[each.algorithm] = Algorithm(each.algorithm, size.value)
        return tuple(fitting.values())[:MAX_ALGORITHMS]

    def __call__(self, algorithm: Algorithm, first: Array, second: Array, result: Array) -> None:
        """Queue it on CuPy's current stream, which may be capturing; the result is written over.

        The workspace comes from CuPy's current allocator and goes back to it: the next use of that memory on this
        stream comes after, and a recording's own pool keeps it for the recording.

        Args:
            algorithm: one of ``self.algorithms``.
            first, second, result: as OPERANDS names them, contiguous and aligned (:func:`readable`).
        Raises:
            CudnnError: it cannot be run after all.
        """
        xp = array_module(first)
        stream = c_void_p(xp.cuda.get_current_stream().ptr)
        space = xp.empty(algorithm.workspace, dtype=np.uint8) if algorithm.workspace else None
        one, none = c_float(1), c_float(0)
        a, b, c = (c_void_p(array.data.ptr) for array in (first, second, result))
        place = c_void_p(None if space is None else space.data.ptr)
        _check(library().cudnnSetStream(self.handle, stream))
        _check(
            self._call(
                "cudnnConvolution{}",
                *(self.handle, byref(one), self.first, a, self.second, b, self.settings),
                *(algorithm.number, place, c_size_t(algorithm.workspace), byref(none), self.result, c),
            )
        )

    def _call(self, name: str, *arguments: Any) -> int:
        return getattr(library(), name.format(self.which))(*arguments)


@functools.lru_cache(maxsize=512)
def convolution(*settings: Any) -> Convolution | None:
    """The :class:`Convolution` of these settings, made once; None where cuDNN has no algorithm for them."""
    try:
        made = Convolution(*settings)
    except CudnnError:
        return None
    return made if made.algorithms else None


def readable(array: Array) -> Array:
    """The array, copied where its elements do not lie together or not on an address that cuDNN can load from.

    A weight lies anywhere in the flat buffer of all weights; fresh memory is always aligned.
    """
    array = array_module(array).ascontiguousarray(array)
    return array if aligned(array) else array.copy()


def aligned(array: Array) -> bool:
    """Whether the array lies on an address that cuDNN can load from and store to."""
    return array.data.ptr % ALIGNMENT == 0


def _tensor(shape: tuple[int, ...], kind: int) -> c_void_p:
    """Of images (N, H, W, C) that lie together; cuDNN counts their axes as N, C, H, W."""
    n, h, w, c = shape
    made = _made("cudnnCreateTensorDescriptor")
    _check(library().cudnnSetTensor4dDescriptorEx(made, kind, n, c, h, w, h * w * c, 1, w * c, c))
    return made


def _filter(shape: tuple[int, ...], kind: int) -> c_void_p:
    """Of a weight (O, kh, kw, C / groups) that lies together; cuDNN counts its axes as O, C, kh, kw."""
    outputs, height, width, inputs = shape
    made = _made("cudnnCreateFilterDescriptor")
    _check(library().cudnnSetFilter4dDescriptor(made, kind, NHWC, outputs, inputs, height, width))
    return made
