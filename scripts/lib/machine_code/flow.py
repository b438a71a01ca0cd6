"""The loops of a kernel's machine code: natural loops of its control flow, so that a slow path that the compiler has
put behind the code and that jumps back is no loop."""

import re
from dataclasses import dataclass
from typing import Any

BYTES = 16
"""Of an instruction."""
ENDS = ("EXIT", "RET", "KILL", "BRX", "JMX")
"""Nothing comes after them here; the tables of BRX are not followed."""
_ADDRESS = re.compile(r"\b0x([0-9a-f]+)$")


@dataclass
class Loop:
    """A loop: the numbers of its instructions, in the order of the code, and of those that lie in no inner loop."""

    instructions: list[int]
    own: list[int]
    depth: int


def loops(code: list[dict[str, Any]]) -> list[Loop]:
    """The loops in the order of the code, an outer one before those in it."""
    starts, successors = _blocks(code)
    reached, dominators = _dominators(successors)
    predecessors: dict[int, set[int]] = {}
    for block in reached:
        for after in successors[block]:
            predecessors.setdefault(after, set()).add(block)
    bodies: dict[int, set[int]] = {}
    for block in reached:
        for head in successors[block]:
            if head in dominators[block] and (head != block or starts[head + 1] - starts[head] > 1):
                bodies.setdefault(head, set()).update(_body(head, block, predecessors))
    found = []
    for head, body in sorted(bodies.items(), key=lambda one: (one[0], -len(one[1]))):
        inner = set().union(*(other for at, other in bodies.items() if at != head and at in body and other < body))
        depth = 1 + sum(1 for at, other in bodies.items() if at != head and body < other)
        whole, own = (
            [number for block in sorted(saved) for number in range(starts[block], starts[block + 1])]
            for saved in (body, body - inner)
        )
        found.append(Loop(whole, own, depth))
    return found


def _body(head: int, last: int, predecessors: dict[int, set[int]]) -> set[int]:
    body, waiting = {head}, [last]
    while waiting:
        block = waiting.pop()
        if block not in body:
            body.add(block)
            waiting.extend(predecessors.get(block, ()))
    return body


def _blocks(code: list[dict[str, Any]]) -> tuple[list[int], list[set[int]]]:
    """Where the basic blocks start, with the end of the code as a last one; and the blocks after each."""
    after: list[set[int]] = []
    syncs: dict[str, int] = {}  # barrier register: where those that it gathers go on
    for number, instruction in enumerate(code):
        name = instruction["opcode"].partition(".")[0]
        operands = instruction.get("operands", "")
        target = _ADDRESS.search(operands)
        place = int(target[1], 16) // BYTES if target else None
        always = instruction.get("predicate", "@PT") in ("@PT", "@UPT")
        on = {number + 1} if number + 1 < len(code) else set()
        if name == "BSSY" and place is not None:
            syncs[operands.partition(",")[0]] = place
        elif name == "BSYNC":
            on = {syncs.get(operands, number + 1)} | (set() if always else on)
        elif name in ("BRA", "JMP") and place is not None:
            # A condition may also be an operand: BRA P0,0x40; BRA.U !UP0,0x40; BRA.DIV UR4,0x40.
            on = {place} | (on if not always or "," in operands else set())
        elif name in ENDS and always:
            on = set()
        after.append({each for each in on if each < len(code)})
    jumps = {each for number, on in enumerate(after) if on != {number + 1} for each in (*on, number + 1)}
    starts = sorted({0, len(code)} | {each for each in jumps if each < len(code)})
    block_of = {start: block for block, start in enumerate(starts)}
    return starts, [{block_of[each] for each in after[end - 1]} for end in starts[1:]]


def _dominators(successors: list[set[int]]) -> tuple[list[int], dict[int, set[int]]]:
    """The blocks that are reached from the first, and of each those that every way to it goes through."""
    reached, waiting = [0], [0]
    while waiting:
        for block in successors[waiting.pop()] - set(reached):
            reached.append(block)
            waiting.append(block)
    before: dict[int, list[int]] = {block: [] for block in reached}
    for block in reached:
        for on in successors[block]:
            before[on].append(block)
    dominators = {block: set(reached) for block in reached} | {0: {0}}
    changed = True
    while changed:
        changed = False
        for block in sorted(reached)[1:]:
            new = set.intersection(*(dominators[each] for each in before[block])) | {block}
            changed |= new != dominators[block]
            dominators[block] = new
    return reached, dominators
