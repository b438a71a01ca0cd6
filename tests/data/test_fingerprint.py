from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dlcourse.data import fingerprint as module
from dlcourse.data import prepare
from dlcourse.data.fingerprint import differences, fingerprint

IMAGES = {"name": "synthetic_images", "samples": 60, "classes": 3, "image_size": 4, "split": {"val": 0.2, "test": 0.2}}


def table(path: Path, rows: int = 40, other: str = "") -> dict:
    x = np.random.default_rng(0).normal(size=(rows, 2)).round(3)
    cells = [f"{a},{b},{other if i == 7 and other else a + b}" for i, (a, b) in enumerate(x)]
    path.write_text("\n".join(["a,b,y", *cells]) + "\n")
    return {"name": "csv", "path": str(path), "target": "y", "split": {"val": 0.2, "test": 0.2}}


def test_the_same_data_have_the_same_fingerprint_however_they_are_normalized(tmp_path: Path) -> None:
    section = table(tmp_path / "a.csv")
    first = fingerprint(prepare(section, 1))
    assert {split: each["samples"] for split, each in first.items()} == {"train": 24, "val": 8, "test": 8}
    assert differences(first, fingerprint(prepare({**section, "normalize": "standardize"}, 1))) == []
    assert len(differences(first, fingerprint(prepare(section, 2)))) == 3


@pytest.mark.parametrize("change", [{"rows": 41}, {"rows": 39}, {"other": "5"}], ids=str)
def test_a_row_more_or_less_and_a_cell_that_changed_are_found(tmp_path: Path, change: dict) -> None:
    before = fingerprint(prepare(table(tmp_path / "a.csv"), 1))
    now = fingerprint(prepare(table(tmp_path / "a.csv", **change), 1))
    assert differences(before, now)


def test_images_dealt_at_random_are_read_row_by_row() -> None:
    data = prepare(IMAGES, 3)
    before = fingerprint(data)
    assert fingerprint(prepare(IMAGES, 3)) == before
    train = data.splits["train"]
    copy = replace(data, splits={**data.splits, "train": replace(train, x=np.asarray(train.x))})
    assert fingerprint(copy) == before
    copy.splits["train"].x[5, 0, 0, 0] ^= 1
    assert differences(before, fingerprint(copy)) == ["train still has 36 samples, but others or with other values"]


def test_a_text_is_known_by_all_of_its_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    section = {"name": "text", "path": str(path), "context": 4, "split": {"val": 0.2}}
    path.write_text("abcabcabca" * 10)
    before = fingerprint(prepare(section, 0))
    path.write_text("abcabcabca" * 7 + "abcabcabbb" + "abcabcabca" * 2)
    assert [each.split()[0] for each in differences(before, fingerprint(prepare(section, 0)))] == ["train"]


def test_another_machines_rounding_of_computed_numbers_is_no_change() -> None:
    data = prepare({"name": "polynomial_curve", "samples": 50}, 0)
    subset = data.splits["train"]
    other = replace(data, splits={"train": replace(subset, y=np.nextafter(subset.y, 9.0))})
    assert fingerprint(other) == fingerprint(data)


def test_of_what_is_very_large_some_rows_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(IMAGES, 3)
    whole = fingerprint(data)
    monkeypatch.setattr(module, "_CHUNK", 100)
    assert fingerprint(data) == whole
    monkeypatch.setattr(module, "_MAX_BYTES", 300)
    assert fingerprint(data)["train"]["hash"] != whole["train"]["hash"]


def test_a_split_that_is_new_or_gone_is_said() -> None:
    one = {"train": {"samples": 3, "hash": "a"}}
    assert differences(one, {**one, "val": {"samples": 2, "hash": "b"}}) == ["val had 0 samples, now 2"]
    assert differences({**one, "val": {"samples": 2, "hash": "b"}}, one) == ["val had 2 samples, now 0"]
