import json
import tracemalloc
from pathlib import Path

from dlcourse.training.evaluation import Evaluation
from dlcourse.training.history import History

from .tiny import METRICS, loader, part, trainer


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_at_the_first_step_and_every_few(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl", log_every=3)
    trainer(7, [history]).run()
    assert [(line["event"], line["step"]) for line in history.events] == [("train", 1), ("train", 3), ("train", 6)]
    assert list(history.events[1]) == ["event", "step", "epoch", "samples", "seconds", "loss", "lr"]
    assert lines(tmp_path / "metrics.jsonl") == history.events


def test_evaluations_come_at_ends_of_epochs_and_once_at_the_very_end(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl", log_every=100)
    evaluation = Evaluation({"train": loader(part()), "val": loader(part(4))}, METRICS, 2, history)
    run = trainer(14, [history, evaluation])  # 3 steps an epoch
    run.run()
    assert [line["step"] for line in history.events if line["event"] == "eval"] == [6, 12]
    evaluation.at_end(run)
    last = history.events[-1]
    assert (last["event"], last["step"], set(last["metrics"])) == ("eval", 14, {"train", "val"})
    regular = trainer(12, [history, evaluation])
    regular.run()
    before = len(history.events)
    evaluation.at_end(regular)
    assert len(history.events) == before


def test_going_on_cuts_the_log_back_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = History(path, log_every=1)
    trainer(5, [first]).run()
    with open(path, "a") as file:
        file.write('{"event": "train", "st')  # cut off by a kill
    second = History(path, log_every=1)
    second.load_state_dict({"lines": 3})
    trainer(2, [second]).run()
    assert [line["step"] for line in lines(path)] == [1, 2, 3, 1, 2]
    assert lines(path)[:3] == first.events[:3]
    seconds = [line["seconds"] for line in lines(path)]
    assert seconds == sorted(seconds), "the clock goes on"
    assert second.state_dict() == {"lines": 5}


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl", log_every=1)
    run = trainer(1, [history])
    run.run()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(300):
        history.record(run, "train", loss=0.5, lr=0.1)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50 * 300, "the lines are in the file and not in memory"
    assert len(history.events) == 301 and history.state_dict() == {"lines": 301}


def test_in_memory_without_a_path() -> None:
    history = History(None, log_every=1)
    trainer(2, [history]).run()
    assert len(history.events) == 2
