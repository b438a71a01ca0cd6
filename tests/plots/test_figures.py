"""Which images fit which folder, and that each of them can be read: nothing cut off, nothing on top of its labels."""

import json
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from dlcourse.plots.figures.attack import AttackAccuracy, AttackedImages, _images
from dlcourse.plots.figures.categories import _apart
from dlcourse.plots.figures.overlay import Overlay
from dlcourse.plots.figures.surface_paths import Convergence, theory
from dlcourse.plots.gallery import open_view, plots
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.style import styled
from dlcourse.plots.sweep_view import Axis
from dlcourse.records.run import WEIGHT_SIZES
from tests.plots import folders
from tests.plots.folders import CLASSIFICATION, REGRESSION, RENT, write_run

LONG = "a name that goes on and on without any regard for the space there is"


def rent(path: Path) -> Path:
    return write_run(path, model="{name: linear}", arrays=folders.rent_arrays(), facts=RENT)


def sum_of_units(path: Path) -> Path:
    arrays = folders.regression_arrays(5)
    hinges = np.maximum(arrays["curve_x"] - np.linspace(0, 1, 9), 0)
    arrays["curve_pieces"] = np.column_stack([hinges, np.full(len(hinges), 0.3)])
    return write_run(path, model="{name: mlp}", arrays=arrays, facts=REGRESSION)


def rent_with_sigma(path: Path) -> Path:
    return write_run(path, model="{name: gaussian_regression}", arrays=folders.rent_arrays(gaussian=True), facts=RENT)


def extrapolation(path: Path) -> Path:
    return write_run(path, arrays=folders.regression_arrays(5, beyond=True), facts=REGRESSION)


def several_features(path: Path) -> Path:
    draw = folders.rng()
    arrays = {}
    for split in ("train", "test"):
        x = draw.standard_normal((700, 4))
        y = 1e6 * x.sum(axis=1, keepdims=True)
        arrays |= {f"{split}_x": x, f"{split}_y": y, f"{split}_output": y + 3e5 * draw.standard_normal((700, 1))}
    facts = {**REGRESSION, "feature_names": list("abcd"), "target_name": LONG, "target_unit": "dollars a month"}
    return write_run(path, model="{name: linear}", arrays=arrays, facts=facts)


def series(path: Path) -> Path:
    draw = folders.rng()
    wave = np.sin(np.arange(600) / 4)[:, None]
    arrays = {"val_y": wave, "val_output": wave + 0.1 * draw.standard_normal((600, 1))}
    return write_run(path, model="{name: lstm}", arrays=arrays, facts={**REGRESSION, "steps": 50, "target_name": LONG})


def one_series(path: Path) -> Path:
    wave = np.sin(np.arange(600) / 4)[:, None]
    arrays = {"train_y": 1e6 * wave, "train_output": 9e5 * wave}
    return write_run(path, model="{name: lstm}", arrays=arrays, facts={**REGRESSION, "steps": 600})


def several_targets(path: Path) -> Path:
    draw = folders.rng()
    x = draw.standard_normal((40, 1))
    y = x * np.array([1.0, -2.0])
    arrays = {"train_x": x, "train_y": y, "train_output": y + 0.1, "curve_x": x, "curve_output": y}
    return write_run(path, arrays=arrays, facts=REGRESSION)


def gaussians(path: Path) -> Path:
    return write_run(path, model="{name: gaussian_classifier}", arrays=folders.gaussian_arrays(), facts=CLASSIFICATION)


def net(path: Path) -> Path:
    arrays = {key: value for key, value in folders.gaussian_arrays(900).items() if "gaussian" not in key}
    events = folders.training_events(lr=lambda done: 0.01 * min(done / 0.1, 1) * (0.5 + 0.5 * np.cos(np.pi * done)))
    best = {"step": 300, "metric": "accuracy", "split": "val", "value": 0.9}
    facts = {**CLASSIFICATION, "class_names": [LONG, "green", "blue"]}
    return write_run(path, model="{name: mlp}", arrays=arrays, facts=facts, events=events, best=best)


def twenty_classes(path: Path) -> Path:
    draw = folders.rng()
    y = draw.integers(20, size=400)
    output = draw.standard_normal((400, 20)) + 2 * np.eye(20)[y]
    facts = {**CLASSIFICATION, "class_names": [f"class number {index}" for index in range(20)]}
    return write_run(path, arrays={"test_y": y, "test_output": output}, facts=facts)


def images(path: Path) -> Path:
    arrays = {**folders.image_arrays(), **folders.template_arrays(10)}
    return write_run(path, model="{name: softmax}", arrays=arrays, facts=folders.CIFAR)


def gray_images_of_few_classes(path: Path) -> Path:
    arrays = {**folders.image_arrays(1, 3, 3), **folders.template_arrays(50, 1)}
    facts = {**folders.CIFAR, "class_names": ["red", LONG, "blue"], "confidence": "score"}
    return write_run(path, model="{name: mlp}", arrays=arrays, facts=facts)


def neighbors(path: Path) -> Path:
    arrays = {**folders.image_arrays(), **folders.neighbor_arrays()}
    facts = {**folders.CIFAR, "class_names": [*folders.CIFAR["class_names"][:9], LONG]}
    return write_run(path, model="{name: knn}", arrays=arrays, facts=facts)


def augmented(path: Path) -> Path:
    arrays = {**folders.image_arrays(), **folders.augmented_arrays()}
    return write_run(path, model="{name: cnn}", arrays=arrays, facts=folders.CIFAR)


