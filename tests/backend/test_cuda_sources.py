"""Every CUDA source compiles for every architecture that is served, on a machine without a GPU."""

import functools
import re
import shutil
from pathlib import Path

import pytest
from machine_code import nvrtc
from machine_code.counts import counts
from machine_code.cubin import FRAME, attributes, compile_to_cubin, missing_disassembler, missing_nvrtc

from dlcourse.backend.cuda import program as programs
from dlcourse.backend.cuda.program import SOURCES, Program, families, program
from tests.backend.loop_budgets import BUDGETS

NO_DISASSEMBLY = missing_nvrtc() or missing_disassembler()
ARCHITECTURES = [75, 80, 86, 89, 90]

VERSIONS = list(nvrtc.installed())
"""The extra ci pins one NVRTC, since registers are allotted differently by each. Others are tested where named:

    pip install --no-deps --target /tmp/nvrtc-13.0 nvidia-cuda-nvrtc==13.0.88     # and 13.5.37 into another folder
    DLCOURSE_NVRTC=/tmp/nvrtc-13.0:/tmp/nvrtc-13.5 pytest tests/backend/test_cuda_sources.py
"""

MAX_FRAME = {"attention_blocks": 96}
"""Bytes of local memory that a thread may have, by how the source's name begins; 0 for the others. Attention is held to
128 registers a thread, so that two blocks share a multiprocessor, and each compiler spills a few: NVRTC 12.9 and 13.0
need at most 64 bytes for them, 13.5 up to 88 on sm_75 and sm_80."""


@functools.cache
def compiled(family: str, architecture: int, version: str) -> nvrtc.Compiled:
    return compile_to_cubin(program(family).code, architecture, version)


@pytest.mark.skipif(missing_nvrtc() is not None, reason=str(missing_nvrtc()))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("family", families())
def test_a_source_compiles(family: str, version: str, architecture: int) -> None:
    cubin, spilled = compiled(family, architecture, version)
    found = attributes(cubin)
    assert spilled
    most = next((most for start, most in MAX_FRAME.items() if family.startswith(start)), 0)
    for name, stored in spilled.items():
        frame = found[name][FRAME]
        # More than what is spilled is an array in memory, which is read by an index that only the run knows.
        assert frame <= most and frame <= stored + 8, name


@pytest.mark.skipif(NO_DISASSEMBLY is not None, reason=str(NO_DISASSEMBLY))
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("family", BUDGETS)
def test_loops_keep_to_their_budgets(family: str, architecture: int) -> None:
    found, met = counts(compiled(family, architecture, VERSIONS[0]).cubin), set()
    for name, kernel in found.items():
        for pattern, budget in BUDGETS[family].items():
            if re.fullmatch(pattern, name):
                met.add(pattern)
                wide = [loop.in_flight for loop in kernel.loops if loop.bytes >= budget.bytes]
                assert max(wide, default=-1 if budget.bytes else 0) >= budget.in_flight, name
                assert max((loop.divisions for loop in kernel.loops), default=0) <= budget.divisions, name
                assert budget.anywhere is None or kernel.divisions <= budget.anywhere, name
                shares = [100 * loop.fma / loop.instructions for loop in kernel.loops if not loop.divisions]
                assert max(shares, default=0) >= budget.fma, name
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
