"""oneDNN is chosen where it suits, and everything goes on without it."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dlcourse.backend.cpu import activation_onednn, conv_onednn, norm_onednn, onednn, packaged, recurrent_onednn
from dlcourse.backend.kernels import activation, conv, norm, recurrent
from dlcourse.backend.kernels.conv import ConvGeometry

needs_onednn = pytest.mark.skipif(not onednn.available(), reason="oneDNN is not installed (extra cpu)")
GEOMETRY = ConvGeometry(padding=(1, 1))


def images(dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 8, 8, 3)).astype(dtype), rng.normal(size=(16, 3, 3, 3)).astype(dtype)


def test_threads_that_begin_together_get_one_engine() -> None:
    """What was made with one engine fails with another: "oneDNN failed with status 2"."""
    made: list[object] = []
    together = threading.Barrier(4)

    def make() -> object:
        time.sleep(0.01)
        made.append(object())
        return made[-1]

    once = packaged.once(make)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: (together.wait(), once())[1], range(4)))
    assert len(made) == 1 and all(each is made[0] for each in found)


@needs_onednn
def test_float32_goes_through_onednn() -> None:
    x, weight = images()
    y = conv_onednn.conv2d(x, weight, None, GEOMETRY)
    np.testing.assert_allclose(y, conv.conv2d.reference(x, weight, None, GEOMETRY), rtol=1e-4, atol=1e-4)


@needs_onednn
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [
        ((2, 3), (0, 2), (1, 1), 1),
        ((1, 1), (2, 2), (2, 2), 1),
        ((3, 3), (0, 0), (1, 2), 1),
        ((2, 2), (1, 1), (1, 1), 4),
    ],
)
def test_convolution_settings(stride: tuple, padding: tuple, dilation: tuple, groups: int) -> None:
    """Among them windows whose last step leaves some rows over, and channels in groups."""
    rng, geometry = np.random.default_rng(1), ConvGeometry(stride, padding, dilation, groups)
    x = rng.normal(size=(3, 12, 11, 8)).astype(np.float32)
    weight = rng.normal(size=(12, 3, 3, 8 // groups)).astype(np.float32)
    expected = conv.conv2d.reference(x, weight, None, geometry)
    dout = rng.normal(size=expected.shape).astype(np.float32)
    passes = [
        (conv_onednn.conv2d(x, weight, None, geometry), expected),
        (
            conv_onednn.conv2d_input_grad(dout, weight, x.shape, geometry),
            conv.conv2d_input_grad.reference(dout, weight, x.shape, geometry),
        ),
        (
            conv_onednn.conv2d_weight_grad(dout, x, weight.shape, geometry, None),
            conv.conv2d_weight_grad.reference(dout, x, weight.shape, geometry, None),
        ),
    ]
    for ours, theirs in passes:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_what_does_not_suit_is_left_to_numpy() -> None:
    x, weight = images(np.float64)
    assert conv_onednn.conv2d(x, weight, None, GEOMETRY) is NotImplemented
    assert conv_onednn.conv2d(x[:0].astype(np.float32), weight.astype(np.float32), None, GEOMETRY) is NotImplemented
    assert activation_onednn.gelu(x.reshape(-1)) is NotImplemented
    assert norm_onednn.layer_norm(x.reshape(-1, 3), weight[0, 0, 0], weight[0, 0, 0], 1e-5) is NotImplemented
    assert norm_onednn.batch_norm(x.reshape(-1, 3), *[weight[0, 0, 0]] * 2, None, 1e-5, None, False) is NotImplemented


def test_inputs_that_are_views_are_read_as_they_are() -> None:
    x, weight = images()
    wide = np.zeros((2, 8, 8, 6), dtype=np.float32)
    wide[..., ::2] = x
    y = conv.conv2d(wide[..., ::2], weight, None, GEOMETRY)
    np.testing.assert_allclose(y, conv.conv2d(x, weight, None, GEOMETRY), rtol=1e-5, atol=1e-5)


def test_switched_off_everything_goes_on() -> None:
    program = """
