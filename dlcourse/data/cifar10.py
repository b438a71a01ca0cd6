"""CIFAR-10: 60,000 small color photographs of ten kinds of things."""

from dlcourse.data.sources.cifar_batch import PIXELS, parse_binary, parse_python
from dlcourse.data.sources.collection import Arrays, Collection, PublishedImages, Variant, image_layout
from dlcourse.data.sources.download import Download
from dlcourse.data.sources.published import Checksum
from dlcourse.registry import register

_PAGE = "https://www.cs.toronto.edu/~kriz"
_BATCHES = 5
_BINARY_SIZE = 10_000 * (1 + PIXELS)


def _decode(name: str, content: bytes, source: str, arrays: Arrays) -> None:
    """A batch of either version: the test split, or a fifth of the training split."""
    split = "test" if name.startswith("test") else "train"
    x, y = arrays[f"{split}_x"], arrays[f"{split}_y"]
    samples = len(x) if split == "test" else len(x) // _BATCHES
    batch = 0 if split == "test" else int(name.removesuffix(".bin").rpartition("_")[2]) - 1
    parse = parse_binary if name.endswith(".bin") else parse_python
    rows = slice(batch * samples, (batch + 1) * samples)
    x[rows], y[rows] = parse(content, samples, source)


FILES = Collection(
    name="cifar10",
    variants=(
        Variant(
            archive="cifar-10-python",
            members={
                "data_batch_1": Checksum(31_035_704, "c99cafc152244af753f735de768cd75f"),
                "data_batch_2": Checksum(31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
                "data_batch_3": Checksum(31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
                "data_batch_4": Checksum(31_035_696, "634d18415352ddfa80567beed471001a"),
                "data_batch_5": Checksum(31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
                "test_batch": Checksum(31_035_526, "40351d587109b95175f43aff81a1287e"),
            },
            downloads=(Download(f"{_PAGE}/cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),),
        ),
        Variant(
            archive="cifar-10-binary",
            members={
                "data_batch_1.bin": Checksum(_BINARY_SIZE, "5dd7e06a14cb22eb9f671a540d1b7c25"),
                "data_batch_2.bin": Checksum(_BINARY_SIZE, "5ea93a67294ea407fff1d09f752e9692"),
                "data_batch_3.bin": Checksum(_BINARY_SIZE, "942cd6a4bcdd0dd3c604fbe906cb4421"),
                "data_batch_4.bin": Checksum(_BINARY_SIZE, "ae636b3ba5c66a11e91e8cb52e771fcb"),
                "data_batch_5.bin": Checksum(_BINARY_SIZE, "53f37980c15c3d472c316c40844f3f0d"),
                "test_batch.bin": Checksum(_BINARY_SIZE, "803d5f7f4d78ea53de84dbe85f74fb6d"),
            },
            downloads=(Download(f"{_PAGE}/cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),),
        ),
    ),
    layout=image_layout({"train": 50_000, "test": 10_000}, (32, 32, 3)),
    decode=_decode,
    folders=(".", "cifar10", "cifar-10-batches-py", "cifar-10-batches-bin"),
)
"""The two official versions; they hold the same images in the same order."""


@register("data", "cifar10")
class Cifar10(PublishedImages):
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 color photographs of 32 x 32 pixels in ten classes.

    The homework's splits, the first 49,000 to train and the last 1,000 of 50,000 to validate, are
    ``split: {val: 1000}`` with ``shuffle: false``; the 10,000 test images are a split of their own.

    Args:
        path: a folder with the batches or the archive, or the archive itself (.tar.gz, .tar.xz), python or binary
            version; left out: the folder DLCOURSE_DATA, the cache, or else a download.
    """

    files = FILES
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
