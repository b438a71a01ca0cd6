"""PyTorch's types and functions that make tensors: ``dl.float32``, ``dl.zeros``, ``dl.arange``, ``dl.randn``, ..."""

import math
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import promotion
from dlcourse.autograd.base import TensorBase, new
from dlcourse.autograd.creation import as_tensor, tensor
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend import random
from dlcourse.backend.precision import as_dtype
from dlcourse.errors import ArgumentError, ArgumentTypeError

# Those that Python has too end in _ here, and have no such end in dl.
# fmt: off
__all__ = [
    "arange", "bernoulli", "bool_", "double", "e", "empty", "empty_like", "eye", "float16", "float32", "float64",
    "float_", "from_dlpack", "from_numpy", "full", "full_like", "half", "inf", "int16", "int32", "int64", "int8",
    "int_", "linspace", "logspace", "long", "multinomial", "nan", "normal", "ones", "ones_like", "pi", "rand",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "scalar_tensor", "tril_indices",
    "triu_indices", "uint8", "zeros", "zeros_like",
]
# fmt: on

# --- types ------------------------------------------------------------------------------------------------------------

float16, float32, float64 = (np.dtype(f"float{bits}") for bits in (16, 32, 64))
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8 = np.dtype("uint8")
half, double, long = float16, float64, int64
bool_, int_, float_ = np.dtype("bool"), int32, float32
pi, inf, nan, e = math.pi, math.inf, math.nan, math.e

# --- new tensors ------------------------------------------------------------------------------------------------------


def _sizes(name: str, given: tuple) -> tuple[Any, ...]:
    """``zeros(2, 3)`` and ``zeros((2, 3))`` alike."""
    sizes = given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given
    for size in sizes:
        if not isinstance(size, int | np.integer) or isinstance(size, np.bool_) or size < 0:
            raise ArgumentTypeError(f"{name}: a length is a whole number of at least 0, got {size!r}")
    return tuple(map(int, sizes))


