"""Positional arguments mean what they mean in PyTorch, wherever PyTorch has the thing: nothing means something else."""

import copy
import inspect
from collections.abc import Callable, Iterator

import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim

torch = pytest.importorskip("torch")

# Of what PyTorch has in C++ or hides behind *args, from its documentation.
DOCUMENTED = {
    "RNN": "input_size hidden_size num_layers nonlinearity bias batch_first dropout bidirectional",
    "LSTM": "input_size hidden_size num_layers bias batch_first dropout bidirectional",
    "GRU": "input_size hidden_size num_layers bias batch_first dropout bidirectional",
    "avg_pool1d": "input kernel_size stride padding ceil_mode count_include_pad",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    **dict.fromkeys(("max_pool1d", "max_pool2d"), "input kernel_size stride padding dilation ceil_mode return_indices"),
    "adaptive_avg_pool1d": "input output_size",
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), "input output_size return_indices"),
    "bilinear": "input1 input2 weight bias",
    "cosine_similarity": "x1 x2 dim eps",
    "pairwise_distance": "x1 x2 p eps keepdim",
    "pixel_shuffle": "input upscale_factor",
    "pixel_unshuffle": "input downscale_factor",
    **dict.fromkeys(("conv1d", "conv2d"), "input weight bias stride padding dilation groups"),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d"),
        "input weight bias stride padding output_padding groups dilation",
    ),
    "linear": "input weight bias",
    "gelu": "input",
    **dict.fromkeys(("hardshrink", "softshrink"), "input lambd"),
    "prelu": "input weight",
    "softplus": "input beta threshold",
    "scaled_dot_product_attention": "query key value attn_mask dropout_p is_causal",
    "logsumexp": "input dim keepdim",
    "concatenate": "tensors dim",
    "concat": "tensors dim",
    "cat": "tensors dim",
    "stack": "tensors dim",
    "where": "condition input other",
    "maximum": "input other",
    "minimum": "input other",
    "matmul": "input other",
    "broadcast_to": "input size",
    "tensor": "data",
    "as_tensor": "data dtype device",
    "manual_seed": "seed",
    "arange": "start end step",
    "bernoulli": "input generator",
    "one_hot": "tensor num_classes",
    "eye": "n m",
    "from_numpy": "ndarray",
    "full": "size fill_value",
    "full_like": "input fill_value",
    "linspace": "start end steps",
    "log_softmax": "input dim",
    "softmax": "input dim",
    "max": "input other",
    "min": "input other",
    "multinomial": "input num_samples replacement",
    "normal": "mean std size",
    "finfo": "type",
    "einsum": "equation",
    "unique_consecutive": "input return_inverse return_counts dim",
    "iinfo": "type",
    "logspace": "start end steps base",
    "scalar_tensor": "s",
    "searchsorted": "sorted_sequence input",
    "bucketize": "input boundaries",
    "isin": "elements test_elements",
    "combinations": "input r with_replacement",
    "tril_indices": "row col offset",
    "triu_indices": "row col offset",
    "kron": "input other",
    "hstack": "tensors",
    "vstack": "tensors",
    "dstack": "tensors",
    "row_stack": "tensors",
    "column_stack": "tensors",
    "randint_like": "input low high",
    "randint": "low high size",
    "randperm": "n",
    "split": "tensor split_size_or_sections dim",
    "unique": "input sorted return_inverse return_counts dim",
    "no_grad": "orig_func",
    "enable_grad": "orig_func",
}

SAME = [
    {"input", "x", "logits", "log_p", "scores", "outputs", "indices", "tensors", "a", "probabilities", "weights"},
    {"x1", "input1"},
    {"x2", "input2"},
    {"array", "ndarray"},
    {"labels", "tensor"},
    {"orig_func", "function"},
    {"obj", "value"},
    {"tensor", "x"},
    {"type", "dtype"},
    {"data", "value"},
    {"target", "labels", "targets"},
    {"dim", "axis", "dims"},
    {"keepdim", "keepdims"},
    {"dim", "normalized_shape", "embed_dim", "embedding_dim"},
    {"num", "num_embeddings"},
    {"heads", "num_heads"},
    {"query", "q"},
    {"key", "k"},
    {"value", "v"},
    {"attn_mask", "mask"},
    {"other", "b", "y"},
    {"size", "new_shape"},
    {"params", "parameters"},
    {"func", "fn"},
]

