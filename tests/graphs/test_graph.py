"""Computational graphs: the course's circuits with their numbers, all operations, and both ways of recording."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn
from dlcourse.graphs.names import snake_case
from tests.ops.cases import CASES, Case


def neuron(w0, x0, w1, x1, w2):
    return 1 / (1 + (-(w0 * x0 + w1 * x1 + w2)).exp())


def numbers(graph, which: str, names: str) -> list[float]:
    return [float(getattr(graph[name], which)) for name in names.split()]


def test_the_courses_first_circuit(device: str) -> None:
    """f = (x + y) z (CS231n, lecture on backpropagation): q = 3, f = -12; df/dq = -4, df/dz = 3, df/dx = df/dy = -4."""
    graph = dl.graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
    assert numbers(graph, "value", "x y z v1 v2") == [-2, 5, -4, 3, -12]
    assert numbers(graph, "gradient", "x y z v1 v2") == [-4, -4, 3, -4, 1]
    assert [each.item() for each in graph["v2"].local] == [-4, 3]


def test_the_courses_neuron_in_stages() -> None:
    """sigmoid(w0 x0 + w1 x1 + w2), with the figures of the course's drawing, two digits after the point."""
    graph = dl.graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0)
    values = numbers(graph, "value", "v1 v2 v3 v4 v5 v6 v7 v8")
    assert np.round(values, 2).tolist() == [-2, 6, 4, 1, -1, 0.37, 1.37, 0.73]
    gradients = numbers(graph, "gradient", "v8 v7 v6 v5 v4 v3 v2 v1")
    assert np.round(gradients, 2).tolist() == [1, -0.53, -0.53, -0.20, 0.20, 0.20, 0.20, 0.20]
    assert np.round(numbers(graph, "gradient", "w0 x0 w1 x1 w2"), 2).tolist() == [-0.20, 0.39, -0.39, -0.59, 0.20]
    assert [graph[name].operation for name in "v4 v5 v6 v7 v8".split()] == ["+", "neg", "exp", "1 +", "1 /"]


def test_the_courses_gates() -> None:
    """2 (x y + max(z, w)): add shares a gradient out, max routes it, mul exchanges the values."""
    graph = dl.graph(lambda x, y, z, w: (x * y + dl.maximum(z, w)) * 2, 3.0, -4.0, 2.0, -1.0)
    assert float(graph["v4"].value) == -20 and graph["v4"].operation == "* 2"
    assert numbers(graph, "gradient", "x y z w v1 v2 v3") == [-8, 6, 2, 0, 2, 2, 2]


def test_the_neuron_as_one_gate_of_arrays() -> None:
    graph = dl.graph(lambda w, x: dl.sigmoid((w * x).sum()), np.array([2.0, -3, -3]), np.array([-1.0, -2, 1]))
    np.testing.assert_allclose(graph["w"].gradient.round(2), [-0.20, -0.39, 0.20])
    np.testing.assert_allclose(graph["x"].gradient.round(2), [0.39, -0.59, -0.59])
    assert graph["v3"].local[0].round(2) == 0.2  # (1 - s) s


def test_a_local_gradient_is_a_jacobian_where_elements_mix(device: str) -> None:
    weight = np.array([[1.0, 2, 3], [4, 5, 6]])
    graph = dl.graph(lambda x, w: F.linear(x, w), np.ones((1, 3)), weight)
    np.testing.assert_array_equal(graph["v1"].local[0].reshape(2, 3), weight)
    assert "d/dx [[1, 2, 3], [4, 5, 6]]" in graph.walk()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_operation_is_recorded_with_its_gradients(case: Case, device: str) -> None:
    """As backward gives them; and looking at local gradients leaves the graph good for another pass."""
    inputs = [dl.tensor(each, requires_grad=each.dtype.kind == "f") for each in case.arrays()]
    kept: list = []

    def run(*given):
        kept.append(case.run(*given))
        return kept[-1]

    graph = dl.graph(run, *inputs, params={f"input {i}": x for i, x in enumerate(inputs)})
    assert sum(node.kind == "operation" for node in graph) >= 1
    assert all(x.grad is None for x in inputs)
    (y,) = kept
    y.backward(np.ones(y.shape))
    for i, x in enumerate(inputs):
        if x.grad is not None:
            np.testing.assert_allclose(graph[f"input {i}"].gradient, x.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_a_tensors_own_graph() -> None:
    x, w = (dl.tensor(value, requires_grad=True) for value in ([1.0, 2.0], [3.0, 4.0]))
    y = (x * w).sum()
    q = y * 2
    graph = dl.graph(q, params={"x": x, "w": w, "y": y})
    assert [node.operation for node in graph] == ["", "", "*", "sum", "* constant"]
    assert graph["y"].value == 11 and graph["v1"].value is None and graph["v1"].shape == (2,)
    np.testing.assert_array_equal(graph["x"].gradient, [6, 8])
    assert x.grad is None
    q.backward()
    with pytest.raises(RuntimeError, match="graph that is gone"):
        dl.graph(q)


def test_a_model_with_its_loss_in_modules() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 3))
    x, labels = np.ones((5, 2), dtype="float32") * np.arange(5)[:, None], np.array([0, 1, 2, 0, 1])
    before = {name: array.copy() for name, array in model.state_dict().items()}
    graph = dl.graph(model, x.astype("float32"), labels, loss=F.cross_entropy)
    for name, array in model.state_dict().items():  # running statistics too
        np.testing.assert_array_equal(array, before[name])
    assert all(p.grad is None for p in model.parameters()) and model[0]._hooks is None
    names = [node.operation for node in graph if node.kind == "operation"]
    assert names == ["linear", "batch_norm", "relu", "dropout", "linear", "cross_entropy"]
    assert [frame.title for frame in graph["0.weight"].frame.path] == ["Sequential", "0"]
    loss = graph.nodes[-1]
    assert loss.is_output and [source.node.name for source in loss.sources][-1] == "y"
    dl.manual_seed(1)
    masks = []
    for _ in range(2):  # the draws of later steps are those without a drawing
        dl.manual_seed(1)
        if masks:
            dl.graph(model, x.astype("float32"))
        masks.append(model[3](dl.ones(100)).numpy())
    np.testing.assert_array_equal(*masks)


