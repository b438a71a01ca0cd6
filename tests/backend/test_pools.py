"""Memory that captured steps write is theirs for as long as they may run, and what is kept lies elsewhere."""

import weakref
from typing import Any

import numpy as np
import pytest

from dlcourse.backend.cuda import blas, block_counters, pools

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
pytestmark = pytest.mark.skipif(ELSEWHERE, reason="memory is counted on the stand-in for CuPy (-p tests.fake_cupy)")


@pytest.fixture
def xp(device: str) -> Any:
    import cupy

    return cupy


def test_a_full_device_takes_no_memory_from_recorded_steps(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list = []
    pool = pools.graph_pool(xp, kept)
    with xp.cuda.using_allocator(pool.malloc):
        xp.empty(1000, dtype=np.uint8)
        block = weakref.ref(kept[0])
        monkeypatch.setattr(xp.cuda.Memory, "most", 10)
        with pytest.raises(MemoryError):
            xp.empty(1000, dtype=np.uint8)
        assert pool.total_bytes() == 0, "the stand-in's pool should have given back what it had, as CuPy's does"
    assert block() is not None
    kept.clear()
    assert block() is None


def test_before_it_fails_the_common_pool_gives_back_what_lies_idle(xp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_back(pool: Any) -> None:
        monkeypatch.setattr(xp.cuda.Memory, "most", 1000)

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
