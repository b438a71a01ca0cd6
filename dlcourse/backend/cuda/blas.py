"""Matrix products by an own cuBLASLt handle: CuPy's own refuse to be captured, and fuse nothing.

The library's C API through ctypes; it is found where CuPy's wheels put it. A product is planned once for each setting
(types, sizes, layouts of the operands, epilogue) and stays; then it is one call on CuPy's current stream, which may be
capturing. cuBLASLt takes matrices as column-major, so a row-major C = A B is asked for as C^T = B^T A^T, for which
nothing has to be moved. Sums are in float32 for half types, and in TF32 only where the run's precision says so.
"""

import contextlib
import ctypes
import functools
from ctypes import byref, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from enum import IntEnum
from typing import Any

import numpy as np

from dlcourse.backend import precision, tracing
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.memory import persistent

COMPUTE_32F, COMPUTE_TF32, COMPUTE_64F = 68, 77, 70
REAL = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
"""cudaDataType of the element types."""
TRANSPOSE_A, TRANSPOSE_B, EPILOGUE, BIAS_POINTER, AUX_POINTER, AUX_DISTANCE = 3, 4, 7, 8, 11, 12
BATCH_COUNT, BATCH_STRIDE = 5, 6
MAX_WORKSPACE, MIN_ALIGNMENT = 1, (5, 6, 7, 8)
REFUSALS = (7, 15)
"""Of the states that a call returns: an invalid value (what an older library does not know), and not supported."""
HOPPER_WORKSPACE, WORKSPACE = 32 << 20, 4 << 20
"""Bytes that NVIDIA recommends for compute capability 9 and for the others."""


class Epilogue(IntEnum):
    """What else a product's kernel does, in cuBLASLt's numbers (cublasLtEpilogue_t).

    Its matrices are ours transposed: "rows" of the result are our columns, and its B is our a.
    """

    NONE = 1
    BIAS = 4
    """Add a vector to every row."""
    RELU_BIAS = 2 | BIAS
    """Then max(x, 0)."""
    GELU_AUX_BIAS = 32 | 128 | BIAS
    """Then GELU in its tanh form. What it was taken of goes into a second matrix, its rows a multiple of 8 apart."""
    BGRADB = 512
    """Of a = dy^T: the sums of dy over its rows, the gradient of a bias, go into a vector."""


class _Heuristic(ctypes.Structure):
    _fields_ = [
        ("algorithm", c_uint64 * 8),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    ]


class BlasError(RuntimeError):
    """cuBLASLt refused a call; ``status`` is its cublasStatus_t."""

    status = 0


class NotSupported(BlasError):
    """It has nothing that does this."""


@functools.cache
def library() -> Any:
    """The loaded library.

    Raises:
        OSError: it is not there.
    """
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    except (ImportError, RuntimeError):
        for name in ("libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll"):
            with contextlib.suppress(OSError):
                return ctypes.CDLL(name)
        raise OSError("cuBLASLt is not installed: pip install 'cupy-cuda12x[ctk]' or 'cupy-cuda13x[ctk]'") from None


def _check(status: int) -> None:
    if status:
        error = (NotSupported if status in REFUSALS else BlasError)(f"cuBLASLt: status {status}")
        error.status = status
        raise error


def _made(what: str, *arguments: Any) -> c_void_p:
    """What ``cublasLt<what>Create`` makes of these arguments."""
    made = c_void_p()
    _check(getattr(library(), f"cublasLt{what}Create")(byref(made), *arguments))
    return made


def _set(what: str, made: c_void_p, attribute: int, value: Any) -> None:
    """Set an attribute of something made, to a C value."""
    function = getattr(library(), f"cublasLt{what}SetAttribute")
    _check(function(made, attribute, byref(value), c_size_t(ctypes.sizeof(value))))


class _Handle:
    """One device's handle, and the workspace that lives as long as any captured graph may use it."""

    def __init__(self, xp: Any):
        self.handle = _made("")
        hopper = int(xp.cuda.Device().compute_capability) >= 90
        with persistent(xp):
            self.workspace = xp.empty(HOPPER_WORKSPACE if hopper else WORKSPACE, dtype=np.uint8)


@functools.cache
def _handle(device: int, xp: Any) -> _Handle:
    return _Handle(xp)


