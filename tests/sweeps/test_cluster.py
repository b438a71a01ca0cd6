"""Points on a Dask cluster: scheduler and workers are processes on this machine, and some of them are killed."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dlcourse import cli, plugins
from dlcourse.errors import DlcourseError, UserError
from dlcourse.sweeps import cluster, run_sweep
from dlcourse.sweeps.requirements import lacking, requirements
from tests.sweeps.test_processes import TRAINING as LONGER

distributed = pytest.importorskip("distributed", reason="a Dask cluster needs the extra dask: the package distributed")

ROOT = Path(__file__).parents[2]
TRAINING = {**LONGER, "train": {"epochs": 12, "batch_size": 8, "eval_every": 3}}
POINTS = ["000-lr=0.01", "001-lr=0.02"]

AT_START = """
import os, sys, time

kind = os.environ.get("KIND_OF_WORKER")
if kind == "slow":
    from dlcourse.training.trainer import Trainer

    def slowly(trainer, advance=Trainer._advance):
        time.sleep(0.02)
        advance(trainer)

    Trainer._advance = slowly
if kind == "bare":
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "dlcourse":
                raise ModuleNotFoundError("No module named 'dlcourse'")
    sys.meta_path.insert(0, Absent())
"""
"""The start of every process of a worker: so that points are slow, or the worker lacks dlcourse."""

PLUGIN = """
import os
import signal
from dlcourse.data import Dataset
from dlcourse.data.polynomial_curve import PolynomialCurve
from dlcourse.errors import DataError
from dlcourse.models.linear import LinearModel
from dlcourse.registry import register


@register("data", "only_here")
class OnlyHere:
    def load(self, seed: int) -> Dataset:
        if os.getpid() != {pid}:
            raise DataError("curve.csv is not on this machine")
        return PolynomialCurve(samples=20).load(seed)


@register("model", "deadly")
class Deadly(LinearModel):
    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        os.kill(os.getpid(), signal.SIGKILL)
"""


UNWATCHED = {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
"""Dask's processes need not watch themselves: that takes more time here than their work."""


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder: Path, *kinds: str):
        (folder / "sitecustomize.py").write_text(AT_START)
        paths = f"{folder}{os.pathsep}{ROOT}"
        self.environment = {**os.environ, **UNWATCHED, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        place = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--port", "0", "--scheduler-file", place)
        wait_until(lambda: place.is_file() and place.read_text().endswith("}"))
        self.address = json.loads(place.read_text())["address"]
        options = self.address, "--nthreads", "1", "--no-nanny"
        self.workers = {kind: self.start("worker", *options, KIND_OF_WORKER=kind.split()[0]) for kind in kinds}
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(kinds), timeout=120)

    def start(self, what, *options, **more):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen(
            [*command, *map(str, options)],
            env=self.environment | more,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, *kinds):
        """Kill these workers, as far as they live."""
        for kind in self.workers.keys() & kinds:
            worker = self.workers.pop(kind)
            worker.kill()
            worker.wait()

    def end(self):
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()


def wait_until(true):
    for _ in range(12_000):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("this does not come")


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """One cluster for all, as each of its processes takes a second to start; tests kill it bit by bit."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), "bare", "slow", "slow too")
    yield made
    made.end()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep as it is on one machine."""
    return run_sweep(TRAINING, out=tmp_path_factory.mktemp("whole"), quiet=True, plots=False)


@contextlib.contextmanager
def acting(action, out, points):
    """Act, in a thread, as soon as so many points of the sweep below a folder train, or train again."""
    before = written(out)

    def act():
        wait_until(lambda: sum(size > before.get(path, 0) for path, size in written(out).items()) >= points)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def written(out):
    return {path: path.stat().st_size for path in out.glob("slow/*/points/*/metrics.jsonl")}


def state_of(folder):
    return json.loads((folder / "sweep.json").read_text())


def metrics_of(folder):
    return [each["metrics"] for each in state_of(folder)["points"]]


