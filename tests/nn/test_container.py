"""Modules and parameters in lists, tuples, dicts and the containers for them: each is found, by PyTorch's names."""

import collections

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim


def linear() -> nn.Linear:
    return nn.Linear(3, 3)


def parameter() -> nn.Parameter:
    return nn.Parameter(np.ones((3, 3), "f"))


class Holder(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.held = held


KEPT = {
    "list": (lambda: [linear()], ["held.0"]),
    "tuple": (lambda: (linear(), linear()), ["held.0", "held.1"]),
    "dict": (lambda: {"left": linear(), 3: linear()}, ["held.left", "held.3"]),
    "nested": (lambda: [[linear()], {"a": (linear(),)}], ["held.0.0", "held.1.a.0"]),
    "deque": (lambda: collections.deque([linear()]), ["held.0"]),
    "among others": (lambda: ["text", None, linear(), {"n": 3}], ["held.2"]),
    "ModuleList": (lambda: nn.ModuleList([linear(), linear()]), ["held.0", "held.1"]),
    "ModuleDict": (lambda: nn.ModuleDict({"a": linear()}), ["held.a"]),
    "ModuleList of lists": (lambda: nn.ModuleList([nn.ModuleList([linear()])]), ["held.0.0"]),
    "list of ModuleDicts": (lambda: [nn.ModuleDict([("a", linear())])], ["held.0.a"]),
}
PARAMETERS = {
    "list": (lambda: [parameter(), parameter()], ["held.0", "held.1"]),
    "nested": (lambda: {"a": [parameter()], "b": parameter()}, ["held.a.0", "held.b"]),
    "ParameterList": (lambda: nn.ParameterList([parameter(), np.ones((3, 3), "f")]), ["held.0", "held.1"]),
    "ParameterDict": (lambda: nn.ParameterDict({"w": parameter()}), ["held.w"]),
}


def flat(held) -> list:
    values = held.values() if hasattr(held, "values") else held
    if isinstance(held, nn.Linear | nn.Parameter):
        return [held]
    return [leaf for value in values if not isinstance(value, str | int | None) for leaf in flat(value)]


@pytest.mark.parametrize("name", [*KEPT, *(f"parameters in {name}" for name in PARAMETERS)])
def test_all_that_is_held_is_found_trained_saved_and_moved(name: str, device: str) -> None:
    of_modules = name in KEPT
    make, names = KEPT[name] if of_modules else PARAMETERS[name.removeprefix("parameters in ")]
    model, twin = Holder(make()), Holder(make())
    expected = [f"{n}.{end}" for n in names for end in ("weight", "bias")] if of_modules else names
    assert [n for n, _ in model.named_parameters()] == expected
    assert list(model.state_dict()) == expected
    assert twin.load_state_dict(model.state_dict()) == ([], [])
    leaves = flat(model.held)
    assert not any(m.training for m in model.eval().modules()) and len(leaves) == len(names)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = dl.tensor(np.ones((2, 3), "f"))
    for leaf in leaves:
        x = leaf(x) if of_modules else x @ leaf
    x.sum().backward()
    optimizer.step()
    after = model.state_dict()
    assert all((after[key] != value).any() for key, value in twin.state_dict().items())
    assert {p.dtype for p in model.to(dtype="float64").parameters()} == {np.dtype("float64")}
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_modules_in_a_set_are_named_in_an_error() -> None:
    for held in ({linear()}, [{parameter(), "x"}]):
        with pytest.raises(TypeError, match=r"attribute held.* is a set that holds (Linear|Parameter).*nn.ModuleList"):
            list(Holder(held).parameters())
    assert list(Holder({"relu", 3}).parameters()) == []


def test_a_module_list_is_a_list() -> None:
    a, b, c = (nn.Linear(3, n) for n in (1, 2, 3))
    held = nn.ModuleList([a])
    held.append(b).extend([c])
    assert list(held) == [a, b, c] and len(held) == 3 and b in held and held[-1] is c
    assert isinstance(held[1:], nn.ModuleList) and list(held[1:]) == [b, c] and list(held + [a]) == [a, b, c, a]
    held[0] = c
    held.insert(0, b)
    del held[1]
    held += [a]
    assert list(held) == [b, b, c, a] and held.pop() is a
    assert repr(nn.ModuleList([nn.ReLU()])) == "ModuleList(\n  (0): ReLU()\n)"
    with pytest.raises(TypeError, match="ModuleList takes modules, got int"):
        held.append(3)
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        held(3)


def test_a_module_dict_is_a_dict() -> None:
    a, b = linear(), linear()
    held = nn.ModuleDict({"a": a})
    held["b"] = b
    held.update({"c": a})
    assert list(held) == ["a", "b", "c"] == list(held.keys()) and "a" in held and held["b"] is b
    assert list(held.values()) == [a, b, a] and dict(held.items())["c"] is a and held.pop("c") is a and len(held) == 2
    del held["a"]
    for bad in ("x.y", 3, ""):
        with pytest.raises(KeyError, match="text without a dot"):
            held[bad] = a
    with pytest.raises(TypeError, match="ModuleDict takes modules, got Parameter"):
        held["p"] = parameter()
    with pytest.raises(TypeError, match="ParameterDict takes parameters, got Linear"):
        nn.ParameterDict({"p": a})


def test_what_does_not_fit_is_returned_where_it_need_not() -> None:
    layer = linear()
    saved = layer.bias.numpy().copy()
    found = layer.load_state_dict({"weight": np.zeros((3, 3)), "extra": np.zeros(1)}, strict=False)
    assert found.missing_keys == ["bias"] and found.unexpected_keys == ["extra"]
    missing, unexpected = found
    assert (missing, unexpected) == (["bias"], ["extra"])
    assert not layer.weight.numpy().any()
    np.testing.assert_array_equal(layer.bias.numpy(), saved)
    assert layer.load_state_dict(layer.state_dict()) == ([], [])


def test_a_train_step_trains_what_is_in_a_dict(device: str) -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            self.heads = {"one": nn.Linear(3, 2), "two": [nn.Dropout(0.5), nn.Linear(3, 2)]}

        def forward(self, x):
            drop, second = self.heads["two"]
            return self.heads["one"](x) + second(drop(x))

    model = Branches()
    before = model.state_dict()
    dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5))(np.eye(3, dtype="f"), np.arange(3) % 2)
    assert all((array != before[name]).any() for name, array in model.state_dict().items())
    assert not model.eval().heads["two"][0].training


