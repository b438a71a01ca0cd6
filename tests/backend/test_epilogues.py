"""Products that do more: what cuBLASLt is asked for, on the stand-in for CuPy, and what happens where it cannot.

On every device: NaN comes through.
"""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend.kernels import activation, conv, linear

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
on_twin = pytest.mark.skipif(ELSEWHERE, reason="launches are counted on the stand-in for CuPy (-p tests.fake_cupy)")

KERNELS = {"relu": linear.affine_relu, "gelu_tanh": linear.affine_gelu_tanh}


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch):
    """Nothing planned or tried before the test or after it."""
    from dlcourse.backend.cuda import blas, epilogues

    blas._plan.cache_clear()
    monkeypatch.setattr(epilogues, "_seen", {})
    yield
    blas._plan.cache_clear()


def layer(rows: int = 6, inner: int = 5, outer: int = 16, dtype: str = "float32") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=size).astype(dtype) for size in ((rows, inner), (outer, inner), (outer,))]


def launches(call, *hosts: np.ndarray) -> tuple:
    """What a call gives on the device, and what is launched for it once everything has been tried."""
    from tests.cuda_host.capture import Stream

    arrays = [backend.current().asarray(host) for host in hosts]
    call(*arrays)
    stream = Stream()
    stream.begin_capture()
    result = call(*arrays)
    graph = stream.end_capture()
    graph.launch()
    found = result if isinstance(result, tuple) else (result,)
    return [backend.to_host(array) for array in found], graph.launches


@on_twin
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", KERNELS)
def test_an_activation_costs_no_kernel(name: str, dtype: str, untried, device: str) -> None:
    hosts = layer(dtype=dtype)
    found, asked = launches(KERNELS[name], *hosts)
    assert asked == ["product"]
    expected = KERNELS[name].reference(*hosts)
    for ours, theirs in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        tolerance = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * 10)


@on_twin
@pytest.mark.parametrize(
    ("name", "outer", "dtype", "expected"),
    [
        ("relu", 16, "float64", ["product", "iadd", "relu_double"]),
        ("gelu_tanh", 16, "float64", ["product", "iadd", "gelu_tanh_double"]),
        ("gelu_tanh", 15, "float32", ["product", "gelu_tanh_float"]),  # rows 15 apart suit no second matrix
    ],
)
def test_where_there_is_no_epilogue_kernels_follow(
    name: str, outer: int, dtype: str, expected: list[str], untried, device: str
) -> None:
    found, asked = launches(KERNELS[name], *layer(outer=outer, dtype=dtype))
    assert asked == expected


