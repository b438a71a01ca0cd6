"""A step in steady state takes no fresh memory from the system; scratch belongs to one thread."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from dlcourse.backend.cpu import memory

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


@pytest.mark.skipif(not memory.disable_malloc_trim(), reason="no glibc here, whose allocator can keep pages")
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
