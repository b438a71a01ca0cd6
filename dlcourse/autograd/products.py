"""PyTorch's products of several tensors: ``dl.einsum``, ``dl.tensordot``, ``dl.kron``, ``dl.cdist``."""

import math
import string
from collections.abc import Callable
from typing import Any

from dlcourse.autograd import axes
from dlcourse.autograd.base import apply
from dlcourse.autograd.creation import of_one_type, paired_tensors
from dlcourse.autograd.function import Function, xp_of
from dlcourse.autograd.joining import broadcast_shapes
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.linear import matmul
from dlcourse.errors import ArgumentError, ShapeError

# fmt: off
__all__ = [
    "cdist", "einsum", "kron", "tensordot",
]
# fmt: on


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products by Einstein's convention: ``einsum("ij,jk->ik", a, b)`` is the product of two matrices.

    A letter names an axis. Elements of one letter are multiplied, and summed over it where the result does not name it.
    Without ``->`` the result has the letters that come once, in alphabetical order. ``...`` stands for further axes,
    which broadcast. The operands are joined from left to right, each time by one matrix product.

    Raises:
        ArgumentError: the equation cannot be read.
        ShapeError: it does not go with the operands.
    Example:
        >>> a, b = dl.ones(2, 3), dl.ones(3, 4)
        >>> dl.einsum("ij,jk->ik", a, b).shape
        (2, 4)
    """
    given = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    tensors = of_one_type("einsum", given)
    inputs, result = _read(equation, [one.ndim for one in tensors])
    _check_lengths(equation, inputs, tensors)
    pairs = [_without_repeats(letters, one) for letters, one in zip(inputs, tensors, strict=True)]
    letters, product = pairs[0]
    for i, (more, other) in enumerate(pairs[1:], 2):
        wanted = set(result).union(*(left for left, _ in pairs[i:]))
        letters, product = _joined(letters, product, more, other, wanted)
    letters, product = _summed(letters, product, set(result))
    return _ordered(letters, product, result)


def _read(equation: str, counts: list[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, those of ``...`` among them.

    Raises:
        ArgumentError: the equation cannot be read.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(counts):
        raise ArgumentError(f"einsum: {equation!r} names {len(parts)} operands, got {len(counts)}")
    spare = [letter for letter in string.ascii_letters if letter not in equation][::-1]
    extra = {part: count - len(part.replace("...", "")) for part, count in zip(parts, counts, strict=True)}
    for part, count in zip(parts, counts, strict=True):
        missing = count - len(part.replace("...", ""))
        if not part.replace("...", "", 1).replace("...", "").isalpha() and part.replace("...", ""):
            raise ArgumentError(f"einsum: {part!r} of {equation!r} holds other signs than letters and one ...")
        if missing < 0 or (missing and "..." not in part):
            raise ArgumentError(f"einsum: {part!r} of {equation!r} does not name the {count} axes of its operand")
    widest = max((n for part, n in extra.items() if "..." in part), default=0)
    further = "".join(spare[:widest])
    inputs = [
        part.replace("...", further[widest - (count - len(part.replace("...", ""))) :] if "..." in part else "")
        for part, count in zip(parts, counts, strict=True)
    ]
    if not arrow:
        once = sorted(letter for letter in set("".join(parts)) - {"."} if "".join(parts).count(letter) == 1)
        return inputs, further + "".join(once)
    result = right.replace("...", further)
    if len(set(result)) < len(result) or not set(result) <= set("".join(inputs)):
        raise ArgumentError(f"einsum: the result of {equation!r} names each of its axes once, all of them given before")
    return inputs, result


def _check_lengths(equation: str, inputs: list[str], tensors: list[Tensor]) -> None:
    """Raises ShapeError where a letter stands for two lengths, neither 1."""
    lengths: dict[str, int] = {}
    for letters, one in zip(inputs, tensors, strict=True):
        for letter, length in zip(letters, one.shape, strict=True):
            before = lengths.setdefault(letter, length)
            if 1 not in (before, length) and before != length:
                shapes = ", ".join(str(each.shape) for each in tensors)
                raise ShapeError(f"einsum: {letter!r} of {equation!r} is {before} and {length} long, in {shapes}")
            lengths[letter] = max(before, length) if before and length else 0


def _without_repeats(letters: str, x: Tensor) -> tuple[str, Tensor]:
    """A letter that an operand has twice names its diagonal."""
    for letter in letters:
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.rindex(letter)
            x = x.diagonal(0, first, second)
            rest = "".join(each for i, each in enumerate(letters) if i not in (first, second))
            letters = rest + letter
    return letters, x


def _summed(letters: str, x: Tensor, wanted: set[str]) -> tuple[str, Tensor]:
    over = tuple(i for i, letter in enumerate(letters) if letter not in wanted)
    return "".join(letter for letter in letters if letter in wanted), (x.sum(over) if over else x)


def _ordered(letters: str, x: Tensor, wanted: str) -> Tensor:
    return x.permute(tuple(letters.index(letter) for letter in wanted)) if letters != wanted else x


def _joined(a_letters: str, a: Tensor, b_letters: str, b: Tensor, wanted: set[str]) -> tuple[str, Tensor]:
    """The product of two, summed over the letters that nothing else wants, by one product of stacks of matrices."""
    a_letters, a = _summed(a_letters, a, wanted | set(b_letters))
    b_letters, b = _summed(b_letters, b, wanted | set(a_letters))
    shared = [letter for letter in a_letters if letter in b_letters]
    sizes = dict(zip(b_letters, b.shape, strict=True)) | {
        letter: n for letter, n in zip(a_letters, a.shape, strict=True) if n != 1 or letter not in b_letters
    }
    stacked = "".join(letter for letter in shared if letter in wanted)
    summed = "".join(letter for letter in shared if letter not in wanted)
    rows = "".join(letter for letter in a_letters if letter not in shared)
    columns = "".join(letter for letter in b_letters if letter not in shared)

    def length(letters: str) -> int:
        return math.prod(sizes[letter] for letter in letters)

    def matrices(letters: str, x: Tensor, order: str, shape: tuple[int, ...]) -> Tensor:
        x = _ordered(letters, x, order)
        wide = tuple(sizes[letter] for letter in order)
        return (x if x.shape == wide else x.expand(wide)).reshape(shape)

    left = matrices(a_letters, a, stacked + rows + summed, (length(stacked), length(rows), length(summed)))
    right = matrices(b_letters, b, stacked + summed + columns, (length(stacked), length(summed), length(columns)))
    letters = stacked + rows + columns
    product = left * right if not summed and not rows and not columns else left @ right
    return letters, product.reshape(tuple(sizes[letter] for letter in letters))


def tensordot(a: Any, b: Any, dims: Any = 2) -> Tensor:
    """The product, summed over the last ``dims`` axes of a and the first of b; or over the axes in two lists.

    Raises:
        ShapeError: these axes do not have the same lengths.
    """
    a, b = paired_tensors(a, b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot: {dims} axes are not there in both of {a.shape} and {b.shape}")
        dims = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    dims = dims.tolist() if hasattr(dims, "tolist") else dims
    lists = [[each] if isinstance(each, int) else list(each) for each in dims]
    first, second = (
        [axes.single("tensordot", x.shape, one) for one in each] for x, each in zip((a, b), lists, strict=True)
    )
    for i, j in zip(first, second, strict=False):  # one of length 1 is broadcast
        a = a.sum(i, keepdims=True) if b.shape[j] == 1 and a.shape[i] != 1 else a
        b = b.sum(j, keepdims=True) if a.shape[i] == 1 and b.shape[j] != 1 else b
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise ShapeError(f"tensordot: axes {first} of {a.shape} and {second} of {b.shape} have different lengths")
    remaining = [i for i in range(a.ndim) if i not in first], [i for i in range(b.ndim) if i not in second]
    inner = math.prod(a.shape[i] for i in first)
    left = a.permute((*remaining[0], *first)).reshape(math.prod(a.shape[i] for i in remaining[0]), inner)
    right = b.permute((*second, *remaining[1])).reshape(inner, math.prod(b.shape[i] for i in remaining[1]))
    return (left @ right).reshape((*(a.shape[i] for i in remaining[0]), *(b.shape[i] for i in remaining[1])))


def kron(a: Any, b: Any) -> Tensor:
    """Kronecker's product: a's elements, each times the whole of b."""
    a, b = paired_tensors(a, b)
    count = max(a.ndim, b.ndim)
    first, second = ((1,) * (count - x.ndim) + x.shape for x in (a, b))
    apart = a.reshape(tuple(n for size in first for n in (size, 1))) * b.reshape(
        tuple(n for size in second for n in (1, size))
    )
    return apart.reshape(tuple(n * m for n, m in zip(first, second, strict=True)))


class EuclideanDistances(Function):
    """d_ij = |a_i - b_j| of rows, from |a|^2 + |b|^2 - 2 a b^T; da_i = sum_j w_ij (a_i - b_j) with w = dy / d, 0 where
    d = 0, and db_j = sum_i w_ij (b_j - a_i).

    Shapes: a (..., N, D), b (..., M, D), d (..., N, M).
    """

    compute_in_float32 = True
    fractional = True

    def forward(self, a: Array, b: Array) -> Array:
        squares = (a * a).sum(-1)[..., :, None] + (b * b).sum(-1)[..., None, :] - 2 * matmul(a, b.swapaxes(-1, -2))
        self.a, self.b, self.d = a, b, xp_of(a).sqrt(xp_of(a).maximum(squares, 0))
        return self.d

    def backward(self, dout: Array) -> tuple:
        xp = xp_of(dout)
        weights = xp.where(self.d == 0, 0, dout / xp.where(self.d == 0, 1, self.d)).astype(dout.dtype)
        turned = weights.swapaxes(-1, -2)
        da = self.a * weights.sum(-1)[..., None] - matmul(weights, self.b)
        return da, self.b * turned.sum(-1)[..., None] - matmul(turned, self.a)


_MODES: dict[str | None, Callable[[int], bool]] = {
    "use_mm_for_euclid_dist_if_necessary": lambda rows: rows > 25,
    "use_mm_for_euclid_dist": lambda rows: True,
    "donot_use_mm_for_euclid_dist": lambda rows: False,
    None: lambda rows: rows > 25,
}


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm of the difference of each row of x1 (..., N, D) and each of x2 (..., M, D): (..., N, M).

    Args:
        compute_mode: whether the Euclidean ones come from a matrix product, which is fast and has fewer digits where
            two rows are near each other: where there are more than 25 rows, always ("use_mm_for_euclid_dist") or never
            ("donot_use_mm_for_euclid_dist").
    Raises:
        ShapeError: the rows have different lengths.
        ArgumentError: p is negative, or the mode is none of these.
    """
    a, b = paired_tensors(x1, x2)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"cdist: expected rows of one length, got {a.shape} and {b.shape}")
    if p < 0:
        raise ArgumentError(f"cdist: expected p of at least 0, got {p}")
    if compute_mode not in _MODES:
        raise ArgumentError(f"cdist: compute_mode is one of {', '.join(filter(None, _MODES))}, got {compute_mode!r}")
    if p == 2 and _MODES[compute_mode](max(a.shape[-2], b.shape[-2])):
        lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (x.expand(*lead, *x.shape[-2:]) for x in (a, b))
        return apply(EuclideanDistances(), a, b)
    return (a.unsqueeze(-2) - b.unsqueeze(-3)).norm(p, dim=-1)
