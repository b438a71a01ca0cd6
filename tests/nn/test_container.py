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
    kept = layer.bias.numpy().copy()
    found = layer.load_state_dict({"weight": np.zeros((3, 3)), "extra": np.zeros(1)}, strict=False)
    assert found.missing_keys == ["bias"] and found.unexpected_keys == ["extra"]
    missing, unexpected = found
    assert (missing, unexpected) == (["bias"], ["extra"])
    assert not layer.weight.numpy().any()
    np.testing.assert_array_equal(layer.bias.numpy(), kept)
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
