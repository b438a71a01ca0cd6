"""cuDNN's C API as far as the package uses it, computed by NumPy on the memory that it is pointed to.

Descriptors are taken at their word: arrays are read and written by the strides that were given for them, so that a
stride, a padding or an order of axes that is wrong gives wrong numbers, or a size that does not fit.
"""

import ctypes
import itertools
from typing import Any

import numpy as np

from tests.cuda_host import capture

DTYPES = {0: np.float32, 2: np.float16}
NHWC, CROSS_CORRELATION = 1, 1
BAD_PARAM, NOT_SUPPORTED = 2000, 3000

# As cuDNN might answer: number, status, workspace, deterministic. Those that must not be taken come first, and one
# comes several times, as it does for several kinds of arithmetic.
UNFIT = [(3, NOT_SUPPORTED, 0, 1), (0, 0, 0, 0), (2, 0, 300 << 20, 1)]
ALGORITHMS = UNFIT + [(1, 0, 4096, 1)] * 3 + [(5, 0, 0, 1)]


class Library:
    """What ``ctypes.CDLL`` would give."""

    def __init__(self) -> None:
        self.objects: dict[int, dict] = {}
        self.numbers = itertools.count(1)
        self.calls: list[tuple[str, int]] = []
        self.results: list[int] = []
        """Every pass that was run: its name and its algorithm."""
        self.maths: set[int] = set()
        """The kinds of arithmetic that passes were run with."""
        self.status = 0
        """What the passes answer."""
        self.factor = 1.0
        """By which results are wrong."""

    def _make(self, made: Any) -> int:
        made._obj.value = next(self.numbers)
        self.objects[made._obj.value] = {}
        return 0

    cudnnCreate = cudnnCreateTensorDescriptor = cudnnCreateFilterDescriptor = _make  # noqa: N815 - the library's names
    cudnnCreateConvolutionDescriptor = _make  # noqa: N815

    def _of(self, descriptor: Any) -> dict:
        return self.objects[descriptor.value]

    def cudnnSetStream(self, handle: Any, stream: Any) -> int:  # noqa: N802
        self._of(handle)["stream"] = stream.value
        return 0

    def cudnnSetTensor4dDescriptorEx(self, made: Any, kind: int, *numbers: int) -> int:  # noqa: N802
        self._of(made).update(kind=kind, shape=numbers[:4], strides=numbers[4:])
        return 0

    def cudnnSetFilter4dDescriptor(self, made: Any, kind: int, layout: int, k: int, c: int, h: int, w: int) -> int:  # noqa: N802
        strides = (h * w * c, 1, w * c, c) if layout == NHWC else (c * h * w, h * w, w, 1)
        self._of(made).update(kind=kind, shape=(k, c, h, w), strides=strides)
        return 0

    def cudnnSetConvolution2dDescriptor(  # noqa: N802
        self, made: Any, pad_h: int, pad_w: int, stride_h: int, stride_w: int, dilation_h: int, dilation_w: int,
        mode: int, compute: int,
    ) -> int:  # fmt: skip
        assert compute == 0
        pairs = dict(padding=(pad_h, pad_w), stride=(stride_h, stride_w), dilation=(dilation_h, dilation_w))
        self._of(made).update(pairs, turned=mode != CROSS_CORRELATION, groups=1, math=0)
        return 0

    def cudnnSetConvolutionMathType(self, made: Any, math: int) -> int:  # noqa: N802
        self._of(made)["math"] = math
        return 0

    def cudnnSetConvolutionGroupCount(self, made: Any, groups: int) -> int:  # noqa: N802
        self._of(made)["groups"] = groups
        return 0

    def __getattr__(self, name: str) -> Any:
        """The functions that there are once for each pass."""
        for which in ("Forward", "BackwardData", "BackwardFilter"):
            generic = name.replace(which, "")
            if which in name and (function := getattr(type(self), f"_{generic}", None)):
                return lambda *arguments: function(self, which, *arguments)
        raise AttributeError(f"the twin of cuDNN has no {name}")

    def _cudnnGetConvolutionAlgorithmMaxCount(self, which: str, handle: Any, count: Any) -> int:  # noqa: N802
        count._obj.value = len(ALGORITHMS)
        return 0

    def _cudnnGetConvolutionAlgorithm_v7(  # noqa: N802
        self, which: str, handle: Any, a: Any, b: Any, settings: Any, c: Any, most: Any, count: Any, found: Any
    ) -> int:
        if not self._fits(which, a, b, settings, c):
            return BAD_PARAM
        for place, (number, status, memory, determinism) in zip(found, ALGORITHMS[: most.value], strict=True):
            place.algorithm, place.status, place.determinism, place.memory = number, status, determinism, memory
        count._obj.value = most.value
        return 0

    def _cudnnGetConvolutionWorkspaceSize(  # noqa: N802
        self, which: str, handle: Any, a: Any, b: Any, settings: Any, c: Any, algorithm: int, size: Any
    ) -> int:
        size._obj.value = self._workspace(algorithm)
        return 0

    def _cudnnConvolution(  # noqa: N802
        self, which: str, handle: Any, alpha: Any, a: Any, a_data: Any, b: Any, b_data: Any, settings: Any,
        algorithm: int, space: Any, size: Any, beta: Any, c: Any, c_data: Any,
    ) -> int:  # fmt: skip
        assert alpha._obj.value == 1 and beta._obj.value == 0 and "stream" in self._of(handle)
        assert size.value >= self._workspace(algorithm) and (space.value is None) == (size.value == 0)
        assert all(pointer.value % 16 == 0 for pointer in (a_data, b_data, c_data))
        self.calls.append((which, algorithm))
        self.results.append(c_data.value)
        self.maths.add(self._of(settings)["math"])
        if self.status:
            return self.status
        arrays = self._array(a, a_data), self._array(b, b_data), self._array(c, c_data)
        if space.value is not None:
            ctypes.memset(space.value, 0xFF, size.value)  # whatever else lies there is lost
        capture.changing([arrays[2]])
        compute = {"Forward": forward, "BackwardData": input_grad, "BackwardFilter": weight_grad}[which]

        def run() -> None:
            arrays[2][...] = self.factor * compute(*arrays, **self._settings(settings))

        run()
        capture.note(run, [], [arrays[2]], arrays, "cudnn convolution")
        return 0

    def _workspace(self, algorithm: int) -> int:
        return next(memory for number, _, memory, _ in ALGORITHMS if number == algorithm)

    def _settings(self, descriptor: Any) -> dict:
        return {key: value for key, value in self._of(descriptor).items() if key != "math"}

    def _fits(self, which: str, a: Any, b: Any, settings: Any, c: Any) -> bool:
        """Whether the output's sizes are those of the input, the filter and the settings."""
        of = dict(zip(("Forward", "BackwardData", "BackwardFilter"), ((0, 1, 2), (2, 0, 1), (0, 2, 1)), strict=True))
        x, weight, y = ((self._of((a, b, c)[place])["shape"]) for place in of[which])
        what = self._of(settings)
        size = tuple(
            (x[axis + 2] + 2 * what["padding"][axis] - what["dilation"][axis] * (weight[axis + 2] - 1) - 1)
            // what["stride"][axis] + 1
            for axis in (0, 1)
        )  # fmt: skip
        return y == (x[0], weight[0], *size) and x[1] == weight[1] * what["groups"]

    def _array(self, descriptor: Any, pointer: Any) -> np.ndarray:
        """(N, C, H, W), or (O, C, kh, kw), where it lies."""
        of, dtype = self._of(descriptor), np.dtype(DTYPES[self._of(descriptor)["kind"]])
        count = 1 + sum((size - 1) * stride for size, stride in zip(of["shape"], of["strides"], strict=True))
        memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(pointer.value)
        strides = [stride * dtype.itemsize for stride in of["strides"]]
        return np.ndarray(of["shape"], dtype, memory, strides=strides)


