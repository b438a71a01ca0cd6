"""Layers with weights against PyTorch's layers of the same name: outputs, states, and what evaluation does."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, gradcheck, tensor
from dlcourse.backend import random, to_host
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.recurrent import lstm

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def give(ours: nn.Module, theirs: Any) -> None:
    """Copy our float64 weights into PyTorch's module of the same names."""
    theirs.double()
    state = {name: torch.tensor(array) for name, array in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=False)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_are_pytorchs(name: str, layers: int, both_ways: bool, device: str) -> None:
    ours = getattr(nn, name)(3, 4, num_layers=layers, bidirectional=both_ways).to(dtype="float64")
    theirs = getattr(torch.nn, name)(3, 4, num_layers=layers, bidirectional=both_ways, batch_first=True)
    give(ours, theirs)
    x, states = normal(2, 5, 3), [normal(layers * (1 + both_ways), 2, 4, seed=i) for i in (1, 2)]
    if name == "LSTM":
        output, last = ours(tensor(x), tuple(tensor(s) for s in states))
        expected, expected_last = theirs(torch.tensor(x), tuple(torch.tensor(s) for s in states))
    else:
        output, h_n = ours(tensor(x), tensor(states[0]))
        expected, h = theirs(torch.tensor(x), torch.tensor(states[0]))
        last, expected_last = (h_n,), (h,)
    np.testing.assert_allclose(output.numpy(), expected.detach().numpy(), **TIGHT)
    for a, b in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), **TIGHT)
    without, _ = ours(tensor(x))
    np.testing.assert_allclose(without.numpy(), theirs(torch.tensor(x))[0].detach().numpy(), **TIGHT)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_gradients_flow_through_layers_directions_and_states(name: str) -> None:
    layer = getattr(nn, name)(2, 3, num_layers=2, bidirectional=True).to(dtype="float64")

    def run(x: Any, h: Any) -> Any:
        output, last = layer(x, (h, h * 0.5)) if name == "LSTM" else layer(x, h)
        states = last if name == "LSTM" else (last,)
        return output.sum() + sum((state * state).sum() for state in states)

    gradcheck(run, [normal(2, 3, 2), normal(4, 2, 3)])


def test_a_sequence_of_no_steps() -> None:
    x, first = tensor(np.zeros((2, 0, 3), "float32")), tensor(np.ones((1, 2, 4), "float32"))
    for layer in (nn.RNN(3, 4), nn.GRU(3, 4)):
        output, last = layer(x, first)
        assert output.shape == (2, 0, 4) and last.tolist() == first.tolist()
    output, (h_n, c_n) = nn.LSTM(3, 4)(x, (first, first))
    assert output.shape == (2, 0, 4) and h_n.tolist() == c_n.tolist() == first.tolist()


@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 5, 3)])
def test_batch_norm_is_pytorchs_in_training_and_evaluation(shape: tuple, device: str) -> None:
    ours = nn.BatchNorm(3).to(dtype="float64")
    theirs = torch.nn.BatchNorm1d(3).double()
    for seed in range(3):
        x = 2 + normal(*shape, seed=seed)
        y = ours(tensor(x)).numpy()
        expected = theirs(torch.tensor(x.reshape(-1, 3))).detach().numpy()
        np.testing.assert_allclose(y.reshape(-1, 3), expected, **TIGHT)
    np.testing.assert_allclose(ours.state_dict()["running_mean"], theirs.running_mean.numpy(), **TIGHT)
    np.testing.assert_allclose(ours.state_dict()["running_var"], theirs.running_var.numpy(), **TIGHT)
    y = ours.eval()(tensor(x)).numpy()
    np.testing.assert_allclose(
        y.reshape(-1, 3), theirs.eval()(torch.tensor(x.reshape(-1, 3))).detach().numpy(), **TIGHT
    )
    gradcheck(lambda a: ours(a), x)


