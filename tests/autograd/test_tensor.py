"""What a Tensor is beyond its operations: making, moving, accumulating, refusing."""

import warnings

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse.autograd import Function, Tensor, apply, as_tensor, no_grad, tensor
from dlcourse.errors import ArgumentError, ShapeError


def test_tensor_copies_and_keeps_types(device: str) -> None:
    source = np.arange(3.0)
    t = tensor(source)
    source[0] = 9
    assert t.dtype == np.float64 and t.numpy()[0] == 0
    assert tensor([1.0, 2.0]).dtype == np.float32
    assert tensor([1, 2]).dtype == np.int64
    assert tensor(np.float32([1])).dtype == np.float32
    assert t.device.startswith(device)


def test_plain_numbers_take_the_tensors_type(device: str) -> None:
    t = tensor([1.0, 2.0])
    assert (t * 2).dtype == (t + np.float64(2)).dtype == (np.sqrt(2.0) * t).dtype == np.float32
    assert (2.0**t).dtype == (1 - t).dtype == (1 / t).dtype == np.float32


@pytest.mark.parametrize("data", [["a"], [object()]])
def test_tensor_refuses_what_is_no_number(data: list) -> None:
    with pytest.raises(TypeError, match="numbers"):
        tensor(np.array(data))


def test_integers_take_no_gradient() -> None:
    with pytest.raises(TypeError, match="floating-point"):
        tensor([1, 2], requires_grad=True)


def test_gradients_accumulate_until_forgotten(device: str) -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [4, 8])
    x.grad = None
    assert x.grad is None
    (3 * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3, 3])


def test_assigned_gradient_is_a_copy(device: str) -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    given = np.float32([5, 6])
    x.grad = given
    given[0] = 0
    np.testing.assert_allclose(x.grad.numpy(), [5, 6])
    with pytest.raises(ShapeError):
        x.grad = np.zeros(3)


def test_a_value_used_several_times_gets_the_sum(device: str) -> None:
    x = tensor([3.0], requires_grad=True)
    y = x * 2
    z = y + y * y + y  # 3 uses of y: dz/dy = 2 + 2y
    z.backward()
    np.testing.assert_allclose(x.grad.numpy(), [2 * (2 + 2 * 6)])


def test_diamonds_are_walked_once(device: str) -> None:
    x = tensor([1.0], requires_grad=True)
    y = x
    for _ in range(60):  # 2^60 paths
        y = (y + y) * 0.5
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.0])


