"""The peaks of memory, what is left of it, and its end."""

import subprocess
import sys

import numpy as np
import pytest

from dlcourse import backend, nn, optim
from dlcourse.backend import memory
from dlcourse.backend.cuda.blas import BlasError, _check


def test_the_host_s_peak_follows_what_is_held() -> None:
    code = (
        "import numpy as np; from dlcourse.backend import memory; before = memory.peaks()['host'];"
        "np.ones(25_000_000); print(memory.peaks()['host'] - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert 190e6 < int(done.stdout) < 260e6, done.stdout + done.stderr


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 15, 30730])
def test_buffers_of_a_model_begin_with_a_cache_line(count: int, dtype: str) -> None:
    array = memory.aligned_zeros(count, np.dtype(dtype), np)
    assert array.shape == (count,) and array.dtype == dtype and array.flags.c_contiguous and array.flags.writeable
    assert not array.any() and (count == 0 or array.ctypes.data % 64 == 0)


def test_weights_gradients_and_state_do(device: str) -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    optimizer = optim.Adam(model.parameters())
    arrays = [optimizer.flat.data, optimizer.flat.grad, *optimizer.state.values()]
    assert device != "cpu" or [array.ctypes.data % 64 for array in arrays] == [0] * len(arrays)


def test_a_device_s_pools_are_counted_while_their_owners_live(device: str) -> None:
    class Pool:
        def total_bytes(self) -> int:
            return 1 << 40

    class Owner:
        pass

    owner = Owner()
    memory.start_counting()
    before = memory.peaks().get("device")
    assert (before is None) == (device == "cpu")
    memory.count_pool(owner, Pool())
    if before is not None:
        saved = backend.current().xp.ones(1 << 18, dtype=np.float32)
        assert memory.peaks()["device"] >= before + (1 << 40) + saved.nbytes
        del owner
        assert before + saved.nbytes <= memory.peaks()["device"] < 1 << 40


def test_sizes_are_said_in_the_unit_that_fits() -> None:
    assert memory.format_peaks({"host": 310 << 20, "device": 5 << 28}) == "peak memory: device 1.25 GiB, host 310 MiB"
    assert memory.format_peaks({}) == "peak memory: not known"


def test_what_out_of_memory_is() -> None:
    class CUDARuntimeError(RuntimeError):
        status = 2

    class Other(RuntimeError):
        status = 2

    assert memory.out_of_memory(MemoryError()) and memory.out_of_memory(CUDARuntimeError())
    assert not memory.out_of_memory(Other()) and not memory.out_of_memory(KeyboardInterrupt())
    for status, full in ((3, True), (7, False)):
        with pytest.raises(BlasError) as raised:
            _check(status)
        assert memory.out_of_memory(raised.value) is full


def test_cupy_s_own_errors_are_known() -> None:
    runtime = pytest.importorskip("cupy_backends.cuda.api.runtime")
    pool = pytest.importorskip("cupy.cuda.memory")
    assert memory.out_of_memory(runtime.CUDARuntimeError(2)) and not memory.out_of_memory(runtime.CUDARuntimeError(35))
    assert memory.out_of_memory(pool.OutOfMemoryError(10, 20, 30))
