"""Masked tokens: which are hidden, how, and that the objective is what PyTorch computes of them."""

import numpy as np
import pytest

from dlcourse import backend, models
from dlcourse.autograd import Tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError, ShapeError, UserError
from dlcourse.models.masked_lm import _smallest


def model(tokens: int = 40, **settings) -> models.MaskedLM:
    return models.MaskedLM((tokens,), 30, layers=1, heads=2, width=8, **settings)


def test_of_the_chosen_tokens_most_are_hidden(device: str) -> None:
    """15 % of each text; of these 80 % hidden, 10 % others, the rest stay, as far as 60,000 draws can tell."""
    tokens = backend.current().asarray(np.random.default_rng(0).integers(0, 30, (10_000, 40)))
    net = model()
    changed, places = map(backend.to_host, net.hidden(tokens, 3))
    before = backend.to_host(tokens)
    assert places.shape == (10_000, 6) and (np.diff(places) > 0).all()
    assert np.abs(np.bincount(places.reshape(-1)) / 1500 - 1).max() < 0.1  # each place as often as any other
    untouched = np.ones(before.shape, bool)
    np.put_along_axis(untouched, places, False, 1)
    np.testing.assert_array_equal(changed[untouched], before[untouched])
    new, old = (np.take_along_axis(each, places, 1) for each in (changed, before))
    assert (new == 30).mean() == pytest.approx(0.8, abs=0.01)
    assert (new == old).mean() == pytest.approx(0.1 + 0.1 / 30, abs=0.01)
    others = new[(new != 30) & (new != old)]
    assert np.abs(np.bincount(others, minlength=30) / (len(others) / 30) - 1).max() < 0.3
    np.testing.assert_array_equal(backend.to_host(net.hidden(tokens, 3)[0]), changed)  # of the step alone
    assert (backend.to_host(net.hidden(tokens, 4)[1]) != places).any()
    random.manual_seed(1)
    assert (backend.to_host(net.hidden(tokens, 3)[1]) != places).any()


@pytest.mark.parametrize(("tokens", "share", "count"), [(40, 0.15, 6), (3, 0.15, 1), (5, 1.0, 5), (5, 0.0, 1)])
def test_how_many_are_chosen(tokens: int, share: float, count: int) -> None:
    found = model(tokens, mask_share=share).hidden(np.zeros((2, tokens), np.int64), 0)[1]
    assert found.shape == (2, count)


def test_the_smallest_by_counting(device: str) -> None:
    """As a stable sort finds them, with equal numbers among them."""
    values = np.random.default_rng(0).integers(0, 12, (50, 9)).astype(np.float32)
    for count in (1, 4, 9):
        expected = np.sort(np.argsort(values, axis=1, kind="stable")[:, :count], axis=1)
        found = _smallest(backend.current().asarray(values), count)
        np.testing.assert_array_equal(backend.to_host(found), expected)


def test_the_objective_is_the_cross_entropy_of_the_chosen() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    net, tokens = model().to(dtype="float64"), np.random.default_rng(0).integers(0, 30, (3, 40))
    changed, places = net.hidden(tokens, 7)
    logits = torch.from_numpy(net(changed).numpy().copy())
    labels = torch.full((3, 40), -100)  # PyTorch's word for what does not count
    labels.scatter_(1, torch.from_numpy(places), torch.from_numpy(np.take_along_axis(tokens, places, 1)))
    expected = torch.nn.functional.cross_entropy(logits.reshape(-1, 30), labels.reshape(-1)).item()
    cost = net.objective(Tensor(tokens), tokens, 7)
    assert cost.item() == pytest.approx(expected, rel=1e-12)
    cost.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_what_cannot_be() -> None:
    with pytest.raises(ShapeError, match="at most 40 tokens, got 41"):
        model()(np.zeros((1, 41), np.int64))
    with pytest.raises(UserError, match="fills in hidden tokens"):
        model().next_logits(np.zeros((1, 4), np.int64))
    with pytest.raises(ArgumentError, match="no tokens of a text"):
        models.TextClassifier((6,), 2)
    with pytest.raises(ShapeError, match="a sequence of tokens"):
        models.TextClassifier((6, 3), 2, 11)
