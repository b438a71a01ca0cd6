import io
import os
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from dlcourse.data import prepare
from dlcourse.errors import UserError
from dlcourse.training.input_spec import InputSpec

CSV = "size,city,rent\n" + "".join(f"{500 + 10 * i},{'ABC'[i % 3]},{i}\n" for i in range(30))


@pytest.fixture
def flats(tmp_path: Path) -> InputSpec:
    path = tmp_path / "flats.csv"
    path.write_text(CSV)
    section = {"name": "csv", "path": str(path), "target": "rent", "units": {"size": "m^2"}}
    return InputSpec.from_json(InputSpec.of(prepare(section, 0)).to_json())


@pytest.fixture(scope="module")
def images() -> InputSpec:
    section = {"name": "synthetic_images", "samples": 20, "classes": 2, "image_size": 8}
    return InputSpec.of(prepare(section, 0))


def test_cells_become_a_row(flats: InputSpec) -> None:
    np.testing.assert_array_equal(flats.read("600, B"), [[600, 0, 1, 0]])


def test_typed_cells_are_read_as_those_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "flats.csv"
    path.write_text('size,city,rent\n500,"Ulm, West",1\n,Bonn,2\n700,Bonn,3\n')
    section = {"name": "csv", "path": str(path), "target": "rent", "missing": {"size": 5.0}, "split": {"train": 3}}
    inputs = InputSpec.of(prepare(section, 0))
    np.testing.assert_array_equal(inputs.read('600, "Ulm, West"'), [[600, 0, 1]])
    np.testing.assert_array_equal(inputs.read(",Bonn"), [[5, 1, 0]])
    with pytest.raises(UserError, match="expected 2 values"):
        inputs.read("600,")
    with pytest.raises(UserError, match="expected 2 values"):
        inputs.read('600,"Bonn')


@pytest.mark.parametrize("given", ["600", "600,B,3", "", ",", "600,D", "large,B", "nan,B", "600,", "600,B,"])
def test_what_does_not_fit_names_what_is_expected(flats: InputSpec, given: str) -> None:
    with pytest.raises(UserError, match=r"(expected 2 values: size \[m\^2\], city \(A\|B\|C\)|not a finite number)"):
        flats.read(given)


@pytest.mark.parametrize("x", [np.array([[600.0, 1]]), np.array(["600", "B"]), np.array("new.csv"), np.ones(4)])
def test_an_array_has_a_number_for_each_category(flats: InputSpec, x: np.ndarray) -> None:
    with pytest.raises(UserError) as caught:
        flats.checked(x)
    assert r"expected 4 numbers a row, shape (N, 4): size, city=A, city=B, city=C; " in str(caught.value)
    assert "`dlcourse predict RUN file.csv`" in str(caught.value)


def test_files(flats: InputSpec, tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match="takes no images"):
        (tmp_path / "a.png").write_bytes(b"")
        flats.read(str(tmp_path / "a.png"))


def test_outside_the_training_range(flats: InputSpec) -> None:
    assert flats.outside(flats.read("600,B")) == []
    (messages,) = flats.outside(flats.read("2000,B"))
    assert messages == "size = 2000 lies outside 500..790 m^2, where the model was trained"


def test_images(images: InputSpec, tmp_path: Path) -> None:
    from matplotlib.image import imsave

    size, channels = images.in_shape[0], images.in_shape[2]
    pixels = np.random.default_rng(0).integers(256, size=(size, size, 3), dtype=np.uint8)
    if channels == 1:
        pixels[:] = pixels[:, :, :1]
    path = tmp_path / "image.png"
    imsave(path, pixels)
    np.testing.assert_array_equal(images.read(str(path)), pixels[None, :, :, :channels])
    assert images.outside(images.read(str(path))) == []
    imsave(path, pixels[:-1])
    with pytest.raises(UserError, match="expected a png or npz file with an image of shape"):
        images.read(str(path))
    path.write_bytes(b"\x89PNG nonsense")
    with pytest.raises(UserError, match="not a readable image"):
        images.read(str(path))
    with pytest.raises(UserError, match="expected a png or npz file"):
        images.read("1,2,3")


