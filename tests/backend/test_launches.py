"""What a captured step asks of a GPU, counted on the stand-in: steps of course size are bound by their launches.

Each net's plan says every kernel, product, copy and operation of the array library in its step. A launch more than
planned is a finding, one less a plan to be mended. The batch's way into the graph is not in it. Nets are as the speed
tables have them, but for what changes no launch: sizes, steps of a sequence.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.backend import random
from dlcourse.data import Loader, Split
from dlcourse.data.normalizer import Normalizer
from dlcourse.models.char_rnn import CharRNN
from dlcourse.models.cnn import CNN
from dlcourse.models.gpt import GPT
from dlcourse.models.mlp import MLP
from dlcourse.models.resnet import ResNet
from dlcourse.models.softmax import SoftmaxModel
from dlcourse.training.stack import Stack

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
pytestmark = pytest.mark.skipif(ELSEWHERE, reason="launches are counted on the stand-in for CuPy (-p tests.fake_cupy)")

CLASSES, STEPS = 10, 6
DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(256, 20)).astype("float32"), DRAW.integers(0, CLASSES, 256)
FEW_IMAGES = DRAW.normal(size=(2, 8, 8, 3)).astype("float32"), DRAW.integers(0, CLASSES, 2)
IMAGES = DRAW.normal(size=(8, 8, 8, 3)).astype("float32"), DRAW.integers(0, CLASSES, 8)
TEXT = DRAW.integers(0, CLASSES, (4, STEPS)), DRAW.integers(0, CLASSES, (4, STEPS))

LOSS = Counter(cross_entropy_float=1)
"""Rows, their mean and the gradient; backward starts from it without a 1."""
LAST = Counter(product=3)
"""A linear layer: x W^T + b; dW with db; dx."""
HIDDEN = Counter(product=3, relu_bias_grad_float=1)
"""A linear layer and a ReLU: max(x W^T + b, 0); the gradient through the ReLU with db; dW; dx."""
NO_INPUT_GRAD = Counter(product=1)
"""What the first layer does not need."""
SGD, ADAM = Counter(sgd_step_float=1), Counter(adam_step_float=1)
HEAD = HIDDEN + LAST + LOSS
"""Of the convolutional nets: a hidden layer, the last one, the loss."""
POOL = Counter(max_pool_2x2_float=1, max_pool_grad_2x2_float=1)
BATCH_NORM = Counter(
    (
        "batch_norm_statistics_float",
        "batch_norm_apply_float",
        "batch_norm_grad_sums_float",
        "batch_norm_grad_apply_float",
    )
)
"""With the running averages; a ReLU too."""
NORM = Counter(layer_norm_float=1, layer_norm_grad_float=1)

STREAM = Counter({"take": 1, "add": 1, "embedding_parts_float": 1, "iadd": 1, "sum": 1, "zeros": 1, "copy into": 2})
"""Of a GPT, tokens and places: looked up and added; gradients of both, of the tokens also from the last layer."""

BLOCK = (
    NORM
    + NORM
    # the attention's two projections, the MLP's two layers
    + Counter(product=4 * 3)
    # heads are read and written as the projections have them
    + Counter(attention_forward_32_float=1, attention_queries_grad_32_float=1, attention_keys_grad_32_float=1)
    + Counter(gelu_tanh_bias_grad_float=1)
    # both residual sums; where their gradients meet, the norm's adds
    + Counter(add_float=2)
)
"""Of a transformer."""

PLANS: dict[str, tuple[Callable[[], nn.Module], tuple, Callable, Counter]] = {
    "softmax": (lambda: SoftmaxModel((20,), CLASSES), ROWS, optim.SGD, LAST - NO_INPUT_GRAD + LOSS + SGD),
    "mlp, one hidden layer": (
        lambda: MLP((20,), CLASSES, [16]),
        ROWS,
        optim.SGD,
        HIDDEN + LAST - NO_INPUT_GRAD + LOSS + SGD,
    ),
    "mlp": (
        lambda: MLP((20,), CLASSES, [16, 16]),
        ROWS,
        optim.SGD,
        HIDDEN + HIDDEN + LAST - NO_INPUT_GRAD + LOSS + SGD,
    ),
    "cnn, narrow": (
        lambda: CNN((8, 8, 3), CLASSES, [32], [16]),
        IMAGES,
        optim.Adam,
        # the convolution with its ReLU; the gradient through that with db; the weight's
        Counter(conv_forward_32_float=1, relu_bias_grad_float=1, conv_weight_grad_32_float=1)
        + POOL + HEAD + ADAM,
    ),
    "cnn, wide": (
        lambda: CNN((8, 8, 3), CLASSES, [40], [16]),
        IMAGES,
        optim.Adam,
        Counter(patches_float=2, product=2, relu_bias_grad_float=1) + POOL + HEAD + ADAM,
    ),
    "cnn, normalized": (
        lambda: CNN((8, 8, 3), CLASSES, [40], [16], batch_norm=True),
        IMAGES,
        optim.Adam,
        Counter(patches_float=2, product=2) + BATCH_NORM + POOL + HEAD + ADAM,
    ),
    "resnet20": (
        lambda: ResNet((8, 8, 3), CLASSES, 20),
        FEW_IMAGES,
        optim.SGD,
        # 19 convolutions: 7 of 16 channels, 6 of 32, 6 of 64 by patches and products; of none to the image a gradient
        Counter(conv_forward_16_float=1, conv_forward_16_fours_float=6, conv_forward_32_fours_float=6)
        + Counter(conv_weight_grad_16_float=1, conv_weight_grad_16_fours_float=6, conv_weight_grad_32_fours_float=6)
        + Counter(conv_input_grad_16_fours_float=7, conv_input_grad_32_fours_float=6)
        + Counter(patches_float=6, product=6) + Counter(patches_float=6, product=6, ascontiguousarray=5)
        + Counter(patches_float=5, product=5)
        # with each its ReLU, and the sum at the end of a block; the gradients that meet before the first block
        + Counter({name: 19 for name in BATCH_NORM}) + Counter(add_float=1)
        # two shortcuts that change the shape
        + Counter({"zeros": 4, "copy into": 4})
        # the mean over the image and its gradient, which is spread out
        + Counter(sum=1, truediv=2, reshape=1) + LAST + LOSS + SGD,
    ),
    "lstm": (
        lambda: CharRNN((STEPS,), CLASSES, "lstm", hidden=8, embedding=8),
        TEXT,
        optim.Adam,
        # a product and a kernel for each step each way; the products of the inputs and of the three gradients
        Counter(product=2 * STEPS + 4, lstm_step_float=STEPS, lstm_grad_step_float=STEPS) + LAST + LOSS + ADAM
        # the embedding and its gradient; two biases that are one, and the copy of its gradient for the other
        + Counter({"take": 1, "embedding_parts_float": 1, "add": 1, "column_sums_float": 1, "copy into": 2})
        # the first states, and the last hidden one apart from the outputs
        + Counter(zeros=1, stack=1),
    ),
    "gpt": (
        lambda: GPT((STEPS,), CLASSES, layers=2, heads=2, width=16),
        TEXT,
        optim.AdamW,
        BLOCK + BLOCK + NORM + LAST + LOSS + ADAM + STREAM,
    ),
    "gpt, 4 layers": (
        lambda: GPT((STEPS,), CLASSES, layers=4, heads=2, width=16),
        TEXT,
        optim.AdamW,
        BLOCK + BLOCK + BLOCK + BLOCK + NORM + LAST + LOSS + ADAM + STREAM,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_step_launches_what_is_planned(name: str, device: str) -> None:
    from tests.cuda_host.capture import Stream

    make, batch, optimizer, plan = PLANS[name]
    model = make()
    step = dl.TrainStep(model, F.cross_entropy, optimizer(model.parameters(), lr=0.01))
    step.capture = False
    x, y = map(backend.current().asarray, batch)
    for _ in range(2):  # kernels compile and products are planned before a step is captured
        step(x, y)
    stream = Stream()
    stream.begin_capture()
    step.update(x, y)
    found = Counter(stream.end_capture().launches)
    assert (found - plan, plan - found) == (Counter(), Counter()), f"{found.total()} launches, planned {plan.total()}"


@pytest.mark.parametrize("count", [1, 4])
def test_batches_made_in_the_graph_cost_a_launch_a_step(count: int, device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda import graph

    monkeypatch.setattr(graph, "MULTI_STEP", ((1e9, count),))
    x, y = ROWS
    place = backend.current()
    loader = Loader(Split(x, y, np.arange(len(x))), Normalizer(0.0, 1.0), place, "float32", 8, 0)
    model = SoftmaxModel((20,), CLASSES)
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.01))
    while step.step < 12:
        step.runner.advance(step, loader, 100)
    (captured,) = [each for each in step.runner.graphs.values() if len(each.losses) == count]
    # The batch and the step, which writes its loss where all of a launch's lie; once a launch the counter.
    plan = Counter(device_batch_rows=count, iadd=1)
    for _ in range(count):
        plan += PLANS["softmax"][3]
    assert Counter(captured.graph.launches) == plan


REPLICAS = 3
STACKS: dict[str, tuple[Callable[[], nn.Module], type, Counter]] = {
    "softmax": (
        lambda: SoftmaxModel((20,), CLASSES),
        optim.SGD,
        # x W^T, + b; dW; db, which the stand-in sums and then copies
        Counter({"product": 2, "iadd": 1, "sum": 1, "copy into": 1})
        + Counter(cross_entropy_each_float=1, sgd_step_each_float=1),
    ),
    "mlp, one hidden layer": (
        lambda: MLP((20,), CLASSES, [16]),
        optim.Adam,
        Counter({"product": 5, "iadd": 2, "sum": 2, "copy into": 2, "relu_float": 1, "relu_grad_float": 1})
        + Counter(cross_entropy_each_float=1, adam_step_each_float=1),
    ),
}
"""What a step of a stack launches, however many replicas there are."""


@pytest.mark.parametrize("name", STACKS)
def test_a_step_of_a_stack_launches_what_is_planned(name: str, device: str) -> None:
    make, optimizer, plan = STACKS[name]
    steps, draws = [], [random.Draws() for _ in range(REPLICAS)]
    for number, own in enumerate(draws):
        with random.drawing(own):
            random.manual_seed(number)
            model = make()
            rule = optimizer(model.parameters(), lr=0.01 * (number + 1))
            steps.append(dl.TrainStep(model, nn.CrossEntropyLoss(), rule))
    x, y = ROWS
    split = Split(x, y, np.arange(len(x)))
    loader = Loader(split, Normalizer(0.0, 1.0), backend.current(), "float32", 8, 0)
    step = Stack(steps, draws).joint
    while step.step < 4:
        step.runner.advance(step, loader, 1)
    (captured,) = step.runner.graphs.values()
    found = Counter(captured.graph.launches)
    # A cost of each is looked at, which launches nothing on a device.
    plan = plan + Counter(take=REPLICAS) + Counter(device_batch_rows=1, iadd=1)
    assert (found - plan, plan - found) == (Counter(), Counter())


def test_totals_of_stacks() -> None:
    """The numbers to quote, with the batch and the counter that it goes by."""
    assert {name: plan.total() + 2 for name, (*_, plan) in STACKS.items()} == {
        "softmax": 9,
        "mlp, one hidden layer": 17,
    }


def test_totals() -> None:
    """The numbers to quote."""
    totals = {name: plan.total() for name, (*_, plan) in PLANS.items()}
    assert totals == {
        "softmax": 4,
        "mlp, one hidden layer": 8,
        "mlp": 12,
        "cnn, narrow": 14,
        "cnn, wide": 16,
        "cnn, normalized": 19,
        "resnet20": 172,
        "lstm": 41,
        "gpt": 59,
        "gpt, 4 layers": 103,
    }
