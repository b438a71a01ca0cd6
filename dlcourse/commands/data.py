"""``dlcourse data fetch|info NAME``: bring a published data set here, and look at any."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELP = "fetch a data set, or show what is in one: counts, classes, statistics, where it lies, an image of samples"
EXAMPLES = """\
examples:
  dlcourse data fetch cifar10                      download, verify and decode it, once
  dlcourse data info cifar10                       and look at it
  dlcourse data info mnist path=/data/mnist        from a folder of yours
  dlcourse data info csv path=flats.csv target=rent split.test=0.2
"""

_COLUMNS = 10
_MAX_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["fetch", "info"], help="fetch: download it; info: show what is in it")
    parser.add_argument("name", metavar="NAME", help="a data set; `dlcourse list data` shows all")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="keys of a config's data section: path=/data")
    image = parser.add_mutually_exclusive_group()
    image.add_argument(
        "--image", metavar="FILE", help="where to write the image of samples (default: NAME_samples.png here)"
    )
    image.add_argument("--no-image", action="store_true", help="write no image")


def main(args: argparse.Namespace) -> int:
    from dlcourse import config

    section = config.data_section(args.name, [f"data.{text}" for text in args.overrides])
    return _fetch(section) if args.action == "fetch" else _info(section, args)


def _fetch(section: dict[str, Any]) -> int:
    from dlcourse import registry
    from dlcourse.errors import UserError

    dataset = _component(section)
    if not hasattr(dataset, "open"):
        published = [name for name in registry.names("data") if hasattr(registry.lookup("data", name), "open")]
        raise UserError(f"there is nothing to fetch for {section['name']}; there is for {', '.join(published)}")
    print("\n".join(_places(dataset)))
    return 0


def _info(section: dict[str, Any], args: argparse.Namespace) -> int:
    from dlcourse.data import prepare
    from dlcourse.errors import UserError

    data = prepare(section, 0)
    images = len(data.in_shape) == 3 and data.in_shape[2] in (1, 3) and data.task == "classification"
    if args.image and not images:
        raise UserError(f"--image: {section['name']} has no images with classes")
    if args.image and Path(args.image).suffix.lower() not in ("", ".png"):
        raise UserError(f"--image {args.image}: this writes a PNG; give a name that ends in .png")
    shape = " x ".join(map(str, data.in_shape))
    print(f"{section['name']}: {data.task}, inputs {shape} ({data.dataset.x.dtype})")
    dataset = _component(section)
    if hasattr(dataset, "open"):
        print("\n".join(_places(dataset)))
    elif data.dataset.source:
        print(f"source   {data.dataset.source}")
    print("\n".join(["", *_counts(data), "", *_statistics(data)]))
    if images and not args.no_image:
        path = Path(args.image or f"{section['name']}_samples.png")
        _draw(data, path, section["name"])
        print(f"\nimage  {path}")
    return 0


def _component(section: dict[str, Any]) -> Any:
    from dlcourse import registry

    return registry.build("data", registry.own_parameters("data", section))


def _places(dataset: Any) -> Iterator[str]:
    """Where a published data set lies, and how large it is."""
    opened = dataset.open()
    for label, path in (("source", opened.source), ("decoded", opened.decoded)):
        files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
        yield f"{label:<8} {path}, {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB"


def _counts(data: Any) -> Iterator[str]:
    """Samples of each split, and of each class in it."""
    import numpy as np

    splits = data.splits
    names = data.dataset.class_names if data.task == "classification" else ()
    width = max(len("samples"), *(len(name) + 2 for name in names)) if names else len("samples")
    yield " " * width + "".join(f"{split:>10}" for split in splits)
    yield f"{'samples':<{width}}" + "".join(f"{len(split):>10,}" for split in splits.values())
    counts = [np.bincount(split.y.reshape(-1), minlength=len(names)) for split in splits.values()] if names else []
    for label, name in enumerate(names):
        yield f"{'  ' + name:<{width}}" + "".join(f"{count[label]:>10,}" for count in counts)


def _statistics(data: Any) -> Iterator[str]:
    """Means and standard deviations over the training split: of each channel of images, of each feature of a table."""
    from dlcourse.data.moments import Moments
    from dlcourse.text import format_number, table

    x = data.splits["train"].x
    found = Moments.of(x, per_position=False)
    if x.ndim == 4:
        unit = 255 if x.dtype == "uint8" and found.high.max() > 127 else 1
        of = " (pixels as 0..1, training split)" if unit == 255 else " (training split)"
        yield "channel means               " + "  ".join(f"{value:.8f}" for value in found.mean / unit) + of
        yield "channel standard deviations " + "  ".join(f"{value:.8f}" for value in found.std / unit)
        return
    dataset = data.dataset
    if dataset.tokens:
        characters = {name: getattr(split, "tokens", split.x).size for name, split in data.splits.items()}
        yield f"{len(dataset.token_names)} tokens; " + ", ".join(f"{name} {n:,}" for name, n in characters.items())
        return
    rows = [("training split", "unit", "mean", "std", "smallest", "largest")]
    moments = zip(found.mean, found.std, found.low, found.high, strict=True)
    names = dataset.feature_names or [f"x{i + 1}" for i in range(x.shape[-1])]
    for name, unit, values in zip(names, dataset.feature_units or [""] * len(names), moments, strict=True):
        rows.append((name, unit, *(format_number(value, 6) for value in values)))
    if data.task == "regression":
        for i, y in enumerate(data.splits["train"].y.T):
            values = (y.mean(), y.std(), y.min(), y.max())
            name, unit = dict(enumerate(dataset.named_targets)).get(i, (dataset.target_name, dataset.target_unit))
            rows.append((name, unit, *(format_number(value, 6) for value in values)))
    yield table(rows, left=2)


def _draw(data: Any, path: Path, name: str) -> None:
    """The first images of each class."""
    import numpy as np

    from dlcourse.errors import DlcourseError
    from dlcourse.plots.samples import draw_samples

    split, names = data.splits["train"], data.dataset.class_names[:_MAX_ROWS]
    rows = [split.x[np.flatnonzero(split.y == label)[:_COLUMNS]] for label in range(len(names))]
    title = f"{name}: the first {_COLUMNS} training images of each class"
    try:
        draw_samples(path, rows, names, title, f"Every row is a class of {name}, in the order of the file.")
    except OSError as error:
        raise DlcourseError(f"{path}: cannot be written: {error.strerror or error}") from error
