"""Modules: what is inside them, their modes, their state."""

import numpy as np
import pytest

from dlcourse import backend, nn, registry
from dlcourse.autograd import Parameter, Tensor, no_grad, tensor
from dlcourse.errors import CheckpointError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5))
        self.heads = [nn.Linear(4, 1), nn.Linear(4, 2, bias=False)]
        self.scale = Parameter(np.ones(1, "float32"))
        self.register_buffer("seen", np.zeros(2, "float32"))

    def forward(self, x: Tensor) -> Tensor:
        return self.heads[1](self.body(x)) * self.scale


def test_everything_inside_has_a_dotted_name(device: str) -> None:
    names = [name for name, _ in Net().named_parameters()]
    assert names == ["scale", "body.0.weight", "body.0.bias", "heads.0.weight", "heads.0.bias", "heads.1.weight"]
    assert [name for name, _ in Net().named_buffers()] == ["seen"]


def test_a_shared_parameter_comes_once() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3


def test_train_and_eval_reach_all(device: str) -> None:
    net = Net()
    assert not any(module.training for module in net.eval().modules())
    x = tensor(np.ones((5, 3)), dtype="float32")
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())
    net.train()
    assert all(module.training for module in net.modules())


def test_state_goes_round(device: str) -> None:
    source, target = Net(), Net()
    source.seen[...] = 3
    state = source.state_dict()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    target.load_state_dict(state)
    for name, array in target.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    source.seen[...] = 4  # the state is a copy
    assert state["seen"][0] == 3 and backend.to_host(target.seen)[0] == 3


def test_a_state_that_does_not_fit_changes_nothing_and_names_all_faults() -> None:
    net = Net()
    before = net.state_dict()
    state = {**before, "scale": np.zeros(2, "float32"), "extra": np.zeros(1)}
    del state["body.0.bias"]
    with pytest.raises(CheckpointError, match=r"(?s)missing: body.0.bias.*shape of scale.*unexpected: extra"):
        net.load_state_dict(state)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_loading_keeps_the_flat_buffer_and_the_type() -> None:
    from dlcourse.autograd import FlatParameters

    layer = nn.Linear(2, 1)
    flat = FlatParameters(layer.parameters())
    layer.load_state_dict({"weight": np.array([[5.0, 6.0]]), "bias": np.array([7.0])})
    assert flat.data.tolist() == [5, 6, 7] and flat.data.dtype == np.float32


def test_to_casts_parameters_and_buffers(device: str) -> None:
    net = Net().to(dtype=np.float64)
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)} and net.seen.dtype == np.float64
    assert net(tensor(np.ones((2, 3)))).dtype == np.float64


def test_linear_starts_within_its_bound_and_differs_from_the_next(device: str) -> None:
    first, second = nn.Linear(100, 50), nn.Linear(100, 50)
    assert np.abs(first.weight.numpy()).max() <= 0.1
    assert np.abs(first.weight.numpy()).max() > 0.099
    assert (first.weight.numpy() != second.weight.numpy()).any()
    with pytest.raises(ValueError, match="in_features=0"):
        nn.Linear(0, 1)


def test_dropout_keeps_the_mean_and_drops_its_share(device: str) -> None:
    layer = nn.Dropout(0.3)
    x = tensor(np.ones((400, 500)), dtype="float32")
    y = layer(x).numpy()
    dropped = (y == 0).mean()
    assert abs(dropped - 0.3) < 5 * (0.3 * 0.7 / y.size) ** 0.5
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)
    assert layer.eval()(x) is x
    assert (nn.Dropout(1.0)(x).numpy() == 0).all()
    with pytest.raises(ValueError, match="probability"):
        nn.Dropout(1.5)


def test_repr_shows_the_tree() -> None:
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) == (
        "Sequential(\n  (0): Linear(in_features=2, out_features=3, bias=True)\n  (1): ReLU()\n)"
    )