def images_that_do_not_fit(path: Path) -> Path:
    """As a folder would be that something else wrote: each of these images lacks what belongs to it."""
    arrays = {**folders.image_arrays(), **folders.template_arrays(2, 4), **folders.neighbor_arrays()}
    arrays["mistakes_true"] = arrays["mistakes_true"][1:]
    arrays["similar_true"] = arrays["similar_true"].astype(float)
    arrays |= {**folders.augmented_arrays(), "augmented_from": folders.augmented_arrays(3)["augmented"]}
    return write_run(path, model="{name: softmax}", arrays=arrays, facts=folders.CIFAR)


def no_mistakes(path: Path) -> Path:
    arrays = {**folders.image_arrays(mistakes=0), "test_output": np.eye(10)[folders.image_arrays()["test_y"]]}
    return write_run(path, model="{name: softmax}", arrays=arrays, facts=folders.CIFAR)


def diverged(path: Path) -> Path:
    events = [
        {"event": "train", "step": step, "epoch": step / 10, "loss": loss, "lr": 1.0}
        for step, loss in enumerate([1.0, 3.0, 1e5, 1e30, float("nan")], start=1)
    ]
    return write_run(path, status="diverged", events=events, error="loss is NaN at step 5")


def diverged_step_by_step(path: Path) -> Path:
    losses = [2.0, 1.5, 1.2, 3.0, 1e9, 1e80, 1e300, float("inf"), None]
    events = [
        {"event": "divergence", "step": step, "loss": loss if loss != float("inf") else None, "lr": 1.0}
        for step, loss in enumerate(losses, start=30)
    ]
    return write_run(path, status="diverged", events=events, diverged_at=37)


