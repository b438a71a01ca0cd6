"""``dlcourse sample RUN``: what a trained model makes by itself, texts or images."""

import argparse
from typing import Any

HELP = "let a trained model write texts or draw images"
EXAMPLES = """\
examples:
  dlcourse sample RUN --count 3 --temperature 0.8                three texts
  dlcourse sample RUN "ROMEO:" --top-k 40 --top-p 0.9            a text that begins so
  dlcourse sample RUN --count 100 --out digits.png               images of an autoencoder
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="for a model of a text, how each sample begins")
    parser.add_argument("--count", type=int, metavar="N", help="how many (default: 1 text, 64 images)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other samples (default: 0)")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write: a text file; .png or .npz for images (default: samples.png)"
    )
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    text = parser.add_argument_group("models of a text")
    text.add_argument(
        "--length", type=int, metavar="N", help="tokens to write, of most models characters (default: 300)"
    )
    text.add_argument(
        "--temperature", type=float, metavar="T", help="below 1 for likelier tokens, 0 for always the likeliest"
    )
    text.add_argument("--top-k", type=int, metavar="K", help="take one of the K likeliest tokens only")
    text.add_argument("--top-p", type=float, metavar="P", help="of the likeliest that together have this probability")


def main(args: argparse.Namespace) -> int:
    from dlcourse.errors import UserError
    from dlcourse.experiment import load_run

    trained = load_run(args.run, args.device, args.checkpoint)
    settings = {key: getattr(args, key) for key in ("length", "temperature", "top_k", "top_p")}
    given = {key: value for key, value in settings.items() if value is not None}
    if trained.inputs.pairs:
        raise UserError(f"this model answers texts: dlcourse predict {args.run} TEXT")
    if trained.inputs.tokens:
        return _texts(trained, args, given)
    if args.text is not None or given:
        option = "a text" if args.text is not None else "--" + next(iter(given)).replace("_", "-")
        raise UserError(f"{option} is for models of a text; this one draws inputs of shape {trained.inputs.in_shape}")
    return _images(trained, args)


def _texts(trained: Any, args: argparse.Namespace, settings: dict[str, Any]) -> int:
    from pathlib import Path

    from dlcourse.data.text import beginning
    from dlcourse.experiment.generation import continue_text
    from dlcourse.training.atomic import write_output
    from dlcourse.training.samples import joined

    begin = args.text or beginning(trained.inputs.class_names, trained.inputs.tokenizer)
    count = 1 if args.count is None else args.count
    texts = continue_text(trained, begin, seed=args.seed, count=count, **settings)
    content = joined([(args.text or "") + text for text in texts])
    if args.out is None:
        print(content, end="")
    else:
        write_output(Path(args.out), content.encode("utf-8", "replace"))
        print(f"{args.out}: {count} text{'' if count == 1 else 's'} of {len(texts[0])} characters")
    return 0


def _images(trained: Any, args: argparse.Namespace) -> int:
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.experiment.generation import draw_images
    from dlcourse.plots.sheet import sheet
    from dlcourse.tensorfile import npz
    from dlcourse.training.atomic import write_output
    from dlcourse.training.samples import as_kept

    path = Path("samples.png" if args.out is None else args.out)
    if path.suffix not in (".png", ".npz"):
        raise UserError(f"--out {path}: expected a name that ends in .png or .npz")
    drawn = draw_images(trained, 64 if args.count is None else args.count, args.seed)
    if path.suffix == ".npz":
        content = npz({"x": drawn.astype("float32")})
    elif drawn.ndim == 4 and drawn.shape[-1] in (1, 3):
        content = sheet(as_kept(drawn, trained.inputs.largest))
    else:
        raise UserError(f"--out {path}: inputs of shape {drawn.shape[1:]} are no images; take a name in .npz")
    write_output(path, content)
    print(f"{path}: {len(drawn)} images of {' x '.join(map(str, drawn.shape[1:3]))} pixels")
    return 0
