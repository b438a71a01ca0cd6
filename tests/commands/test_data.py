"""``dlcourse data``: what it prints, draws, and refuses."""

import os

import numpy as np
import pytest

from dlcourse import cli
from dlcourse.data import cifar10
from tests.data.images import served, small_cifar10, tar


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, a cache of its own, no data."""
    monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DLCOURSE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def small(here, monkeypatch):
    made = small_cifar10()
    monkeypatch.setattr(cifar10.Cifar10, "files", made.collection)
    return made


def test_info_shows_counts_classes_channel_means_places_and_an_image(small, here, capsys):
    tar(here / "a.tar.gz", small.files)
    assert cli.main(["data", "info", "cifar10", "path=a.tar.gz", "split.val=5"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == "cifar10: classification, inputs 32 x 32 x 3 (uint8)".split()
    assert lines[1][:2] == ["source", "a.tar.gz,"] and lines[2][0] == "decoded"
    assert ["train", "val", "test"] in lines and ["samples", "15", "5", "4"] in lines
    assert sum(int(line[1]) for line in lines if line[:1] == ["airplane"] or line[:1] == ["truck"]) > 0
    means = next(line for line in lines if line[:2] == ["channel", "means"])
    assert all(0.3 < float(value) < 0.7 for value in means[2:5])
    assert lines[-1] == ["image", "cifar10_samples.png"]
    assert (here / "cifar10_samples.png").read_bytes().startswith(b"\x89PNG")


def test_info_of_tables_shows_features_and_draws_nothing(here, capsys):
    (here / "flats.csv").write_text("area,city,rent\n10,A,100\n20,B,200\n30,A,300\n")
    command = ["data", "info", "csv", "path=flats.csv", "target=rent", "units={area: m2}"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert ["area", "m2", "20", "8.16497", "10", "30"] in [line.split() for line in out.splitlines()]
    assert ["rent", "200", "81.6497", "100", "300"] in [line.split() for line in out.splitlines()]
    assert os.listdir(here) == ["flats.csv"]
    assert cli.main([*command, "--image", "x.png"]) == 2
    assert "csv has no images" in capsys.readouterr().err


def test_info_of_series_shows_each_of_their_features(here, capsys):
    np.savez(here / "s.npz", x=np.arange(24.0).reshape(4, 3, 2), y=np.arange(4) % 2)
    for name in ("arrays", "series"):
        assert cli.main(["data", "info", name, "path=s.npz"]) == 0
        out = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert f"{name}: classification, inputs 3 x 2 (float64)".split() in out
        assert ["x1", "11", "6.90411", "0", "22"] in out and ["x2", "12", "6.90411", "1", "23"] in out


def test_the_image_goes_where_it_is_asked_to_or_nowhere(here, capsys):
    command = ["data", "info", "synthetic_images", "samples=40", "image_size=8", "channels=1"]
    assert cli.main([*command, "--no-image"]) == 0
    assert os.listdir(here) == []
    assert cli.main([*command, "--image", "mine.png"]) == 0
    assert os.listdir(here) == ["mine.png"]
    assert cli.main([*command, "--image", "gone/mine.png"]) == 1
    assert capsys.readouterr().err == "dlcourse: error: gone/mine.png: cannot be written: No such file or directory\n"


def test_fetch_says_where_the_data_are(small, here, capsys):
    tar(here / "a.tar.gz", small.files)
    assert cli.main(["data", "fetch", "cifar10", "path=a.tar.gz"]) == 0
    source, decoded = capsys.readouterr().out.splitlines()
    assert source.startswith("source   a.tar.gz, ") and "cifar10/decoded-" in decoded


@pytest.mark.parametrize("action", ["fetch", "info"])
def test_offline_there_are_exactly_two_lines_and_exit_code_1(small, here, monkeypatch, capsys, action):
    offline = served(small.collection, "http://127.0.0.1:9", {"cifar-10-python.tar.gz": b"x"})
    monkeypatch.setattr(cifar10.Cifar10, "files", offline)
    assert cli.main(["data", action, "cifar10"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("dlcourse: error: cifar10 is not on this machine")
    assert second.startswith("put cifar-10-python.tar.gz (from http://127.0.0.1:9) into ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "spirals"], "nothing to fetch for spirals; there is for cifar10, fashion_mnist, mnist"),
        (["info", "cifar"], "no data 'cifar' (did you mean 'cifar10'?"),
        (["info", "cifar10", "pth=x"], "data.pth: unknown key of data cifar10 (did you mean 'path'?"),
        (["info", "cifar10", "path=nowhere"], "no data file"),
        (["info", "cifar10", "path"], "expected key=value"),
        (["look", "cifar10"], "invalid choice: 'look'"),
    ],
)
def test_mistakes_end_in_one_line(here, capsys, arguments, message):
    assert cli.main(["data", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_damaged_archive_ends_in_one_line(small, here, capsys):
    path = tar(here / "a.tar.gz", small.files)
    path.write_bytes(path.read_bytes()[:-5000])
    assert cli.main(["data", "info", "cifar10", "path=a.tar.gz"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("dlcourse: error: a.tar.gz ") and err.count("\n") == 1
