"""cuDNN as it is asked: on a twin that computes with NumPy on the memory it is pointed to, with the stand-in for CuPy.

Then, on any machine, the check that finds the library; and where a GPU has it, the library itself.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.backend import determinism, precision, random
from dlcourse.backend.cuda import autotune, conv_cudnn, cudnn
from dlcourse.backend.cuda.cudnn import FORWARD, INPUT_GRAD, WEIGHT_GRAD
from dlcourse.backend.diagnostics import cudnn_check
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry
from tests.backend.kernel_cases import IMAGES

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
on_twin = pytest.mark.skipif(ELSEWHERE, reason="cuDNN's twin belongs to the stand-in for CuPy")

SOME_LIBRARY = np.random.bit_generator.__file__
"""Which of all there are does not matter."""

KERNELS = {
    FORWARD: kernels.conv2d,
    INPUT_GRAD: kernels.conv2d_input_grad,
    WEIGHT_GRAD: kernels.conv2d_weight_grad,
}
CASES = [case for case in IMAGES if case[0]] + [
    (2, 9, 7, 8, 12, (3, 5), (2, 3), (1, 2), (1, 1), 1),
    (3, 11, 10, 6, 9, (2, 3), (3, 1), (0, 2), (2, 3), 3),
]
"""N, H, W, C, O, window, stride, padding, dilation, groups; among them steps that leave rows over."""


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """cuDNN's twin as the library, nothing planned or chosen before."""
    from tests.cuda_host.cudnn import Library

    library = Library()
    monkeypatch.setattr(cudnn, "library", lambda: library)
    monkeypatch.setattr(autotune, "choices", {})
    monkeypatch.delenv(determinism._DEMANDED, raising=False)
    for cached in (cudnn.convolution, cudnn._handle):
        cached.cache_clear()
    yield library
    for cached in (cudnn.convolution, cudnn._handle):
        cached.cache_clear()