def _places(x: np.ndarray, weight: np.ndarray, y: np.ndarray, settings: dict) -> Any:
    """Every tap with the channels of a group, and the part of the padded input that it sees."""
    (top, left), (down, right), (tall, wide) = (settings[name] for name in ("padding", "stride", "dilation"))
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, top), (left, left)))
    groups, (height, width) = settings["groups"], y.shape[2:]
    inputs, outputs = x.shape[1] // groups, y.shape[1] // groups
    for group, i, j in np.ndindex(groups, *weight.shape[2:]):
        rows = slice(i * tall, i * tall + (height - 1) * down + 1, down)
        columns = slice(j * wide, j * wide + (width - 1) * right + 1, right)
        tap = (weight.shape[2] - 1 - i, weight.shape[3] - 1 - j) if settings["turned"] else (i, j)
        into, out_of = slice(group * inputs, (group + 1) * inputs), slice(group * outputs, (group + 1) * outputs)
        yield (out_of, slice(None), *tap), padded, (slice(None), into, rows, columns), (slice(None), out_of)


def forward(x: np.ndarray, weight: np.ndarray, y: np.ndarray, **settings: Any) -> np.ndarray:
    result = np.zeros(y.shape)
    for tap, padded, seen, out in _places(x, weight, y, settings):
        result[out] += np.einsum("nchw,oc->nohw", padded[seen], weight[tap])
    return result


def input_grad(weight: np.ndarray, dy: np.ndarray, dx: np.ndarray, **settings: Any) -> np.ndarray:
    total, (top, left) = None, settings["padding"]
    for tap, padded, seen, out in _places(np.zeros(dx.shape), weight, dy, settings):
        total = padded if total is None else total
        total[seen] += np.einsum("nohw,oc->nchw", dy[out], weight[tap])
    return total[:, :, top : top + dx.shape[2], left : left + dx.shape[3]]


def weight_grad(x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, **settings: Any) -> np.ndarray:
    result = np.zeros(dweight.shape)
    for tap, padded, seen, out in _places(x, dweight, dy, settings):
        result[tap] = np.einsum("nohw,nchw->oc", dy[out], padded[seen])
    return result
