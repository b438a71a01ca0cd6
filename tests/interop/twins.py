"""The same modules in PyTorch: layers by their names, and models by the few lines of their forward pass."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from dlcourse import nn

NAMES = {"MultiHeadAttention": "MultiheadAttention"}
OTHER_NAMES = {"num_embeddings": "num", "embedding_dim": "dim", "normalized_shape": "dim"}


def twin(ours: nn.Module, forward: Callable | None = None) -> Any:
    """PyTorch's module of the same name and settings; else one that holds the twins of what is inside.

    Args:
        forward: what it computes, of itself and the input.
    """
    name = type(ours).__name__
    if isinstance(ours, nn.Sequential):
        return torch.nn.Sequential(*(twin(each) for each in ours))
    if isinstance(ours, nn.ModuleList):
        return torch.nn.ModuleList(twin(each) for each in ours)
    if isinstance(ours, nn.BatchNorm):
        return _BatchNorm(ours.num_features, ours.eps)
    if isinstance(ours, nn.Unflatten):
        return torch.nn.Unflatten(ours.dim, (ours.unflattened_size[-1], *ours.unflattened_size[:-1]))
    if isinstance(ours, nn.GlobalAvgPool2d):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    if isinstance(ours, nn.TransformerEncoderLayer):
        sizes, first = (ours.self_attn.embed_dim, ours.self_attn.num_heads, len(ours.linear1.weight)), ours.norm_first
        activation = type(ours.activation).__name__.lower()
        return torch.nn.TransformerEncoderLayer(*sizes, 0.0, activation, batch_first=True, norm_first=first)
    kind = getattr(torch.nn, NAMES.get(name, name), None)
    return _Twin(ours, forward or FORWARD[name]) if kind is None else kind(**_settings(kind, ours))


class _BatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    def _check_input_dim(self, x: Any) -> None:
        """Takes vectors, sequences and images, as the layer here."""


def _settings(kind: type, ours: nn.Module) -> dict[str, Any]:
    """The arguments of PyTorch's class, by the attributes of their names."""
    whole = torch.nn.RNNBase if issubclass(kind, torch.nn.RNNBase) else kind
    names = [*inspect.signature(whole).parameters, *(["nonlinearity"] if kind is torch.nn.RNN else [])]
    attributes = {name: OTHER_NAMES.get(name, name) for name in names}
    settings = {name: getattr(ours, other) for name, other in attributes.items() if hasattr(ours, other)}
    if "bias" in settings:
        settings["bias"] = settings["bias"] is not None and settings["bias"] is not False
    return settings | ({"batch_first": True} if "batch_first" in names else {})


class _Twin(torch.nn.Module):
    def __init__(self, ours: nn.Module, forward: Callable):
        super().__init__()
        self.compute, self.settings = forward, {k: v for k, v in vars(ours).items() if isinstance(v, int | str | bool)}
        for name, child in ours.named_children():
            setattr(self, name, twin(child))
        for name, parameter in ours.own_parameters():
            setattr(self, name, torch.nn.Parameter(torch.zeros(parameter.shape)))
        for name, buffer in ours.own_buffers(transient=False):
            self.register_buffer(name, torch.from_numpy(buffer.copy()))

    def forward(self, *x: Any) -> Any:
        return self.compute(self, *x)


def _block(m: Any, x: Any) -> Any:
    y = m.norm2(m.conv2(F.relu(m.norm1(m.conv1(x)))))
    stride, more = m.settings["stride"], m.settings["out_channels"] - x.shape[1]
    return F.relu(y + F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, more)))


def _pre_activation(m: Any, x: Any) -> Any:
    z = F.relu(m.norm1(x))
    return m.conv2(F.relu(m.norm2(m.conv1(z)))) + (m.shortcut(z) if hasattr(m, "shortcut") else x)


def _transformer_block(m: Any, x: Any) -> Any:
    h, hidden = m.norm1(x), torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    x = x + m.attention(h, h, h, attn_mask=hidden, need_weights=False)[0]
    return x + m.shrink(F.gelu(m.expand(m.norm2(x)), approximate="tanh"))


def _gpt(m: Any, x: Any) -> Any:
    h = m.norm(m.blocks(m.token_embedding(x) + m.position_embedding.weight[: x.shape[1]]))
    return h @ m.token_embedding.weight.T


def _seq2seq(m: Any, x: Any) -> Any:
    padding = x == 0
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        m.embedding(x), (~padding).sum(1), batch_first=True, enforce_sorted=False
    )
    read, last = m.encoder(packed)
    read, _ = torch.nn.utils.rnn.pad_packed_sequence(read, batch_first=True, total_length=x.shape[1])
    state, token, logits = m.bridge(torch.cat([*last], 1)).tanh(), torch.ones_like(x[:, 0]), []
    for _ in range(int(m.answer_steps)):
        scores = m.attention.score((m.attention.query(state)[:, None] + m.attention.key(read)).tanh())[..., 0]
        context = (scores.masked_fill(padding, -torch.inf).softmax(1)[:, None] @ read)[:, 0]
        state = m.decoder(torch.cat([m.embedding(token), context], 1), state)
        logits.append(m.head(torch.cat([state, context], 1)))
        token = logits[-1].argmax(1)
    return torch.stack(logits, 1)


