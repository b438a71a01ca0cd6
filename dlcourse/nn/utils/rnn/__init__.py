"""Sequences of different lengths: ``nn.utils.rnn.pad_sequence``."""

from collections.abc import Iterable, Sequence
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.linear import concatenate, stack

__all__ = ["pad_sequence", "unpad_sequence"]


def pad_sequence(sequences: Iterable[Any], batch_first: bool = True, padding_value: float = 0.0) -> Tensor:
    """(N, T, ...): sequences (T_n, ...) as one batch, each filled up behind its end to the longest.

    Args:
        sequences: tensors or arrays that differ in their first axis alone.
        batch_first: True, as in all of dlcourse.
        padding_value: what is behind the end.
    Raises:
        ValueError: there is no sequence, or ``batch_first`` is False.
        ShapeError: the sequences differ along another axis.
    Example:
        >>> nn.utils.rnn.pad_sequence([dl.ones(2), dl.ones(3)]).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
        >>> output, h_n = nn.GRU(1, 4)(dl.ones(2, 3, 1), lengths=[2, 3])
        >>> output.shape, h_n.shape
        ((2, 3, 4), (1, 2, 4))
    """
    tensors = [as_tensor(each) for each in sequences]
    if not tensors:
        raise ArgumentError("pad_sequence: expected sequences, got none")
    if not batch_first:
        raise ArgumentError("pad_sequence: batch_first is True: sequences are (N, T, D) always; see x.transpose(0, 1)")
    if any(not each.ndim or each.shape[1:] != tensors[0].shape[1:] for each in tensors):
        shapes = ", ".join(str(each.shape) for each in tensors[:6])
        raise ShapeError(f"pad_sequence: sequences (T, ...) differ in their first axis alone, got {shapes}")
    steps = max(map(len, tensors))
    return stack([_padded(each, steps, padding_value) for each in tensors])


def _padded(x: Tensor, steps: int, value: float) -> Tensor:
    if len(x) == steps:
        return x
    rest = (steps - len(x), *x.shape[1:])
    return concatenate([x, Tensor(backend.array_module(x.data).full(rest, value, dtype=x.dtype))])


def unpad_sequence(padded_sequences: Tensor, lengths: Sequence[int], batch_first: bool = True) -> list[Tensor]:
    """The sequences of a padded batch (N, T, ...), each up to its length.

    Raises:
        ValueError: there are not N lengths, or ``batch_first`` is False.
    """
    if not batch_first or len(lengths) != len(padded_sequences):
        raise ArgumentError(
            f"unpad_sequence: expected a batch (N, T, ...) and N lengths, got {tuple(padded_sequences.shape)} and "
            f"{len(lengths)} lengths"
        )
    return [sequence[: int(length)] for sequence, length in zip(padded_sequences, lengths, strict=True)]


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing(
        "nn.utils.rnn", name, f"module 'dlcourse.nn.utils.rnn' has no attribute {name!r}", sys.modules[__name__]
    )
