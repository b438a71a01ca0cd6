"""Every operation, by its cases: gradients by differences, PyTorch's numbers, and what no operation may do."""

import gc
import importlib
import pkgutil
import weakref

import numpy as np
import pytest

import dlcourse.ops
from dlcourse import autograd, backend
from dlcourse.autograd import Function, Tensor, gradcheck, tensor
from dlcourse.autograd.context import Context
from dlcourse.autograd.function import InFloat32, WithoutGradient
from dlcourse.autograd.replicas import _Lifted
from dlcourse.backend import precision
from dlcourse.backend.precision import is_floating
from dlcourse.ops.pointwise_loss import Pointwise
from tests.ops.cases import CASES, Case

ALL = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def tensors(case: Case, dtype: type = np.float64) -> list[Tensor]:
    return [tensor(a.astype(dtype), requires_grad=True) if a.dtype.kind == "f" else Tensor(a) for a in case.arrays()]


@ALL
def test_gradient_agrees_with_differences(case: Case, device: str) -> None:
    gradcheck(case.run, [backend.current().asarray(a) for a in case.arrays()])


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_and_gradient_are_pytorchs(case: Case, dtype: type, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    if case.torch is None:
        pytest.skip("PyTorch has no such function")
    ours = tensors(case, dtype)
    theirs = [torch.tensor(a.astype(dtype), requires_grad=True) for a in case.arrays()]
    out, expected = case.run(*ours), case.torch(torch, *theirs)
    # A few operations on numbers near 1: some ten roundings.
    tolerance = {np.float32: 2e-5, np.float64: 1e-12}[dtype]
    assert out.dtype == (np.float64 if case.name == "cast" else dtype)
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    weights = np.random.default_rng(1).normal(size=out.shape)
    out.backward(weights)
    expected.backward(torch.tensor(weights, dtype=expected.dtype))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=10 * tolerance, atol=10 * tolerance)
        assert a.grad.dtype == dtype


@ALL
@pytest.mark.parametrize("numbers", ["fp16", "bf16"])
def test_half_precision_is_float32_with_rounding(case: Case, numbers: str, device: str) -> None:
    if numbers == "bf16":
        pytest.importorskip("ml_dtypes")
    half = precision.dtype(numbers)
    # The same inputs, those that 16 bits can hold, at both precisions.
    rounded = [tensor(t.data.astype(half), requires_grad=t.requires_grad) for t in tensors(case, np.float32)
               if is_floating(t.dtype)]  # fmt: skip
    if len(rounded) < len(case.arrays()) or case.name == "cast":
        pytest.skip("takes whole numbers too, or chooses the type itself")
    exact = [tensor(t.data.astype(np.float32), requires_grad=True) for t in rounded]
    out, expected = case.run(*rounded), case.run(*exact)
    # Some cases are several operations, each of which rounds: a few units of the last place of the largest number.
    tolerance = {"fp16": 2.0**-10, "bf16": 2.0**-7}[numbers] * 8
    assert out.dtype == half
    pairs = [(out.data, expected.data)]
    out.backward(np.ones(out.shape))
    expected.backward(np.ones(out.shape))
    pairs += [(a.grad.data, b.grad.data) for a, b in zip(rounded, exact, strict=True)]
    for ours, theirs in pairs:
        assert ours.dtype == half
        ours, theirs = (backend.to_host(array).astype(np.float32) for array in (ours, theirs))
        size = np.abs(theirs).max(initial=1)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * size)


@ALL
def test_inputs_come_back_unmodified(case: Case, device: str) -> None:
    inputs = tensors(case)
    before = [t.numpy().copy() for t in inputs]
    out = case.run(*inputs)
    out.backward(np.ones(out.shape))
    for t, saved in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(t.numpy(), saved)


@ALL
def test_non_contiguous_inputs_give_the_same(case: Case, device: str) -> None:
    plain = tensors(case)
    strided = []
    for t in plain:
        wide = backend.array_module(t.data).zeros(tuple(2 * n for n in t.shape), dtype=t.dtype)
        view = wide[(*(slice(None, None, 2) for _ in t.shape), ...)]
        view[...] = t.data
        strided.append(Tensor(view, requires_grad=t.requires_grad))
    expected, out = case.run(*plain), case.run(*strided)
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-13, atol=1e-13)
    seed = np.ones(out.shape)
    expected.backward(seed)
    out.backward(seed)
    for a, b in zip(strided, plain, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-12)


@ALL
def test_graph_is_gone_without_the_garbage_collector(case: Case, device: str) -> None:
    inputs = tensors(case)
    gc.disable()
    try:
        out = case.run(*inputs)
        node = out._node
        functions = [weakref.ref(node.function)]
        out.backward(np.ones(out.shape))
        assert node.function is None and functions[0]() is None  # let go of by backward, the output still alive
        again = case.run(*inputs)
        alive = weakref.ref(again._node.function)
        del again
        assert alive() is None  # let go of with the output, no backward needed
    finally:
        gc.enable()


def test_every_operation_has_a_case(record_property) -> None:
    """Runs all cases, notes which Function classes they pass through, and asks that none is left out."""
    for package in (autograd, dlcourse.ops):
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            importlib.import_module(info.name)
    seen: set[type] = set()

    def note(parent: object) -> None:
        node = parent[0] if isinstance(parent, tuple) else None
        if node is not None:
            seen.add(type(node.function))
            for above in node.parents:
                note(above)

    for case in CASES:
        for dtype in (np.float32, np.float64):
            out = case.run(*tensors(case, dtype))
            note((out._node, 0))

    def concrete(base: type) -> set[type]:
        below = set().union(*[concrete(sub) for sub in base.__subclasses__()]) if base.__subclasses__() else {base}
        return below | ({base} if "forward" in vars(base) else set())

    ours = {cls for cls in concrete(Function) if cls.__module__.startswith("dlcourse.")} - {Function, InFloat32}
    ours -= {Pointwise, Context}  # which users' own operations go through, tests/autograd/test_context.py
    ours -= {_Lifted}  # the rule of another one for a stack of models, tests/autograd/test_replicas.py
    ours -= {WithoutGradient}  # what an observer is told, which computes nothing
    missing = {cls.__name__ for cls in ours - seen}
    assert not missing, f"operations without a case in tests/ops/cases.py: {sorted(missing)}"
    assert len({case.name for case in CASES}) == len(CASES), "two cases share a name"
    record_property("op_cases", len(CASES))
    record_property("operations", len(ours))