SEQUENTIAL = {
    "append": lambda s, new: s.append(new(1)).append(new(2)),
    "extend": lambda s, new: s.extend([new(1), new(2)]),
    "insert": lambda s, new: s.insert(1, new(1)).insert(-1, new(2)).insert(len(s), new(3)),
    "assignment": lambda s, new: (s.__setitem__(0, new(1)), s.__setitem__(-1, new(2))),
    "slice": lambda s, new: s[1:],
    "slice backwards": lambda s, new: s[::-2],
    "deletion": lambda s, new: s.__delitem__(1),
    "deletion of a slice": lambda s, new: s.__delitem__(slice(0, 2)),
    "pop": lambda s, new: s.pop(0),
    "pop of a slice": lambda s, new: s.pop(slice(1, 3)),
    "sum": lambda s, new: s + s[:1],
    "longer in place": lambda s, new: s.__iadd__(s[:2]),
    "times": lambda s, new: s * 2,
    "times from the left": lambda s, new: 2 * s,
    "attribute": lambda s, new: setattr(s, "extra", new(1)),
    "attribute replaced": lambda s, new: setattr(s, "0", new(1)),
    "attribute deleted": lambda s, new: delattr(s, "1"),
    "add_module": lambda s, new: s.add_module("last", new(1)),
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("change", SEQUENTIAL)
def test_a_sequential_changes_as_pytorchs(change: str, named: bool) -> None:
    """The chain after it, and what the change gives: names in order, and the layers by their inputs' widths."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    if named and change in ("insert", "attribute replaced", "attribute deleted"):
        pytest.skip("PyTorch has no such name, or fails")
    found = []
    for lib in (torch, dl):
        layers = [lib.nn.Linear(width, 3) for width in (10, 11, 12, 13)]
        pairs = collections.OrderedDict(zip("abcd", layers, strict=True))
        chain = lib.nn.Sequential(pairs) if named else lib.nn.Sequential(*layers)
        got = SEQUENTIAL[change](chain, lambda n, lib=lib: lib.nn.Linear(n, 3))
        several = isinstance(got, lib.nn.Sequential)
        facts = [[(name, each.in_features) for name, each in s.named_children()] for s in (chain, *[got] * several)]
        found.append((facts, len(chain), list(chain.state_dict())))
    assert found[0] == found[1]


def test_a_sequential_is_indexed_and_refuses_as_pytorchs() -> None:
    a, b = nn.Linear(3, 3), nn.ReLU()
    chain = nn.Sequential(collections.OrderedDict([("first", a), ("then", b)]))
    assert chain.first is a and chain[0] is a and chain[-1] is b and b in chain and list(chain) == [a, b]
    assert list(reversed(list(chain))) == [b, a] and not hasattr(chain, "other")
    np.testing.assert_array_equal(chain(np.eye(3, dtype="f")).numpy(), b(a(np.eye(3, dtype="f"))).numpy())
    for index in (2, -3):
        with pytest.raises(IndexError, match="the Sequential has 2 modules"):
            chain[index]
        with pytest.raises(IndexError, match="the Sequential has 2 modules"):
            chain.insert(index * 2, a)
    for wrong, text in (([a, b], r"got list: write Sequential\(\*modules\)"), (3, "takes modules, got int")):
        with pytest.raises(TypeError, match=text):
            nn.Sequential(wrong)
        with pytest.raises(TypeError, match=text):
            chain.append(wrong)
        with pytest.raises(TypeError, match=text):
            chain[0] = wrong
    for change in (lambda: chain * 0, lambda: chain * 1.5):
        with pytest.raises(ValueError, match="repeated a whole number of times"):
            change()
    with pytest.raises(TypeError):
        chain + [a]
    with pytest.raises(TypeError, match="takes modules, got NoneType"):
        chain.first = None
    with pytest.raises(KeyError, match="without a dot"):
        chain.add_module("a.b", a)
    with pytest.raises(KeyError, match="has a 'append' already"):
        chain.add_module("append", a)

    class Block(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 2), nn.Tanh())
            self.last = nn.Linear(2, 1)

    assert Block()(np.eye(3, dtype="f")).shape == (3, 1)


def test_lists_and_dicts_of_modules_and_parameters_do_what_pytorchs_do() -> None:
    a, b, c = (nn.Linear(3, n) for n in (1, 2, 3))
    held = nn.ModuleList([a, b])
    held.extend(held)
    assert list(held) == [a, b, a, b] and list(reversed(held)) == [b, a, b, a]
    assert len(list(held.children())) == 2 and len(list(held.parameters())) == 4
    assert isinstance(held.pop(slice(0, 2)), nn.ModuleList) and len(held) == 2
    held.add_module("2", c)
    assert held[2] is c and list(nn.ModuleList()) == list(nn.ModuleList(None)) == []
    with pytest.raises(KeyError, match="an index as text, up to '3'"):
        held.add_module("5", c)
    with pytest.raises(IndexError):
        held[9]
    named = nn.ModuleDict({"a": a, "b": b})
    assert named.a is a and list(reversed(named)) == ["b", "a"] and named.popitem() == ("b", b)
    named.add_module("c", c)
    named.update([("d", b)])
    assert list(named) == ["a", "c", "d"] and list(named.clear() or named) == []
    one, two = parameter(), parameter()
    held = nn.ParameterDict({"one": one})
    assert held.copy()["one"] is one and list(held | {"two": two}) == ["one", "two"] == list(
        {"one": one} | held | {"two": two}
    )
    held |= {"two": two}
    assert held.two is two and held.get("three") is None and held.setdefault("two", one) is two
    assert held.popitem() == ("two", two)


def test_tied_weights_have_all_their_names_in_a_state() -> None:
    """As in PyTorch; a state with one of them, as files from before have it, is enough."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    state = model.state_dict()
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"] and model.other_names() == {"1.weight"}
    assert model.load_state_dict(state) == ([], [])
    del state["1.weight"]
    assert model.load_state_dict({**state, "0.weight": np.ones((3, 3))}) == ([], [])
    assert model[1].weight.numpy().all()
    state["1.weight"] = state.pop("0.weight")
    assert model.load_state_dict(state, strict=False) == ([], [])
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)].count("1.weight") == 1