def test_batch_norm_needs_two_values_a_channel() -> None:
    with pytest.raises(ShapeError, match="larger batch"):
        nn.BatchNorm(3)(tensor(np.zeros((1, 3), "float32")))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_pytorchs(causal: bool, device: str) -> None:
    ours = nn.MultiHeadAttention(8, 2, causal=causal).to(dtype="float64")
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    give(ours, theirs)
    x, padding = normal(3, 5, 8), np.arange(5) >= np.array([[5], [3], [4]])
    hidden = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64) if causal else None
    expected, _ = theirs(*[torch.tensor(x)] * 3, key_padding_mask=torch.tensor(padding), attn_mask=hidden)
    y = ours(tensor(x), padding_mask=padding)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **TIGHT)
    gradcheck(lambda a: ours(a, padding_mask=padding), x)


def test_a_causal_layer_does_not_see_the_future(device: str) -> None:
    layer = nn.MultiHeadAttention(8, 2, causal=True).to(dtype="float64")
    x = normal(1, 6, 8)
    changed = x.copy()
    changed[:, 4:] += 1
    before, after = layer(tensor(x)).numpy(), layer(tensor(changed)).numpy()
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).all()


def test_a_query_without_keys_gets_the_bias_alone() -> None:
    layer = nn.MultiHeadAttention(4, 2)
    y = layer(tensor(normal(1, 3, 4), dtype="float32"), padding_mask=np.ones((1, 3), bool))
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(layer.out_proj.bias.numpy(), (1, 3, 4)))


def test_images_go_through_conv_and_pool(device: str) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.GlobalAvgPool2d(),
        nn.Linear(8, 2),
    )
    assert net(tensor(normal(2, 8, 8, 3), dtype="float32")).shape == (2, 2)
    with pytest.raises(ShapeError, match="conv2d"):
        net(tensor(normal(2, 8, 8, 4), dtype="float32"))
    with pytest.raises(ValueError, match="groups"):
        nn.Conv2d(3, 8, 3, groups=2)
    with pytest.raises(ValueError, match="stride"):
        nn.Conv2d(3, 8, 3, stride=0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: nn.Linear(300, 200), lambda: torch.nn.Linear(300, 200)),
        (lambda: nn.Conv2d(30, 40, 3), lambda: torch.nn.Conv2d(30, 40, 3)),
        (lambda: nn.LSTM(30, 50), lambda: torch.nn.LSTM(30, 50)),
        (lambda: nn.Embedding(300, 50), lambda: torch.nn.Embedding(300, 50)),
        (lambda: nn.MultiHeadAttention(64, 4), lambda: torch.nn.MultiheadAttention(64, 4)),
    ],
    ids=["linear", "conv", "lstm", "embedding", "attention"],
)
def test_initial_weights_are_distributed_as_pytorchs(ours: Any, theirs: Any) -> None:
    """The standard deviation of each tensor of more than a hundred numbers, to five standard errors."""
    expected = dict(theirs().named_parameters())
    for name, values in ours().named_parameters():
        reference = expected[name].detach().numpy()
        if values.size > 100:
            spread = 5 * reference.std() * (2 / values.size) ** 0.5 + 1e-12
            assert abs(values.numpy().std() - reference.std()) <= spread, name


def test_embedding_refuses_what_is_not_in_its_table() -> None:
    layer = nn.Embedding(4, 2)
    assert layer(np.array([[0, 3]])).shape == (1, 2, 2)
    for bad in (np.array([4]), np.array([-1]), np.array([0.0])):
        with pytest.raises(ShapeError, match="embedding"):
            layer(bad)