def test_a_function_knows_the_modules_that_it_uses() -> None:
    net = nn.Linear(2, 2)
    graph = dl.graph(lambda x: (net(x) + net(x)).sum(), np.ones((1, 2), dtype="float32"))
    frames = [node.frame.title for node in graph if node.operation == "linear"]
    assert frames == ["net", "net (2)"] and graph["net.weight"].frame is None


def test_what_changes_in_place_and_what_is_written_as_pytorchs() -> None:
    class Double(dl.Function):
        @staticmethod
        def forward(ctx, x):
            return x + x

        @staticmethod
        def backward(ctx, grad):
            return 2 * grad

    def changed(x):
        y = Double.apply(x)
        y[0] = 3 * x[1]
        y += x
        return y.sum()

    graph = dl.graph(changed, np.array([1.0, 2.0]))
    names = [node.operation for node in graph if node.kind == "operation"]
    assert names == ["double", "[1]", "3 *", "set_item", "+", "sum"]
    np.testing.assert_array_equal(graph["x"].gradient, [1, 6])
    np.testing.assert_array_equal(graph["v1"].gradient, [0, 1])


def test_a_buffer_has_its_name() -> None:
    class Scaled(nn.Module):
        def __init__(self):
            self.register_buffer("scale", dl.tensor([2.0]))

        def forward(self, x):
            return (x * self.scale).sum()

    graph = dl.graph(nn.Sequential(Scaled()), dl.tensor([3.0], requires_grad=True))
    assert graph["0.scale"].kind == "constant" and graph["0.scale"].frame.title == "0"
    assert all(node.function is None for node in graph)


def test_inputs_that_share_memory_are_told_apart() -> None:
    table = np.arange(12.0).reshape(4, 3)
    graph = dl.graph(lambda x, y, z: (dl.tensor(x.data) * z[:, 0:1]).sum() + y.sum(), table[:, :2], table[:, 2], table)
    (total,) = [node for node in graph if node.operation == "*"]
    assert [source.node.operation or source.node.kind for source in total.sources] == ["constant", "[:, 0:1]"]
    assert [source.node.name for node in graph if node.operation == "sum" for source in node.sources][-1] == "y"


def test_a_hook_that_sees_gradients_is_no_operation() -> None:
    layer, seen = nn.Linear(2, 2), []
    layer.register_full_backward_hook(lambda *grads: seen.append(grads))
    graph = dl.graph(layer, np.ones((1, 2), dtype="float32"))
    assert [node.operation for node in graph if node.kind == "operation"] == ["linear"] and seen


def test_boxes_by_depth() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(3)))
    graph = dl.graph(model, np.ones((1, 2), dtype="float32"))
    assert [box.title for box in graph.boxes(0)] == ["x", "Sequential"]
    (whole,) = [box for box in graph.boxes(0) if box.look == "module"]
    assert whole.lines == ["(1, 2) float32", "18 parameters"] and whole.is_output
    assert [box.name for box in graph.boxes(1)] == ["x", "0", "1", "2"]
    assert [box.title for box in graph.boxes(2)][:3] == ["x", "Linear", "tanh"]
    assert len(graph.boxes(9)) == 1 + 3 * 4 == len(graph.boxes())
    deep = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(30)))
    assert len(dl.graph(deep, np.ones((1, 2), dtype="float32")).boxes()) == 31
    assert "  0.0.weight" in graph.walk(1) and "0.0.weight" not in graph.svg(1)


