"""``dlcourse predict RUN INPUT``: the answer of a trained model to new inputs."""

import argparse

from dlcourse.commands.evaluate import add_tta

HELP = "ask a trained model about new inputs, or let it continue a text, or answer one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one; or an ensemble's")
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a number, cells separated by commas, or a csv, npz or image file with the features that the run was "
        "given, or a folder of such files; for a model of a text, the text to continue, to answer or to judge",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write a csv with a line for each row and a column for each class or target; - prints it",
    )
    parser.add_argument("--top", type=int, metavar="K", help="name the K likeliest classes (default: 5; in --out all)")
    add_tta(parser)
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    text = parser.add_argument_group("models of a text")
    text.add_argument(
        "--length", type=int, metavar="N", help="tokens to write, of most models characters (default: 300)"
    )
    text.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="below 1 for likelier tokens, 0 for always the likeliest (default: 1)",
    )
    text.add_argument("--seed", type=int, help="another seed gives another text (default: 0)")


def main(args: argparse.Namespace) -> int:
    import sys
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.experiment import load_run, predictions
    from dlcourse.experiment.generation import continue_text
    from dlcourse.training.atomic import write_output

    if args.top is not None and args.top < 1:
        raise UserError(f"--top {args.top}: expected a number of classes of at least 1")
    if args.out not in (None, "-"):
        _check_out(args.out, args.input)
    trained = load_run(args.run, args.device, args.checkpoint).with_tta(args.tta)
    if trained.inputs.tokens and not trained.inputs.classifies_texts:
        if args.out is not None or args.top is not None:
            does = "answers" if trained.inputs.pairs else "continues"
            raise UserError(f"--out and --top are for models of numbers and images; this one {does} texts")
        settings = {key: getattr(args, key) for key in ("length", "temperature", "seed")}
        given = {key: value for key, value in settings.items() if value is not None}
        if trained.inputs.pairs and given:
            raise UserError(f"--{next(iter(given))} is for models that continue a text; this one gives its best answer")
        if trained.inputs.pairs:
            print("\n".join(trained.answer(args.input)))
            return 0
        for text in args.input:
            print(text + continue_text(trained, text, **given)[0])
        return 0
    if args.top is not None and trained.inputs.task != "classification":
        raise UserError(f"--top {args.top}: the model predicts {trained.inputs.target_name}, it knows no classes")
    found, notes = predictions.read_and_answer(trained, args.input)
    for note in notes:
        print(f"dlcourse: note: {note}", file=sys.stderr)
    table = predictions.as_csv(trained, found, args.top) if args.out is not None else ""
    if args.out == "-":
        print(table, end="")
    elif args.out is not None:
        write_output(Path(args.out), table.encode("utf-8", "replace"))
        answered = sum(each.output is not None for each in found)
        print(f"{args.out}: {answered} prediction{'s' * (answered != 1)}")
    else:
        lone = len({each.input for each in found}) == 1 and found[0].input == args.input[0]
        for line in predictions.as_lines(trained, found, args.top or predictions.MAX_CLASSES, named=not lone):
            print(line)
    wrong = sum(each.output is None for each in found)
    if wrong:
        print(f"dlcourse: error: {wrong} of {len(found)} rows have no answer; each says why", file=sys.stderr)
    return 2 if wrong else 0


def _check_out(out: str, inputs: list[str]) -> None:
    """Refuse, before any work, a file that is no csv or is an input."""
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.training.atomic import expect_folder

    path = Path(out)
    if path.suffix.lower() != ".csv":
        raise UserError(f"--out {out}: this writes comma-separated values; give a name that ends in .csv")
    expect_folder("--out", path)
    if path.exists() and any(Path(each).exists() and path.samefile(each) for each in inputs):
        raise UserError(f"--out {out}: is an input, which the predictions would replace; give another name")
