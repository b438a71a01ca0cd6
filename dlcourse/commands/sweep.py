"""``dlcourse sweep CONFIG``: run every point of a config's sweep."""

import argparse

HELP = "run every point of a config's sweep, and say which is best"
EXAMPLES = """\
examples:
  dlcourse sweep polynomial_overfitting.yaml --dry-run          what would run
  dlcourse sweep polynomial_overfitting.yaml --jobs 4           four points at a time
  dlcourse sweep cifar10_softmax_raw.yaml --stacked             all rates at once, as one model
  dlcourse sweep polynomial_overfitting.yaml sweep.kfold=5      each point once for each of five folds
  dlcourse sweep polynomial_overfitting.yaml sweep.seeds=5      each point with five seeds; tables have the means
  dlcourse sweep net.yaml "sweep.search={trials: 30, space: {optimizer.lr: {low: 1e-4, high: 1, log: true}}}"
  dlcourse sweep cifar10_softmax_raw.yaml --dask tcp://10.0.0.1:8786   on the workers of a Dask cluster
  dlcourse sweep --resume runs/polynomial-overfitting/20260101T000000Z-1a2b3c
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="the experiment's YAML file, or the name of one that comes along, with a sweep section",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="other values: train.epochs=2")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    parser.add_argument("--out", default="runs", metavar="FOLDER", help="where the sweep's folder goes (default: runs)")
    parser.add_argument("--name", help="the sweep's name, instead of the config's")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="points at a time, in processes (default: 1)")
    parser.add_argument(
        "--stacked",
        action=argparse.BooleanOptionalAction,
        help="train points of one architecture as one model, each in its own run folder; polynomials by least squares "
        "are solved together, without run folders (default: only these, where there are many points)",
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="run points on the workers of a Dask cluster, which share the sweep's folder: its scheduler's address (of "
        "SLURM, PBS and Kubernetes: cluster.scheduler_address of dask-jobqueue and dask-kubernetes), or local:N",
    )
    parser.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="with --dask: how often a point whose worker was lost goes on, on another (default: 3)",
    )
    parser.add_argument("--resume", metavar="SWEEP", help="continue this sweep: keep what is finished, run the rest")
    parser.add_argument("--dry-run", action="store_true", help="list the points and what they change; run nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table: only the sweep folder's path")
    parser.add_argument("--no-plots", action="store_true", help="draw no plots and write no report")


def main(args: argparse.Namespace) -> int:
    from dlcourse.commands.run import config_of, run_points

    config, overrides = config_of(args)
    cluster = {"dask": args.dask, "retries": args.retries}
    return run_points(config, args, overrides=overrides, resume=args.resume, stack=args.stacked, **cluster)
