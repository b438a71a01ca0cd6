"""Every CUDA source compiles for every architecture that is served, on a machine without a GPU."""

import functools
import re
import shutil
from pathlib import Path

import pytest
from machine_code.counts import counts
from machine_code.cubin import FRAME, attributes, compile_to_cubin, missing_disassembler, missing_nvrtc

from dlcourse.backend.cuda import program as programs
from dlcourse.backend.cuda.program import SOURCES, Program, families, program
from tests.backend.loop_budgets import BUDGETS

NO_DISASSEMBLY = missing_nvrtc() or missing_disassembler()
ARCHITECTURES = [75, 80, 86, 89, 90]

MAX_FRAME = 64
"""Bytes of local memory that a thread may have: a few spilled registers. Beyond that a loop was not unrolled, and what
should be a tile in registers lies in memory."""


@functools.cache
def cubin(family: str, architecture: int) -> bytes:
    return compile_to_cubin(program(family).code, architecture)


@pytest.mark.skipif(missing_nvrtc() is not None, reason=str(missing_nvrtc()))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("family", families())
def test_a_source_compiles(family: str, architecture: int) -> None:
    found = attributes(cubin(family, architecture))
    assert found and max(kernel[FRAME] for kernel in found.values()) <= MAX_FRAME


@pytest.mark.skipif(NO_DISASSEMBLY is not None, reason=str(NO_DISASSEMBLY))
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("family", BUDGETS)
def test_loops_keep_to_their_budgets(family: str, architecture: int) -> None:
    found, met = counts(cubin(family, architecture)), set()
    for name, kernel in found.items():
        for pattern, budget in BUDGETS[family].items():
            if re.fullmatch(pattern, name):
                met.add(pattern)
                wide = [loop.in_flight for loop in kernel.loops if loop.bytes >= budget.bytes]
                assert max(wide, default=-1) >= budget.in_flight, name
                assert max(loop.divisions for loop in kernel.loops) <= budget.divisions, name
    assert met == set(BUDGETS[family])


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
