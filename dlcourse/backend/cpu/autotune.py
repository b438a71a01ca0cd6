"""Choose the fastest of several ways to compute one thing on the CPU: measured once on each machine, and then kept.

A run on a CPU repeats bit for bit on one machine, and other ways round otherwise. So a choice is made before the first
use, holds for good, and lies in a file: ``products/<machine>/<setting>.json`` in the cache folder, where the machine is
its processor, its number of threads and its libraries with their versions. Of two processes that measure at once the
first to write the file decides for both. Where no file can be kept, and with ``--deterministic``, nothing is measured
and our own way is taken. A checkpoint has the choices too: a run goes on with them where the files are gone.

The machine may be busy. So the ways take turns, calls that were disturbed do not count, the third least time of each
way has to be within a tenth of its least, and another way than our own must be faster by a tenth; else our own stays.
They are timed between two passes of oneDNN over an array, as a step has them: its threads have just worked, and what a
way with other threads costs those that go on is part of its time.
"""

import functools
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

from dlcourse import resources
from dlcourse.backend import determinism
from dlcourse.backend.autotune import DEFAULT, Candidate, Choice, kept, require_close
from dlcourse.backend.cpu import mkl, onednn, threads
from dlcourse.backend.diagnostics import probe
from dlcourse.backend.kernels import Unsupported

SWITCH = "DLCOURSE_TIMED_PRODUCTS"
"""Environment variable: ``0`` leaves products to the rule, as ``--deterministic`` does."""

MARGIN, AGREEMENT = 1.1, 1.1
MIN_ROUNDS, ROUNDS, SECONDS = 4, 12, 0.25
"""A setting is measured for so many rounds, and on until each way's times agree; for the least number of rounds in any
case, and for no more where so many seconds are over."""
FRESH_PAGES = 8
"""A call that took more of them from the system does not count, as none of a training step does: a library's first
calls take some until its working memory lies in the process (oneDNN's ``sgemm``: 20 calls of 3.4 ms, then of 1.9)."""
UNDISTURBED = 0.8
"""Of a call's time the share that the calling thread has to have computed. With less it, or another one that it waited
for, had no core: where 24 processes want two cores, times of 8 ms for 0.3 agree with each other."""
PASS = 1 << 16
"""Numbers of the array that oneDNN goes over before and after."""

clock, own_clock = time.perf_counter, time.thread_time
_measuring = threading.RLock()


def choose(key: str, own: Candidate, others: Callable[[], Mapping[str, Candidate]], error: float) -> str:
    """The name of the fastest candidate, DEFAULT for our own.

    Args:
        key: of all that the time depends on, but for the machine; it becomes the name of a file.
        own: our own way, which always works.
        others: gives the other candidates by their names. Each may be called again and again.
        error: the largest difference from our own result that another candidate may have, as a share of that result's
            largest element.
    """
    if not allowed():
        return DEFAULT
    names, candidates = kept.setdefault(digest(), {}), others()
    with _measuring:
        if key not in names:
            names[key] = _found(key, own, candidates, error)
    return names[key] if names[key] in candidates else DEFAULT


def allowed() -> bool:
    """Whether time may decide."""
    return not determinism.demanded() and os.environ.get(SWITCH) != "0"


@functools.cache
def machine() -> dict[str, Any]:
    """All that times, and the last bits of results, depend on."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "processor": resources.processor(),
        "threads": threads.budget(),
        "numpy": np.__version__,
        "blas": [blas.get("name"), blas.get("version"), os.environ.get("OPENBLAS_CORETYPE")],
        "onednn": [onednn.version(), onednn.instructions()],
        "mkl": probe.package_version(mkl.PACKAGE) if mkl.available() else None,
    }


@functools.cache
def digest() -> str:
    """The machine in twelve hexadecimal digits."""
    return hashlib.sha256(json.dumps(machine(), sort_keys=True).encode()).hexdigest()[:12]


def folder() -> Path:
    """Where this machine's choices are kept.

    Raises:
        RuntimeError: there is no place for them.
    """
    return resources.cache_folder() / "products" / digest()


def _found(key: str, own: Candidate, others: Mapping[str, Candidate], error: float) -> str:
    """The name in the key's file, measured and written first if it is not there; our own where that cannot be."""
    try:
        path = folder() / f"{key}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _keep(path, _measured(own, others, error))
        return str(json.loads(path.read_text(encoding="utf-8"))["name"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return DEFAULT


def _keep(path: Path, choice: Choice) -> None:
    """Write a choice, unless another process has done so meanwhile."""
    written = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        written.write_text(json.dumps(asdict(choice) | {"machine": machine()}, indent=1), encoding="utf-8")
        try:
            os.link(written, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)


def _measured(own: Candidate, others: Mapping[str, Candidate], error: float) -> Choice:
    choice, timed, expected = Choice(), {}, own().copy()
    for name, candidate in {DEFAULT: own, **others}.items():
        try:
            require_close(candidate(), expected, error)
            timed[name] = candidate
        except (Unsupported, ArithmeticError, RuntimeError) as refusal:
            choice.left_out[name] = f"{type(refusal).__name__}: {refusal}"
    times = _times(timed) if len(timed) > 1 else {}
    choice.milliseconds = {name: 1e3 * min(each) for name, each in times.items() if each}
    choice.name = _fastest(times)
    return choice


def _times(candidates: Mapping[str, Candidate]) -> dict[str, list[float]]:
    """Seconds of each call."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    work, began = _pass(), clock()
    for done in range(10 * ROUNDS):
        late = clock() - began > SECONDS
        if done >= MIN_ROUNDS and (late or all(len(each) >= ROUNDS and _steady(each) for each in times.values())):
            break
        for name, candidate in candidates.items():
            work()
            pages, worked, start = _pages(), own_clock(), clock()
            candidate()
            work()
            took = clock() - start
            if own_clock() - worked >= UNDISTURBED * took and _pages() - pages <= FRESH_PAGES:
                times[name].append(took)
    return times


def _pages() -> int:
    """How many pages this process has asked the system for; always 0 where that is not known."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def _steady(times: list[float]) -> bool:
    return len(times) > 2 and sorted(times)[2] <= AGREEMENT * min(times)


def _fastest(times: Mapping[str, list[float]]) -> str:
    """The name of the one to take."""
    thirds = {name: sorted(each)[2] for name, each in times.items() if _steady(each)}
    if DEFAULT not in thirds:
        return DEFAULT
    best = min(thirds, key=lambda name: thirds[name])
    return best if MARGIN * thirds[best] < min(times[DEFAULT]) else DEFAULT


def _pass() -> Callable[[], None]:
    """Work for oneDNN's threads; none where it is absent."""
    if not onednn.available():
        return lambda: None
    array = np.zeros(PASS, dtype=np.float32)
    add = onednn.elementwise(PASS, onednn.ADD, "array")
    return lambda: add({onednn.SRC: array, onednn.SRC_1: array, onednn.DST: array})


__all__ = ["DEFAULT", "Candidate", "Choice", "allowed", "choose", "folder", "machine"]