def _read(m: Any, x: Any) -> Any:
    return m.norm(m.blocks(m.token_embedding(x) + m.position_embedding.weight[: x.shape[1]]))


def _vit(m: Any, x: Any) -> Any:
    h = m.tokenizer(x).flatten(2).transpose(1, 2)
    h = torch.cat([m.class_token.expand(len(h), 1, -1), h], 1) + m.position_embedding
    return m.head(m.norm(m.blocks(h))[:, 0])


def _sequence(m: Any, x: Any) -> Any:
    found = m.encoder(x)
    h = found[0] if isinstance(found, tuple) else found
    pools = {"last": lambda: h[:, -1], "mean": lambda: h.mean(1), "max": lambda: h.amax(1)}
    return m.linear(pools[m.settings["pool"]]())


def _conv1d(m: Any, x: Any) -> Any:
    h = x.transpose(1, 2)
    for layer in m.encoder:
        h = layer(h)
    return m.linear(h.mean(2))


def _time_embedding(m: Any, t: Any) -> Any:
    width = m.settings["width"]
    angles = t[:, None] * 10_000 ** (-2 * torch.arange(width // 2) / width)
    return m.layers(torch.cat([angles.cos(), angles.sin()], 1))


def _denoising_mlp(m: Any, x: Any, t: Any) -> Any:
    e, h = m.embedding(t), x.flatten(1)
    angles = [h * 2**k * torch.pi / 2 for k in range(m.settings["frequencies"])]
    h = torch.cat([h, *(wave for angle in angles for wave in (angle.sin(), angle.cos()))], 1)
    for layer, time in zip(m.layers, m.times, strict=True):
        h = F.silu(layer(h) + time(e))
    return m.output(h).reshape(x.shape)


def _timed_block(m: Any, x: Any, e: Any) -> Any:
    h = m.conv1(F.silu(m.norm1(x))) + m.time(e)[:, :, None, None]
    return m.shortcut(x) + m.conv2(F.silu(m.norm2(h)))


def _unet(m: Any, x: Any, t: Any) -> Any:
    e, h, passed = m.embedding(t), m.input(m.cut(x)), []
    for block, shrink in zip(m.down, m.shrink, strict=True):
        passed.append(block(h, e))
        h = shrink(passed[-1])
    for block in m.middle:
        h = block(h, e)
    for i in reversed(range(len(passed))):
        h = m.up[i](torch.cat([m.grow[i](m.larger(h)), passed[i]], 1), e)
    return m.join(m.output(F.silu(m.norm(h))))


FORWARD: dict[str, Callable] = {
    "ResidualBlock": _block,
    "PreActivationBlock": _pre_activation,
    "wide_resnet": lambda m, x: m.linear(m.pool(F.relu(m.norm(m.blocks(m.conv(x)))))),
    "TransformerBlock": _transformer_block,
    "_Convolution": lambda m, x: m.conv(x[:, :, None])[:, :, 0, : x.shape[2]],
    **dict.fromkeys(("mlp", "cnn", "vgg", "lenet", "googlenet", "mobilenet"), lambda m, x: m.layers(x)),
    **dict.fromkeys(("DCGANGenerator", "DCGANDiscriminator"), lambda m, x: m.layers(x)),
    **dict.fromkeys(("dcgan_generator", "dcgan_discriminator"), lambda m, x: m.layers(x)),
    "gan": lambda m, x: m.discriminator(x),
    "Inception": lambda m, x: torch.cat([m.one(x), m.three(x), m.five(x), m.pool(x)], 1),
    "ConvGroup": lambda m, x: F.gelu(m.norm2(m.conv2(F.gelu(m.norm1(m.pool(m.conv1(x))))))),
    "pca": lambda m, x: ((((x.flatten(1) - m.mean) @ m.components.T) @ m.components) + m.mean).reshape(x.shape),
    "autoencoder": lambda m, x: m.decoder(m.encoder(x.flatten(1))).reshape(x.shape),
    "vae": lambda m, x: m.decoder(m.encoder(x.flatten(1)).chunk(2, 1)[0]).sigmoid().reshape(x.shape),
    "airbench": lambda m, x: m.head(m.layers(m.whiten(x))) / m.head.in_features,
    **dict.fromkeys(("softmax", "svm", "linear"), lambda m, x: F.linear(x.flatten(1), m.weight, m.bias)),
    **dict.fromkeys(("lstm", "gru", "rnn"), _sequence),
    "conv1d": _conv1d,
    "char_rnn": lambda m, x: m.linear(m.recurrent(m.embedding(x))[0]),
    "gpt": _gpt,
    "seq2seq": _seq2seq,
    "AdditiveAttention": lambda m, x: x,  # its parts are called by the model
    "masked_lm": lambda m, x: _read(m, x) @ m.token_embedding.weight[:-1].T + m.bias,
    "text_classifier": lambda m, x: m.head(_read(m, x).mean(1)),
    "vit": _vit,
    "TimeEmbedding": _time_embedding,
    "DenoisingMLP": _denoising_mlp,
    "TimedBlock": _timed_block,
    "UNet": _unet,
    "diffusion": lambda m, x: m.net(x, torch.full((len(x),), 500.0)),
    "resnet": lambda m, x: m.linear(m.pool(m.blocks(F.relu(m.norm(m.conv(x)))))),
}
"""By name of the model in a config, or of the class of a block."""