@pytest.mark.parametrize("change", ["append", "assign", "new"])
def test_a_module_that_came_after_the_optimizer_is_refused_by_name(change: str, device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    batch = np.eye(3, dtype="f"), np.arange(3) % 2
    step(*batch)
    if change == "append":
        model.append(nn.Linear(2, 2))
    elif change == "assign":
        model[2] = nn.Linear(4, 2)
    else:
        model[1].register_parameter("slope", parameter())
        model[1].forward = lambda x: F.relu(x) * model[1].slope.sum()
    name = {"append": "3.bias|3.weight", "assign": "2.bias|2.weight", "new": "1.slope"}[change]
    with pytest.raises(RuntimeError, match=rf"TrainStep: ({name}) came into the model after the optimizer was made"):
        step(*batch)
    model.requires_grad_(False)
    model[0].requires_grad_()
    step(*batch)
    dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))(*batch)


def test_parameters_that_are_no_concern_of_the_optimizer_stay_so() -> None:
    """Those that were there before, and those of the loss."""
    model, scale = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), parameter()
    step = dl.TrainStep(
        model, lambda y, t: F.cross_entropy(y * scale.mean(), t), optim.SGD(model[1].parameters(), lr=0.1)
    )
    for _ in range(2):
        step(np.eye(3, dtype="f"), np.arange(3) % 2)
    assert scale.grad is not None and model[0].weight.grad is not None