@on_twin
@pytest.mark.parametrize("name", KERNELS)
def test_where_the_library_has_no_algorithm_kernels_follow(name: str, untried, device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda import blas

    monkeypatch.setattr(blas.library(), "unsupported", frozenset({6, 164, 512}))
    _, asked = launches(KERNELS[name], *layer())
    assert asked == ["product", f"{name}_float"]
    dout, x = layer(40, 5, 16)[0], np.ones((40, 3), "float32")
    found, asked = launches(lambda *arrays: linear.weight_and_bias_grad(*arrays, (None, None)), dout, x)
    assert asked == ["product", "column_sums_float"]
    np.testing.assert_allclose(found[1], dout.sum(axis=0), rtol=1e-5)


@on_twin
def test_what_fails_for_another_reason_is_said(untried, device: str, monkeypatch) -> None:
    """Memory that runs out while a product is planned is no lack of an algorithm."""
    from dlcourse.backend.cuda import blas

    monkeypatch.setattr(blas.library(), "cublasLtMatmulAlgoGetHeuristic", lambda *_: 3)
    with pytest.raises(blas.BlasError, match="status 3") as caught:
        linear.affine_relu(*map(backend.current().asarray, layer()))
    assert caught.value.status == 3 and not isinstance(caught.value, blas.NotSupported)


@on_twin
@pytest.mark.parametrize("keeps", [True, False])
def test_nan_goes_through_a_relu_whatever_the_library_does(keeps: bool, untried, device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda import blas

    monkeypatch.setattr(blas.library(), "relu_keeps_nan", keeps)
    x, weight, bias = layer()
    x[2, 3] = np.nan
    found, asked = launches(linear.affine_relu, x, weight, bias)
    assert asked == (["product"] if keeps else ["product", "relu_float"])
    assert np.isnan(found[0][2]).all() and np.isfinite(np.delete(found[0], 2, axis=0)).all()


@on_twin
@pytest.mark.parametrize(("error", "asked"), [(1e-7, ["product"]), (1e-4, ["product", "gelu_tanh_float"])])
def test_a_gelu_of_fewer_digits_is_not_taken(error: float, asked: list, untried, device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda import blas

    monkeypatch.setattr(blas.library(), "gelu", lambda z: activation.gelu_tanh.reference(z) * np.float32(1 + error))
    hosts = layer()
    found, launched = launches(linear.affine_gelu_tanh, *hosts)
    assert launched == asked
    for ours, theirs in zip(found, linear.affine_gelu_tanh.reference(*hosts), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=5e-6)


@on_twin
def test_an_epilogue_that_is_refused_when_it_runs_is_given_up(untried, device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda import blas

    library = blas.library()
    multiply = library.cublasLtMatmul

    def refusing(handle: object, description: object, *rest: object) -> int:
        plain = library.objects[description.value]["attributes"][7] in (1, 4)
        return multiply(handle, description, *rest) if plain else 15

    monkeypatch.setattr(library, "cublasLtMatmul", refusing)
    x, weight, bias = layer()
    _, asked = launches(linear.affine_relu, x, weight, bias)
    assert asked == ["product", "relu_float"]
    found, asked = launches(lambda *arrays: linear.weight_and_bias_grad(*arrays, (None, None)), x, x)
    assert asked == ["product", "column_sums_float"]
    np.testing.assert_allclose(found[0], x.T @ x, rtol=1e-5, atol=1e-5)


@on_twin
def test_what_was_not_tried_is_not_taken_while_a_step_is_recorded(untried, device: str) -> None:
    from tests.cuda_host.capture import Stream

    arrays = [backend.current().asarray(host) for host in layer()]
    stream = Stream()
    stream.begin_capture()
    linear.affine_relu(*arrays)
    assert stream.end_capture().launches == ["product", "relu_float"]


@on_twin
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_biass_gradient_comes_with_the_weights(dtype: str, untried, device: str) -> None:
    rng = np.random.default_rng(0)
    dout, x = rng.normal(size=(40, 7)).astype(dtype), rng.normal(size=(40, 5)).astype(dtype)
    found, asked = launches(lambda *arrays: linear.weight_and_bias_grad(*arrays, (None, None)), dout, x)
    assert asked == ["product"]
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(found[0], dout.T.astype("f") @ x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found[1], dout.sum(axis=0, dtype="f"), rtol=tolerance, atol=tolerance)


@on_twin
@pytest.mark.parametrize("offset", [1, 2, 3])
def test_a_bias_may_lie_anywhere_and_the_choice_knows_it(offset: int, untried, device: str, monkeypatch) -> None:
    """An algorithm that was chosen for an aligned bias could read a vector of four where there is none."""
    from dlcourse.backend.cuda import blas

    chosen, choose = [], blas.library().cublasLtMatmulAlgoGetHeuristic

    def seen(handle: object, description: object, *rest: object) -> int:
        chosen.append(blas.library().objects[description.value]["attributes"][8])
        return choose(handle, description, *rest)

    monkeypatch.setattr(blas.library(), "cublasLtMatmulAlgoGetHeuristic", seen)
    x, weight, _ = layer()
    buffer = backend.current().asarray(np.arange(64, dtype="float32"))
    bias = buffer[offset : offset + 16]
    result = blas.gemm(backend.current().asarray(x), backend.current().asarray(weight).T, bias=bias)
    np.testing.assert_allclose(backend.to_host(result), x @ weight.T + backend.to_host(bias), rtol=1e-5)
    assert chosen[0] & -chosen[0] == bias.data.ptr & -bias.data.ptr


@on_twin
@pytest.mark.parametrize("rows", [1, 31, 32, 64, 1000])
@pytest.mark.parametrize("columns", [1, 33, 70])
def test_column_sums_are_one_kernel_for_any_number_of_blocks(rows: int, columns: int, untried, device: str) -> None:
    """Twice with the same counters: the last block has set them back."""
    x = np.random.default_rng(0).integers(-9, 9, (rows, columns)).astype("float32")
    for _ in range(2):
        found, asked = launches(lambda array: linear.column_sums(array, None), x)
        assert asked == ["column_sums_float"]
        np.testing.assert_array_equal(found[0], x.sum(axis=0))


@on_twin
def test_counters_that_a_recording_makes_are_its_own(untried, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph fills them when it runs: a call outside must not take what is zero only then."""
    from dlcourse.backend.cuda import block_counters
    from tests.cuda_host.capture import Stream

    monkeypatch.setattr(block_counters, "_counters", {})
    xp, stream = backend.current().xp, Stream()
    stream.begin_capture()
    block_counters.block_counters(xp)
    assert stream.end_capture().launches == ["zeros"] and not block_counters._counters
    assert block_counters.block_counters(xp) is block_counters.block_counters(xp)


def test_gelu_from_the_products_kernel_has_the_gradient_of_its_own(device: str) -> None:
    x, weight, bias = (backend.current().asarray(host) for host in layer())
    y, z = linear.affine_gelu_tanh(x, weight, bias)
    dout = backend.current().asarray(np.ones(y.shape, "float32"))
    dz, dbias = linear.gelu_tanh_bias_grad(dout, z, None)
    expected = activation.gelu_tanh_grad.reference(*map(backend.to_host, (dout, z)))
    np.testing.assert_allclose(backend.to_host(dz), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(backend.to_host(dbias), expected.sum(axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [3, 256])
def test_a_net_that_has_diverged_says_so_through_every_fused_activation(rows: int, dtype: str, device: str) -> None:
    """In sizes that go to the libraries and in those that do not."""
    x, weight, bias = layer(rows, 64, 128, dtype)
    x[1, 5] = np.nan
    place = backend.current().asarray
    images, taps = x.reshape(rows, 8, 8, 1), weight.reshape(128, 8, 8, 1)
    geometry = conv.ConvGeometry()
    results = [
        linear.affine_relu(*map(place, (x, weight, bias))),
        *linear.affine_gelu_tanh(*map(place, (x, weight, bias))),
        conv.conv2d_relu(*map(place, (images, taps, bias)), geometry)[:, 0, 0],
    ]
    for result in map(backend.to_host, results):
        assert np.isnan(result[1]).all() and np.isfinite(np.delete(result, 1, axis=0)).all()
