"""``dlcourse predict RUN INPUT``: what a trained model says of a new input."""

import argparse

HELP = "ask a trained model about new inputs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a number, cells separated by commas, or a csv, npz or png file with the features that the run was given",
    )
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    import sys

    from dlcourse.experiment import load_run
    from dlcourse.experiment.answers import answers

    trained = load_run(args.run, args.device, args.checkpoint)
    x = trained.inputs.read(args.input)
    for warning in trained.inputs.outside(x):
        print(f"dlcourse: note: {warning}", file=sys.stderr)
    for line in answers(trained.inputs, trained.predict(x), trained.model):
        print(line)
    return 0
