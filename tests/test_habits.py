"""The lines that a person that knows PyTorch writes: they mean the same here, or the message says what to write."""

import importlib.util
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.errors import ArgumentError, DlcourseError
from dlcourse.habits import ADVICE

SAME = """
x.size()                    | x.size(0)               | x.size(-1)              | x.dim()
x.numel()                   | x.nelement()            | len(x)                  | x.device.type
x.clone()                   | x.detach().clone()      | x.detach().cpu().numpy() | x.contiguous().view(-1)
x.float()                   | x.double()              | x.long()                | x.int()
(x > 0).float().mean()      | (x > 0).sum().item()    | x.to(t.float64)         | x.type_as(y)
x.to('cpu')                 | x.to(t.device('cpu'))   | x.to('cpu', t.float64)  | x.to(y)
x.view(3, 2)                | x.view(x.size(0), -1)   | x.view((3, 2))          | x.view_as(x.T)
x.unsqueeze(0)              | x.unsqueeze(-1)         | x[None].squeeze()       | x[None].squeeze(0)
x.permute(1, 0)             | x.permute((1, 0))       | x.t()                   | x.mT
x.expand(2, -1, 3)          | x.repeat(2, 1)          | x.tile((2,))            | x.flip(0)
x.std()                     | x.std(dim=0)            | x.std(0, unbiased=False) | x.var(dim=1, keepdim=True)
x.argmin()                  | x.argmin(dim=1)         | x.argmax(1)             | x.argsort(dim=1)
x.sort(dim=1)               | x.topk(2)               | x.topk(1, dim=0).indices | x.max(dim=1)[1]
x.amax(dim=1)               | x.amin(1, keepdim=True) | x.norm()                | x.norm(dim=1)
x.prod()                    | x.prod(dim=1)           | x.cumsum(dim=1)         | x.cumsum(0)
x.all()                     | (x > 9).any()           | (x > 0).all(dim=1)      | x.eq(x)
x.add(1)                    | x.mul(x)                | x.div(2)                | x.pow(2)
x.square()                  | x.exp()                 | x.abs().log1p()         | x.sin() + x.cos()
x.sign()                    | x.floor()               | x.round()               | x.clamp(0, 1)
x.clamp(min=0)              | x.matmul(x.T)           | x.mm(x.t())             | v.dot(v)
v.outer(v)                  | x @ v                   | x % 2                   | x // 2
(x > 0) & (x < 1)           | (x > 0)|(x < -1)      | ~(x > 0)                | (x > 0) ^ (x < 1)
x.masked_fill(x > 0, 9.0)   | x[x > 0]                | x.gather(1, i)          | x.index_select(1, y)
x.chunk(2, dim=0)           | x.split(1, dim=1)       | x.unbind(0)             | x.tril()
x.sort(axis=0)              | x.squeeze(axis=0)       | x.unsqueeze(axis=1)     | x.topk(1, axis=1)
x.gather(axis=1, index=i)   | x.chunk(3, axis=1)      | x.argsort(axis=0)       | t.flip(x, dims=(0,))
x.isnan().any()             | x.isfinite().all()      | x.nonzero()             | y.bincount()
x.add_(1)                   | x.mul_(2).sub_(1)       | x.zero_()               | x.fill_(3)
x.requires_grad_().requires_grad | x.is_leaf          | x.is_floating_point()   | x.element_size()
t.zeros(2, 3)               | t.ones((2, 3))          | t.full((2,), 7)         | t.zeros_like(x)
t.arange(5)                 | t.arange(0, 1, 0.25)    | t.linspace(0, 1, 5)     | t.eye(3)
t.zeros(2, dtype=t.long)    | t.ones(1, device='cpu') | t.tensor([1, 2], dtype=t.float) | t.from_numpy(a)
t.cat([x, x])               | t.cat((x, x), dim=1)    | t.stack([x, x])         | t.stack((x, x), 1)
t.exp(x)                    | t.sum(x, dim=1)         | t.mean(x, dim=0)        | t.max(x)
t.max(x, dim=1)             | t.max(x, 1)[0]          | t.max(x, -x)            | t.argmax(x, dim=1)
t.matmul(x, x.T)            | t.where(x > 0, x, -x)   | t.softmax(x, dim=1)     | t.abs(x)
t.clamp(x, 0, 1)            | t.allclose(x, x)        | t.flatten(x)            | t.is_tensor(x)
t.triu(t.ones(3, 3), diagonal=1) | t.sigmoid(x)       | t.unsqueeze(x, 0)       | t.pi
t.randn(2, 3).shape         | t.rand(4).size(0)       | t.randint(0, 9, (3,)).dtype == t.int64 | t.randperm(5).sort()[0]
f"{x.mean().item():.3f}"    | f"{x.mean():.3f}"       | round(x.sum().item(), 3) | float(x[0, 0])
t.where(b, u, 1.5)          | t.where(b, b, 2)        | u + 1                   | b + 1
"""
"""Each is computed with ``t`` = PyTorch and with ``t`` = dl."""


