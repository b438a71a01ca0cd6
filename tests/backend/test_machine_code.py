"""What the kernels' machine code asks of a GPU, held to what it was made for; ``scripts/disassemble`` shows it."""

import subprocess
import sys
from pathlib import Path

import pytest
from machine_code.counts import counts, in_flight
from machine_code.cubin import compile_to_cubin, missing_disassembler, missing_nvrtc
from machine_code.flow import loops

SCRIPT = Path(__file__).parents[2] / "scripts" / "lib" / "disassemble.py"
ABSENT = missing_nvrtc() or missing_disassembler()
needs_tools = pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))

COPY = """
extern "C" __global__ void copy(const float* RESTRICT x, float* y, int n) {
    #pragma unroll 4
    for (int i = threadIdx.x; i < n; i += 256) y[i] = x[i];
}
extern "C" __global__ void divide(int* x, int n, int by) {
    // Of a fixed number the reciprocal would be made before the loop.
    for (int i = threadIdx.x; i < n; i += 256) x[i] = x[i] / (by + i);
}
"""


def code(text: str) -> list[dict[str, str]]:
    return [dict(zip(("opcode", "operands"), (*line.split(), ""), strict=False)) for line in text.strip().split("\n")]


def test_a_loop_is_what_leads_back_to_its_start() -> None:
    """One within another, with a slow path behind the code that jumps back without being a loop."""
    found = loops(
        code("MOV R1,R2\nIADD R1,R1\nIADD R2,R2\nBRA P2,0x80\nBRA P0,0x20\nBRA P1,0x10\nEXIT\nNOP\nCALL f\nBRA 0x40")
    )
    assert [(each.depth, each.instructions, each.own) for each in found] == [
        (1, [1, 2, 3, 4, 5, 8, 9], [1, 5]),
        (2, [2, 3, 4, 8, 9], [2, 3, 4, 8, 9]),
    ]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("LDG.E R1,[R8.64]\nSTG.E [R10.64],R1\nLDG.E R2,[R8.64+4]\nSTG.E [R10.64+4],R2", 1),
        ("LDG.E R1,[R8.64]\nLDG.E R2,[R8.64+4]\nSTG.E [R10.64],R1\nSTG.E [R10.64+4],R2", 2),
        ("LDG.E.128 R4,[R8.64]\nLDG.E R2,[R8.64+16]\nFADD R3,R7,R7\nLDG.E R2,[R8.64+20]", 2),
    ],
)
def test_a_load_is_in_flight_until_its_number_is_needed(text: str, limit: int) -> None:
    assert in_flight(code(text)) == limit


@needs_tools
def test_counts_of_a_kernel() -> None:
    waits, flies = (compile_to_cubin(COPY.replace("RESTRICT", word), 90).cubin for word in ("", "__restrict__"))
    assert max(loop.in_flight for loop in counts(waits)["copy"].loops) == 1
    assert max(loop.in_flight for loop in counts(flies)["copy"].loops) == 4
    assert min(loop.divisions for loop in counts(flies)["divide"].loops) == 1
    assert counts(flies)["divide"].registers > 0 == counts(flies)["divide"].frame


@needs_tools
def test_the_script_shows_what_has_changed(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, str(SCRIPT), "hold", "--arch", "90", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    before = tmp_path / "before.json"
    assert "hold (hold sm_90)" in run("--json", str(before))
    assert "hold" not in run("--compare", str(before))
    before.write_text(before.read_text().replace('"frame": 0', '"frame": 8'))
    lines = run("--compare", str(before)).splitlines()
    assert any(line.startswith("- hold") and "8 bytes" in line for line in lines)
    assert any(line.startswith("+ hold") and "0 bytes" in line for line in lines)
