"""One of each layer, with the shape of an input, and one of each model: for tests of what all of them have to do."""

import contextlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from dlcourse import backend, models, nn, registry
from dlcourse.checks.examples import arguments
from dlcourse.checks.file import MODEL_SHAPES
from dlcourse.interop.trace import sample, trace

IMAGE, SEQUENCE, VECTOR = (6, 6, 4), (6, 4), (4,)

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{kind.__name__: (kind, VECTOR) for kind in nn.ACTIVATIONS.values()},
    "CELU": (lambda: nn.CELU(0.7), IMAGE),
    "GELU": (lambda: nn.GELU("tanh"), VECTOR),
    "Softplus": (lambda: nn.Softplus(2.0, 0.5), VECTOR),
    "Threshold": (lambda: nn.Threshold(0.1, 20.0), VECTOR),
    "RReLU": (nn.RReLU, VECTOR),
    "PReLU": (lambda: nn.PReLU(4), IMAGE),
    "GLU": (nn.GLU, VECTOR),
    "Softmax": (lambda: nn.Softmax(-1), SEQUENCE),
    "LogSoftmax": (lambda: nn.LogSoftmax(-1), SEQUENCE),
    "Softmin": (lambda: nn.Softmin(-1), SEQUENCE),
    "Softmax2d": (nn.Softmax2d, IMAGE),
    "Identity": (lambda: nn.Sequential(nn.Identity(), nn.ReLU()), VECTOR),
    "Flatten": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6 * 6 * 4, 3)), IMAGE),
    "Unflatten": (lambda: nn.Sequential(nn.Linear(4, 16), nn.Unflatten(1, (2, 2, 4))), VECTOR),
    "Linear": (lambda: nn.Linear(4, 3), SEQUENCE),
    "Embedding": (lambda: nn.Embedding(9, 4), (6,)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2), IMAGE),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding="valid", groups=2), SEQUENCE),
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=(1, 0), groups=2),
        IMAGE,
    ),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1), SEQUENCE),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), IMAGE),
    "MaxPool1d": (lambda: nn.MaxPool1d(2, dilation=2), SEQUENCE),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), IMAGE),
    "AvgPool1d": (lambda: nn.AvgPool1d(2, ceil_mode=True), SEQUENCE),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(4), SEQUENCE),
    "LPPool2d": (lambda: nn.LPPool2d(2, 3, 2), IMAGE),
    "LPPool1d": (lambda: nn.LPPool1d(2, 2), SEQUENCE),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((4, 3)), IMAGE),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(4), SEQUENCE),
    "GlobalAvgPool2d": (nn.GlobalAvgPool2d, IMAGE),
    "BatchNorm": (lambda: nn.BatchNorm(4), IMAGE),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), SEQUENCE),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4), IMAGE),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4, track_running_stats=False), IMAGE),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True), SEQUENCE),
    "LayerNorm": (lambda: nn.LayerNorm(IMAGE), IMAGE),
    "RMSNorm": (lambda: nn.RMSNorm(4), SEQUENCE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), IMAGE),
    "RNN": (lambda: nn.RNN(4, 5, 2, "relu", bidirectional=True), SEQUENCE),
    "LSTM": (lambda: nn.LSTM(4, 5, 2, bidirectional=True), SEQUENCE),
    "GRU": (lambda: nn.GRU(4, 5, bias=False), SEQUENCE),
    "RNNCell": (lambda: nn.RNNCell(4, 5), VECTOR),
    "LSTMCell": (lambda: nn.LSTMCell(4, 5), VECTOR),
    "GRUCell": (lambda: nn.GRUCell(4, 5), VECTOR),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(4, 2, causal=True), SEQUENCE),
    "PositionalEncoding": (lambda: nn.Sequential(nn.Linear(4, 6), nn.PositionalEncoding(6, 12)), SEQUENCE),
    "RotaryEmbedding": (lambda: nn.RotaryEmbedding(4, 12), SEQUENCE),
    "GroupedAttention": (
        lambda: nn.MultiHeadAttention(8, 4, causal=True, bias=False, num_kv_heads=2, rotary=nn.RotaryEmbedding(2, 12)),
        (6, 8),
    ),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, norm_first=True), SEQUENCE),
    "TransformerEncoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2), SEQUENCE),
    **{f"Dropout{axes}": (getattr(nn, f"Dropout{axes}"), IMAGE) for axes in ("", "2d")},
    "Dropout1d": (nn.Dropout1d, SEQUENCE),
    "AlphaDropout": (nn.AlphaDropout, VECTOR),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout, IMAGE),
    **{
        f"{name}{axes}d": (partial(getattr(nn, f"{name}{axes}d"), (1, 2) * axes), shape)
        for name in ("ReflectionPad", "ReplicationPad", "CircularPad", "ZeroPad")
        for axes, shape in ((1, SEQUENCE), (2, IMAGE))
    },
    "ConstantPad2d": (lambda: nn.ConstantPad2d((1, 2, -1, 0), 3.0), IMAGE),
    "ConstantPad1d": (lambda: nn.ConstantPad1d((1, 2), 3.0), SEQUENCE),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGE),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), IMAGE),
    "Upsample": (lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"), IMAGE),
    "UpsampleNearest": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "Fold": (lambda: nn.Sequential(nn.Unfold(3, padding=1, stride=2), nn.Fold(6, 3, padding=1, stride=2)), IMAGE),
    "Unfold": (lambda: nn.Unfold((3, 2), padding=1, stride=2), IMAGE),
}
"""By name of the class what makes one, and the shape of one input."""