@pytest.fixture
def prefers_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own way takes an hour, so that whatever cuDNN can do it does."""
    measured = autotune._times

    def times(graphs: dict) -> dict:
        return measured(graphs) | {name: 3.6e6 for name in graphs if name == autotune.DEFAULT}

    monkeypatch.setattr(autotune, "_times", times)


def arguments(which: str, case: tuple, dtype: str = "float32") -> tuple:
    n, h, w, channels, outputs, window, *settings = case
    rng, geometry = np.random.default_rng(0), ConvGeometry(*settings)
    x = rng.normal(size=(n, h, w, channels)).astype(dtype)
    weight = rng.normal(size=(outputs, *window, channels // geometry.groups)).astype(dtype)
    bias = rng.normal(size=outputs).astype(dtype)
    dout = rng.normal(size=(n, *geometry.out_size(x.shape, window), outputs)).astype(dtype)
    if which == FORWARD:
        return x, weight, bias, geometry
    return (dout, weight, x.shape, geometry) if which == INPUT_GRAD else (dout, x, weight.shape, geometry, None)


def placed(values: tuple) -> list:
    return [backend.current().asarray(each) if isinstance(each, np.ndarray) else each for each in values]


def computed(which: str, given: tuple) -> np.ndarray:
    return backend.to_host(KERNELS[which](*placed(given)))


@on_twin
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("which", KERNELS)
def test_every_pass_is_the_reference_within_the_stated_error(
    which: str, case: tuple, twin: object, prefers_cudnn: None, device: str
) -> None:
    given = arguments(which, case)
    expected = KERNELS[which].reference(*(a.astype("d") if isinstance(a, np.ndarray) else a for a in given))
    for _ in range(2):  # measured, then chosen
        result = computed(which, given)
        assert result.dtype == np.float32 and result.shape == expected.shape
        error = conv_cudnn.ERROR["float32"] * np.abs(expected).max()
        np.testing.assert_allclose(result, expected, rtol=0, atol=error)
    chosen = [made for key, made in autotune.choices.items() if key[1][1] == which]
    assert [made.name for made in chosen] == ["cuDNN 1"] or [made.name for made in chosen] == ["cuDNN 5"]
    assert not chosen[0].left_out and {number for name, number in twin.calls if name == which} == {1, 5}


@on_twin
def test_a_relu_that_follows_is_a_choice_of_its_own(twin: object, prefers_cudnn: None, device: str) -> None:
    """Ours has it in the same kernel, so what is faster without it need not be with it; NaN goes through either."""
    x, *rest = arguments(FORWARD, CASES[1])
    x[0, 0, 0, 0] = np.nan
    expected = kernels.conv2d_relu.reference(x, *rest)
    for _ in range(2):
        result = backend.to_host(kernels.conv2d_relu(*placed((x, *rest))))
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)
    assert np.isnan(result).any() and (result[~np.isnan(result)] >= 0).all() and twin.calls
    computed(FORWARD, (x, *rest))
    assert len(autotune.choices) == 2


@on_twin
def test_arrays_that_do_not_lie_as_cudnn_reads_are_copied(twin: object, prefers_cudnn: None, device: str) -> None:
    """A weight lies anywhere in the flat buffer; an image may be a part of a larger one."""
    x, weight, _, geometry = arguments(FORWARD, CASES[1])
    place = backend.current()
    buffer = place.asarray(np.zeros(weight.size + 1, "f"))
    buffer[1:] = place.asarray(weight.reshape(-1))
    wide = place.asarray(np.repeat(x, 2, axis=3))
    result = kernels.conv2d(wide[..., ::2], buffer[1:].reshape(weight.shape), None, geometry)
    expected = kernels.conv2d.reference(x, weight, None, geometry)
    np.testing.assert_allclose(backend.to_host(result), expected, rtol=1e-5, atol=1e-4)
    assert twin.calls


@on_twin
@pytest.mark.parametrize("offset", [0, 1])
def test_a_weight_gradient_comes_where_it_is_wanted(
    offset: int, twin: object, prefers_cudnn: None, device: str
) -> None:
    """Straight into the flat gradient, whichever way is chosen, and nothing beside it; by a copy where cuDNN could not
    store there."""
    *given, _ = arguments(WEIGHT_GRAD, CASES[1])
    expected = kernels.conv2d_weight_grad.reference(*given, None)
    buffer = backend.current().asarray(np.full(expected.size + 4 + offset, 7, "f"))
    out = buffer[offset:-4].reshape(expected.shape)
    for _ in range(2):  # measured, then chosen
        twin.results.clear()
        assert kernels.conv2d_weight_grad(*placed(given), out) is out
        np.testing.assert_allclose(backend.to_host(out), expected, rtol=1e-5, atol=1e-4)
        assert (backend.to_host(buffer[-4:]) == 7).all() and (backend.to_host(buffer[:offset]) == 7).all()
        assert (out.data.ptr == twin.results[-1]) is (offset == 0)


@on_twin
@pytest.mark.parametrize(("name", "math"), [("float32", cudnn.FMA_MATH), ("tf32", cudnn.DEFAULT_MATH)])
def test_float32_factors_are_rounded_only_where_the_precision_says_so(
    name: str, math: int, twin: object, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_current", name)
    computed(FORWARD, arguments(FORWARD, CASES[1]))
    assert twin.maths == {math}


@on_twin
def test_half_types_may_use_the_tensor_cores(twin: object, device: str) -> None:
    given = arguments(FORWARD, CASES[1], "float16")
    result = computed(FORWARD, given)
    assert twin.maths == {cudnn.TENSOR_OP_MATH} and result.dtype == np.float16
    expected = kernels.conv2d.reference(*(a.astype("f") if isinstance(a, np.ndarray) else a for a in given))
    np.testing.assert_allclose(result, expected, rtol=0, atol=conv_cudnn.ERROR["float16"] * np.abs(expected).max())


@on_twin
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_what_cudnn_is_not_asked_for_is_ours(dtype: str, twin: object, device: str) -> None:
    x, weight, bias, geometry = arguments(FORWARD, CASES[1])
    given = x, weight.astype("d"), bias, geometry
    given = given if dtype == "mixed" else (x.astype("d"), weight.astype("d"), bias.astype("d"), geometry)
    computed(FORWARD, given)
    assert not twin.calls and not autotune.choices


@on_twin
@pytest.mark.parametrize("which", KERNELS)
def test_what_cudnn_refuses_is_ours(which: str, twin: object, prefers_cudnn: None, device: str) -> None:
    twin.status = 3000
    given = arguments(which, CASES[1])
    expected = KERNELS[which].reference(*given)
    for _ in range(2):
        np.testing.assert_allclose(computed(which, given), expected, rtol=1e-4, atol=1e-4)
    made = next(made for key, made in autotune.choices.items() if key[1][1] == which)
    assert made.name == autotune.DEFAULT and "status 3000" in made.left_out["cuDNN 1"]


@on_twin
def test_a_setting_without_algorithms_is_ours(
    twin: object, prefers_cudnn: None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cuda_host import cudnn as host

    monkeypatch.setattr(host, "ALGORITHMS", host.UNFIT)  # not supported, not deterministic, too much memory
    given = arguments(FORWARD, CASES[1])
    np.testing.assert_allclose(computed(FORWARD, given), kernels.conv2d.reference(*given), rtol=1e-4, atol=1e-4)
    assert not twin.calls and [made.name for made in autotune.choices.values()] == [autotune.DEFAULT]


@on_twin
def test_a_result_beyond_the_stated_error_is_never_used(twin: object, prefers_cudnn: None, device: str) -> None:
    twin.factor = 1 + 1e-3  # about what TF32 does to float32
    given = arguments(FORWARD, CASES[1])
    np.testing.assert_allclose(computed(FORWARD, given), kernels.conv2d.reference(*given), rtol=1e-5, atol=1e-4)
    made = next(iter(autotune.choices.values()))
    assert made.name == autotune.DEFAULT and "off by" in made.left_out["cuDNN 1"]


@on_twin
@pytest.mark.parametrize("why", ["switched off", "deterministic", "absent"])
def test_all_the_ways_to_do_without(why: str, twin: object, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "switched off":
        monkeypatch.setenv(cudnn.DISABLE, "0")
    elif why == "deterministic":
        monkeypatch.setenv(determinism._DEMANDED, "1")
    else:
        monkeypatch.setattr(cudnn, "library", lambda: None)
    given = arguments(WEIGHT_GRAD, CASES[1])
    expected = kernels.conv2d_weight_grad.reference(*given)
    np.testing.assert_allclose(computed(WEIGHT_GRAD, given), expected, rtol=1e-4, atol=1e-4)
    assert not twin.calls and not autotune.choices


@on_twin
def test_a_recorded_step_measures_before_and_gives_the_weights_of_call_by_call(
    twin: object, prefers_cudnn: None, device: str
) -> None:
    rng, place = np.random.default_rng(0), backend.current()
    x, y = rng.normal(size=(4, 8, 8, 3)).astype("f"), rng.integers(0, 5, 4)

    def weights(captured: bool) -> tuple[np.ndarray, object]:
        random.manual_seed(2)
        layers = nn.Conv2d(3, 40, 3, padding=1), nn.ReLU(), nn.Conv2d(40, 6, 3, stride=2), nn.GlobalAvgPool2d()
        model = nn.Sequential(*layers, nn.Linear(6, 5))
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        step.capture = captured
        for index in range(5):
            step(place.asarray(np.roll(x, index, axis=0)), place.asarray(np.roll(y, index)))
        return np.concatenate([backend.to_host(a).reshape(-1) for a in model.state_dict().values()]), step

    captured, step = weights(True)
    assert len(step.runner.graphs) == 1 and {name for name, _ in twin.calls} == set(KERNELS)
    counted = len(autotune.choices)
    plain, _ = weights(False)
    np.testing.assert_array_equal(captured, plain)
    assert len(autotune.choices) == counted


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",
        "import time; time.sleep(60)",
        "raise OSError('libcudnn_ops.so.9: cannot open shared object file')",
        "print(92800, '/nowhere/libcudnn.so.9')",
    ],
)
def test_whatever_becomes_of_the_process_that_tries_it(code: str, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(code)
    monkeypatch.setattr(cudnn, "CHECK", tmp_path / "check.py")
    monkeypatch.setattr(cudnn, "TIMEOUT", 2.0)
    assert cudnn._load() is None


def test_what_has_passed_the_check_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(f"print('a warning'); print(92800, {SOME_LIBRARY!r})")
    monkeypatch.setattr(cudnn, "CHECK", tmp_path / "check.py")
    assert cudnn._load()._name == SOME_LIBRARY


def test_a_cudnn_without_its_parts_does_not_pass(tmp_path: Path) -> None:
    """In a library by that name without the others beside it, the first call would end the process."""
    (tmp_path / cudnn_check.NAME).symlink_to(SOME_LIBRARY)
    finds_no_wheel = "import sys, runpy; sys.modules['cuda'] = None; "
    program = finds_no_wheel + f"runpy.run_path({cudnn_check.__file__!r}, run_name='__main__')"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "libcudnn_graph.so.9" in done.stderr


@pytest.mark.parametrize("name", ["float32", "tf32", "float16"])
@pytest.mark.parametrize("which", KERNELS)
def test_cudnn_itself_is_within_the_stated_error(which: str, name: str, device: str, monkeypatch) -> None:
    """Every algorithm that it offers for a case, chosen or not; that it offers none is no error."""
    if device == "cpu" or not cudnn.available():
        pytest.skip("no cuDNN on a GPU here")
    monkeypatch.setattr(precision, "_current", name)
    share, compared = conv_cudnn.TF32_ERROR if name == "tf32" else conv_cudnn.ERROR[name], 0
    for case in CASES:
        first, second, third, geometry, *rest = arguments(which, case, "float16" if name == "float16" else "float32")
        exact = [a.astype("d") if isinstance(a, np.ndarray) else a for a in (first, second, third)]
        expected = KERNELS[which].reference(*exact, geometry, *rest)
        first, second, third = placed((first, second, third))
        sizes = {
            FORWARD: (first.shape, second.shape, expected.shape),
            INPUT_GRAD: (third, second.shape, first.shape),
            WEIGHT_GRAD: (second.shape, third, first.shape),
        }[which]
        plan = first.device.id, which, sizes, *geometry, first.dtype.name, precision.tensor_float()
        candidates = conv_cudnn._candidates(which, plan, sizes, first, second, third if which == FORWARD else None)
        for number, way in candidates.items():
            off = np.abs(backend.to_host(way()) - expected).max()
            assert off <= share * np.abs(expected).max(), f"{number} at {case}"
            compared += 1
    if not compared:
        pytest.skip(f"cuDNN offers nothing for {which} in {name}")