def watched(path: Path) -> Path:
    def facts(kind: str, size: int, scale: float, **more: float) -> dict:
        return {"kind": kind, "size": size, "gradient": scale, "weight": 3.0, "ratio": 1e-3 * scale, "std": 1.0, **more}

    events = []
    for step in (0, 5, 30, 100, 900):
        layers: dict[str, dict] = {}
        for i in range(12):
            layers[f"blocks.{i}.attention.out_proj"] = facts("Linear", 10_000, 2.0**-i / (1 + step))
            shape = {"low": 0.0, "high": float(i % 5), "counts": [500 - 9 * step // 20, *range(39)]}
            layers[f"blocks.{i}.activation"] = {"kind": "ReLU", "mean": 0.1, "std": 0.5 + i, "dead": i / 12, **shape}
        events.append({"event": "watch", "step": step, "epoch": step / 10, "layers": layers})
    return write_run(path, model="{name: mlp}", events=events)


def recurrent_look(step: int, kept: float, cell: bool) -> dict:
    back = np.arange(50)[::-1]
    norms = {"h_l0": (0.1 * kept**back).tolist()} | ({"c_l0": [*(0.2 * kept ** back[:-1]), 0.0]} if cell else {})
    layers = {"encoder": {"kind": "LSTM", "size": 10, "gradient": 1.0, "std": 1.0, "through_time": norms}}
    return {"event": "watch", "step": step, "epoch": step / 10, "layers": layers}


def through_time(path: Path) -> Path:
    events = [recurrent_look(step, 0.5 + 0.4 * step / 900, True) for step in (0, 5, 30, 100, 900)]
    return write_run(path, model="{name: lstm}", events=events)


def through_time_by_net(path: Path) -> Path:
    nets = [{"name": "rnn"}, {"name": "rnn", "recurrent_init": LONG}, {"name": "lstm"}]
    folder = folders.grid_sweep(path, {"model": nets}, config={"train": {"watch": True}})
    for index, point in enumerate(sorted((folder / "points").iterdir())):
        write_run(point, events=[recurrent_look(step, 1 - 0.3 * index, index == 2) for step in (0, 100)])
    return folder


def range_test(path: Path) -> Path:
    events = folders.training_events(lr=lambda done: 1e-4 * 1e5**done)
    write_run(path, model="{name: mlp}", events=events)
    with (path / "config.yaml").open("a") as file:
        file.write("optimizer: {name: sgd, lr: 1, schedule: {name: range_test}}\n")
    return path


def landscape(path: Path) -> Path:
    write_run(path, model="{name: mlp}")
    along = np.linspace(-1, 1, 21)
    values = 0.6 + 80 * (along[:, None] ** 2 + 0.3 * along**2)
    values[0, 0] = np.inf
    np.savez(path / "landscape.npz", along=along, values=values, samples=np.array(1000))
    return path


def generative(path: Path) -> Path:
    """An autoencoder with a code of two numbers, which draws images."""
    rng = np.random.default_rng(0)
    sizes = {"originals": (10,), "reconstructions": (10,), "samples": (100,), "latent_plane": (20, 20)}
    arrays = {name: rng.uniform(size=(*shape, 8, 8, 1)).astype("float32") for name, shape in sizes.items()}
    arrays |= {"codes": rng.normal(size=(500, 2)), "code_labels": rng.integers(0, 10, 500)}
    for step in (50, 100, 1250):
        _keep_samples(path, step, rng.integers(0, 256, (6, 8, 8, 1)).astype("uint8"))
    return write_run(path, model="{name: vae, latent: 2}", arrays=arrays, facts=folders.CIFAR)


def generated_points(path: Path) -> Path:
    """A model of points on a plane, of which some went far."""
    rng = np.random.default_rng(0)
    for step in range(100, 1500, 100):
        _keep_samples(path, step, rng.normal(size=(200, 2)).astype("float32") * (100 if step == 100 else 1))
    arrays = {"samples": rng.normal(size=(200, 2))}
    return write_run(path, model="{name: vae, latent: 2}", arrays=arrays, facts=CLASSIFICATION)


def diffused_points(path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {f"{name}d": rng.normal(size=(6, 200, 2)) for name in ("noise", "denoise")}
    arrays |= {f"{name}d_steps": np.array([0, 200, 400, 600, 800, 1000]) for name in ("noise", "denoise")}
    arrays["denoising_paths"] = np.cumsum(rng.normal(size=(51, 60, 2)), axis=0)
    return write_run(path, model="{name: diffusion}", arrays=arrays, facts=CLASSIFICATION)


def diffused_images(path: Path) -> Path:
    """Of a diffusion whose samples were judged, in several numbers of steps."""
    rng = np.random.default_rng(0)
    arrays = {f"{name}d": rng.uniform(size=(6, 10, 8, 8, 1)) for name in ("noise", "denoise")}
    arrays |= {f"{name}d_steps": np.array([0, 200, 400, 600, 800, 1000]) for name in ("noise", "denoise")}
    write_run(path, model="{name: diffusion, sampler: ddim}", arrays=arrays, facts=folders.CIFAR)
    common = {"judge": "runs/cnn", "count": 100, "seed": 0, "step": 5, "classes": [LONG, "b", "c"]}
    ways = [{"steps": 10}, {"steps": 50}, {"steps": 10, "sampler": "ddpm"}, {"steps": 200, "sampler": "ddpm"}, {}]
    judged = [{**common, "settings": way, "shares": [0.7, 0.3, 0.0], "confidence": 0.9} for way in ways]
    (path / "judged.json").write_text(json.dumps({"judged": judged}))
    labels = np.repeat([0, 1], [10, 4])
    np.savez(path / "judged.npz", images=np.full((14, 8, 8, 1), 90, "uint8"), labels=labels, shares=[0.7, 0.3, 0.0])
    return path


def _keep_samples(path: Path, step: int, x: np.ndarray) -> None:
    (path / "samples").mkdir(parents=True, exist_ok=True)
    np.savez(path / "samples" / f"step-{step}.npz", x=x)


def two_players(path: Path) -> Path:
    """A run of a generator and a discriminator."""
    events, names = folders.training_events(), ("loss", "discriminator", "generator", "score_real", "score_drawn")
    for event in events:
        if "metrics" in event:
            event["metrics"] = {"val": {name: 0.5 + i / event["step"] for i, name in enumerate(names)} | {"good": 0.5}}
    return write_run(path, model="{name: gan, latent: 2}", events=events, facts=folders.CIFAR)


def attacked(path: Path) -> Path:
    """Measured under attacks: along a range of sizes in two norms, at one size, and by the smallest perturbation."""
    write_run(path, model="{name: mlp}", arrays=folders.image_arrays(), facts=folders.CIFAR)
    write_attacks(path)
    return path


def write_attacks(path: Path, slope: float = 8.0) -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 200, (10, 8, 8, 3)).astype(float)
    images = {"attack_originals": before, "attack_changed": before + rng.normal(0, 20, before.shape)}
    images |= {"attack_true": np.arange(10), "attack_predicted": np.arange(10)[::-1]}
    images |= {"attack_confidence": rng.uniform(size=10)}
    clean, nothing = np.array(0.6), np.empty(0)
    for place, (name, sizes, distances) in enumerate(
        (
            ("fgsm", np.array([0.01, 0.02, 0.05]), nothing),
            ("pgd(random_start=False, target=least_likely)", np.array([0.01, 0.05]), nothing),
            ("pgd", np.array([0.03]), nothing),
            ("pgd(norm=l2)", np.array([0.05, 0.15]), nothing),
            ("deepfool", nothing, np.sort(rng.uniform(0, 0.2, 60))),
        )
    ):
        norm = "l2" if "l2" in name else "linf"
        curves = {"epsilons": sizes, "accuracy": np.maximum(0.6 - slope * sizes, 0), "control": 0.6 - sizes}
        curves |= {"distances": distances, "label": np.array(name), "norm": np.array(norm), "place": np.array(place)}
        np.savez(path / f"attack-{place}.npz", **curves, **images, clean=clean, count=np.array(100))


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (0, 16), (-1, 1)])
def test_attacked_images_are_shown_from_black_to_white(low: float, high: float) -> None:
    before = np.linspace(low, high, 3).reshape(1, 1, 3, 1)
    first, second = _images({"attack_originals": before, "attack_changed": before - high})
    assert first.ravel().tolist() == [0, 128, 255] and second.max() < 129


def test_attacks_on_other_inputs_say_so_and_show_them(tmp_path: Path) -> None:
    view = RunView(attacked(tmp_path))
    assert not any("of test" in text.get_text() for text in AttackAccuracy().draw(view)[0].findobj(Text))
    stored = dict(np.load(tmp_path / "attack-1.npz"))
    stored |= {"attack_originals": stored["attack_originals"] + 9, "split": np.array("val"), "count": np.array(50)}
    np.savez(tmp_path / "attack-1.npz", **stored)
    view = RunView(tmp_path)
    texts = [text.get_text() for text in AttackAccuracy().draw(view)[0].findobj(Text)]
    assert "fgsm, 100 of test" in texts and any(each.endswith(", 50 of val") for each in texts)
    shown = [text.get_text() for text in AttackedImages().draw(view)[0].findobj(Text)]
    assert shown.count("inputs") == 3  # of the first attack, of the second, and again of the third


