"""The configs of attention in a reduced setting: what they learn, and how many parameters the large ones have."""

from pathlib import Path

import pytest

import dlcourse as dl
from tests.configs.reduced import pictures, run, sections


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("reversed_strings", {"data__letters": 6, "data__min_length": 1, "data__max_length": 4}),
        ("date_formats", {}),
    ],
)
def test_an_encoder_decoder_learns_and_shows_where_it_looks(name: str, changes: dict, tmp_path: Path) -> None:
    small = {"data__samples": 90, "data__split": {"val": 20, "test": 20}, "train__epochs": 4, "train__batch_size": 25}
    result = run(f"10_rnn/{name}", tmp_path, **small, **changes, train__log_every=1, model__hidden=8)
    assert result.history["loss"][-1] < result.history["loss"][0] and set(result.metrics) == {"val", "test"}
    assert pictures(result.folder) >= {"loss", "attention"}


def test_nanogpts_setting(tmp_path: Path) -> None:
    (tmp_path / "verse.txt").write_text("to be, or not to be: that is the question.\n" * 30)
    config = sections("13_transformers/shakespeare_gpt_gpu")
    model = dl.registry.build("model", config["model"], in_shape=(config["data"]["context"],), out_features=65)
    # nanoGPT says 10.65 million, without its 98,304 numbers of positions.
    assert sum(parameter.size for parameter in model.parameters()) == 10_745_088 == 10_646_784 + 98_304
    small = {"data__path": str(tmp_path / "verse.txt"), "data__context": 8, "train__steps": 1, "train__batch_size": 4}
    result = run("13_transformers/shakespeare_gpt_gpu", tmp_path, **small, model__width=12, model__layers=2)
    assert pictures(result.folder) >= {"attention"}
