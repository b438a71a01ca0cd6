"""What a captured step takes in: every number of every registered component makes another step of it."""

import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import models, nn, optim, registry
from dlcourse.attacks import PGD
from dlcourse.nn.module import Module
from dlcourse.training.host_state import HostState
from dlcourse.training.step import TrainStep

IMAGE, ROW, TOKENS, SERIES = (8, 8, 3), (20,), (5,), (6, 3)
MODELS = {
    "char_rnn": lambda: models.CharRNN(TOKENS, 7, hidden=6, embedding=4, dropout=0.1),
    "cnn": lambda: models.CNN(IMAGE, 4, [4], [6], batch_norm=True, dropout=0.1),
    "diffusion": lambda: models.Diffusion(IMAGE, 4, channels=[4, 8]),
    "conv1d": lambda: models.Conv1D(SERIES, 4, [4], batch_norm=True, dropout=0.1),
    "gpt": lambda: models.GPT(TOKENS, 7, layers=1, heads=2, width=8, dropout=0.1),
    "seq2seq": lambda: models.Seq2Seq(TOKENS, 7, hidden=4, embedding=4, dropout=0.1),
    "airbench": lambda: models.AirBench((32, 32, 3), 4, channels=[4, 4, 4]),
    "dcgan_discriminator": lambda: models.DCGANDiscriminator(IMAGE, 4, [4, 4]),
    "dcgan_generator": lambda: models.DCGANGenerator((5,), 192, [4], out_shape=IMAGE),
    "gan": lambda: models.GAN(ROW, 1, 3, {"name": "mlp", "hidden": [4]}, {"name": "mlp", "hidden": [4]}),
    "googlenet": lambda: models.GoogLeNet(IMAGE, 4, blocks=[[2, 2, 2, 2, 2, 2]], width=0.1),
    "lenet": lambda: models.LeNet((28, 28, 1), 4),
    "mobilenet": lambda: models.MobileNet(IMAGE, 4, width=0.1),
    "wide_resnet": lambda: models.WideResNet(IMAGE, 4, depth=10, widen=1, dropout=0.1),
    **{name: functools.partial(registry.lookup("model", name), SERIES, 4) for name in ("gru", "lstm", "rnn")},
    "linear": lambda: models.LinearModel(ROW, 1),
    "mlp": lambda: models.MLP(ROW, 4, [8], dropout=0.1),
    "resnet": lambda: models.ResNet(IMAGE, 4, depth=8, width=4),
    "softmax": lambda: models.SoftmaxModel(ROW, 4),
    "masked_lm": lambda: models.MaskedLM(TOKENS, 7, layers=1, heads=2, width=8, dropout=0.1),
    "text_classifier": lambda: models.TextClassifier(TOKENS, 4, 7, layers=1, heads=2, width=8, dropout=0.1),
    "vit": lambda: models.VisionTransformer(IMAGE, 4, layers=1, heads=2, width=8, dropout=0.1),
    "vgg": lambda: models.VGG(IMAGE, 4, [4, "pool", 8], dropout=0.1),
}
"""Of the registered ones those that are trained by gradient descent and need something; the others are made plainly."""
SOLVED = {"least_squares", "closed_form"}
BY_THE_DEVICE = {"lr", "steps"}
"""Of an optimizer: what a captured step reads from the device at each launch."""


def made(name: str) -> Any:
    if name in MODELS:
        return MODELS[name]()
    more: dict = {"polynomial": {"degree": 3}, "surface": {"function": "bowl"}}.get(name, {})
    more = {"latent": 1} if name in ("autoencoder", "pca", "vae") else more
    in_shape, out_features = ((), 1) if name == "gaussian_estimators" else ((1,), 2)
    return registry.lookup("model", name)(in_shape, out_features, **more)


def numbers(value: Any) -> Iterator[Any]:
    """The same kind of value with one number in it changed."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1 if isinstance(value, int) else value * 0.5 + 0.03125
    elif isinstance(value, tuple):
        for i, each in enumerate(value):
            yield from ((*value[:i], other, *value[i + 1 :]) for other in numbers(each))


def unseen(step: TrainStep, holder: Any, but: set[str] = frozenset()) -> list[str]:
    """The numeric attributes of an object that may be changed without a change of the step's settings."""
    missed = []
    for name, value in list(vars(holder).items()):
        for other in numbers(value) if name not in but else ():
            before = step.settings()
            setattr(holder, name, other)
            missed += [f"{type(holder).__name__}.{name}"] if step.settings() == before else []
            setattr(holder, name, value)
            assert step.settings() == before
    return missed


def trained(model: Any, optimizer: Any = optim.SGD, loss: Any = F.cross_entropy) -> TrainStep:
    chosen = [p for p in model.parameters() if optimizer is not optim.Muon or p.ndim == 2]
    return TrainStep(model.train(), loss, optimizer(chosen, lr=0.1))


@pytest.mark.parametrize("name", registry.names("model"))
def test_every_number_of_a_models_modules(name: str) -> None:
    model = made(name)
    if not list(model.parameters()):
        pytest.skip("nothing in it is trained")
    step = trained(model)
    assert not [missed for module in model.modules() for missed in unseen(step, module)]


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_every_number_of_an_optimizer(name: str) -> None:
    if name in SOLVED:
        pytest.skip("solved in one step")
    step = trained(made("mlp"), registry.lookup("optimizer", name))
    assert not unseen(step, step.optimizer, BY_THE_DEVICE | {"skipped"})


