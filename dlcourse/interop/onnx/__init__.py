"""Models as ONNX: files that onnxruntime and many other programs run, without Python or this package.

The graph is made from forward passes in evaluation mode, by the operations that were recorded; each has an exporter in
one table, see :func:`exports`. Operator set 18, float32. The batch has any size, and so has a sequence where the model
takes any length. Inputs and outputs are laid out as here, channels last. Masks and indices that the model computes from
its input are in the graph where tensors compute them, as in ``padding = x == 0`` or ``logits.argmax(-1)``; NumPy's
functions on ``x.data`` are refused.

Example::

    words = dl.interop.onnx.export(net, "net.onnx", in_shape=(32, 32, 3))    # of `models` without in_shape
    session = onnxruntime.InferenceSession("net.onnx")
    outputs = session.run(None, {"input": x})
"""

import copy
import functools
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.autograd.base import array_of
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, DlcourseError, UserError
from dlcourse.filesystem import naming, replacing
from dlcourse.interop.onnx.convert import Conversion
from dlcourse.interop.onnx.fold import folded
from dlcourse.interop.onnx.graph import Unsayable, Value
from dlcourse.interop.onnx.step import Step, exports
from dlcourse.interop.trace import Trace, input_shape, sample, trace
from dlcourse.nn import Module
from dlcourse.nn.calls import require_module

__all__ = ["OPSET", "Step", "Unsayable", "Value", "export", "exports", "to_onnx"]

OPSET = 18
IR_VERSION = 8
"""The format that came with operator set 18 (onnx 1.13)."""
TOLERANCE = 1e-5
BATCHES = 3, 5
"""Sizes of the batches that the model is run with: what differs between them depends on the size."""