@pytest.mark.parametrize("name", ["NEW.CSV", "new.Csv", "new.txt", "new", "600,B", "x.data"])
def test_a_path_that_exists_is_a_file(flats: InputSpec, tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("city,size\nA,500\n")
    for given in (name, f"./{name}", str(tmp_path / name)):
        np.testing.assert_array_equal(flats.read(given), [[500, 1, 0, 0]])


def test_arrays_by_any_name(flats: InputSpec, tmp_path: Path) -> None:
    with open(tmp_path / "X.NPZ", "wb") as file:
        np.savez(file, x=np.ones((2, 4)))
    assert flats.read(str(tmp_path / "X.NPZ")).shape == (2, 4)
    (tmp_path / "X.NPZ").rename(tmp_path / "other")
    assert flats.read(str(tmp_path / "other")).shape == (2, 4)


@pytest.mark.parametrize("given", ["-", "/dev/stdin"])
def test_standard_input(flats: InputSpec, monkeypatch, given: str) -> None:
    array = io.BytesIO()
    np.savez(array, np.ones((2, 4)))
    for content, shape in ((b"city,size\nA,500\n", (1, 4)), (array.getvalue(), (2, 4))):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert flats.read(given).shape == shape
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match=f"{given} is empty"):
        flats.read(given)


def test_a_pipe(flats: InputSpec, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("size,city\n500,A\n",))
    writer.start()
    np.testing.assert_array_equal(flats.read(str(tmp_path / "pipe")), [[500, 1, 0, 0]])
    writer.join()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("absent.CSV", "absent.CSV: no such file"),
        ("absent.JPEG", "absent.JPEG: no such file"),
        ("absent.json", "nor is there such a file"),
        ("data/absent", "nor is there such a file"),
        ("x" * 300, "expected 2 values"),
        ("x" * 300 + ".csv", "no such file"),
        ("a\0b", "expected 2 values"),
        ("/dev/zero", "is a device"),
        ("/dev/null", "is empty"),
        ("/", "is a folder"),
        ("./", "is a folder"),
    ],
)
def test_what_is_no_file_is_said_in_one_line(flats: InputSpec, given: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        flats.read(given)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 700


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"PK\3\4" + b"\0" * 60, b"PK\5\6" + bytes(18), b"nothing"])
def test_archives_that_are_none(flats: InputSpec, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match="x.npz: (not a readable npz file|holds no array)"):
        flats.read(str(tmp_path / "x.npz"))


def test_damaged_archives(flats: InputSpec, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.arange(40.0).reshape(10, 4))
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        try:
            assert flats.read(str(path)).shape == (10, 4)
        except UserError as error:
            assert "x.npz" in str(error)


def test_an_image_with_its_channels_first_is_told_what_to_do(images: InputSpec, tmp_path: Path) -> None:
    height, width, channels = images.in_shape
    np.savez(tmp_path / "x.npz", x=np.zeros((2, channels, height, width), np.uint8))
    with pytest.raises(UserError, match=r"PyTorch's layout\? x.transpose\(0, 2, 3, 1\)"):
        images.read(str(tmp_path / "x.npz"))


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    pixels = zlib.compress(bytes(99))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9, 2000, 12_000, 67_000, 2**31 - 1])
def test_an_image_that_declares_another_size_is_not_unpacked(
    images: InputSpec, tmp_path: Path, monkeypatch, side: int
) -> None:
    monkeypatch.setattr("matplotlib.image.imread", lambda *_, **__: pytest.fail("unpacked"))
    (tmp_path / "x.png").write_bytes(_png(side, side))
    with pytest.raises(UserError, match="x.png: (got inputs of shape|not a readable image)"):
        images.read(str(tmp_path / "x.png"))


@pytest.mark.parametrize("name", ["A.PNG", "a.Jpg", "A.JPEG", "image"])
def test_images_by_any_name(images: InputSpec, tmp_path: Path, monkeypatch, name: str) -> None:
    from matplotlib.image import imsave

    size = images.in_shape[0]
    form = "jpg" if "j" in name.lower() else "png"
    imsave(tmp_path / name, np.zeros((size, size, 3), np.uint8), format=form)
    assert images.read(str(tmp_path / name)).shape == (1, *images.in_shape)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / name).read_bytes())))
    assert images.read("-").shape == (1, *images.in_shape)


def test_a_text_of_an_earlier_version_is_still_a_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcab" * 40)
    section = {"name": "text", "path": str(tmp_path / "t.txt"), "context": 4, "split": {"val": 0.2}}
    state = InputSpec.of(prepare(section, 0)).to_json()
    earlier = {"symbols" if name == "tokens" else name: value for name, value in state.items() if name != "largest"}
    assert InputSpec.from_json(earlier) == InputSpec.from_json(state) and InputSpec.from_json(earlier).tokens
