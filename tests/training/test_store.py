from pathlib import Path

import numpy as np
import pytest

from dlcourse.errors import CheckpointError
from dlcourse.training.atomic import remove_leftovers
from dlcourse.training.checkpoints.store import CheckpointContent, CheckpointStore

from .forks import dies_at


def content(step: int) -> CheckpointContent:
    state = {"step": step, "seed": 0, "config": "", "data": {}, "train_step": {}, "callbacks": {}}
    return {"model.weight": np.full(300, step, dtype=np.float32)}, state


def saved(folder: Path, *steps: int) -> CheckpointStore:
    store = CheckpointStore(folder)
    for step in steps:
        store.save(content(step))
    return store


def nothing_said(text: str) -> None:
    raise AssertionError(f"reported: {text}")


def test_newest_is_the_last_one_saved_and_the_one_before_it_is_kept(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2, 3)
    assert store.newest(nothing_said).state["step"] == 3
    assert store.load("previous").state["step"] == 2
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        store.load("best")


def test_there_is_none_before_the_first_save(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path).newest(nothing_said) is None


@pytest.mark.parametrize("with_best", [False, True])
def test_killed_at_any_point_of_a_save_the_checkpoint_is_the_old_or_the_new_one(
    tmp_path: Path, with_best: bool
) -> None:
    moments, seen = 0, set()
    while True:
        folder = tmp_path / str(moments)
        folder.mkdir()
        store = saved(folder, 1)
        store.save(content(2), content(1))
        new = content(3)
        if not dies_at(moments, lambda s=store, n=new: s.save(n, n if with_best else None)):
            break
        found = store.newest(nothing_said)
        seen.add(found.state["step"])
        np.testing.assert_array_equal(found.arrays["model.weight"], content(found.state["step"])[0]["model.weight"])
        assert store.load("best").state["step"] in ((1, 3) if with_best else (1,))
        # The best is never older than what the last checkpoint says of it.
        assert not with_best or found.state["step"] == 2 or store.load("best").state["step"] == 3
        remove_leftovers(folder)
        store.save(content(4))
        assert store.newest(nothing_said).state["step"] == 4
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        moments += 1
    assert seen == {2, 3}
    assert moments >= 15


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_last_one_is_said_and_the_previous_one_is_taken(tmp_path: Path, damage: str) -> None:
    store = saved(tmp_path, 1, 2)
    path = store.path("last")
    whole = path.read_bytes()
    flipped = bytes([*whole[:-5], whole[-5] ^ 4, *whole[-4:]])
    path.write_bytes({"truncated": whole[:-100], "flipped": flipped, "empty": b""}[damage])
    message: list[str] = []
    found = store.newest(message.append)
    assert found.state["step"] == 1
    assert (
        len(message) == 1 and "last.safetensors: damaged" in message[0] and "previous.safetensors, step 1" in message[0]
    )
    store.restart_from(found)
    assert store.newest(nothing_said).state["step"] == 1


def test_a_missing_last_one_leaves_the_previous(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    store.path("last").unlink()
    assert store.newest(nothing_said).state["step"] == 1


def test_all_damaged_is_an_error_that_names_the_best(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    store.save_best(content(1))
    for name in ("last", "previous"):
        store.path(name).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"(?s)last.safetensors.*previous.safetensors.*--resume .*best.safetens"):
        store.newest(nothing_said)


def test_restarting_from_the_best_forgets_what_came_after(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    store.save(content(2), content(2))
    store.save(content(3))
    store.save(content(4))
    store.restart_from(store.load("best"))
    assert store.newest(nothing_said).state["step"] == 2
    assert not store.path("previous").exists()
    # Damage to one file must not be damage to the other.
    store.path("last").write_bytes(b"")
    assert store.load("best").state["step"] == 2


def test_the_manifest_names_what_there_is(tmp_path: Path) -> None:
    import json

    store = saved(tmp_path, 1)
    expected = {
        "step": 2,
        "last": "last.safetensors",
        "previous": "previous.safetensors",
        "best": "best.safetensors",
    }
    store.save(content(2), content(2))
    assert json.loads((tmp_path / "latest.json").read_text()) == expected
    store.save_best(content(1))
    assert json.loads((tmp_path / "latest.json").read_text()) == expected, "the step is that of last"
