"""Every override against its reference, and every kernel with cases."""

import copy
from collections.abc import Iterable

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend.cpu import onednn
from dlcourse.backend.cuda import cudnn
from dlcourse.backend.device import load
from dlcourse.backend.kernels import Implementation, Kernel, all_kernels, kernel, override
from dlcourse.backend.precision import is_floating
from tests.backend.kernel_cases import CASES, WIDE_IMAGES, complete

KERNELS = {k.name: k for k in all_kernels()}
RUNS = [(name, i) for name in CASES for i in range(len(CASES[name]))]

# Roundings of sums of up to a thousand terms near 1; normal_cdf's float32 override states 1.2e-7.
TOLERANCE = {np.float32: 5e-6, np.float64: 1e-12}
WINOGRAD_TOLERANCE = 2e-5
"""Of float32 convolutions of many channels, whose transforms round too; of the largest result."""

# Sums in float32 in another order fall to either side of a rounding: one unit in the last place, and a few more where
# parts of a sum are rounded before they are added up (a convolution's input gradient).
HALF_TOLERANCE = {"float16": 4 * 2.0**-10, "bfloat16": 4 * 2.0**-7}
FULL_ONLY = {
    *("sgd_step_each", "adam_step_each", "adagrad_step_each", "rmsprop_step_each"),
    *("sgd_step", "adam_step", "adagrad_step", "rmsprop_step", "average_step", "clip_norm", "add_penalty"),
    *("philox_bits", "nearest", "cast", "unscale", "refresh_half_weights"),
}
"""What meets no arrays of 16 bits (the optimizer's float32, running averages, random bits, samples), or has them in its
own cases."""


def test_every_kernel_has_cases() -> None:
    assert set(CASES) == set(KERNELS), "tests/backend/kernel_cases.py and the kernels differ"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "index"), RUNS)
def test_override_computes_what_its_reference_does(name: str, index: int, dtype: type, device: str) -> None:
    chosen = KERNELS[name]
    arguments = CASES[name][index](np.random.default_rng(index), dtype)
    wide = _is_wide(name, arguments)
    if wide and (device == "cuda" or dtype == np.float64):
        pytest.skip(FOR_CPU)
    for ours, theirs in _outcomes(chosen, arguments):
        # Long sums of both signs: their rounding goes by the size of the terms, of which the largest result speaks.
        size = np.abs(theirs[np.isfinite(theirs)]).max(initial=1) if theirs.dtype.kind == "f" else 1
        tolerance = WINOGRAD_TOLERANCE if wide else TOLERANCE[dtype]
        np.testing.assert_allclose(backend.to_host(ours), theirs, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("name", CASES)
def test_every_override_is_used_by_some_case(name: str, device: str) -> None:
    """Else one that declines whatever it is given would pass for its reference."""
    load(kind := backend.current().kind)
    observed, used = KERNELS[name].without(None), set()
    there = [each for each in observed.overrides[kind] if _has_its_library(each)]

    def noting(each: Implementation) -> Implementation:
        def call(*arguments: object) -> object:
            result = each.function(*arguments)
            used.update([] if result is NotImplemented else [each.function])
            return result

        return each._replace(function=call)

    observed.overrides = {kind: [noting(each) for each in there]}
    for dtype in (np.float32, np.float64):
        for index, make in enumerate(CASES[name]):
            if len(used) < len(there):
                observed(*complete([_placed(argument) for argument in make(np.random.default_rng(index), dtype)]))
    assert not [each.function.__module__ for each in there if each.function not in used]


def _has_its_library(implementation: Implementation) -> bool:
    module = implementation.function.__module__
    return (onednn.available() or not module.endswith("_onednn")) and (
        cudnn.available() or not module.endswith("_cudnn")
    )


def test_what_declines_leaves_it_to_the_next_and_the_reference_comes_last() -> None:
    tried = []

    def double(x, limit: int):
        tried.append("reference")
        return x + x

    made = Kernel(double)
    for name, priority, limit in [("last", 0, 2), ("first", 2, 0), ("second", 1, 1)]:

        def double(x, limit: int, name=name, maximum=limit):
            tried.append(name)
            return 2 * x if limit <= maximum else NotImplemented

        double.__signature__ = made.signature
        override(made, "cpu", priority=priority)(double)
    for limit, expected in [
        (0, ["first"]),
        (1, ["first", "second"]),
        (3, ["first", "second", "last", "reference"]),
    ]:
        tried.clear()
        assert made(np.ones(1), limit) == 2 and tried == expected
    first = made.overrides["cpu"][0].function
    tried.clear()
    assert made.without(first)(np.ones(1), 0) == 2 and tried == ["second"]
    half = np.ones(1, np.float16)
    assert made(half, 3).dtype == np.float16


FOR_CPU = "this case is for the way that a CPU has for wide layers in float32"


def _is_wide(name: str, arguments: tuple) -> bool:
    return name.startswith("conv2d") and len(arguments[0]) == WIDE_IMAGES[0]


def _outcomes(chosen: Kernel, arguments: tuple) -> list[tuple]:
    """Pairs of arrays of one type and shape, written to or returned: by the device under test, and by the reference on
    the host, which is the specification."""
    given = [_placed(a) for a in arguments]
    expected_arguments = copy.deepcopy(arguments)
    expected = chosen.reference(*complete(expected_arguments, reference=True))
    result = chosen(*complete(given))
    pairs = list(zip(_arrays((*given, result)), _arrays((*expected_arguments, expected)), strict=True))
    for ours, theirs in pairs:
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    return pairs


@pytest.mark.parametrize("half", HALF_TOLERANCE)
@pytest.mark.parametrize(("name", "index"), [run for run in RUNS if run[0] not in FULL_ONLY])
def test_half_precision_is_float32_rounded_at_the_end(name: str, index: int, half: str, device: str) -> None:
    if half == "bfloat16":
        pytest.importorskip("ml_dtypes")
    chosen, tolerance = KERNELS[name], HALF_TOLERANCE[half]
    arguments = CASES[name][index](np.random.default_rng(index), np.float32)
    if _is_wide(name, arguments):
        pytest.skip(FOR_CPU)
    arguments = _halved(arguments, np.dtype(half), chosen)
    for ours, theirs in _outcomes(chosen, arguments):
        if is_floating(theirs.dtype):
            theirs, ours = theirs.astype(np.float64), backend.to_host(ours).astype(np.float64)
            size = np.abs(theirs[np.isfinite(theirs)]).max(initial=1)
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * size)


