"""One's own images: a folder of files with a folder for each class."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dlcourse.data.bounds import check_size
from dlcourse.data.cells import listed
from dlcourse.data.class_folders import ClassFolders, ImageEntry, in_order
from dlcourse.data.dataset import DataSchema, Dataset, Task
from dlcourse.data.files import find
from dlcourse.data.image_file import CHANNELS, Fit, ImageHeader, read_header, read_image
from dlcourse.data.sources.cache import Decoded, cache_folder, digest
from dlcourse.errors import ConfigError, DataError, DlcourseError
from dlcourse.registry import register
from dlcourse.resources import cores
from dlcourse.types import Count

_MANIFEST = "manifest.json"
_VERSION = 1  # of what is made of a file
_AT_ONCE = 1024  # files decoded before their pixels are put into the array
_SHOWN = 5

Shape = tuple[int, int, int]


@register("data", "image_folder")
@dataclass(frozen=True)
class ImageFolder:
    """Image files (PNG, JPEG, GIF, BMP, TIFF, WebP, PNM) in folders that name their classes: ``flowers/rose/1.jpg``.

    Folders ``train``, ``val`` and ``test`` of such folders are taken as the splits; ``data.split`` makes those that are
    not there from the training images. Labels count the folders by name (by number where all are numbers). Samples are
    in an order that spreads every class evenly, so that the first n of them have all classes.

    Images are uint8 (H, W, C): turned as their EXIF data say, transparent pixels on white (unless ``color: rgba``),
    16 bits a channel as 8, of several frames the first. They are decoded once, into the cache; files that were added,
    removed or changed are seen by their names, sizes and times. A file that is no readable image is left out and named;
    hidden files are passed over.

    Args:
        path: the folder; relative to the current folder or to the folder ``DLCOURSE_DATA``.
        size: height and width in pixels, one number for both or two; left out, all files have to have the same size.
        fit: how a file of another shape comes to that size: ``stretch`` distorts it, ``crop`` cuts its middle out.
        color: the channels: gray (1), rgb (3) or rgba (4); left out: rgb if any file has colors, else gray.
    Raises:
        DataError: there are no class folders or no images; or images differ in size, and no ``size`` is given.
    """

    task: ClassVar[Task] = "classification"

    path: str
    size: Count | tuple[Count, Count] | None = None
    fit: Literal["stretch", "crop"] = "stretch"
    color: Literal["gray", "rgb", "rgba"] | None = None

    def __post_init__(self) -> None:
        if self.size is None and self.fit != "stretch":
            raise ConfigError(f"data.fit: {self.fit} has a meaning beside data.size only, which is not there")

    def load(self, seed: int) -> Dataset:
        """Read the folder, or what was decoded of it before; the seed changes nothing."""
        path = find(self.path, folders=True)
        if not path.is_dir():
            raise DataError(f"{path} is a file, expected a folder with a folder of images for each class")
        folders = ClassFolders.scan(path)
        images, left_out = self._open(folders)
        if note := _left_out(left_out, folders.others):
            warnings.warn(f"{path}: {note}", stacklevel=2)
        names = in_order({entry.label for entry in folders.splits["train"]})
        return self._dataset(folders, images, set(left_out), names)

    def load_as(self, schema: DataSchema) -> Dataset:
        """Read the folder with the classes of a trained model.

        Raises:
            DataError: as :meth:`load`; or a class is not among them.
        """
        own = self.load(0)
        known = schema.class_names
        if unknown := [name for name in own.class_names if name not in known]:
            raise DataError(f"{own.source}: {unknown[0]!r} is none of the model's classes {', '.join(known)}")
        label_of = np.array([known.index(name) for name in own.class_names], dtype=np.int64)
        moved: dict[str, Any] = {name: (x, label_of[y]) for name, (x, y) in own.own_splits.items()}
        return replace(own, y=label_of[own.y], class_names=known, **moved)

    @property
    def _fit(self) -> Fit:
        return "none" if self.size is None else self.fit

    def _dataset(
        self, folders: ClassFolders, images: np.ndarray, left_out: set[str], names: tuple[str, ...]
    ) -> Dataset:
        number, splits, start = {name: i for i, name in enumerate(names)}, {}, 0
        for split, entries in folders.splits.items():
            read = [entry for entry in _spread(entries) if entry.name not in left_out]
            if not read:
                raise DataError(f"{folders.path}: the {split} split has no readable image")
            if unknown := [entry for entry in read if entry.label not in number]:
                raise DataError(
                    f"{folders.path}: {unknown[0].name} is of the class {unknown[0].label!r}, which the training "
                    f"images do not have; they have {listed(names)}"
                )
            stop = start + len(read)
            splits[split] = images[start:stop], np.array([number[entry.label] for entry in read], dtype=np.int64)
            start = stop
        x, y = splits.pop("train")
        more: dict[str, Any] = dict(splits)
        return Dataset(
            x,
            y,
            self.task,
            target_name="class",
            class_names=names,
            image_fit=self._fit,
            source=str(folders.path),
            **more,
        )

    def _open(self, folders: ClassFolders) -> tuple[np.ndarray, dict[str, str]]:
        """The images of all splits, one after the other, and why which files are not among them."""
        files = [entry for entries in folders.splits.values() for entry in _spread(entries)]
        place = str(folders.path.resolve()), self.size, self.fit, self.color
        home = cache_folder() / "image_folder" / digest(place)
        key = digest((_VERSION, [(entry.name, entry.size, entry.times) for entry in files]))
        decoded = Decoded(home, {}, key)
        found = _load(decoded)
        if found is None:
            with decoded.lock():
                found = _load(decoded)  # another process may have been at it meanwhile
                if found is None:
                    images, left_out = self._decode(folders, files)
                    manifest = {"path": place[0], "shape": images.shape, "left_out": left_out}
                    decoded.save({"x": images}, {_MANIFEST: json.dumps(manifest)})
                    decoded.remove_others()
                    found = _load(decoded)
        if found is None:
            raise DlcourseError(f"{home} was written but cannot be read back")
        return found

    def _decode(self, folders: ClassFolders, files: list[ImageEntry]) -> tuple[np.ndarray, dict[str, str]]:
        from PIL import Image
        from tqdm import tqdm

        left_out: dict[str, str] = {}
        with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
            warnings.filterwarnings("ignore", module="PIL")  # about metadata; what cannot be read is an error
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            shape = self._shape(folders.path, files, left_out, pool)
            count = len(files) - len(left_out)
            what = f"{count} images of {' x '.join(map(str, shape))}"
            check_size(folders.path, count * int(np.prod(shape)), what, folders.bytes)
            images, row = np.empty((count, *shape), dtype=np.uint8), 0
            readable = [entry for entry in files if entry.name not in left_out]
            decode = partial(_result_or_error, read_image, folders.path, shape=shape, fit=self._fit)
            on_terminal = sys.stderr is not None and sys.stderr.isatty()
            for entry, image in tqdm(
                _mapped(pool, decode, readable), str(folders.path), count, unit="image", disable=not on_terminal
            ):
                if isinstance(image, str):
                    left_out[entry.name] = image
                    continue
                images[row] = image
                row += 1
        return images[:row], left_out

    def _shape(self, path: Path, files: list[ImageEntry], left_out: dict[str, str], pool: ThreadPoolExecutor) -> Shape:
        """(H, W, C) of the images to be, by the files' headers; files without one are left out."""
        headers = {}
        for entry, found in _mapped(pool, partial(_result_or_error, read_header, path), files):
            if isinstance(found, str):
                left_out[entry.name] = found
            else:
                headers[entry.name] = found
        if not headers:
            raise DataError(f"{path} has no readable image: {_left_out(left_out, [])}")
        color = self.color or ("rgb" if any(header.colored for header in headers.values()) else "gray")
        if self.size is not None:
            height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        else:
            height, width = _common_size(path, headers)
        return height, width, CHANNELS[color]


