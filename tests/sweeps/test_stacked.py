"""Points trained stacked against the same points by themselves: equal to rounding, each in a run folder of its own."""

import json

import numpy as np
import pytest

from dlcourse.errors import Interrupted
from dlcourse.experiment import load_run, run
from dlcourse.experiment.lockstep import Lockstep
from dlcourse.experiment.training_run import Run
from dlcourse.sweeps import run_sweep
from dlcourse.training.folder import RunFolder

SPIRALS = {
    "name": "small",
    "seed": 0,
    "data": {"name": "spirals", "samples": 80, "split": {"val": 0.2, "test": 0.2}},
    "model": {"name": "softmax"},
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "train": {"epochs": 3, "batch_size": 16, "log_every": 1, "checkpoint_every": 5},
    "metrics": ["accuracy", "cross_entropy"],
}
IMAGES = {"name": "synthetic_images", "samples": 40, "classes": 3, "image_size": 8}
CNN = {
    "data": {**IMAGES, "augment": {"flip": True}},
    "model": {"name": "cnn", "channels": [3], "hidden": [6], "batch_norm": True, "dropout": 0.2},
    "train": {"epochs": 1},
}
LSTM = {
    "data": {"name": "adding_problem", "samples": 40, "steps": 6},
    "model": {"name": "lstm", "hidden": 5},
    "loss": "mse",
    "metrics": ["mse"],
}
VIT = {
    "data": IMAGES,
    "model": {"name": "vit", "patch_size": 4, "layers": 1, "heads": 2, "width": 8},
    "train": {"epochs": 1},
}
MLP = {"name": "mlp", "hidden": [8, 6], "batch_norm": True, "dropout": 0.2}


def config(sweep, **changes):
    data = {**SPIRALS["data"], **changes.pop("data", {})}
    train = {**SPIRALS["train"], **changes.pop("train", {})}
    return {**SPIRALS, "data": data, "train": train, **changes, "sweep": sweep}


def quietly(given, out, stack, **options):
    return run_sweep(given, out=out, quiet=True, plots=False, stack=stack, device="cpu", **options)


def numbers(folder):
    """The steps and numbers of each line of a run, without the time."""
    found = []
    for event in RunFolder(folder).read_history():
        flat = json.loads(json.dumps({key: value for key, value in event.items() if key != "seconds"}))
        found.append(flat)
    return found


def assert_same(one, other, rel=2e-4):
    assert (one.id, one.status, one.error) == (other.id, other.status, other.error)
    assert other.metrics == pytest.approx(one.metrics, rel=rel, abs=1e-6)
    assert (one.parameters, one.flops) == (other.parameters, other.flops)


def assert_same_runs(first, second, rel=2e-4):
    for one, other in zip(first.points, second.points, strict=True):
        assert_same(one, other, rel)
        a, b = first.folder / one.folder, second.folder / other.folder
        assert {each.name for each in a.rglob("*")} == {each.name for each in b.rglob("*")}
        for left, right in zip(numbers(a), numbers(b), strict=True):
            assert list(left) == list(right)
            for key in left.keys() - {"layers", "metrics"}:
                assert right[key] == (pytest.approx(left[key], rel=rel) if isinstance(left[key], float) else left[key])
        weights, others = (load_run(each, "cpu").model.state_dict() for each in (a, b))
        for name in weights:
            np.testing.assert_allclose(others[name], weights[name], rtol=1e-3, atol=2e-5, err_msg=name)
        drawn, others = (np.load(each / "predictions.npz", allow_pickle=False) for each in (a, b))
        assert drawn.files == others.files
        for name in drawn.files:
            if drawn[name].dtype.kind == "f":
                np.testing.assert_allclose(others[name], drawn[name], rtol=1e-2, atol=1e-3, err_msg=name)
            else:
                assert drawn[name].shape == others[name].shape


