"""Several processes train one model: the same as one process, however they end."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.backend import collectives, random
from dlcourse.distributed import launch
from tests.distributed import launching, program
from tests.distributed.launching import (
    CONFIG,
    MPIRUN,
    PROGRAM,
    ROOT,
    after_checkpoint,
    finished,
    ranks_of,
    run_folder,
    start,
    together,
)

needs_mpi = pytest.mark.skipif(MPIRUN is None, reason="needs mpirun: pip install 'dlcourse[mpi]'")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    launching.write(folder)
    return folder


@pytest.fixture(scope="module")
def alone(place: Path) -> Any:
    return dl.run(place / "config.yaml", device="cpu", out=place / "alone", quiet=True, plots=False)


@pytest.fixture(scope="module", params=[2, 3])
def compared(request: pytest.FixtureRequest, place: Path) -> dict:
    text = finished(start(request.param, str(PROGRAM), str(place), cwd=ROOT))
    result = place / "result.json"
    assert result.is_file(), text
    found = json.loads(result.read_text())
    result.unlink()
    return found


@needs_mpi
def test_several_ranks_are_one_run_to_rounding(compared: dict) -> None:
    off = {name: parts for name, parts in compared.items() if max(parts.values()) > program.allowed(name)}
    assert len(compared) > 12 and not off


@needs_mpi
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_run_that_was_stopped_goes_on_with_another_number_of_ranks(how: str, place: Path, alone: Any) -> None:
    out = place / how
    words = "-m", "dlcourse", "run", "config.yaml", "--device", "cpu", "--no-plots", "--quiet", "--out", str(out)
    process = start(2, *words, cwd=place)
    folder = after_checkpoint(process, out)
    if how == "SIGTERM":
        process.send_signal(signal.SIGTERM)
    else:
        os.kill(ranks_of(process)[1], signal.SIGKILL)
    finished(process)
    assert process.returncode != 0
    if how == "SIGTERM":
        assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    code, text = together(3, "run", "--resume", str(folder), "--device", "cpu", "--no-plots", cwd=place)
    assert code == 0, text
    found = dl.load_run(folder)
    for name, weight in alone.model.state_dict().items():
        np.testing.assert_allclose(found.model.state_dict()[name], weight, rtol=2e-3, atol=2e-3)


@needs_mpi
def test_deterministic_repeats_bit_for_bit(place: Path) -> None:
    states = []
    for name in "first", "second":
        out = place / name
        words = "run", "config.yaml", "train.epochs=2", "--deterministic", "--device", "cpu", "--no-plots", "--quiet"
        code, text = together(2, *words, "--out", str(out), cwd=place)
        assert code == 0, text
        assert text.strip() == str(run_folder(out))  # rank 0 alone says where it is
        states.append(dl.load_run(run_folder(out)).model.state_dict())
    for name, weight in states[0].items():
        np.testing.assert_array_equal(states[1][name], weight)


@needs_mpi
def test_the_error_of_one_rank_ends_all(place: Path) -> None:
    words = "run", "config.yaml", "model.name=broken", "--plugin", "broken.py", "--device", "cpu", "--no-plots"
    code, text = together(2, *words, "--out", str(place / "broken"), cwd=place)
    assert code == 1, text
    assert "rank 1 of 2: a broken part" in text


@needs_mpi
@pytest.mark.parametrize(
    "words, code, message",
    [
        (["run", "config.yaml", "model.hiden=3"], 2, "model.hiden: unknown key"),
        (["run", "config.yaml", "optimizer.lr=1e30", "train.clip_norm=null"], 4, "training diverged"),
        (["run", "config.yaml", "--set"], 2, "no option '--set'"),
        (["evaluate", "runs"], 2, "only `dlcourse run` trains one model on several"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(words: list[str], code: int, message: str, place: Path) -> None:
    found, text = together(
        2, *words, *(["--device", "cpu", "--no-plots"] if "evaluate" not in words else []), cwd=place
    )
    assert found == code, text
    assert text.count(message) == 1, text


@needs_mpi
def test_a_sweep_is_refused(place: Path) -> None:
    (place / "sweep.yaml").write_text(CONFIG + "sweep: {grid: {optimizer.lr: [0.1, 0.2]}}\n")
    code, text = together(2, "run", "sweep.yaml", "--device", "cpu", cwd=place)
    assert (code, text.count("this config is many models")) == (2, 1), text


def test_local_batch_norm_takes_the_statistics_of_rank_0(place: Path) -> None:
    if MPIRUN is None:
        pytest.skip("needs mpirun: pip install 'dlcourse[mpi]'")
    out = place / "local"
    words = "run", "config.yaml", "train.epochs=1", "train.sync_batch_norm=false", "--device", "cpu", "--no-plots"
    code, text = together(2, *words, "--out", str(out), cwd=place)
    assert code == 0, text


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, launch.Launch()),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, launch.Launch()),
        (
            {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            launch.Launch("Open MPI", 4, 3, 1),
        ),
        ({"PMI_SIZE": "2", "PMI_RANK": "1", "MPI_LOCALRANKID": "1"}, launch.Launch("MPICH", 2, 1, 1)),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, launch.Launch()),
        (
            {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0", "SLURM_MPI_TYPE": "pmix"},
            launch.Launch("Slurm", 2, 1, 0),
        ),
    ],
)
def test_a_launcher_is_known_by_its_variables(
    variables: dict, expected: launch.Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for names in launch._LAUNCHERS.values():
        for name in (*names, "SLURM_MPI_TYPE"):
            monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launch.launched() == expected


@pytest.mark.parametrize("size, count", [(1, 5), (2, 5), (3, 7), (4, 2)])
def test_parts_make_the_batch(size: int, count: int) -> None:
    parts = []
    for rank in range(size):
        group = collectives.Group()
        group.rank, group.size = rank, size
        parts.append(group.part(10, 10 + count))
    assert sum(part.share for part in parts) == pytest.approx(1)
    rows = [row for part in parts for row in range(part.start, part.stop)]
    assert sorted(rows) == sorted(list(range(10, 10 + count)) * parts[0].copies)


def test_draws_of_a_part_are_rows_of_the_whole() -> None:
    dl.manual_seed(3)
    random.begin_step(7)
    whole = random.normal((6, 3), "test/part"), random.bernoulli((6, 2), 0.5, "test/part2")
    for first, count in ((0, 2), (2, 4)):
        random.begin_step(7)
        random.begin_microbatch(0, (first, count, 6))
        part = random.normal((count, 3), "test/part"), random.bernoulli((count, 2), 0.5, "test/part2")
        for one, other in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one, other[first : first + count])
    random.begin_step(0)