@pytest.mark.parametrize("name", registry.names("loss"))
def test_every_number_of_a_loss_and_of_the_step(name: str) -> None:
    step = trained(made("mlp"), loss=registry.lookup("loss", name)())
    assert not unseen(step, step.loss_fn)
    step.clip_norm, step.ema, step.attack = 1.0, 0.9, PGD(0.1)
    assert not unseen(step, step.attack)
    assert not unseen(step, step, {"step", "stream", "base_rates", "capture"})


@pytest.mark.parametrize("name", [name for name in dir(nn) if isinstance(getattr(nn, name), type)])
def test_every_number_of_a_layer(name: str) -> None:
    kind = getattr(nn, name)
    arguments = {
        "AdaptiveAvgPool2d": (2,), "AvgPool2d": (2,), "BatchNorm": (4,), "Conv2d": (3, 4, 3), "Embedding": (7, 4),
        "GRU": (4, 6), "GroupNorm": (2, 4), "LSTM": (4, 6), "LayerNorm": (4,), "Linear": (4, 3), "MaxPool2d": (2,),
        "MultiHeadAttention": (8, 2), "RNN": (4, 6), "Transformer": (4, 2, 1, 1, 6),
    }.get(name, ())  # fmt: skip
    try:
        layer = kind(*arguments)
    except TypeError:
        pytest.skip("no layer by itself")
    if not isinstance(layer, Module):
        pytest.skip("no layer")
    step = trained(nn.Sequential(nn.Linear(2, 2), layer))
    assert not unseen(step, layer)


class Own(nn.Module):
    """A user's module, with settings wherever one may keep them."""

    def __init__(self) -> None:
        self.linear = nn.Linear(2, 2)
        self.options = {"scale": 2.0, "powers": [1, 2]}
        self.more = SimpleNamespace(slope=0.1, inner=SimpleNamespace(shift=0.5))
        self.register_buffer("mask", np.ones(2, dtype="f"))
        self.constant = dl.tensor([1.0, 2.0])
        self.act = nn.ReLU()


def set_smoothing(step: TrainStep) -> None:
    step.loss_fn.keywords["label_smoothing"] = 0.2


CHANGES = {
    "a number in a dict": lambda own, step: own.options.update(scale=3.0),
    "a number in a list in a dict": lambda own, step: own.options["powers"].append(3),
    "an attribute of an object": lambda own, step: setattr(own.more, "slope", 0.2),
    "one of an object in an object": lambda own, step: setattr(own.more.inner, "shift", 0.2),
    "another array": lambda own, step: setattr(own, "mask", own.mask.copy()),
    "another array in a tensor": lambda own, step: setattr(own.constant, "data", own.constant.data.copy()),
    "another module": lambda own, step: setattr(own, "act", nn.Tanh()),
    "another function": lambda own, step: setattr(own, "forward", own.linear.forward),
    "an attribute more": lambda own, step: setattr(own, "extra", 1),
    "one less": lambda own, step: delattr(own, "more"),
    "an argument of a partial": lambda own, step: set_smoothing(step),
    "another loss": lambda own, step: setattr(step, "loss_fn", nn.MSELoss()),
    "what is frozen": lambda own, step: setattr(own.linear.weight, "requires_grad", False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_users_own_module_holds(name: str) -> None:
    own = Own()
    step = trained(own, loss=functools.partial(F.cross_entropy, label_smoothing=0.1))
    before = step.settings()
    assert step.settings() == before
    CHANGES[name](own, step)
    assert step.settings() != before


def test_numbers_and_modules_that_a_function_takes_from_around_it() -> None:
    smoothing, calls, loss = 0.1, [], nn.CrossEntropyLoss()

    def cost(outputs: Any, labels: Any) -> Any:
        calls.append(1)
        return loss(outputs, labels) * smoothing

    step = trained(nn.Linear(2, 2), loss=cost)
    before = step.settings()
    cost(dl.tensor(np.ones((1, 2), "f")), np.array([0]))
    assert step.settings() == before, "what it keeps of its calls is its own affair"
    smoothing = 0.2
    assert (after := step.settings()) != before
    loss.label_smoothing = 0.5
    assert step.settings() != after


def test_a_step_says_what_changed_and_counts_as_the_one_before_where_it_changes_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    step = trained(model)
    first = step.settings()
    model[1].p = 0.5
    assert step.settings() != first and step.host_state.last_changed == "Dropout.p"
    model[1].p = 0.1
    assert step.settings() == first


def test_objects_that_refer_to_each_other_and_long_lists_come_to_an_end() -> None:
    model = nn.Linear(2, 2)
    model.words, model.itself = list(range(100_000)), {"model": model}
    model.words.append(model.words)
    state = HostState((model, ()))
    number = state.number
    assert state.number == number and len(state._parts) < 5


def test_an_array_that_takes_the_place_of_one_that_is_gone_is_another() -> None:
    model = nn.Linear(2, 2)
    step, found = trained(model), []
    for _ in range(50):
        model.seen = np.ones(2)
        found.append(step.settings())
    assert len(set(found)) == 50