def lines(capsys):
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("sweep", "changes"),
    [
        ({"grid": {"optimizer.lr": [0.01, 1.0]}}, {}),
        ({"seeds": 2}, {"model": MLP}),
        ({"zip": {"model.dropout": [0.1, 0.5], "train.l2": [0.0, 0.01]}}, {"model": MLP}),
        ({"kfold": 3}, {"data": {"split": {"test": 0.2}, "samples": 100}}),
        ({"zip": {"data.bootstrap": [1, 2], "data.seed": [3, 4]}}, {}),
        ({"zip": {"model.scale": [0.01, 0.1], "loss.label_smoothing": [0.0, 0.2]}}, {}),
        (
            {"seeds": 2},
            {"model": {"name": "svm"}, "loss": {"name": "multiclass_hinge"}},
        ),
        (
            {
                "grid": {
                    "optimizer": [
                        {"name": "adam", "lr": 0.01, "betas": [0.8, 0.99]},
                        {"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": {"name": "cosine", "warmup": 3}},
                        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
                        {"name": "rmsprop", "lr": 0.01},
                    ]
                }
            },
            {"model": {"name": "mlp", "hidden": [8], "layer_norm": True, "activation": "gelu"}},
        ),
        ({"zip": {"train.ema": [0.5, 0.9], "train.clip_norm": [0.1, 10.0], "train.l1": [0.0, 0.01]}}, {}),
        ({"grid": {"train.epochs": [1, 3]}}, {"model": MLP, "train": {"watch": True}}),
        (
            {"zip": {"optimizer.lr": [0.01, 0.1], "train.seed": [1, 2]}},
            {
                "precision": "float64",
                "data": {"name": "polynomial_curve", "normalize": "standardize"},
                "model": {"name": "polynomial", "degree": 3},
                "loss": "mse",
                "optimizer": {"name": "adam", "lr": 0.1},
                "metrics": ["mse", "r2"],
            },
        ),
        (
            {"grid": {"optimizer.lr": [0.01, 0.1]}},
            {"model": {"name": "mlp", "hidden": [8], "dropout": 0.5, "init": "default"}},
        ),
        ({"seeds": 2}, CNN),
        ({"grid": {"optimizer.lr": [0.01, 0.1]}}, LSTM),
        ({"grid": {"optimizer.lr": [0.01, 0.1]}}, VIT),
    ],
    ids=[
        *"rates seeds dropout folds resamples smoothing svm optimizers penalties lengths polynomial".split(),
        *"init cnn lstm vit".split(),
    ],
)
def test_equal_to_each_by_itself(tmp_path, capsys, sweep, changes):
    given = config(sweep, **changes)
    alone, together = quietly(given, tmp_path / "a", False), quietly(given, tmp_path / "b", True)
    assert_same_runs(alone, together)
    text = (together.folder / "log.txt").read_text()
    assert f"stacked: {len(together.points)} of {len(together.points)} points in 1 group" in text
    assert "by itself" not in text and "by themselves" not in text
    assert alone.best["overrides"] == together.best["overrides"]


RATES = {"grid": {"optimizer.lr": [0.01, 1e38, 0.1]}}


def test_a_diverged_replica_leaves_the_others_as_they_are(tmp_path):
    given = config(RATES, model=MLP, train={"log_every": 4})
    alone, together = quietly(given, tmp_path / "a", False), quietly(given, tmp_path / "b", True)
    assert [point.status for point in together.points] == ["done", "diverged", "done"]
    assert together.points[1].error == alone.points[1].error
    for one, other in zip(alone.points, together.points, strict=True):
        assert_same(one, other)
    without = quietly(config({"grid": {"optimizer.lr": [0.01, 0.1]}}, model=MLP), tmp_path / "c", True)
    for one, other in zip([together.points[i] for i in (0, 2)], without.points, strict=True):
        weights, others = (
            load_run(each.folder / point.folder, "cpu").model.state_dict()
            for each, point in ((together, one), (without, other))
        )
        for name in weights:  # bit for bit: nothing of the diverged one is in them
            np.testing.assert_array_equal(others[name], weights[name], err_msg=name)


def test_runs_that_stop_early_have_their_best_weights(tmp_path):
    early = {"early_stopping": {"metric": "accuracy", "split": "val", "patience": 2}, "epochs": 8}
    given = config({"grid": {"optimizer.lr": [0.01, 0.1, 1.0]}}, model=MLP, train=early)
    alone, together = quietly(given, tmp_path / "a", False), quietly(given, tmp_path / "b", True)
    results = [RunFolder(together.folder / point.folder).read_result() for point in together.points]
    assert len({result["step"] for result in results}) > 1
    assert_same_runs(alone, together, rel=2e-3)


@pytest.mark.parametrize("first", [True, False])
def test_each_way_goes_on_with_what_the_other_began(tmp_path, monkeypatch, first):
    given = config({"seeds": 3}, model=MLP)
    whole = quietly(given, tmp_path / "whole", False)
    taken, count = Lockstep._advance, iter(range(100))
    if first:
        monkeypatch.setattr(Lockstep, "_advance", lambda self: self._interrupt(15) if next(count) == 7 else taken(self))
        with pytest.raises(Interrupted) as stopped:
            quietly(given, tmp_path / "parts", True)
        assert "sweep --resume" in str(stopped.value)
        monkeypatch.undo()
    else:  # the second point is interrupted in its middle, the others have not begun
        from dlcourse.training.step import TrainStep

        update, left = TrainStep.update, iter(range(13))

        def interrupt(self, *args):
            if next(left, None) is None:
                raise Interrupted("stopped by the test", 15)
            return update(self, *args)

        monkeypatch.setattr(TrainStep, "update", interrupt)
        with pytest.raises(Interrupted):
            quietly(given, tmp_path / "parts", False)
        monkeypatch.undo()
    (folder,) = (tmp_path / "parts").glob("small/*")
    statuses = [RunFolder(each).read_result()["status"] for each in sorted((folder / "points").iterdir())]
    assert statuses == (["interrupted"] * 3 if first else ["done", "interrupted"])
    resumed = run_sweep(None, resume=folder, quiet=True, plots=False, stack=not first)
    for one, other in zip(whole.points, resumed.points, strict=True):
        assert_same(one, other)
        (a, b) = (numbers(each.folder / point.folder) for each, point in ((whole, one), (resumed, other)))
        assert [event["event"] for event in a] == [event["event"] for event in b]


