"""The affine map, and joining tensors."""

from collections.abc import Sequence
from typing import Any

from dlcourse.autograd import Function, Tensor, apply, axes
from dlcourse.autograd import shape as shapes
from dlcourse.autograd.creation import of_one_type
from dlcourse.autograd.replicas import ReplicaArray, Rule
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels.activation import relu, relu_grad
from dlcourse.backend.kernels.replicas import product_each
from dlcourse.errors import ShapeError

__all__ = ["concatenate", "linear", "stack", "unbind"]


class LinearRule(Rule):
    """:class:`Linear` and :class:`LinearReLU` of replicas: one product of batches, or of one batch and all weights."""

    def forward(self, x: Any, weight: Any, *bias: Any) -> Any:
        if not all(isinstance(each, ReplicaArray) for each in (weight, *bias)):
            return NotImplemented
        inner, replicas = x.shape[-1], isinstance(x, ReplicaArray)
        self.weight = weight.values  # (R, O, I)
        self.rows = x.values.reshape(len(x.values), -1, inner) if replicas else x.reshape(1, -1, inner)  # (R, M, I)
        y = product_each(self.rows, self.weight.transpose(0, 2, 1), None)
        if bias:
            y += bias[0].values[:, None]
        self.y = relu(y) if isinstance(self.function, LinearReLU) else None
        return (y if self.y is None else self.y).reshape(len(y), *x.shape[:-1], y.shape[-1])

    def backward(self, dout: Array) -> tuple:
        needs, (_, weight, *bias) = self.needs_input_grad, self.grad_buffers
        dy = dout.reshape(len(dout), -1, dout.shape[-1])  # (R, M, O)
        dy = dy if self.y is None else relu_grad(dy, self.y)
        dx = product_each(dy, self.weight, None).reshape(*dout.shape[:-1], -1) if needs[0] else None
        dweight = product_each(dy.transpose(0, 2, 1), self.rows, weight) if needs[1] else None
        dbias = [dy.sum(axis=1, out=out) if need else None for out, need in zip(bias, needs[2:], strict=True)]
        return dx, dweight, *dbias


class Linear(Function):
    """y = x W^T + b; dx = dy W, dW = dy^T x, db = sum dy over all axes but the last.

    Shapes: x (..., in), W (out, in), b (out,), y (..., out). (Lecture 4.)
    """

    refuses_whole = True
    replica_rule = LinearRule

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        if weight.ndim != 2 or any(b.shape != weight.shape[:1] for b in bias):
            shapes = ", ".join(str(array.shape) for array in (weight, *bias))
            raise ShapeError(f"linear: expected weight (out, in) and bias (out,), got {shapes}")
        if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
            raise ShapeError(f"linear: expected x of shape (..., {weight.shape[1]}), got {x.shape}")
        self.rows = x.reshape(-1, x.shape[-1])  # (M, in)
        self.weight = weight if self.needs_input_grad[0] else None  # no more than the gradients need
        return self.value(weight, bias).reshape(*x.shape[:-1], len(weight))

    def value(self, weight: Array, bias: tuple[Array, ...]) -> Array:
        """y (M, out)."""
        return kernels.affine(self.rows, weight, bias[0] if bias else None)

    def backward(self, dout: Array) -> tuple:
        dy, needs = dout.reshape(-1, dout.shape[-1]), self.needs_input_grad  # (M, out)
        if needs[1:] == (True, True):
            dweight, dbias = kernels.weight_and_bias_grad(dy, self.rows, self.grad_buffers[1:])
            return self.input_grad(dy, dout.shape), dweight, dbias
        dbias = kernels.column_sums(dy, self.grad_buffers[2]) if needs[2:] == (True,) else None
        return (self.input_grad(dy, dout.shape), self.weight_grad(dy), dbias)[: len(needs)]

    def input_grad(self, dy: Array, shape: tuple) -> Array | None:
        if not self.needs_input_grad[0]:
            return None
        return kernels.product(dy, self.weight, None).reshape(*shape[:-1], self.rows.shape[1])

    def weight_grad(self, dy: Array) -> Array | None:
        return kernels.product(dy.T, self.rows, self.grad_buffers[1]) if self.needs_input_grad[1] else None


class LinearReLU(Linear):
    """y = max(x W^T + b, 0) in one pass; the gradients are :class:`Linear`'s for dz = dy where y > 0, else 0."""

    replica_rule = LinearRule

    def value(self, weight: Array, bias: tuple[Array, ...]) -> Array:
        self.y = kernels.affine_relu(self.rows, weight, *bias)
        return self.y

    def backward(self, dout: Array) -> tuple:
        dz, dbias = kernels.relu_bias_grad(dout.reshape(self.y.shape), self.y, self.grad_buffers[2])
        return self.input_grad(dz, dout.shape), self.weight_grad(dz), dbias


class LinearGELU(Linear):
    """y = GELU(z) in its tanh form, z = x W^T + b, in one pass; the gradients are :class:`Linear`'s for
    dz = dy GELU'(z), see :class:`~dlcourse.nn.activation.GELUTanhFunction`.
    """

    def value(self, weight: Array, bias: tuple[Array, ...]) -> Array:
        y, self.z = kernels.affine_gelu_tanh(self.rows, weight, *bias)
        return y

    def backward(self, dout: Array) -> tuple:
        dz, dbias = kernels.gelu_tanh_bias_grad(dout.reshape(self.z.shape), self.z, self.grad_buffers[2])
        return self.input_grad(dz, dout.shape), self.weight_grad(dz), dbias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis, as ``torch.nn.functional.linear``: x (..., in), weight (out, in), bias (out,)."""
    return apply(Linear(), x, weight) if bias is None else apply(Linear(), x, weight, bias)


def linear_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """max(x W^T + b, 0) in one pass: what ``relu(linear(x, weight, bias))`` gives."""
    return apply(LinearReLU(), x, weight, bias)


def linear_gelu_tanh(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """GELU of x W^T + b in its tanh form, in one pass: what ``gelu(linear(x, weight, bias), "tanh")`` gives."""
    return apply(LinearGELU(), x, weight, bias)


def concatenate(tensors: Sequence[Any], axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """The tensors joined along an axis that they have, the first if left out; of different types in the wider one.

    Raises:
        AxisError: the axis is not there.
        ArgumentTypeError: one is no tensor.
        ShapeError: the tensors differ along another axis.
    """
    alike = of_one_type("concatenate", tensors)
    axis = 0 if axis is None and dim is None else axis
    return apply(shapes.Concatenate(axes.single("concatenate", alike[0].shape, axis, dim)), *alike)


def stack(tensors: Sequence[Any], axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """The tensors, all of one shape, joined along a new axis, the first if left out.

    Raises:
        AxisError: the axis is not there.
        ShapeError: the shapes differ.
    """
    alike = of_one_type("stack", tensors)
    axis = 0 if axis is None and dim is None else axis
    return apply(shapes.Stack(axes.single("stack", (1, *alike[0].shape), axis, dim)), *alike)


def unbind(x: Tensor, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis, which goes; cheaper backward than indexing one after another.

    Raises:
        ShapeError: x has no such axis, or nothing along it.
    """
    if not x.ndim:
        raise ShapeError(f"unbind: expected x with an axis, got shape {x.shape}")
    position = axes.single("unbind", x.shape, axis)
    if not x.shape[position]:
        raise ShapeError(f"unbind: expected something along axis {axis}, got shape {x.shape}")
    if position:
        x = x.transpose((position, *(other for other in range(x.ndim) if other != position)))
    return apply(shapes.Unbind(), x)
