"""Encoder and decoder of the transformer (lecture 13; Vaswani et al. 2017), by PyTorch's names.

Sequences are (N, T, d_model), which is PyTorch's ``batch_first=True``, or (T, d_model) without a batch. In masks
booleans are True where a key is hidden, floats are added to the scores.
"""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.autograd.creation import tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn import init
from dlcourse.nn.activation import GELU, ReLU, gelu, relu
from dlcourse.nn.attention import MultiheadAttention
from dlcourse.nn.container import ModuleList
from dlcourse.nn.dropout import Dropout
from dlcourse.nn.linear import Linear
from dlcourse.nn.module import Module
from dlcourse.nn.norm import LayerNorm
from dlcourse.nn.sizes import check_batch_first, check_sizes

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

Activation = str | Callable[[Tensor], Tensor]


class _Layer(Module):
    """What the layers of encoder and decoder share: branches, each added to the stream and normed, before or after.

    With f a branch: x <- norm(x + f(x)), or with ``norm_first`` x <- x + f(norm(x)). The last branch is
    W2 act(W1 x + b1) + b2.
    """

    attentions: ClassVar[tuple[str, ...]]
    """The names of the attentions, in the order of their branches."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        check_batch_first(type(self).__name__, batch_first)
        self.batch_first = batch_first
        check_sizes(type(self).__name__, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        self.norm_first, self.activation = norm_first, _activation(type(self).__name__, activation)
        for name in self.attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias))
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias)
        for k in range(1, len(self.attentions) + 2):
            setattr(self, f"norm{k}", LayerNorm(d_model, layer_norm_eps, bias=bias))
            setattr(self, f"dropout{k}", Dropout(dropout))

    self_attn: MultiheadAttention
    norm1: LayerNorm

    def branch(self, number: int, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """The stream with a branch added."""
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + dropout(compute(norm(x)))
        return norm(x + dropout(compute(x)))

    def attend(
        self, attention: MultiheadAttention, x: Tensor, memory: Tensor, mask: Any, padding: Any, causal: bool
    ) -> Tensor:
        """The output of an attention alone."""
        return attention(x, memory, memory, padding, need_weights=False, attn_mask=mask, is_causal=causal)[0]

    def feed_forward(self, x: Tensor) -> Tensor:
        """W2 act(W1 x + b1) + b2, with dropout behind the activation."""
        inner = self.activation
        fused = self.linear1.fused_with(inner) if isinstance(inner, Module) else None
        hidden = inner(self.linear1(x)) if fused is None else fused(x)
        return self.linear2(self.dropout(hidden))

    def extra_repr(self) -> str:
        attention, norm = self.self_attn, self.norm1
        return (
            f"d_model={attention.embed_dim}, nhead={attention.num_heads}, dim_feedforward={len(self.linear1.weight)}, "
            f"dropout={self.dropout.p}, activation={_name(self.activation)!r}, layer_norm_eps={norm.eps}, "
            f"norm_first={self.norm_first}, bias={self.linear1.bias is not None}"
        )


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers, each added to the stream and normed:
    x <- norm1(x + attention(x)), x <- norm2(x + W2 act(W1 x)). (Vaswani et al. 2017; ``norm_first``: Xiong et al.
    2020.)

    Args:
        d_model: width of the sequence, a multiple of ``nhead``.
        nhead: attention heads.
        dim_feedforward: width between the two linear layers.
        dropout: probability of dropping an element of a branch or an attention weight, in training.
        activation: "relu", "gelu" or a function of a tensor.
        layer_norm_eps: of the norms.
        norm_first: norms stand before the branches: x <- x + f(norm(x)).
        bias: whether linear layers, attention and norms have biases.
    Example:
        >>> layer = nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
        >>> layer(dl.ones(4, 5, 8), is_causal=True).shape
        (4, 5, 8)
    """

    attentions = ("self_attn",)

    def forward(
        self, src: Tensor, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Tensor:
        """The sequence after the layer, of the shape of ``src``.

        Args:
            src: (N, T, d_model).
            src_mask, src_key_padding_mask, is_causal: ``attn_mask``, ``key_padding_mask`` and ``is_causal`` of
                :class:`MultiheadAttention`.
        """

        def look(x: Tensor) -> Tensor:
            return self.attend(self.self_attn, x, x, src_mask, src_key_padding_mask, is_causal)

        return self.branch(2, self.branch(1, as_tensor(src), look), self.feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, then two linear layers, each added to the stream and normed as in
    :class:`TransformerEncoderLayer`, whose arguments these are. (Vaswani et al. 2017.)

    Example:
        >>> layer = nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
        >>> layer(dl.ones(4, 5, 8), memory=dl.ones(4, 7, 8), tgt_is_causal=True).shape
        (4, 5, 8)
    """

    attentions = ("self_attn", "multihead_attn")
    multihead_attn: MultiheadAttention

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The sequence after the layer, of the shape of ``tgt``.

        Args:
            tgt: (N, T, d_model).
            memory: (N, S, d_model), such as an encoder's output.
            tgt_mask, tgt_key_padding_mask, tgt_is_causal: of the attention within ``tgt``.
            memory_mask, memory_key_padding_mask, memory_is_causal: of that to the memory.
        """
        kept = as_tensor(memory)

        def look(x: Tensor) -> Tensor:
            return self.attend(self.self_attn, x, x, tgt_mask, tgt_key_padding_mask, tgt_is_causal)

        def look_back(x: Tensor) -> Tensor:
            return self.attend(self.multihead_attn, x, kept, memory_mask, memory_key_padding_mask, memory_is_causal)

        return self.branch(3, self.branch(2, self.branch(1, as_tensor(tgt), look), look_back), self.feed_forward)


class _Stack(Module):
    """Copies of a layer one above the other, and a norm at the end."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None):
        super().__init__()
        check_sizes(type(self).__name__, num_layers=num_layers)
        if not isinstance(layer, Module):
            raise ArgumentError(f"{type(self).__name__}: expected a layer to copy, got a {type(layer).__name__}")
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def run(self, x: Tensor, call: Callable[[Module, Tensor], Tensor]) -> Tensor:
        """The sequence after all layers and the norm."""
        for layer in self.layers:
            x = call(layer, x)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """``num_layers`` copies of an encoder layer, one above the other, all with the weights of that one at first.

    Args:
        encoder_layer: the layer to copy.
        num_layers: how many.
        norm: a layer at the end, such as ``nn.LayerNorm(d_model)``; None for none.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self, src: Tensor, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Tensor:
        """The sequence after all layers; for the masks see :class:`TransformerEncoderLayer`."""
        return self.run(src, lambda layer, x: layer(x, mask, src_key_padding_mask, bool(is_causal)))


class TransformerDecoder(_Stack):
    """``num_layers`` copies of a decoder layer, one above the other, all with the weights of that one at first.

    Args:
        decoder_layer: the layer to copy.
        num_layers: how many.
        norm: a layer at the end, such as ``nn.LayerNorm(d_model)``; None for none.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The sequence after all layers; for the masks see :class:`TransformerDecoderLayer`."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.run(tgt, lambda layer, x: layer(x, memory, *masks, bool(tgt_is_causal), memory_is_causal))


class Transformer(Module):
    """An encoder of one sequence and a decoder of another that looks at it, each with a norm at the end. Embeddings,
    positions and the last layer are the caller's. (Vaswani et al. 2017.)

    Matrices start as Glorot's uniform distribution draws them.

    Args:
        d_model: width of the sequences, a multiple of ``nhead``.
        nhead: attention heads.
        num_encoder_layers, num_decoder_layers: how many layers.
        dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: of
            :class:`TransformerEncoderLayer`.
        custom_encoder, custom_decoder: modules in the place of those that would be made.
    Example:
        >>> model = nn.Transformer(8, 2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=16)
        >>> mask = nn.Transformer.generate_square_subsequent_mask(5)
        >>> model(dl.ones(4, 7, 8), dl.ones(4, 5, 8), tgt_mask=mask).shape
        (4, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        check_batch_first(type(self).__name__, batch_first)
        self.batch_first = batch_first
        settings: tuple = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        options: dict[str, Any] = {"norm_first": norm_first, "bias": bias}

        self.encoder: Module = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings, **options),
            num_encoder_layers,
            LayerNorm(d_model, layer_norm_eps, bias=bias),
        )
        self.decoder: Module = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings, **options),
            num_decoder_layers,
            LayerNorm(d_model, layer_norm_eps, bias=bias),
        )
        self.d_model, self.nhead = d_model, nhead
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output, of the shape of ``tgt``.

        Args:
            src: (N, S, d_model), for the encoder.
            tgt: (N, T, d_model), for the decoder.
            src_mask, src_key_padding_mask, src_is_causal: of the encoder's attention.
            tgt_mask, tgt_key_padding_mask, tgt_is_causal: of the decoder's attention within ``tgt``.
            memory_mask, memory_key_padding_mask, memory_is_causal: of the decoder's attention to the encoder's output.
        Raises:
            ShapeError: a sequence has another width, or there are not as many of both.
        """
        src, tgt = as_tensor(src), as_tensor(tgt)
        widths = {src.shape[-1:], tgt.shape[-1:]}
        if widths != {(self.d_model,)} or src.ndim != tgt.ndim or src.shape[:-2] != tgt.shape[:-2]:
            raise ShapeError(
                f"Transformer: expected src (N, S, {self.d_model}) and tgt (N, T, {self.d_model}), "
                f"got {src.shape} and {tgt.shape}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """(T, T) floats to add to the scores, -inf where a key comes after the query, else 0; ``is_causal=True`` is the
        same without a mask, and faster."""
        check_sizes("generate_square_subsequent_mask", sz=sz)
        return tensor(np.triu(np.full((sz, sz), -np.inf), 1), dtype=dtype or "float32").to(device)


_ACTIVATIONS: dict[Any, type[Module]] = {"relu": ReLU, "gelu": GELU, relu: ReLU, gelu: GELU}


def _activation(layer: str, activation: Any) -> Callable[[Tensor], Tensor]:
    known = _ACTIVATIONS.get(activation)
    if known is None and not callable(activation):
        raise ArgumentError(f"{layer}: activation is 'relu', 'gelu' or a function of a tensor, got {activation!r}")
    return activation if known is None else known()


def _name(activation: Any) -> str:
    return next((name for name, kind in _ACTIVATIONS.items() if isinstance(name, str) and type(activation) is kind),
                getattr(activation, "__name__", type(activation).__name__))  # fmt: skip
