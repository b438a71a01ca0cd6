"""A state that goes on from batch to batch: PyTorch's numbers, streams, evaluation, resume, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import models, optim
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import get
from dlcourse.data import Loader, prepare
from dlcourse.errors import ArgumentError, ConfigError, UserError
from dlcourse.experiment import evaluate_run, load_run
from tests.experiment.samples import same_run
from tests.experiment.test_resume import go, killed_at

KINDS = ("rnn", "lstm", "gru")
TOKENS = np.random.default_rng(0).integers(0, 9, (4, 25))
TEXT = "".join(np.random.default_rng(1).choice(list("abcdefgh "), 900))


def made(kind: str = "lstm") -> models.CharRNN:
    dl.manual_seed(0)
    return models.CharRNN((6,), 9, kind, hidden=7, layers=2, embedding=5)


def pieces(length: int = 6) -> list[tuple[np.ndarray, np.ndarray]]:
    """The sequences in pieces, each with the tokens that follow."""
    return [(TOKENS[:, i : i + length], TOKENS[:, i + 1 : i + length + 1]) for i in range(0, 24, length)]


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "text.txt").write_text(TEXT)
    found = {
        "name": "streams",
        "device": "cpu",
        "data": {"name": "text", "path": str(folder / "text.txt"), "context": 6, "split": {"val": 0.3}},
        "model": {"name": "char_rnn", "kind": "lstm", "hidden": 8, "embedding": 4, "dropout": 0.2},
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "lr": 0.01},
        "metrics": ["cross_entropy"],
        "train": {"epochs": 3, "batch_size": 8, "carry_state": True, "log_every": 1},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        found[section] = {**found[section], key: value} if key else value
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_a_detached_state_in_pytorch(kind: str, device: str) -> None:
    torch = pytest.importorskip("torch")
    with dl.device(device):
        model = made(kind)
        weights = {name: torch.tensor(array) for name, array in model.state_dict().items()}
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5), carry_state=4)
        ours = [step(x, y).item() for x, y in pieces()]
    twin = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(9, 5),
            "recurrent": getattr(torch.nn, kind.upper())(5, 7, num_layers=2, batch_first=True),
            "linear": torch.nn.Linear(7, 9),
        }
    )
    twin.load_state_dict(weights)
    descent, state, theirs = torch.optim.SGD(twin.parameters(), lr=0.5), None, []
    for x, y in pieces():
        output, state = twin["recurrent"](twin["embedding"](torch.tensor(x)), state)
        loss = torch.nn.functional.cross_entropy(twin["linear"](output).flatten(0, 1), torch.tensor(y).flatten())
        descent.zero_grad()
        loss.backward()
        descent.step()
        state = tuple(each.detach() for each in state) if kind == "lstm" else state.detach()
        theirs.append(loss.item())
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for name, array in twin.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], array.numpy(), atol=1e-5)
    last = step.carried.arrays
    for found, expected in zip(last, state if kind == "lstm" else (state,), strict=True):
        np.testing.assert_allclose(Tensor(found).numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_piece_is_the_full_gradient_and_pieces_give_the_outputs_of_the_whole(kind: str, device: str) -> None:
    with dl.device(device):
        (whole,) = pieces(24)
        gradients = []
        for carry in (None, 4):
            model = made(kind)
            step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5), carry_state=carry)
            step(*whole)
            gradients.append(step.flat.gather_grad().copy())
        np.testing.assert_array_equal(*(Tensor(each).numpy() for each in gradients))
        state = model.initial_state(4)
        with no_grad():
            outputs = []
            for x, _ in pieces():
                output, state = model.forward_from(x, state)
                outputs.append(output.numpy())
            np.testing.assert_allclose(np.concatenate(outputs, axis=1), model(whole[0]).numpy(), atol=1e-5)


def test_a_batch_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    section = config(tmp_path)["data"]
    data = prepare(section, seed=0)
    train, cpu = data.splits["train"], get("cpu")
    loader = Loader(train, data.normalizer, cpu, np.dtype("float32"), 8, 0, streams=True)
    assert loader.steps_per_epoch == len(train) // 8 == loader.samples_per_epoch // 8
    firsts = []
    for epoch in range(3):
        steps = range(epoch * loader.steps_per_epoch, (epoch + 1) * loader.steps_per_epoch)
        batches = [loader.batch(step) for step in steps]
        streams = np.concatenate([x for x, _ in batches], axis=1)  # (8, steps x 6)
        ends = np.concatenate([y for _, y in batches], axis=1)
        np.testing.assert_array_equal(streams[:, 1:], ends[:, :-1])
        np.testing.assert_array_equal(
            streams.ravel(), train.tokens[(start := _place(train.tokens, streams)) :][: streams.size]
        )
        firsts.append(start)
    assert len(set(firsts)) > 1 and max(firsts) < 6
    for whole in (
        loader.in_batches_of(5),
        Loader(data.splits["val"], data.normalizer, cpu, "f4", 8, 0, False, streams=True),
    ):
        found = list(whole.batches())
        split = train if whole.batch_size == 5 else data.splits["val"]
        assert [len(x) for x, _ in found[:-1]] == [whole.batch_size] * (len(split) // whole.batch_size)
        for (_, before), (after, _) in zip(found, found[1:], strict=False):
            np.testing.assert_array_equal(before[: len(after), -1], after[:, 0])
        np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), split.x[whole.in_order])
        assert sorted(whole.in_order) == list(range(len(split)))


def _place(tokens: np.ndarray, streams: np.ndarray) -> int:
    flat = streams.ravel()
    return next(i for i in range(6) if (tokens[i : i + flat.size] == flat).all())


def test_evaluation_carries_the_state_too_and_begins_at_zero(tmp_path: Path) -> None:
    result = dl.run(config(tmp_path), out=tmp_path, quiet=True, plots=False)
    measured = result.metrics["val"]["cross_entropy"]
    assert evaluate_run(load_run(result.folder), "val") == {"val": result.metrics["val"]}
    split, model = prepare(config(tmp_path)["data"], seed=0).splits["val"], result.model.eval()
    total, streams = 0.0, np.array_split(np.arange(len(split)), 8)  # a stream by itself, as one long input
    with no_grad():
        for rows in streams:
            x, y = split.x[rows].reshape(1, -1), split.y[rows].reshape(1, -1)
            total += F.cross_entropy(model(x), y).item() * y.size
    assert measured == pytest.approx(total / split.y.size, rel=1e-5)
    with np.load(result.folder / "predictions.npz") as arrays:
        logits, labels = arrays["val_output"].astype(float), arrays["val_y"]
    odds = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert -odds[np.arange(len(labels)), labels].mean() == pytest.approx(measured, rel=1e-4)


@pytest.mark.parametrize("steps", [(5,), (9, 10, 11)], ids=str)
def test_resumed_in_an_epoch_or_at_its_end_it_is_the_same_run(
    tmp_path: Path, monkeypatch, steps: tuple[int, ...]
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    given = config(tmp_path, train__checkpoint_every=1)
    whole = go(given, tmp_path / "whole").folder
    broken = killed_at(monkeypatch, given, tmp_path / "broken", *steps)
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


def test_watching_changes_nothing(tmp_path: Path) -> None:
    first, second = [
        dl.run(config(tmp_path, train__watch=watch), out=tmp_path, quiet=True, plots=False).metrics
        for watch in (True, False)
    ]
    assert first == second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "gpt", "layers": 1, "heads": 1, "width": 8}}, "model gpt keeps no state .*char_rnn does"),
        ({"data": {"name": "adding_problem", "samples": 40}, "model": "lstm", "loss": "mse", "metrics": ["mse"]},
         "train.carry_state: the model lstm keeps no state from one input to the next"),
        ({"train__batch_size": "full"}, "batch_size: full has one"),
        ({"train__batch_size": 60}, "104 windows in 60 streams.*smaller train.batch_size or data.context"),
        ({"train__accumulate": 2}, "train.accumulate: cuts a batch of sequences"),
        ({"optimizer": "lbfgs"}, "train.carry_state: moves the state once a step, and lbfgs"),
    ],
)  # fmt: skip
def test_what_carries_nothing_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises((ConfigError, UserError), match=message):
        dl.run(config(tmp_path, **changes), out=tmp_path, quiet=True)


def test_a_step_refuses_what_it_cannot_carry() -> None:
    model = made()
    adam = optim.Adam(model.parameters())
    with pytest.raises(ArgumentError, match="one pass for each step"):
        dl.TrainStep(model, F.cross_entropy, adam, carry_state=4, accumulate=2)
    net = models.GPT((6,), 9, 1, 1, 8)
    with pytest.raises(UserError, match="GPT keeps no state"):
        dl.TrainStep(net, F.cross_entropy, optim.Adam(net.parameters()), carry_state=4)