def test_a_curve_of_one_point_is_seen(tmp_path: Path) -> None:
    folders.curve_sweep(tmp_path, "model.name", ["rnn", "lstm"])
    for file in tmp_path.glob("points/*/metrics.jsonl"):
        events = [json.loads(line) for line in file.read_text().splitlines()]
        train = [event for event in events if event["event"] == "train"][:1]
        rest = [event for event in events if event["event"] != "train"]
        file.write_text("".join(json.dumps(event) + "\n" for event in train + rest))
    left, right = Overlay().draw(open_view(tmp_path))[0].axes
    assert {line.get_marker() for line in left.lines} == {"o"} and {line.get_marker() for line in right.lines} == {
        "None"
    }


def test_values_name_their_ticks_only_where_they_have_room() -> None:
    assert _apart([0.001, 0.01, 0.1], ["0.001", "0.01", "0.1"], True) and _apart([1, 2, 3, 4], list("1234"), False)
    assert not _apart([0.001, 0.0069, 0.0097, 0.1], ["0.001", "0.0069", "0.0097", "0.1"], True)
    assert not _apart([0, 1e-4, 1], ["0", "1e-4", "1"], False) and _apart([3], ["3"], False)


def attacked_nets(path: Path) -> Path:
    folders.curve_sweep(path, "train.attack", [None, {"name": "pgd", "epsilon": 0.05, "steps": 7}, LONG])
    for index in range(3):
        write_attacks(path / "points" / f"{index:03d}", 8.0 / (1 + index))
    return path


def attention_of_heads(path: Path) -> Path:
    """Causal maps of a text, of two layers with three heads."""
    write_run(path, model="{name: gpt}", facts={**folders.CIFAR}, arrays={})
    words = [*"To be, or not\n"]
    tri = np.tri(len(words))
    maps = {f"map_{i}": tri / tri.sum(axis=1, keepdims=True) for i in range(6)}
    titles = [[f"layer {i // 3 + 1}, head {i % 3 + 1}"] for i in range(6)]
    facts = {"maps": titles, "queries": [words] * 6, "keys": [words] * 6, "across": 3}
    (path / "explain").mkdir()
    np.savez(path / "explain" / "attention.npz", facts=json.dumps(facts), **maps)
    return path


def attention_of_answers(path: Path) -> Path:
    """Maps of different sizes, one of which does not fit its tokens, with titles that are too long."""
    write_run(path, model="{name: seq2seq}", facts={**folders.CIFAR}, arrays={})
    sizes = [(11, 28), (4, 3), (1, 1), (5, 6)]
    maps = {f"map_{i}": np.full((rows, columns), 1 / columns) for i, (rows, columns) in enumerate(sizes)}
    maps["map_3"] = maps["map_3"][:2]
    queries, keys = ([["<eos>"] * size[place] for size in sizes] for place in (0, 1))
    facts = {"maps": [[LONG]] * 4, "queries": queries, "keys": keys}
    (path / "explain").mkdir()
    np.savez(path / "explain" / "attention.npz", facts=json.dumps(facts), **maps)
    return path


def explained(path: Path) -> Path:
    """All pictures of what a net sees, of color images, with names that are too long."""
    write_run(path, model="{name: cnn}", facts=folders.CIFAR, arrays={})
    folders.write_explanations(path, 3, layers=3, channels=3, label=LONG)
    return path


def explained_in_part(path: Path) -> Path:
    """Gray images, of one layer and method, filters of many channels, PCA alone."""
    write_run(path, model="{name: cnn}", facts={**folders.CIFAR, "class_names": [LONG, "b", "c"]}, arrays={})
    folders.write_explanations(
        path, 1, layers=1, channels=1, label="cat 0.9", methods=("grad_cam",), filters=(70, 3, 3, 16)
    )
    return path


def explained_otherwise(path: Path) -> Path:
    """As a folder would be that something else wrote: nothing in it fits."""
    write_run(path, model="{name: cnn}", facts=folders.CIFAR, arrays={})
    folders.write_explanations(path, 3, layers=3, channels=3, label="cat")
    for file in sorted((path / "explain").iterdir()):
        with np.load(file) as found:
            np.savez(file, **{name: array[..., None] for name, array in found.items() if name != "facts"})
    (path / "explain" / "filters.npz").write_bytes(b"no archive")
    return path


def surface(path: Path, lr: float = 0.5, condition: int = 4) -> Path:
    """Gradient descent in a bowl."""
    shrink = 1 - lr * np.array([1 / condition, 1.0])
    events = [
        {"event": "trace", "step": step, "epoch": step, "point": list(np.array([-2.5, 1.5]) * shrink**step)}
        for step in range(50)
    ]
    a = np.linspace(-3, 3, 20)
    arrays = {
        "surface_axes": np.stack([a, a]),
        "surface_values": a**2 / condition + a[:, None] ** 2,
        "surface_minima": np.zeros((1, 2)),
        "surface_curvatures": np.array([1 / condition, 1.0]),
    }
    write_run(path, model=f"{{name: surface, function: bowl, condition: {condition}}}", arrays=arrays, events=events)
    with (path / "config.yaml").open("a") as file:
        file.write(f"optimizer: {{name: sgd, lr: {lr}}}\n")
    return path