def test_a_row_for_padding_stays_zero_as_pytorchs(device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    table, tokens = normal(5, 3).astype("float32"), np.array([[1, 4, 4], [2, 1, 4]])
    for index in (4, -1):
        ours, theirs = nn.Embedding(5, 3, padding_idx=index), torch.nn.Embedding(5, 3, padding_idx=index)
        assert ours.weight.numpy()[4].tolist() == [0, 0, 0] and ours.padding_idx == theirs.padding_idx
        ours = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=index)
        theirs = torch.nn.Embedding.from_pretrained(torch.tensor(table), freeze=False, padding_idx=index)
        (ours(tokens) ** 2).sum().backward()
        (theirs(torch.tensor(tokens)) ** 2).sum().backward()
        np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-5)
    assert not nn.Embedding.from_pretrained(table).weight.requires_grad
    for wrong in (5, -6):
        with pytest.raises(ValueError, match="padding_idx"):
            nn.Embedding(5, 3, padding_idx=wrong)
        with pytest.raises(ValueError, match="padding_idx"):
            F.embedding(tokens, tensor(table), wrong)
    with pytest.raises(ShapeError, match="expected a table"):
        nn.Embedding.from_pretrained(table[0])


def test_sizes_of_a_window_are_whole_numbers_of_any_kind() -> None:
    assert nn.Conv2d(1, 2, np.int64(3), stride=(np.int32(2), 1)).kernel_size == (3, 3)
    assert nn.MaxPool2d(np.uint8(2)).kernel_size == (2, 2)
    for wrong in (2.0, 0, (1, 2, 3), (2, 2.5), "33"):
        with pytest.raises(ValueError, match="kernel_size: expected a whole number of at least 1"):
            nn.MaxPool2d(wrong)


