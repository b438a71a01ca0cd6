"""Data sets in MNIST's form: four idx files, images and labels of a training and a test split."""

from collections.abc import Mapping

from dlcourse.data.sources.collection import (
    Arrays,
    Collection,
    PublishedImages,
    Variant,
    check_labels,
    image_layout,
)  # fmt: skip
from dlcourse.data.sources.download import Download
from dlcourse.data.sources.idx import parse_idx
from dlcourse.data.sources.published import Checksum
from dlcourse.errors import DataError

CLASSES = 10
SIDE = 28

_SAMPLES = {"train": 60_000, "test": 10_000}
_PARTS = {"train": "train", "t10k": "test"}
"""The split that a file's first word means."""


class IdxImages(PublishedImages):
    """Base of such a data set, of images (N, 28, 28, 1).

    Args:
        path: a folder with the four idx files, gzipped or not; left out: the folder DLCOURSE_DATA, the cache, or else
            a download.
    """


def idx_images(
    name: str,
    md5: Mapping[str, str],
    downloads: tuple[Download, ...],
    folders: tuple[str, ...],
    samples: Mapping[str, int] = _SAMPLES,
) -> Collection:
    """The collection of such a data set.

    Args:
        name: its name in a config.
        md5: the sums of the four files, unpacked, by file name.
        downloads: where they come from, gzipped.
        folders: see :class:`Collection`.
        samples: how many the splits ``train`` and ``test`` have.
    """
    members = {}
    for member, expected in md5.items():
        count = samples[_part(member)]
        size = 16 + count * SIDE * SIDE if "images" in member else 8 + count
        members[member] = Checksum(size, expected)
    return Collection(name, (Variant(members, downloads),), image_layout(samples, (SIDE, SIDE, 1)), _decode, folders)


def _part(member: str) -> str:
    return _PARTS[member.partition("-")[0]]


def _decode(name: str, content: bytes, source: str, arrays: Arrays) -> None:
    """One of the four files."""
    images = "images" in name
    target = arrays[f"{_part(name)}_{'x' if images else 'y'}"]
    expected = target.shape[:3]  # (N, H, W) or (N,)
    array = parse_idx(content, source)
    if array.shape != expected:
        raise DataError(f"{source} has shape {array.shape}, expected {expected}")
    if images:
        target[..., 0] = array
        return
    check_labels(array, CLASSES, source)
    target[:] = array
