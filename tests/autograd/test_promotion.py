"""Which type a result has: PyTorch's rules, in both orders of the operands."""

import enum

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse.autograd import Tensor, tensor
from dlcourse.backend import precision

KINDS = ["bool", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"]


@pytest.mark.parametrize("shape", [(2,), ()], ids=["axes", "no axes"])
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_types_of_sums_are_pytorchs(kind: str, other: str, shape: tuple) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    a, b = np.ones((2,), kind), np.ones(shape, other)
    expected = str((torch.tensor(a) + torch.tensor(b)).dtype).removeprefix("torch.")
    for result in (tensor(a) + tensor(b), tensor(a) + b, b + tensor(a), np.add(b, tensor(a)), F.maximum(b, tensor(a))):
        assert isinstance(result, Tensor) and result.dtype.name == expected


@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.int64(2)])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_beside_a_tensor_are_weak(kind: str, number: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    a = np.ones(2, kind)
    plain = number.item() if isinstance(number, np.generic) else number
    expected = str((torch.tensor(a) * plain).dtype).removeprefix("torch.")
    assert (tensor(a) * number).dtype.name == (number * tensor(a)).dtype.name == expected
    quotient = str((torch.tensor(a) / plain).dtype).removeprefix("torch.")
    assert (tensor(a) / number).dtype.name == quotient


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("whole", ["bool", "uint8", "int32", "int64", "uint64"])
def test_gradients_keep_the_type_beside_whole_numbers(kind: str, whole: str, device: str) -> None:
    x = tensor(np.array([1, 2], kind), requires_grad=True)
    other = tensor(np.array([1, 1], whole))
    for y in (x * other, other - x, x / other, x @ other, F.where(other, x, other), F.concatenate([x, other])):
        assert y.dtype == kind
        x.grad = None
        y.sum().backward()
        assert x.grad.dtype == kind


def test_a_wider_array_widens_and_its_gradient_comes_back_narrow(device: str) -> None:
    x = tensor(np.ones(2, "float32"), requires_grad=True)
    y = (x * 2) * tensor(np.ones(2, "float64"))
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_two_types_of_16_bits_meet_in_float32() -> None:
    pytest.importorskip("ml_dtypes")
    a, b = (tensor(np.ones(2, precision.dtype(name))) for name in ("fp16", "bf16"))
    assert (a + b).dtype == np.float32
    assert (b * tensor(np.ones(2, "int64"))).dtype == b.dtype


def test_whole_numbers_become_float32_where_the_result_has_a_fraction(device: str) -> None:
    whole = tensor(np.array([1, 2]))
    for y in (whole.exp(), whole.log(), whole.sqrt(), whole / 2, whole / whole, whole * 0.5, F.sigmoid(whole),
              F.softmax(whole), F.tanh(whole), F.softplus(whole), F.silu(whole), F.elu(whole)):  # fmt: skip
        assert y.dtype == np.float32
    assert (whole * [0.5, 1.5]).tolist() == [0.5, 3.0]
    assert (whole * 2).dtype == np.int64


def test_a_number_is_compared_in_the_tensors_type(device: str) -> None:
    assert (tensor([0.1]) == 0.1).tolist() == (tensor([0.1]) == np.float64(0.1)).tolist() == [True]


def test_a_number_of_a_subclass_is_a_number() -> None:
    class Level(enum.IntEnum):
        LOW = 2

    x = tensor(np.ones(4, "float32"))
    for number in (x.size, Level.LOW):
        assert {each.dtype for each in (x / number, number * x, x.sum() - number)} == {np.dtype("float32")}
