"""``dlcourse explain RUN``: pictures of what a trained net sees of images, and where it looks in a text."""

import argparse
from typing import Any

HELP = "draw what a trained net sees: saliency, Grad-CAM, activation maps, neighbors, attention and more"
EXAMPLES = """\
examples:
  dlcourse explain RUN                                  all methods, of the first image of six classes
  dlcourse explain RUN --images 3,17 --target cat       what speaks for a cat in these images of the test split
  dlcourse explain RUN --images photo.png --method saliency,grad_cam
  dlcourse explain RUN --class cat --layer layers.4     six cats, and what that layer makes of them
  dlcourse explain RUN --sanity                         do random weights change the maps, as they should?
  dlcourse explain RUN --text "To be, or not to be"     where each head of a transformer looks, or a decoder
methods:
  saliency, smooth_grad, integrated_gradients, grad_cam, occlusion: maps of each image
  filters, activations, receptive_field: what a layer looks for, gives, and may see
  class_visualization, neighbors, pca, tsne: images of each class, and images by their features
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder of images or texts, or a checkpoint in one")
    which = parser.add_argument_group("what is explained")
    which.add_argument("--images", metavar="I,J,...", help="by number in the split, from 0; or files of images")
    which.add_argument("--class", dest="of_class", metavar="NAME", help="the first images of this class")
    which.add_argument("--text", action="append", default=[], metavar="TEXT", help="that a model of texts reads")
    which.add_argument("--split", help="that images are taken from: test, val or train (default: test, else val)")
    which.add_argument("--count", type=int, default=6, metavar="N", help="how many images where none are named (6)")
    which.add_argument("--target", metavar="NAME", help="explain the score of this class, not of the predicted one")
    how = parser.add_argument_group("how")
    how.add_argument("--method", metavar="M,...", action="append", default=[], help="only these (default: all)")
    how.add_argument(
        "--layer", metavar="NAME", help="of Grad-CAM, activations and features, as `dlcourse show` names it"
    )
    how.add_argument("--samples", type=int, default=1000, metavar="N", help="images that pca and tsne place (1000)")
    how.add_argument("--sanity", action="store_true", help="also compare the maps with those of random weights")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of noise, jitter, random weights and t-SNE (0)")
    how.add_argument("--out", metavar="FOLDER", help="put the pictures there, and leave the run as it is")
    how.add_argument("--json", action="store_true", help="print the numbers as JSON, for programs")
    how.add_argument("--checkpoint", choices=["best", "last"], help="by default the weights that the run ended with")
    how.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    import json
    import tempfile
    from pathlib import Path

    from dlcourse import plots
    from dlcourse.errors import UserError
    from dlcourse.experiment import load_run
    from dlcourse.training.explanations import FOLDER, write

    if args.out is not None and not Path(args.out).is_dir() and Path(args.out).exists():
        raise UserError(f"--out {args.out}: is a file; give the name of a folder")
    trained = load_run(args.run, args.device, args.checkpoint)
    found, run = _explained(trained, args), trained.folder.path
    if args.out is None:
        write(run, found.pictures)
        drawn = plots.draw_explained(run, list(found.pictures), run / FOLDER, run / "plots")
        drawn.append(plots.report(run))
    else:
        with tempfile.TemporaryDirectory(prefix="dlcourse-") as place:
            write(Path(place), found.pictures)
            drawn = plots.draw_explained(run, list(found.pictures), Path(place) / FOLDER, Path(args.out))
    files = [str(path) for path in drawn]
    if args.json:
        print(json.dumps({"run": str(run), "weights": trained.where, **found.figures, "files": files}, indent=2))
        return 0
    print(trained.where)
    images = [_images(found.figures["images"])] if "images" in found.figures else []
    print("\n".join([*images, *found.lines, *_sanity(found.figures.get("sanity", {})), *files]))
    return 0


def _explained(trained: Any, args: argparse.Namespace) -> Any:
    """Pictures, figures and lines of a run of images, or of texts."""
    from dlcourse.errors import UserError
    from dlcourse.experiment.explanation import Explanations, Request
    from dlcourse.experiment.text_explanation import TextExplanations

    of_images: dict[str, Any] = {
        "images": None,
        "of_class": None,
        "target": None,
        "layer": None,
        "method": [],
        "sanity": False,
    }
    if trained.inputs.tokens:
        for key, nothing in of_images.items():
            if getattr(args, key) != nothing:
                raise UserError(f"--{key.removeprefix('of_')} is for models of images; this one reads texts: --text")
        return TextExplanations(trained, args.text, args.split)
    if args.text:
        raise UserError("--text is for models of texts; this one takes other inputs")
    same = ("of_class", "split", "target", "layer", "count", "samples", "sanity", "seed")
    images, methods = _listed("--images", args.images), _listed("--method", ",".join(args.method) or None)
    request = Request(images=images, methods=methods, **{name: getattr(args, name) for name in same})
    return Explanations(trained, request)


def _listed(option: str, given: str | None) -> list[str]:
    """What stands between commas."""
    from dlcourse.errors import UserError

    found = [each.strip() for each in (given or "").split(",") if each.strip()]
    if given is not None and not found:
        raise UserError(f"{option} {given!r}: names nothing")
    return found


def _images(images: list[dict]) -> str:
    """The images as a table."""
    from dlcourse.text import format_number, table

    def cell(value: str | float | None) -> str:
        return "-" if value is None else value if isinstance(value, str) else format_number(value)

    return table([list(images[0]), *([cell(each) for each in image.values()] for image in images)], left=3)


def _sanity(found: dict[str, dict[str, float]]) -> list[str]:
    """The rank correlations as a table, a row for each layer that has been made random."""
    from dlcourse.text import table

    if not found:
        return []
    layers = next(iter(found.values()))
    rows = [
        ["random down to", *found],
        *([layer, *(f"{each[layer]:.2f}" for each in found.values())] for layer in layers),
    ]
    return ["", "rank correlation with the maps of the trained net:", table(rows), ""]
