"""A choice by measuring: by a clock that the test turns, on the stand-in for CuPy (--device cuda)."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend import determinism
from dlcourse.backend.cuda import autotune

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
pytestmark = pytest.mark.skipif(ELSEWHERE, reason="it turns the clock of the stand-in for CuPy")


class Clock:
    """Moves only while a way is computed."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch, device: str) -> Callable:
    """``way(name, seconds, result)``: takes so long wherever it is computed, in a graph's replay too."""
    from tests.cuda_host import capture

    clock, source = Clock(), backend.current().asarray(np.arange(1.0, 5.0, dtype="f"))
    monkeypatch.setattr(capture.Event, "clock", clock)
    monkeypatch.setattr(autotune, "choices", {})
    monkeypatch.delenv(determinism._DEMANDED, raising=False)

    def make(seconds: float, offset: float = 0.0) -> Callable:
        def compute() -> object:
            def pass_time() -> None:
                clock.now += seconds

            made.calls += 1
            pass_time()
            capture.note(pass_time, [], [])
            return source + offset

        made = compute
        made.calls = 0
        return made

    return make


def run(own: Callable, error: float = 1e-3, key: str = "key", **others: Callable) -> float:
    """By how much the result is off what our own way gives, which tells the ways apart."""
    return round(backend.to_host(computed(key, own, others, error))[0].item() - 1.0, 6)


def computed(key: str, own: Callable, others: dict, error: float) -> object:
    """What the way that is chosen gives."""
    return {autotune.DEFAULT: own, **others}[autotune.choose(key, own, lambda: others, error)]()


@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, "other"), (2.0, "own")])
def test_the_faster_way_is_kept(seconds: float, chosen: str, way: Callable) -> None:
    own, other = way(1.0), way(seconds, 1e-4)
    for _ in range(2):
        assert run(own, other=other) == (1e-4 if chosen == "other" else 0)
    assert autotune.choices["key"].name == chosen
    assert autotune.choices["key"].milliseconds == pytest.approx({"own": 1e3, "other": 1e3 * seconds})
    before = own.calls, other.calls
    run(own, other=other)
    assert (own.calls + other.calls) - sum(before) == 1  # nothing is measured again


def test_the_fastest_of_three(way: Callable) -> None:
    assert run(way(1.0), slow=way(0.8, 1e-4), fast=way(0.4, 2e-4)) == 2e-4


def test_every_setting_has_its_own_choice(way: Callable) -> None:
    assert run(way(1.0), key="small", other=way(2.0, 1e-4)) == 0
    assert run(way(1.0), key="large", other=way(0.5, 1e-4)) == 1e-4


@pytest.mark.parametrize("offset", [1.0, np.nan])
def test_a_faster_way_that_is_further_off_than_stated_is_left_out(offset: float, way: Callable) -> None:
    assert run(way(1.0), other=way(0.1, offset)) == 0
    assert "off by" in autotune.choices["key"].left_out["other"]


def test_a_way_that_fails_is_left_out_and_the_rest_goes_on(way: Callable) -> None:
    def refused() -> object:
        raise RuntimeError("status 3000\nand more")

    assert run(way(1.0), refused=refused, other=way(0.5, 1e-4)) == 1e-4
    assert autotune.choices["key"].left_out == {"refused": "RuntimeError: status 3000"}


def test_a_way_that_cannot_be_recorded_is_left_out(way: Callable) -> None:
    """Else a whole training step could not be."""
    quick = way(0.1, 1e-4)

    def reads() -> object:
        result = quick()
        float(result[0])
        return result

    assert run(way(1.0), reads=reads) == 0
    assert "not permitted while a stream is capturing" in autotune.choices["key"].left_out["reads"]


def test_while_a_stream_is_capturing_nothing_is_measured(way: Callable) -> None:
    import cupy

    own, other = way(1.0), way(0.5, 1e-4)
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    try:
        computed("key", own, {"other": other}, 1e-3)
    finally:
        stream.end_capture()
    assert own.calls == 1 and other.calls == 0 and not autotune.choices
    assert run(own, other=other) == 1e-4  # left open until then


def test_a_deterministic_run_does_not_ask_the_clock(way: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = way(1.0), way(0.5, 1e-4)
    assert run(own, other=other) == 1e-4
    monkeypatch.setenv(determinism._DEMANDED, "1")
    assert run(own, other=other) == 0 and run(own, key="another", other=other) == 0


def test_where_there_is_nothing_to_choose_from_nothing_is_measured(way: Callable) -> None:
    own = way(1.0)
    assert run(own) == 0 and own.calls == 1
