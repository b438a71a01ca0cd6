"""What the probe answers on machines that this one is not: pretended drivers, pretended CuPy."""

import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlcourse.backend.diagnostics import driver, probe

H100 = driver.Gpu("NVIDIA H100", 80 << 30, (9, 0))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """``machine(...)``: the probe's answer where the driver, its GPUs and CuPy are as given."""

    def build(
        cuda: tuple[int, int] | None = None,
        gpus: tuple[driver.Gpu, ...] = (),
        wheels: tuple[int, ...] = (),
        cupy: object = None,
        reason: str = "",
    ) -> probe.CudaStatus:
        monkeypatch.setattr(driver, "cuda_version", lambda: cuda)
        monkeypatch.setattr(driver, "inspect", lambda: driver.Driver(cuda, gpus, reason) if cuda else None)
        monkeypatch.setattr(probe, "has_cupy", lambda: bool(wheels) or cupy is not None)
        versions = {probe.CUPY_PACKAGES[major]: "14.2.0" for major in wheels} | {"dlcourse": "0.1.0"}
        monkeypatch.setattr(probe, "package_version", versions.get)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        probe.cuda_status.cache_clear()
        return probe.cuda_status()

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield build
    probe.cuda_status.cache_clear()


def cupy_that_counts(answer: int | Exception) -> types.SimpleNamespace:
    def count() -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count)))


def test_gpus_that_cupy_counts_are_usable(machine) -> None:
    status = machine((12, 8), (H100, H100), (12,), cupy_that_counts(2))
    assert (status.usable, status.count, status.reason) == (True, 2, "")
    assert status.gpus[0].name == "NVIDIA H100"


def test_a_cupy_for_an_older_cuda_runs_under_a_newer_driver(machine) -> None:
    assert machine((13, 0), (H100,), (12,), cupy_that_counts(1)).usable


def test_nothing_there_is_an_ordinary_answer_and_starts_no_process(machine, monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail("a process was started"))
    status = machine()
    assert not status.usable and status.count == 0
    assert "no NVIDIA driver" in status.reason and "CuPy is not installed" in status.reason


def test_cupy_without_a_driver_is_an_ordinary_answer(machine) -> None:
    status = machine(wheels=(12,), cupy=cupy_that_counts(RuntimeError("must not be asked")))
    assert status == probe.CudaStatus(False, reason=status.reason, remedy=status.remedy)
    assert status.reason == "CuPy is installed, but there is no NVIDIA driver"


@pytest.mark.parametrize(("cuda", "extra"), [((12, 4), "cuda12"), ((13, 0), "cuda13"), ((14, 2), "cuda13")])
def test_a_gpu_without_cupy_names_the_extra_that_fits_the_driver(machine, cuda, extra) -> None:
    status = machine(cuda, (H100,))
    assert status.reason == "CuPy is not installed"
    assert status.remedy.endswith(f"-m pip install 'dlcourse[{extra}]'")


def test_a_driver_too_old_for_any_cupy_is_to_be_updated(machine) -> None:
    status = machine((11, 8), (H100,))
    assert "CUDA 11.8 at most" in status.reason and status.remedy == "update NVIDIA's driver"


def test_a_cupy_newer_than_the_driver_is_to_be_replaced(machine) -> None:
    status = machine((12, 2), (H100,), (13,), cupy_that_counts(1))
    assert not status.usable and "the driver runs CUDA 12.2 at most" in status.reason
    assert "pip uninstall -y cupy-cuda13x && " in status.remedy and status.remedy.endswith("'dlcourse[cuda12]'")


def test_two_cupy_wheels_are_to_be_sorted_out(machine) -> None:
    status = machine((13, 0), (H100,), (12, 13), cupy_that_counts(1))
    assert not status.usable and "spoil each other" in status.reason
    assert "pip uninstall -y cupy-cuda12x cupy-cuda13x && " in status.remedy


def test_a_driver_without_a_gpu_gives_the_drivers_reason(machine) -> None:
    reason = "the driver finds no usable GPU (cuInit: CUDA_ERROR_NO_DEVICE)"
    assert machine((12, 8), (), (12,), cupy_that_counts(0), reason).reason == reason


def test_gpus_hidden_by_the_environment_are_said_to_be(machine, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status = machine((12, 8), (), (12,), cupy_that_counts(0))
    assert "CUDA_VISIBLE_DEVICES='' hides" in status.reason and status.remedy == "unset CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    "error", [ImportError("libcublas.so.12: no such file\n\nlong text"), RuntimeError(), OSError()]
)
def test_a_broken_cupy_is_a_reason_of_one_line(machine, error) -> None:
    status = machine((12, 8), (H100,), (12,), cupy_that_counts(error))
    assert not status.usable
    assert status.reason.startswith("CuPy does not work here: ") and "\n" not in status.reason
    assert status.remedy.endswith("-m pip install --force-reinstall cupy-cuda12x")


def test_the_probe_asks_once(machine, monkeypatch) -> None:
    first = machine((12, 8), (H100,), (12,), cupy_that_counts(1))
    monkeypatch.setattr(driver, "cuda_version", lambda: pytest.fail("asked again"))
    assert probe.cuda_status() is first


def test_commands_name_this_python_and_the_clone_where_nothing_is_installed(monkeypatch) -> None:
    monkeypatch.setattr(probe, "package_version", lambda package: None)
    command = probe.install_command("cuda12")
    clone = re.search(r"-m pip install -e '(.*)\[cuda12\]'$", command)[1]
    assert (Path(clone) / "dlcourse" / "backend").is_dir()
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    assert probe.install_command("cpu").startswith("'/opt/my python/bin/python' -m pip")