import numpy as np
from dlcourse.backend.cpu import onednn
from dlcourse.backend.kernels import conv
assert not onednn.available() and onednn.version() is None
print(conv.conv2d(np.ones((1, 3, 3, 1), "f"), np.ones((1, 3, 3, 1), "f"), None, conv.ConvGeometry()).item())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, onednn.DISABLE: "0", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "9.0", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_process_computes_without_it() -> None:
    """GNU OpenMP's threads do not survive a fork; a primitive in the child would wait for them forever."""
    program = """
import os, numpy as np
from dlcourse.backend.cpu import onednn, threads
from dlcourse.backend.kernels import activation, conv, norm, recurrent
x, w = np.ones((8, 32, 32, 8), "f"), np.ones((8, 3, 3, 8), "f")
def step():
    y = conv.conv2d(x, w, None, conv.ConvGeometry(padding=(1, 1)))
    return norm.batch_norm(y.reshape(-1, 8), np.ones(8, "f"), np.ones(8, "f"), None, 1e-5, None, False)[0]
expected = step()
child = os.fork()
if child == 0:
    fine = not onednn.available() and np.allclose(step(), expected, atol=1e-3)
    os._exit(0 if fine else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "0", done.stderr


def test_a_statistic_far_from_zero_keeps_its_digits() -> None:
    x = (1e3 + np.random.default_rng(0).normal(size=(20_000, 4))).astype(np.float32)
    ones = np.ones(4, dtype=np.float32)
    y, mean, inverse, _ = norm.batch_norm(x, ones, 0 * ones, None, 1e-5, None, False)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(inverse, 1 / exact.std(axis=0), rtol=1e-3)


@pytest.mark.parametrize("size", [7, 1 << 15])
def test_relu_hides_no_nan(size: int) -> None:
    """Else a net that has diverged has a finite loss again."""
    x = np.ones(size, dtype=np.float32)
    x[:3] = np.nan, -np.inf, np.inf
    np.testing.assert_array_equal(activation.relu(x), np.maximum(x, 0))
    other = np.ones_like(x)
    for a, b in ((x, other), (other, np.abs(x))):
        np.testing.assert_array_equal(activation.add_relu(a, b), np.maximum(a + b, 0))
    rows = np.random.default_rng(0).normal(size=(size * 16, 1)).astype(np.float32).reshape(-1, 16)
    rows[0, 0] = np.nan
    y = norm.batch_norm(rows, np.ones(16, np.float32), np.zeros(16, np.float32), None, 1e-5, None, True)[0]
    assert np.isnan(y[:, 0]).all() and np.isfinite(y[:, 1:]).all()


@needs_onednn
@pytest.mark.parametrize("shape", [(4096, 16), (2048, 24)])
def test_the_signs_lie_as_the_reference_packs_them(shape: tuple) -> None:
    """So either implementation can go on from the other's."""
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.normal(size=s).astype(np.float32) for s in (shape, shape[1:], shape[1:]))
    y, _, _, positive = norm_onednn.batch_norm(x, weight, bias, None, 1e-5, None, True)
    np.testing.assert_array_equal(positive, norm.pack(y > 0))


@needs_onednn
def test_lstm_both_ways_with_destinations() -> None:
    """A size at which oneDNN takes over: the gradients go on from its own forward pass."""
    rng = np.random.default_rng(0)
    n, steps, width, size = 32, 16, 24, 64
    shapes = (n, steps, width), (n, size), (n, size), (4 * size, width), (4 * size, size), (4 * size,)
    inputs = [(0.3 * rng.normal(size=shape)).astype(np.float32) for shape in shapes]
    hidden, cell, saved = recurrent.lstm_layer(*inputs)
    assert isinstance(saved, recurrent_onednn.Saved)
    exact = [array.astype(np.float64) for array in inputs]
    expected_hidden, expected_cell, exact_kept = recurrent.lstm_layer.reference(*exact)
    np.testing.assert_allclose(hidden, expected_hidden, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cell, expected_cell, rtol=1e-5, atol=1e-5)
    douts = [rng.normal(size=array.shape).astype(np.float32) for array in (hidden, cell)]
    for _ in range(2):  # twice: nothing is added to what an earlier call left
        places = tuple(np.full(shape, np.nan, np.float32) for shape in shapes[3:])
        grads = recurrent.lstm_layer_grad(*douts, tuple(inputs), hidden, saved, places)
        assert all(grad is place for grad, place in zip(grads[3:], places, strict=True))
        theirs = recurrent.lstm_layer_grad.reference(*douts, tuple(exact), expected_hidden, exact_kept, (None,) * 3)
        for ours, other in zip(grads, theirs, strict=True):
            np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
