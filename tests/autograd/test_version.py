"""What was saved for backward and changed in place since is an error, where PyTorch has one; nothing else is."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.autograd import Function, Parameter, apply

CHANGED = "changed in place, by {}.*, after the forward pass"
X = np.random.default_rng(0).normal(size=(4, 3)).astype("f")


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


CHANGES = {
    "step": (lambda m, opt: opt.step(), "an optimizer's step"),
    "load": (lambda m, opt: m.load_state_dict(m.state_dict()), "a state that was loaded"),
    "assign": (lambda m, opt: setattr(m[2].weight, "data", np.zeros((2, 5), "f")), "values that were assigned"),
    "copy": (lambda m, opt: dl.no_grad()(m[2].weight.copy_)(0.5), "copy_"),
    "minus": (lambda m, opt: dl.no_grad()(m[2].weight.__isub__)(0.5), "-="),
    "average": (lambda m, opt: dl.TrainStep(m, F.mse_loss, opt, ema=0.5).averaged().__enter__(), "an average"),
    "train step": (lambda m, opt: dl.TrainStep(m, F.mse_loss, opt)(X, X[:, :2]), "an optimizer's step"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_backward_after_a_weight_was_changed_says_what_changed_it(change: str) -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = model(dl.tensor(X)).sum()
    loss.backward(retain_graph=True)
    act, what = CHANGES[change]
    act(model, optimizer)
    with pytest.raises(RuntimeError, match=CHANGED.format(f".*{what}")):
        loss.backward()
    model.zero_grad()
    model(dl.tensor(X)).sum().backward()  # a new graph is fine


FORWARDS = {
    "linear": lambda x, w: F.linear(x, w),
    "transposed view": lambda x, w: x @ w.T,
    "reshaped view": lambda x, w: (x * w.reshape(-1)[:3]).exp(),
    "slice": lambda x, w: x * w[0],
    "detached": lambda x, w: x * w.detach()[0],
    "product": lambda x, w: x * w[:1],
    "quotient": lambda x, w: x / w[:1],
    "power": lambda x, w: w**2 + x.sum(),
    "sum": lambda x, w: x + w[0],
    "copied first": lambda x, w: x * (w[0] * 1.0),
    "exp": lambda x, w: w.exp() * x[:1, 0],
    "matmul": lambda x, w: w @ x.T,
}


@pytest.mark.parametrize("wanted", ["x", "w", "both"])
@pytest.mark.parametrize("name", FORWARDS)
def test_an_error_comes_where_pytorch_has_one_and_else_the_same_gradient(name: str, wanted: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    start = np.random.default_rng(1).uniform(1, 2, (2, 3)).astype("f")
    w, q = Parameter(start), torch.nn.Parameter(torch.tensor(start))
    x, z = dl.tensor(X), torch.tensor(X)
    x.requires_grad = z.requires_grad = wanted != "w"
    w.requires_grad = q.requires_grad = wanted != "x"
    forward = FORWARDS[name]
    loss = forward(x, w).sum()
    peer = (torch.nn.functional.linear(z, q) if name == "linear" else forward(z, q)).sum()
    if not peer.requires_grad:
        return
    with dl.no_grad():
        w -= 0.5
    with torch.no_grad():
        q -= 0.5
    try:
        peer.backward()
    except RuntimeError:
        with pytest.raises(RuntimeError, match=CHANGED.format("-=")):
            loss.backward()
        return
    loss.backward()
    for ours, theirs in ((x, z), (w, q)):
        if theirs.grad is not None:
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5)


def test_a_gans_steps_in_the_wrong_order_are_an_error() -> None:
    generator, critic = nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    first, second = optim.Adam(generator.parameters()), optim.Adam(critic.parameters())
    for wrong in (False, True):
        fake = generator(dl.tensor(X[:, :2]))
        judged = critic(fake).mean()
        loss = (critic(fake.detach()) ** 2).mean()
        if not wrong:
            judged.backward()
            first.step()
        second.zero_grad()
        loss.backward()
        second.step()
        if wrong:
            with pytest.raises(RuntimeError, match=CHANGED.format("an optimizer's step")):
                judged.backward()


def test_two_losses_with_a_step_between_them() -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    hidden = F.tanh(model[0](dl.tensor(X)))
    one, two = model[2](hidden).sum(), (model[2](hidden) ** 2).sum()
    one.backward(retain_graph=True)
    two.backward(retain_graph=True)  # accumulates
    optimizer.step()
    with pytest.raises(RuntimeError, match="changed in place"):
        two.backward()


def test_what_did_not_move_may_be_used_again() -> None:
    model = net()
    optimizer = optim.SGD(model[0].parameters(), lr=0.1)
    loss = model[2](F.tanh(model[0](dl.tensor(X)))).sum()
    loss.backward(retain_graph=True)
    before = model[2].weight.grad.numpy().copy()
    optimizer.step()  # of the first layer, whose weight no gradient asks for: PyTorch goes on too
    loss.backward()
    np.testing.assert_allclose(model[2].weight.grad.numpy(), 2 * before, rtol=1e-5)
    model[0].weight.requires_grad = model[0].bias.requires_grad = False
    whole = optim.SGD(model.parameters(), lr=0.1)
    loss = model(dl.tensor(X)).sum()
    for p in (model[2].weight, model[2].bias):
        p.zero_grad()
    whole.step()  # without any gradient nothing moves
    loss.backward()


def test_a_second_backward_says_that_the_graph_is_gone() -> None:
    w = Parameter(np.ones(3, "f"))
    loss = (w * w).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="graph that is gone.*retain_graph=True"):
        loss.backward()
    shared = w * w
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="graph that is gone"):
        shared.exp().sum().backward()


@pytest.mark.parametrize("make", [Parameter, lambda a: dl.tensor(a, requires_grad=True)])
def test_changes_in_place_under_no_grad_are_pytorchs(make) -> None:
    w = make(np.ones(3, "f"))
    same = w
    (w * w).sum().backward()
    with dl.no_grad():
        w -= 0.25 * w.grad
        w *= 2
        w /= 4
        w += 1
    assert w is same and w.requires_grad and w.tolist() == [1.25] * 3
    for act in (lambda: same.__iadd__(1), lambda: same.zero_()):
        with pytest.raises(RuntimeError, match="no_grad"):
            act()
    with dl.no_grad():
        assert w.fill_(3).tolist() == [3] * 3 and w.copy_([1, 2, 3]).tolist() == [1, 2, 3]
        assert w.zero_() is w and w.tolist() == [0] * 3
        with pytest.raises(ValueError, match="shape"):
            w += np.ones((2, 3), "f")


def test_a_frozen_parameter_is_an_average_of_another_in_place() -> None:
    target, net = Parameter(np.zeros(2, "f")), Parameter(np.ones(2, "f"))
    target.requires_grad = False
    same = target
    target *= 0.9
    with dl.no_grad():
        target += 0.1 * net
    assert same is target and not target.requires_grad
    np.testing.assert_allclose(target.numpy(), 0.1)


def test_other_tensors_are_changed_in_place_too() -> None:
    x = dl.tensor([[1.0, 2.0], [3.0, 4.0]])
    same, row = x, x[1]
    x += 1
    row *= 10
    assert same is x and x.tolist() == [[2, 3], [40, 50]]
    x[0].mul_(2)
    x[0, 1].add_(5)
    x[1, 0].fill_(7)
    assert x.tolist() == [[4, 11], [7, 50]]
    mask = keep = dl.tensor([True, False])
    mask &= dl.tensor([False, False])
    mask ^= True
    assert keep.tolist() == [True, True]
    whole = count = dl.arange(5)
    whole //= 2
    whole **= 2
    whole %= 3
    assert count.tolist() == [0, 0, 1, 1, 1]
    hidden = Parameter(np.ones(3, "f")) * 2
    same = hidden
    hidden += 1
    assert same.requires_grad and same.tolist() == [3] * 3
    for change in (lambda: count.add_(0.5), lambda: count.__itruediv__(2), lambda: keep.__iadd__(1)):
        with pytest.raises(TypeError, match="cannot hold the result"):
            change()
    with pytest.raises(TypeError, match="cannot hold the result"):
        count[:2] += 0.5
    assert count.tolist() == [0, 0, 1, 1, 1]


def test_what_a_graph_saved_is_not_changed_by_way_of_detach() -> None:
    w = dl.zeros(2, requires_grad=True)
    y = w.exp()
    outside = y.detach()
    for change in (lambda: outside.__setitem__(0, 9.0), lambda: outside[0].add_(1)):
        with pytest.raises(RuntimeError, match="shares its memory"):
            change()
    with pytest.raises(RuntimeError, match="shares its memory"):
        outside += 1
    loss = y.sum()
    del y
    outside[0] = 9.0  # in memory of its own
    loss.backward()
    assert w.grad.tolist() == [1, 1] and outside.tolist() == [9, 1]
    y = w.exp()
    outside = y.detach()
    y.sum().backward()
    outside[0] = 9.0  # the graph is done with it
    assert y.tolist() == [9, 1]
    known = (dl.ones(2, requires_grad=True) * 1).detach()
    loss = (w * known).sum()
    known[0] = 5.0
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_view_without_a_name_is_assigned_within_its_tensor() -> None:
    w = dl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = w.clone()
    y[:, 1] = y[:, 0]
    y[0] += y[1]
    y.sum().backward()
    assert y.tolist() == [[4, 4], [3, 3]] and w.grad.tolist() == [[2, 0], [4, 0]]
    y = w.clone()
    column = y[:, 0]
    with pytest.raises(RuntimeError, match="shares its memory"):
        y[:, 1] = column
    with pytest.raises(RuntimeError, match="shares its memory"):
        column += 1


class Forgetful(Function):
    """y = a b with a gradient that was forgotten."""

    def __init__(self, count: int):
        self.count = count

    def forward(self, a, b):
        return a * b

    def backward(self, dout):
        return (dout, None, dout)[: self.count]


def test_a_gradient_that_a_function_forgot_is_said() -> None:
    a, b = (dl.tensor(np.ones(2, "f"), requires_grad=True) for _ in range(2))
    with pytest.raises(RuntimeError, match="Forgetful.backward returned None for input 1, which needs a gradient"):
        apply(Forgetful(2), a, b).sum().backward()
    b.requires_grad = False
    apply(Forgetful(2), a, b).sum().backward()
    assert a.grad.tolist() == [1, 1]
    for count in (1, 3):
        with pytest.raises(RuntimeError, match=f"Forgetful.backward returned {count} gradients for 2 inputs"):
            apply(Forgetful(count), a, b).sum().backward()
