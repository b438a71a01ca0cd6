"""Folders of image files: how they are decoded, and when anew; what is left out; a whole run."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlcourse import cli, registry
from dlcourse.data import image_folder, prepare
from dlcourse.data.image_file import read_header, read_image
from dlcourse.errors import ConfigError, DataError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.training.input_spec import InputSpec

WHITE, RED = (255, 255, 255), (255, 0, 0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_image(value: int | tuple = 0, size: tuple[int, int] = (4, 3), mode: str | None = None) -> Image.Image:
    """Of one color, (height, width)."""
    return Image.new(mode or ("L" if isinstance(value, int) else "RGB"), size[::-1], value)


def fill(folder: str, classes: dict[str, list[Image.Image]], ending: str = ".png") -> None:
    for name, images in classes.items():
        Path(folder, name).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            image.save(Path(folder, name, f"{i}{ending}"))


def load(path: str = "pics", **parameters):
    return registry.build("data", {"name": "image_folder", "path": path, **parameters}).load(0)


def silently(path: str = "pics", **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(path, **parameters)


def test_folders_are_classes_and_every_class_is_spread_over_the_samples() -> None:
    fill("pics", {"dog": [make_image(100)] * 4, "cat": [make_image(200)] * 2})
    data = silently()
    assert data.x.dtype == np.uint8 and data.x.shape == (6, 4, 3, 1) and isinstance(data.x, np.memmap)
    assert data.class_names == ("cat", "dog") and data.y.tolist() == [1, 0, 1, 1, 0, 1]
    assert (data.x[:, 0, 0, 0] == np.where(data.y == 1, 100, 200)).all()
    first = prepare({"name": "image_folder", "path": "pics", "limit": {"train": 2}}, 0).splits["train"]
    assert sorted(first.y) == [0, 1]


def test_numbers_are_classes_in_their_own_order() -> None:
    fill("pics", {name: [make_image()] for name in ("10", "2", "1")})
    assert silently().class_names == ("1", "2", "10")


@pytest.mark.parametrize(
    ("image", "shape", "expected"),
    [
        (make_image(7), (4, 3, 1), 7),
        (make_image(7), (4, 3, 3), (7, 7, 7)),
        (make_image(7), (4, 3, 4), (7, 7, 7, 255)),
        (make_image(RED), (4, 3, 1), 76),  # 0.299 of 255
        (make_image((255, 0, 0, 0), mode="RGBA"), (4, 3, 3), WHITE),
        (make_image((255, 0, 0, 0), mode="RGBA"), (4, 3, 1), 255),
        (make_image((255, 0, 0, 102), mode="RGBA"), (4, 3, 3), (255, 153, 153)),
        (make_image((255, 0, 0, 0), mode="RGBA"), (4, 3, 4), (255, 0, 0, 0)),
        (make_image((9, 0), mode="LA"), (4, 3, 1), 255),
        (make_image(1, mode="1"), (4, 3, 1), 255),
        (make_image(RED).quantize(4), (4, 3, 3), RED),
        (Image.fromarray(np.full((4, 3), 65535, np.uint16)), (4, 3, 1), 255),
        (Image.fromarray(np.full((4, 3), 257 * 90, np.uint16)), (4, 3, 3), (90, 90, 90)),
    ],
    ids=lambda value: getattr(value, "mode", None) or str(value),
)
def test_every_kind_of_pixel_becomes_bytes_of_the_channels_that_are_wanted(here, image, shape, expected) -> None:
    image.save("a.png")
    found = read_image(Path("a.png"), shape, "none")
    assert found.dtype == np.uint8 and found.shape == shape and (found == expected).all()


def test_a_photograph_is_turned_upright(here) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = Image.new("RGB", (16, 32))
    turned.paste(RED, (0, 0, 8, 32))  # the left half, which comes to lie above
    turned.save("a.jpg", exif=exif, quality=100, subsampling=0)
    header = read_header(Path("a.jpg"))
    assert (header.height, header.width, header.colored) == (16, 32, True)
    upright = read_image(Path("a.jpg"), (16, 32, 3), "none").astype(int)
    assert (upright[:7, :, 0] > 230).all() and (upright[9:] < 30).all()


def test_a_resize_averages_and_a_crop_takes_the_middle(here) -> None:
    stripes = np.zeros((8, 16), np.uint8)
    stripes[:, 4:12] = 200
    Image.fromarray(stripes).save("a.png")
    cropped = read_image(Path("a.png"), (4, 4, 1), "crop")
    assert (cropped[:, 1:3] == 200).all() and (cropped > 150).all()
    stretched = read_image(Path("a.png"), (4, 4, 1), "stretch")
    assert stretched.mean() == pytest.approx(100, abs=3) and (stretched[:, 0] < stretched[:, 1]).all()


def test_sizes_that_differ_need_one_to_be_given() -> None:
    fill("pics", {"a": [make_image(1)], "b": [make_image(2, (6, 5))]})
    with pytest.raises(DataError, match=r"a/0.png has 4 x 3 pixels, b/0.png 6 x 5; data.size: 3 brings all to one"):
        load()
    assert silently(size=8).x.shape == (2, 8, 8, 1)
    assert silently(size=[5, 7], color="rgb", fit="crop").x.shape == (2, 5, 7, 3)
    with pytest.raises(ConfigError, match="data.fit: crop has a meaning beside data.size only"):
        load(fit="crop")


def test_folders_of_splits_are_the_splits() -> None:
    images = {"a": [make_image(1)] * 4, "b": [make_image(2)] * 4}
    for part in ("train", "Validation", "test"):
        fill(f"pics/{part}", images)
    section = {"name": "image_folder", "path": "pics"}
    data = prepare(section, 0)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "val": 8, "test": 8}
    with pytest.raises(ConfigError, match="data.split.val: this data set brings a validation split of its own"):
        prepare({**section, "split": {"val": 0.5}}, 0)
    with pytest.raises(ConfigError, match="data.kfold: this data set brings a validation split of its own"):
        prepare({**section, "kfold": {"folds": 2}}, 0)
    os.rename("pics/Validation/b", "pics/Validation/c")
    with pytest.raises(DataError, match=r"Validation/c/0.png is of the class 'c', which the training images do not"):
        load()


def test_a_part_of_the_splits_may_be_made() -> None:
    for part in ("train", "test"):
        fill(f"pics/{part}", {"a": [make_image(1)] * 4, "b": [make_image(2)] * 4})
    data = prepare({"name": "image_folder", "path": "pics", "split": {"val": 0.25}}, 0)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 6, "val": 2, "test": 8}


def test_a_class_may_be_called_train() -> None:
    fill("pics", {"train": [make_image(1)], "car": [make_image(2)]})
    assert silently().class_names == ("car", "train")


def test_what_is_left_out_is_named_and_what_is_hidden_is_not() -> None:
    fill("pics", {"a": [make_image(WHITE, (32, 32))] * 3, "b": [make_image(RED, (32, 32))], "empty": []})
    Path("pics/a/1.png").write_bytes(Path("pics/a/0.png").read_bytes()[:60])
    Path("pics/b/no.jpg").write_text("<html>")
    Path("pics/b/notes.txt").write_text("")
    os.symlink("nowhere.png", "pics/b/link.png")
    for hidden in ("pics/.DS_Store", "pics/a/.x.png", "pics/a/Thumbs.db"):
        Path(hidden).write_text("")
    for _ in range(2):  # decoded, and from the cache
        with pytest.warns(UserWarning) as warned:
            data = load()
        assert len(warned) == 1 and str(warned[0].message).startswith(
            "pics: left out: 2 files no readable image: a/1.png ("
        )
        assert "b/no.jpg (no image); 3 no image file of a class: b/link.png, b/notes.txt, empty" in str(
            warned[0].message
        )
        assert data.y.tolist() == [1, 0, 0] or sorted(data.y) == [0, 0, 1]
        assert ((data.x[:, 0, 0] == RED).all(axis=1) == (data.y == 1)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fill("pics", {"a": []}), "pics holds no image of a class; expected a folder for each class"),
        (lambda: fill("pics", {".": [make_image(1)] * 2}), "pics holds 2 images but no folders; expected a folder for"),
        (lambda: Path("pics").write_text("x"), "pics is a file, expected a folder with a folder of images for each"),
        (lambda: None, "no data file"),
        (lambda: fill("pics/train", {".": [make_image(1)]}), "pics/train holds 1 images but no folders"),
        (lambda: (fill("pics", {"a": []}), Path("pics/a/0.png").write_text("x")), r"no readable image: .*a/0.png"),
    ],
)
def test_a_folder_of_another_kind_is_refused(make, message) -> None:
    make()
    with pytest.raises(DataError, match=message):
        load()


def test_one_class_is_refused() -> None:
    fill("pics", {"a": [make_image(1)] * 4})
    with pytest.raises(DataError, match="the target has one class only"):
        prepare({"name": "image_folder", "path": "pics"}, 0)


def test_files_are_decoded_once_until_one_changes(monkeypatch) -> None:
    fill("pics", {"a": [make_image(1)], "b": [make_image(2)]})
    decoded: list[str] = []
    own = image_folder.read_image

    def read_image(path: Path, **how: Any) -> np.ndarray:
        decoded.append(f"{path.parent.name}/{path.name}")
        return own(path, **how)

    monkeypatch.setattr(image_folder, "read_image", read_image)
    for _ in range(2):
        silently()
    assert sorted(decoded) == ["a/0.png", "b/0.png"]
    silently(color="rgb")  # other settings lie elsewhere
    silently()
    assert len(decoded) == 4
    make_image(9).save("pics/a/0.png")
    os.utime("pics/a/0.png", (1, 1))
    assert set(silently().x.reshape(-1).tolist()) == {2, 9}
    assert len(decoded) == 6
    assert len(list(Path("cache").glob("image_folder/*/decoded-*"))) == 2  # what is out of date is gone


def test_too_many_pixels_are_refused(monkeypatch) -> None:
    fill("pics", {"a": [make_image(1)], "b": [make_image(2)]})
    monkeypatch.setenv("DLCOURSE_MAX_GIB", "0.001")
    with pytest.raises(DataError, match="2 images of 4000 x 4000 x 1 would take"):
        load(size=4000)


def test_a_run_is_trained_evaluated_and_asked_about_files(here, capsys) -> None:
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4)):
        shades = {"dark": random.integers(0, 90, count), "light": random.integers(160, 250, count)}
        fill(f"pics/{part}", {name: [make_image(int(v), (9, 8)) for v in values] for name, values in shades.items()})
    config = {
        "name": "pics",
        "device": "cpu",
        "data": {"name": "image_folder", "path": "pics", "size": 6, "normalize": "standardize"},
        "model": "softmax",
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "lr": 0.05},
        "metrics": ["accuracy"],
        "train": {"epochs": 5, "batch_size": 8},
    }
    result = run(config, out="runs", quiet=True, plots=False)
    assert result.metrics["val"]["accuracy"] == 1.0
    trained = load_run(result.folder)
    assert evaluate_run(trained)["val"]["accuracy"] == 1.0
    fill("more", {"light": [make_image(240, (20, 10))] * 2})  # labels are by name
    fill("more", {"dark": [make_image(10, (20, 10))]})
    assert evaluate_run(trained, data=["data.path=more"])["all"]["accuracy"] == 1.0
    fill("more", {"dim": [make_image(10)]})
    with pytest.raises(DataError, match="more: 'dim' is none of the model's classes dark, light"):
        evaluate_run(trained, data=["data.path=more"])

    assert InputSpec.from_json(trained.inputs.to_json()) == trained.inputs
    make_image((240, 240, 240), (50, 20)).save("new.webp")
    assert cli.main(["predict", str(result.folder), "new.webp"]) == 0
    assert capsys.readouterr().out.startswith("light (probability ")
    stored = prepare(config["data"], 0).splits["val"].x[0]
    again = trained.inputs.read(f"pics/val/{'dark' if stored.mean() < 128 else 'light'}/0.png")
    assert again.shape == (1, 6, 6, 1) and (again[0] == stored).all()  # as in training
    Path("bad.png").write_bytes(b"\x89PNG nothing")
    assert cli.main(["predict", str(result.folder), "bad.png"]) == 2
    err = capsys.readouterr().err
    assert err == "dlcourse: error: bad.png: no image; expected an image file, resized to 6 x 6 pixels\n"
