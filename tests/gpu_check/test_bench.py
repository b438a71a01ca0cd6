"""The benchmark on a GPU: a peer that breaks or is late hides no other, and losses are compared for each of them."""

import argparse
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(lib, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/lib/bench/gpu.py; under a name of its own, since another folder is called gpu."""
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location("bench_gpu", ROOT / "scripts" / "lib" / "bench" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in set(sys.modules) - before:
        if name in ("workloads", "pytorch", "ours"):
            del sys.modules[name]


def run(ms: float, losses: list[float] | None = None) -> dict:
    return {"ms": ms, "losses": losses or [2.0, 1.0], "about": "this side"}


def cells(**sides: list[dict]) -> dict:
    return {("vgg", "float32", side): runs for side, runs in sides.items()}


def asking(**options) -> argparse.Namespace:
    """What ``scripts/bench`` was asked for."""
    usual = {"only": None, "rounds": 1, "seconds": 0.1, "json": None, "budget": math.inf}
    return argparse.Namespace(**usual | {"side": None, "precision": None, "compile": None} | options)


def test_each_peer_is_compared_with_ours(bench) -> None:
    row = bench.row("vgg", "float32", cells(ours=[run(1.0)], eager=[run(2.0)], graph=[run(1.5, [2.0, 1.1])]))
    assert row["differ"] == ["graph"]
    assert "DIFFER: graph" in bench.table([row])[-1]
    assert bench.differing({"ours": [1.0], "compiled": [math.nan]}, 2e-3) == ["compiled"]
    assert bench.differing({"eager": [1.0]}, 2e-3) == []


def test_medians_ratios_and_empty_cells(bench) -> None:
    late = {"error": "not done after 90 s", "late": True}
    made = cells(ours=[run(1.0), run(3.0), run(2.0)], eager=[run(4.0)], compiled=[late], graph=[{"error": "no"}])
    line = bench.table([bench.row("vgg", "float32", made)])[-1]
    assert line == "| vgg | float32 | 2000.0 | 4000.0 | compile took too long | failed | 2.00 | - | - | same |"


def test_ours_comes_first_and_compiled_last(bench) -> None:
    turns = bench.turns(["ours", *bench.PEERS], list(bench.TOLERANCE), 2)
    assert turns[:2] == [("ours", "float32"), ("ours", "tf32")]
    assert turns[-2:] == [("compiled", "float32"), ("compiled", "tf32")]
    assert turns.count(("eager", "tf32")) == 2
    assert bench.turns(["graph", "ours"], ["float32"], 1) == [("ours", "float32"), ("graph", "float32")]


def test_a_side_that_failed_is_not_tried_again_and_numbers_are_written_each_time(bench, monkeypatch, tmp_path) -> None:
    asked, written = [], []

    def in_turn(command, names, limit, until):
        side, precision, _ = command[-3:]
        asked.append((side, precision, tuple(names)))
        for name in names:
            yield name, {"error": "no"} if side == "eager" and name == "vgg" else run(1.0)
        written.append((tmp_path / "n.json").exists())

    monkeypatch.setattr(bench, "in_turn", in_turn)
    assert bench.main(asking(only=["vgg", "gpt"], rounds=2, json=tmp_path / "n.json", compile=["gpt"])) == 0
    assert [names for side, precision, names in asked if (side, precision) == ("eager", "tf32")] == [
        ("vgg", "gpt"), ("gpt",),
    ]  # fmt: skip
    assert written[1:] == [True] * (len(written) - 1)
    rows = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert [(row["name"], row["precision"]) for row in rows] == [
        ("vgg", "float32"), ("gpt", "float32"), ("vgg", "tf32"), ("gpt", "tf32"),
    ]  # fmt: skip
    assert rows[0]["errors"] == {"eager": "no"} and rows[0]["ms"].keys() == {"ours", "graph"}
    assert rows[1]["ms"].keys() == {"ours", "eager", "graph", "compiled"}


@pytest.mark.parametrize("name", ["mlp", "vgg", "softmax", "airbench"])
def test_a_recorded_peer_begins_where_the_others_begin(bench, name) -> None:
    """Three updates, as before a recording, put back: the losses are the same, by Adam, momentum, SGD and Muon."""
    pytest.importorskip("torch")
    workload = replace(bench.ALL[name], batch=4)

    def losses(warm: int) -> list[float]:
        net, x, y, optimizer = bench.peers_parts(workload, "cpu")
        update = bench.peers_update(net, x, y, optimizer, net)
        put_back = bench.keep(net, optimizer)
        for _ in range(warm):
            update()
        put_back()
        return [float(update()) for _ in range(4)]

    first = losses(0)
    assert losses(3) == pytest.approx(first, rel=1e-5) and first[0] != first[3]


def test_the_part_fails_where_ours_does_not_where_a_peer_does(lib) -> None:
    part = lib("gpu.bench")
    row = {"name": "vgg", "precision": "float32", "differ": [], "late": [], "errors": {}}
    row |= {"ms": {"ours": 1.0, "eager": 2.0}, "losses": {"ours": [1.0], "eager": [1.0]}}
    assert part.verdict([row], [])["status"] == "passed"
    peer = part.verdict([row | {"errors": {"graph": "no"}}], [])
    assert peer["status"] == "passed" and "1 of the peers' cells empty" in peer["detail"]
    assert peer["table"] == ["vgg in float32, graph: no"]
    differ = part.verdict([row | {"differ": ["graph"]}], [])
    assert differ["failures"] == ["vgg in float32: graph's losses are not ours"]
    ours = row | {"errors": {"ours": "no"}, "ms": {}}
    assert part.verdict([ours], [])["failures"] == ["vgg in float32, ours: no"]
    late = ours | {"late": ["ours"]}
    assert part.verdict([late], [])["status"] == "unfinished"


def test_no_timed_block_is_cut_by_the_end_of_an_epoch(bench, monkeypatch, capsys) -> None:
    """Training takes as many steps a launch as fit into what is left of an epoch; a block that is cut has more."""
    taken = []

    def ours(*_: object) -> tuple:
        return (lambda count: taken.append(count) or 0.5), (lambda: None), "about"

    monkeypatch.setattr(bench, "ours", ours)
    assert bench.work("ours", "float32", "0", "softmax") == 0
    first = len(taken) - bench.MIN_BLOCKS
    assert taken[first:] == [bench.BLOCK] * bench.MIN_BLOCKS
    assert sum(taken[:first]) % bench.BLOCK == bench.COPIES % bench.BLOCK == 0


def test_ours_has_its_numbers_where_every_peer_fails(lib, stand_in, bench, tmp_path, monkeypatch) -> None:
    """On the stand-in, PyTorch without CUDA beside it, or no PyTorch at all."""
    processes = lib("processes")
    numbers = tmp_path / "n.json"
    command = [str(ROOT / "scripts/lib/bench"), "--device", "cuda", "--only", "mlp100", "--rounds", "1"]
    command += ["--seconds", "0.1", "--json", str(numbers)]
    monkeypatch.setenv("DLCOURSE_BENCH_BLOCK", "4")
    processes.run(processes.python(*command), 400, cwd=ROOT)
    rows = json.loads(numbers.read_text())["rows"]
    assert [row["ms"].keys() for row in rows] == [{"ours"}, {"ours"}]
    assert all(set(row["errors"]) == {"eager", "graph", "compiled"} for row in rows)