def test_a_picture_grows_with_the_graph_and_not_with_its_square() -> None:
    """Edges from one box share their way, which is drawn once."""

    def unrolled(x, w):
        for step in range(len(x)):
            w = w * x[step] if step else w
        return w

    sizes = [len(dl.graph(unrolled, np.ones(steps), 0.5).svg()) for steps in (20, 40, 80)]
    assert sizes[2] - sizes[1] < 2.5 * (sizes[1] - sizes[0])


def test_what_a_model_computes_without_the_graph_still_comes_from_its_input() -> None:
    class Features(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones(2, dtype="float32"))

        def forward(self, x):
            return (dl.tensor(x.numpy() ** 2) * self.weight).sum()

    graph = dl.graph(Features(), dl.tensor(np.ones(2, dtype="float32")))
    (constant,) = [node for node in graph if node.kind == "constant"]
    assert [source.node.name for source in constant.sources] == ["x"]


def test_names_are_escaped() -> None:
    bad = 'a<b>&"c\\\x01\n'
    x = dl.tensor(1.0, requires_grad=True)
    graph = dl.graph(x * 2, params={bad: x})
    texts = [each.text or "" for each in ElementTree.fromstring(graph.svg()).iter()]
    assert any('a<b>&"c\\' in text for text in texts)
    assert 'label="a<b>&\\"c\\\\' in graph.dot()
    assert all(line.count('"') % 2 == 0 for line in re.sub(r"\\.", "", graph.dot()).splitlines())


def test_json_and_files(tmp_path) -> None:
    graph = dl.graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0)
    nodes = json.loads(json.dumps(graph.to_dict()))["nodes"]
    assert nodes[-1]["output"] and nodes[-1]["values"][0]["value"] == pytest.approx(0.7310586)
    assert nodes[-1]["sources"] == [len(nodes) - 2]
    graph.save(tmp_path / "a.svg", direction="right")
    graph.save(str(tmp_path / "a.dot"))
    assert (tmp_path / "a.svg").read_text().startswith("<svg") and "rankdir=TB" in (tmp_path / "a.dot").read_text()
    assert graph._repr_svg_().startswith("<svg") and repr(graph) == "Graph(neuron, 8 operations)"


def test_numbers_in_the_boxes_of_small_graphs_only() -> None:
    assert "-12" in dl.graph(lambda x, y: x * y, 3.0, -4.0).svg()
    model = nn.Linear(50, 2)
    large = dl.graph(model, np.ones((1, 50), dtype="float32"))
    assert "norm" not in re.sub("<title>.*?</title>", "", large.svg(), flags=re.DOTALL)
    assert "norm" in re.sub("<title>.*?</title>", "", large.svg(figures=True), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dl.graph(dl.tensor(1.0)), ValueError, "no graph"),
        (lambda: dl.graph(3), TypeError, "expected a tensor, a model or a function, got a int"),
        (lambda: dl.graph(lambda x: 2, 1.0), TypeError, "gave no tensor, but 2"),
        (lambda: dl.graph(dl.tensor(1.0, requires_grad=True) * 2, 1.0), ValueError, "takes no inputs"),
        (lambda: dl.graph(nn.Linear(2, 2), loss=F.mse_loss), ValueError, "there are no inputs"),
        (lambda: dl.graph(lambda x: x * 2, 1.0, params={"w": 3}), TypeError, "got a int as 'w'"),
        (lambda: dl.graph(neuron, 1.0), TypeError, "missing 4 required"),
        (lambda: dl.graph(lambda x: x * 2, 1.0).svg(depth=-1), ValueError, "depth: expected a whole number"),
        (lambda: dl.graph(lambda x: x * 2, 1.0).dot(direction="up"), ValueError, "'down' or 'right', got 'up'"),
        (lambda: dl.graph(lambda x: x * 2, 1.0).save("a.png"), ValueError, "ends in .svg or .dot, got 'a.png'"),
        (lambda: dl.graph(lambda x: x * 2, 1.0)["vl"], KeyError, "no node 'vl'.*it has x, v1"),
    ],
)
def test_wrong_arguments_are_named(call, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_readmes_picture_is_what_is_drawn() -> None:
    picture = Path(__file__).parents[2] / ".github" / "images" / "neuron_graph.svg"
    assert picture.read_text() == dl.graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0).svg(direction="right")


def test_words_of_operations() -> None:
    words = {"CrossEntropy": "cross_entropy", "PReLU": "prelu", "LeakyReLU": "leaky_relu", "GELUTanh": "gelu_tanh"}
    assert {name: snake_case(name) for name in words} == words
