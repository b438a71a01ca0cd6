"""``dlcourse export RUN --to FILE``: the weights of a run in one file that other programs read."""

import argparse

HELP = "write a run's weights, with its config, as safetensors or npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument("--to", required=True, metavar="FILE", help="a name that ends in .safetensors or .npz")
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="where to load the model; makes no difference to the file")


def main(args: argparse.Namespace) -> int:
    from pathlib import Path

    from dlcourse.experiment import load_run

    trained = load_run(args.run, args.device, args.checkpoint)
    names = trained.export(Path(args.to))
    print(f"{args.to}: {len(names)} arrays of step {trained.source.state['step']}: {', '.join(names)}")
    return 0
