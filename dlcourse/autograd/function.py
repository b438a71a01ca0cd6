"""Function: the forward and the backward pass of an operation on raw arrays, side by side.

A function knows nothing of tensors or graphs; :func:`dlcourse.autograd.apply` does the bookkeeping.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.cast import astype
from dlcourse.backend.kernels.sums import sum_over
from dlcourse.backend.precision import is_half


class Function:
    """One differentiable operation y = f(x1, ..., xn), made anew for each call.

    A subclass takes its settings in ``__init__``, computes in :meth:`forward`, keeps on ``self`` what
    :meth:`backward` needs, and never modifies its inputs::

        class Exp(Function):
            \"\"\"y = e^x; dx = dy y.\"\"\"

            def forward(self, x):
                self.y = xp_of(x).exp(x)
                return self.y

            def backward(self, dout):
                return dout * self.y
    """

    runner: ClassVar[Callable[[type["Function"], tuple], Any]]
    """What :meth:`apply` does; the module of ``ctx``, which knows tensors, sets it."""

    needs_input_grad: tuple[bool, ...] = ()
    """Which inputs want a gradient; set before :meth:`forward`. All false where no graph is recorded."""

    grad_buffers: tuple[Array | None, ...] = ()
    """Where an input's gradient may be written in place, set before :meth:`backward`: the slot in the flat gradient
    buffer that belongs to a parameter which has received nothing yet. Writing there and returning that very array
    saves a copy; ignoring it is always right."""

    compute_in_float32: bool = False
    """Whether inputs of 16 bits come as float32, and what is returned is rounded to theirs: for what takes several
    operations one after another, each of which would round. Kernels do so by themselves."""

    fractional: bool = False
    """Whether whole numbers and booleans come as float32: for what has no whole results, as e^x."""

    refuses_whole: bool = False
    """Whether whole numbers and booleans are an error: for layers, whose weights have a fraction."""

    is_loss: bool = False
    """Whether :meth:`backward` takes None for the gradient 1 with which a pass starts. A loss says so: it hands its own
    gradient on as it is; no 1 is made or multiplied by, which on a GPU are two kernels in every step."""

    adds_gradients: bool = False
    """Whether the gradients of an output that was used several times come to :meth:`backward` as a tuple, one from each
    use: it adds them up in its own pass."""

    adds_earlier_grad: bool = False
    """Whether :meth:`backward` adds :attr:`earlier_grad` to its first input's gradient, in its own pass."""

    earlier_grad: Array | None = None
    """What has come to the first input from its other uses, set before :meth:`backward` where that adds it."""

    elementwise: bool = False
    """Whether each element of the value depends on the inputs' elements at its place alone, broadcast as NumPy does:
    then :mod:`.replicas` takes it to many replicas as it is."""

    view: bool = False
    """Whether the value may be a view of the first input's memory, so that a change of the one is one of the other."""

    def forward(self, *inputs: Any) -> Any:
        """The value, an array or a tuple of arrays. Inputs are arrays or Python numbers."""
        raise NotImplementedError

    def backward(self, *douts: Any) -> Any:
        """The gradients of the inputs (one, or a tuple), given those of the outputs.

        Where there are several outputs, those that are not used come as None. An input that needs no gradient may get
        None.
        """
        raise NotImplementedError

    @classmethod
    def apply(cls, *inputs: Any) -> Any:
        """Run the operation: ``Exp.apply(x)``, as ``dl.apply(Exp(), x)``.

        One whose ``forward`` and ``backward`` are static, as in PyTorch, computes with tensors and gets a ``ctx``::

            class Exp(dl.Function):
                @staticmethod
                def forward(ctx, x):
                    y = x.exp()
                    ctx.save_for_backward(y)
                    return y

                @staticmethod
                def backward(ctx, grad_output):
                    (y,) = ctx.saved_tensors
                    return grad_output * y
        """
        return Function.runner(cls, inputs)

    def wants_grad(self) -> bool:
        """Whether any input wants a gradient, that is, whether backward can follow."""
        return any(self.needs_input_grad)


class WithoutGradient(Function):
    """y = f(x, ...) that has no gradient, as a comparison or the place of the largest element: what an observer is told
    of one call, which :func:`dlcourse.autograd.base.without_gradient` has made.

    Args:
        name: of the operation, that of the tensor's method.
        settings: what is no array, by name.
    """

    def __init__(self, name: str, settings: dict[str, Any]):
        self.name, self.settings = name, settings


def name_of(function: Function) -> str:
    """The operation's name in an error message: its own, or its class's without the word Function."""
    inner = getattr(function, "function", function)
    return getattr(inner, "name", None) or type(inner).__name__.removesuffix("Function")


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of that shape was broadcast."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, size in enumerate(shape) if size == 1 and grad.shape[i + extra] != 1
    )
    return sum_over(grad, axes).reshape(shape)


class InFloat32(Function):
    """A function on inputs of 16 bits that computes in float32, see :attr:`Function.compute_in_float32`."""

    def __init__(self, function: Function, half: Any):
        self.function, self.half = function, half
        self.fractional, self.refuses_whole = function.fractional, function.refuses_whole

    def forward(self, *inputs: Any) -> Any:
        self.function.needs_input_grad = self.needs_input_grad
        self.types = [getattr(x, "dtype", None) for x in inputs]
        return cast_to(self.function.forward(*(cast_to(x, np.float32) for x in inputs)), self.half)

    def backward(self, *douts: Any) -> Any:
        dins = self.function.backward(*(cast_to(dout, np.float32) for dout in douts))
        several = dins if isinstance(dins, tuple) else (dins,)
        narrowed = tuple(
            astype(din, kind) if hasattr(din, "dtype") else din for din, kind in zip(several, self.types, strict=True)
        )
        return narrowed if isinstance(dins, tuple) else narrowed[0]


def cast_to(value: Any, kind: Any) -> Any:
    """An array of float32 or 16 bits, or a tuple of such, as that type; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(cast_to(one, kind) for one in value)
    wanted = hasattr(value, "dtype") and (is_half(value.dtype) or value.dtype == np.float32)
    return astype(value, kind) if wanted else value


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array, () for a Python number."""
    return getattr(x, "shape", ())


def xp_of(*inputs: Any) -> Any:
    """The array library of the first input that is an array."""
    for x in inputs:
        if hasattr(x, "dtype"):
            return array_module(x)
    raise TypeError("an operation needs at least one array")
