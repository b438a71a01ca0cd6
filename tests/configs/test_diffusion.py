"""Configs of lecture 16 that take noise away, in a reduced setting."""

from pathlib import Path

import numpy as np

import dlcourse as dl
from dlcourse.experiment.sample_judge import judge_samples
from tests.configs.reduced import pictures, run

DIGITS = {"name": "synthetic_images", "samples": 300, "classes": 4, "image_size": 8, "channels": 1, "noise": 10}
DIGITS |= {"split": {"test": 50}, "normalize": "standardize"}

FEW = {"train__batch_size": 32, "train__ema": 0.9}  # which forgets the first weights in so few steps


def test_noise_becomes_spirals(tmp_path: Path) -> None:
    changes = {"data__samples": 600, "model__hidden": [32, 32], "model__steps": 100, "model__sampler_steps": 20}
    found = run("16_generative/spirals_diffusion", tmp_path, train__steps=150, train__eval_every=5, **changes, **FEW)
    assert found.metrics["test"]["loss"] < 0.8  # of 1, which is knowing nothing
    assert {"noising", "denoising", "denoising_paths", "samples", "samples_by_step"} <= pictures(found.folder)


def test_digits_are_drawn_and_judged(tmp_path: Path) -> None:
    model = {"channels": [8, 16], "steps": 50, "sampler_steps": 5}
    changes = {f"model__{name}": value for name, value in model.items()}
    found = run("16_generative/mnist_diffusion", tmp_path, data=DIGITS, train__steps=60, **changes, **FEW)
    assert found.metrics["test"]["loss"] < 1
    judge = run("08_cnn/mnist_lenet", tmp_path, data=DIGITS, model={"name": "softmax"}, train__epochs=3)
    drawn, told = dl.load_run(found.folder), dl.load_run(judge.folder)
    for sampler, steps in (("ddim", 2), ("ddim", 5), ("ddpm", 5)):
        said = judge_samples(drawn, told, 20, sampler=sampler, steps=steps)
        assert np.isclose(sum(said["shares"]), 1) and 0 < said["confidence"] <= 1
    assert {"denoising", "noising", "samples", "judged_samples", "judged_steps"} <= pictures(found.folder)
