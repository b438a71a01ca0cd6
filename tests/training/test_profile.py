"""``--profile``: the phases of a step on any device, on a GPU the launches too; what is computed stays the same."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from dlcourse import backend, nn, optim
from dlcourse.backend import precision, tracing
from dlcourse.backend.tracing import Bounds, Measured, Row
from dlcourse.training.kernel_table import describe
from dlcourse.training.profile import MAX_RECORDED_STEPS, WARM_UP, Profile
from dlcourse.training.step import TrainStep
from dlcourse.training.trainer import Trainer

on_gpu = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="launches are a GPU's (--device cuda)")

SAMPLES, FEATURES, HIDDEN, CLASSES = 6, 20, 16, 4


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in has only this machine's arithmetic to find them with."""
    from dlcourse.backend.cuda import timing

    monkeypatch.setattr(timing, "GEMM_SIZE", 64)
    monkeypatch.setattr(timing, "COPY_BYTES", 1 << 20)


class _Loader:
    """The same batch again and again, on the current device."""

    batch_size = samples = SAMPLES
    steps_per_epoch = 1

    def __init__(self) -> None:
        draw, place = np.random.default_rng(0), backend.current()
        self.x = place.asarray(draw.normal(size=(SAMPLES, FEATURES)).astype("f"))
        self.y = place.asarray(draw.integers(0, CLASSES, SAMPLES))

    def batch(self, step: int) -> tuple:
        return self.x, self.y


def train(steps: int, *callbacks: Profile, loss_fn: object = None) -> np.ndarray:
    backend.random.manual_seed(3)
    model = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, CLASSES))
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    step = TrainStep(model, loss_fn or nn.CrossEntropyLoss(), optimizer, clip_norm=1.0)
    step.capture = False
    Trainer(model, step, _Loader(), steps, list(callbacks)).run()
    assert optimizer.steps == steps
    return np.concatenate([backend.to_host(a).reshape(-1) for a in model.state_dict().values()])


def profiled(steps: int = 12, loss_fn: object = None, **settings: object) -> tuple[Profile, np.ndarray]:
    profile = Profile(kernels=True, **settings)
    return profile, train(steps, profile, loss_fn=loss_fn)


def test_a_profile_changes_nothing(device: str) -> None:
    np.testing.assert_array_equal(profiled()[1], train(12))


def test_a_cpu_has_parts_and_no_launches() -> None:
    profile, _ = profiled(7)
    assert profile.measured is None and profile.steps == 7
    assert "kernels of a step" not in profile.report()
    assert tracing.recorder(np.zeros(1)) is None


def test_the_first_step_is_said_apart() -> None:
    *_, every, first = profiled(7)[0].report().splitlines()
    assert every.endswith("  7 steps") and re.fullmatch(r"  the first +[\d.]+", first)
    assert profiled(1)[0].report().splitlines()[-1].endswith("  1 step")


@on_gpu
@pytest.mark.parametrize(("steps", "captured"), [(2, 0), (3, 1), (12, 5), (120, MAX_RECORDED_STEPS)])
def test_some_steps_are_recorded_and_the_others_timed_in_parts(device: str, steps: int, captured: int) -> None:
    profile, _ = profiled(steps)
    assert (profile.measured.steps, profile.steps) == (captured, steps - captured)
    assert ("none could be timed: the run is too short" in profile.report()) == (captured == 0)
    assert profile.steps >= min(steps, WARM_UP)


