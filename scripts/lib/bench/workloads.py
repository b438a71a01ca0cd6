"""The workloads: sizes of their batches, the same numbers for everyone, and how a step is timed."""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """One row of the table: float32, the batch in memory; a step is forward, loss, backward, optimizer."""

    name: str
    batch: int
    shape: tuple[int, ...]
    classes: int
    optimizer: str
    about: str

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch: images or rows with labels, or tokens with the next tokens."""
        rng = np.random.default_rng(0)
        if len(self.shape) == 1 and self.classes > 10:
            return tuple(rng.integers(0, self.classes, (self.batch, *self.shape)) for _ in range(2))
        x = rng.normal(size=(self.batch, *self.shape)).astype(np.float32)
        return x, rng.integers(0, self.classes, self.batch)


IMAGE = (32, 32, 3)
VGG_LAYERS = [32, 32, "pool", 64, 64, "pool", 128, "pool"]

WORKLOADS = {
    w.name: w
    for w in (
        Workload("softmax", 200, (3072,), 10, "sgd", "Linear 3072-10"),
        Workload("mlp", 128, (3072,), 10, "adam", "3072-512-512-10, ReLU"),
        Workload("cnn3", 128, IMAGE, 10, "adam", "conv 7x7 32, max pool, Linear 8192-100-10"),
        Workload("vgg", 128, IMAGE, 10, "momentum", "3x3: 32 32 / 64 64 / 128, batch norm"),
        Workload("resnet20", 128, IMAGE, 10, "momentum", "He et al. for CIFAR-10"),
        Workload("airbench", 250, IMAGE, 10, "muon", "08_cnn/cifar10_94, an eighth of its batch"),
        Workload("lstm", 64, (64,), 65, "adam", "Embedding 65-64, LSTM 256, 64 steps"),
        Workload("gpt", 64, (64,), 65, "adamw", "4 layers, 4 heads, width 128, context 64"),
    )
}


def timed(step: Callable[[], object], seconds: float) -> dict[str, float]:
    """Of a warm step the median time, the processor time of all threads, page faults; the process's peak memory."""
    for _ in range(3):
        step()
    times: list[float] = []
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    used = time.process_time() - used
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "ms": 1e3 * statistics.median(times),
        "cpu_ms": 1e3 * used / len(times),
        "steps": len(times),
        "faults": (usage.ru_minflt - faults) / len(times),
        "peak_mb": usage.ru_maxrss / 1024,
    }
