"""``DataLoader``: batches for a training loop of one's own, made as those of a training run."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from dlcourse.autograd import Tensor
from dlcourse.backend import array_module, current, precision, random, to_host
from dlcourse.config.data_sections import Augment
from dlcourse.data.dataset import Data, Split
from dlcourse.data.loader import Loader
from dlcourse.data.normalizer import Normalizer
from dlcourse.data.preparation import check_augment
from dlcourse.data.samples import Samples
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError
from dlcourse.registry import did_you_mean

__all__ = ["DataLoader"]

_NOT_HERE = {
    "num_workers": "samples lie in memory or in a mapped file, and large batches are made in a thread",
    "pin_memory": "batches are made on the device",
    "persistent_workers": "there are no worker processes",
    "prefetch_factor": "the next batch is made while a step computes",
    "collate_fn": "samples are rows of arrays",
    "worker_init_fn": "there are no worker processes",
    "sampler": "the order follows from shuffle= and seed=; choose samples by indexing the arrays",
    "batch_sampler": "the order follows from shuffle= and seed=; choose samples by indexing the arrays",
    "generator": "give seed=, a whole number",
    "timeout": "there are no worker processes",
}
"""What PyTorch's DataLoader takes besides, and why it is not needed here."""


class DataLoader:
    """The batches of one epoch after another: each ``for`` loop over it is an epoch.

    They are made as in a training run, by the same sampler, store and transform: the order of epoch k is a function of
    (seed, k), the same on every device.

    Args:
        inputs: (N, ...) an array or tensor; or a split of :func:`~dlcourse.load_data`, which has targets of its own and
            is normalized as was asked there; or a pair of arrays.
        targets: (N, ...) likewise. Without them a batch is a tensor, with them a pair of tensors.
        batch_size: samples a batch, or ``full``; the last batch of an epoch holds what is left. One that is larger than
            the data is all of them.
        shuffle: give the samples in another order in each epoch.
        drop_last: leave out the last batch of an epoch where it is not full.
        seed: orders the samples; by default drawn from :func:`~dlcourse.manual_seed`'s, another for each loader.
        dtype: the floating-point type of the batches, float32 as in training (where PyTorch leaves float64 as it is).
            Images in uint8 come in it too, 0..255 unless they are normalized. Whole numbers stay what they are.
        augment: how images are varied, anew in each epoch, as by a config's ``data.augment``: ``{"flip": True}``.

    Attributes:
        dataset: the split, or an object that has the arrays as its ``inputs`` and ``targets``, and their number as its
            length.
    Raises:
        ShapeError: the numbers of inputs and targets differ, or there are none.
        ArgumentError: a setting that cannot be.
    Example:
        >>> x, y = np.arange(10.0), np.arange(10)
        >>> loader = dl.DataLoader(x, y, batch_size=4, shuffle=True)
        >>> len(loader), [len(labels) for _, labels in loader]
        (3, [4, 4, 2])
        >>> first, second = [np.concatenate([labels.numpy() for _, labels in loader]) for epoch in range(2)]
        >>> sorted(first.tolist()) == sorted(second.tolist()), first.tolist() == second.tolist()
        (True, False)
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any = None,
        *,
        batch_size: int | Literal["full"] = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
        dtype: Any = "float32",
        augment: Augment | Mapping[str, Any] | None = None,
        **more: Any,
    ):
        for name in more:
            taken = ("batch_size", "shuffle", "drop_last", "seed", "dtype", "augment")
            why = f"; leave it out: {_NOT_HERE[name]}" if name in _NOT_HERE else did_you_mean(name, taken)
            raise ArgumentTypeError(f"DataLoader takes no {name!r}{why}")
        self.dataset, self._has_targets = _samples(inputs, targets)
        _check_batch_size(batch_size)
        kind = precision.as_dtype(dtype)
        if not precision.is_floating(kind):
            raise ArgumentError(f"DataLoader: dtype is the floating-point type of the batches, got {kind}")
        how = Augment(**augment) if isinstance(augment, Mapping) else augment
        split = self.dataset.split
        check_augment(how, split.x, split.y, classes=self._has_targets and split.y.dtype.kind in "iu")
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self._settings: dict[str, Any] = {"dtype": kind, "augment": how, "backend": current()}
        self._given_seed = seed
        self._begin()

    def _begin(self) -> None:
        """Start with the first epoch."""
        self._started, self._epoch = random.started(), 0
        given = self._given_seed
        seed = int(random.next_generator("data_loader").integers(2**63)) if given is None else given
        samples = self.dataset
        self._loader = Loader(
            samples.split,
            samples.normalizer,
            batch_size=self.batch_size,
            seed=seed,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            targets=samples.target_normalizer,
            **self._settings,
        )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self._loader.steps_per_epoch

    def __iter__(self) -> Iterator[Any]:
        """The next epoch; the first again after a new :func:`~dlcourse.manual_seed`, unless the loader has a seed."""
        if self._given_seed is None and self._started != random.started():
            self._begin()
        first = self._epoch * len(self)
        self._epoch += 1
        return self._batches(self._loader, range(first, first + len(self)))

    def _batches(self, loader: Loader, steps: range) -> Iterator[Any]:
        for step in steps:
            # Copies, as a batch may be a view of all samples, or of a buffer that the next one is read into.
            x, y = (Tensor(array.copy()) for array in loader.batch(step))
            yield (x, y) if self._has_targets else x

    def __repr__(self) -> str:
        options = f"batch_size={self.batch_size}, shuffle={self.shuffle}, drop_last={self.drop_last}"
        return f"DataLoader({len(self.dataset):,} samples in {len(self):,} batches, {options})"


def _samples(inputs: Any, targets: Any) -> tuple[Samples, bool]:
    """What was given as a split, and whether it has targets."""
    if isinstance(inputs, Samples):
        if targets is not None:
            why = "a split has targets of its own; give a split, or inputs and targets"
            raise ArgumentError(f"DataLoader: {why}{_named_batch_size(targets)}")
        return inputs, True
    if isinstance(inputs, tuple | list) and len(inputs) == 2 and targets is None and _is_array(inputs[0]):
        inputs, targets = inputs
    x, y = _array("inputs", inputs), None if targets is None else _array("targets", targets)
    if y is not None and len(x) != len(y):
        raise ShapeError(f"DataLoader: {len(x)} inputs of shape {x.shape}, but {len(y)} targets of shape {y.shape}")
    if not x.size:
        raise ShapeError(f"DataLoader: the inputs hold nothing: shape {x.shape}")
    split = Split(x, np.zeros(len(x), np.int64) if y is None else y, np.arange(len(x)))
    return Samples(split, Normalizer(np.zeros(1), np.ones(1))), y is not None


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _array(name: str, value: Any) -> np.ndarray:
    """A host array with an axis of samples."""
    if isinstance(value, Tensor):
        value = value.data
    if hasattr(value, "to_numpy"):  # a pandas frame or column
        value = value.to_numpy()
    if isinstance(value, str | bytes | int | float) or not (_is_array(value) or isinstance(value, list | tuple)):
        raise ArgumentTypeError(
            f"DataLoader: expected {name} as an array whose first axis counts the samples, or a split of dl.load_data; "
            f"got {_shown(value)}"
        )
    array = (
        np.asarray(value if array_module(value) is np else to_host(value)) if _is_array(value) else np.asarray(value)
    )
    if array.dtype.kind not in "biuf" and not precision.is_floating(array.dtype):
        raise ArgumentTypeError(f"DataLoader: expected {name} that are numbers, got elements of type {array.dtype}")
    if not array.ndim:
        raise ShapeError(f"DataLoader: expected {name} with an axis of samples, got one number")
    return array


def _shown(value: Any) -> str:
    if isinstance(value, Data):
        return "all splits of one: name one of them, as in data.train"
    hint = _named_batch_size(value)
    return f"{value!r}{hint}" if hint else f"a {type(value).__name__}"


def _named_batch_size(value: Any) -> str:
    """What to write where a number was given by position; empty where it is no number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f" (a batch size has its name: batch_size={value})" if number else ""


def _check_batch_size(value: Any) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value != "full" and not (whole and value >= 1):
        raise ArgumentError(f"DataLoader: batch_size is a whole number of at least 1, or 'full', got {value!r}")