def _load(decoded: Decoded) -> tuple[np.ndarray, dict[str, str]] | None:
    """What was decoded before; None where it is not there, or not whole."""
    try:
        manifest = json.loads((decoded.folder / _MANIFEST).read_text(encoding="utf-8"))
        shape, left_out = tuple(map(int, manifest["shape"])), dict(manifest["left_out"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    arrays = replace(decoded, layout={"x": (shape, "u1")}).load()
    return None if arrays is None else (arrays["x"], left_out)


def _mapped(pool: ThreadPoolExecutor, function: Any, files: list[ImageEntry]) -> Iterator[tuple[ImageEntry, Any]]:
    """Each file and what becomes of it, in order; Pillow's decoders run side by side."""
    for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        yield from zip(some, pool.map(function, some), strict=True)


def _result_or_error(read: Callable[..., Any], path: Path, entry: ImageEntry, **settings: Any) -> Any:
    """What ``read`` gives for a file, or the text of its error."""
    try:
        return read(path / entry.name, **settings)
    except DataError as error:
        return str(error)


def _common_size(path: Path, headers: dict[str, ImageHeader]) -> tuple[int, int]:
    """The size that all have."""
    first, *rest = headers
    height, width = headers[first].height, headers[first].width
    for name in rest:
        other = headers[name]
        if (other.height, other.width) != (height, width):
            raise DataError(
                f"{path}: images differ in size: {first} has {height} x {width} pixels, {name} {other.height} x "
                f"{other.width}; data.size: {min(height, width)} brings all to one, or two numbers: [{height}, {width}]"
            )
    return height, width


def _spread(entries: list[ImageEntry]) -> list[ImageEntry]:
    """The images of a split in an order that has every class evenly."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.label] = counts.get(entry.label, 0) + 1
    seen = dict.fromkeys(counts, 0)
    places = []
    for entry in entries:
        places.append((seen[entry.label] + 0.5) / counts[entry.label])
        seen[entry.label] += 1
    return [entries[i] for i in np.argsort(places, kind="stable")]


def _left_out(unreadable: dict[str, str], others: list[str]) -> str:
    """What is not read, in a phrase; empty where all is."""
    found = []
    if unreadable:
        named = listed([f"{name} ({reason})" for name, reason in sorted(unreadable.items())], _SHOWN)
        found.append(f"{len(unreadable)} file{'s' * (len(unreadable) != 1)} no readable image: {named}")
    if others:
        found.append(f"{len(others)} no image file of a class: {listed(others, _SHOWN)}")
    return f"left out: {'; '.join(found)}" if found else ""