@pytest.fixture
def components(tmp_path):
    (tmp_path / "components.py").write_text(PLUGIN.format(pid=os.getpid()))
    plugins.load(tmp_path / "components.py")
    return tmp_path / "components.py"


def test_a_worker_without_the_data_is_refused_with_one_line(components, make, tmp_path, capfd):
    swept = make(data={"name": "only_here", "split": {"val": 0.2}})
    with pytest.raises(DlcourseError, match="no worker at local:1 can run the points.*; to go on: dlcourse sweep --re"):
        run_sweep(swept, out=tmp_path / "runs", quiet=True, plots=False, dask="local:1")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("dlcourse: note: worker inproc://")
    assert line.endswith(" gets no points: curve.csv is not on this machine")


def test_what_a_worker_lacks_is_said(components, tmp_path):
    here = requirements([], None, tmp_path)
    (tmp_path / "sweep.json").touch()
    assert lacking(here.to_json()) is None
    for changed, reason in [
        ({"program": ("0.0.1", "a" * 12)}, "it has dlcourse 0.1.0, the sweep 0.0.1; install the same there and start"),
        ({"program": (here.program[0], "a" * 12)}, f"another source ({here.program[1]}, the sweep's {'a' * 12})"),
        ({"folder": "/nowhere"}, "it does not see the sweep's folder /nowhere"),
        ({"plugins": {"/nowhere.py": "a"}}, "it cannot read the plugin /nowhere.py (No such file or directory)"),
        ({"plugins": {str(components): "a"}}, f"its plugin {components} is another than the sweep's"),
    ]:
        assert reason in lacking(replace(here, **changed).to_json())


def test_points_wait_for_a_worker_unless_none_ever_could_run_them(tmp_path):
    work = cluster._Dispatcher(cluster.Cluster(None, "here", 3), requirements([], None, tmp_path), None)
    work._more = True
    for _ in range(2):
        work._check_workers()
    assert work._notes == ["no worker at here that can run points; waiting for one"]
    work._threads, work._refused = {"bare": 1}, {"bare"}
    with pytest.raises(cluster.ClusterError, match="no worker at here can run the points"):
        work._check_workers()
    work._examined("killed since", None)
    work._check_workers()


def test_a_point_that_kills_its_processes_has_failed_after_its_retries(components, make, tmp_path):
    training = {"optimizer": {"name": "sgd", "lr": 0.1}, "train": {"epochs": 1}, "sweep": {"grid": {"seed": [1]}}}
    swept = make(model={"name": "deadly"}, **training)
    result = run_sweep(swept, out=tmp_path / "runs", quiet=True, plots=False, dask="local:1", retries=0)
    assert [each.status for each in result.points] == ["failed"] and result.exit_code == 1
    assert "lost 1 time, at last at worker inproc://" in result.points[0].error
    assert "SIGKILL" in result.points[0].error


def test_a_search_judges_the_evaluations_of_workers(make, tmp_path, monkeypatch):
    pytest.importorskip("optuna", reason="a search needs the extra search")
    from dlcourse.sweeps.study import Study

    space = {"optimizer.lr": {"low": 1e-3, "high": 0.1}}
    training = {"optimizer": {"name": "sgd", "lr": 0.1}, "train": {"epochs": 4}}
    search = {"name": "tpe", "trials": 3, "pruner": "median", "space": space}
    monkeypatch.setattr(Study, "judge", lambda study, number, evaluation, value: number == 1 and evaluation == 2)
    here, there = (
        run_sweep(make(**training, sweep={"search": search}), out=tmp_path / out, quiet=True, plots=False, dask=dask)
        for out, dask in (("here", None), ("there", "local:1"))
    )
    assert [each.status for each in there.points] == ["done", "pruned", "done"]
    assert state_of(there.folder)["search"] == state_of(here.folder)["search"]
    assert metrics_of(there.folder) == metrics_of(here.folder)


