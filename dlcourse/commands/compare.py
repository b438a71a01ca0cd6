"""``dlcourse compare RUN_OR_SWEEP ...``: runs side by side."""

import argparse

HELP = "line up runs: what their configs differ in, and their metrics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="RUN_OR_SWEEP",
        help="the folder of a run, of a sweep (each of its points), or one that holds any of them",
    )
    parser.add_argument(
        "--csv", metavar="FILE", help="write the table to this file too, at full precision; - prints it as CSV alone"
    )
    parser.add_argument("--sort", metavar="METRIC", help="best first by this metric, such as val.mse or accuracy")


def main(args: argparse.Namespace) -> int:
    import shutil
    import sys
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.sweeps import compare
    from dlcourse.training.atomic import write_output

    if args.csv and Path(args.csv).suffix.lower() not in ("", ".csv"):
        raise UserError(f"--csv {args.csv}: this writes comma-separated values; give a name that ends in .csv")
    records = compare.collect(args.folders)
    if args.sort:
        records = compare.sorted_by(records, args.sort)
    if args.csv == "-":
        print(compare.comparison_csv(records), end="", flush=True)
    else:
        print(compare.comparison(records, shutil.get_terminal_size((120, 24)).columns), flush=True)
    for record in records:
        if record.problem:
            print(f"dlcourse: note: {record.label} is {record.status}: {record.problem}", file=sys.stderr)
    if args.csv and args.csv != "-":
        write_output(Path(args.csv), compare.comparison_csv(records).encode())
    return 0
