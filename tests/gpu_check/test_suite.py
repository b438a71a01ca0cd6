"""Tests run by gpu_check: one that aborts its process, hangs or spoils the device costs no other."""

from pathlib import Path

import pytest

CONFTEST = """
import pytest
def pytest_addoption(parser):
    parser.addoption('--device')
def pytest_generate_tests(metafunc):
    if 'device' in metafunc.fixturenames:
        metafunc.parametrize('device', [metafunc.config.getoption('--device')])
"""
FIRST = """
import os, time, pytest
def test_passes(device): pass
def test_fails(device): assert 1 == 2, "wrong"
def test_aborts(device): os.abort()
def test_after_it(device): pass
@pytest.mark.skip(reason="not now")
def test_skipped(device): pass
"""
SECOND = "import time\ndef test_hangs(device): time.sleep(60)\ndef test_last(device): pass\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "some_tests"
    folder.mkdir()
    for name, text in (("conftest.py", CONFTEST), ("test_first.py", FIRST), ("test_second.py", SECOND)):
        (folder / name).write_text(text)
    (tmp_path / "results").mkdir()
    return folder


def short(names) -> list[str]:
    return [name.rpartition("::")[2].partition("[")[0] for name in names]


@pytest.mark.parametrize(("processes", "gpu"), [(1, False), (2, True)])
def test_all_tests_run_and_each_that_failed_is_named(lib, task, files, tmp_path, processes, gpu) -> None:
    """With a GPU that is not there each failure is taken for the device's end, and the next test gets a new process."""
    suite = lib("gpu.suite")
    ran = suite.run_tests(task(gpu, 90), tmp_path / "results", [str(files)], 1.5, processes)
    assert ran.finished
    assert sorted(short(ran.passed)) == ["test_after_it", "test_last", "test_passes"]
    assert short(ran.skipped) == ["test_skipped"]
    failed = {short([name])[0]: why for name, why in ran.failed.items()}
    assert sorted(failed) == ["test_aborts", "test_fails", "test_hangs"]
    assert failed["test_fails"] == "AssertionError: wrong"
    assert failed["test_aborts"] == "its process: ended by SIGABRT"
    assert "test_second.py:2 in test_hangs" in failed["test_hangs"]
    assert "assert 1 == 2" in next(iter(ran.texts.values()))


@pytest.mark.parametrize(("gpu", "expected"), [(True, ["test_last"]), (False, ["test_host", "test_last"])])
def test_on_a_device_only_its_own_tests_run(lib, task, files, tmp_path, gpu, expected) -> None:
    """The device's time is short: what computes on the host has run elsewhere."""
    (files / "test_first.py").write_text("def test_host(): pass\n")
    (files / "test_second.py").write_text("def test_last(device): pass\n")
    ran = lib("gpu.suite").run_tests(task(gpu, 60), tmp_path / "results", [str(files)], 5.0)
    assert sorted(short(ran.passed)) == expected and not ran.failed


def test_time_that_is_over_leaves_what_has_been_found(lib, task, files, tmp_path) -> None:
    ran = lib("gpu.suite").run_tests(task(False, 2.5), tmp_path / "results", [str(files / "test_second.py")], 60.0)
    assert not ran.finished and not ran.failed


def test_what_has_been_found_is_kept_on_the_way(lib, task, files, tmp_path, monkeypatch) -> None:
    suite = lib("gpu.suite")
    monkeypatch.setattr(suite, "KEPT_EVERY", 0.3)
    (files / "test_first.py").write_text("def test_fails(device): assert 1 == 2\n")
    (files / "test_second.py").write_text("import time\ndef test_takes_long(device): time.sleep(2)\n")
    suite.run_tests(task(False, 60), tmp_path / "results", [str(files)], 60.0)
    assert task.noted[-1]["status"] == "failed" and "test_first.py::test_fails" in task.noted[-1]["failures"][0]


def test_a_pytest_that_cannot_run_is_a_failure(lib, task, files, tmp_path) -> None:
    ran = lib("gpu.suite").run_tests(task(False, 60), tmp_path / "results", ["--no-such-option"], 5.0)
    ((name, why),) = ran.failed.items()
    assert "pytest" in name and "--no-such-option" in why


def test_a_file_that_cannot_be_read_is_a_failure_beside_the_others(lib, task, files, tmp_path) -> None:
    (files / "test_first.py").write_text("import no_such_module\n")
    (files / "test_second.py").write_text("def test_well(): pass\n")
    ran = lib("gpu.suite").run_tests(task(False, 60), tmp_path / "results", [str(files)], 5.0)
    assert short(ran.passed) == ["test_well"]
    assert "no_such_module" in next(iter(ran.failed.values()))


def test_failing_kernels_are_named(lib) -> None:
    overrides = lib("gpu.overrides")
    name = f"{overrides.TESTS}::test_override_computes_what_its_reference_does"
    assert overrides.kernel_of(f"{name}[cuda-max_pool2d-3-float32]") == "max_pool2d"
    assert overrides.kernel_of(f"{overrides.TESTS}::test_every_kernel_has_cases") == "test_every_kernel_has_cases"
