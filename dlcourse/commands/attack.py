"""``dlcourse attack RUN``: a trained classifier under an attack."""

import argparse
from typing import Any

HELP = "measure how a trained classifier holds against an attack"
EXAMPLES = """\
examples:
  dlcourse attack RUN --attack fgsm --epsilon 0.05,0.1,0.2,0.3     accuracy against the size of the perturbation
  dlcourse attack RUN --attack pgd --epsilon 0.3 steps=100 norm=l2
  dlcourse attack RUN --attack deepfool --count 200                the smallest perturbations
  dlcourse attack RUN --attack fgsm --epsilon 0.2 --source OTHER   inputs made for another net (transfer)
"""
EPSILONS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument(
        "parameters", nargs="*", metavar="key=value", help="parameters of the attack, such as steps=100"
    )
    parser.add_argument(
        "--attack", default="fgsm", metavar="NAME", help="dlcourse list attack names all (default: fgsm)"
    )
    parser.add_argument(
        "--epsilon", metavar="E,...", help="sizes, as shares of the inputs' range (default: 0.02,0.05,0.1,...,0.3)"
    )
    parser.add_argument("--split", default="test", choices=["train", "val", "test"], help="default: test")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="the first N inputs (default: 1000)")
    parser.add_argument("--source", metavar="RUN", help="follow the gradients of this other net (transfer)")
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    from dlcourse import plots, registry
    from dlcourse.errors import UserError
    from dlcourse.experiment import load_run
    from dlcourse.experiment.attack_run import attack_run
    from dlcourse.experiment.attacking import attack_table
    from dlcourse.experiment.masking import masking_notes

    if args.attack not in registry.names("attack"):
        hint = registry.hint(args.attack, registry.names("attack"))
        raise UserError(f"no attack {args.attack!r} ({hint}valid: {', '.join(registry.names('attack'))})")
    spec = {"name": args.attack, **_parameters(args.parameters)}
    takes_epsilon = "epsilon" in {each.name for each in registry.parameters("attack", args.attack)}
    epsilons = _numbers(args.epsilon) if args.epsilon is not None else EPSILONS if takes_epsilon else ()
    trained = load_run(args.run, args.device, args.checkpoint)
    source = None if args.source is None else load_run(args.source, args.device)
    result = attack_run(trained, spec, epsilons, args.split, args.count, source)
    print(f"{args.attack} on {result.count} inputs of the {args.split} split; without it {result.clean:.4f} are right")
    print(attack_table([result]))
    for note in masking_notes([result]):
        print(f"note: {note}")
    plots.draw(trained.folder.path)
    print(plots.report(trained.folder.path))
    return 0


def _numbers(text: str) -> list[float]:
    from dlcourse.errors import UserError

    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise UserError(f"--epsilon {text}: expected numbers separated by commas, such as 0.1,0.2") from None


def _parameters(given: list[str]) -> dict[str, Any]:
    """``steps=100 norm=l2`` as a mapping."""
    from dlcourse.config.overrides import parse_overrides
    from dlcourse.errors import UserError

    values, _ = parse_overrides(given)
    if "epsilon" in values:
        raise UserError("epsilon=...: give the sizes by --epsilon")
    return values
