"""``dlcourse grade ASSIGNMENT SUBMISSION``: points for a submission, as a table or for Gradescope."""

import argparse
from typing import Any

HELP = "grade a submission by an assignment, each case in a process of its own"
EXAMPLES = """\
examples:
  dlcourse grade softmax_two_layer my_solution.py
  dlcourse grade my_assignment.yaml submission.py --gradescope results.json

On Gradescope, setup.sh installs this program, and run_autograder is:
  dlcourse grade /autograder/source/assignment.yaml /autograder/submission/solution.py \\
      --gradescope /autograder/results/results.json

The submission runs as you: its memory, time and child processes are limited, but it can read your files and use the
network. Grade what you do not trust in a container, as Gradescope does.
Exit code: 0 where all points were reached, else 1; with --gradescope 0 whenever the file was written.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "the assignment's YAML file, or the name of one that comes with the program"
    parser.add_argument("assignment", metavar="ASSIGNMENT", help=about)
    parser.add_argument("submission", metavar="SUBMISSION.py", help="the Python file to grade; it is run")
    parser.add_argument("--gradescope", metavar="FILE", help="also write this results.json, as Gradescope reads it")


def main(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.grading.assignment import find_assignment, load_assignment
    from dlcourse.grading.grade import CaseResult, grade_submission
    from dlcourse.text import table
    from dlcourse.training.atomic import expect_folder, write_output

    assignment = load_assignment(find_assignment(args.assignment))
    target = Path(args.gradescope) if args.gradescope else None
    if target is not None:
        expect_folder("--gradescope", target)
    widths = [max(len(each["name"]) for each in [*assignment.cases, {"name": "case"}]), 0, len("seconds"), 0]
    widths[1] = max(len("points"), *(len(f"{each['points']:g} of {each['points']:g}") for each in assignment.cases))

    def show(*cells: str) -> None:
        print(table([cells], left=[True, False, False, True], widths=widths), flush=True)

    head = [("case", "points", "seconds", "")]

    def say(case: CaseResult) -> None:
        while head:  # before the first case, and not before it is known that there is a submission
            show(*head.pop())
        show(case.name, _points(case), f"{case.seconds:.1f}", _first_line(case.output))

    try:
        grade = grade_submission(assignment, args.submission, say)
    except UserError as error:
        if target is not None:  # or Gradescope would say no more than that there are no results
            lost = {"score": 0.0, "max_score": assignment.max_score, "output": str(error), "tests": []}
            write_output(target, (json.dumps(lost, indent=2) + "\n").encode())
        raise
    for case in grade.cases:
        rest = case.output.partition("\n")[2]
        if not case.passed and (rest or case.printed):
            print(f"\n{case.name}:")
            print("\n".join(f"  {line}" for line in [*rest.splitlines(), *_printed(case)]))
    print(f"{grade.score:g} of {grade.max_score:g} points: {args.submission}, {assignment.name}")
    if target is not None:
        write_output(target, (json.dumps(grade.to_gradescope(), indent=2) + "\n").encode())
        return 0
    return 0 if all(case.passed for case in grade.cases) else 1


def _points(case: Any) -> str:
    return f"{case.score:g} of {case.max_score:g}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _printed(case: Any) -> list[str]:
    return ["printed:", *(f"  {line}" for line in case.printed.splitlines()[:20])] if case.printed else []
