"""Operations of one's own by Function.apply, in PyTorch's form and in the other."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.autograd.function import xp_of


class Clipped(dl.Function):
    """y = min(x, limit) w; the gradient goes to x where it is below."""

    @staticmethod
    def forward(ctx: Any, x: dl.Tensor, w: dl.Tensor, limit: float = 1.0, name: str = "") -> dl.Tensor:
        ctx.save_for_backward(x, w)
        ctx.limit = limit
        return x.clamp(max=limit) * w

    @staticmethod
    def backward(ctx: Any, grad_output: dl.Tensor) -> tuple:
        x, w = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, w.size == 2, False, False)
        return grad_output * w * (x < ctx.limit), (grad_output * x.clamp(max=ctx.limit)), None, None


class Double(dl.Function):
    """y = 2 x."""

    def forward(self, x: Any) -> Any:
        return xp_of(x).multiply(x, 2)

    def backward(self, dout: Any) -> Any:
        return 2 * dout


def test_an_operation_as_pytorchs_and_one_of_arrays(device: str) -> None:
    x, w = (dl.tensor(values, requires_grad=True) for values in ([0.5, 2.0], [3.0, 4.0]))
    y = Clipped.apply(Double.apply(x), w, 1.5, "a name")
    assert y.tolist() == [3, 6]
    y.sum().backward()
    assert x.grad.tolist() == [6, 0] and w.grad.tolist() == [1, 1.5]
    with dl.no_grad():
        assert not Clipped.apply(x, w).requires_grad


def test_what_was_saved_is_not_changed() -> None:
    x, w = dl.tensor([0.5, 2.0], requires_grad=True), dl.ones(2)
    y = Clipped.apply(x, w, 1.5, "")
    w[0] = 7.0
    with pytest.raises(RuntimeError, match="an input of Clipped of shape .* was changed in place"):
        y.sum().backward()


def test_what_is_wrong_is_said() -> None:
    class Half(dl.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x / 2

    class Short(Half):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x / 2

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad / 2

    x = dl.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="both static methods"):
        Half.apply(x)
    with pytest.raises(RuntimeError, match="returned 1 gradients for 2 inputs"):
        Short.apply(x, 3).sum().backward()


def test_one_whole_number_is_an_index() -> None:
    assert [10, 20, 30][dl.tensor(1)] == 20 and list(range(dl.tensor([2])[0])) == [0, 1]
    assert np.zeros((2, 3))[dl.tensor(1)].shape == (3,)
    for wrong in (dl.tensor(1.0), dl.tensor([0, 1])):
        with pytest.raises(TypeError, match="one whole number"):
            [1, 2][wrong]
