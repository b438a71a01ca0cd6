"""scripts/gpu_check: one failing part hides no other, and its exit code and JSON say what came of it."""

import argparse
import importlib.util
import json
import subprocess
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def gpu_check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "scripts" / "lib" / "gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.syspath_prepend(str(ROOT))
    return module


def breaks(gpu: bool, args: object) -> dict:
    raise RuntimeError("broken")


def passes(gpu: bool, args: object) -> dict:
    return {"status": "passed", "detail": "fine"}


def start(module, monkeypatch, folder: Path, parts: dict, gpu: bool) -> tuple[int, dict]:
    monkeypatch.setattr(module, "PARTS", parts)
    monkeypatch.setattr(module, "has_gpu", lambda: gpu)
    monkeypatch.setattr("sys.argv", ["gpu_check", "--json", str(folder / "out.json")])
    code = module.main()
    return code, json.loads((folder / "out.json").read_text())


def test_a_part_that_breaks_does_not_stop_the_next(gpu_check, monkeypatch, tmp_path, capsys) -> None:
    code, summary = start(gpu_check, monkeypatch, tmp_path, {"first": breaks, "second": passes}, gpu=True)
    assert code == 1
    assert summary["parts"]["first"]["status"] == "failed"
    assert summary["parts"]["first"]["detail"] == "RuntimeError: broken"
    assert summary["parts"]["second"]["status"] == "passed"
    assert capsys.readouterr().out.splitlines()[-1] == "failed: first"


def test_all_well_is_zero_and_no_gpu_is_three(gpu_check, monkeypatch, tmp_path) -> None:
    assert start(gpu_check, monkeypatch, tmp_path, {"only": passes}, gpu=True)[0] == 0
    code, summary = start(gpu_check, monkeypatch, tmp_path, {"only": passes}, gpu=False)
    assert code == 3 and summary["gpu"] is False and summary["parts"]["only"]["status"] == "passed"


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [(1.0, 1.001, True), (1.0, 1.01, False), (0.0, 5e-5, True), (0.0, 1e-2, False), (float("nan"), float("nan"), True)],
)
def test_parity_is_judged_by_relative_and_absolute_difference(gpu_check, expected, got, same) -> None:
    assert gpu_check.close(expected, got) is same


def test_what_is_known_is_written_after_each_part(gpu_check, monkeypatch, tmp_path) -> None:
    def killed(gpu: bool, args: object) -> dict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(gpu_check, monkeypatch, tmp_path, {"first": passes, "second": killed}, gpu=True)
    (written,) = tmp_path.glob("*.json")
    assert list(json.loads(written.read_text())["parts"]) == ["first"]


def test_a_command_past_its_time_ends_with_all_that_it_started(gpu_check, tmp_path) -> None:
    command = ["bash", "-c", f"(sleep 3; touch {tmp_path}/late) & sleep 60"]
    with pytest.raises(subprocess.TimeoutExpired):
        gpu_check.run(command, 0.5)
    time.sleep(4)
    assert not (tmp_path / "late").exists()


def parity(gpu_check, monkeypatch, one_step) -> dict:
    monkeypatch.setattr(gpu_check, "one_step", one_step)
    return gpu_check.check_parity(True, argparse.Namespace(timeout=60.0))


def test_a_config_that_is_off_on_the_gpu_fails_parity_and_is_named(gpu_check, monkeypatch) -> None:
    def one_step(config, device, timeout) -> dict:
        return {"val.mse": 2.0 if device == "cuda" and config.stem == "rent_line" else 1.0}

    outcome = parity(gpu_check, monkeypatch, one_step)
    assert outcome["status"] == "failed"
    assert outcome["differences"] == {"configs/02_machine_learning/rent_line.yaml": "val.mse: CPU 1, GPU 2"}


def test_a_metric_that_one_device_lacks_and_a_gpu_that_fails_are_differences(gpu_check, monkeypatch) -> None:
    outcome = parity(gpu_check, monkeypatch, lambda config, device, timeout: {"val.mse": 1.0, device: 1.0})
    assert outcome["status"] == "failed" and outcome["detail"].startswith("0 of ")

    def broken(config, device, timeout) -> dict:
        raise RuntimeError("on cuda: out of memory")

    assert set(parity(gpu_check, monkeypatch, broken)["differences"].values()) == {"on cuda: out of memory"}


def test_configs_without_their_files_are_left_out_but_not_all_of_them(gpu_check, monkeypatch) -> None:
    def no_files(config, device, timeout) -> dict:
        raise gpu_check.LeftOut("no file")

    assert parity(gpu_check, monkeypatch, no_files)["status"] == "failed"


def test_one_step_really_runs_a_config(gpu_check, tmp_path) -> None:
    config = ROOT / "configs/02_machine_learning/polynomial_overfitting.yaml"
    first, second = (gpu_check.one_step(config, "cpu", 100.0) for _ in range(2))
    assert first == second and "val.mse" in first
    with pytest.raises(RuntimeError, match="cuda:99"):
        gpu_check.one_step(config, "cuda:99", 100.0)
    with pytest.raises(gpu_check.LeftOut):
        gpu_check.one_step(tmp_path / "none.yaml", "cpu", 100.0)