def gemm(
    a: Array,
    b: Array,
    out: Array | None = None,
    accumulate: bool = False,
    bias: Array | None = None,
    dtype: np.dtype | None = None,
) -> Array:
    """out <- a b, or out + a b, or a b + bias.

    Args:
        a, b: (M, K) and (K, N), or (B, M, K) and (B, K, N); row- or column-major, with any leading dimension.
        out: (M, N) or (B, M, N), row-major; a new array where left out.
        accumulate: add to ``out``.
        bias: (N,), added to every row.
        dtype: of a new array; by default that of ``a``. It may be float32 where the factors have 16 bits.
    Raises:
        BlasError: cuBLASLt has no algorithm for it.
    """
    xp = array_module(a)
    if out is None:
        out = xp.empty((*a.shape[:-1], b.shape[-1]), dtype=a.dtype if dtype is None else dtype)
    if not out.size:
        return out
    if not a.shape[-1]:
        if not accumulate:
            out[...] = 0 if bias is None else bias
        return out
    if bias is not None and a.dtype == np.float64:  # no such epilogue for float64
        gemm(a, b, out)
        out += bias
        return out
    a, b = _readable(a, xp), _readable(b, xp)
    plan = planned(a, b, out, Epilogue.NONE if bias is None else Epilogue.BIAS, bias)
    if plan is None:
        raise NotSupported(f"cuBLASLt has no algorithm for the product of {a.shape} and {b.shape}, {a.dtype}")
    plan(a, b, out, accumulate, bias)
    return out


def planned(a: Array, b: Array, out: Array, epilogue: Epilogue, vector: Array | None) -> "Plan | None":
    """How to compute out <- a b with that epilogue; None where cuBLASLt has no algorithm for it.

    Args:
        vector: the bias, or where a bias's gradient goes.
    """
    layouts: Any = _layout(a), _layout(b), _layout(out)
    if None in layouts or layouts[2][2]:  # a column-major square result would come transposed
        return None
    alignments = tuple(map(_alignment, (b, a, out))), 0 if vector is None else _alignment(vector)
    types = a.dtype, out.dtype
    return _plan(a.device.id, array_module(a), types, *layouts, *alignments, epilogue, precision.tensor_float())


def _readable(matrix: Array, xp: Any) -> Array:
    """The matrix, copied where it is neither row- nor column-major."""
    return matrix if _layout(matrix) is not None else xp.ascontiguousarray(matrix)


def _alignment(array: Array) -> int:
    """The largest power of two up to 256 that divides the address: a weight may lie anywhere in the flat buffer."""
    address = int(array.data.ptr) | 256
    return address & -address


