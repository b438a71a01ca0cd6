"""The choice of a matrix product's way on the CPU: by a clock that the test turns, kept in a file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dlcourse.backend import autotune as shared
from dlcourse.backend import determinism
from dlcourse.backend.cpu import autotune, mkl, onednn, products, threads
from dlcourse.backend.kernels import linear as kernels

needs_onednn = pytest.mark.skipif(not onednn.available(), reason="oneDNN is not installed (extra cpu)")


class Clock:
    """Moves only while a way is computed."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clock]:
    """Choices are made, in a cache of the test's own."""
    monkeypatch.setattr(autotune, "clock", clock := Clock())
    monkeypatch.setattr(autotune, "own_clock", clock)
    monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path))
    monkeypatch.delenv(autotune.SWITCH)
    monkeypatch.delenv(determinism._DEMANDED, raising=False)
    forget()
    yield clock
    forget()


def forget() -> None:
    """As a new process knows nothing."""
    shared.kept.clear()
    shared.following.clear()


class Way:
    """Takes these milliseconds, one after another, over and over; its result is off by so much."""

    def __init__(self, clock: Clock, *milliseconds: float, off: float = 0.0):
        self.clock, self.milliseconds, self.off, self.calls = clock, milliseconds, off, 0

    def __call__(self) -> np.ndarray:
        self.clock.now += 1e-3 * self.milliseconds[self.calls % len(self.milliseconds)]
        self.calls += 1
        return np.arange(1.0, 5.0, dtype="f") + self.off


def choose(own: Way, error: float = 1e-3, key: str = "key", **others: Way) -> str:
    return autotune.choose(key, own, lambda: others, error)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("own", "other", "chosen"),
    [
        ([1.0], [0.5], "other"),
        ([1.0], [0.95], "own"),
        ([1.0], [2.0], "own"),
        ([1.0, 5.0, 9.0], [0.5, 7.0, 0.5], "other"),  # a busy machine: the least of each repeat
        (3 * [1.0] + 200 * [2.0, 3.0, 4.0], [0.5], "own"),  # ours was undisturbed once only: nothing is known
        ([1.0], 2 * [0.5] + 200 * [2.0, 3.0, 4.0], "own"),
    ],
)
def test_another_way_is_taken_where_it_is_clearly_faster(clock: Clock, own: list, other: list, chosen: str) -> None:
    own, other = Way(clock, *own), Way(clock, *other)
    assert choose(own, other=other) == chosen
    calls = own.calls, other.calls
    assert choose(own, other=other) == chosen and (own.calls, other.calls) == calls


