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
        "--to",
        action="append",
        default=[],
        metavar="FILE",
        help="write the table to a .csv (at full precision), .md or .tex file too, by its ending; - prints CSV alone",
    )
    parser.add_argument("--csv", metavar="FILE", help="as --to, of a name without an ending too")
    parser.add_argument("--sort", metavar="METRIC", help="best first by this metric, such as val.mse or accuracy")
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="these columns alone, with commas between: run, status, n, metrics (val.mse; mse for all splits), values "
        "of the config (model.degree or degree), parameters, steps, epochs, seconds",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw the curves of all runs in one .png, .svg or .pdf: training loss and metrics (those of --columns), "
        "means with their standard deviation",
    )
    parser.add_argument("--dpi", type=int, default=150, metavar="N", help="dots per inch of the plot (default: 150)")
    parser.add_argument(
        "--average",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="runs that differ in seed or fold alone as their mean, standard deviation, standard error and number n; "
        "by default those of a sweep with seeds",
    )


def main(args: argparse.Namespace) -> int:
    import shutil
    import sys
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.sweeps import compare, comparison
    from dlcourse.training.atomic import expect_folder, write_output

    if args.csv and Path(args.csv).suffix.lower() not in ("", ".csv"):
        raise UserError(f"--csv {args.csv}: this writes comma-separated values; give a name that ends in .csv")
    files = [(name, comparison.writer(name)) for name in args.to if name != "-"]
    files += [(args.csv, comparison.as_csv)] if args.csv and args.csv != "-" else []
    for option, name in (("--csv", args.csv), *(("--to", name) for name in args.to), ("--plot", args.plot)):
        if name not in (None, "-"):
            expect_folder(option, Path(name))
    kind = _plot_kind(args)
    records = compare.collect(args.folders)
    notes = [f"{each.label} is {each.status}: {each.problem}" for each in records if each.problem]
    collected, records = records, compare.averaged(records, args.average)
    if (args.to or kind) and args.average is None and len(compare.averaged(collected, True)) < len(records):
        notes.append(
            "some of these runs differ in seed or fold alone: --average makes one line of them, with its spread"
        )
    if args.sort:
        records = compare.sorted_by(records, args.sort)
    names = None if args.columns is None else [name.strip() for name in args.columns.split(",")]
    if names is not None and not all(names):
        raise UserError(f"--columns {args.columns!r}: expected names with commas between, such as run,degree,val.mse")
    shown = comparison.fields(records, names or ())
    if "-" in (args.csv, *args.to):
        print(comparison.as_csv(records, shown), end="", flush=True)
    else:
        print(comparison.as_text(records, shutil.get_terminal_size((120, 24)).columns, shown), flush=True)
    for note in notes:
        print(f"dlcourse: note: {note}", file=sys.stderr)
    for name, write in files:
        write_output(Path(name), write(records, shown).encode("utf-8", "replace"))
        print(f"wrote {name}", file=sys.stderr)
    if kind:
        from dlcourse.plots.several import MAX_LINES, Line, draw_several

        with_curves = [each for each in records if each.config]
        lines = [
            Line(name, each.folders) for name, each in zip(comparison.labels(with_curves), with_curves, strict=True)
        ]
        lines = [line for line in lines if line.runs]
        if len(lines) > MAX_LINES:
            first = "best" if args.sort else "first (--sort METRIC takes the best)"
            print(f"dlcourse: note: the plot shows the {MAX_LINES} {first} of {len(lines)} runs", file=sys.stderr)
        keys = [field.key for field in shown if field.kind == "metric"] if names else []
        write_output(Path(args.plot), draw_several(lines[:MAX_LINES], kind, keys, args.dpi))
        print(f"wrote {args.plot}", file=sys.stderr)
    return 0


def _plot_kind(args: argparse.Namespace) -> str:
    """``png``, ``svg`` or ``pdf``; empty without a plot."""
    from pathlib import Path

    from dlcourse.errors import UserError

    if not 20 <= args.dpi <= 1200:
        raise UserError(f"--dpi {args.dpi}: expected 20 to 1200 dots per inch")
    if not args.plot:
        return ""
    from dlcourse.plots.several import kind_of

    return kind_of(Path(args.plot))