def module_cases() -> dict[str, tuple]:
    images, sequence, vectors = (normal(*shape).astype("float32") for shape in ((4, 8, 8, 6), (4, 5, 6), (4, 6)))
    return {
        "Flatten": (nn.Flatten(), images),
        "Identity": (nn.Identity(), vectors),
        "Dropout": (nn.Dropout(0.5), vectors),
        "Dropout2d": (nn.Dropout2d(0.5), images),
        "AlphaDropout": (nn.AlphaDropout(0.5), vectors),
        "Unflatten": (nn.Unflatten(1, (2, -1)), vectors),
        "Dropout of all": (nn.Dropout(1.0), vectors),
        "GroupNorm": (nn.GroupNorm(2, 6), images),
        "LayerNorm": (nn.LayerNorm(6), sequence),
        "BatchNorm": (nn.BatchNorm(6), images),
        "BatchNorm1d": (nn.BatchNorm1d(6, affine=False, track_running_stats=False), vectors),
        "InstanceNorm2d": (nn.InstanceNorm2d(6, affine=True, track_running_stats=True), images),
        "RMSNorm": (nn.RMSNorm(6), sequence),
        "LocalResponseNorm": (nn.LocalResponseNorm(3), images),
        "Linear": (nn.Linear(6, 3), vectors),
        "Conv1d": (nn.Conv1d(6, 3, 3, padding="same", padding_mode="circular"), sequence),
        "Conv2d": (nn.Conv2d(6, 3, 3), images),
        "ConvTranspose1d": (nn.ConvTranspose1d(6, 3, 3), sequence),
        "ConvTranspose2d": (nn.ConvTranspose2d(6, 3, 3, stride=2), images),
        "MaxPool2d": (nn.MaxPool2d(2), images),
        "AvgPool2d": (nn.AvgPool2d(2), images),
        "MaxPool1d": (nn.MaxPool1d(3, 2, ceil_mode=True), sequence),
        "AvgPool1d": (nn.AvgPool1d(3, 2, ceil_mode=True), sequence),
        "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d(3), images),
        "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(3), images),
        "Upsample": (nn.Upsample(scale_factor=1.5, mode="bilinear"), images),
        "PixelUnshuffle": (nn.PixelUnshuffle(2), images),
        "Unfold": (nn.Unfold(3), images),
        "ReflectionPad2d": (nn.ReflectionPad2d((1, 2, 3, 4)), images),
        "ConstantPad1d": (nn.ConstantPad1d(1, 0.5), sequence),
        "GlobalAvgPool2d": (nn.GlobalAvgPool2d(), images),
        "RNN": (nn.RNN(6, 3, 2, bidirectional=True, dropout=0.1), sequence),
        "LSTM": (nn.LSTM(6, 3, 2, bidirectional=True), sequence),
        "GRU": (nn.GRU(6, 3), sequence),
        "GRUCell": (nn.GRUCell(6, 3), vectors),
        "LSTMCell": (nn.LSTMCell(6, 3), vectors),
        "RNNCell": (nn.RNNCell(6, 3), vectors),
        "MultiHeadAttention": (nn.MultiHeadAttention(6, 2), sequence),
        "Embedding": (nn.Embedding(5, 3), np.array([[1, 2], [3, 4]])),
        "Softmax": (nn.Softmax(), vectors),
        "Softmax2d": (nn.Softmax2d(), images),
        "GLU": (nn.GLU(), images),
        "PReLU": (nn.PReLU(6), images),
        "RReLU": (nn.RReLU(), vectors),
        "Threshold": (nn.Threshold(0.1, 2), vectors),
        "LogSoftmax": (nn.LogSoftmax(), vectors),
        "ReLU": (nn.ReLU(), vectors),
        "Sequential": (nn.Sequential(nn.Flatten(), nn.Linear(384, 2)), images),
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", module_cases())
def test_a_module_takes_an_array_as_it_takes_a_tensor(name: str, training: bool) -> None:
    module, x = module_cases()[name]
    module.train(training)
    results = []
    for given in (x, tensor(x)):
        random.manual_seed(0)
        y = module(given)
        results.append(y[0] if isinstance(y, tuple) else y)
    assert all(isinstance(y, Tensor) for y in results)
    np.testing.assert_array_equal(results[0].numpy(), results[1].numpy())


CONVOLUTION = {"in_channels": 12, "out_channels": 18, "kernel_size": 5, "stride": 2, "padding": 7, "dilation": 3} | {
    "groups": 6,
    "bias": False,
}
WINDOW = {"kernel_size": 5, "stride": 3, "padding": 2, "ceil_mode": True}
PATCHES = {"kernel_size": 5, "dilation": 3, "padding": 2, "stride": 4}
DROPOUTS = (("", ""), ("", "1d"), ("", "2d"), ("Alpha", ""), ("FeatureAlpha", ""))
PADS = ("Circular", "Reflection", "Replication", "Zero")
TRANSFORMER = {"d_model": 8, "nhead": 4, "dim_feedforward": 7, "dropout": 0.25, "activation": "gelu"} | {
    "layer_norm_eps": 0.125, "norm_first": True, "bias": False, "batch_first": True
}  # fmt: skip
SETTINGS = {
    **dict.fromkeys(("Conv1d", "Conv2d"), CONVOLUTION | {"padding_mode": "reflect"}),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d"), CONVOLUTION | {"output_padding": 1}),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d"), WINDOW | {"count_include_pad": False}),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d"), WINDOW | {"dilation": 4, "return_indices": True}),
    "AvgPool2d": WINDOW | {"count_include_pad": False, "divisor_override": 9},
    **{f"AdaptiveAvgPool{axes}d": {"output_size": 7} for axes in (1, 2)},
    **{f"AdaptiveMaxPool{axes}d": {"output_size": 7, "return_indices": True} for axes in (1, 2)},
    **{f"{kind}Pad{axes}d": {"padding": 7} for kind in PADS for axes in (1, 2)},
    **{f"ConstantPad{axes}d": {"padding": 7, "value": 0.25} for axes in (1, 2)},
    "Upsample": {"size": 7, "scale_factor": 3, "mode": "bilinear", "align_corners": True}
    | {"recompute_scale_factor": True},
    "PixelShuffle": {"upscale_factor": 3},
    "PixelUnshuffle": {"downscale_factor": 3},
    "Unfold": PATCHES,
    "Fold": PATCHES | {"output_size": 9},
    **dict.fromkeys(
        ("BatchNorm", "BatchNorm1d", "BatchNorm2d", "SyncBatchNorm", "InstanceNorm1d", "InstanceNorm2d"),
        {"num_features": 7, "eps": 0.25, "momentum": 0.75, "affine": False, "track_running_stats": False}
        | {"bias": False},
    ),
    "LayerNorm": {"dim": 7, "eps": 0.25, "elementwise_affine": False, "bias": False},
    "RMSNorm": {"normalized_shape": 7, "eps": 0.25, "elementwise_affine": False},
    "GroupNorm": {"num_groups": 3, "num_channels": 9, "eps": 0.25, "affine": False, "bias": False},
    "LocalResponseNorm": {"size": 5, "alpha": 0.25, "beta": 0.125, "k": 2.0},
    "Linear": {"in_features": 7, "out_features": 9, "bias": False},
    "RNN": {"input_size": 7, "hidden_size": 9, "num_layers": 3, "nonlinearity": "relu", "bidirectional": True}
    | {"bias": False, "dropout": 0.25, "batch_first": True},
    "LSTM": {"input_size": 7, "hidden_size": 9, "num_layers": 3, "bidirectional": True}
    | {"bias": False, "dropout": 0.25, "batch_first": True},
    "RNNCell": {"input_size": 7, "hidden_size": 9, "bias": False, "nonlinearity": "relu"},
    "LSTMCell": {"input_size": 7, "hidden_size": 9, "bias": False},
    "MultiheadAttention": {"embed_dim": 12, "num_heads": 4, "dropout": 0.25, "bias": False, "kdim": 7, "vdim": 9}
    | {"batch_first": True},
    "TransformerEncoderLayer": TRANSFORMER,
    "TransformerDecoderLayer": TRANSFORMER,
    "MultiHeadAttention": {"dim": 8, "heads": 4, "causal": True, "dropout": 0.25, "bias": False}
    | {"num_kv_heads": 2, "rotary": None},
    **dict.fromkeys(("PositionalEncoding", "RotaryEmbedding"), {"dim": 6, "max_length": 7, "base": 25.5}),
    "Embedding": {"num": 7, "dim": 9, "padding_idx": 3},
    "EmbeddingBag": {"num": 7, "dim": 9, "padding_idx": 3, "mode": "max", "include_last_offset": True},
    **{f"MaxUnpool{axes}d": {"kernel_size": 5, "stride": 3, "padding": 2} for axes in (1, 2)},
    **{f"LPPool{axes}d": {"norm_type": 6, "kernel_size": 5, "stride": 3, "ceil_mode": True} for axes in (1, 2)},
    "Softplus": {"beta": 0.5, "threshold": 25.0},
    **{f"{kind}Dropout{axes}": {"p": 0.25} for kind, axes in DROPOUTS},
    "Flatten": {"start_dim": 2, "end_dim": 3},
    "Unflatten": {"dim": 2, "unflattened_size": (3, 5)},
    "Bilinear": {"in1_features": 7, "in2_features": 8, "out_features": 9, "bias": False},
    "CosineSimilarity": {"dim": 2, "eps": 0.25},
    "PairwiseDistance": {"p": 3.0, "eps": 0.25, "keepdim": True},
    "LeakyReLU": {"negative_slope": 0.25},
    "ELU": {"alpha": 0.25},
    "GELU": {"approximate": "tanh"},
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmin"), {"axis": -2, "dim": -2}),
    "CELU": {"alpha": 0.25},
    "Hardtanh": {"min_val": -0.25, "max_val": 0.75},
    **dict.fromkeys(("Softshrink", "Hardshrink"), {"lambd": 0.25}),
    "Threshold": {"threshold": 0.25, "value": -7.0},
    "GLU": {"dim": -2},
    "PReLU": {"num_parameters": 7, "init": 0.125},
    "RReLU": {"lower": 0.25, "upper": 0.75},
    "CrossEntropyLoss": {"weight": None, "ignore_index": 7, "reduction": "sum", "label_smoothing": 0.25}
    | {"class_weights": (1.0, 2.0)},
    **dict.fromkeys(("MSELoss", "L1Loss", "SoftMarginLoss", "MultiLabelMarginLoss"), {"reduction": "sum"}),
    **dict.fromkeys(
        ("HingeEmbeddingLoss", "MarginRankingLoss", "CosineEmbeddingLoss"), {"margin": 0.25, "reduction": "sum"}
    ),
    "NLLLoss": {"weight": (2.0, 1.0), "ignore_index": 7, "reduction": "sum"},
    "CTCLoss": {"blank": 3, "reduction": "sum", "zero_infinity": True},
    "SmoothL1Loss": {"reduction": "sum", "beta": 0.25},
    "HuberLoss": {"reduction": "sum", "delta": 0.25},
    **dict.fromkeys(("BCELoss", "MultiLabelSoftMarginLoss"), {"weight": (2.0, 1.0), "reduction": "sum"}),
    "BCEWithLogitsLoss": {"weight": (2.0, 1.0), "reduction": "sum", "pos_weight": (3.0, 4.0)},
    "KLDivLoss": {"reduction": "batchmean", "log_target": True},
    "PoissonNLLLoss": {"log_input": False, "full": True, "eps": 0.25, "reduction": "sum"},
    "GaussianNLLLoss": {"full": True, "eps": 0.25, "reduction": "sum"},
    "TripletMarginLoss": {"margin": 0.25, "p": 3.5, "eps": 0.125, "swap": True, "reduction": "sum"},
    "TripletMarginWithDistanceLoss": {"distance_function": None, "margin": 0.25, "swap": True} | {"reduction": "sum"},
    "MultiMarginLoss": {"p": 2, "margin": 0.25, "weight": (2.0, 1.0), "reduction": "sum"},
    "MulticlassHingeLoss": {"margin": 0.25},
}


