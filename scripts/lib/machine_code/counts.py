"""What a loop asks of a GPU, counted in its machine code."""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from machine_code.cubin import FRAME, REGISTERS, attributes, disassemble
from machine_code.flow import loops

Instruction = dict[str, Any]

_REGISTER = re.compile(r"\bR(\d+)\b")
_WITHOUT_RESULT = ("ST", "STG", "STS", "STL", "RED", "BRA", "BSYNC", "EXIT", "BAR", "MEMBAR", "CALL", "RET", "WARPSYNC")
_FMA = ("FFMA", "FFMA2", "DFMA", "HFMA2", "HMMA", "DMMA", "IMMA")


@dataclass(frozen=True)
class Counts:
    """Of the instructions of a loop outside its inner loops.

    Attributes:
        depth: 1 for an outermost loop.
        instructions: all of them, also those of ways that are seldom taken.
        fma: multiply-adds of floating point among them, tensor cores' too.
        loads, stores: of global memory.
        in_flight: the most loads that are on their way at a time: issued before the first one's number is needed.
        bytes: of the widest access to global memory, for one thread.
        shared: loads from shared memory.
        divisions: by integers that are known at run time only: each is a conversion, a reciprocal and corrections.
        calls: of subroutines, such as divisions of 64 bits or exact ones of floating point on a slow path.
        reciprocals: reciprocals, roots, exponentials, logarithms: MUFU without those of `divisions`.
        local: accesses to local memory: registers spilled, or arrays that are not in registers.
        barriers: of a block.
    """

    depth: int
    instructions: int
    fma: int
    loads: int
    in_flight: int
    stores: int
    bytes: int
    shared: int
    divisions: int
    calls: int
    reciprocals: int
    local: int
    barriers: int


@dataclass(frozen=True)
class KernelCounts:
    """Of a kernel: registers and bytes of local memory of a thread, instructions that spill, divisions by integers
    known at run time only, wherever they are, and its loops."""

    registers: int
    frame: int
    spills: int
    divisions: int
    instructions: int
    loops: tuple[Counts, ...]


def counts(cubin: bytes) -> dict[str, KernelCounts]:
    """Of each kernel, by its name."""
    about = attributes(cubin)
    found = {}
    for name, code in disassemble(cubin).items():
        inner = tuple(_counted([code[i] for i in loop.own], loop.depth) for loop in loops(code))
        spills = sum(_name(each) in ("STL", "LDL") for each in code)
        registers, frame = about[name][REGISTERS], about[name].get(FRAME, 0)
        found[name] = KernelCounts(registers, frame, spills, _divisions(code), len(code), inner)
    return dict(sorted(found.items()))


def as_numbers(kernel: KernelCounts) -> dict[str, Any]:
    """For a file."""
    return asdict(kernel)


def _counted(code: list[Instruction], depth: int) -> Counts:
    names = Counter(map(_name, code))
    memory = [each for each in code if _name(each) in ("LDG", "LD", "STG", "ST")]
    divisions = _divisions(code)
    return Counts(
        depth=depth,
        instructions=len(code),
        fma=sum(map(_multiplies_and_adds, code)),
        loads=names["LDG"] + names["LD"],
        in_flight=in_flight(code),
        stores=names["STG"] + names["ST"],
        bytes=max(map(_width, memory), default=0),
        shared=names["LDS"],
        divisions=divisions,
        calls=names["CALL"],
        reciprocals=max(0, names["MUFU"] - divisions),
        local=names["LDL"] + names["STL"],
        barriers=names["BAR"],
    )


def _divisions(code: list[Instruction]) -> int:
    return sum(_name(each) == "I2F" and ".RP" in each["opcode"] for each in code)


def in_flight(code: list[Instruction]) -> int:
    """The most loads of global memory that nothing has waited for yet, along the code."""
    waiting: list[set[int]] = []
    max_waiting = 0
    for instruction in code:
        registers = [int(each) for each in _REGISTER.findall(instruction.get("operands", ""))]
        result = _name(instruction) not in _WITHOUT_RESULT
        uses = set(registers[1:] if result and _starts_with_register(instruction) else registers)
        waiting = [load for load in waiting if not load & uses]
        if _name(instruction) in ("LDG", "LD") and registers:
            first = registers[0]
            waiting.append(set(range(first, first + max(1, _width(instruction) // 4))))
            max_waiting = max(max_waiting, len(waiting))
    return max_waiting


def _multiplies_and_adds(instruction: Instruction) -> bool:
    """HFMA2 of -0 by 0 is how a constant gets into a register."""
    return _name(instruction) in _FMA and ",-RZ,RZ," not in instruction.get("operands", "")


def _starts_with_register(instruction: Instruction) -> bool:
    return instruction.get("operands", "").startswith("R")


def _width(instruction: Instruction) -> int:
    """Bytes of an access to memory."""
    parts = instruction["opcode"].split(".")
    for part, size in (("256", 32), ("128", 16), ("64", 8), ("U16", 2), ("S16", 2), ("U8", 1), ("S8", 1)):
        if part in parts:
            return size
    return 4


def _name(instruction: Instruction) -> str:
    return instruction["opcode"].partition(".")[0]
