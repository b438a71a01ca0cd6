"""``dlcourse predict RUN INPUT``: the answer of a trained model to new inputs."""

import argparse

HELP = "ask a trained model about new inputs, or let it continue a text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a number, cells separated by commas, or a csv, npz or png file with the features that the run was given; "
        "for a model of a text, the text to continue",
    )
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    text = parser.add_argument_group("models of a text")
    text.add_argument("--length", type=int, default=300, metavar="N", help="characters to write (default: 300)")
    text.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="below 1 for likelier characters, 0 for always the likeliest (default: 1)",
    )
    text.add_argument("--seed", type=int, default=0, help="another seed gives another text (default: 0)")


def main(args: argparse.Namespace) -> int:
    import sys

    from dlcourse.experiment import load_run
    from dlcourse.experiment.predictions import answers, continue_text

    trained = load_run(args.run, args.device, args.checkpoint)
    if trained.inputs.tokens:
        print(args.input + continue_text(trained, args.input, args.length, args.temperature, args.seed))
        return 0
    x = trained.inputs.read(args.input)
    for warning in trained.inputs.outside(x):
        print(f"dlcourse: note: {warning}", file=sys.stderr)
    for line in answers(trained.inputs, trained.predict(x), trained.model):
        print(line)
    return 0
