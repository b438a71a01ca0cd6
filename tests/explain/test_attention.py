"""Where attention looks: the weights by which PyTorch mixes, causal, in rows that add up to one."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import explain, nn
from dlcourse.errors import ArgumentError
from dlcourse.models import GPT, MLP
from dlcourse.training import explanations


def gpt(**more: object) -> GPT:
    model = GPT((9,), 7, layers=2, heads=2, width=8, dropout=0.5, **more)
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data[...] = dl.tensor((rng.normal(size=parameter.shape) * 0.5).astype("f")).data
    return model


@pytest.mark.parametrize("more", [{}, {"positions": "rotary", "num_kv_heads": 1}])
def test_maps_of_every_head(more: dict, device: str) -> None:
    model, x = gpt(**more), np.random.default_rng(1).integers(0, 7, (3, 6))
    maps = explain.attention_maps(model, x)
    assert list(maps) == ["blocks.0.attention", "blocks.1.attention"] and model.training
    for found in (each.numpy() for each in maps.values()):
        assert found.shape == (3, 2, 6, 6) and (np.triu(found, 1) == 0).all()
        np.testing.assert_allclose(found.sum(axis=3), 1, atol=1e-6)
    assert model(x).requires_grad and all(parameter.requires_grad for parameter in model.parameters())


def test_they_are_pytorchs(device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    model, x = gpt(), np.random.default_rng(1).integers(0, 7, (2, 6))
    maps, given = explain.attention_maps(model, x), []
    layer = model.blocks[0].attention
    handle = layer.register_forward_hook(lambda module, args, output: given.append(args[0].numpy()))
    model.eval()(x)
    handle.remove()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict({key: torch.tensor(value) for key, value in layer.state_dict().items()})
    h, hidden = torch.tensor(given[0]), torch.ones(6, 6).triu(1).bool()
    _, expected = theirs(h, h, h, attn_mask=hidden, average_attn_weights=False)
    np.testing.assert_allclose(maps["blocks.0.attention"].numpy(), expected.detach().numpy(), atol=1e-6)


def test_an_encoder_with_padding() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    model = nn.TransformerEncoder(layer, 2)
    found = explain.attention_maps(model, np.random.default_rng(0).normal(size=(2, 5, 8)).astype("f"))
    assert list(found) == ["layers.0.self_attn", "layers.1.self_attn"]
    np.testing.assert_allclose(found["layers.1.self_attn"].numpy().sum(axis=3), 1, atol=1e-6)


def test_without_attention() -> None:
    with pytest.raises(ArgumentError, match="MLP has no attention layer"):
        explain.attention_maps(MLP((4,), 2, [3]), np.zeros((1, 4), "f"))


def test_the_picture_of_a_text() -> None:
    names = list("abcdefg")
    picture = explanations.attention(gpt(), np.array([[1, 4, 2, 0, 0]]), names)
    assert picture is not None and picture.facts["across"] == 2
    assert [title for (title,) in picture.facts["maps"]] == [f"layer {i}, head {k}" for i in (1, 2) for k in (1, 2)]
    assert picture.facts["queries"][3] == picture.facts["keys"][0] == ["b", "e", "c", "a", "a"]
    assert explanations.attention(MLP((4,), 2, [3]), np.zeros((1, 4), int), names) is None