DCGAN = {"channels": [4, 6]}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: models.MLP((6, 6, 3), 5, [16, 8], batch_norm=True, dropout=0.1),
    "cnn": lambda: models.CNN((8, 8, 3), 5, [4, 6], [16], batch_norm=True, dropout=0.1),
    "vgg": lambda: models.VGG((8, 8, 3), 5, [4, "pool", 6, "pool"], dropout=0.1),
    "pca": lambda: models.PCA((4, 4, 3), 1, 2),
    "autoencoder": lambda: models.Autoencoder((4, 4, 3), 1, 2, [8]),
    "vae": lambda: models.VAE((4, 4, 3), 1, 2, [8]),
    "gan": lambda: models.GAN(
        (8, 8, 3), 1, 4, DCGAN | {"name": "dcgan_generator"}, DCGAN | {"name": "dcgan_discriminator"}
    ),
    "dcgan_generator": lambda: models.DCGANGenerator((4,), 192, [6, 4], out_shape=(8, 8, 3)),
    "diffusion": lambda: models.Diffusion((8, 8, 3), 1, channels=[8, 16], patch=2),
    "lenet": lambda: models.LeNet((28, 28, 1), 5),
    "googlenet": lambda: models.GoogLeNet((8, 8, 3), 5, [[2, 2, 3, 2, 3, 2], "pool", [3, 2, 4, 2, 3, 2]], width=0.5),
    "mobilenet": lambda: models.MobileNet((8, 8, 3), 5, [4, 6], width=1.0),
    "airbench": lambda: models.AirBench((14, 14, 3), 5, [4, 6]),
    "wide_resnet": lambda: models.WideResNet((8, 8, 3), 5, 10, 1),
    "resnet": lambda: models.ResNet((8, 8, 3), 5, 8, 4),
    "gpt": lambda: models.GPT((6,), 11, 2, 2, 8),
    "seq2seq": lambda: models.Seq2Seq((6,), 11, "gru", 8, 4),
    "masked_lm": lambda: models.MaskedLM((6,), 11, 1, 2, 8),
    "text_classifier": lambda: models.TextClassifier((6,), 3, 11, 1, 2, 8),
    "vit": lambda: models.VisionTransformer((8, 8, 3), 5, layers=1, heads=2, width=8),
    "char_rnn": lambda: models.CharRNN((6,), 11, "lstm", 8, 2, 4),
    "lstm": lambda: models.LSTMModel((6, 3), 2, 8, pool="max"),
    "gru": lambda: models.GRUModel((6, 3), 2, 8, layers=2, pool="mean"),
    "rnn": lambda: models.RNNModel((6, 3), 2, 8, nonlinearity="relu"),
    "conv1d": lambda: models.Conv1D((6, 3), 2, [4, 4], dilations=[1, 2], batch_norm=True),
    "softmax": lambda: models.SoftmaxModel((6, 6, 3), 5),
    "svm": lambda: models.LinearSVM((4,), 3),
    "linear": lambda: models.LinearModel((4,), 2),
    "gaussian_classifier": lambda: models.GaussianClassifier((3,), 3),
    "gaussian_regression": lambda: models.GaussianRegression((3,), 2),
    "surface": lambda: models.SurfaceModel((1,), 1, "rosenbrock"),
    "polynomial": lambda: models.PolynomialModel((2,), 1, 5),
}
"""By its name in a config."""

WITHOUT_WEIGHTS = {"knn", "gaussian_estimators"}

NAMES = sorted(
    name
    for name, cls in registry.registered["model"].items()
    if cls.__module__.startswith("dlcourse.models.") and name not in WITHOUT_WEIGHTS
)
"""Of all models that have weights."""


def made(name: str) -> nn.Module:
    """A model by its name: the one above, else of guessed settings."""
    if name in MODELS:
        return MODELS[name]()
    cls = registry.registered["model"][name]
    settings = {"name": name, **arguments(cls, registry.parameters("model", name))}
    for shape in MODEL_SHAPES:
        with contextlib.suppress(Exception):
            model = registry.build("model", settings, in_shape=shape, out_features=3)
            trace(model, [sample(model, shape, 2)])
            return model
    return pytest.skip(f"{name} takes none of the usual inputs: give it a line in tests/interop/examples.py")


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with random weights and statistics."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data[...] = backend.of(parameter.data).asarray(rng.normal(size=parameter.shape) * 0.4)
    for _, buffer in model.named_buffers():
        if buffer.dtype.kind == "f":
            buffer[...] = backend.of(buffer).asarray(rng.uniform(0.5, 2, buffer.shape))
    return model