def _made(array: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
    return tensor(array, dtype=dtype, device=None if device is None else str(device), requires_grad=requires_grad)


def _full(sizes: tuple, value: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
    kind = as_dtype(promotion.DEFAULT_DTYPE if dtype is None else dtype)
    target = backend.current() if device is None else backend.get(str(device))
    made = new(target.xp.full(sizes, value, dtype=kind))
    return made.requires_grad_() if requires_grad else made


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of this shape, in float32 unless a type is given: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return _full(_sizes("zeros", size), 0, dtype, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of this shape, in float32 unless a type is given."""
    return _full(_sizes("ones", size), 1, dtype, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape; its elements are zeros, so that nothing depends on chance."""
    return _full(_sizes("empty", size), 0, dtype, device, requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One number in a shape; its type is the number's unless given: float32, int64 or bool."""
    shape_ = _sizes("full", (size,) if isinstance(size, int) else (tuple(size),))
    if dtype is None:
        dtype = "bool" if isinstance(fill_value, bool | np.bool_) else None
        dtype = "int64" if dtype is None and isinstance(fill_value, int | np.integer) else dtype
    return _full(shape_, fill_value, dtype, device, requires_grad)


def _like(x: TensorBase, value: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
    return _full(x.shape, value, x.dtype if dtype is None else dtype, x.device if device is None else device,
                 requires_grad)  # fmt: skip


def zeros_like(x: TensorBase, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of another tensor's shape, type and device."""
    return _like(x, 0, dtype, device, requires_grad)


def ones_like(x: TensorBase, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of another tensor's shape, type and device."""
    return _like(x, 1, dtype, device, requires_grad)


def full_like(x: TensorBase, fill_value: Any, *, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Tensor:  # fmt: skip
    """One number in another tensor's shape, type and device."""
    return _like(x, fill_value, dtype, device, requires_grad)


empty_like = zeros_like


def eye(n: Any, m: Any = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A matrix (n, m) with ones on its diagonal; square without m."""
    kind = promotion.DEFAULT_DTYPE if dtype is None else dtype
    return _made(np.eye(n, m, dtype=as_dtype(kind)), kind, device, requires_grad)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
           requires_grad: bool = False) -> Tensor:  # fmt: skip
    """start, start + step, ... below the end: int64 of whole numbers, else float32. One number alone is the end.

    Raises:
        ArgumentError: the step is 0, or leads away from the end.
    """
    start, end, step = map(_number, (0, start, step) if end is None else (start, end, step))
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"arange: no step of {step} leads from {start} to {end}")
    numbers = np.arange(start, end, step)
    kind = (np.int64 if numbers.dtype.kind in "iu" else promotion.DEFAULT_DTYPE) if dtype is None else dtype
    return _made(numbers, kind, device, requires_grad)


def linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """So many numbers at even distances, both ends included."""
    kind = promotion.DEFAULT_DTYPE if dtype is None else dtype
    return _made(np.linspace(_number(start), _number(end), steps), kind, device, requires_grad)


def logspace(start: Any, end: Any, steps: Any, base: float = 10.0, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``base`` to the power of so many numbers at even distances, both ends included."""
    kind = promotion.DEFAULT_DTYPE if dtype is None else dtype
    exponents = np.linspace(_number(start), _number(end), steps)
    return _made(np.power(float(base), exponents), kind, device, requires_grad)


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A number as a tensor without axes, in float32 unless a type is given."""
    return _full((), s, dtype, device, requires_grad)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = "int64", device: Any = None) -> Tensor:
    """The rows and columns (2, n) of the elements on and below a diagonal of a matrix (row, col)."""
    return _made(np.stack(np.tril_indices(row, offset, col)), dtype, device, False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = "int64", device: Any = None) -> Tensor:
    """The rows and columns (2, n) of the elements on and above a diagonal of a matrix (row, col)."""
    return _made(np.stack(np.triu_indices(row, offset, col)), dtype, device, False)


def _number(value: Any) -> Any:
    """A number, or the only element of a tensor."""
    if not isinstance(value, TensorBase):
        return value
    if value.data.size != 1:
        raise ArgumentTypeError(f"expected a number, got a tensor of shape {value.shape}")
    return value.data.item()


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares an array's memory (on the CPU), as ``as_tensor``."""
    if not isinstance(array, np.ndarray):
        raise ArgumentTypeError(f"from_numpy: expected a NumPy array, got a {type(array).__name__}")
    return as_tensor(array)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of an array of another library (PyTorch, JAX, CuPy, ...), in its own memory where it lies.

    The other way round such a library takes a tensor, as in ``torch.from_dlpack(x)``.

    Args:
        device: where the tensor is to lie; on another device than the array it is a copy.
        copy: True for a copy always, False for none ever, None for one where it has to be.
    Raises:
        ArgumentTypeError: it has no ``__dlpack__``.
        ArgumentError: it would have to be copied.
    Example:
        >>> array = np.zeros(2, "float32")
        >>> dl.from_dlpack(array).data[0] = 1
        >>> array.tolist()
        [1.0, 0.0]
    """
    found = Tensor(backend.from_dlpack(ext_tensor))
    if device is not None and (target := backend.get(str(device))) is not backend.of(found.data):
        if copy is False:
            raise ArgumentError(f"from_dlpack: from {found.device} to {target.name} it has to be copied: copy=None")
        return found.to(target.name)
    return found.clone() if copy else found


# --- at random, by dl.manual_seed -------------------------------------------------------------------------------------


def _drawn(numbers: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
    kind = promotion.DEFAULT_DTYPE if dtype is None else dtype
    return _made(numbers, kind, device, requires_grad)


def randn(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers."""
    drawn = random.next_generator("randn").standard_normal(_sizes("randn", size))
    return _drawn(drawn, dtype, device, requires_grad)


def rand(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers drawn evenly from 0..1."""
    return _drawn(random.next_generator("rand").uniform(size=_sizes("rand", size)), dtype, device, requires_grad)


def randint(low: Any, high: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Whole numbers from low (0 if left out) to below high: ``randint(10, (3,))`` or ``randint(0, 10, (3,))``."""
    if size is None:
        low, high, size = 0, low, high
    if not isinstance(size, tuple | list) or not low < high:
        raise ArgumentError(f"randint: expected low < high and a shape, got {low!r}, {high!r} and {size!r}")
    drawn = random.next_generator("randint").integers(low, high, _sizes("randint", (tuple(size),)))
    return _drawn(drawn, "int64" if dtype is None else dtype, device, False)


def randperm(n: Any, *, device: Any = None) -> Tensor:
    """The numbers 0..n-1 in random order."""
    return _drawn(random.next_generator("randperm").permutation(n), "int64", device, False)


def randn_like(x: TensorBase, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers of another tensor's shape, type and device."""
    return randn(x.shape, dtype=x.dtype if dtype is None else dtype, device=x.device, requires_grad=requires_grad)


def rand_like(x: TensorBase, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers from 0..1 of another tensor's shape, type and device."""
    return rand(x.shape, dtype=x.dtype if dtype is None else dtype, device=x.device, requires_grad=requires_grad)


def randint_like(x: TensorBase, low: Any, high: Any = None, *, dtype: Any = None) -> Tensor:
    """Whole numbers from low (0 if left out) to below high, of another tensor's shape, type and device."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, x.shape, dtype=x.dtype if dtype is None else dtype, device=x.device)


def normal(mean: Any, std: Any, size: Any = None) -> Tensor:
    """Normal numbers of a mean and a standard deviation, numbers or tensors; a shape where both are numbers."""
    center, spread = (backend.to_host(one.data) if isinstance(one, TensorBase) else one for one in (mean, std))
    shape_ = np.broadcast_shapes(np.shape(center), np.shape(spread)) if size is None else tuple(size)
    drawn = random.next_generator("normal").standard_normal(shape_)
    return _drawn(center + spread * drawn, None, None, False)


def bernoulli(probabilities: TensorBase) -> Tensor:
    """1 with each of these probabilities, else 0, in their type."""
    drawn = random.next_generator("bernoulli").uniform(size=probabilities.shape)
    return _drawn(drawn < backend.to_host(probabilities.data), probabilities.dtype, probabilities.device, False)


def multinomial(weights: TensorBase, num_samples: Any, replacement: bool = False) -> Tensor:
    """Indices drawn by weights (K,) or (N, K), which need not add up to 1: int64 (num_samples,) or (N, num_samples).

    Raises:
        ArgumentError: a weight is negative, or too few are above 0 to draw so many without replacement.
    """
    rows = np.atleast_2d(backend.to_host(weights.data)).astype(np.float64)
    if (rows < 0).any() or not np.isfinite(rows).all() or not rows.sum(axis=1).all():
        raise ArgumentError("multinomial: weights are at least 0, finite, and not all 0")
    if not replacement and ((rows > 0).sum(axis=1) < num_samples).any():
        raise ArgumentError(f"multinomial: {num_samples} draws without replacement need as many weights above 0")
    generator = random.next_generator("multinomial")
    drawn = [generator.choice(len(row), num_samples, bool(replacement), row / row.sum()) for row in rows]
    return _drawn(np.stack(drawn).reshape(*weights.shape[:-1], num_samples), "int64", weights.device, False)
