"""``dlcourse devices``: the check in a process of its own survives aborts and hangs; the table tells all of it."""

import argparse
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dlcourse import backend
from dlcourse.backend.cpu import autotune
from dlcourse.backend.diagnostics import cuda_check, driver, inspection, probe
from dlcourse.commands import devices

GOOD = 'print(\'{"step": "CuPy"}\'); print(\'{"step": "CuPy", "ok": true, "detail": "version 14.2.0"}\', flush=True); '
ANNOUNCED = 'print(\'{"step": "NVRTC"}\', flush=True); '


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a driver, a GPU and CuPy for CUDA 12, as far as the probe can tell."""
    gpu = driver.Gpu("NVIDIA H100", 80 << 30, (9, 0))
    monkeypatch.setattr(driver, "inspect", lambda: driver.Driver((12, 8), (gpu,)))
    monkeypatch.setattr(probe, "has_cupy", lambda: True)
    monkeypatch.setattr(probe, "cupy_packages", lambda: [12])
    monkeypatch.setattr(probe, "package_version", lambda package: "1.0")
    monkeypatch.setattr(probe, "cuda_status", lambda: probe.CudaStatus(True, 1, gpus=(gpu,)))


def checks_after(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> dict[str, inspection.Check]:
    """The GPU's checks by name, where ``cuda_check.py`` is this code instead."""
    (folder / "check.py").write_text(code)
    monkeypatch.setattr(inspection, "CUDA_CHECK", folder / "check.py")
    return {check.name: check for check in inspection.cuda_checks()}


def test_a_step_that_aborts_the_process_is_the_one_that_fails(with_gpu, monkeypatch, tmp_path) -> None:
    checks = checks_after(monkeypatch, tmp_path, GOOD + ANNOUNCED + "import os; os.abort()")
    assert checks["CuPy"].state == "ok" and "cupy-cuda12x" in checks["CuPy"].detail
    assert checks["NVRTC"].state == "failed" and "SIGABRT" in checks["NVRTC"].detail
    assert checks["NVRTC"].remedy.endswith("-m pip install 'cupy-cuda12x[ctk]'")
    assert (checks["kernel"].state, checks["cuBLAS"].state) == ("skipped", "skipped")
    assert checks["cuBLAS"].detail == "not tried: the check ended before it"


