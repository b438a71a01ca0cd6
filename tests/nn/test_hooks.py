"""Hooks of modules: those of PyTorch, called with what PyTorch calls them with, in the same order."""

import copy
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.autograd.graph import Node
from dlcourse.errors import ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

X = np.random.default_rng(0).normal(size=(5, 3))


def seen(value: Any) -> Any:
    """What a hook got, as plain arrays."""
    if isinstance(value, tuple):
        return tuple(map(seen, value))
    if isinstance(value, dict):
        return {key: seen(each) for key, each in value.items()}
    return value.detach().numpy().copy() if hasattr(value, "detach") else value


def same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif isinstance(ours, np.ndarray):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    else:
        assert ours == theirs


class Log:
    """Hooks that write down what they get, and give back what they are asked for."""

    def __init__(self) -> None:
        self.lines: list = []

    def __call__(self, name: str, give: Any = None) -> Any:
        def hook(module: Any, *given: Any) -> Any:
            self.lines.append((name, seen(given)))
            return None if give is None else give(*given)

        return hook


def net(lib: Any) -> Any:
    model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.ReLU(), lib.nn.Linear(4, 2))
    for k, p in enumerate(model.parameters()):
        values = np.random.default_rng(k + 1).normal(size=tuple(p.shape)).astype("float32")
        p.data = values if lib is dl else torch.tensor(values)
    return model.double()


def forward_hooks(model: Any, log: Log) -> list:
    return [
        model[0].register_forward_hook(log("after 0", lambda args, y: y * 2)),
        model[0].register_forward_hook(log("after 0, first"), prepend=True),
        model[1].register_forward_pre_hook(log("before 1", lambda args: args[0] + 1)),
        model[2].register_forward_pre_hook(log("before 2", lambda args: (args[0] * 3,))),
        model[2].register_forward_hook(log("after 2, with options"), with_kwargs=True),
        model[2].register_forward_pre_hook(log("before 2, with options", lambda a, k: (a, k)), with_kwargs=True),
        model.register_forward_hook(log("after all")),
    ]


def backward_hooks(model: Any, log: Log) -> list:
    return [
        model[0].register_full_backward_hook(log("0")),
        model[1].register_full_backward_hook(log("1", lambda into, out: (into[0] * 2,))),
        model[2].register_full_backward_pre_hook(log("2, outputs", lambda out: (out[0] * 3,))),
        model[2].register_full_backward_hook(log("2")),
        model[2].register_full_backward_hook(log("2, first"), prepend=True),
        model.register_full_backward_hook(log("all")),
    ]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("register", [forward_hooks, backward_hooks])
@pytest.mark.parametrize("wanted", [True, False])
def test_hooks_see_and_change_what_they_do_in_pytorch(register: Any, wanted: bool) -> None:
    found = []
    for lib in (dl, torch):
        model, log = net(lib), Log()
        handles = register(model, log)
        x = lib.tensor(X, requires_grad=wanted)
        y = model(x)
        y.sum().backward()
        first = seen((y, *(p.grad for p in model.parameters()), *([x.grad] if wanted else [])))
        for handle in handles:
            handle.remove()
            handle.remove()
        lines = log.lines
        log.lines = []
        after = seen(model(lib.tensor(X)))
        assert not log.lines
        found.append((first, tuple(lines), after))
    same(*found)


def test_inputs_and_outputs_that_are_not_used_have_the_gradient_0() -> None:
    found = []
    for lib in (dl, torch):

        class Two(lib.nn.Module):
            def forward(self, a, b, c, scale=1):
                return a * scale, b * 2, 3

        model, log = Two(), Log()
        model.register_full_backward_hook(log("back"))
        model.register_full_backward_pre_hook(log("back, outputs"))
        a, b, c = (lib.tensor(X + k, requires_grad=True) for k in range(3))
        model(a, b, c, scale=4)[0].sum().backward()
        found.append((tuple(log.lines), seen((a.grad, b.grad, c.grad))))
    same(*found)


def test_a_handle_ends_with_its_block_and_copies_have_hooks_of_their_own() -> None:
    layer, calls = nn.ReLU(), []
    with layer.register_forward_hook(lambda *_: calls.append(1)):
        twin = copy.deepcopy(layer)
        layer(dl.ones(2))
    layer(dl.ones(2))
    assert calls == [1] and "_hooks" not in vars(layer)
    twin(dl.ones(2))
    assert calls == [1, 1]


def test_nothing_is_fused_with_a_module_that_has_hooks() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    got: list = []
    handle = model[0].register_forward_hook(lambda module, args, y: got.append(y.numpy().min()))
    model(dl.tensor(X.astype("float32")))
    assert got[0] < 0 and model[0].fused_with(model[1]) is None
    handle.remove()
    assert model[0].fused_with(model[1]) is not None


def test_a_step_with_hooks_runs_them_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "watched", False)  # other tests have hooks of tensors
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.ReLU(), nn.Linear(4, 2))
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    assert step.can_capture
    norms: list = []
    handle = model[3].register_full_backward_hook(lambda module, into, out: norms.append(out[0].norm().item()))
    assert not step.can_capture
    for _ in range(3):
        step(X.astype("float32"), np.arange(5) % 2)
    assert len(norms) == 3 and all(norms)
    handle.remove()
    assert step.can_capture


def test_what_hooks_may_not_give_back_is_refused() -> None:
    layer = nn.Linear(3, 2).double()
    with pytest.raises(TypeError, match="a hook is a function, got a int"):
        layer.register_forward_hook(3)
    with layer.register_full_backward_hook(lambda module, into, out: out), pytest.raises(ShapeError, match="shapes"):
        layer(dl.tensor(X, requires_grad=True)).sum().backward()
    with layer.register_forward_pre_hook(lambda module, args, options: 3, with_kwargs=True):  # noqa: SIM117
        with pytest.raises(TypeError, match="None or"):
            layer(dl.tensor(X))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_hooks_in_half_precision(dtype: str) -> None:
    layer, kinds = nn.Linear(3, 2).to(dtype=dtype), []
    layer.register_full_backward_hook(lambda module, into, out: kinds.append((into[0].dtype, out[0].dtype)))
    layer(dl.tensor(X, requires_grad=True).to(dtype=dtype)).sum().backward()
    assert [str(kind) for pair in kinds for kind in pair] == [dtype, dtype]