def test_every_activation_has_a_layer(device: str) -> None:
    from dlcourse import functional as F

    x = tensor(np.linspace(-3, 3, 13), dtype="float32")
    for layer, function in [
        (nn.ReLU(), F.relu),
        (nn.LeakyReLU(0.2), lambda v: F.leaky_relu(v, 0.2)),
        (nn.ELU(0.5), lambda v: F.elu(v, 0.5)),
        (nn.Sigmoid(), F.sigmoid),
        (nn.Tanh(), F.tanh),
        (nn.SiLU(), F.silu),
        (nn.Softplus(), F.softplus),
        (nn.GELU(), F.gelu),
        (nn.GELU("tanh"), lambda v: F.gelu(v, "tanh")),
        (nn.Softmax(), F.softmax),
        *((kind(), getattr(F, name)) for name, kind in nn.ACTIVATIONS.items()),
    ]:
        np.testing.assert_array_equal(layer(x).numpy(), function(x).numpy())


def test_a_module_works_without_calling_its_bases_init() -> None:
    class Forgetful(nn.Module):
        def __init__(self, width: int):
            self.inner = nn.Linear(width, 2)
            self.register_buffer("seen", np.zeros(3))

        def forward(self, x):
            return self.inner(x)

    model = Forgetful(width=4)
    assert model.training and not model.eval().inner.training
    assert set(model.state_dict()) == {"inner.weight", "inner.bias", "seen"}
    assert nn.ReLU().state_dict() == {}