@pytest.mark.parametrize("size", [3.0, "3", True, None])
@pytest.mark.parametrize(
    "make",
    [
        lambda size: nn.Linear(size, 5),
        lambda size: nn.Conv2d(3, size, 3),
        lambda size: nn.Embedding(5, size),
        lambda size: nn.BatchNorm(size),
        lambda size: nn.GroupNorm(size, 6),
        lambda size: nn.MultiHeadAttention(6, size),
        lambda size: nn.GRU(3, size),
    ],
)
def test_a_size_is_a_whole_number(make, size: object) -> None:
    with pytest.raises(TypeError, match=r"^\w+: \w+ is a whole number, got "):
        make(size)


CONTAINERS = (
    *("Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"),
    *("Transformer", "TransformerDecoder", "TransformerEncoder"),  # their layers show them
)


def test_a_repr_shows_every_setting() -> None:
    for name, cls in vars(nn).items():
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)) or name in CONTAINERS:
            continue
        parameters = inspect.signature(cls).parameters
        settings = SETTINGS.get({"GRU": "LSTM", "GRUCell": "LSTMCell"}.get(name, cls.__name__), {})
        assert set(settings) == set(parameters), f"{name}: a value for each of {list(parameters)}"
        shown = repr(cls(**settings)).split("\n")[0]
        missing = [key for key, value in settings.items() if value is not None and str(value) not in shown]
        assert not missing, f"{shown} does not show {missing}"


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_states_of_another_shape_or_type_are_refused(name: str) -> None:
    x = tensor(normal(2, 5, 3).astype("float32"))
    layer = getattr(nn, name)(3, 4, 2, bidirectional=True)
    good = np.zeros((4, 2, 4), "float32")
    wrong = [np.zeros(shape, "float32") for shape in ((2, 2, 4), (1, 2, 4), (8, 2, 4), (4, 1, 4), (4, 2, 1), (2, 4))]
    for state in (*wrong, good.astype("float64"), good.astype("int64")):
        for states in ((state, good), (good, state)) if name == "LSTM" else (state,):
            with pytest.raises(ShapeError, match=r"expected states \(4, 2, 4\), float32.* got "):
                layer(x, states)
    layer(x, (good, good) if name == "LSTM" else good)
    with pytest.raises(ShapeError, match=r"of one sequence \(T, D\) a state is \(layers x directions, H\), got"):
        layer(x[0], (good, good) if name == "LSTM" else good)
    with pytest.raises(ShapeError, match=r"expected x \(N, T, 3\), or one sequence \(T, 3\), got \(2, 3, 5\)"):
        layer(x.reshape(2, 3, 5))


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_one_sequence_is_a_batch_of_one_without_its_axis(name: str) -> None:
    x, state = tensor(normal(5, 3).astype("float32")), np.ones((4, 4), "float32")
    layer = getattr(nn, name)(3, 4, 2, bias=False, bidirectional=True)
    assert not any("bias" in key for key, _ in layer.named_parameters())
    output, last = layer(x, (state, state) if name == "LSTM" else state)
    batch = state[:, None]
    outputs, lasts = layer(x[None], (batch, batch) if name == "LSTM" else batch)
    np.testing.assert_array_equal(output.numpy(), outputs.numpy()[0])
    for one, of_batch in zip(last, lasts, strict=True) if name == "LSTM" else [(last, lasts)]:
        np.testing.assert_array_equal(one.numpy(), of_batch.numpy()[:, 0])


