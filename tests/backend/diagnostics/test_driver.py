"""The driver asked through a pretended libcuda, and through what nvidia-smi prints."""

import ctypes
import os
from pathlib import Path

import pytest

from dlcourse.backend.diagnostics import driver


class FakeLibrary:
    """As much of libcuda as is asked, with two devices; ``init`` is what cuInit returns."""

    def __init__(self, init: int = 0, version: int = 12080):
        self.init, self.version = init, version

    def cuDriverGetVersion(self, version) -> int:
        version._obj.value = self.version
        return 0

    def cuInit(self, flags: int) -> int:
        return self.init

    def cuGetErrorName(self, error: int, text) -> int:
        if error != 100:
            return 1
        text._obj.value = b"CUDA_ERROR_NO_DEVICE"
        return 0

    def cuDeviceGetCount(self, count) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device, ordinal: int) -> int:
        device._obj.value = ordinal + 40
        return 0

    def cuDeviceGetName(self, name: ctypes.Array, length: int, device: ctypes.c_int) -> int:
        name.value = f"GPU of handle {device.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory, device) -> int:
        memory._obj.value = 6 << 30  # more than fits into 32 bits
        return 0

    def cuDeviceGetAttribute(self, value, attribute: int, device) -> int:
        value._obj.value = {75: 8, 76: 6}[attribute]
        return 0


def test_devices_are_read_off_the_driver(monkeypatch) -> None:
    monkeypatch.setattr(driver, "_load", FakeLibrary)
    found = driver.inspect()
    assert found.cuda == (12, 8) and found.reason == ""
    assert found.gpus == (
        driver.Gpu("GPU of handle 40", 6 << 30, (8, 6)),
        driver.Gpu("GPU of handle 41", 6 << 30, (8, 6)),
    )


@pytest.mark.parametrize(("error", "name"), [(100, "CUDA_ERROR_NO_DEVICE"), (7777, "error 7777")])
def test_a_driver_that_does_not_start_is_named_by_its_error(monkeypatch, error, name) -> None:
    monkeypatch.setattr(driver, "_load", lambda: FakeLibrary(init=error))
    found = driver.inspect()
    assert found.gpus == () and name in found.reason


def test_no_library_and_a_stub_of_it_are_no_driver(monkeypatch) -> None:
    monkeypatch.setattr(driver, "_load", lambda: None)
    assert driver.cuda_version() is None and driver.inspect() is None
    monkeypatch.setattr(driver, "_load", lambda: FakeLibrary(version=0))
    assert driver.cuda_version() is None and driver.inspect() is None


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for nvidia-smi")
@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo '| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4  |'", (12, 4)),
        ("echo '| NVIDIA-SMI 590.1   KMD Version: 590.1   CUDA UMD Version: 13.1  |'", (13, 1)),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", None),
    ],
)
def test_nvidia_smi_is_read(monkeypatch, tmp_path: Path, script, version) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n{script}\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert driver.cuda_version_by_smi() == version


def test_no_nvidia_smi_is_no_driver(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver.cuda_version_by_smi() is None
