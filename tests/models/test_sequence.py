"""Models of sequences of numbers: one output or one at every step, what a step sees, and that each learns."""

import numpy as np
import pytest

from dlcourse import models, nn, optim
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ShapeError, UserError
from dlcourse.training.step import TrainStep

X = np.random.default_rng(0).normal(size=(6, 9, 3)).astype(np.float32)

MODELS = {
    "rnn": lambda **more: models.RNNModel((9, 3), 2, hidden=12, nonlinearity="relu", **more),
    "lstm": lambda **more: models.LSTMModel((9, 3), 2, hidden=12, layers=2, **more),
    "gru": lambda **more: models.GRUModel((9, 3), 2, hidden=12, **more),
    "conv1d": lambda **more: models.Conv1D((9, 3), 2, channels=[12, 12], dilations=[1, 2], batch_norm=True, **more),
}


def outputs(model: models.Model, x: np.ndarray = X) -> np.ndarray:
    return model.eval()(tensor(x)).numpy()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("every_step", [False, True])
def test_a_model_learns_a_batch_by_heart(name: str, every_step: bool, device: str) -> None:
    model = MODELS[name]()
    model.every_step = every_step
    y = np.random.default_rng(1).normal(size=(6, 9, 2) if every_step else (6, 2)).astype(np.float32)
    assert model(tensor(X)).shape == y.shape
    step = TrainStep(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=2e-2))
    first = step(X, y).item()
    for _ in range(80):
        last = step(X, y).item()
    assert last < 0.4 * first


@pytest.mark.parametrize("name", MODELS)
def test_no_step_sees_a_later_one(name: str) -> None:
    model = MODELS[name]()
    model.every_step = True
    changed = X.copy()
    changed[:, 5:] += 1
    before, after = outputs(model), outputs(model, changed)
    np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert (np.abs(before[:, 5:] - after[:, 5:]).max(axis=(0, 2)) > 1e-4).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_single_output_is_made_of_the_steps_as_pool_says(name: str) -> None:
    for pool, expected in (("last", lambda h: h[:, -1]), ("mean", lambda h: h.mean(1)), ("max", lambda h: h.max(1))):
        model = MODELS[name](pool=pool).eval()
        found = model.encoder(tensor(X))
        features = (found[0] if isinstance(found, tuple) else found).numpy()
        weight, bias = model.linear.weight.numpy(), model.linear.bias.numpy()
        np.testing.assert_allclose(outputs(model), expected(features) @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_a_convolution_is_the_sum_over_its_steps() -> None:
    model = models.Conv1D((9, 3), 2, channels=[4], kernel_size=2, dilations=[3])
    conv = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    weight, bias = conv.weight.numpy()[:, 0], conv.bias.numpy()  # (4, 2, 3)
    padded = np.concatenate([np.zeros((6, 3, 3), np.float32), X], axis=1)
    expected = np.maximum(padded[:, :9] @ weight[:, 0].T + padded[:, 3:] @ weight[:, 1].T + bias, 0)
    np.testing.assert_allclose(model.encoder(Tensor(X)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_not_causal_a_convolution_looks_to_both_sides() -> None:
    model = models.Conv1D((9, 3), 2, channels=[4], causal=False)
    model.every_step = True
    changed = X.copy()
    changed[:, 5] += 1
    moved = np.abs(outputs(model) - outputs(model, changed)).max(axis=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 4 + [True] * 3 + [False] * 2


@pytest.mark.parametrize("make", [models.RNNModel, models.LSTMModel, models.GRUModel, models.Conv1D])
def test_an_image_is_read_row_by_row_or_pixel_by_pixel(make) -> None:
    """The same weights on the same numbers in the shape of a sequence give the same outputs."""
    images = np.random.default_rng(0).normal(size=(4, 5, 3, 2)).astype(np.float32)
    more = {"channels": [4]} if make is models.Conv1D else {"hidden": 4}
    for scan, sequence in (("rows", (5, 6)), ("pixels", (15, 2))):
        model, twin = make((5, 3, 2), 3, scan=scan, **more), make(sequence, 3, **more)
        twin.load_state_dict(model.state_dict())
        np.testing.assert_array_equal(outputs(model, images), outputs(twin, images.reshape(4, *sequence)))


def test_weights_from_state_to_state_are_drawn_gate_by_gate() -> None:
    encoder = models.LSTMModel((9, 3), 2, hidden=5, layers=2, recurrent_init="orthogonal").encoder
    for layer in (0, 1):
        gates = getattr(encoder, f"weight_hh_l{layer}").numpy().reshape(4, 5, 5)
        np.testing.assert_allclose(gates @ gates.transpose(0, 2, 1), np.tile(np.eye(5), (4, 1, 1)), atol=1e-6)
        assert not getattr(encoder, f"bias_hh_l{layer}").numpy().any()
    # With the identity a ReLU net without inputs keeps its state.
    encoder = models.RNNModel((9, 3), 2, hidden=5, nonlinearity="relu", recurrent_init="eye").encoder
    first = tensor(np.abs(X[:1, :1, :2]).repeat(3, axis=2)[:, :, :5])
    output, last = encoder(tensor(np.zeros((1, 9, 3), np.float32)), first)
    np.testing.assert_array_equal(last.numpy(), first.numpy())
    default, usual = models.GRUModel((9, 3), 2, recurrent_init="default").encoder, nn.GRU(3, 64)
    assert default.bias_hh_l0.numpy().any() and default.bias_hh_l0.shape == usual.bias_hh_l0.shape


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.Conv1D((9, 3), 2, channels=[]), "needs at least one number in channels"),
        (lambda: models.Conv1D((9, 3), 2, channels=[4], kernel_size=2, causal=False), "kernel_size is odd"),
        (lambda: models.Conv1D((9, 3), 2, channels=[4], dilations=[1, 2]), "2 dilations for 1 channels"),
        (lambda: models.LSTMModel((3,), 2), "got .3,.; char_rnn and gpt take the tokens of a text"),
        (lambda: models.RNNModel((8, 8, 3, 2), 2), "rnn: an input is a sequence .steps, features. or an image"),
    ],
)
def test_sizes_that_do_not_fit(make, message: str) -> None:
    with pytest.raises((UserError, ShapeError), match=message):
        make()
