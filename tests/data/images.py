"""Small stand-ins for the published data sets, in every packaging: the files, and the arrays that they become."""

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dlcourse.data import cifar10, mnist
from dlcourse.data.sources.collection import Collection, Variant
from dlcourse.data.sources.download import Download
from dlcourse.data.sources.idx_images import idx_images
from dlcourse.data.sources.published import Checksum

PER_BATCH = 4
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
IDX_SAMPLES = {"train": 6, "test": 3}


def published(content: bytes) -> Checksum:
    """What these bytes are recognized by."""
    return Checksum(len(content), hashlib.md5(content).hexdigest())


def pickled_batch(pixels: bytes, labels: Iterable[int], before: bytes = b"") -> bytes:
    """A batch as Python 2 pickled it, opcode by opcode; ``before`` are opcodes to put in front."""
    labels = list(labels)
    body = b"(U\x0bbatch_labelU\x08training" + b"U\x06labels]("
    body += b"".join(b"K" + bytes([label]) if label < 256 else b"M" + struct.pack("<H", label) for label in labels)
    body += b"eU\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    body += b"M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN"
    body += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(pixels)) + pixels + b"tbu."
    return b"\x80\x02" + before + b"}" + body


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """An idx file of unsigned bytes; ``shape`` is what its header declares."""
    shape = array.shape if shape is None else shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def tar(path: Path, members: Mapping[str, bytes], folder: str = "cifar-10-batches-py") -> Path:
    """An archive of regular files in a folder, compressed as the path's suffix says."""
    with tarfile.open(path, f"w:{path.suffix.removeprefix('.')}" if path.suffix != ".tar" else "w") as file:
        for name, content in members.items():
            add(file, f"{folder}/{name}", content)
    return path


def add(file: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    """One member of any kind."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, link
    file.addfile(member, io.BytesIO(content))


@dataclass(frozen=True)
class Small:
    """A small data set: its collection, its arrays, and the files of each packaging."""

    collection: Collection
    arrays: dict[str, np.ndarray]
    files: dict[str, bytes]
    binary: dict[str, bytes]

    def write(self, folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
        """The files in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (files or self.files).items():
            (folder / name).write_bytes(content)
        return folder

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Assert that these are the arrays, bit for bit."""
        assert arrays.keys() == self.arrays.keys()
        for name, array in self.arrays.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)

    def accepting(self, **files: bytes) -> Collection:
        """The collection if these were the official files."""
        return with_members(self.collection, {**self.files, **self.binary, **files})


def with_members(collection: Collection, files: Mapping[str, bytes]) -> Collection:
    """The collection if these were the official files."""
    variants = [
        replace(variant, members={name: published(files[name]) for name in variant.members})
        for variant in collection.variants
    ]
    return replace(collection, variants=tuple(variants))


def small_cifar10() -> Small:
    """CIFAR-10 with four images a batch."""
    random = np.random.default_rng(0)
    planes = random.integers(0, 256, (6, PER_BATCH, 3072), dtype=np.uint8)
    labels = random.integers(0, 10, (6, PER_BATCH), dtype=np.uint8)
    python = {name: pickled_batch(planes[i].tobytes(), labels[i]) for i, name in enumerate(BATCHES)}
    records = np.concatenate([labels[:, :, None], planes], axis=2)
    binary = {f"{name}.bin": records[i].tobytes() for i, name in enumerate(BATCHES)}
    images = planes.reshape(6, PER_BATCH, 3, 32, 32).transpose(0, 1, 3, 4, 2)
    arrays = {
        "train_x": images[:5].reshape(-1, 32, 32, 3),
        "train_y": labels[:5].reshape(-1).astype(np.int64),
        "test_x": images[5],
        "test_y": labels[5].astype(np.int64),
    }
    layout = {name: (array.shape, array.dtype.str) for name, array in arrays.items()}
    collection = replace(with_members(cifar10.FILES, {**python, **binary}), layout=layout)
    return Small(collection, arrays, python, binary)


def small_mnist() -> Small:
    """MNIST with six and three images."""
    random = np.random.default_rng(1)
    arrays, files = {}, {}
    for part, word in (("train", "train"), ("test", "t10k")):
        count = IDX_SAMPLES[part]
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        arrays[f"{part}_x"], arrays[f"{part}_y"] = images[..., None], labels.astype(np.int64)
        files[f"{word}-images-idx3-ubyte"], files[f"{word}-labels-idx1-ubyte"] = idx(images), idx(labels)
    md5 = {name: published(content).md5 for name, content in files.items()}
    collection = idx_images("mnist", md5, (), mnist.FILES.folders, IDX_SAMPLES)
    return Small(collection, arrays, files, {})


def gzipped(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files as their servers have them."""
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}


def served(collection: Collection, url: str, files: Mapping[str, bytes]) -> Collection:
    """The collection if these files lay on that server."""
    downloads = tuple(
        Download(f"{url}/{name}", len(content), hashlib.md5(content).hexdigest()) for name, content in files.items()
    )
    first, *others = collection.variants
    return replace(collection, variants=(Variant(first.members, downloads, first.archive), *others))
