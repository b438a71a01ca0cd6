"""Memory that captured steps write is theirs for as long as they may run, and what is kept lies elsewhere."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlcourse.backend import determinism
from dlcourse.backend.cuda import autotune, blas, block_counters, pools, timing
from dlcourse.backend.kernels.constants import constant

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
pytestmark = pytest.mark.skipif(ELSEWHERE, reason="memory is counted on the stand-in for CuPy (-p tests.fake_cupy)")


@pytest.fixture
def xp(device: str) -> Any:
    import cupy

    return cupy


def test_a_full_device_takes_no_memory_from_recorded_steps(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list = []
    pool = pools.graph_pool(xp, saved)
    with xp.cuda.using_allocator(pool.malloc):
        xp.empty(1000, dtype=np.uint8)
        block = weakref.ref(saved[0])
        monkeypatch.setattr(xp.cuda.Memory, "most", 10)
        with pytest.raises(MemoryError):
            xp.empty(2000, dtype=np.uint8)
        assert pool.total_bytes() == 0, "the stand-in's pool should have given back what it had, as CuPy's does"
    assert block() is not None
    saved.clear()
    assert block() is None


def test_before_it_fails_the_common_pool_gives_back_what_lies_idle(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_back(pool: Any) -> None:
        monkeypatch.setattr(xp.cuda.Memory, "most", 1024)

    monkeypatch.setattr(xp.cuda.Memory, "most", 10)
    monkeypatch.setattr(type(xp.get_default_memory_pool()), "free_all_blocks", give_back)
    with xp.cuda.using_allocator(pools.graph_pool(xp, []).malloc):
        assert xp.empty(1000, dtype=np.uint8).size == 1000


def test_another_error_is_no_lack_of_memory(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(size: int) -> None:
        raise xp.cuda.runtime.CUDARuntimeError(700)

    monkeypatch.setattr(xp.cuda, "Memory", broken)
    taken: list = []
    monkeypatch.setattr(type(xp.get_default_memory_pool()), "free_all_blocks", taken.append)
    pool = pools.graph_pool(xp, [])
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError):
        pool.allocator(10)
    assert not taken


def test_what_is_kept_lies_outside_the_pool_of_recorded_steps(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_counters, "_counters", {})
    pool = pools.graph_pool(xp, [])
    common = xp.get_default_memory_pool().total_bytes()
    with xp.cuda.using_allocator(pool.malloc):
        counters, handle = block_counters.block_counters(xp), blas._Handle(xp)
        assert block_counters.block_counters(xp) is counters
    assert pool.total_bytes() == 0
    assert xp.get_default_memory_pool().total_bytes() >= common + counters.nbytes + handle.workspace.nbytes


def made(size: int) -> Callable:
    """A way to compute zeros that needs so much memory for a moment."""

    def compute() -> Any:
        import cupy

        return cupy.zeros(size, dtype=np.float32)[:4] + 0

    return compute


def test_the_stand_ins_pool_loses_idle_blocks_as_cupys_does(xp: Any) -> None:
    before, pool = xp.cuda.Memory.live, xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc):
        held = xp.empty(1000, dtype=np.uint8)
        xp.empty(3000, dtype=np.uint8)
    assert pool.total_bytes() == xp.cuda.Memory.live - before == 1024 + 3072
    del pool
    assert xp.cuda.Memory.live - before == 1024 + 3072
    del held
    assert xp.cuda.Memory.live - before == 3072


def test_measuring_gives_back_what_it_took(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "choices", {})
    monkeypatch.setattr(determinism, "demanded", lambda: False)
    streams = []
    for size in (1000, 2000, 3000):
        before = xp.cuda.Memory.live

        def fails(size: int = size) -> Any:
            made(2 * size)()
            raise RuntimeError

        autotune.choose(size, made(size), lambda: {"other": made(3 * size), "broken": fails}, 1e-3)  # noqa: B023
        assert autotune.choices[size].milliseconds.keys() == {"own", "other"}
        assert xp.cuda.Memory.live == before
        streams.append(sorted(each.ptr for each in pools._streams[0]))
    assert streams[0] == streams[1] == streams[2], "a stream a measurement"


def test_an_array_that_outlives_its_pool_has_it_given_back_later(xp: Any) -> None:
    before, side = xp.cuda.Memory.live, pools.SideStream(xp, keeps=True)
    with side.stream, side.allocating():
        held = xp.empty(1000, dtype=np.uint8)
        xp.empty(3000, dtype=np.uint8)
    side.close()
    del side
    assert xp.cuda.Memory.live - before == 1024
    del held
    pools.release_closed()
    assert xp.cuda.Memory.live == before and not pools._closing


def test_a_constant_first_asked_for_in_such_a_pool_lies_elsewhere(xp: Any) -> None:
    side = pools.SideStream(xp, keeps=True)
    with side.stream, side.allocating():
        constant([0.125, 7.5, 1e-3], xp.empty(3))
    side.close()
    assert not pools._closing


def test_what_goes_while_a_step_is_captured_waits_for_its_end(xp: Any) -> None:
    before, side, stream = xp.cuda.Memory.live, pools.SideStream(xp), xp.cuda.Stream(non_blocking=True)
    with side.allocating():
        xp.empty(1000, dtype=np.uint8)
    with stream:
        stream.begin_capture()
        side.close()
        stream.end_capture()
    assert xp.cuda.Memory.live - before == 1024
    pools.release_closed()
    assert xp.cuda.Memory.live == before


def test_a_profile_gives_back_what_it_took(xp: Any) -> None:
    from dlcourse import backend

    before, timer = xp.cuda.Memory.live, timing.LaunchTimer(backend.current(), np.dtype(np.float32))
    with timer.side.allocating():
        xp.empty(1000, dtype=np.uint8)
    timer.result()
    assert xp.cuda.Memory.live == before
    another = timing.LaunchTimer(backend.current(), np.dtype(np.float32))
    with another.side.allocating():
        xp.empty(1000, dtype=np.uint8)
    del another
    assert xp.cuda.Memory.live == before


def test_a_broken_device_is_asked_for_nothing_and_hides_no_other_error(xp: Any, monkeypatch) -> None:
    def broken(self: Any) -> None:
        raise xp.cuda.runtime.CUDARuntimeError(700)

    side, streams = pools.SideStream(xp), len(pools._streams[0])
    monkeypatch.setattr(xp.cuda.Device, "synchronize", broken)
    side.close()
    assert not pools._closing and len(pools._streams[0]) == streams


def test_no_garbage_is_collected_while_a_step_is_captured(xp: Any) -> None:
    assert gc.isenabled()
    with pools.no_garbage_collection():
        assert not gc.isenabled()
        with pools.no_garbage_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