def test_deep_graphs_need_no_recursion() -> None:
    x = tensor([1.0], requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 0.0
    y.backward()
    assert x.grad.item() == 1
    del y  # and fall apart without overflowing the stack
    z = x
    for _ in range(20_000):
        z = z * 1.0
    del z


def test_no_grad_and_detach_record_nothing(device: str) -> None:
    x = tensor([1.0], requires_grad=True)
    with no_grad():
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    assert not (x.detach() * 2).requires_grad

    @no_grad()
    def evaluate() -> Tensor:
        return x * 2

    assert not evaluate().requires_grad


def test_backward_twice_needs_retain_graph() -> None:
    x = tensor([2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


@pytest.mark.parametrize("loss", [F.mse_loss, F.half_sse, lambda x, _: F.cross_entropy(x, np.array([0, 2]))])
def test_a_loss_starts_backward_without_a_one_and_gives_the_same(loss, device: str) -> None:
    grads = []
    for seed in (None, 1.0, 3.0):
        x = tensor([[1.0, 2.0, 0.5], [-1.0, 0.0, 4.0]], requires_grad=True)
        value = loss(x, np.ones((2, 3), "float32"))
        value.backward(seed, retain_graph=True)
        first = x.grad.numpy().copy()
        value.backward(seed)  # what was handed on is still what the loss keeps
        np.testing.assert_array_equal(x.grad.numpy(), 2 * first)
        grads.append(first)
    np.testing.assert_array_equal(grads[0], grads[1])
    np.testing.assert_allclose(3 * grads[0], grads[2], rtol=1e-6)


def test_backward_asks_for_what_it_needs() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="require a gradient"):
        tensor([1.0]).backward()


def test_shape_errors_name_the_shapes(device: str) -> None:
    with pytest.raises(ShapeError, match=r"add.*\(2, 3\).*\(4,\)"):
        tensor(np.zeros((2, 3))) + tensor(np.zeros(4))
    with pytest.raises(ShapeError, match=r"matmul.*\(2, 3\).*\(2, 3\)"):
        tensor(np.zeros((2, 3))) @ tensor(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"linear.*bias.*\(4, 3\), \(1,\)"):
        F.linear(tensor(np.ones((2, 3))), tensor(np.ones((4, 3))), tensor(np.ones(1)))
    with pytest.raises(ShapeError, match=r"conv2d.*bias \(4,\).*\(1,\)"):
        F.conv2d(tensor(np.ones((1, 3, 3, 2))), tensor(np.ones((4, 2, 2, 2))), tensor(np.ones(1)))
    with pytest.raises(ShapeError, match=r"linear.*4.*\(2, 3\)"):
        F.linear(tensor(np.zeros((2, 3))), tensor(np.zeros((5, 4))))
    with pytest.raises(ShapeError, match="reshape"):
        tensor(np.zeros((2, 3))).reshape(4, 2)


def test_losses_refuse_what_would_broadcast() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        F.mse_loss(tensor(np.zeros((3, 1))), np.zeros(3))
    with pytest.raises(ShapeError, match="integers"):
        F.cross_entropy(tensor(np.zeros((3, 2))), np.zeros(3))
    with pytest.raises(ShapeError, match=r"0\.\.1"):
        F.cross_entropy(tensor(np.zeros((3, 2))), np.array([0, 1, 2]))
    with pytest.raises(ShapeError, match=r"0\.\.1"):
        F.cross_entropy(tensor(np.zeros((3, 2))), np.array([0, 1, -1]))
    with pytest.raises(ShapeError, match="labels"):
        F.cross_entropy(tensor(np.zeros((3, 2))), np.array([0, 1]))


def test_cross_entropy_of_huge_logits_is_finite(device: str) -> None:
    logits = tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = F.cross_entropy(logits, np.array([0, 0]))
    loss.backward()
    assert loss.item() == 1e4
    assert np.isfinite(logits.grad.numpy()).all()


def test_relu_and_softmax_of_infinities(device: str) -> None:
    assert F.relu(tensor([-np.inf, np.inf])).tolist() == [0, np.inf]
    np.testing.assert_allclose(F.softmax(tensor([[0.0, -np.inf]])).numpy(), [[1, 0]])


def test_comparisons_are_boolean_tensors(device: str) -> None:
    a, b = tensor([1.0, 2.0, 3.0]), tensor([2.0, 2.0, 2.0])
    assert (a < b).tolist() == [True, False, False]
    assert (a <= b).tolist() == [True, True, False]
    assert (a == b).tolist() == [False, True, False]
    assert (a != 2).tolist() == [True, False, True]
    assert (a > b).tolist() == [False, False, True]
    assert (a >= 2).tolist() == [False, True, True]
    assert (a == [1, 2.5, 3]).tolist() == [True, False, True]
    assert (a < np.float64(2)).tolist() == [True, False, False]
    assert len({a, b, a}) == 2


def test_comparing_across_devices_is_said(device: str) -> None:
    if device == "cpu":
        pytest.skip("there is only the one device to compare on")
    a = tensor([1.0, 2.0])
    for other in (np.ones(2, dtype=np.float32), tensor([1.0, 2.0], device="cpu")):
        with pytest.raises(ShapeError, match=r"comparison: one input lies on cuda:0, another on cpu"):
            a < other  # noqa: B015


def test_a_choice_of_two_numbers_has_the_type_of_a_tensor_of_them(device: str) -> None:
    flags = tensor([1.0, -1.0]) > 0
    for a, b in ((1.0, 2.0), (1, 2), (1, 2.5), (True, False)):
        assert F.where(flags, a, b).dtype == tensor([a, b]).dtype
        assert F.where(flags, a, b).tolist() == [a, b]


def test_an_empty_list_is_an_index(device: str) -> None:
    x = tensor(np.ones((3, 2)), requires_grad=True)
    assert x[[]].shape == (0, 2) and x[:, []].shape == (3, 0)
    x[[]].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((3, 2)))


def test_an_own_function_needs_forward_and_backward_only(device: str) -> None:
    class Double(Function):
        def forward(self, x):
            return 2 * x

        def backward(self, dout):
            return 2 * dout

    x = tensor([1.0, 2.0], requires_grad=True)
    apply(Double(), x).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_a_function_with_two_outputs(device: str) -> None:
    class SplitInTwo(Function):
        def forward(self, x):
            self.half = len(x) // 2
            return x[: self.half].copy(), x[self.half :].copy()

        def backward(self, dleft, dright):
            whole = np.zeros(2 * self.half) if dleft is None else None
            assert whole is None or dright is not None
            parts = [np.zeros(self.half) if part is None else dl.backend.to_host(part) for part in (dleft, dright)]
            return dl.backend.current().asarray(np.concatenate(parts).astype("float32"))

    x = tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    left, right = apply(SplitInTwo(), x)
    (left * right * right).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [9, 16, 6, 16])
    x.grad = None
    _, right = apply(SplitInTwo(), x)
    right.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, 1, 1])


def test_gradcheck_finds_a_wrong_gradient(capsys: pytest.CaptureFixture) -> None:
    class Wrong(Function):
        def forward(self, x):
            return x * x

        def backward(self, dout):
            return dout

    with pytest.raises(dl.autograd.GradcheckError, match=r"analytic.*numeric"):
        dl.gradcheck(lambda x: apply(Wrong(), x), np.array([2.0, 3.0]))
    assert not dl.gradcheck(lambda x: apply(Wrong(), x), np.array([2.0]), raise_exception=False)
    assert "numeric" in capsys.readouterr().out
    with pytest.raises(ValueError, match="floating"):
        dl.gradcheck(lambda x: x, np.array([1]))


