"""Arrays to and from other libraries in one memory: DLPack, NumPy's and CUDA's array protocols."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn
from dlcourse.errors import ArgumentTypeError, DeviceError


def test_numpy_and_dlpack_share_memory() -> None:
    array = np.arange(4, dtype="float32")
    x = dl.from_dlpack(array)
    again, seen = np.from_dlpack(x), np.asarray(x)
    x.data[1] = 9
    assert array[1] == again[1] == seen[1] == 9
    assert x.__dlpack_device__() == (1, 0) and not hasattr(x, "__cuda_array_interface__")
    copied = dl.from_dlpack(array, copy=True)
    copied.data[0] = 5
    assert array[0] == 0
    assert dl.from_dlpack(array, device="cpu", copy=False).data is not None
    strided = np.arange(6.0)[::2]
    assert dl.from_dlpack(strided).tolist() == [0, 2, 4] and np.shares_memory(dl.from_dlpack(strided).data, strided)


def test_pytorch_shares_memory_both_ways() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    x = dl.tensor([[1.0, 2.0], [3.0, 4.0]])
    theirs = torch.from_dlpack(x)
    theirs[0, 0] = 7
    assert x.tolist() == [[7, 2], [3, 4]] and torch.asarray(x).data_ptr() == theirs.data_ptr()
    back = dl.from_dlpack(theirs.T)
    back.data[0, 1] = 8
    assert x.tolist() == [[7, 2], [8, 4]] and back.shape == (2, 2)
    for kind in (torch.int64, torch.uint8, torch.float64, torch.float16, torch.bool):
        assert dl.from_dlpack(torch.ones(2, dtype=kind)).dtype == str(kind).removeprefix("torch.")


def test_operations_and_arrays_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    x = torch.randn(3, 2)
    with pytest.raises(ArgumentTypeError, match=r"linear: got a torch.Tensor; dl.from_dlpack\(x\) makes a tensor"):
        nn.Linear(2, 4)(x)
    assert type(dl.as_tensor(x).data) is np.ndarray and np.shares_memory(dl.as_tensor(x).data, x.numpy())
    assert nn.Embedding(5, 2)(torch.tensor([1, 2])).shape == (2, 2)
    assert (dl.ones(3, 2) + x).shape == (3, 2)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: dl.from_dlpack([1.0]), ArgumentTypeError, "has __dlpack__, got a list"),
        (lambda: np.from_dlpack(dl.ones(2, requires_grad=True)), RuntimeError, r"lost: take .detach\(\)"),
        (lambda: np.asarray(dl.ones(2, requires_grad=True)), RuntimeError, r"take .detach\(\).numpy\(\)"),
        (lambda: dl.from_dlpack(np.array(["a"])), BufferError, "DLPack"),
        (lambda: dl.from_dlpack(Elsewhere()), DeviceError, "DLPack's kind 8, which is neither a CPU nor CUDA"),
    ],
)
def test_what_cannot_be_is_said(call: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        call()


class Elsewhere:
    """An array on a device that is neither."""

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("not to be asked for")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 8, 0
