"""Fashion-MNIST: 70,000 images of clothes, in MNIST's form."""

from dlcourse.data.sources.download import Download
from dlcourse.data.sources.idx_images import IdxImages, idx_images
from dlcourse.registry import register

_BUCKET = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

FILES = idx_images(
    name="fashion_mnist",
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    downloads=(
        Download(f"{_BUCKET}/train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        Download(f"{_BUCKET}/train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
        Download(f"{_BUCKET}/t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
        Download(f"{_BUCKET}/t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    # Not DLCOURSE_DATA itself: the files have MNIST's names.
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
)
"""The four official files; their sums are those of the unpacked files."""


@register("data", "fashion_mnist")
class FashionMnist(IdxImages):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 + 10,000 gray images of clothes, 28 x 28 pixels."""

    files = FILES
    class_names = (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
