"""``dlcourse landscape RUN``: the loss over a plane through the weights of a trained net."""

import argparse

HELP = "draw the loss around a trained net, over two random directions"
EXAMPLES = """\
examples:
  dlcourse landscape RUN                               21 by 21 evaluations of 1,000 training samples
  dlcourse landscape RUN --points 41 --samples 5000    finer, and twenty times as long
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("--points", type=int, default=21, metavar="N", help="along each side, odd (default: 21)")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="of the training split (default: 1000)")
    parser.add_argument("--span", type=float, default=1.0, metavar="S", help="how far, in lengths of the filters (1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the directions (default: 0)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    from dlcourse import plots
    from dlcourse.experiment import load_run
    from dlcourse.experiment.landscape import measure_landscape

    trained = load_run(args.run, args.device)
    seconds = measure_landscape(trained, args.points, args.samples, args.span, args.seed)
    print(f"{args.points**2} evaluations in {seconds:.3g} s")
    plots.draw(trained.folder.path)
    print(plots.report(trained.folder.path))
    return 0