def surfaces(path: Path) -> Path:
    points: list[dict] = []
    for condition in (1, 4):
        for lr in (0.5, 1.0):
            surface(path / "points" / f"{len(points):03d}", lr, condition)
            points.append({"overrides": {"model.condition": condition, "optimizer.lr": lr}, "metrics": {}})
    return folders.write_sweep(path, points, metrics=[])


def watched_sweep(path: Path, first: dict) -> Path:
    """Each point's gradients shrink by a factor of its own from layer to layer."""
    folder = folders.grid_sweep(path, first, config={"train": {"watch": True}})
    for index, point in enumerate(sorted((folder / "points").iterdir())):
        layers = {}
        for i in range(7):
            layers[f"layers.{i}"] = {"kind": "Linear", "size": 50, "gradient": (1 + index) ** (i - 7.0), "std": 1.0}
            layers[f"layers.{i}.f"] = {"kind": "ReLU", "std": 0.5**i * (index != 1), "dead": 0.0}
        write_run(point, events=[{"event": "watch", "step": 0, "layers": layers}])
    return folder


def scales_with_and_without(path: Path) -> Path:
    scales = np.logspace(-4, 0, 20).round(6).tolist()
    return watched_sweep(path, {"model.batch_norm": [False, True], "model.init.std": scales})


def depths(path: Path) -> Path:
    activations = ["sigmoid", "relu"]
    return watched_sweep(path, {"model.activation": activations, "model.hidden": [[50] * 3, [50] * 5, [50] * 10]})


def watched_words(path: Path) -> Path:
    return watched_sweep(path, {"model.activation": ["sigmoid", "relu", LONG]})


def watched_three_axes(path: Path) -> Path:
    return watched_sweep(path, {"model.activation": ["tanh", "relu"], "seed": [1, 2], "optimizer.lr": [0.1, 1.0]})


def searching(path: Path) -> Path:
    folders.curve_sweep(path, "optimizer", [{"name": "lbfgs"}, {"name": "sgd"}])
    for index in range(2):
        run = path / "points" / f"{index:03d}"
        with (run / "config.yaml").open("a") as file:
            file.write("train: {log_every: 1}\n")
        if index == 0:
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            counted = [each | {"evaluations": 2 * each["step"]} if "loss" in each else each for each in lines]
            (run / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in counted))
    return path


def heat(path: Path) -> Path:
    return folders.grid_sweep(path, {"optimizer.lr": [1e-4, 1e-3, 1e-2, 0.1, 1.0], "model.width": [16, 32, 64]})


def heat_of_words(path: Path) -> Path:
    return folders.grid_sweep(path, {"model.covariance": ["full", "shared"], "model.priors": ["learned", "equal"]})


def heat_that_is_large(path: Path) -> Path:
    return folders.grid_sweep(path, {"optimizer.lr": np.logspace(-5, 0, 19).tolist(), "model.width": list(range(20))})


def categories(path: Path) -> Path:
    return folders.grid_sweep(path, {"model.activation": ["relu", "tanh", {"name": "elu", "alpha": 0.5}]})


def nets_by_cost(path: Path) -> Path:
    models = [{"name": "cnn", "hidden": [8 << i]} for i in range(5)] + [{"name": LONG}, {"name": "lenet"}]
    folder = folders.grid_sweep(path, {"model": models})
    state = json.loads((folder / "sweep.json").read_text())
    for index, point in enumerate(state["points"]):
        point |= {"parameters": 900 << index, "flops": 10**6 * (index + 1)}
    (folder / "sweep.json").write_text(json.dumps(state))
    return folder


def three_axes(path: Path) -> Path:
    first = {"model.activation": ["relu", "tanh"], "optimizer.lr": [1e-3, 1e-2, 0.1], "train.batch_size": [16, 32]}
    return folders.grid_sweep(path, first)


def numeric_curves(path: Path) -> Path:
    return folders.curve_sweep(path, "optimizer.lr", [0.001, 0.003, 0.01, 0.03, 0.1])


def penalties(path: Path) -> Path:
    folder = folders.grid_sweep(path, {"train.l1": [0.0, 1e-4, 1e-3, 1e-2]})
    for index, point in enumerate(sorted((folder / "points").iterdir())):
        shares = np.linspace(0.2 * index, 1, len(WEIGHT_SIZES))
        write_run(point, arrays={"weights_below": shares, **folders.template_arrays(10)}, facts=folders.CIFAR)
    return folder


def averaged(path: Path) -> Path:
    folder = folders.grid_sweep(path, {"train.seed": [0, 1, 2, 3, 4]})
    growing = [{"val.accuracy": 0.9 + 0.01 * k, "test.accuracy": 0.89 + 0.01 * k} for k in range(5)]
    ids = [f"{k:03d}" for k in range(5)]
    state = json.loads((folder / "sweep.json").read_text())
    state["ensembles"] = [{"overrides": {}, "points": ids, "metrics": growing[-1], "growing": growing}]
    (folder / "sweep.json").write_text(json.dumps(state))
    return folder


