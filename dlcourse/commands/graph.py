"""``dlcourse graph CONFIG``: the computational graph of a config's model and loss, and an example's walk through it."""

import argparse

HELP = "draw the computational graph of a config or a run, and walk one example through it"
EXAMPLES = """\
examples:
  dlcourse graph spirals                              spirals.svg: model and loss with shapes
  dlcourse graph cifar10_resnet20 --depth 2           the residual blocks, each one box
  dlcourse graph spirals --walk --example 3           a table of values and gradients, which the picture has too
  dlcourse graph RUN --walk --split test              the same with trained weights
  dlcourse graph spirals --format dot --out - | dot -Tpdf > spirals.pdf
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG|RUN", help="the experiment's YAML file, or the folder of a run")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="other values, such as model.hidden=[4,4]")
    parser.add_argument("--out", metavar="FILE", help="the file (default: NAME.svg); - prints it")
    parser.add_argument("--format", choices=["svg", "dot"], help="a picture, or text for Graphviz (default: by --out)")
    about = "levels of modules that are drawn as frames, 0 for none (default: as many as stay readable)"
    parser.add_argument("--depth", type=int, metavar="N", help=about)
    parser.add_argument("--direction", choices=["down", "right"], default="down", help="where it goes (default: down)")
    parser.add_argument("--walk", action="store_true", help="one example's values and gradients, in evaluation mode")
    parser.add_argument("--example", type=int, metavar="I", help="which one to walk, from 0 (default: 0)")
    parser.add_argument("--split", choices=["train", "val", "test"], help="where it is from (default: train)")
    parser.add_argument(
        "--json", action="store_true", help="print the graph as JSON, and draw only where --out says so"
    )
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    import json

    from dlcourse.errors import UserError
    from dlcourse.experiment.graph import draw_graph
    from dlcourse.training.atomic import finite

    kind = _format(args)
    if (args.example is not None or args.split is not None) and not args.walk:
        raise UserError("--example and --split say what to walk through the graph: add --walk")
    if args.depth is not None and args.depth < 0:
        raise UserError(f"--depth {args.depth}: expected a number of levels of at least 0")
    example = (args.example or 0) if args.walk else None
    drawn = draw_graph(args.config, args.overrides, args.device, args.split or "train", example)
    graph = drawn.graph
    if graph is None:
        print(*drawn.notes, sep="\n")
        return 0
    picture = getattr(graph, kind)(args.depth, args.direction, args.walk)
    if args.out == "-":
        print(picture, end="")
        return 0
    if args.json:
        print(json.dumps(finite({**graph.to_dict(), "notes": drawn.notes})))
    else:
        print(*drawn.notes, *([graph.walk(args.depth)] if args.walk else ()), sep="\n", end="\n" if drawn.notes else "")
    if args.out is not None or not args.json:
        _write(args.out or f"{drawn.name}.{kind}", picture, args.json)
    return 0


def _format(args: argparse.Namespace) -> str:
    """``svg`` or ``dot``, of two that have to agree."""
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.training.atomic import expect_folder

    if args.json and args.out == "-":
        raise UserError("--json prints JSON and --out - the drawing: take one of them")
    ending = Path(args.out).suffix.lower().removeprefix(".") if args.out not in (None, "-") else None
    if ending not in (None, "svg", "dot"):
        mend = "for other formats Graphviz draws its text: --format dot --out - | dot -Tpdf"
        raise UserError(f"--out {args.out}: expected a name that ends in .svg or .dot; {mend}")
    if ending:
        expect_folder("--out", Path(args.out))
    if ending and args.format and args.format != ending:
        raise UserError(f"--out {args.out} is no {args.format} file: name it .{args.format}, or leave out --format")
    return args.format or ending or "svg"


def _write(name: str, text: str, silently: bool) -> None:
    from pathlib import Path

    from dlcourse.training.atomic import write_output

    write_output(Path(name), text.encode())
    if not silently:
        print(name)
