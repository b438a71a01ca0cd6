"""Optimizers of a stack's replicas: the same bits as each by itself, in one call where they are alike."""

import numpy as np
import pytest

from dlcourse import backend, optim
from dlcourse.autograd import Parameter
from dlcourse.autograd.replicas import Replicas
from dlcourse.backend import random
from dlcourse.optim.stacked import StackedOptimizers

SHAPES = [(3, 7), (5,)]
COUNT, LENGTH, STEPS = 26, 32, 4


class Halved(optim.SGD):
    """An update of its own."""

    def update(self, weight, grad):
        super().update(weight, 0.5 * grad)


SGD, ADAM, RMSPROP = optim.SGD, optim.Adam, optim.RMSprop
ALIKE = {
    "sgd": [(SGD, {"lr": 0.1}), (SGD, {"lr": 0.3, "weight_decay": 0.1})],
    "momentum": [
        (SGD, {"lr": 0.1, "momentum": 0.9}),
        (SGD, {"lr": 0.1}),
        (SGD, {"lr": 0.2, "momentum": 0.5, "nesterov": True, "weight_decay": 0.01}),
    ],
    "adam": [
        (ADAM, {"lr": 0.01}),
        (optim.AdamW, {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1}),
        (ADAM, {"lr": 0.02, "eps": 1e-3, "weight_decay": 0.01}),
    ],
    "adagrad": [(optim.Adagrad, {"lr": 0.1, "initial_accumulator_value": 0.2}), (optim.Adagrad, {"weight_decay": 0.1})],
    "rmsprop": [(RMSPROP, {"lr": 0.1}), (RMSPROP, {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "momentum": 0.7})],
}
UNLIKE = {
    "kinds": [(SGD, {"lr": 0.1}), (ADAM, {"lr": 0.1})],
    "amsgrad": [(ADAM, {"lr": 0.1}), (ADAM, {"lr": 0.1, "amsgrad": True})],
    "dampening": [(SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5})] * 2,
    "maximize": [(SGD, {"lr": 0.1}), (SGD, {"lr": 0.1, "maximize": True})],
    "lr_decay": [(optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1})] * 2,
    "centered": [(RMSPROP, {"lr": 0.1, "centered": True})] * 2,
    "an update of its own": [(Halved, {"lr": 0.1})] * 2,
}


def optimizers(kinds):
    rng = np.random.default_rng(0)
    parameters = [
        [Parameter(backend.current().asarray(rng.normal(size=shape).astype("f"))) for shape in SHAPES] for _ in kinds
    ]
    return [kind(params, **settings) for params, (kind, settings) in zip(parameters, kinds, strict=True)]


def stacked(members):
    """As a stack has them: their weights and gradients are rows of two buffers."""
    xp = backend.current().xp
    data, grad = (xp.zeros((len(members), LENGTH), "float32") for _ in range(2))
    for each, weights, grads in zip(members, data, grad, strict=True):
        each.flat.move_to(weights[:COUNT], grads[:COUNT])
    return StackedOptimizers(members, data, grad)


def give_gradients(members, seed, but=()):
    rng = np.random.default_rng(seed)
    for each in members:
        for i, p in enumerate(each.flat.parameters):
            values = rng.normal(size=p.shape).astype("f")
            p.grad = None if i in but else backend.current().asarray(values)


def values(each):
    arrays = each.flat.data, *each.state.values()
    return np.concatenate([backend.to_host(array) for array in arrays])


def assert_same(members, others):
    for one, other in zip(members, others, strict=True):
        assert (one.steps, one.skipped_steps, list(one.state)) == (other.steps, other.skipped_steps, list(other.state))
        np.testing.assert_array_equal(values(one), values(other))


def calls_noted(monkeypatch, members):
    """The calls of kernels for all rows."""
    calls = []
    for kernel in {update.kernel for each in members if (update := each.stacked_update())}:
        call = type(kernel).__call__

        def noting(self, *args, kernel=kernel, call=call):
            calls.extend([self.name] if self is kernel else [])
            return call(self, *args)

        monkeypatch.setattr(type(kernel), "__call__", noting)
    return calls


@pytest.mark.parametrize("name", [*ALIKE, *UNLIKE])
def test_the_same_bits_as_each_by_itself(name, device, monkeypatch):
    kinds = (ALIKE | UNLIKE)[name]
    members, others = optimizers(kinds), optimizers(kinds)
    together, replicas = stacked(members), Replicas([random.Draws() for _ in kinds])
    calls = calls_noted(monkeypatch, members)
    for step in range(STEPS):
        for group in (members, others):
            give_gradients(group, step)
            for each in group:
                each.lr = each.lr * 0.9
        together.step(replicas)
        for each in others:
            each.step()
    assert_same(members, others)
    assert len(calls) == (STEPS if name in ALIKE else 0)


def assert_same_steps(kinds, prepare):
    """Together and each by itself, after ``prepare(group, step)`` has given the gradients of a step."""
    members, others = optimizers(kinds), optimizers(kinds)
    together, replicas = stacked(members), Replicas([random.Draws() for _ in kinds])
    for step in range(STEPS):
        for group in (members, others):
            prepare(group, step)
        together.step(replicas)
        for each in others:
            each.step()
    assert_same(members, others)


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_what_some_step_does_not_move_and_settings_that_change(name, device):
    def prepare(group, step):
        give_gradients(group, step, but=(1,) if step == 2 else ())
        group[0].param_groups[0]["weight_decay"] = 0.1 * step

    assert_same_steps(ALIKE[name], prepare)


def test_one_that_is_at_another_step_and_a_state_that_was_replaced(device):
    def prepare(group, step):
        give_gradients(group, step)
        if step == 1:
            group[0].steps = 7
        if step == 3:
            group[1].state["exp_avg"] = group[1].state["exp_avg"].copy()

    assert_same_steps(ALIKE["adam"], prepare)


def test_states_are_loaded_into_the_rows(device):
    kinds = ALIKE["adam"]
    members, others = optimizers(kinds), optimizers(kinds)
    give_gradients(others, 0)
    for each in others:
        each.step()
    together, replicas = stacked(members), Replicas([random.Draws() for _ in kinds])
    for one, other in zip(members, others, strict=True):
        one.flat.data[...] = other.flat.data
        one.load_state_dict(other.state_dict())
    for group in (members, others):
        give_gradients(group, 1)
    together.step(replicas)
    for each in others:
        each.step()
    assert_same(members, others)