def export(
    model: Module,
    path: str | os.PathLike,
    in_shape: Sequence[int] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    around: Callable[[Callable], Callable] | None = None,
) -> str:
    """Write a model as an ONNX file, after its answers there were found equal to those here.

    Args:
        path: a name that ends in ``.onnx``.
        in_shape: shape of one input; those of ``models`` know it.
        metadata: texts for the file's ``metadata_props``.
        around: makes another function of tensors of the model's, such as one that normalizes inputs before.
    Returns:
        What was written, in words.
    Raises:
        UserError: the package ``onnx`` is not installed, or ONNX cannot say what the model computes.
        ArgumentError: ``in_shape`` is missing, or the file's name ends otherwise.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ArgumentError(f"{path}: expected a name that ends in .onnx")
    proto = to_onnx(model, in_shape, metadata=metadata, around=around)
    words = _described(proto)
    difference, by = _difference(proto, model, _shape(model, in_shape), around)
    if not difference <= TOLERANCE:
        raise UserError(
            f"the answers of the graph differ by {difference:.2g} from the model's, relative to the largest: something "
            "in the model is not recorded as it is computed. Nothing was written"
        )
    with naming(path), replacing(path, durable=True) as file:
        file.write(proto.SerializeToString())
    return f"{words}; its answers differ by {difference:.1e} from those here, by {by}"


def to_onnx(
    model: Module,
    in_shape: Sequence[int] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    around: Callable[[Callable], Callable] | None = None,
) -> Any:
    """A model as an ``onnx.ModelProto``; arguments and errors as :func:`export` has them, but nothing is compared."""
    onnx = _package()
    require_module(model)
    try:
        if reason := getattr(model, "no_onnx", ""):
            raise Unsayable(reason)
        return _converted(onnx, model, in_shape, metadata or {}, around)
    except Unsayable as error:
        raise Unsayable(f"{type(model).__name__} in ONNX: {error}") from None


def _converted(
    onnx: Any,
    model: Module,
    in_shape: Sequence[int] | None,
    metadata: Mapping[str, str],
    around: Callable[[Callable], Callable] | None,
) -> Any:
    model, shape = _in_float32(model), _shape(model, in_shape)
    compute = model if around is None else functools.partial(_called, around(model), model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    traces = {n: _traced(compute, model, shape, n) for n in BATCHES}
    converted = None
    for other in _other_lengths(model, shape):
        try:
            more = [_traced(compute, model, other, n) for n in BATCHES]
            converted = Conversion(onnx, [*traces.values(), *more], names)
            break
        except (DlcourseError, ValueError, IndexError):  # of this length, or not of any length: then of its own
            continue
    if converted is None:
        converted = Conversion(onnx, list(traces.values()), names)
    return _proto(onnx, converted, type(model).__name__, metadata)


def _called(function: Callable, model: Module, x: Any) -> Any:
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return function(x)
    finally:
        for module, was in training:
            module.training = was


def _traced(compute: Callable, model: Module, shape: tuple[int, ...], count: int) -> Trace:
    x = sample(model, shape, count, seed=count)
    try:
        return trace(compute, [x])
    except TypeError as error:
        raise ArgumentError(f"{type(model).__name__} fails on one input of shape {x.shape}: {error}") from error


def _other_lengths(model: Module, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Another length of the sequences that a model may take."""
    if len(shape) == 3 or (len(shape) == 1 and sample(model, shape, 1).dtype.kind == "f"):
        return []  # images, and vectors
    steps = shape[0]
    # Far apart: a convolution of stride 2 makes 3 steps of 5 and of 6.
    return [(length, *shape[1:]) for length in (2 * steps + 1, steps // 2) if length > 1]


def _in_float32(model: Module) -> Module:
    """The model on the CPU in float32: itself, or a copy."""
    arrays = [array_of(value) for _, value in (*model.named_parameters(), *model.named_buffers())]
    if all(isinstance(a, np.ndarray) and (a.dtype == np.float32 or not is_floating(a.dtype)) for a in arrays):
        return model
    return copy.deepcopy(model).to("cpu", "float32")


def _shape(model: Module, in_shape: Sequence[int] | None) -> tuple[int, ...]:
    found = input_shape(model, in_shape)
    if found is None:
        raise ArgumentError(
            f"{type(model).__name__}: give the shape of one input, without the batch, as in in_shape=(32, 32, 3)"
        )
    return found


def _proto(onnx: Any, converted: Conversion, name: str, metadata: Mapping[str, str]) -> Any:
    helper, graph = onnx.helper, converted.graph
    names = [str(value.name) for value in converted.outputs]
    nodes, constants, ends = folded(helper, graph.nodes, graph.constants, names)
    outputs = []
    for number, (value, end) in enumerate(zip(converted.outputs, ends, strict=True)):
        called = f"output_{number}" if number else "output"
        nodes.append(helper.make_node("Identity", [end], [called], called))
        outputs.append(_info(helper, called, value))
    made = helper.make_graph(
        _without_identities(nodes),
        name,
        [_info(helper, str(value.name), value) for value in graph.inputs],
        outputs,
        [onnx.numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    proto = helper.make_model(
        made, producer_name="dlcourse", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(proto, {"layout": "channels last", **metadata})
    onnx.checker.check_model(proto)
    return proto


def _without_identities(nodes: list[Any]) -> list[Any]:
    """An output's own name in place of a node that only renames, where a node makes it."""
    makers = {name: node for node in nodes for name in node.output}
    used = [name for node in nodes for name in node.input]
    kept = []
    for node in nodes:
        maker = makers.get(node.input[0]) if node.op_type == "Identity" else None
        if maker is None or used.count(node.input[0]) > 1:
            kept.append(node)
        else:
            place = list(maker.output).index(node.input[0])
            maker.output[place] = node.output[0]
    return kept


AXES = {0: "batch", 1: "steps"}


def _info(helper: Any, name: str, value: Value) -> Any:
    """Type and shape of an input or output; a length of any size has a name."""
    of_input = value.graph.inputs[0].shape
    shape = []
    for place, dim in enumerate(value.shape):
        known = [AXES[i] for i, other in enumerate(of_input) if other == dim and i in AXES]
        shape.append(dim if isinstance(dim, int) else known[0] if known else f"{name}_axis_{place}")
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape)


def _described(proto: Any) -> str:
    def text(value: Any) -> str:
        axes = [axis.dim_param or str(axis.dim_value) for axis in value.type.tensor_type.shape.dim]
        return f"{value.name} ({', '.join(axes)})"

    graph = proto.graph
    ends = ", ".join(map(text, graph.input)), ", ".join(map(text, graph.output))
    return f"opset {OPSET}, {len(graph.node)} nodes, {ends[0]} -> {ends[1]}"


def _difference(
    proto: Any, model: Module, shape: tuple[int, ...], around: Callable[[Callable], Callable] | None
) -> tuple[float, str]:
    """The largest difference between the answers, relative to the largest of them, and which program gave them."""
    model = _in_float32(model)
    compute = model if around is None else functools.partial(_called, around(model), model)
    run, by = _runner(proto)
    worst = 0.0
    dynamic = proto.graph.input[0].type.tensor_type.shape.dim[1:2]
    shapes = [shape] if not dynamic or not dynamic[0].dim_param else [shape, (max(1, shape[0] * 2 // 3), *shape[1:])]
    for each in shapes:
        x = sample(model, each, 4, seed=1)
        pairs = zip(trace(compute, [x]).outputs, run(x), strict=True)
        worst = max(worst, *(_relative(ours.data, theirs) for ours, theirs in pairs))
    return worst, by


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape:
        return np.inf
    ours, theirs = (each.astype(np.float64) for each in (ours, theirs))
    top = np.abs(ours).max(initial=0)
    return float(np.abs(ours - theirs).max(initial=0) / (top or 1))


def _runner(proto: Any) -> tuple[Callable, str]:
    """What runs the graph: onnxruntime where it is installed, else the reference of the package ``onnx``."""
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError:
        evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator(proto)
        return lambda x: evaluator.run(None, {"input": x}), "the reference of onnx"
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"input": x}), "onnxruntime"


def _package() -> Any:
    try:
        onnx = importlib.import_module("onnx")
        for part in ("checker", "helper", "numpy_helper"):
            importlib.import_module(f"onnx.{part}")
    except ImportError as error:
        raise UserError('this needs the package onnx, which is not installed: pip install "dlcourse[onnx]"') from error
    return onnx