@on_gpu
def test_the_batches_of_recorded_steps_count_in_no_phase(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    heard: list[str | None] = []
    whole, phase = _Loader.batch, Profile.phase
    monkeypatch.setattr(_Loader, "batch", lambda self, step: batches.append(step) or whole(self, step))
    monkeypatch.setattr(Profile, "phase", lambda self, name: heard.append(name) or phase(self, name))
    profile, _ = profiled()
    assert len(batches) == 12 and heard.count("data") == profile.steps == 7


@on_gpu
def test_each_launch_is_counted_with_its_bytes_and_operations(device: str) -> None:
    profile, weights = profiled()
    measured = profile.measured
    count = measured.steps
    products = {name: row for name, row in measured.rows.items() if name.startswith("gemm")}
    sizes = {name: math.prod(map(int, re.match(r"gemm (\d+)x(\d+)x(\d+)", name).groups())) for name in products}
    # Forward two, backward the gradients of two weights and of the hidden layer; the input needs none.
    assert sum(row.calls for row in products.values()) == 5 * count
    for name, row in products.items():
        assert row.flops == 2 * sizes[name] * row.calls
    forward = measured.rows[f"gemm {SAMPLES}x{HIDDEN}x{FEATURES} float32 relu_bias"]
    inputs = SAMPLES * FEATURES + FEATURES * HIDDEN
    assert forward.nbytes == 4 * count * (inputs + SAMPLES * HIDDEN + HIDDEN)  # the last one is the bias
    adam = measured.rows["adam_step_float"]
    assert (adam.calls, adam.nbytes, adam.flops) == (count, 4 * 4 * len(weights) * count, 0)
    assert all(row.seconds >= 0 for row in measured.rows.values()) and measured.between.seconds > 0


@on_gpu
def test_windows_only_cut_what_is_measured_into_pieces(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlcourse.backend.cuda import timing

    def counts() -> dict[str, tuple]:
        rows = profiled()[0].measured.rows
        return {name: (row.calls, row.nbytes, row.flops) for name, row in rows.items()}

    whole = counts()
    monkeypatch.setattr(timing, "WINDOW", 3)
    assert counts() == whole and len(whole) > 3


@on_gpu
def test_the_array_library_s_own_launches_are_what_the_recorded_step_has_besides(device: str) -> None:
    def squared(outputs: object, labels: object) -> object:
        return (outputs * outputs).sum() * 0.01  # in array code, which has no kernels of ours

    assert profiled()[0].measured.between.calls == 0
    measured = profiled(loss_fn=squared)[0].measured
    assert measured.between.calls > 0
    # Only what is named as CuPy's is named; all of it on the stand-in.
    assert measured.names and sum(measured.names.values()) <= measured.between.calls
    assert all(name.startswith("cupy_") for name in measured.names)


@on_gpu
def test_a_step_that_cannot_be_recorded_is_timed_all_the_same(device: str) -> None:
    class Reading(nn.CrossEntropyLoss):
        def forward(self, outputs: object, labels: object) -> object:
            loss = super().forward(outputs, labels)
            return loss * 2 if loss.item() > 1e9 else loss

    profile, _ = profiled(loss_fn=Reading())
    assert profile.measured.steps > 0 and profile.measured.between.calls == 0
    assert "how many they are is not known" in profile.report()


@on_gpu
def test_what_a_slow_host_gives_is_thrown_away(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hold was over before all was queued: the numbers would be the host's."""
    from tests.cuda_host import capture

    monkeypatch.setattr(capture.Event, "done", property(lambda event: True))
    profile, _ = profiled()
    assert (profile.measured.steps, profile.measured.lost, profile.measured.rows) == (0, 5, {})
    assert "none could be timed: the host was too slow to keep ahead of the device in 5 steps" in profile.report()


@on_gpu
def test_a_hold_that_was_too_short_is_extended(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlcourse.backend.cuda import timing
    from tests.cuda_host import capture

    timer = timing.LaunchTimer(backend.current(), np.dtype("f"))
    with monkeypatch.context() as patch:
        patch.setattr(capture.Event, "done", property(lambda event: True))
        timer._open()
        timer._close()
    assert timer.hold >= 2 * timing.FIRST_HOLD
    timer._open()
    timer._close()
    assert timer.hold < 2 * timing.FIRST_HOLD  # the host was quick this time


@on_gpu
def test_the_time_of_an_empty_pair_is_taken_off(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlcourse.backend.cuda import timing

    timer = timing.LaunchTimer(backend.current(), np.dtype("f"))
    timer.measured.steps, timer.empty, timer.gaps = 1, [1e-6, 2e-6, 9e-6], 3
    timer.measured.rows = {"a": Row(4, 50e-6), "b": Row(4, 1e-6)}
    timer.measured.between = Row(0, 10e-6)
    monkeypatch.setattr(timer, "_bounds", lambda: None)
    result = timer.result()
    assert result.overhead == 2e-6
    assert result.rows["a"].seconds == pytest.approx(42e-6) and result.rows["b"].seconds == 0.0
    assert result.between.seconds == pytest.approx(4e-6)


@on_gpu
def test_the_bounds_are_said_with_where_they_are_from(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlcourse.backend.cuda import timing

    xp = backend.current().xp
    monkeypatch.setattr(xp.cuda.Device, "attributes", {"MemoryClockRate": 1_000_000, "GlobalMemoryBusWidth": 512})
    bounds = timing.LaunchTimer(backend.current(), np.dtype("f"))._bounds()
    assert bounds.bandwidth == 128e9 and "clock" in bounds.bandwidth_from  # 2 x 10^9 x 64 bytes
    assert bounds.flops > 0 and "float32 product of 64 x 64" in bounds.flops_from
    monkeypatch.setattr(xp.cuda.Device, "attributes", {"GlobalMemoryBusWidth": 512})
    monkeypatch.setattr(precision, "tensor_float", lambda: True)
    bounds = timing.LaunchTimer(backend.current(), np.dtype("f"))._bounds()
    assert bounds.bandwidth > 0 and "a copy of 1 MiB" in bounds.bandwidth_from
    assert "tf32" in bounds.flops_from


@on_gpu
def test_the_trace_has_the_launches_in_rows_below_the_parts(device: str, tmp_path: Path) -> None:
    profile, _ = profiled(trace=tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    phases = [e for e in events if e["ph"] == "X" and e["tid"] == 0]
    launches = [e for e in events if e["ph"] == "X" and e["tid"] == 1]
    assert len(launches) == sum(row.calls for row in profile.measured.rows.values())
    assert [e["args"]["name"].split(",")[0] for e in events if e["ph"] == "M"] == ["phases", "kernels"]
    # One after another, all after the steps before them and before the phases of those that follow.
    for first, second in zip(launches, launches[1:], strict=False):
        assert first["ts"] + first["dur"] <= second["ts"] + 1
    assert phases[0]["ts"] < launches[0]["ts"] and launches[-1]["ts"] < phases[-1]["ts"]


DOT = r"""digraph dot {
subgraph cluster_1 {
label="graph_1" graph[style="dashed"];
"graph_1_node_0"[style="bold" shape="octagon" label="0
adam_step_float
"];
"graph_1_node_1"[style="bold" shape="record" label="{KERNEL
| {ID | 1 (topoId: 0) | cupy_add__float32_float32_float32\<\<\<1,128,0\>\>\>}
| {{node handle | func handle} | {0x000055E7277A5C20 | 0x000055E7270A5A90}}
}"];
"graph_1_node_2"[style="solid" shape="record" label="{
MEMCPY
| {{ID | node handle} | {2 (topoId: 1) | 0x000055E7277A6370}}
}"];
"graph_1_node_0" -> "graph_1_node_1" [headlabel=0];
"graph_1_node_1" -> "graph_1_node_2" [headlabel=0];
}
}
"""


def test_a_graph_s_nodes_are_read_from_what_cuda_prints() -> None:
    from dlcourse.backend.cuda.timing import nodes_of

    assert nodes_of(DOT) == nodes_of(DOT.encode()) == (3, {"cupy_add__float32_float32_float32": 1})


def test_nothing_listens_outside_the_block() -> None:
    def listener(*_: object) -> None:
        raise AssertionError

    with tracing.listening(listener):
        assert tracing.listener is listener
        with tracing.listening(None):
            assert tracing.listener is None
        assert tracing.listener is listener
    assert tracing.listener is None


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_says_its_phases_in_order(accumulate: int, device: str) -> None:
    model, loader, message = nn.Linear(FEATURES, CLASSES), _Loader(), []
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), accumulate=accumulate)
    step.capture = False
    with tracing.listening_to_phases(message.append):
        step.runner.advance(step, loader, 1)
    assert message == ["data", None, *["forward", "forward", "backward"] * accumulate, "optimizer", None]
    step.runner.advance(step, loader, 1)
    assert len(message) == 4 + 3 * accumulate and tracing.phase_listener is None


def test_a_profile_leaves_what_it_times_as_it_is() -> None:
    model = nn.Linear(FEATURES, CLASSES)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    loader = _Loader()
    before = [dict(vars(each)) for each in (step.optimizer, step.loss_fn)]
    trainer = Trainer(model, step, loader, 2, [Profile()])
    trainer.run()
    assert trainer.loader is loader and step.model is model and tracing.phase_listener is None
    assert [set(vars(each)) for each in (step.optimizer, step.loss_fn)] == [set(each) for each in before]


def test_an_array_that_is_given_twice_is_counted_once() -> None:
    a = np.zeros((3, 5), dtype=np.float32)
    assert tracing.nbytes((a, a, np.float64(1), None, np.zeros(2))) == 60 + 16


def test_the_table_says_shares_of_the_time_and_of_the_bounds() -> None:
    rows = {"small": Row(4, 2e-6, 4_000, 0), "gemm 8x8x8 float32": Row(2, 6e-6, 12_000_000, 3_000_000_000)}
    bounds = Bounds(4e12, "from the clock", 1e15, "measured")
    measured = Measured(2, 1, rows, Row(3, 2e-6), {"cupy_add": 2, "cupy_copy": 1}, 1e-6, bounds)
    lines = [line.split() for line in describe(measured).splitlines()]
    gemm, small, own, every = lines[1:5]
    # 12 MB in 6 us are 2 TB/s, 3 GFLOP 500 TFLOP/s: half of either bound.
    assert gemm == "gemm 8x8x8 float32 1 3.0 60.0 % 6 50 % 50 %".split()
    assert small == "small 2 1.0 20.0 % 0.002 0 %".split()
    assert own == "the array library's own <= 3 1.0 20.0 %".split()
    assert every == "all <= 6 5.0 100.0 %".split()
    text = describe(measured)
    assert "2 steps (1 more thrown away)" in text and "cupy_add 2, cupy_copy 1" in text
    assert "4000 GB/s (from the clock)" in text and "1e+03 TFLOP/s (measured)" in text


def test_many_kernels_share_the_last_line() -> None:
    rows = {f"k{index:02}": Row(1, (40 - index) * 1e-6) for index in range(30)}
    text = describe(Measured(1, 0, rows, Row(), {}, 0.0, Bounds(1.0, "", 1.0, "")))
    listed = [line.split()[0] for line in text.splitlines() if re.match(r"  k\d\d ", line)]
    assert listed == [f"k{index:02}" for index in range(24)]
    assert re.search(r"^  6 others +6 +81\.0 ", text, re.MULTILINE)
