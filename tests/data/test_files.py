"""Where data files are looked for, and the message where there is none."""

import pytest

from dlcourse.data.files import find, read_bytes
from dlcourse.errors import DataError


def test_the_current_folder_goes_before_the_data_folder(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "both.csv").write_text("x")
    (there / "one.csv").write_text("x")
    monkeypatch.chdir(here)
    monkeypatch.setenv("DLCOURSE_DATA", str(there))
    assert find("both.csv").resolve() == here / "both.csv"
    assert find("one.csv") == there / "one.csv"
    assert find(str(there / "both.csv")) == there / "both.csv"


def test_a_missing_file_is_named_with_every_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLCOURSE_DATA", raising=False)
    with pytest.raises(DataError, match="no data file .*no.csv; set DLCOURSE_DATA"):
        find("no.csv")
    monkeypatch.setenv("DLCOURSE_DATA", "/nowhere")
    with pytest.raises(DataError, match=f"{tmp_path}/no.csv or /nowhere/no.csv"):
        find("no.csv")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_odd_names_are_missing_files(name):
    with pytest.raises(DataError, match="no data file"):
        find(name)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        find(str(tmp_path))


def test_an_empty_file_holds_no_data(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match="empty.csv is empty"):
        read_bytes(tmp_path / "empty.csv")


def test_a_file_larger_than_memory_is_not_read(tmp_path):
    path = tmp_path / "sparse.csv"
    with open(path, "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(DataError, match="sparse.csv: the file would take 4 TiB, more data than"):
        read_bytes(path)
