"""``dlcourse export RUN --to FILE``: a run's weights, or its whole model, in one file that other programs read."""

import argparse

HELP = "write a run's weights as safetensors or npz, or its model as ONNX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument("--to", required=True, metavar="FILE", help="a name that ends in .safetensors, .npz or .onnx")
    parser.add_argument("--torch", action="store_true", help="weights as PyTorch's modules have them (.safetensors)")
    parser.add_argument(
        "--with-normalization", action="store_true", help="take inputs as the data's files have them (.onnx)"
    )
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="where to load the model; makes no difference to the file")


def main(args: argparse.Namespace) -> int:
    from dlcourse.experiment import load_run

    trained = load_run(args.run, args.device, args.checkpoint)
    words = trained.export(args.to, torch=args.torch, with_normalization=args.with_normalization)
    print(f"{args.to}: step {trained.source.state['step']}, {words}")
    return 0
