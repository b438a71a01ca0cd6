"""The pool: every part once, errors come through, OpenBLAS is held and let go, results do not depend on the threads."""

import threading

import numpy as np
import pytest
import threadpoolctl

from dlcourse.backend.cpu import conv_onednn, conv_tiles, norm_onednn, threads
from dlcourse.backend.kernels import all_kernels
from dlcourse.backend.kernels.conv import ConvGeometry
from tests.backend.kernel_cases import CASES, complete

KERNELS = {k.name: k for k in all_kernels()}


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "budget", lambda: 4)


def test_slices_cover_a_length_once() -> None:
    assert [(s.start, s.stop) for s in threads.slices(10, 4)] == [(0, 4), (4, 8), (8, 10)]
    assert threads.slices(0, 4) == []


def test_every_part_is_done_once(four_threads: None) -> None:
    done = np.zeros(1000, dtype=int)

    def work(i: int) -> None:
        done[i] += 1

    threads.run(work, range(1000))
    assert (done == 1).all()


def test_several_threads_work_at_once(four_threads: None) -> None:
    meeting = threading.Barrier(4, timeout=30)
    threads.run(lambda _: meeting.wait(), range(4))  # would time out if one waited for another


def test_an_error_comes_through_and_the_pool_goes_on(four_threads: None) -> None:
    def work(i: int) -> None:
        if i == 7:
            raise ZeroDivisionError("seven")

    with pytest.raises(ZeroDivisionError, match="seven"):
        threads.run(work, range(20))
    test_every_part_is_done_once(four_threads)


@pytest.fixture
def fresh_pool(four_threads: None):
    threads._pool.cache_clear()
    yield
    threads._pool.cache_clear()


@pytest.mark.parametrize("possible", [0, 1, 3])
def test_the_work_is_done_with_the_threads_that_start(possible: int, fresh_pool: None, monkeypatch) -> None:
    """As under ``ulimit -u``: a process that has so many threads gets no more."""
    start, alive = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        alive[:] = [each for each in alive if each.is_alive()]
        if len(alive) == possible:
            raise RuntimeError("can't start new thread")
        alive.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    workers: set[int] = set()
    meeting = threading.Barrier(possible + 1, timeout=30)
    done = np.zeros(40, dtype=int)

    def work(i: int) -> None:
        workers.add(threading.get_ident())
        if i <= possible:
            meeting.wait()
        done[i] += 1

    threads.run(work, range(40))
    test_an_error_comes_through_and_the_pool_goes_on(None)
    assert (done == 1).all() and len(workers) == possible + 1 and len(alive) == possible


def test_a_pool_that_takes_no_more_work_is_done_without(fresh_pool: None) -> None:
    """As at the end of the interpreter."""
    threads._pool(4).shutdown()
    test_every_part_is_done_once(None)


def test_nothing_is_written_after_an_error(four_threads: None) -> None:
    done = np.zeros(10_000, dtype=int)
    gate = threading.Event()

    def work(i: int) -> None:
        if i == 0:
            raise ZeroDivisionError
        gate.wait(0.001)
        done[i] += 1

    with pytest.raises(ZeroDivisionError):
        threads.run(work, range(10_000))
    found = done.copy()
    gate.wait(0.05)
    np.testing.assert_array_equal(done, found)
    assert done.sum() < 100  # the other threads begin no further part


def test_a_run_inside_a_run_does_not_wait_for_the_pool(four_threads: None) -> None:
    total = np.zeros(16, dtype=int)

    def outer(i: int) -> None:
        threads.run(lambda j: total.__setitem__(4 * i + j, 1), range(4))

    threads.run(outer, range(4))
    assert total.all()


def test_blas_is_held_to_one_thread_and_let_go(four_threads: None) -> None:
    def counts() -> set[int]:
        return {p["num_threads"] for p in threadpoolctl.threadpool_info() if p["internal_api"] == "openblas"}

    before, seen = counts(), []
    if not before:
        pytest.skip("NumPy's matrix library here is not OpenBLAS")
    threads.run(lambda _: seen.append(counts()), range(3), blas=True)
    assert seen == [{1}] * 3
    assert counts() == before


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("onednn", [True, False], ids=["onednn", "numpy"])
def test_one_thread_and_four_agree(name: str, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums may come in another order; beyond that no thread may see another's half-done work."""
    if not onednn:
        for module in (conv_onednn, norm_onednn):
            monkeypatch.setattr(module.onednn, "available", lambda: False)
    for index, make in enumerate(CASES[name]):
        results = []
        for count in (1, 4):
            monkeypatch.setattr(threads, "budget", lambda count=count: count)
            arguments = complete(make(np.random.default_rng(index), np.float64))
            results.append((tuple(arguments), KERNELS[name](*arguments)))
        for one, four in zip(_arrays(results[0]), _arrays(results[1]), strict=True):
            np.testing.assert_allclose(one, four, rtol=1e-10, atol=1e-10)


def _arrays(value: object) -> list[np.ndarray]:
    if isinstance(value, tuple):
        return [array for item in value for array in _arrays(item)]
    return [value] if isinstance(value, np.ndarray) else []


def test_two_threads_of_a_user_do_not_disturb_each_other() -> None:
    """Primitives, scratch buffers and the pool are shared by the process."""
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(32, 16, 16, 8)).astype(np.float32) for _ in range(2)]
    weight, geometry = rng.normal(size=(8, 3, 3, 8)).astype(np.float32), ConvGeometry(padding=(1, 1))
    expected = [KERNELS["conv2d"].reference(x, weight, None, geometry) for x in inputs]
    wrong: list[float] = []

    def compute(which: int) -> None:
        for x, y in [(inputs[which], expected[which])] * 20:
            wrong.append(float(np.abs(KERNELS["conv2d"](x, weight, None, geometry) - y).max()))
            wrong.append(float(np.abs(conv_tiles.conv2d(x, weight, None, geometry) - y).max()))

    users = [threading.Thread(target=compute, args=(which,)) for which in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(wrong) == 80 and max(wrong) < 1e-3
