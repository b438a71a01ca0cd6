"""``dlcourse devices``: the check in a process of its own survives aborts and hangs; the table tells all of it."""

import argparse
import json
from pathlib import Path

import pytest

from dlcourse import backend
from dlcourse.backend import cuda_check, driver, inspection, probe
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
    assert checks["NVRTC"].remedy.endswith("'dlcourse[cuda12]'")
    assert checks["kernel"].state == "skipped"


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


def test_steps_whose_needs_failed_are_not_tried(monkeypatch, capsys) -> None:
    def broken() -> str:
        raise OSError("line one\nline two")

    steps = {"CuPy": lambda: "there", "device": broken, "kernel": lambda: pytest.fail("tried")}
    monkeypatch.setattr(cuda_check, "STEPS", steps)
    cuda_check.main()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said == [
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