def test_an_lstm_wants_a_pair_of_states() -> None:
    with pytest.raises(ShapeError, match="pair"):
        nn.LSTM(3, 4, 2)(tensor(normal(2, 5, 3)), tensor(normal(2, 2, 4)))


def test_one_layers_states_and_biases_have_to_fit() -> None:
    x, h, c, bias = (normal(*shape) for shape in ((2, 5, 3), (2, 4), (1, 4), (16,)))
    weights = normal(16, 3), normal(16, 4)
    good = (*weights, bias, bias)
    for wrong in ((x, h, c, *good), (x, h, h, *weights, bias[:1], bias), (x[0], h, h, *good)):
        with pytest.raises(ShapeError, match=r"lstm: expected x \(N, T, D\), h0 \(N, H\), c0 \(N, H\)"):
            lstm(*map(tensor, wrong))


def test_layer_norm_over_several_axes_and_norms_without_weights_are_pytorchs() -> None:
    x = normal(4, 3, 5, 6)
    same = torch.nn.functional
    pairs = [
        (F.layer_norm(tensor(x), (5, 6)), same.layer_norm(torch.tensor(x), (5, 6))),
        (F.layer_norm(tensor(x), 6, eps=0.1), same.layer_norm(torch.tensor(x), (6,), eps=0.1)),
        (F.group_norm(tensor(x), 2), same.group_norm(torch.tensor(x).movedim(-1, 1), 2).movedim(1, -1)),
    ]
    mean, variance = normal(6), normal(6) ** 2 + 0.5
    theirs = [torch.tensor(each.copy()) for each in (mean, variance)]
    for training in (False, True):
        expected = same.batch_norm(torch.tensor(x).movedim(-1, 1), *theirs, training=training).movedim(1, -1)
        pairs.append((F.batch_norm(tensor(x), mean, variance, training=training), expected))
    for ours, expected in pairs:
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), **TIGHT)
    np.testing.assert_allclose(mean, theirs[0].numpy(), **TIGHT)
    np.testing.assert_allclose(variance, theirs[1].numpy(), **TIGHT)
    with pytest.raises(ShapeError, match="normalized_shape"):
        F.layer_norm(tensor(x), tensor(normal(6)), tensor(normal(6)))


