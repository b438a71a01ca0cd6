"""cuBLASLt's C API as far as the package uses it, computed by NumPy on the memory that it is pointed to."""

import ctypes
import functools
import itertools
from typing import Any

import numpy as np

from dlcourse.backend.kernels.activation import gelu_tanh
from tests.cuda_host import capture

DTYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}


class Library:
    """What ``ctypes.CDLL`` would give."""

    relu_keeps_nan = True
    """NVIDIA does not say whether it does; a test may try the other."""
    gelu = staticmethod(gelu_tanh.reference)
    """Nor how well it approximates GELU."""
    unsupported: frozenset[int] = frozenset()
    """Epilogues for which there is no algorithm."""

    def __init__(self) -> None:
        self.objects: dict[int, dict] = {}
        self.numbers = itertools.count(1)
        self.calls = 0

    def _make(self, made: Any, **what: Any) -> int:
        made._obj.value = next(self.numbers)
        self.objects[made._obj.value] = what
        return 0

    def cublasLtCreate(self, made: Any) -> int:  # noqa: N802 - the library's own names
        return self._make(made)

    def cublasLtMatmulDescCreate(self, made: Any, compute: int, scale: int) -> int:  # noqa: N802
        return self._make(made, compute=compute, scale=scale, attributes={})

    def cublasLtMatmulDescSetAttribute(self, made: Any, which: int, value: Any, size: Any) -> int:  # noqa: N802
        assert ctypes.sizeof(value._obj) == size.value
        self.objects[made.value]["attributes"][which] = value._obj.value
        return 0

    def cublasLtMatrixLayoutCreate(self, made: Any, kind: int, rows: Any, columns: Any, distance: Any) -> int:  # noqa: N802
        assert distance.value >= rows.value
        sizes = dict(rows=rows.value, columns=columns.value, distance=distance.value)
        return self._make(made, kind=kind, attributes={5: 1, 6: 0}, **sizes)

    def cublasLtMatrixLayoutSetAttribute(self, made: Any, which: int, value: Any, size: Any) -> int:  # noqa: N802
        return self.cublasLtMatmulDescSetAttribute(made, which, value, size)

    def cublasLtMatmulPreferenceCreate(self, made: Any) -> int:  # noqa: N802
        return self._make(made, attributes={})

    cublasLtMatmulPreferenceSetAttribute = cublasLtMatrixLayoutSetAttribute  # noqa: N815

    def cublasLtMatmulPreferenceDestroy(self, made: Any) -> int:  # noqa: N802
        del self.objects[made.value]
        return 0

    def cublasLtMatmulAlgoGetHeuristic(self, handle: Any, description: Any, *arguments: Any) -> int:  # noqa: N802
        found = self.objects[description.value]["attributes"][7] not in self.unsupported
        arguments[-1]._obj.value = int(found)
        return 0 if found else 15

    def cublasLtMatmul(  # noqa: N802
        self, handle: Any, description: Any, alpha: Any, a: Any, a_layout: Any, b: Any, b_layout: Any,
        beta: Any, c: Any, c_layout: Any, d: Any, d_layout: Any, algorithm: Any, space: Any, size: Any, stream: Any,
    ) -> int:  # fmt: skip
        target = self._matrices(d, d_layout)
        # The description's pointers are set anew before each call: what they are now belongs to this one.
        what = dict(self.objects[description.value]["attributes"])
        written = self._written(what, target)
        capture.changing(written)

        def multiply() -> None:
            self._multiply(what, alpha, self._matrices(a, a_layout), self._matrices(b, b_layout), beta, target)

        multiply()
        capture.note(multiply, [], written, name="product")
        return 0

    def _multiply(
        self, what: dict, alpha: Any, first: np.ndarray, second: np.ndarray, beta: Any, target: np.ndarray
    ) -> None:
        self.calls += 1
        first = first.swapaxes(1, 2) if what[3] else first
        second = second.swapaxes(1, 2) if what[4] else second
        if first.dtype.itemsize == 2:  # factors of 16 bits, sums in float32
            first, second = first.astype(np.float32), second.astype(np.float32)
        result = alpha._obj.value * (first @ second)
        if beta._obj.value:
            result += beta._obj.value * target.astype(result.dtype)
        epilogue = what[7]
        if epilogue & 4:
            result += _vector(what[8], target.shape[1], target.dtype)[None, :, None].astype(result.dtype)
        if epilogue & 128:
            assert what[12] % 8 == 0 and what[12] >= target.shape[1]
            aux = _vector(what[11], what[12] * target.shape[2], target.dtype).reshape(target.shape[2], what[12])
            aux[:, : target.shape[1]] = result[0].T
        if epilogue & 2:
            result = np.maximum(result, 0) if self.relu_keeps_nan else np.fmax(result, 0)
        if epilogue & 32:
            result = self.gelu(result)
        if epilogue & 512:
            _vector(what[8], target.shape[2], target.dtype)[...] = second[0].sum(axis=0)
        target[...] = result

    def _written(self, what: dict, target: np.ndarray) -> list[np.ndarray]:
        """What a product with these attributes writes into."""
        aux = [_vector(what[11], what[12] * target.shape[2], target.dtype)] if what[7] & 128 else []
        return [target, *aux, *([_vector(what[8], target.shape[2], target.dtype)] if what[7] & 512 else [])]

    def _matrices(self, pointer: Any, layout: Any) -> np.ndarray:
        """(batches, rows, columns) where they lie, column-major."""
        of = self.objects[layout.value]
        dtype = np.dtype(DTYPES[of["kind"]])
        batches, stride, itemsize = of["attributes"][5], of["attributes"][6], dtype.itemsize
        last = (batches - 1) * stride + (of["columns"] - 1) * of["distance"] + of["rows"]
        memory = _bytes(last * itemsize).from_address(pointer.value)
        strides = (stride * itemsize, itemsize, of["distance"] * itemsize)
        return np.ndarray((batches, of["rows"], of["columns"]), dtype, memory, strides=strides)


@functools.cache
def _bytes(size: int) -> type[ctypes.Array]:
    """So much memory; kept, since a type without a reference is garbage in a cycle, which tests count."""
    return ctypes.c_char * size


def _vector(pointer: int, size: int, dtype: np.dtype) -> np.ndarray:
    return np.ndarray(size, dtype, _bytes(size * dtype.itemsize).from_address(pointer))