def test_one_run_of_a_stack_goes_on_by_itself(tmp_path):
    result = quietly(config({"grid": {"optimizer.lr": [0.01, 0.1]}}, model=MLP), tmp_path, True)
    longer = run(resume=result.folder / result.points[1].folder, overrides={"train.epochs": 5}, quiet=True, plots=False)
    whole = quietly(config({"grid": {"optimizer.lr": [0.01, 0.1]}}, model=MLP, train={"epochs": 5}), tmp_path, False)
    assert longer.metrics["test"]["cross_entropy"] == pytest.approx(
        whole.points[1].metrics["test.cross_entropy"], rel=1e-3
    )


def test_a_run_that_fails_leaves_the_others_as_they_are(tmp_path, monkeypatch):
    given = config({"grid": {"optimizer.lr": [0.01, 0.1, 1.0]}})
    whole = quietly(given, tmp_path / "a", True)
    save = Run.conclude

    def conclude(self):
        if self.experiment.config["optimizer"]["lr"] == 0.1:
            raise RuntimeError("no room")
        save(self)

    monkeypatch.setattr(Run, "conclude", conclude)
    found = quietly(given, tmp_path / "b", True)
    assert [point.status for point in found.points] == ["done", "failed", "done"]
    assert "no room" in found.points[1].error
    assert [found.points[i].metrics for i in (0, 2)] == [whole.points[i].metrics for i in (0, 2)]
    monkeypatch.undo()
    again = run_sweep(None, resume=found.folder, quiet=True, plots=False, stack=True)
    assert all(point.status == "done" for point in again.points)


def test_groups_and_what_runs_by_itself(tmp_path, capsys, monkeypatch):
    sweep = {
        "zip": {
            "model": [{"name": "mlp", "hidden": [4]}] * 3 + [{"name": "mlp", "hidden": [5]}] * 3 + ["softmax"],
            "optimizer": [*({"name": "sgd", "lr": lr} for lr in (0.1, 0.2)), "lbfgs"]
            + [{"name": "sgd", "lr": lr} for lr in (0.1, 0.2, 0.3, 0.4)],
        }
    }
    given = config(sweep)
    planned = run_sweep(given, dry_run=True, stack=True, plots=False, device="cpu")
    text = lines(capsys)
    assert planned.status == "planned" and "stacked: 5 of 7 points in 2 groups" in text
    assert "optimizer lbfgs evaluates the cost several times in a step" in text
    assert "no other point has its architecture" in text
    monkeypatch.setattr("dlcourse.sweeps.stacked.MAX_REPLICAS", 2)
    result = run_sweep(given, out=tmp_path, stack=True, plots=False, device="cpu")
    assert "stacked: 4 of 7 points in 2 groups" not in (text := lines(capsys)) and "in 3 groups" in text
    assert all(point.status == "done" and point.folder for point in result.points)


def test_a_model_that_means_nothing_to_many_at_once_runs_by_itself(tmp_path, capsys, monkeypatch):
    from dlcourse.models.softmax import SoftmaxModel

    forward = SoftmaxModel.forward
    monkeypatch.setattr(SoftmaxModel, "forward", lambda self, x: forward(self, x.data.mean(axis=0)[None] + x))
    given = config({"grid": {"optimizer.lr": [0.01, 0.1]}})
    result = run_sweep(given, out=tmp_path, stack=True, plots=False, device="cpu")
    assert all(point.status == "done" for point in result.points) and "stacked: 2" in lines(capsys)
    monkeypatch.setattr(SoftmaxModel, "forward", lambda self, x: forward(self, x) * float(self.weight.numpy()[0, 0]))
    result = run_sweep(given, out=tmp_path, stack=True, plots=False, device="cpu")
    text = lines(capsys)
    assert "000-lr=0.01 runs by itself: " in text and [point.status for point in result.points] == ["done", "done"]
