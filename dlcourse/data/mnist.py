"""MNIST: 70,000 handwritten digits."""

from dlcourse.data.sources.download import Download
from dlcourse.data.sources.idx_images import IdxImages, idx_images
from dlcourse.registry import register

_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"  # the authors' own server refuses programs

FILES = idx_images(
    name="mnist",
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    downloads=(
        Download(f"{_MIRROR}/train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        Download(f"{_MIRROR}/train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        Download(f"{_MIRROR}/t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        Download(f"{_MIRROR}/t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    folders=("mnist", "MNIST", "MNIST/raw", "."),
)
"""The four official files; their sums are those of the unpacked files."""


@register("data", "mnist")
class Mnist(IdxImages):
    """MNIST (LeCun, Cortes and Burges 1998): 60,000 + 10,000 handwritten digits, 28 x 28 gray pixels."""

    files = FILES
    class_names = tuple("0123456789")
