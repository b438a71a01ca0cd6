"""``dlcourse evaluate RUN``: the metrics of a trained model, on its own splits or on other data."""

import argparse

HELP = "measure a trained model on its splits, or on other data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one; or an ensemble's")
    parser.add_argument(
        "data",
        nargs="*",
        metavar="data.key=value",
        help="other data, such as data.path=other.csv; then all of its samples, unless --split names a split",
    )
    parser.add_argument("--split", choices=["train", "val", "test", "all"], help="only this; all: every sample")
    parser.add_argument(
        "--allow-changed-data",
        action="store_true",
        help="measure the run's data as they are now, though they changed since it was trained",
    )
    add_tta(parser)
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def add_tta(parser: argparse.ArgumentParser) -> None:
    """The option by which images are measured from several views."""
    parser.add_argument(
        "--tta",
        nargs="?",
        const="flip_shift",
        choices=["none", "flip", "flip_shift"],
        help="test-time augmentation of images, flip_shift where no other is named, instead of the config's",
    )


def main(args: argparse.Namespace) -> int:
    from dlcourse.experiment import load_run
    from dlcourse.experiment.trained import measure_run, units
    from dlcourse.training.summary import metric_table

    trained = load_run(args.run, args.device, args.checkpoint).with_tta(args.tta)
    metrics, beside = measure_run(trained, args.split, args.data, args.allow_changed_data)
    print(trained.where)
    named = units(trained)
    print(
        metric_table(metrics, named, beside)
        if named
        else "the run's config names neither metrics nor a loss to measure"
    )
    return 0