def _halved(argument: object, half: np.dtype, of: Kernel) -> object:
    """Arrays in 16 bits, but for statistics and dropout's factors, which stay float32 between the two passes."""
    names = list(of.signature.parameters)

    def each(value: object, name: str = "") -> object:
        if name in ("mean", "inverse", "running", "dropout_mask"):
            return value
        if isinstance(value, tuple):
            return _same_kind(value, map(each, value, getattr(value, "_fields", [""] * len(value))))
        return value.astype(half) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value

    return tuple(each(value, name) for value, name in zip(argument, names, strict=False))


def _same_kind(values: tuple, others: Iterable) -> tuple:
    """Other values in a tuple, or a named one, of the same kind."""
    return values._make(others) if hasattr(values, "_make") else tuple(others)


def _placed(argument: object) -> object:
    """An argument on the device under test."""
    if isinstance(argument, np.ndarray):
        return backend.current().asarray(argument).copy()
    return _same_kind(argument, map(_placed, argument)) if isinstance(argument, tuple) else argument


def test_the_type_of_the_first_argument_chooses() -> None:
    made = Kernel(lambda x: "reference")
    override(made, "cpu")(lambda x: "cpu")
    assert made(np.zeros(1)) == "cpu"
    assert made.reference(np.zeros(1)) == "reference"


def test_a_numpy_scalar_is_no_array_of_a_gpu() -> None:
    made = Kernel(lambda x: "reference")
    for kind in ("cpu", "cuda"):
        override(made, kind)(lambda x: "override")
    assert made(np.float32(1)) == "reference"


def test_a_gradient_that_is_no_number_stays_with_its_index(device: str) -> None:
    dout = backend.current().asarray(np.array([[1.0], [np.nan], [2.0], [4.0]], dtype="float32"))
    indices = backend.current().asarray(np.array([2, 1, 0, 2]))
    for compute in (KERNELS["embedding_grad"], KERNELS["embedding_grad"].reference):
        np.testing.assert_array_equal(backend.to_host(compute(dout, indices, 4)), [[2], [np.nan], [5], [0]])


@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_a_label_that_is_no_class_makes_the_loss_no_number(wrong: int, device: str) -> None:
    if device == "cpu":
        pytest.skip("on a CPU labels are checked, and the message says what is wrong")
    logits, labels = (backend.current().asarray(a) for a in (np.zeros((2, 3), "f"), np.array([1, wrong])))
    loss, _ = KERNELS["softmax_cross_entropy"](logits, labels, 0.0, True, None)
    assert np.isnan(backend.to_host(loss))


def test_an_override_has_the_kernels_name_and_signature() -> None:
    def scale(x, factor: float):
        return x * factor

    made = Kernel(scale)

    def other(x, factor: float):
        return x

    with pytest.raises(TypeError, match="is not the kernel"):
        override(made, "cpu")(other)

    def scale(x, wrong: float):
        return x

    with pytest.raises(TypeError, match="is not the kernel"):
        override(made, "cpu")(scale)


def test_two_kernels_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two kernels"):

        @kernel
        def sgd_step(weight):
            return weight


def _arrays(values: tuple) -> list:
    found = []
    for value in values:
        if isinstance(value, tuple):
            found += _arrays(value)
        elif hasattr(value, "dtype"):
            found.append(value)
    return found


def test_every_float16_and_every_rounding_to_one_is_numpys() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wide = np.empty(every.shape, np.float32)
    cast = KERNELS["cast"]
    cast(every, wide)
    np.testing.assert_array_equal(wide, every.astype(np.float32))
    # Halfway between neighbors, and the floats on either side of that.
    finite = np.sort(wide[np.isfinite(wide)])
    between = (finite[1:] + finite[:-1]) / 2
    edges = np.concatenate([between, np.nextafter(between, np.inf), np.nextafter(between, -np.inf)])
    edges = np.concatenate([edges, np.float32([65519.99, 65520, 1e30, -np.inf, np.nan, 1e-40, -1e-40])])
    narrow = np.empty(edges.shape, np.float16)
    with np.errstate(all="ignore"):
        cast(edges, narrow)
        expected = edges.astype(np.float16)
    np.testing.assert_array_equal(narrow, expected)
    np.testing.assert_array_equal(np.signbit(narrow[:-3]), np.signbit(expected[:-3]))
