"""``dlcourse report``: draw the plots of a run or a sweep again and write its report."""

import argparse
from pathlib import Path

HELP = "draw the plots of a run or a sweep and write its report.html, one file that opens offline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN|SWEEP", type=Path, help="the folder of a run or of a sweep")


def main(args: argparse.Namespace) -> int:
    from dlcourse import plots

    plots.draw(args.folder)
    print(plots.report(args.folder))
    return 0