def test_a_step_that_hangs_is_given_up(with_gpu, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(inspection, "TIMEOUT", 1.0)
    checks = checks_after(monkeypatch, tmp_path, GOOD + ANNOUNCED + "import time; time.sleep(60)")
    assert checks["CuPy"].state == "ok"
    assert checks["NVRTC"].state == "failed" and "did not answer" in checks["NVRTC"].detail


def test_what_libraries_print_in_between_does_no_harm(with_gpu, monkeypatch, tmp_path) -> None:
    checks = checks_after(monkeypatch, tmp_path, "print('WARNING: hello'); print('[1]'); " + GOOD)
    assert checks["CuPy"].state == "ok"


def test_a_missing_cudnn_is_optional(with_gpu, monkeypatch, tmp_path) -> None:
    code = 'print(\'{"step": "cuDNN", "ok": false, "detail": "DynamicLibNotFoundError: ..."}\')'
    cudnn = checks_after(monkeypatch, tmp_path, code)["cuDNN"]
    assert cudnn.state == "optional" and cudnn.remedy.endswith("'dlcourse[cudnn]'")


def test_a_cudnn_that_is_switched_off_is_said_to_be(with_gpu, monkeypatch, tmp_path) -> None:
    code = 'print(\'{"step": "cuDNN", "ok": true, "detail": "version 92800"}\')'
    assert checks_after(monkeypatch, tmp_path, code)["cuDNN"].detail == "version 92800"
    monkeypatch.setenv("DLCOURSE_CUDNN", "0")
    assert checks_after(monkeypatch, tmp_path, code)["cuDNN"].detail.endswith("switched off by DLCOURSE_CUDNN=0")


def test_without_a_gpu_nothing_fails_and_nothing_needs_mending(with_gpu, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(driver, "inspect", lambda: None)
    monkeypatch.setattr(probe, "cuda_status", lambda: probe.CudaStatus(False, reason="no driver", remedy="get one"))
    code = GOOD + 'print(\'{"step": "device", "ok": false, "detail": "CUDARuntimeError: insufficient driver"}\')'
    checks = checks_after(monkeypatch, tmp_path, code)
    assert "failed" not in {check.state for check in checks.values()}
    assert [check.name for check in checks.values() if check.remedy] == ["driver"]


class DynamicLibNotFoundError(RuntimeError):
    """As ``cuda.pathfinder`` names it."""


class CompileException(Exception):
    """As CuPy names it."""


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A CuPy with all its libraries and a device, as far as the check asks; a test takes something away."""
    (tmp_path / "vector_types.h").touch()
    there = {"device": True, "nvrtc": (12, 9), "cublasLt": "libcublasLt.so.12", "headers": str(tmp_path), "cudnn": None}

    def load(name: str) -> SimpleNamespace:
        if there[name] is None:
            raise DynamicLibNotFoundError(f'Failure finding "lib{name}.so"')
        return SimpleNamespace(abs_path=there[name])

    def version() -> tuple[int, int]:
        load("nvrtc")
        return there["nvrtc"]

    def count() -> int:
        if not there["device"]:
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return 1

    runtime = SimpleNamespace(getDeviceCount=count, memGetInfo=lambda: (60 << 30, 80 << 30))
    cuda = ModuleType("cupy.cuda")
    cuda.is_available, cuda.runtime, cuda.get_cuda_path = lambda: there["device"], runtime, lambda: None
    cuda.nvrtc = SimpleNamespace(getVersion=version)
    cupy = ModuleType("cupy")
    cupy.__version__, cupy.cuda = "14.2.0", cuda
    pathfinder = ModuleType("cuda.pathfinder")
    pathfinder.load_nvidia_dynamic_lib, pathfinder.find_nvidia_header_directory = load, lambda name: there["headers"]
    for name, module in {"cupy": cupy, "cupy.cuda": cuda, "cuda.pathfinder": pathfinder}.items():
        monkeypatch.setitem(sys.modules, name, module)
    computes = {"kernel": lambda: "compiled and run", "GEMM": lambda: "right"}
    monkeypatch.setattr(cuda_check, "STEPS", cuda_check.STEPS | computes)
    return there


def checked(monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture) -> dict[str, str]:
    """What the table says of each step after a whole check."""
    cuda_check.main()
    checks = checks_after(monkeypatch, folder, f"print({capsys.readouterr().out!r})")
    return {name: f"{check.state}: {check.detail}; {check.remedy}".rstrip("; ") for name, check in checks.items()}


CTK = f"{probe._python()} -m pip install 'cupy-cuda12x[ctk]'"


def test_the_steps_come_in_the_order_that_they_build_up(with_gpu, libraries, monkeypatch, tmp_path, capsys) -> None:
    message = checked(monkeypatch, tmp_path, capsys)
    order = ["CuPy", "device", "NVRTC", "cuBLAS", "CUDA headers", "kernel", "GEMM", "NCCL", "cuDNN"]
    assert list(message)[2:] == order  # behind the driver and its device
    assert all(message[name].startswith("ok: ") for name in order[:-2])
    assert message["device"] == "ok: 1 found; 60.0 of 80.0 GiB free on cuda:0"


@pytest.mark.parametrize(
    ("without", "step", "why", "waits"),
    [
        ("nvrtc", "NVRTC", "DynamicLibNotFoundError: Failure finding", {"kernel": "NVRTC", "GEMM": "kernel"}),
        ("cublasLt", "cuBLAS", "DynamicLibNotFoundError: Failure finding", {"GEMM": "cuBLAS"}),
        ("headers", "CUDA headers", "RuntimeError: cannot open source file", {"kernel": "CUDA headers"}),
    ],
)
def test_each_lack_has_its_command_and_what_needs_it_waits(
    with_gpu, libraries, monkeypatch, tmp_path, capsys, without: str, step: str, why: str, waits: dict[str, str]
) -> None:
    libraries[without] = None
    message = checked(monkeypatch, tmp_path, capsys)
    assert message[step].startswith(f"failed: {why}") and message[step].endswith(f"; {CTK}")
    for later, lacking in waits.items():
        assert message[later] == f"skipped: waits for {lacking}"
    assert [name for name, line in message.items() if line.startswith("failed")] == [step]


def test_a_folder_without_the_header_is_not_the_headers(with_gpu, libraries, monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "vector_types.h").unlink()
    assert checked(monkeypatch, tmp_path, capsys)["CUDA headers"].startswith("failed: ")


def test_all_libraries_that_are_missing_are_said_at_once(with_gpu, libraries, monkeypatch, tmp_path, capsys) -> None:
    libraries.update(nvrtc=None, cublasLt=None, headers=None)
    message = checked(monkeypatch, tmp_path, capsys)
    assert [name for name, line in message.items() if line.endswith(CTK)] == ["NVRTC", "cuBLAS", "CUDA headers"]
    assert message["kernel"] == "skipped: waits for NVRTC and CUDA headers"
    assert message["GEMM"] == "skipped: waits for kernel and cuBLAS"


def test_a_kernel_whose_headers_cannot_be_opened_is_mended_by_them(
    with_gpu, libraries, monkeypatch, tmp_path, capsys
) -> None:
    def broken() -> str:
        raise CompileException('carray.cuh(6): catastrophic error: cannot open source file "vector_types.h"')

    monkeypatch.setitem(cuda_check.STEPS, "kernel", broken)
    message = checked(monkeypatch, tmp_path, capsys)
    assert "vector_types.h" in message["kernel"] and message["kernel"].endswith(f"; {CTK}")
    assert message["GEMM"] == "skipped: waits for kernel"


def test_a_device_that_cupy_cannot_use_holds_up_the_kernel(with_gpu, libraries, monkeypatch, tmp_path, capsys) -> None:
    libraries["device"] = False
    message = checked(monkeypatch, tmp_path, capsys)
    assert message["device"].startswith("failed: RuntimeError: cudaErrorNoDevice")
    assert message["kernel"] == "skipped: waits for device" and message["cuBLAS"].startswith("ok")


@pytest.mark.parametrize(
    ("majors", "command"),
    [([12], "'cupy-cuda12x[ctk]'"), ([13], "'cupy-cuda13x[ctk]'"), ([], "set CUDA_PATH to its folder")],
)
def test_the_command_fits_the_cupy_that_is_installed(monkeypatch, majors: list[int], command: str) -> None:
    monkeypatch.setattr(probe, "cupy_packages", lambda: majors)
    assert probe.libraries_command().endswith(command)


def test_steps_whose_needs_failed_are_not_tried(monkeypatch, capsys) -> None:
    def broken() -> str:
        raise OSError("line one\nline two")

    steps = {"CuPy": lambda: "there", "device": broken, "kernel": lambda: pytest.fail("tried")}
    monkeypatch.setattr(cuda_check, "STEPS", steps)
    cuda_check.main()
    message = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert message == [
        {"step": "CuPy"},
        {"step": "CuPy", "ok": True, "detail": "there"},
        {"step": "device"},
        {"step": "device", "ok": False, "detail": "OSError: line one line two"},
    ]


def test_what_auto_is_said_to_choose_is_what_it_chooses() -> None:
    report = inspection.inspect()
    assert report.auto == backend.get("auto").name
    assert report.why


def test_the_cpu_part_names_cores_and_the_matrix_library() -> None:
    checks = {check.name: check for check in inspection.cpu_checks()}
    assert checks["cores"].detail[0].isdigit()
    assert "version" in checks["NumPy"].detail and "thread" in checks["NumPy"].detail
    assert checks["oneDNN"].state in ("ok", "optional")


def test_it_says_how_products_are_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def said() -> str:
        return {check.name: check.detail for check in inspection.cpu_checks()}["products"]

    assert said() == "by a fixed rule"
    monkeypatch.delenv(autotune.SWITCH)
    monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path))
    assert said() == f"timed once for each shape; 0 kept in {autotune.folder()}"
    autotune.folder().mkdir(parents=True)
    (autotune.folder() / "NT-256x4096x16-bias.json").touch()
    assert "; 1 kept in" in said()
    monkeypatch.setenv("DLCOURSE_CACHE", "~no-such-user/cache")
    assert said() == "by a fixed rule, as there is no cache folder"


def test_the_table_shows_each_lack_with_its_command() -> None:
    missing = inspection.Check("CuPy", "missing", "not installed", "python -m pip install 'dlcourse[cuda12]'")
    optional = inspection.Check("oneDNN", "optional", "not installed", "python -m pip install 'dlcourse[cpu]'")
    report = inspection.Report((optional,), (missing,), "cpu", "CuPy is not installed")
    lines = devices.render(report).splitlines()
    assert "  - CuPy    not installed" in lines
    assert any("to mend: python -m pip install 'dlcourse[cuda12]'" in line for line in lines)
    assert any("to add it: python -m pip install 'dlcourse[cpu]'" in line for line in lines)
    assert lines[-1] == "auto chooses cpu: CuPy is not installed"


def test_json_has_the_same(capsys) -> None:
    assert devices.main(argparse.Namespace(json=True)) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"cpu", "cuda", "auto", "why"} == report.keys()
    assert {"name", "state", "detail", "remedy"} == report["cpu"][0].keys()
