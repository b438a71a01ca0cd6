"""A table of a model's modules: the shape of the output, the parameters, and the cost of a forward pass."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from dlcourse.autograd import Tensor, as_tensor, enable_grad, no_grad
from dlcourse.nn.calls import in_evaluation, noting_calls
from dlcourse.nn.module import Module
from dlcourse.nn.receptive_field import FieldsOf, ReceptiveField
from dlcourse.text import table

__all__ = ["Row", "Summary", "summarize"]


@dataclass
class Row:
    """One module.

    Attributes:
        name: dotted, empty for the model itself.
        kind: its class.
        out_shape: of its last output, with the batch axis; None where it was not called.
        parameters: how many numbers it holds itself, those of modules inside not counted.
        flops: floating-point operations of its own, over all calls in one forward pass of the samples given.
        outputs: bytes of all its outputs, where no module inside made them.
        receptive_field: of its last output, on inputs that have positions; see
            :class:`~dlcourse.nn.ReceptiveField`.
    """

    name: str
    kind: str
    out_shape: tuple[int, ...] | None
    parameters: int
    flops: int
    outputs: int
    receptive_field: ReceptiveField | None = None


@dataclass
class Summary:
    """A model's modules, and how many samples went through it to find out."""

    rows: list[Row]
    samples: int
    parameter_bytes: int
    full_bytes: int
    """Of the parameters at full precision: more than ``parameter_bytes`` where the model computes with 16 bits."""
    frozen: int = 0
    """How many of the parameters are not trained."""

    @property
    def parameters(self) -> int:
        """How many numbers the parameters are; one that is shared counts once."""
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        """Floating-point operations of a forward pass of one sample; a backward pass takes about twice as many."""
        return sum(row.flops for row in self.rows) // self.samples

    @property
    def activation_bytes(self) -> int:
        """Memory of all layers' outputs for one sample, which training keeps for the backward pass."""
        return sum(row.outputs for row in self.rows) // self.samples

    def table(self, batch_size: int | None = None) -> str:
        """The summary as text; with a batch size also the memory of training with it."""
        # Where every field is the whole input, as those of linear layers, there is nothing to read off.
        fields = any(row.receptive_field and not row.receptive_field.whole for row in self.rows)
        head = ("module", "class", "output", *(["receptive field"] if fields else []), "parameters", "FLOPs")
        body = [
            (
                "  " * row.name.count(".") + row.name.rpartition(".")[2] if row.name else "(model)",
                row.kind,
                _shape(row.out_shape),
                *([str(row.receptive_field or "")] if fields else []),
                f"{row.parameters:,}" if row.parameters else "",
                f"{row.flops // self.samples:,}" if row.flops else "",
            )
            for row in self.rows
        ]
        rule = ["-" * max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = [table([head, rule, *body], left=4 if fields else 3)]
        a_batch = f", {_bytes(self.activation_bytes * batch_size)} a batch of {batch_size}" if batch_size else ""
        full = ""
        if self.full_bytes > self.parameter_bytes:
            full = f"; both in float32 too, {_bytes(self.full_bytes)} each"
        weights = f"{self.parameters:,}, {_bytes(self.parameter_bytes)}; their gradients as much again{full}"
        lines += [
            "",
            f"parameters        {weights}",
            f"layers' outputs   {_bytes(self.activation_bytes)} a sample{a_batch}",
        ]
        if self.frozen:
            lines.insert(2, f"frozen            {self.frozen:,} of them")
        if self.flops:
            twice = "a multiply-add counts as two"
            lines.append(f"FLOPs a sample    {self.flops:,} forward ({twice}), about twice as many backward")
        return "\n".join(lines)


def summarize(model: Module, *inputs: Any) -> Summary:
    """Send inputs through a model once, in evaluation mode, and note what every module does.

    A layer says what it costs by its method ``flops(in_shape, out_shape)``.

    Args:
        model: it comes back as it was.
        inputs: of its forward pass, batch axis first; one sample is enough. Of images (N, H, W, C) and series (N, T, D)
            receptive fields are noted too.
    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2048, 10))
        >>> print(nn.summarize(net, dl.zeros(1, 32, 32, 3)).table().split("\\n\\n")[0])
        module   class       output          receptive field  parameters    FLOPs
        -------  ----------  --------------  ---------------  ----------  -------
        (model)  Sequential  (N, 10)         all
        0        Conv2d      (N, 32, 32, 8)  3 x 3                   224  442,368
        1        MaxPool2d   (N, 16, 16, 8)  4 x 4
        2        Flatten     (N, 2048)       all
        3        Linear      (N, 10)         all                  20,490   40,960
    """
    rows: dict[int, Row] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        own = {id(value): value for _, value in module.own_parameters() if id(value) not in seen}.values()
        seen.update(map(id, own))
        rows[id(module)] = Row(name, type(module).__name__, None, sum(p.data.size for p in own), 0, 0)
    first, graph = as_tensor(inputs[0]), None
    if first.ndim > 2 and first.is_floating_point():
        graph = FieldsOf(first)
        inputs = (graph.x, *inputs[1:])
    recording = enable_grad if graph else no_grad
    with in_evaluation(model), noting_calls(model.modules(), partial(_note, rows, graph)), recording():
        model(*inputs)
    parameters = list(model.parameters())
    computed, full = sum(p.data.nbytes for p in parameters), sum(p.master.nbytes for p in parameters)
    frozen = sum(p.size for p in parameters if not p.requires_grad)
    return Summary(list(rows.values()), len(inputs[0]), computed, full, frozen)


def _note(rows: dict[int, Row], graph: FieldsOf | None, module: Module, inputs: tuple[Any, ...], output: Any) -> None:
    """Note a call of a module in its row."""
    row = rows[id(module)]
    first = output[0] if isinstance(output, tuple) else output
    row.out_shape = tuple(first.shape)
    row.receptive_field = graph.field(output) if graph else None
    row.flops += int(module.flops(tuple(inputs[0].shape), row.out_shape))
    if not any(True for _ in module.children()):
        row.outputs += first.data.nbytes if isinstance(first, Tensor) else first.nbytes


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "not called"
    return f"({', '.join(['N', *map(str, shape[1:])])})"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