def zipped(path: Path) -> Path:
    """Whole settings side by side, told apart by the optimizer alone; nothing is measured during training."""
    optimizers = [{"name": "sgd", "lr": 1.0}, {"name": "sgd", "lr": 1.8}, {"name": "sgd", "lr": 2.0}]
    points = []
    for index, (optimizer, condition) in enumerate(zip(optimizers, (1, 10, 10), strict=True)):
        events = [{"event": "train", "step": step, "epoch": step, "loss": 7e-6 / step} for step in range(1, 9)]
        write_run(path / "points" / f"{index:03d}", events=events)
        overrides = {"model.condition": condition, "optimizer": optimizer}
        points.append({"overrides": overrides, "metrics": {"train.loss": 7e-6 * index}})
    select = {"metric": "loss", "split": "val", "higher_is_better": False}
    return folders.write_sweep(path, points, metrics=["loss"], select=select, axis_kind="zip")


def zipped_without_a_name(path: Path) -> Path:
    """Settings that no single value tells apart."""
    overrides = [{"model.depth": d, "model.width": w} for d, w in ((1, 10), (1, 20), (2, 20))]
    points = [{"overrides": each, "metrics": {"val.accuracy": 0.5 + 0.1 * i}} for i, each in enumerate(overrides)]
    select = {"metric": "accuracy", "split": "val", "higher_is_better": True}
    return folders.write_sweep(path, points, metrics=["accuracy"], select=select, axis_kind="zip")


def searched_without_a_pruner(path: Path) -> Path:
    return folders.searched(path, pruner=False)


def two_learning_curves(path: Path) -> Path:
    return folders.learning_sweep(path, (1, 3, 9))


def one_sample_size(path: Path) -> Path:
    return folders.estimator_sweep(path, (10,))


RANKING = ["roc", "precision_recall"]
OF_IMAGES = ["confusion", "class_accuracy", *RANKING, "calibration"]
EXPLAINED = ["filters", "activation_maps", "attributions", "class_visualization", "feature_neighbors", "embedding"]
EXPLAINED += ["receptive_field", "randomization"]

EXPECTED: dict[Callable[[Path], Path], list[str]] = {
    rent: ["fit", "residuals"],
    rent_with_sigma: ["fit", "residuals"],
    sum_of_units: ["fit", "pieces", "residuals"],
    extrapolation: ["fit", "residuals"],
    several_features: ["predicted", "residuals"],
    several_targets: ["predicted", "residuals"],
    series: ["forecast", "predicted", "residuals"],
    one_series: ["forecast", "predicted", "residuals"],
    gaussians: ["decision_regions", "confusion", *RANKING],
    net: ["decision_regions", "confusion", *RANKING, "loss", "metrics", "learning_rate"],
    twenty_classes: ["confusion", "class_accuracy", *RANKING],
    images: ["confusion", "class_accuracy", *RANKING, "calibration", "templates", "mistakes"],
    gray_images_of_few_classes: ["confusion", *RANKING, "templates", "mistakes"],
    neighbors: ["confusion", "class_accuracy", *RANKING, "calibration", "neighbors", "mistakes"],
    augmented: ["confusion", "class_accuracy", *RANKING, "calibration", "mistakes", "augmented"],
    images_that_do_not_fit: ["confusion", "class_accuracy", *RANKING, "calibration"],
    no_mistakes: ["confusion", "class_accuracy", *RANKING, "calibration"],
    diverged: ["loss"],
    diverged_step_by_step: ["divergence"],
    range_test: ["range_test", "loss", "metrics", "learning_rate"],
    surface: ["path"],
    landscape: ["landscape"],
    two_players: ["players", "metrics"],
    generative: ["reconstructions", "samples", "samples_by_step", "latent_codes", "latent_plane"],
    generated_points: ["samples", "samples_by_step"],
    diffused_points: ["noising", "denoising", "denoising_paths"],
    diffused_images: ["noising", "denoising", "judged_samples", "judged_steps"],
    attacked: [*OF_IMAGES, "mistakes", "attack_accuracy", "attacked_images"],
    attacked_nets: ["categories", "robustness", "curves"],
    explained: EXPLAINED,
    attention_of_heads: ["attention"],
    attention_of_answers: ["attention"],
    explained_in_part: EXPLAINED,
    explained_otherwise: [],
    surfaces: ["paths", "convergence"],
    watched: ["layers", "activations"],
    through_time: ["through_time", "layers"],
    through_time_by_net: ["categories", "gradients_through_time"],
    scales_with_and_without: ["heat_map", "families", "layers_at_start"],
    depths: ["heat_map", "layers_at_start"],
    watched_words: ["categories", "layers_at_start"],
    watched_three_axes: ["heat_map", "layers_at_start"],
    searching: ["evaluations", "categories", "curves"],
    folders.degree_sweep: ["error_curve", "fits"],
    folders.fold_sweep: ["error_curve"],
    folders.learning_sweep: ["learning_curve"],
    two_learning_curves: ["learning_curve"],
    heat: ["heat_map", "families"],
    heat_of_words: ["heat_map"],
    heat_that_is_large: ["heat_map"],
    categories: ["categories"],
    nets_by_cost: ["costs", "categories"],
    three_axes: ["effects"],
    penalties: ["error_curve", "sparsity", "weights"],
    averaged: ["ensemble"],
    zipped: ["categories", "curves"],
    zipped_without_a_name: ["heat_map"],
    folders.random_sweep: ["effects"],
    folders.searched: ["search_history", "importance", "effects"],
    searched_without_a_pruner: ["search_history", "effects"],
    folders.curve_sweep: ["categories", "curves"],
    numeric_curves: ["error_curve", "curves"],
    folders.resample_sweep: ["error_curve", "bias_variance", "resampled_fits"],
    folders.estimator_sweep: ["estimators"],
    one_sample_size: ["estimators"],
}


