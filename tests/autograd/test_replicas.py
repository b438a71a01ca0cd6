"""Operations on many replicas at once against the same operations for each."""

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse.autograd import Tensor
from dlcourse.autograd.graph import walk_back
from dlcourse.autograd.replicas import Each, NotStackable, ReplicaArray, Replicas, only_own_draws
from dlcourse.backend import random
from dlcourse.ops.linear import linear_relu

COUNT = 3
LABELS = np.array([0, 4, 1, 2, 2, 3, 0])
TARGETS = np.linspace(-1, 1, 35).reshape(7, 5)

CASES = {
    "linear of one batch": (lambda w, b: F.linear(Tensor(TARGETS), w, b), (4, 5), (4,)),
    "linear of batches": (F.linear, (2, 7, 5), (4, 5), (4,)),
    "linear without bias": (F.linear, (7, 5), (4, 5)),
    "linear of shared weights": (lambda x: F.linear(x, Tensor(TARGETS)), (2, 5)),
    "linear relu": (linear_relu, (7, 5), (4, 5), (4,)),
    "cross entropy": (lambda z: F.cross_entropy(z, LABELS), (7, 5)),
    "cross entropy, smoothed": (lambda z: F.cross_entropy(z, LABELS, label_smoothing=0.1), (7, 5)),
    "cross entropy, weighted": (lambda z: F.cross_entropy(z, LABELS, weight=np.arange(5.0)), (7, 5)),
    "hinge": (lambda z: F.multiclass_hinge(z, LABELS), (7, 5)),
    "mse": (lambda z: F.mse_loss(z, TARGETS), (7, 5)),
    "half sse": (lambda z: F.half_sse(z, TARGETS), (7, 5)),
    "huber": (lambda z: F.huber_loss(z, TARGETS), (7, 5)),
    "dropout": (lambda z: F.dropout(z, 0.3), (7, 5)),
    "layer norm": (lambda z, w, b: F.layer_norm(z, 5, w, b), (7, 5), (5,), (5,)),
    "batch norm": (lambda z, w, b: F.batch_norm(z, None, None, w, b, training=True), (7, 5), (5,), (5,)),
    "batch norm relu": (
        lambda z, w, b: F.batch_norm(z, None, None, w, b, training=True, relu=True),
        *((7, 2, 5), (5,), (5,)),
    ),
    "batch norm, residual": (
        lambda z, w, b, r: F.batch_norm(z, None, None, w, b, training=True, relu=True, residual=r),
        *((7, 5), (5,), (5,), (7, 5)),
    ),
    "activations": (lambda z: F.gelu(z) + F.tanh(z) * z.sigmoid() - F.elu(z).exp() / 2, (7, 5)),
    "broadcast": (lambda a, b: a * b + b - a / 2 + TARGETS, (7, 5), (5,)),
    "a use of its own": (lambda a: a.relu() + a.abs() * a, (7, 5)),
    "sums": (lambda z: z.mean(axis=1) + z.sum(axis=-1) + z.mean(), (7, 5)),
    "reshape": (lambda z: z.reshape(5, 7) * 2, (7, 5)),
    "softmax": (lambda z: F.softmax(z) * F.log_softmax(z), (7, 5)),
    "matmul": (lambda a, b: a @ b, (7, 5), (5, 2)),
    "maximum along an axis": (lambda a: a.max(axis=1), (7, 5)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b), (2, 5, 5, 3), (4, 3, 3, 3), (4,)),
}


def replicas():
    draws = [random.Draws() for _ in range(COUNT)]
    for seed, each in enumerate(draws):
        each.start(seed)
    return Replicas(draws)


class Leaf(Tensor):
    """A leaf whose gradient is kept as it comes."""

    __slots__ = ()

    def accumulate(self, grad):
        self._grad = grad if self._grad is None else self._grad + grad


@pytest.mark.parametrize("name", CASES)
def test_equal_to_each_replica_by_itself(name):
    function, *shapes = CASES[name]
    together, rng = replicas(), np.random.default_rng(0)
    values = [rng.normal(size=(COUNT, *shape)) for shape in shapes]
    inputs = [Leaf(ReplicaArray(value, together), True) for value in values]
    y = function(*inputs)
    dy = rng.normal(size=y.data.values.shape)
    walk_back(y._node, y._index, ReplicaArray(dy, together), False)
    for number in together.each():
        together.draws[number].draws.clear()
        alone = [Tensor(value[number].copy(), True) for value in values]
        expected = function(*alone)
        assert y.shape == expected.shape
        expected.backward(dy[number])
        np.testing.assert_allclose(y.data.values[number], expected.data, rtol=1e-10, atol=1e-12)
        for one, leaf in zip(alone, inputs, strict=True):
            np.testing.assert_allclose(leaf._grad.values[number], one.grad.data, rtol=1e-9, atol=1e-11)


def test_settings_of_each():
    together, rng = replicas(), np.random.default_rng(0)
    x = rng.normal(size=(COUNT, 6, 5))
    dropped = F.dropout(Tensor(ReplicaArray(x, together)), Each([0.0, 0.5, 1.0])).data.values
    np.testing.assert_array_equal(dropped[0], x[0])
    assert set(np.unique((dropped[1] / x[1]).round(9))) == {0.0, 2.0} and not dropped[2].any()
    losses = F.cross_entropy(Tensor(ReplicaArray(x, together)), LABELS[:6], label_smoothing=Each([0.0, 0.1, 0.3]))
    expected = [
        F.cross_entropy(Tensor(x[i]), LABELS[:6], label_smoothing=s).item() for i, s in enumerate((0, 0.1, 0.3))
    ]
    np.testing.assert_allclose(losses.data.values, expected)
    with pytest.raises(ValueError, match="probability"):
        F.dropout(Tensor(ReplicaArray(x, together)), Each([0.0, 0.5, 1.5]))


def test_what_belongs_to_no_replica_is_refused():
    together = replicas()
    shared = Tensor(np.ones(3), True)
    with pytest.raises(NotStackable, match="share"):
        shared * Tensor(ReplicaArray(np.ones((COUNT, 3)), together))
    with only_own_draws(), pytest.raises(NotStackable, match="random"):
        F.dropout(Tensor(np.ones(3)), 0.5)
