"""``dlcourse sample RUN``: what a trained model makes by itself, texts or images."""

import argparse
from typing import Any

HELP = "let a trained model write texts or draw images"
EXAMPLES = """\
examples:
  dlcourse sample RUN --count 3 --temperature 0.8                three texts
  dlcourse sample RUN "ROMEO:" --top-k 40 --top-p 0.9            a text that begins so
  dlcourse sample RUN --count 100 --out digits.png               images
  dlcourse sample RUN --sampler ddim --steps 50                  of a diffusion, in 50 steps
  dlcourse sample RUN --judge CLASSIFIER_RUN --count 1000        what a trained classifier takes them for
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or a checkpoint in one")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="for a model of a text, how each sample begins")
    parser.add_argument("--count", type=int, metavar="N", help="how many (default: 1 text, 64 images, 1000 to judge)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other samples (default: 0)")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="where to write: a text file; .png for images (default: samples.png), .npz for any numbers",
    )
    parser.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    parser.add_argument(
        "--judge",
        metavar="RUN",
        help="let this trained classifier say which classes the samples are of, and how sure it is",
    )
    diffusion = parser.add_argument_group("diffusion")
    diffusion.add_argument("--sampler", choices=["ddpm", "ddim"], help="by default the config's")
    diffusion.add_argument("--steps", metavar="N,...", help="steps of the sampler; several numbers with --judge")
    diffusion.add_argument("--eta", type=float, metavar="E", help="how much noise a step adds, 0 (ddim) to 1 (ddpm)")
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
    if trained.inputs.pairs:
        raise UserError(f"this model answers texts: dlcourse predict {args.run} TEXT")
    of_text = _given(args, "length", "temperature", "top_k", "top_p")
    of_images = _given(args, "sampler", "steps", "eta", "judge")
    if trained.inputs.tokens:
        if of_images:
            raise UserError(f"{_option(of_images)} is for models of images or other numbers; this one writes texts")
        return _texts(trained, args, of_text)
    if args.text is not None or of_text:
        option = "a text" if args.text is not None else _option(of_text)
        raise UserError(f"{option} is for models of a text; this one draws inputs of shape {trained.inputs.in_shape}")
    settings = _given(args, "sampler", "eta")
    steps = None if args.steps is None else _numbers(args.steps)
    if args.judge is not None:
        return _judge(trained, args, settings, steps)
    if steps is not None and len(steps) > 1:
        raise UserError(f"--steps {args.steps}: several numbers go with --judge, which compares them")
    return _images(trained, args, settings if steps is None else {**settings, "steps": steps[0]})


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options of these names that were given."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _option(given: dict[str, Any]) -> str:
    return "--" + next(iter(given)).replace("_", "-")


def _numbers(text: str) -> list[int]:
    from dlcourse.errors import UserError

    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise UserError(f"--steps {text}: expected whole numbers separated by commas, such as 10,20,50") from None


def _judge(trained: Any, args: argparse.Namespace, settings: dict[str, Any], steps: list[int] | None) -> int:
    from dlcourse import plots
    from dlcourse.errors import UserError
    from dlcourse.experiment import load_run
    from dlcourse.experiment.sample_judge import judge_samples
    from dlcourse.text import table

    if args.out is not None:
        raise UserError(
            "--out is for the samples themselves, and --judge writes into the run's folder; take one of both"
        )
    judge = load_run(args.judge, args.device)
    count = 1000 if args.count is None else args.count
    each = [settings] if steps is None else [{**settings, "steps": number} for number in steps]
    found = [judge_samples(trained, judge, count, args.seed, **own) for own in each]
    if len(found) == 1:
        shares = zip(found[0]["classes"], found[0]["shares"], strict=True)
        print(table([["class", "share"], *([name, f"{share:.3f}"] for name, share in shares)]))
        print(
            f"{count} samples; mean confidence {found[0]['confidence']:.4f}, least share {min(found[0]['shares']):.3f}"
        )
    else:
        rows = [
            [str(one["settings"]["steps"]), f"{one['confidence']:.4f}", f"{min(one['shares']):.3f}"] for one in found
        ]
        print(table([["steps", "mean confidence", "least share of a class"], *rows]))
    plots.draw(trained.folder.path)
    print(plots.report(trained.folder.path))
    return 0


def _texts(trained: Any, args: argparse.Namespace, settings: dict[str, Any]) -> int:
    from pathlib import Path

    from dlcourse.data.text import beginning
    from dlcourse.errors import UserError
    from dlcourse.experiment.generation import continue_text
    from dlcourse.training.atomic import expect_folder, write_output
    from dlcourse.training.samples import joined

    if args.out is not None and Path(args.out).suffix.lower() in (".png", ".npz"):
        raise UserError(f"--out {args.out}: this model writes texts; give the name of a text file, such as samples.txt")
    if args.out is not None:
        expect_folder("--out", Path(args.out))
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


def _images(trained: Any, args: argparse.Namespace, settings: dict[str, Any]) -> int:
    from pathlib import Path

    from dlcourse.errors import UserError
    from dlcourse.experiment.generation import draw_images
    from dlcourse.plots.sheet import sheet
    from dlcourse.tensorfile import npz
    from dlcourse.training.atomic import expect_folder, write_output
    from dlcourse.training.samples import as_kept

    shape = trained.inputs.in_shape
    images = len(shape) == 3 and shape[-1] in (1, 3)
    path = Path(args.out if args.out is not None else f"samples.{'png' if images else 'npz'}")
    if path.suffix not in (".png", ".npz"):
        raise UserError(f"--out {path}: expected a name that ends in .png or .npz")
    if path.suffix == ".png" and not images:
        raise UserError(f"--out {path}: inputs of shape {tuple(shape)} are no images; take a name in .npz")
    expect_folder("--out", path)
    drawn = draw_images(trained, 64 if args.count is None else args.count, args.seed, **settings)
    if path.suffix == ".npz":
        content = npz({"x": drawn.astype("float32")})
    else:
        content = sheet(as_kept(drawn, trained.inputs))
    write_output(path, content)
    sizes = " x ".join(map(str, drawn.shape[1:3]))
    print(
        f"{path}: {len(drawn)} " + (f"images of {sizes} pixels" if drawn.ndim == 4 else f"samples of {sizes} numbers")
    )
    return 0
