import zipfile
from pathlib import Path

import numpy as np
import pytest

from dlcourse.data import prepare
from dlcourse.errors import UserError
from dlcourse.training.inputs import Inputs

CSV = "size,city,rent\n" + "".join(f"{500 + 10 * i},{'ABC'[i % 3]},{i}\n" for i in range(30))


@pytest.fixture
def flats(tmp_path: Path) -> Inputs:
    path = tmp_path / "flats.csv"
    path.write_text(CSV)
    section = {"name": "csv", "path": str(path), "target": "rent", "units": {"size": "m^2"}}
    return Inputs.from_json(Inputs.of(prepare(section, 0)).to_json())


@pytest.fixture(scope="module")
def pictures() -> Inputs:
    section = {"name": "synthetic_images", "samples": 20, "classes": 2, "image_size": 8}
    return Inputs.of(prepare(section, 0))


def test_cells_become_a_row(flats: Inputs) -> None:
    np.testing.assert_array_equal(flats.read("600, B"), [[600, 0, 1, 0]])


@pytest.mark.parametrize("given", ["600", "600,B,3", "", ",", "600,D", "large,B", "nan,B", "600,", "600,B,"])
def test_what_does_not_fit_names_what_is_expected(flats: Inputs, given: str) -> None:
    with pytest.raises(UserError, match=r"(expected 2 values: size \[m\^2\], city \(A\|B\|C\)|not a finite number)"):
        flats.read(given)


def test_files(flats: Inputs, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("city,size\nA,500\nC,700\n")
    np.testing.assert_array_equal(flats.read(str(table)), [[500, 1, 0, 0], [700, 0, 0, 1]])
    table.write_text("city\nA\n")
    with pytest.raises(UserError, match="size"):
        flats.read(str(table))
    array = tmp_path / "x.npz"
    np.savez(array, x=np.ones((2, 4)))
    assert flats.read(str(array)).shape == (2, 4)
    np.savez(array, x=np.ones(4))
    assert flats.read(str(array)).shape == (1, 4)
    np.savez(array, x=np.ones((2, 3)))
    with pytest.raises(UserError, match=r"got inputs of shape \(3,\)"):
        flats.read(str(array))
    np.savez(array, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="not a readable npz file"):
        flats.read(str(array))
    array.write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="not a readable npz file"):
        flats.read(str(array))
    with zipfile.ZipFile(array, "w"):
        pass
    with pytest.raises(UserError, match="holds no array"):
        flats.read(str(array))
    with pytest.raises(UserError, match="no such file"):
        flats.read(str(tmp_path / "absent.csv"))
    with pytest.raises(UserError, match="takes no pictures"):
        (tmp_path / "a.png").write_bytes(b"")
        flats.read(str(tmp_path / "a.png"))


def test_outside_the_training_range(flats: Inputs) -> None:
    assert flats.outside(flats.read("600,B")) == []
    (said,) = flats.outside(flats.read("2000,B"))
    assert said == "size = 2000 lies outside 500..790 m^2, where the model was trained"


def test_pictures(pictures: Inputs, tmp_path: Path) -> None:
    from matplotlib.image import imsave

    size, channels = pictures.in_shape[0], pictures.in_shape[2]
    pixels = np.random.default_rng(0).integers(256, size=(size, size, 3), dtype=np.uint8)
    if channels == 1:
        pixels[:] = pixels[:, :, :1]
    path = tmp_path / "picture.png"
    imsave(path, pixels)
    np.testing.assert_array_equal(pictures.read(str(path)), pixels[None, :, :, :channels])
    assert pictures.outside(pictures.read(str(path))) == []
    imsave(path, pixels[:-1])
    with pytest.raises(UserError, match="expected a png or npz file with a picture of shape"):
        pictures.read(str(path))
    path.write_bytes(b"\x89PNG nonsense")
    with pytest.raises(UserError, match="not a readable picture"):
        pictures.read(str(path))
    with pytest.raises(UserError, match="expected a png or npz file"):
        pictures.read("1,2,3")