OURS_ALONE = {
    *("save", "load"),  # the file comes first
    *("Optimizer", "solve", "rnn", "lstm", "gru", "unbind", "Tensor", "device", "run"),  # not those of PyTorch
}

MISTAKABLE = {"gelu": 1}
"""How many of ours count where the rest cannot be mistaken: a word, which PyTorch wants named."""


def shared() -> Iterator[tuple[str, Callable, list[str]]]:
    """Name, ours, and PyTorch's positional parameters."""
    schedulers = torch.optim.lr_scheduler
    places = [(nn, [torch.nn]), (F, [torch.nn.functional, torch]), (optim, [torch.optim, schedulers]), (dl, [torch])]
    others = {
        "MultiHeadAttention": torch.nn.MultiheadAttention,
        "BatchNorm": torch.nn.BatchNorm2d,
        "clip_grad_norm": torch.nn.utils.clip_grad_norm_,
        "gradcheck": torch.autograd.gradcheck,
    }
    for ours, theirs in places:
        for name in sorted(set(ours.__all__) - OURS_ALONE):
            function = getattr(ours, name)
            found = next((getattr(t, name) for t in theirs if callable(getattr(t, name, None))), others.get(name))
            if callable(function) and found is not None:
                yield name, function, DOCUMENTED[name].split() if name in DOCUMENTED else positional(found)


def positional(function: Callable) -> list[str]:
    """Of a function in C++ that is not in the list above: the first argument at most."""
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    if not hasattr(function, "__code__") and not inspect.isclass(function):
        return ["input"]
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]


@pytest.mark.parametrize(("name", "ours", "theirs"), shared(), ids=lambda value: value if type(value) is str else "")
def test_positional_arguments_come_in_pytorchs_order(name: str, ours: Callable, theirs: list[str]) -> None:
    mine = positional(ours)[: MISTAKABLE.get(name)]
    for place, (our, their) in enumerate(zip(mine, theirs, strict=False)):
        assert our == their or any({our, their} <= same for same in SAME), f"{name}: argument {place + 1}: {their}"
    assert len(mine) <= len(theirs), f"{name}: {mine[len(theirs) :]} have to be keyword-only"


class Own(nn.Module):
    """A module of a user's own, with one argument."""

    def __init__(self, width: int):
        self.width = width


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (
            lambda: nn.MultiheadAttention(8, 2, 0.1, True, False),
            "nn.MultiheadAttention takes 4 positional arguments (embed_dim, num_heads, dropout, bias), got 5; "
            "keyword-only: kdim=, vdim=, batch_first=",
        ),
        (
            lambda: nn.MultiHeadAttention(8, 2, 0.1),
            "nn.MultiHeadAttention takes 2 positional arguments (dim, heads), got 3; keyword-only: causal=, dropout=",
        ),
        (
            lambda: optim.SGD([nn.Linear(1, 1).weight], 0.1, 0.9, 0),
            "optim.SGD takes 3 positional arguments (params, lr, momentum), got 4; keyword-only: nesterov=, ",
        ),
        (lambda: nn.MSELoss(None), "nn.MSELoss takes 0 positional arguments, got 1; keyword-only: reduction="),
        (lambda: nn.Dropout(0.5, True), "nn.Dropout takes 1 positional argument (p), got 2"),
        (lambda: nn.ReLU(True), "nn.ReLU takes no arguments, got 1"),
        (lambda: nn.ReLU(inplace=True), "nn.ReLU takes no 'inplace'; leave it out: "),
        (lambda: Own(1, 2), "Own takes 1 positional argument (width), got 2"),
    ],
)
def test_too_many_positional_arguments_are_named(construct: Callable, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        construct()
    assert str(caught.value).startswith(message)


def test_the_check_of_positional_arguments_leaves_signatures_and_copies_alone() -> None:
    assert not inspect.signature(nn.ReLU).parameters
    assert list(inspect.signature(nn.LSTM).parameters)[:2] == ["input_size", "hidden_size"]
    assert copy.deepcopy(nn.Linear(2, 3)).weight.shape == (3, 2)
