"""Configs of lecture 16 that take noise away, in a reduced setting."""

from pathlib import Path

from tests.configs.reduced import pictures, run

FEW = {"train__batch_size": 32, "train__ema": 0.9}  # which forgets the first weights in so few steps


def test_noise_becomes_spirals(tmp_path: Path) -> None:
    changes = {"data__samples": 600, "model__hidden": [32, 32], "model__steps": 100, "model__sampler_steps": 20}
    found = run("16_generative/spirals_diffusion", tmp_path, train__steps=150, train__eval_every=5, **changes, **FEW)
    assert found.metrics["test"]["loss"] < 0.8  # of 1, which is knowing nothing
    assert {"noising", "denoising", "denoising_paths", "samples", "samples_by_step"} <= pictures(found.folder)