def _layout(matrix: Array) -> tuple | None:
    """(rows, columns, column-major, leading dimension, batches, batch stride), in elements; None where it has none."""
    size = matrix.dtype.itemsize
    rows, columns = matrix.shape[-2:]
    batches = (matrix.shape[0], matrix.strides[0] // size) if matrix.ndim == 3 else (1, 0)
    of_row, of_column = (stride // size for stride in matrix.strides[-2:])
    if (of_column == 1 or columns == 1) and (of_row >= columns or rows == 1):
        return rows, columns, False, max(of_row, columns), *batches
    if (of_row == 1 or rows == 1) and (of_column >= rows or columns == 1):
        return rows, columns, True, max(of_column, rows), *batches
    return None


class Plan:
    """The descriptors of one setting and the algorithm chosen for it.

    Attributes:
        kernel: what stands for the kernel that runs: plans that have it in common compute in the same way.
    Raises:
        NotSupported: there is no algorithm.
    """

    def __init__(
        self,
        handle: _Handle,
        dtypes: tuple[np.dtype, np.dtype],
        a: tuple,
        b: tuple,
        out: tuple,
        alignments: tuple[int, int, int],
        vector_alignment: int,
        epilogue: Epilogue,
        tf32: bool,
    ):
        self.handle, (dtype, out_dtype) = handle, dtypes
        double = dtype == np.float64
        compute = COMPUTE_64F if double else COMPUTE_TF32 if tf32 and dtype == np.float32 else COMPUTE_32F
        self.number = c_double if double else c_float
        self.description = _made("MatmulDesc", compute, 1 if double else 0)
        # column-major the product is out^T = b^T a^T: b comes first, and a row-major matrix is already transposed.
        self._set(TRANSPOSE_A, c_int32(int(b[2])))
        self._set(TRANSPOSE_B, c_int32(int(a[2])))
        self._set(EPILOGUE, c_int32(epilogue))
        if vector_alignment:  # it is part of the choice: an address that is so aligned stands for the array's
            self._set(BIAS_POINTER, c_void_p(handle.workspace.data.ptr + vector_alignment))
        if epilogue == Epilogue.GELU_AUX_BIAS:
            self._set(AUX_DISTANCE, c_int64(out[1]))
            self._set(AUX_POINTER, c_void_p(handle.workspace.data.ptr))
        self.layouts = [self._layout(*each) for each in ((dtype, b), (dtype, a), (out_dtype, out))]
        self.algorithm = self._choose(alignments)
        self.epilogue = epilogue
        self.kernel = dtypes, epilogue, tuple(self.algorithm.algorithm)

    def _set(self, attribute: int, value: Any) -> None:
        _set("MatmulDesc", self.description, attribute, value)

    def _layout(self, dtype: np.dtype, layout: tuple) -> c_void_p:
        rows, columns, column_major, leading_dimension, batches, stride = layout
        height, width = (rows, columns) if column_major else (columns, rows)
        sizes = c_uint64(height), c_uint64(width), c_int64(leading_dimension)
        made = _made("MatrixLayout", REAL[dtype.name], *sizes)
        if batches > 1:
            _set("MatrixLayout", made, BATCH_COUNT, c_int32(batches))
            _set("MatrixLayout", made, BATCH_STRIDE, c_int64(stride))
        return made

    def _choose(self, alignments: tuple[int, int, int]) -> _Heuristic:
        preference = _made("MatmulPreference")
        _set("MatmulPreference", preference, MAX_WORKSPACE, c_uint64(self.handle.workspace.size))
        first, second, out = alignments
        for which, alignment in zip(MIN_ALIGNMENT, (first, second, out, out), strict=True):
            _set("MatmulPreference", preference, which, c_uint32(alignment))
        found, chosen = c_int(0), _Heuristic()
        *factors, result = self.layouts
        status = library().cublasLtMatmulAlgoGetHeuristic(
            self.handle.handle, self.description, *factors, result, result, preference, 1, byref(chosen), byref(found)
        )
        library().cublasLtMatmulPreferenceDestroy(preference)
        _check(status)
        if not found.value:
            raise NotSupported("cuBLASLt has no algorithm for this product")
        return chosen

    def __call__(
        self,
        a: Array,
        b: Array,
        out: Array,
        accumulate: bool = False,
        vector: Array | None = None,
        aux: Array | None = None,
    ) -> None:
        """Compute it.

        Args:
            vector: as in :func:`planned`.
            aux: (M, N) row-major, for what an activation is taken of.
        Raises:
            BlasError: the library refuses; :class:`NotSupported` where a choice of its own turns out not to serve.
        """
        if tracing.listener is None:
            self._run(a, b, out, accumulate, vector, aux)
        else:
            call = functools.partial(self._run, a, b, out, accumulate, vector, aux)
            bytes_moved = tracing.nbytes((a, b, out, vector, aux))
            tracing.listener(call, self._description(a, out), bytes_moved, 2 * out.size * a.shape[-1])

    def _description(self, a: Array, out: Array) -> str:
        """A product as a profile names it: rows x columns x terms of each sum, how many at once, what else it does."""
        sizes = f"{out.shape[-2]}x{out.shape[-1]}x{a.shape[-1]}"
        also = "" if self.epilogue in (Epilogue.NONE, Epilogue.BIAS) else f" {self.epilogue.name.lower()}"
        return f"gemm {sizes}{f' of {len(out)}' if out.ndim == 3 else ''} {a.dtype}{also}"

    def _run(self, a: Array, b: Array, out: Array, accumulate: bool, vector: Array | None, aux: Array | None) -> None:
        if vector is not None:
            self._set(BIAS_POINTER, c_void_p(vector.data.ptr))
        if aux is not None:
            self._set(AUX_POINTER, c_void_p(aux.data.ptr))
        first, second, layout = self.layouts
        alpha, beta, space = self.number(1), self.number(1 if accumulate else 0), self.handle.workspace
        pointers = [c_void_p(array.data.ptr) for array in (b, a, out)]
        stream = c_void_p(array_module(a).cuda.get_current_stream().ptr)
        _check(
            library().cublasLtMatmul(
                *(self.handle.handle, self.description, byref(alpha), pointers[0], first, pointers[1], second),
                *(byref(beta), pointers[2], layout, pointers[2], layout, byref(self.algorithm)),
                *(c_void_p(space.data.ptr), c_size_t(space.size), stream),
            )
        )


@functools.lru_cache(maxsize=1024)
def _plan(device: int, xp: Any, *settings: Any) -> Plan | None:
    handle = _handle(device, xp)
    try:
        return Plan(handle, *settings)
    except NotSupported:
        return None
