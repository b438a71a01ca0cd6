"""What the CUDA kernels ask of a GPU, counted in the machine code that they compile to; no GPU is needed.

    scripts/disassemble                          every source, for sm_80 and sm_90
    scripts/disassemble linear pool --arch 90    some of them
    scripts/disassemble --kernel 'max_pool.*_float$' pool
    scripts/disassemble --json before.json;  ...;  scripts/disassemble --compare before.json
    scripts/disassemble --listing --kernel relu_float activation --arch 90

A line for each loop, inner ones indented. "in flight" is the number of loads that are on their way at a time: a loop
over memory with one waits for each of them. "div" are divisions by integers that are known at run time only, "mufu"
reciprocals, roots and exponentials, "bytes" the widest access to global memory. The instructions are those of the loop
outside its inner loops, also on ways seldom taken; the share of multiply-adds bounds what the arithmetic can reach.
"""

import argparse
import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from machine_code.counts import as_numbers, counts  # noqa: E402
from machine_code.cubin import compile_to_cubin, disassemble, missing_disassembler, missing_nvrtc  # noqa: E402
from machine_code.flow import BYTES, loops  # noqa: E402

from dlcourse.backend.cuda.program import families, program  # noqa: E402

COLUMNS = {
    "instr": "instructions", "fma %": "fma", "loads": "loads", "in flight": "in_flight", "stores": "stores",
    "bytes": "bytes", "shared": "shared", "div": "divisions", "calls": "calls", "mufu": "reciprocals",
    "local": "local", "barriers": "barriers",
}  # fmt: skip


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)
    absent = missing_nvrtc() or missing_disassembler()
    if absent or set(args.families) - set(families()):
        print(absent or f"no such source; there are {', '.join(families())}", file=sys.stderr)
        return 1
    before = json.loads(args.compare.read_text()) if args.compare else {}
    found: dict[str, dict[str, Any]] = {}
    print(_heading())
    for family in args.families or families():
        for architecture in map(int, args.arch.split(",")):
            cubin = compile_to_cubin(program(family).code, architecture).cubin
            here = {name: as_numbers(kernel) for name, kernel in counts(cubin).items() if re.search(args.kernel, name)}
            key = f"{family} sm_{architecture}"
            found[key] = here
            for line in _compared(key, before.get(key, {}), here) if args.compare else _lines(key, here):
                print(line, flush=True)
            if args.listing:
                for name in here:
                    print("\n".join(_listing(name, disassemble(cubin)[name])))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "scripts/disassemble", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", metavar="SOURCE", help="names of sources without .cu; default all")
    parser.add_argument("--arch", default="80,90", help="architectures, by commas (default: 80,90)")
    parser.add_argument("--kernel", default="", metavar="REGEX", help="only kernels whose name has this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="show only what differs from an earlier --json")
    parser.add_argument("--listing", action="store_true", help="also print the instructions, loops marked")
    return parser


def _heading() -> str:
    return f"{'':12}" + "".join(f"{title:>10}" for title in COLUMNS)


def _lines(key: str, kernels: dict[str, Any]) -> list[str]:
    return [line for name, kernel in kernels.items() for line in _kernel(key, name, kernel)]


def _kernel(key: str, name: str, kernel: dict[str, Any]) -> list[str]:
    title = f"{name} ({key}): {kernel['registers']} registers, {kernel['frame']} bytes of frame, "
    title += f"{kernel['spills']} spills, {kernel['divisions']} divisions, {kernel['instructions']} instructions"
    return [title, *(_loop(loop) for loop in kernel["loops"])]


def _loop(loop: dict[str, int]) -> str:
    values = [loop[key] for key in COLUMNS.values()]
    values[1] = round(100 * loop["fma"] / max(1, loop["instructions"]))
    return f"{'  ' * loop['depth'] + 'loop':12}" + "".join(f"{value:>10}" for value in values)


def _compared(key: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs, kernel by kernel, with - before and + after."""
    lines = []
    for name in dict.fromkeys([*before, *after]):
        old, new = ([*_kernel(key, name, side[name])] if name in side else [] for side in (before, after))
        if old != new:
            lines += [line for line in difflib.ndiff(old, new) if not line.startswith("?")]
    return lines


def _listing(name: str, code: list[dict[str, Any]]) -> list[str]:
    depth = [0] * len(code)
    for loop in loops(code):
        for number in loop.instructions:
            depth[number] += 1
    lines = [f"{name}:"]
    for number, each in enumerate(code):
        text = f"{each.get('predicate', ''):6}{each['opcode']} {each.get('operands', '')}"
        lines.append(f"{number * BYTES:6x} {'|' * depth[number]:4}{text}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