def _lines() -> list[str]:
    return [part.strip() for line in SAME.strip().splitlines() for part in line.split(" | ")]


def _known(t: Any) -> dict[str, Any]:
    a = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    made = {"x": a.copy(), "v": np.array([1, 2, 3], "float32"), "y": np.array([0, 2]), "i": np.array([[0], [1]])}
    made |= {"u": np.array([1, 2, 3], "uint8"), "b": np.array([True, False, True])}
    return {"t": t, "a": a} | {name: t.tensor(array) for name, array in made.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if hasattr(value, "detach"):
        return _plain(value.detach().numpy())
    return (value.dtype, value.shape, value.tolist()) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("line", _lines())
def test_a_line_means_what_it_means_in_pytorch(line: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs = (_plain(eval(line, _known(t))) for t in (dl, torch))
    if isinstance(ours, tuple):
        assert ours[:2] == theirs[:2]
        np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-6, atol=1e-6)
    elif isinstance(ours, list) and ours and isinstance(ours[0], tuple):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one[2], other[2], rtol=1e-6)
    else:
        assert ours == theirs


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("x.unsqueeze_(0)", r"x = x\.unsqueeze\(dim\)"),
        ("x.det()", r"dl\.linalg\.det\(x\)"),
        ("x.unsqueze(0)", "did you mean 'unsqueeze'"),
        ("dl.TensorDataset(x, x)", r"dl\.DataLoader\(inputs, targets"),
        ("dl.autocast('cuda')", "precision: fp16 or bf16"),
        ("dl.tensr([1])", "did you mean 'tensor'"),
    ],
)
def test_what_is_not_there_says_what_is(line: str, advice: str) -> None:
    with pytest.raises(AttributeError, match=advice):
        eval(line, {"dl": dl, "nn": nn, "F": F, "optim": optim, "x": dl.tensor([[1.0, 2.0]])})


def test_no_grad_in_all_its_forms() -> None:
    w = dl.tensor([1.0], requires_grad=True)

    @dl.no_grad()
    def with_parentheses() -> dl.Tensor:
        return 2 * w

    @dl.no_grad
    def without() -> dl.Tensor:
        return 2 * w

    with dl.no_grad():
        inside = 2 * w
        with dl.enable_grad():
            again = 2 * w
    with dl.set_grad_enabled(False):
        switched = 2 * w
    found = [with_parentheses(), without(), inside, again, switched, 2 * w]
    assert [one.requires_grad for one in found] == [False, False, False, True, False, True]


