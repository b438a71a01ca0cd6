"""``dlcourse run CONFIG|NAME``: train, evaluate, and write a run folder."""

import argparse
from typing import Any

HELP = "train what a config says, evaluate it and write a run folder"
EXAMPLES = """\
examples:
  dlcourse run experiment.yaml train.epochs=3 model.hidden=64     with other values
  dlcourse run spirals                                            one of `dlcourse list configs`, by its name
  dlcourse run --resume runs/spirals                              go on with the one run in there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG", help="the experiment's YAML file, or the name of one that comes along"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="other values: train.epochs=2")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    parser.add_argument("--out", default="runs", metavar="FOLDER", help="where run folders go (default: runs)")
    parser.add_argument("--name", help="the run's name, instead of the config's")
    parser.add_argument(
        "--resume", metavar="RUN", help="continue this run (or from a checkpoint in it, or the one run in this folder)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="of a sweep: points at a time, in processes (default: 1)")
    parser.add_argument("--dry-run", action="store_true", help="of a sweep: list its points; run nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table: only the run folder's path")
    trial = parser.add_mutually_exclusive_group()
    trial.add_argument("--overfit-batch", action="store_true", help="learn one batch by heart: can the model learn?")
    trial.add_argument(
        "--fast-dev-run", action="store_true", help="one step, one batch, nothing kept: does everything work?"
    )
    parser.add_argument("--profile", action="store_true", help="say where the time of a step goes, on a GPU by kernel")
    parser.add_argument("--no-plots", action="store_true", help="draw no plots and write no report")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="choose nothing by the clock, and fix cuBLAS's workspace: a GPU repeats bit for bit, as a CPU always does",
    )


def main(args: argparse.Namespace) -> int:
    from dlcourse.backend import determinism
    from dlcourse.distributed.world import world
    from dlcourse.experiment.ranks import follow, leading

    if args.deterministic:
        determinism.demand()
    if world().rank:
        follow(args.device)
        return 0
    with leading():
        return _main(args)


def _main(args: argparse.Namespace) -> int:
    from dlcourse.config import resolve
    from dlcourse.distributed.world import world
    from dlcourse.errors import Interrupted, UserError
    from dlcourse.experiment import run

    config, overrides = config_of(args)
    if args.resume is None:
        if config is None:
            raise UserError("run needs a config (or --resume RUN); `dlcourse list configs` shows those that come along")
        config = resolve(config, overrides)
        overrides = []
        if config.data["sweep"] is not None:
            if world().size > 1:
                raise UserError(
                    "mpirun trains one model on several processes, and this config is many models: start one process "
                    "with --jobs N, which trains N at a time"
                )
            if not (args.overfit_batch or args.fast_dev_run or args.profile):
                return run_points(config, args)
            print("this config has a sweep or an ensemble; this looks at its base alone")
            config = config.without_sweep()
    if args.jobs is not None or args.dry_run:
        raise UserError("--jobs and --dry-run are for the points of a sweep, and this is a single run")
    modes = {"overfit_batch": args.overfit_batch, "fast_dev_run": args.fast_dev_run, "profile": args.profile}
    try:
        result = run(config, overrides=overrides, resume=args.resume, **modes, **_options(args))
    except Interrupted as error:
        if error.folder is None:
            raise
        raise Interrupted(f"{error}\nto go on: {_to_resume(error.folder, args)}", error.exit_code - 128) from error
    if args.quiet and result.folder is not None:
        print(result.folder)
    return 0


def _to_resume(folder: str, args: argparse.Namespace) -> str:
    """The command that goes on with an interrupted run."""
    import shlex

    words = ["dlcourse", "run", "--resume", folder, *(word for path in args.plugin for word in ("--plugin", path))]
    words += ["--allow-code"] if args.allow_code else []
    return shlex.join([*words, *(("--device", args.device) if args.device else ())])


def config_of(args: argparse.Namespace) -> tuple[Any, list[str]]:
    """The config and the overrides, of which the first stands in the config's place where none is named."""
    from dlcourse.config.overrides import is_override

    if args.config is not None and is_override(args.config):
        return None, [args.config, *args.overrides]
    return args.config, args.overrides


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What runs and sweeps take alike."""
    return {
        "device": args.device,
        "out": args.out,
        "name": args.name,
        "quiet": args.quiet,
        "plots": not args.no_plots,
    }


def run_points(config: Any, args: argparse.Namespace, **settings: Any) -> int:
    """Run all points of a config that has a sweep; returns the exit code."""
    from dlcourse.sweeps import run_sweep

    jobs = 1 if args.jobs is None else args.jobs
    result = run_sweep(config, jobs=jobs, dry_run=args.dry_run, **settings, **_options(args))
    if args.quiet and result.folder is not None:
        print(result.folder)
    return result.exit_code
