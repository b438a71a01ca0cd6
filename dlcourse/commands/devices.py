"""``dlcourse devices``: what this machine computes on, what is missing and the command that mends it."""

import argparse
from typing import Any

HELP = "show the CPU and the GPUs found, what is missing, the command that mends it, and what `auto` chooses"

MARKS = {"ok": "+", "missing": "-", "failed": "!", "optional": "o", "skipped": " "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")


def main(args: argparse.Namespace) -> int:
    import dataclasses
    import json

    from dlcourse.backend.diagnostics import inspection
    from dlcourse.distributed.inspection import mpi_check

    report = inspection.inspect()
    report = dataclasses.replace(report, cpu=(*report.cpu, mpi_check()))
    print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else render(report))
    return 0


def render(report: Any) -> str:
    """The report as a table: a mark, a name, what was found; below a lack, the command that mends it.

    ``report`` is a :class:`dlcourse.backend.diagnostics.inspection.Report`.
    """
    from dlcourse.text import table

    rows = []
    for title, checks in (("CPU", report.cpu), ("GPU", report.cuda)):
        rows.append([title, ""])
        for check in checks:
            rows.append([f"  {MARKS[check.state]} {check.name}", check.detail])
            if check.remedy:
                rows.append(["", f"{'to add it' if check.state == 'optional' else 'to mend'}: {check.remedy}"])
        rows.append(["", ""])
    lines = [table(rows, left=2)]
    lines.append("+ found   - missing   ! fails   o optional, not there   (blank: not tried)")
    lines.append(f"auto chooses {report.auto}: {report.why}")
    return "\n".join(lines)