@pytest.mark.parametrize(
    "line",
    """
    init.zeros_(w) | init.ones_(w) | init.constant_(w, 0.5) | init.constant_(w, val=0.5) | init.eye_(w)
    """.strip().split(" | "),
)
def test_initializers_fill_in_place(line: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs = nn.Parameter(dl.ones(3, 2)), torch.nn.Parameter(torch.ones(3, 2))
    assert eval(line, {"init": nn.init, "w": ours}) is ours
    eval(line, {"init": torch.nn.init, "w": theirs})
    np.testing.assert_array_equal(ours.numpy(), theirs.detach().numpy())


def test_initializers_draw_what_those_without_an_underscore_draw() -> None:
    layer = nn.Conv2d(3, 8, 3)
    dl.manual_seed(5)
    expected = nn.init.kaiming_normal(layer.weight.shape, nonlinearity="relu")
    dl.manual_seed(5)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    np.testing.assert_array_equal(layer.weight.numpy(), expected)
    nn.init.uniform_(layer.weight, a=2.0, b=3.0)
    assert 2 <= layer.weight.min().item() <= layer.weight.max().item() <= 3


def test_classes_as_rows() -> None:
    assert F.one_hot(dl.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot([1], num_classes=4).tolist() == [[0, 1, 0, 0]]
    with pytest.raises(DlcourseError, match=r"labels are in 0\.\.1, got 0\.\.2"):
        F.one_hot(dl.tensor([0, 2]), 2)


def test_a_step_with_a_closure() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def closure() -> dl.Tensor:
        optimizer.zero_grad()
        loss = (model(dl.ones(4, 2)) ** 2).mean()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]


def test_save_in_the_other_order() -> None:
    with pytest.raises(ArgumentError, match=r"the path comes first: dl.save\('w.npz', model.state_dict\(\)\)"):
        dl.save(nn.Linear(2, 3).state_dict(), "w.npz")


def test_elements_are_written_in_place() -> None:
    x = dl.zeros(2, 3)
    x[0, 1], x[1] = 5.0, dl.ones(3)
    assert x.tolist() == [[0, 5, 0], [1, 1, 1]]
    x[x > 2] = -1
    assert x[0].tolist() == [0, -1, 0]
    w = nn.Parameter(dl.ones(3))
    with pytest.raises(RuntimeError, match="with dl.no_grad"):
        w[0] = 2.0
    with dl.no_grad():
        w[0] = 2.0
    assert w.tolist() == [2, 1, 1]
    with pytest.raises(DlcourseError, match="in a tensor of shape"):
        x[0] = dl.ones(4)


def test_a_number_that_a_type_does_not_hold_is_refused() -> None:
    pixels, flags = dl.tensor(np.array([1, 2, 3], "uint8")), dl.tensor([True, False, True])
    for number in (-1, 300):
        for call in (
            lambda n=number: F.where(flags, pixels, n),
            lambda n=number: F.where(flags, n, pixels),
            lambda n=number: dl.where(flags, pixels, n),
            lambda n=number: np.where(flags, pixels, n),
            lambda n=number: pixels.where(flags, n),
            lambda n=number: pixels.masked_fill(flags, n),
            lambda n=number: pixels + n,
            lambda n=number: pixels + [n, 0, 0],
        ):
            with pytest.raises(ArgumentError, match=r"out of bounds for uint8; bring the tensor to a wider type"):
                call()
    assert F.where(flags, pixels, 255).tolist() == [1, 255, 3]
    assert F.where(flags, pixels.long(), -1).tolist() == [1, -1, 3]


def test_random_tensors_follow_the_seed() -> None:
    def draw() -> list[list]:
        dl.manual_seed(3)
        first = [dl.randn(4), dl.rand(4), dl.randint(9, (4,)), dl.randperm(4), dl.normal(0.0, 2.0, (4,))]
        more = [dl.bernoulli(dl.full((4,), 0.5)), dl.multinomial(dl.ones(4), 2), dl.zeros(4).normal_(), dl.randn(4)]
        return [one.tolist() for one in first + more]

    first, second = draw(), draw()
    assert first == second
    assert first[0] != first[-1]


@pytest.mark.parametrize(
    "line",
    """
    m.cpu().float() | m.to('cpu') | m.to(dl.device('cpu')) | m.to(dl.float64).double() | m.requires_grad_(False)
    m.apply(lambda layer: None) | list(m.children())[0].weight | list(m.named_children())[0][0]
    sum(p.numel() for p in m.parameters() if p.requires_grad) | next(m.parameters()).device | m.weight.size()
    nn.BatchNorm2d(3) | nn.BatchNorm1d(3) | nn.Softmax(dim=1)
    m.register_forward_hook(print).remove() is None | m.get_parameter('weight') | m.get_submodule('') is m
    m.register_parameter('gain', nn.Parameter(dl.ones(2))) is None | m.bfloat16().double() | m.state_dict(prefix='a.')
    m.weight.detach().numpy() | m.weight.requires_grad_(False) | m.zero_grad(set_to_none=True) is None
    """.replace("\n", " | ").split(" | "),
)
def test_a_line_about_a_module_works(line: str) -> None:
    if line.strip():
        model = nn.Sequential(nn.Linear(2, 3)) if "children" in line else nn.Linear(2, 3)
        assert eval(line.strip(), {"m": model, "dl": dl, "nn": nn}) is not NotImplemented


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("m.register_backward_hook(print)", r"module\.register_full_backward_hook"),
        ("m.paramaters()", "did you mean 'parameters'"),
        ("nn.Conv3d(1, 2, 3)", r"there is nn\.Conv2d"),
        ("nn.Liner(2, 3)", "did you mean 'Linear'"),
        ("nn.Conv3d(1, 1, 3)", r"nn\.Conv2d"),
        ("F.crossentropy", "did you mean 'cross_entropy'"),
        ("optim.Adamm", "did you mean 'Adam"),
        ("nn.ReLU(inplace=True)", "ReLU takes no 'inplace'; leave it out: operations never change their inputs"),
        *(
            (f"F.{name}(m.weight, inplace=True)", f"^{name} takes no 'inplace'; leave it out: operations never")
            for name in ("relu", "leaky_relu", "elu", "silu", "dropout")
        ),
        ("nn.Dropout(0.5, inplace=True)", "Dropout takes no 'inplace'; leave it out"),
        ("nn.Linear(2, 3, device='cpu')", "Linear takes no 'device'; leave it out"),
        ("optim.AdamW(m.parameters(), fused=True)", "AdamW takes no 'fused'; leave it out"),
    ],
)
def test_what_is_out_of_place_has_advice(line: str, advice: str) -> None:
    model = nn.Linear(2, 3)
    known = {"dl": dl, "nn": nn, "F": F, "optim": optim, "m": model, "opt": optim.SGD(model.parameters(), lr=0.1)}
    with pytest.raises((AttributeError, TypeError), match=advice):
        eval(line, known)
    assert not hasattr(model, "nonsense") and not hasattr(nn, "nonsense")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (
            "from dlcourse.utils.data import DataLoader, TensorDataset",
            r"dlcourse has no 'utils'; here: dl\.DataLoader\(",
        ),
        ("import dlcourse.utils.data as data", r"here: dl\.DataLoader\("),
        ("from dlcourse import utils", r"here: dl\.DataLoader\("),
        ("from dlcourse import random_split", r"here: dl\.load_data\("),
        ("from dlcourse.nn import Liner", "did you mean 'Linear'"),
        ("from dlcourse.nn.utils.rnn import pack_padded_sequence", r"output, h_n = rnn\(x, lengths=lengths\)"),
        ("from dlcourse.optimm import Adam", "did you mean 'optim'"),
        ("from dlcourse.nonsense import Adam", "^No module named 'dlcourse.nonsense'$"),
    ],
)
def test_what_cannot_be_imported_has_advice(line: str, advice: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=advice):
        exec(line)
    assert importlib.util.find_spec("dlcourse.nonsense") is None


def test_there_is_no_advice_about_what_is_there() -> None:
    places = {"tensor": dl.Tensor, "module": nn.Module, "optimizer": optim.SGD}
    places |= {"dl": dl, "nn": nn, "functional": F, "optim": optim, "init": nn.init}
    stale = [f"{place}.{name}" for place, owner in places.items() for name in ADVICE[place] if hasattr(owner, name)]
    assert not stale


def test_functions_are_found_under_pytorchs_name() -> None:
    import dlcourse.functional
    import dlcourse.nn.functional as same
    from dlcourse.nn import functional

    assert same is functional is nn.functional is dlcourse.functional is F
    assert F.relu(dl.tensor([-1.0, 2.0]), inplace=False).tolist() == [0, 2]
