"""Every CUDA source compiles for every architecture that is served, on a machine without a GPU."""

import shutil
from pathlib import Path

import pytest
from machine_code.cubin import FRAME, attributes, compile_to_cubin, missing_nvrtc

from dlcourse.backend.cuda import program as programs
from dlcourse.backend.cuda.program import SOURCES, Program, families, program

ARCHITECTURES = [75, 80, 86, 89, 90]

MAX_FRAME = 64
"""Bytes of local memory that a thread may have: a few spilled registers. Beyond that a loop was not unrolled, and what
should be a tile in registers lies in memory."""


@pytest.mark.skipif(missing_nvrtc() is not None, reason=str(missing_nvrtc()))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("family", families())
def test_a_source_compiles(family: str, architecture: int) -> None:
    found = attributes(compile_to_cubin(program(family).code, architecture))
    assert found and max(kernel[FRAME] for kernel in found.values()) <= MAX_FRAME


def test_a_changed_header_is_another_source_for_cupy_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key is the source's text and the options: with the same text it would load what an older header gave."""
    shutil.copytree(SOURCES, tmp_path / "sources")
    monkeypatch.setattr(programs, "SOURCES", tmp_path / "sources")
    before = Program("loss").code
    assert before == Program("loss").code
    header = tmp_path / "sources" / "last_block.cuh"
    header.write_text(header.read_text() + "// changed\n")
    assert Program("loss").code != before


def test_there_are_sources() -> None:
    assert len(families()) >= 5


def test_a_plain_number_has_no_size() -> None:
    with pytest.raises(TypeError, match="no size"):
        program("norm").launch("layer_norm_float", (1,), (32,), (1.0,))