def fitting(folder: Path) -> Iterator[tuple[Plot, object]]:
    view = open_view(folder)
    yield from ((plot, view) for plot in plots() if plot.kind == view.kind and plot.applies(view))


@pytest.mark.parametrize("make", EXPECTED, ids=lambda make: make.__name__)
def test_images_fit_and_can_be_read(make: Callable[[Path], Path], tmp_path: Path) -> None:
    drawn = []
    for plot, view in fitting(make(tmp_path / "folder")):
        with styled():
            figure, caption = plot.draw(view)
            check(figure)
        assert figure.get_label()[0].isupper() or not figure.get_label()[0].isalpha(), figure.get_label()
        assert caption.endswith(".") and "nan" not in figure.get_label()
        drawn.append(plot.name)
    assert drawn == EXPECTED[make]


def check(figure: Figure) -> None:
    """Everything lies within the figure, legends lie beside the axes' data and the title, tick labels apart."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    title = figure._suptitle.get_window_extent(renderer)
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + figure.legends
    boxes = {"title": title} | {f"legend {i}": legend.get_window_extent(renderer) for i, legend in enumerate(legends)}
    for name, box in boxes.items():
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, name
        assert name == "title" or not overlap(box, title), f"{name} lies over the title"
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        words = [text for text in axes.texts if text.get_text() and text.get_transform() == axes.transData]
        for one, other in combinations([text.get_window_extent(renderer) for text in words], 2):
            assert not overlap(one, other), "words in the axes run into each other"
        assert not overlap(axes.get_tightbbox(renderer), title), "the axes reach into the title"
        titles = [text for text in (axes.title, axes._left_title, axes._right_title) if text.get_text()]
        extents = [text.get_window_extent(renderer) for text in titles]
        assert not any(overlap(one, other) for one, other in combinations(extents, 2)), "a panel's titles overlap"
        for label in (axes.xaxis.label, axes.yaxis.label):
            box = label.get_window_extent(renderer)
            assert box.width <= figure.bbox.width and box.height <= figure.bbox.height, "an axis label is cut off"
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]
            seen = [label.get_window_extent(renderer) for label in labels if not label.get_rotation()]
            for one, other in zip(seen[:-1], seen[1:], strict=True):
                assert not overlap(one, other), "tick labels run into each other"


def overlap(one, other) -> bool:
    """Whether two boxes share more than a pixel."""
    return min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1


def test_every_plot_is_drawn_by_some_case() -> None:
    assert {name for names in EXPECTED.values() for name in names} == {plot.name for plot in plots()}


def test_names_are_unique_so_that_no_plot_removes_another() -> None:
    names = [plot.name for plot in plots()]
    assert len(set(names)) == len(names) >= 19


def test_a_bias_below_its_standard_error_is_marked_and_not_drawn(tmp_path: Path) -> None:
    folder = folders.resample_sweep(tmp_path, degrees=range(1, 7), fits=20)
    state = json.loads((folder / "sweep.json").read_text())
    for record in state["resample"]["points"][2:]:
        record |= {"bias2": record["bias2"] / 10, "bias2_se": record["bias2"]}
    (folder / "sweep.json").write_text(json.dumps(state))
    (plot,) = (each for each in plots() if each.name == "bias_variance")
    figure, caption = plot.draw(open_view(folder))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert np.isfinite(lines["bias²"].get_ydata()).tolist() == [True, True] + [False] * 4
    assert lines["bias² ≈ 0"].get_xdata().tolist() == [3, 4, 5, 6] and "below its standard error" in caption
    assert np.isfinite(lines["variance"].get_ydata()).all()


def test_a_panel_whose_points_all_failed_is_left_out(tmp_path: Path) -> None:
    state = json.loads((folders.learning_sweep(tmp_path, (1, 3, 9)) / "sweep.json").read_text())
    for point in state["points"][:6]:
        point |= {"status": "failed", "error": "no memory", "metrics": {}}
    (tmp_path / "sweep.json").write_text(json.dumps(state))
    (plot,) = (each for each in plots() if each.name == "learning_curve")
    figure, _ = plot.draw(open_view(tmp_path))
    assert [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes if axes.get_visible()] == [
        "degree 3",
        "degree 9",
    ]


def titles(folder: Path) -> dict[str, str]:
    found = {}
    for plot, view in fitting(folder):
        with styled():
            found[plot.name] = plot.draw(view)[0].get_label()
    return found


def test_a_title_says_what_matters(tmp_path: Path) -> None:
    def run(name: str, train: float, val: float, **result) -> Path:
        events = [
            {"event": kind, "step": step, "epoch": step, "loss": 2 / step, "metrics": metrics}
            for step in (1, 2, 3, 4)
            for kind, metrics in (
                ("train", {}),
                ("eval", {"train": {"accuracy": train * step / 4}, "val": {"accuracy": val * step / 4}}),
            )
        ]
        return write_run(tmp_path / name, events=events, **result)

    def advice(rule: str) -> list[dict]:
        return [{"rule": rule, "text": "It is so (lecture 2)."}]

    good = titles(run("good", 0.95, 0.93))
    assert good["metrics"] == "Validation accuracy reaches 0.93 (training 0.95) at epoch 4"
    assert good["loss"] == "Training loss falls from 2 to 0.5"
    over = titles(run("over", 1.0, 0.34, advice=advice("overfitting")))
    assert over["metrics"] == "Overfitting: training accuracy 1, validation 0.34"
    assert over["loss"] == "Training loss falls from 2 to 0.5; validation does not follow"
    nothing = titles(run("nothing", 0.1, 0.1, advice=advice("learns_nothing")))
    assert nothing["metrics"] == "Nothing was learned: training accuracy 0.1, validation 0.1"
    long = titles(run("long", 0.3, 0.3, advice=advice("rate_too_high")))
    assert long["loss"] == "Steps are too long: training loss from 2 down to 0.5, at the end 0.5"
    bad = titles(run("bad", 0.3, 0.2, status="diverged"))
    assert bad["metrics"] == "Validation accuracy was best, 0.2, at epoch 4; then training diverges"


def test_a_confusion_matrix_of_one_answer_says_so(tmp_path: Path) -> None:
    y = np.arange(30) % 3
    always = write_run(
        tmp_path, arrays={"test_y": y, "test_output": np.tile([0.0, 2.0, 1.0], (30, 1))}, facts=CLASSIFICATION
    )
    assert titles(always)["confusion"].startswith("Every one of 30 test samples is called ")


def test_a_zip_is_told_apart_and_nothing_is_drawn_that_was_not_measured(tmp_path: Path) -> None:
    view = open_view(zipped(tmp_path / "sweep"))
    assert [axis.path for axis in view.axes] == ["optimizer"]
    drawn = {plot.name: plot.draw(view)[0] for plot, _ in fitting(tmp_path / "sweep")}
    assert drawn["categories"]._suptitle.get_text() == "Loss by optimizer"  # a short title is one too
    assert len(drawn["curves"].axes) == 1


def test_a_setting_that_diverges_flattens_no_other_and_is_named(tmp_path: Path) -> None:
    folder = numeric_curves(tmp_path / "curves")
    losses = [2.0, 1.0, 1e20, 1e80]
    events = [{"event": "train", "step": step, "epoch": step, "loss": loss} for step, loss in enumerate(losses, 1)]
    write_run(folder / "points" / "004", events=events)
    (figure,) = (plot.draw(view)[0] for plot, view in fitting(folder) if plot.name == "curves")
    assert figure.axes[0].get_ylim()[1] < 1e4 and "up to 1e80" in figure.axes[0].texts[0].get_text()

    folder = surfaces(tmp_path / "surfaces")
    state = json.loads((folder / "sweep.json").read_text())
    state["points"][1]["status"] = "diverged"
    (folder / "sweep.json").write_text(json.dumps(state))
    (caption,) = (plot.draw(view)[1] for plot, view in fitting(folder) if plot.name == "paths")
    assert caption.endswith("as training diverged: condition 1, learning rate 1.")


def test_penalties_stand_apart_from_none(tmp_path: Path) -> None:
    drawn = {plot.name: plot.draw(view)[0] for plot, view in fitting(penalties(tmp_path))}
    axes = drawn["error_curve"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10⁻⁴", "10⁻³", "10⁻²"]
    places = axes.transData.transform([(x, 0) for x in (0, 1e-4, 1e-3, 1e-2)])[:, 0]
    assert np.diff(places).min() > 0.8 * np.diff(places).max()


def test_weights_under_penalties_have_one_scale(tmp_path: Path) -> None:
    folder = penalties(tmp_path)
    for index, scale in enumerate((0.4, 0.2, 0.1, 0.0)):
        arrays = {"templates": np.ones((10, 4, 4, 1)), "template_scales": np.full(10, scale)}
        write_run(folder / "points" / f"{index:03d}", arrays=arrays, facts=folders.CIFAR)
    (figure,) = (plot.draw(view)[0] for plot, view in fitting(folder) if plot.name == "weights")
    shown = [int(image.get_array().max()) for image in figure.axes[0].get_images()[::10]]
    assert shown == [255, 191, 159, 128]


def test_rates_down_a_bowl_are_those_of_theory(tmp_path: Path) -> None:
    figure, _ = Convergence().draw(open_view(surfaces(tmp_path / "sweep")))
    rates = dict(line.split(": ") for line in (each.get_text() for each in figure.axes[0].get_legend().get_texts()))
    assert rates == {
        "condition 1, learning rate 0.5": "0.5, theory 0.5",
        "condition 1, learning rate 1": "0, theory 0",
        "condition 4, learning rate 0.5": "0.875, theory 0.875",
        "condition 4, learning rate 1": "0.75, theory 0.75",
    }


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({"lr": 2 / 1.1}, 9 / 11),
        ({"lr": 4 / (1 + 0.1**0.5) ** 2, "momentum": (1 - 2 / (10**0.5 + 1)) ** 2}, 1 - 2 / (10**0.5 + 1)),
        ({"lr": 0.5, "momentum": 0.5, "nesterov": True}, max(np.abs(np.roots([1, -1.425, 0.475])))),
        ({"lr": 1.0, "weight_decay": 0.1}, None),
        ({"name": "adam"}, None),
    ],
)
def test_theory_of_gradient_descent(settings: dict, rate: float | None) -> None:
    found = theory({"name": "sgd", **settings}, np.array([0.1, 1.0]))
    assert found == (None if rate is None else pytest.approx(rate, abs=1e-6))


def test_a_legend_tells_components_apart_by_what_differs() -> None:
    plain, heavy, other = {"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.1, "momentum": 0.9}, {"name": "adam"}
    axis = Axis("optimizer", (plain, heavy, other | {"lr": 1e-3}, 3))
    assert [axis.brief(each) for each in axis.values] == ["sgd", "sgd(momentum=0.9)", "adam", "3"]