@pytest.mark.parametrize(
    ("layer", "shape", "fused"),
    [
        (lambda: nn.Linear(2, 3, bias=False), (1, 2), {"activation": "relu"}),
        (lambda: nn.Conv2d(2, 3, 1, bias=False), (1, 4, 4, 2), {"relu": True}),
    ],
)
def test_a_fused_pass_without_its_bias_is_refused(layer: Callable, shape: tuple, fused: dict) -> None:
    with pytest.raises(ArgumentError, match="is one pass with the bias, and this layer has none"):
        layer()(tensor(np.ones(shape, "float32")), **fused)


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_goes_through_a_batch_norm_in_one_pass(training: bool, device: str) -> None:
    """As the operations one after another: output, gradients, running averages; also by another norm."""
    from dlcourse.nn.container import then_add_relu

    rng = np.random.default_rng(0)
    x, residual = (rng.normal(size=(4, 3, 5, 8)).astype("f") for _ in range(2))
    for make in (nn.BatchNorm, lambda width: nn.GroupNorm(2, width)):
        found = []
        for compute in (then_add_relu, lambda norm, x, residual: F.relu(norm(x) + residual)):
            norm = make(8).train(training)
            inputs = [tensor(a, requires_grad=True) for a in (x, residual)]
            y = compute(norm, *inputs)
            (y * y + 2 * y).sum().backward()
            arrays = [y.data, *(p.grad.data for p in (*inputs, norm.weight, norm.bias))]
            found.append([*map(to_host, arrays), *norm.state_dict().values()])
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_last_states_of_a_recurrence_are_arrays_of_their_own(device: str) -> None:
    """A change of theirs changes neither the outputs nor the gradient."""
    gradients = []
    for change in (False, True):
        random.manual_seed(3)
        lstm = nn.LSTM(3, 4)
        x = tensor(normal(2, 5, 3), requires_grad=True)
        output, states = lstm(x.to(dtype="float32"))
        before = output.numpy().copy()
        if change:
            for state in states:
                state.data[...] = 7
        np.testing.assert_array_equal(output.numpy(), before)
        (output * output).sum().backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)


