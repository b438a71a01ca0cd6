"""What oneDNN writes: only the arrays that it was given, and a scratchpad that is large enough for each thread."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest

from dlcourse.backend.cpu import onednn
from dlcourse.backend.kernels import all_kernels
from tests.backend.kernel_cases import CASES, complete

pytestmark = pytest.mark.skipif(not onednn.available(), reason="oneDNN is not installed (extra cpu)")

FENCE, FILL = 4096, 0xA5


class Fenced:
    """A copy of the bytes of an array with a fence of known bytes on both sides."""

    def __init__(self, array: np.ndarray):
        self.start, end = np.lib.array_utils.byte_bounds(array)
        self.size = end - self.start
        self.bytes = np.full(self.size + 2 * FENCE, FILL, dtype=np.uint8)
        self.address = self.bytes.ctypes.data + FENCE
        ctypes.memmove(self.address, self.start, self.size)

    def give_back(self) -> bool:
        """Copy what was written back into the array; whether both fences stand."""
        ctypes.memmove(self.start, self.address, self.size)
        return bool((self.bytes[:FENCE] == FILL).all() and (self.bytes[FENCE + self.size :] == FILL).all())


@pytest.fixture
def fenced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every primitive works on fenced copies, its scratchpad too; a list of the arguments whose fences fell."""
    fallen: list[str] = []
    hang = onednn.library().dnnl_memory_set_data_handle

    def call(self: onednn.Primitive, arrays: Mapping[int, np.ndarray]) -> None:
        if self.scratchpad_bytes:
            arrays = {**arrays, onednn.SCRATCHPAD: np.empty(self.scratchpad_bytes, dtype=np.uint8)}
        copies = {array.ctypes.data: Fenced(array) for array in arrays.values()}  # one that is in and out stays one
        for which, array in arrays.items():
            copy = copies[array.ctypes.data]
            offset = array.ctypes.data - copy.start
            hang(self.memories[which], ctypes.c_void_p(copy.address + offset))
        stream = onednn._engine_and_stream()[1]
        onednn.check(onednn.library().dnnl_primitive_execute(self.handle, stream, len(self.arguments), self.arguments))
        fallen.extend(str(arrays) for copy in copies.values() if not copy.give_back())
        calls.append(self)

    calls: list[onednn.Primitive] = []
    monkeypatch.setattr(onednn.Primitive, "__call__", call)
    yield fallen
    assert calls, "oneDNN was not called"


def test_a_primitive_writes_nothing_but_its_arrays(fenced: list[str]) -> None:
    for chosen in all_kernels():
        for index, make in enumerate(CASES[chosen.name]):
            chosen(*complete(make(np.random.default_rng(index), np.float32)))
            assert not fenced, f"{chosen.name}, case {index}: written beside {fenced}"


THREADS = """
import threading, numpy as np
from dlcourse.backend.cpu import conv_onednn, recurrent_onednn
from dlcourse.backend.kernels.conv import ConvGeometry

def computed():
    rng = np.random.default_rng(0)
    x, w, y = (rng.normal(size=s).astype("f") for s in ((16, 28, 28, 30), (50, 3, 3, 30), (16, 28, 28, 50)))
    found = [conv_onednn.conv2d_weight_grad(y, x, w.shape, ConvGeometry(padding=(1, 1)), None)]
    sizes = (16, 32, 64), (16, 128), (16, 128), (512, 64), (512, 128), (512,)
    found += recurrent_onednn.lstm_layer(*(rng.normal(size=s).astype("f") for s in sizes))[:2]
    results.append(found)

results = []
for target in (computed, computed):  # the first makes the primitives, and ends
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
computed()
print(all(np.array_equal(a, b) for other in results[1:] for a, b in zip(results[0], other)))
"""


def test_a_primitive_made_by_one_thread_runs_in_another() -> None:
    """oneDNN's own scratchpad is the making thread's: another one crashed, or wrote over its own heap."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
