"""``nn.utils``: gradients clipped and parameters as a vector, by PyTorch's names."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn, optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")


@pytest.mark.parametrize("held", ["apart", "one", "optimizer"])
@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_"])
def test_gradients_are_clipped_as_pytorchs(name: str, held: str, device: str) -> None:
    grads = [np.array([[3.0, -0.5], [0.25, 4.0]]), np.array([0.5, -2.0])]
    ours, theirs = (
        [nn.Parameter(np.zeros_like(g)) for g in grads],
        [torch.nn.Parameter(torch.zeros(g.shape)) for g in grads],
    )
    optimizer = optim.SGD(ours, lr=0.1) if held == "optimizer" else None
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = g, torch.tensor(g, dtype=torch.float32)
    chosen = (ours[0], theirs[0]) if held == "one" else (ours, theirs)
    found, expected = getattr(nn.utils, name)(chosen[0], 1.0), getattr(torch.nn.utils, name)(chosen[1], 1.0)
    assert found is expected is None or found.item() == pytest.approx(expected.item())
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)
    assert getattr(optim, name) is getattr(nn.utils, name) and (optimizer is None or optimizer.flat.parameters)


def test_other_norms_are_refused() -> None:
    layer = nn.Linear(2, 1)
    assert nn.utils.clip_grad_norm_(layer.parameters(), 1.0, norm_type=2).item() == 0
    for call in (
        lambda: nn.utils.clip_grad_norm_(layer.parameters(), 1.0, norm_type=1.0),
        lambda: nn.utils.clip_grad_norm_(layer.parameters(), 1.0, float("inf")),
        lambda: nn.utils.clip_grad_norm_([], 1.0),
        lambda: nn.utils.clip_grad_norm_(layer.parameters(), 0),
        lambda: nn.utils.clip_grad_value_(layer.parameters(), -1),
    ):
        with pytest.raises(ValueError, match="norm_type is 2|at least one parameter|above 0"):
            call()


def test_parameters_go_into_a_vector_and_back(device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(model.parameters())
    expected = np.concatenate([p.numpy().ravel() for p in model.parameters()])
    np.testing.assert_array_equal(vector.numpy(), expected)
    (vector * vector).sum().backward()
    np.testing.assert_allclose(model[0].weight.grad.numpy(), 2 * model[0].weight.numpy())
    step = dl.optim.SGD(model.parameters(), lr=0.1)
    nn.utils.vector_to_parameters(vector * 2, model.parameters())
    np.testing.assert_array_equal(nn.utils.parameters_to_vector(model.parameters()).numpy(), 2 * expected)
    np.testing.assert_array_equal(step.flat.data if device == "cpu" else 2 * expected, 2 * expected)
    half = nn.Linear(2, 1).to(dtype="bfloat16")
    nn.utils.vector_to_parameters(dl.ones(3) / 3, half.parameters())
    assert half.weight.master[0, 0] == np.float32(1 / 3)
