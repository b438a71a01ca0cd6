"""cuBLASLt's C API as far as the package uses it, computed by NumPy on the memory that it is pointed to."""

import ctypes
import itertools
from typing import Any

import numpy as np

from tests.cuda_host import capture

DTYPES = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}


class Library:
    """What ``ctypes.CDLL`` would give."""

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

    def cublasLtMatmulAlgoGetHeuristic(self, *arguments: Any) -> int:  # noqa: N802
        arguments[-1]._obj.value = 1
        return 0

    def cublasLtMatmul(  # noqa: N802
        self, handle: Any, description: Any, alpha: Any, a: Any, a_layout: Any, b: Any, b_layout: Any,
        beta: Any, c: Any, c_layout: Any, d: Any, d_layout: Any, algorithm: Any, space: Any, size: Any, stream: Any,
    ) -> int:  # fmt: skip
        target = self._matrices(d, d_layout)
        capture.changing([target])
        # The description's bias pointer is set anew before each call: what it is now belongs to this one.
        what = dict(self.objects[description.value]["attributes"])

        def multiply() -> None:
            self._multiply(what, alpha, self._matrices(a, a_layout), self._matrices(b, b_layout), beta, target)

        multiply()
        capture.note(multiply, [], [target], name="product")
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
        if what[7] == 4:
            memory = (ctypes.c_char * (target.shape[1] * target.itemsize)).from_address(what[8])
            result += np.ndarray(target.shape[1], target.dtype, memory)[None, :, None].astype(result.dtype)
        target[...] = result

    def _matrices(self, pointer: Any, layout: Any) -> np.ndarray:
        """(batches, rows, columns) where they lie, by columns."""
        of = self.objects[layout.value]
        dtype = np.dtype(DTYPES[of["kind"]])
        batches, stride, itemsize = of["attributes"][5], of["attributes"][6], dtype.itemsize
        last = (batches - 1) * stride + (of["columns"] - 1) * of["distance"] + of["rows"]
        memory = (ctypes.c_char * (last * itemsize)).from_address(pointer.value)
        strides = (stride * itemsize, itemsize, of["distance"] * itemsize)
        return np.ndarray((batches, of["rows"], of["columns"]), dtype, memory, strides=strides)
