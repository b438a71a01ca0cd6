"""Color jitter, mixup and CutMix: their formulas, what is drawn, the same on each device, and training with them."""

import colorsys
import math
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend
from dlcourse.backend.kernels.color import changed
from dlcourse.backend.random import words
from dlcourse.config.data_sections import Augment, ColorJitter
from dlcourse.data import Loader, Normalizer, Split, color, erasing, mixing
from dlcourse.errors import ConfigError

JITTER = ColorJitter(brightness=0.4, contrast=0.3, saturation=0.6, hue=0.2)
RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 5, 4, 3)).astype("float32")
IMAGES[0] = 0.5  # gray, whose hue is none


def loader(augment: Augment | None, batch_size: int | str = 8, seed: int = 3) -> Loader:
    rng = np.random.default_rng(1)
    data = Split(rng.integers(0, 256, (24, 8, 6, 3)).astype(np.uint8), np.arange(24) % 5, np.arange(24))
    normalizer = Normalizer.fit(data.x, "standardize")
    return Loader(data, normalizer, backend.current(), np.float32, batch_size, seed, augment=augment)


def test_colors_change_by_torchvisions_formulas() -> None:
    factors = np.array([0.3, 1.0, 1.7, 0.9, 1.2, 0.5], "f4")
    f = factors[:, None, None, None]
    gray = (IMAGES @ np.array([0.2989, 0.587, 0.114], "f4"))[..., None]
    expected = {
        0: f * IMAGES,
        1: f * IMAGES + (1 - f) * gray.mean(axis=(1, 2), keepdims=True),
        2: f * IMAGES + (1 - f) * gray,
    }
    for which, values in expected.items():
        np.testing.assert_allclose(changed(IMAGES, which, factors), values.clip(0, 1), rtol=1e-5, atol=1e-6)
    shifts = np.array([0.1, -0.2, 0.5, -0.5, 0.0, 0.33])
    turned = changed(IMAGES, 3, shifts)
    for image, result, shift in zip(IMAGES, turned, shifts, strict=True):
        for pixel, found in zip(image.reshape(-1, 3).tolist(), result.reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*pixel)
            np.testing.assert_allclose(found, colorsys.hsv_to_rgb((h + shift) % 1, s, v), atol=2e-6)


def test_each_image_has_its_own_order_and_factors(device: str) -> None:
    place = backend.current()
    how = color.jitter(JITTER, place)
    drawn = words(len(IMAGES) * color.WORDS, 5, "augment.color", 2).reshape(-1, color.WORDS)
    found = backend.to_host(color.jittered(place.asarray(IMAGES), drawn, how))
    drawn = backend.to_host(drawn).astype(np.uint64)
    seen = set()
    for i, image in enumerate(IMAGES):
        order = backend.to_host(how.orders)[int(drawn[i, 0] * np.uint64(24) >> np.uint64(32))].tolist()
        seen.add(tuple(order))
        share = drawn[i, 1:] / 2.0**32
        factor = [0.6 + 0.8 * share[0], 0.7 + 0.6 * share[1], 0.4 + 1.2 * share[2], -0.2 + 0.4 * share[3]]
        expected = image[None]
        for which in order:
            expected = changed(expected, which, np.array([factor[which]]))
        np.testing.assert_allclose(found[i], expected[0], rtol=1e-5, atol=1e-6)
    assert len(seen) > 1
    # A strength above 1 makes no factor negative.
    assert color.jitter(ColorJitter(brightness=2.0), place).low.tolist()[0] == 0


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 8.0])
def test_quantiles_are_those_of_the_beta_distribution(alpha: float) -> None:
    found = mixing.beta_quantiles(alpha)
    assert (np.diff(found) >= 0).all() and found[0] > 0
    np.testing.assert_allclose(found + found[::-1], 1)
    assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=2e-3)
    # mean of |x - 1/2| of Beta(a, a) is Gamma(a + 1/2) / (2 sqrt(pi) Gamma(a + 1))
    spread = math.gamma(alpha + 0.5) / (2 * math.sqrt(math.pi) * math.gamma(alpha + 1))
    assert np.abs(found - 0.5).mean() == pytest.approx(spread, rel=2e-3)
    if alpha == 1:
        np.testing.assert_allclose(found, (np.arange(4096) + 0.5) / 4096, atol=1e-4)