def test_gradcheck_sees_an_output_that_misses_its_input() -> None:
    with pytest.raises(dl.autograd.GradcheckError):
        dl.gradcheck(lambda x: Tensor(x.data * 2) + 0 * x, np.array([1.0]))


def test_an_array_without_axes_stays_on_its_device(device: str) -> None:
    one = tensor(1.0).data  # zero-dimensional, of the device's own library
    assert as_tensor(one).data is one
    assert (tensor([1.0, 2.0]) * one).device == tensor(1.0).device


def test_extremes_of_two_take_a_list(device: str) -> None:
    x = tensor([1.0, 5.0])
    np.testing.assert_allclose(F.minimum(x, [2, 3]).numpy(), [1, 3])
    np.testing.assert_allclose(F.maximum(x, [2, 3]).numpy(), [2, 5])


def test_one_number_is_formatted(device: str) -> None:
    loss = tensor([0.123456, 2.0])
    assert f"{loss[0]:.3f}" == "0.123"
    assert f"{loss}" == str(loss)
    with pytest.raises(TypeError):
        f"{loss:.3f}"


@pytest.mark.parametrize(
    ("name", "here"),
    [("det", "dl.linalg.det"), ("svd", "dl.linalg.svd"), ("detach_", "x = x.detach")],
)
def test_pytorchs_names_lead_to_those_that_are_here(name: str, here: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; here: {here}"):
        getattr(tensor([1.0]), name)
    assert not hasattr(tensor([1.0]), "nonsense")


def test_of_nothing_there_is_no_extreme_and_the_mean_is_no_number() -> None:
    empty = tensor(np.zeros((0, 3)))
    with pytest.raises(ShapeError, match=r"^max: there is nothing .* shape \(0, 3\)"):
        empty.max()
    assert empty.max(axis=1).shape == (0,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(empty.mean().item()) and np.isnan(empty.mean(axis=0).numpy()).tolist() == [True] * 3


def test_labels_beyond_the_outputs_say_how_many_there_are() -> None:
    with pytest.raises(ShapeError, match=r"labels are in 0..2, got 1..5: the model has 3 outputs, one for each class"):
        F.cross_entropy(tensor(np.zeros((2, 3))), np.array([1, 5]))
    with pytest.raises(ShapeError, match="; ignore_index=-100 leaves that label out"):
        F.cross_entropy(tensor(np.zeros((2, 3))), np.array([1, -100]))


@pytest.mark.parametrize(("shape", "correction"), [((3,), 3), ((3,), 4), ((2, 3), 7), ((1,), 1), ((0,), 1)])
def test_the_variance_of_too_few_elements_is_infinite_or_nan(shape: tuple[int, ...], correction: int) -> None:
    x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    with np.errstate(all="raise"):
        found = tensor(x).var(correction=correction).item()
    assert np.isposinf(found) if x.size > 1 else np.isnan(found)  # as torch.var


@pytest.mark.parametrize("call", [lambda x: x + -1, lambda x: x * 300, lambda x: 256 - x, lambda x: np.maximum(x, -1)])
def test_a_number_that_a_type_cannot_hold_is_named(call) -> None:
    x = tensor(np.array([1, 2], "uint8"))
    with pytest.raises(ArgumentError, match="uint8.*out of bounds for uint8; bring the tensor to a wider type"):
        call(x)
    assert (x > -1).numpy().all() and not (x == 256).numpy().any()


def test_in_asks_for_any_element() -> None:
    x = tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert 3.0 in x and 5 not in x


@pytest.mark.parametrize("order", ["norm first", "norm last", "a norm alone", "norms alone", "a leaf"])
def test_a_norm_adds_to_the_gradient_what_came_from_elsewhere(order: str, device: str) -> None:
    """Twice through one graph: nothing of the first pass is left for the second, and no other gradient is changed."""
    values = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")

    def norm(h: Tensor) -> Tensor:
        return F.layer_norm(h, 4, weight)

    def alike(h: Tensor) -> Tensor:
        """The same by other operations."""
        centered = h - h.mean(axis=1, keepdims=True)
        return centered / ((centered * centered).mean(axis=1, keepdims=True) + 1e-5).sqrt() * weight

    weight = tensor(np.float32([1, 2, 3, 4]))
    found = []
    for compute in (norm, alike):
        x = tensor(values, requires_grad=True)
        h = x if order == "a leaf" else x * 2
        if order == "norm first":
            y = compute(h)
            y = (y * y) * h
        elif order == "norms alone":
            y = compute(h) * compute(h * 1)
        elif order == "a norm alone":
            y = compute(h) ** 2
        else:
            y = h * h
            y = y * compute(h) + h
        for _ in range(2):
            y.sum().backward(retain_graph=True)
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)
