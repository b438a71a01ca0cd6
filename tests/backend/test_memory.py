"""A step in steady state takes no fresh memory from the system; scratch belongs to one thread; peaks and their end."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend import memory
from dlcourse.backend.cuda.blas import BlasError, _check

PROGRAM = """
import resource, sys
import numpy as np
from dlcourse import models, nn, optim
from dlcourse.training.step import TrainStep

model = models.VGG((32, 32, 3), 10, [16, "pool", 32, "pool"])
step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 32, 32, 3)).astype("f"), rng.integers(0, 10, 64)
for _ in range(5):
    step(x, y)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step(x, y)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""


@pytest.mark.skipif(not memory.disable_malloc_trim(), reason="no glibc here, whose allocator can be told to keep pages")
def test_a_steady_step_faults_no_pages_in() -> None:
    """One 4 MB activation from fresh memory would be 1,000 pages of 4 KB, or two of 2 MB for each of its users."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert float(done.stdout) < 50, done.stdout + done.stderr


def test_scratch_is_taken_over_by_the_next_call() -> None:
    first = memory.scratch("test", (3, 4), np.dtype(np.float32))
    second = memory.scratch("test", (2, 2), np.dtype(np.float64))
    assert np.shares_memory(first, second) and second.shape == (2, 2) and second.dtype == np.float64
    assert not np.shares_memory(first, memory.scratch("other", (3, 4), np.dtype(np.float32)))


def test_scratch_belongs_to_one_thread() -> None:
    mine, theirs = memory.scratch("test", (8,), np.dtype(np.float32)), []
    thread = threading.Thread(target=lambda: theirs.append(memory.scratch("test", (8,), np.dtype(np.float32))))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, theirs[0])


def test_the_host_s_peak_follows_what_is_held() -> None:
    code = (
        "import numpy as np; from dlcourse.backend import memory; before = memory.peaks()['host'];"
        "np.ones(25_000_000); print(memory.peaks()['host'] - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert 190e6 < int(done.stdout) < 260e6, done.stdout + done.stderr


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
        kept = backend.current().xp.ones(1 << 18, dtype=np.float32)
        assert memory.peaks()["device"] >= before + (1 << 40) + kept.nbytes
        del owner
        assert before + kept.nbytes <= memory.peaks()["device"] < 1 << 40


def test_sizes_are_said_in_the_unit_that_fits() -> None:
    assert memory.described({"host": 310 << 20, "device": 5 << 28}) == "peak memory: device 1.25 GiB, host 310 MiB"
    assert memory.described({}) == "peak memory: not known"


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