def test_mixup_is_a_mean_with_the_image_before_and_so_are_the_labels(device: str) -> None:
    plain, varied = loader(None), loader(Augment(mixup=1.0))
    shares = set()
    for step in range(6):
        x, labels = (backend.to_host(each) for each in plain.batch(step))
        mixed, targets = (backend.to_host(each) for each in varied.batch(step))
        own = np.eye(5)[labels]
        place = int(backend.to_host(words(4, 3, "augment.mix", step))[1] >> 20)
        share = mixing.beta_quantiles(1.0)[place]
        np.testing.assert_allclose(mixed, share * x + (1 - share) * np.roll(x, 1, axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(targets, share * own + (1 - share) * np.roll(own, 1, axis=0), atol=1e-6)
        assert targets.dtype == np.float32 and targets.shape == (8, 5)
        shares.add(share)
    assert len(shares) == 6


def test_cutmix_pastes_a_box_and_counts_its_area(device: str) -> None:
    plain, varied = loader(None), loader(Augment(cutmix=1.0))
    areas = []
    for step in range(9):
        x, labels = (backend.to_host(each) for each in plain.batch(step))
        mixed, targets = (backend.to_host(each) for each in varied.batch(step))
        before = np.roll(x, 1, axis=0)
        pasted = (mixed == before).all(axis=(0, 3))
        np.testing.assert_array_equal(mixed, np.where(pasted[:, :, None], before, x))
        rows, columns = pasted.any(axis=1), pasted.any(axis=0)
        np.testing.assert_array_equal(pasted, rows[:, None] & columns)
        own, left = np.eye(5)[labels], 1 - pasted.mean()
        np.testing.assert_allclose(targets, left * own + (1 - left) * np.roll(own, 1, axis=0), atol=1e-6)
        areas.append(pasted.mean())
    assert len(set(areas)) > 4


def test_with_both_each_batch_is_mixed_by_one() -> None:
    plain, varied = loader(None), loader(Augment(mixup=1.0, cutmix=1.0))
    kinds = set()
    for step in range(12):
        x, mixed = plain.batch(step)[0], varied.batch(step)[0]
        same = (mixed == x) | (mixed == np.roll(x, 1, axis=0))
        kinds.add("cutmix" if same.all() else "mixup")
    assert kinds == {"cutmix", "mixup"}


def test_erasing_blanks_rectangles_as_often_and_as_large_as_it_should(device: str) -> None:
    place, count = backend.current(), 3000
    drawn = words(count * erasing.WORDS, 1, "augment.erase", 0).reshape(count, erasing.WORDS)
    images = place.xp.ones((count, 20, 30, 1), "float32")
    holes = backend.to_host(erasing.erased(images, drawn, erasing.erasing(0.3, place)))[..., 0] == 0
    some = holes.any(axis=(1, 2))
    assert some.mean() == pytest.approx(0.3, abs=0.03)
    rows, columns = holes.any(axis=2), holes.any(axis=1)
    np.testing.assert_array_equal(holes, rows[:, :, None] & columns[:, None, :])
    heights, widths = rows.sum(axis=1)[some], columns.sum(axis=1)[some]
    assert heights.max() < 20 and widths.max() < 30
    share, aspect = heights * widths / 600, heights / 20 / (widths / 30)
    assert share.mean() == pytest.approx((0.02 + 0.33) / 2, abs=0.015)
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.08)
    assert set(rows.argmax(axis=1)[some]) >= set(range(10)) and rows[:, -1].any() and columns[:, -1].any()
    assert not (backend.to_host(erasing.erased(images, drawn, erasing.erasing(1.0, place))) != 0).all(axis=(1, 2)).any()


FULL = Augment(flip="alternating", crop=2, cutout=2, border="reflect", color_jitter=JITTER, mixup=0.4, cutmix=1.0)


@pytest.mark.parametrize(
    "augment", [Augment(color_jitter=JITTER), Augment(mixup=0.5), Augment(erase=0.5, flip=True), FULL]
)
def test_devices_and_captured_steps_make_the_same_batches(augment: Augment, device: str) -> None:
    here, place = loader(augment), backend.current()
    with backend.use("cpu"):
        there = loader(augment)
    for step in (0, 2, 4, 7):
        ours, theirs = here.batch(step), there.batch(step)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(backend.to_host(a), b, rtol=1e-5, atol=1e-5)
        batches = here.device_batches
        if batches is None:  # bytes of a CPU
            continue
        x, y = place.xp.empty(batches.x_shape, batches.x_dtype), place.xp.empty(batches.y_shape, batches.y_dtype)
        batches.prepare(step)
        batches.write(step, x, y)
        np.testing.assert_array_equal(backend.to_host(x), backend.to_host(ours[0]))
        np.testing.assert_array_equal(backend.to_host(y), backend.to_host(ours[1]))


def test_what_is_evaluated_is_not_mixed() -> None:
    for ours, theirs in zip(loader(FULL).batches(), loader(None).batches(), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


CONFIG: dict[str, Any] = {
    "name": "mixed",
    "data": {
        "name": "synthetic_images", "samples": 90, "image_size": 8, "classes": 3, "normalize": "standardize",
        "split": {"val": 0.2},
        "augment": {
            "flip": "alternating", "crop": 1, "border": "reflect", "mixup": 0.3, "cutmix": 0.5,
            "color_jitter": {"brightness": 0.2, "hue": 0.1}, "erase": 0.25,
        },
    },
    "model": {"name": "cnn", "channels": [4], "hidden": [8]},
    "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
    "optimizer": {"name": "adam", "lr": 0.02},
    "train": {"batch_size": 20, "epochs": 4, "accumulate": 2},
    "metrics": ["accuracy"],
}  # fmt: skip


def test_a_run_with_all_of_it_resumes_exactly(tmp_path, device: str) -> None:
    whole = dl.run(CONFIG, out=tmp_path / "a", quiet=True, plots=False, device=device)
    kept = np.load(whole.folder / "predictions.npz")
    assert kept["augmented"].shape == kept["augmented_from"].shape == (16, 8, 8, 3)
    assert kept["augmented"].dtype == np.uint8 and (kept["augmented"] != kept["augmented_from"]).any()
    np.testing.assert_allclose(kept["augmented_shares"].sum(axis=1), 1, rtol=1e-6)
    half = dl.run(CONFIG, out=tmp_path / "b", quiet=True, plots=False, device=device, overrides={"train.epochs": 2})
    again = dl.run(resume=half.folder, overrides={"train.epochs": 4}, quiet=True, plots=False)
    assert whole.metrics == again.metrics
    for ours, theirs in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"name": "multiclass_hinge"}}, "data.augment.mixup: .*cross_entropy"),
        ({"data.augment": {"border": "reflect"}}, "data.augment.border: reflect has no effect without crop"),
        ({"data.channels": 1}, "color_jitter: gray images have no saturation and no hue"),
        ({"data.augment.color_jitter.hue": 0.6}, "color_jitter.hue: expected .* at most 0.5"),
        ({"data.augment.color_jitter.tint": 1}, "color_jitter.tint: unknown key"),
        ({"data.augment.flip": "sometimes"}, "data.augment.flip: "),
        ({"data.augment.erase": 2}, "data.augment.erase: expected a number .*1, got 2"),
        ({"data.augment.mixup": -1}, "data.augment.mixup: expected a number of at least 0"),
        ({"data": {"name": "gaussian_classes", "augment": {"mixup": 1}}}, "data.augment: needs images"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict, message: str, tmp_path) -> None:
    with pytest.raises(ConfigError, match=message):
        dl.run(CONFIG, overrides=changes, out=tmp_path, quiet=True, device="cpu")


def test_a_loader_of_ones_own_mixes_too() -> None:
    x = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
    batches = dl.DataLoader(x, np.arange(12) % 3, batch_size=4, augment={"mixup": 1.0, "color_jitter": {"contrast": 1}})
    inputs, targets = next(iter(batches))
    assert inputs.shape == (4, 4, 4, 3) and targets.shape == (4, 3)
    np.testing.assert_allclose(targets.numpy().sum(axis=1), 1, rtol=1e-6)
    with pytest.raises(ConfigError, match="mixup: mixes the labels"):
        dl.DataLoader(x, np.linspace(0, 1, 12), augment={"mixup": 1.0})
