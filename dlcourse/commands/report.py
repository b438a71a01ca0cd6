"""``dlcourse report``: draw the plots of a run or a sweep again and write its report."""

import argparse
from pathlib import Path

HELP = "draw the plots of a run or a sweep and write its report.html, one file that opens offline"
EXAMPLES = """\
examples:
  dlcourse report RUN                       plots/*.png and report.html
  dlcourse report RUN --format pdf          plots/*.pdf too, for a paper; or svg
  dlcourse compare RUN RUN --plot two.pdf   the curves of several runs in one figure
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", metavar="RUN|SWEEP", type=Path, help="the folder of a run or of a sweep, or several"
    )
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        choices=["svg", "pdf", "png"],
        help="draw such files too, beside the png of each plot; may be given twice",
    )
    parser.add_argument("--dpi", type=int, default=150, metavar="N", help="dots per inch of each png (default: 150)")


def main(args: argparse.Namespace) -> int:
    from dlcourse import plots
    from dlcourse.training.folder import one_inside

    formats = [each for each in dict.fromkeys(args.format) if each != "png"]
    for folder in map(one_inside, args.folders):
        drawn = plots.draw(folder, formats, args.dpi)
        print(plots.report(folder), flush=True)
        for path in drawn if formats else ():
            print(*(path.with_suffix(f".{each}") for each in formats), sep="\n", flush=True)
    return 0