def test_random_slopes_are_in_their_range_and_new_in_each_step(device: str) -> None:
    x = tensor(-np.ones((100, 100), "float32"), requires_grad=True)
    layer = nn.RReLU(0.2, 0.6)
    random.manual_seed(3)
    random.begin_step(1)
    first = layer(x)
    slopes = -first.numpy()
    assert 0.2 <= slopes.min() < 0.21 and 0.59 < slopes.max() <= 0.6
    assert abs(slopes.mean() - 0.4) < 5 * 0.4 / 12**0.5 / 100
    first.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    random.begin_step(2)
    assert not np.array_equal(layer(x).numpy(), first.numpy())
    random.begin_step(1)
    np.testing.assert_array_equal(layer(x).numpy(), first.numpy())
    np.testing.assert_allclose(layer.eval()(x).numpy(), -0.4 * np.ones((100, 100)), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.glu(x), r"glu: expected an even length along axis -1, got \(2, 3\)"),
        (lambda x: F.prelu(x, np.ones(2)), r"prelu: x \(2, 3\) needs one weight, or 3, got \(2,\)"),
        (lambda x: F.hardtanh(x, 1.0, -1.0), "min_val is at most max_val"),
        (lambda x: nn.Hardtanh(1.0, -1.0), "min_val is at most max_val"),
        (lambda x: F.softshrink(x, -1.0), "lambd is at least 0"),
        (lambda x: F.celu(x, 0), "alpha is not 0"),
        (lambda x: F.rrelu(x, 1.0, 0.5), "lower is at most upper"),
        (lambda x: F.mish(x, inplace=True), "mish takes no 'inplace'"),
        (lambda x: nn.Softmax2d()(x), r"Softmax2d: expected images"),
        (lambda x: nn.PReLU(2.5), "num_parameters is a whole number"),
    ],
)
def test_settings_of_activations_that_make_no_sense_are_refused(call: Callable, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call(tensor(np.ones((2, 3))))


def test_prelu_learns_its_weight() -> None:
    layer = nn.PReLU(3)
    assert layer.weight.shape == (3,) and (layer.weight.numpy() == 0.25).all()
    layer(tensor(-np.ones((4, 2, 3), "float32"))).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), [-8, -8, -8])