PAIRS = {
    "batch norm": lambda: (nn.BatchNorm(3), nn.ReLU()),
    "linear relu": lambda: (nn.Linear(3, 8), nn.ReLU()),
    "linear gelu": lambda: (nn.Linear(3, 8), nn.GELU("tanh")),
    "convolution": lambda: (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()),
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_a_pair_that_one_module_can_do_is_done_in_one_pass_with_the_same_result(make, device: str) -> None:
    """Without a graph each module is called by itself, as a summary wants to see it."""
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32")
    first, second = make()
    pair = nn.Sequential(first, second, nn.BatchNorm(first.weight.shape[0]))
    assert first.fused_with(second) is not None
    weights = tensor(np.random.default_rng(1).normal(size=(6, 4, 4, first.weight.shape[0])).astype("float32"))
    results = []
    for run in (lambda t: pair(t), lambda t: pair[2](pair[1](pair[0](t)))):
        t = tensor(x, requires_grad=True)
        y = run(t)
        (y * weights).sum().backward()
        results.append((y.numpy(), t.grad.numpy(), *(p.grad.numpy() for p in first.parameters())))
        pair.zero_grad()
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-5)
    calls: list = []
    first.fused_with = lambda following: calls.append(following)
    with no_grad():
        pair(tensor(x))
    assert not calls


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("way", ["forward", "__call__", "attribute"])
@pytest.mark.parametrize("training", [True, False])
def test_modules_with_a_call_of_their_own_are_called_as_they_are(make, which: int, way: str, training: bool) -> None:
    modules = make()
    special, calls = modules[which], []
    kind, name = type(special), "forward" if way == "attribute" else way
    original = getattr(kind, name)

    def own(self, x):  # takes nothing but x
        calls.append(self)
        return original(self, x)

    if way == "attribute":
        special.forward = lambda x: own(special, x)
    else:
        special.__class__ = type("Own", (kind,), {way: own})
    net = nn.Sequential(*modules).train(training)
    x = tensor(np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32"), requires_grad=True)
    net(x).sum().backward()
    assert calls == [special]


def test_a_net_may_be_given_another_norm_in_the_place_of_its_own() -> None:
    net = registry.lookup("model", "resnet")((8, 8, 3), 2, depth=8, width=4)
    net.norm = nn.GroupNorm(2, 4)
    assert net(np.zeros((2, 8, 8, 3), "float32")).shape == (2, 2)


class Twice(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: nn.Linear(3, 8, bias=False), nn.ReLU),
        (lambda: nn.Linear(3, 8), nn.GELU),  # by the error function, which no product's kernel has
        (lambda: Twice(3, 8), nn.ReLU),
        (lambda: nn.Conv2d(3, 8, 1, bias=False), nn.ReLU),
    ],
)
def test_a_pair_without_one_pass_is_called_one_after_the_other(first, second) -> None:
    module = first()
    assert module.fused_with(second()) is None
    x = tensor(np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32"), requires_grad=True)
    np.testing.assert_array_equal(nn.Sequential(module, second())(x).numpy(), second()(module(x)).numpy())


def test_parts_are_found_by_name(device: str) -> None:
    net = Net()
    assert net.get_submodule("") is net and net.get_submodule("body.0") is net.body[0]
    assert net.get_submodule("heads.1") is net.heads[1]
    assert net.get_parameter("heads.1.weight") is net.heads[1].weight and net.get_buffer("seen") is net.seen
    for find, name, text in [
        (net.get_submodule, "bodi.0", "no module 'bodi.0'; did you mean 'body.0'"),
        (net.get_parameter, "body.0.wieght", "no parameter 'body.0.wieght'; did you mean 'body.0.weight'"),
        (net.get_buffer, "x", "no buffer 'x'; there are 'seen'"),
    ]:
        with pytest.raises(AttributeError, match=text):
            find(name)
    assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert [name for name, _ in net.named_buffers("net")] == ["net.seen"] and len(list(net.parameters(False))) == 1
    assert [name for name, _ in net.named_modules(prefix="net")][:2] == ["net", "net.body"]
    order: list = []
    assert net.apply(order.append) is net and order[0] is net.body[0] and order[-1] is net


def test_names_that_are_computed_become_attributes() -> None:
    net = Net()
    net.add_module("tail", nn.ReLU())
    net.register_module("none", None)
    net.register_parameter("gain", Parameter(np.ones(2, "f")))
    net.register_parameter("absent", None)
    assert isinstance(net.tail, nn.ReLU) and net.none is net.absent is None
    assert "gain" in net.state_dict() and "absent" not in net.state_dict()
    for call, error, text in [
        (lambda: net.add_module("a.b", nn.ReLU()), KeyError, "text without a dot"),
        (lambda: net.add_module("forward", nn.ReLU()), KeyError, "has a 'forward' already"),
        (lambda: net.add_module("x", 3), TypeError, "expected a module as 'x', got a int"),
        (lambda: net.register_parameter("body", Parameter(np.ones(2, "f"))), KeyError, "'body' already, a Sequential"),
        (lambda: net.register_parameter("x", np.ones(2)), TypeError, "expected a parameter as 'x', got a ndarray"),
        (lambda: net.register_buffer("scale", np.ones(2)), KeyError, "'scale' already, a Parameter"),
        (lambda: net.register_buffer("", np.ones(2)), KeyError, "text without a dot"),
        (lambda: net.train(3), ValueError, "train: expected True or False, got 3"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_buffers_are_saved_or_not_and_stay_tensors(device: str) -> None:
    net = Net()
    net.register_buffer("mask", tensor(np.tril(np.ones((2, 2)))), persistent=False)
    net.register_buffer("later", None)
    net.register_buffer("mean", tensor(np.ones(2, "f")))
    assert [name for name, _ in net.named_buffers()] == ["seen", "mask", "mean"]
    assert "mask" not in net.state_dict() and net.mask.masked_fill(net.mask == 0, -1.0).tolist()[0] == [1, -1]
    net.later = np.ones(2)
    state = net.state_dict()
    assert list(state)[:4] == ["scale", "seen", "later", "mean"] and isinstance(state["mean"], np.ndarray)
    mean = net.mean.data
    net.load_state_dict({**state, "mean": np.full(2, 7.0)})
    assert net.mean.data is mean and net.mean.tolist() == [7, 7]
    net.double()
    assert isinstance(net.mask, Tensor) and net.mask.dtype == net.mean.dtype == net.seen.dtype == np.float64
    net.register_buffer("mask", net.mask)  # again, and saved from now on
    assert "mask" in net.state_dict()


def test_a_state_with_a_prefix_is_a_part_of_a_larger_one() -> None:
    net = Net()
    state = {"other": np.zeros(1)}
    assert net.state_dict(destination=state, prefix="net.") is state
    assert list(state)[:3] == ["other", "net.scale", "net.seen"] and len(state) == 1 + len(net.state_dict())


@pytest.mark.parametrize("value", [np.zeros((2, 3), "f"), Tensor(np.zeros((2, 3), "f")), 3])
def test_what_is_no_parameter_does_not_take_the_place_of_one(value: object) -> None:
    """It would not be trained; PyTorch refuses it too."""
    layer = nn.Linear(3, 2)
    with pytest.raises(
        TypeError, match=r"Linear.weight is a parameter, which a \w+ cannot replace.*nn.Parameter\(value\)"
    ):
        layer.weight = value
    layer.weight = Parameter(np.zeros((2, 3), "f"))
    layer.bias = None
    layer.bias = 3
    del layer.weight
    layer.weight = value
    assert not list(layer.parameters())