@pytest.mark.parametrize(
    ("settings", "error", "warned"),
    [
        ({"dask": "local:0"}, UserError, "expected local:N with N of at least 1"),
        ({"dask": "local"}, UserError, "expected local:N"),
        ({"dask": "local:x", "dry_run": True}, UserError, "or a scheduler's address, got 'local:x'"),
        ({"dask": ""}, UserError, "or a scheduler's address, got ''"),
        ({"dask": "nonsense://x"}, UserError, "no scheduler's address"),
        ({"dask": "local:2", "jobs": 2}, UserError, "--dask local:2 has 2 workers"),
        ({"dask": "local:2", "stack": True}, UserError, "--dask does not combine with --stacked"),
        ({"dask": "local:2", "retries": -1}, UserError, "retries: expected at least 0, got -1"),
        ({"retries": 2}, UserError, "they go with dask only"),
        ({"dask": "127.0.0.1:9"}, DlcourseError, "no Dask scheduler answers at 127.0.0.1:9"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(settings, error, warned, make, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.3)
    with pytest.raises(error, match=warned):
        run_sweep(make(), out=tmp_path / "runs", quiet=True, plots=False, **settings)
    assert not (tmp_path / "runs").exists()


def test_an_address_of_something_else_is_said(make):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(
            target=lambda: server.accept()[0].sendall(b"HTTP/1.1 400 Bad Request" * 9), daemon=True
        ).start()
        with pytest.raises(DlcourseError, match=f"what answers at {address} is no Dask scheduler"):
            run_sweep(make(), dask=address, quiet=True)


def test_without_the_package_the_message_says_how_to_install_it(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r'pip install "dlcourse\[dask\]"'):
        run_sweep(make(), dask="local:2", dry_run=True, quiet=True)


def test_the_point_of_a_killed_worker_goes_on_at_another(whole, dask, tmp_path, capfd):
    folder = Path(shutil.copytree(whole.folder, tmp_path / "slow" / "copy"))  # that began on this machine
    for name in POINTS:
        shutil.rmtree(folder / "points" / name)
    with acting(lambda: dask.kill("slow too"), tmp_path, points=2):
        result = run_sweep(resume=folder, quiet=True, plots=False, dask=dask.address)
    assert result.exit_code == 0
    refused, lost = capfd.readouterr().err.splitlines()
    assert "gets no points: it cannot run dlcourse 0.1.0: ModuleNotFoundError: No module named" in refused
    assert "was lost at worker tcp://" in lost and "it goes on at a free one (retry 1 of 3)" in lost
    assert metrics_of(folder) == [each.metrics for each in whole.points]
    assert sorted(each.name for each in (folder / "points").iterdir()) == POINTS
    resumed = ["going on from step" in (folder / "points" / name / "log.txt").read_text() for name in POINTS]
    assert sorted(resumed) == [False, True]


def test_a_signal_and_a_dead_scheduler_cost_nothing_but_time(whole, dask, tmp_path, capfd):
    dask.kill("bare", "slow too")
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(TRAINING))
    options = ["--no-plots", "--dask", dask.address]
    with acting(lambda: os.kill(os.getpid(), signal.SIGINT), tmp_path, points=1):
        code = cli.main(["sweep", str(tmp_path / "slow.yaml"), "--out", str(tmp_path), *options])
    (folder,) = (tmp_path / "slow").iterdir()
    (line,) = capfd.readouterr().err.splitlines()
    assert code == 130 and line.endswith(f"interrupted by SIGINT; to go on: dlcourse sweep --resume {folder}")
    assert [each["status"] for each in state_of(folder)["points"]] == ["interrupted", "pending"]

    with acting(dask.scheduler.kill, tmp_path, points=1):
        code = cli.main(["sweep", "--resume", str(folder), *options])
    (line,) = capfd.readouterr().err.splitlines()
    gone = f"the Dask scheduler at {dask.address} is gone; to go on: dlcourse sweep --resume {folder}"
    assert code == 1 and line.endswith(gone)
    result = folder / "points" / POINTS[0] / "result.json"
    wait_until(lambda: json.loads(result.read_text())["status"] == "interrupted")

    assert run_sweep(resume=folder, quiet=True, plots=False).exit_code == 0
    assert metrics_of(folder) == [each.metrics for each in whole.points]
