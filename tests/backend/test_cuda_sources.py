"""Every CUDA source compiles for every architecture that is served, on a machine without a GPU."""

import importlib.util
import shutil
import struct
from pathlib import Path

import pytest

from dlcourse.backend.cuda import program as programs
from dlcourse.backend.cuda.program import OPTIONS, SOURCES, Program, families, program

ARCHITECTURES = [75, 80, 86, 89, 90]

MAX_FRAME = 64
"""Bytes of local memory that a thread may have: a few spilled registers. Beyond that a loop was not unrolled, and what
should be a tile in registers lies in memory."""


def compile_to_cubin(code: str, architecture: int) -> bytes:
    """The one place that knows CuPy's private way to NVRTC. A cubin, not PTX: PTX lets instructions through that the
    architecture has not got."""
    from cupy.cuda.compiler import _NVRTCProgram

    options = *OPTIONS, "-ftz=true", f"-arch=sm_{architecture}"  # CuPy flushes numbers below 1e-38 to zero
    made = _NVRTCProgram(code, "source.cu", method="cubin").compile(options)
    return made[0] if isinstance(made, tuple) else made


def frames(cubin: bytes) -> dict[int, int]:
    """Bytes of local memory of each function, by its symbol: the FRAME_SIZE entries of the ELF section .nv.info."""
    (start,), (size, count, names) = struct.unpack_from("<Q", cubin, 0x28), struct.unpack_from("<3H", cubin, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", cubin, start + i * size) for i in range(count)]
    found = {}
    for name, *_, place, length, _, _, _, _ in sections:
        at = sections[names][4] + name
        if cubin[at : cubin.index(0, at)] != b".nv.info":
            continue
        entry = place
        while entry < place + length:
            kind, attribute, extra = struct.unpack_from("<BBH", cubin, entry)
            if (kind, attribute) == (4, 0x11):
                symbol, frame = struct.unpack_from("<II", cubin, entry + 4)
                found[symbol] = frame
            entry += 4 + (extra if kind == 4 else 0)
    return found


def _missing() -> str | None:
    if importlib.util.find_spec("cupy") is None:
        return "the CuPy wheel is not installed (extra: ci)"
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # whatever a library that is not there is reported by
        return f"no NVRTC (extra: ci): {error}"
    return None


@pytest.mark.skipif(_missing() is not None, reason=str(_missing()))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("family", families())
def test_a_source_compiles(family: str, architecture: int) -> None:
    found = frames(compile_to_cubin(program(family).code, architecture))
    assert found and max(found.values()) <= MAX_FRAME


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