def test_calls_that_take_fresh_pages_do_not_count(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first twenty of a library, of which a training step has none."""
    own, other = Way(clock, *20 * [3.0], *200 * [1.0]), Way(clock, 2.0)
    monkeypatch.setattr(autotune, "_pages", lambda: 300 * min(own.calls, 20))
    assert choose(own, other=other) == "own"
    monkeypatch.setattr(autotune, "_pages", lambda: 300 * own.calls)  # they never end: nothing is known of ours
    assert choose(own, key="another", other=Way(clock, 0.1)) == "own"


def test_calls_that_waited_for_a_core_do_not_count(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = Way(clock, 1.0, 9.0, 9.0, 9.0, 9.0), Way(clock, 2.0)
    monkeypatch.setattr(autotune, "own_clock", lambda: min(clock.now, 1e-3 * own.calls + 2e-3 * other.calls))
    assert choose(own, other=other) == "own"
    monkeypatch.setattr(autotune, "own_clock", lambda: 0.5 * clock.now)
    assert choose(Way(clock, 1.0), key="another", other=Way(clock, 0.1)) == "own"


def test_the_next_process_makes_the_same_choice(clock: Clock, tmp_path: Path) -> None:
    assert choose(Way(clock, 1.0), other=Way(clock, 0.5)) == "other"
    assert files(tmp_path) == ["key.json"]
    assert json.loads((autotune.folder() / "key.json").read_text())["machine"] == autotune.machine()
    forget()
    slow = Way(clock, 9.0)
    assert choose(Way(clock, 1.0), other=slow) == "other" and not slow.calls


def test_of_two_processes_that_measure_at_once_the_first_decides(clock: Clock, tmp_path: Path) -> None:
    def other() -> np.ndarray:
        forget()
        choose(Way(clock, 1.0), other=Way(clock, 9.0))
        return own()

    own = Way(clock, 1.0)
    assert autotune.choose("key", own, lambda: {"other": other}, 1e-3) == "own"
    assert files(tmp_path) == ["key.json"]


@pytest.mark.parametrize("why", ["deterministic", "switched off", "no folder", "no home"])
def test_where_a_choice_cannot_be_kept_or_is_not_wanted_ours_is_taken(
    why: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if why == "deterministic":
        monkeypatch.setenv(determinism._DEMANDED, "1")
    elif why == "switched off":
        monkeypatch.setenv(autotune.SWITCH, "0")
    elif why == "no folder":
        (tmp_path / "file").touch()
        monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path / "file"))
    else:
        monkeypatch.setenv("DLCOURSE_CACHE", "~nobody-of-this-name/cache")
    own, other = Way(clock, 1.0), Way(clock, 0.5)
    assert choose(own, other=other) == "own" and own.calls == other.calls == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "gone"}', '{"name": 3}'])
def test_a_damaged_file_leaves_ours(text: str, clock: Clock) -> None:
    autotune.folder().mkdir(parents=True)
    (autotune.folder() / "key.json").write_text(text)
    assert choose(Way(clock, 1.0), other=Way(clock, 0.5)) == "own"


def test_a_wrong_result_is_not_taken(clock: Clock) -> None:
    assert choose(Way(clock, 1.0), other=Way(clock, 0.1, off=0.1), near=Way(clock, 0.5, off=1e-4)) == "near"
    found = json.loads((autotune.folder() / "key.json").read_text())
    assert "off by" in found["left_out"]["other"]
    assert found["milliseconds"] == pytest.approx({"own": 1.0, "near": 0.5})


def test_a_checkpoint_decides_where_the_files_are_gone(clock: Clock, tmp_path: Path) -> None:
    assert choose(Way(clock, 1.0), other=Way(clock, 0.5)) == "other"
    recorded = json.loads(json.dumps(shared.record()))
    (autotune.folder() / "key.json").unlink()
    forget()
    shared.adopt(recorded)
    assert choose(Way(clock, 0.1), other=Way(clock, 0.5)) == "other"
    forget()
    shared.adopt({"another machine": {"key": "other"}})
    assert choose(Way(clock, 0.1), other=Way(clock, 0.5)) == "own"


SHAPES = [("N", "T"), ("N", "N"), ("T", "N"), ("T", "T")]


def matrix(rng: np.random.Generator, shape: tuple[int, int], orientation: str, gap: int) -> np.ndarray:
    """By rows or by columns, with so many numbers between them that are none of its own."""
    rows, columns = shape if orientation == "N" else shape[::-1]
    whole = rng.normal(size=(rows, columns + gap)).astype("f")[:, :columns]
    return whole if orientation == "N" else whole.T


@pytest.mark.parametrize("name", products.WAYS)
@pytest.mark.parametrize("orientations", SHAPES)
def test_each_way_multiplies(name: str, orientations: tuple[str, str]) -> None:
    if not (mkl if name == "mkl" else onednn).available():
        pytest.skip(f"the library of {name} is not installed")
    rng = np.random.default_rng(0)
    for (m, k, n), gap, bias in [((33, 70, 45), 0, True), ((64, 5, 130), 3, False), ((1, 300, 7), 0, True)]:
        a, b = matrix(rng, (m, k), orientations[0], gap), matrix(rng, (k, n), orientations[1], gap)
        c = rng.normal(size=n).astype("f") if bias else None
        y = np.full((m, n + gap), np.nan, dtype="f")[:, :n]
        products.WAYS[name](products._setting(a, b, c, y))(a, b, c, y)
        exact = a.astype("d") @ b.astype("d") + (0 if c is None else c)
        np.testing.assert_allclose(y, exact, atol=2e-4)


@needs_onednn
@pytest.mark.parametrize("fastest", ["matmul", "sgemm", products.NUMPY])
def test_a_product_goes_the_fastest_way(fastest: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large products; small ones follow the rule."""
    taken = []

    def timed(name: str, compute: Callable) -> Callable:
        def call(*arguments: np.ndarray | None) -> None:
            clock.now += 1e-3 if name == fastest else 2e-3
            taken.append(name)
            compute(*arguments)

        return call

    made = {name: lambda s, n=name, make=make: timed(n, make(s)) for name, make in products.WAYS.items()}
    monkeypatch.setattr(products, "WAYS", made)
    by_numpy = next(each for each in kernels.affine.overrides["cpu"] if each.function is not products.affine)
    slower = by_numpy._replace(function=lambda *a: (timed(products.NUMPY, lambda *_: None)(), by_numpy.function(*a))[1])
    monkeypatch.setitem(kernels.affine.overrides, "cpu", [kernels.affine.overrides["cpu"][0], slower])
    kernels.affine._bound.clear()
    monkeypatch.setattr(threads, "budget", lambda: 1)
    rng = np.random.default_rng(0)
    for rows, expected in [(256, fastest), (200, fastest), (8, "matmul")]:
        x, weight, bias = (rng.normal(size=shape).astype("f") for shape in [(rows, 128), (128, 128), (128,)])
        for _ in range(2):
            taken.clear()
            y = kernels.affine(x, weight, bias)
            np.testing.assert_allclose(y, x @ weight.T + bias, atol=2e-4)
        assert taken == [expected], rows
    kernels.affine._bound.clear()
    assert sorted(shared.kept[autotune.digest()]) == ["NT-256x128x128-bias"]


@needs_onednn
def test_what_does_not_suit_goes_to_numpy() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(64, 64)).astype("f"), rng.normal(size=(64, 64)).astype("f")
    out = np.empty((64, 64), dtype="f")
    assert products.product(x, weight, out) is out
    for a in (x.astype("d"), x.astype(">f4"), x[::-1], np.broadcast_to(x[:1], (64, 64)), x.repeat(2, axis=1)[:, ::2]):
        assert products.product(a, weight, None) is NotImplemented
        np.testing.assert_allclose(kernels.product(a, weight, None), a @ weight, atol=1e-4)
    with pytest.raises(ValueError, match="mismatch"):
        kernels.product(x, rng.normal(size=(65, 64)).astype("f"), None)
