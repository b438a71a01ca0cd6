"""Folders of runs and sweeps written by hand, as the trainer and the sweeps leave them."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = """# Polynomials on noisy cubic data.   (lecture 2)
# dlcourse run polynomial.yaml
name: {name}
seed: 0
data: {{name: polynomial_curve, samples: 200}}
model: {model}
loss: {{name: half_sse}}
"""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def write_run(
    path: Path,
    *,
    name: str = "polynomial",
    status: str = "done",
    model: str = "{name: polynomial, degree: 3}",
    arrays: Mapping[str, np.ndarray] | None = None,
    facts: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    **result: Any,
) -> Path:
    """A run folder with what is given; ``result`` goes into ``result.json`` over a done run's values."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.yaml").write_text(CONFIG.format(name=name, model=model), encoding="utf-8")
    (path / "environment.json").write_text(json.dumps({"python": "3.11", "packages": {"numpy": "2.0"}}))
    record = {
        "status": status,
        "name": name,
        "error": None,
        "step": 1,
        "epoch": 1,
        "seconds": 0.25,
        "parameters": 4,
        "metrics": {},
        "estimates": {},
        "best": None,
        "config_overrides": {},
    }
    (path / "result.json").write_text(json.dumps({**record, **result}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    if arrays is not None:
        np.savez(path / "predictions.npz", facts=json.dumps(dict(facts or {})), **arrays)
    return path


def cubic(x: np.ndarray) -> np.ndarray:
    return x - 2 * x**2 + x**3


def regression_arrays(
    degree: int = 3, *, beyond: bool = False, samples: int = 60, gaussian: bool = False
) -> dict[str, np.ndarray]:
    """A polynomial fitted to noisy cubic data; ``beyond`` puts the test inputs outside the training inputs."""
    draw = rng(1)
    sizes = {"train": samples, "val": max(samples // 3, 2), "test": max(samples // 3, 2)}
    arrays: dict[str, np.ndarray] = {}
    parts = {}
    for split, size in sizes.items():
        low, high = (1.0, 2.0) if beyond and split == "test" else (0.0, 1.0)
        x = draw.uniform(low, high, (size, 1))
        parts[split] = (x, cubic(x) + 0.03 * draw.standard_normal((size, 1)))
    fit = np.polynomial.Polynomial.fit(parts["train"][0].ravel(), parts["train"][1].ravel(), degree)
    sigma = np.log(np.std(parts["train"][1] - fit(parts["train"][0])))

    def output(x: np.ndarray) -> np.ndarray:
        return np.hstack([fit(x), np.full_like(x, sigma)]) if gaussian else fit(x)

    for split, (x, y) in parts.items():
        arrays |= {f"{split}_x": x, f"{split}_y": y, f"{split}_output": output(x)}
    curve = np.linspace(-0.1, 2.1 if beyond else 1.1, 400)[:, None]
    return arrays | {"curve_x": curve, "curve_output": output(curve), "curve_true": cubic(curve)}


REGRESSION = {
    "task": "regression",
    "feature_names": ["x"],
    "feature_units": [""],
    "target_name": "y",
    "target_unit": "",
    "class_names": [],
    "model": "polynomial",
    "loss": "half_sse",
    "metrics": ["half_sse", "mse", "r2"],
}
RENT = {
    **REGRESSION,
    "feature_names": ["floor area"],
    "feature_units": ["square feet"],
    "target_name": "monthly rent",
    "target_unit": "dollars",
}


def rent_arrays(*, gaussian: bool = False) -> dict[str, np.ndarray]:
    """A line through rents."""
    draw = rng(2)
    arrays: dict[str, np.ndarray] = {}
    for split, size in {"train": 60, "val": 20, "test": 20}.items():
        x = draw.uniform(500, 1400, (size, 1))
        y = 4.0 * x - 200 + 250 * draw.standard_normal((size, 1))
        output = np.hstack([4.02 * x - 215, np.full_like(x, np.log(262.0))]) if gaussian else 4.02 * x - 215
        arrays |= {f"{split}_x": x, f"{split}_y": y, f"{split}_output": output}
    curve = np.linspace(410, 1490, 400)[:, None]
    fitted = 4.02 * curve - 215
    arrays |= {"curve_x": curve, "curve_output": np.hstack([fitted, np.full_like(curve, np.log(262.0))])}
    if not gaussian:
        arrays["curve_output"] = fitted
    return arrays


MEANS = np.array([[0.0, 0.0], [3.0, 1.0], [0.5, 3.5]])
COVARIANCES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 1.0]], [[1.2, 0.0], [0.0, 0.4]]])


def log_densities(x: np.ndarray) -> np.ndarray:
    """(..., 2) -> (..., 3)"""
    away = x[..., None, :] - MEANS
    distance = np.einsum("...ci,cij,...cj->...c", away, np.linalg.inv(COVARIANCES), away)
    return -0.5 * distance - 0.5 * np.linalg.slogdet(COVARIANCES)[1]


def gaussian_arrays(samples: int = 150) -> dict[str, np.ndarray]:
    """Three classes in the plane with the ellipses of a fitted Gaussian classifier."""
    draw = rng(3)
    arrays: dict[str, np.ndarray] = {}
    for split, size in {"train": samples, "val": samples // 3, "test": samples // 3}.items():
        y = draw.integers(3, size=size)
        root = np.linalg.cholesky(COVARIANCES)[y]
        x = MEANS[y] + np.einsum("nij,nj->ni", root, draw.standard_normal((size, 2)))
        arrays |= {f"{split}_x": x, f"{split}_y": y, f"{split}_output": log_densities(x)}
    grid = np.stack(np.meshgrid(np.linspace(-4, 6, 150), np.linspace(-3, 7, 150)), axis=-1)
    arrays |= {"grid_x": grid, "grid_output": log_densities(grid)}
    return arrays | {"gaussian_means": MEANS, "gaussian_covariances": COVARIANCES}


CLASSIFICATION = {
    "task": "classification",
    "feature_names": ["x1", "x2"],
    "feature_units": ["", ""],
    "target_name": "class",
    "target_unit": "",
    "class_names": ["red", "green", "blue"],
    "model": "gaussian_classifier",
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
}


CIFAR = {
    **CLASSIFICATION,
    "feature_names": [],
    "feature_units": [],
    "class_names": "airplane automobile bird cat deer dog frog horse ship truck".split(),
    "confidence": "probability",
}


def image_arrays(channels: int = 3, mistakes: int = 40, classes: int = 10) -> dict[str, np.ndarray]:
    """A classifier's outputs on images, and the images it is surest of, and wrong."""
    draw = rng(9)
    y = draw.integers(classes, size=400)
    wrong = draw.integers(classes, size=(2, mistakes))
    return {
        "test_y": y,
        "test_output": draw.standard_normal((400, classes)) + 1.5 * np.eye(classes)[y],
        "mistakes": draw.integers(0, 256, (mistakes, 32, 32, channels)).astype(np.uint8),
        "mistakes_true": wrong[0],
        "mistakes_predicted": wrong[1],
        "mistakes_confidence": np.sort(draw.uniform(0, 1, mistakes))[::-1],
    }


def template_arrays(count: int, channels: int = 3) -> dict[str, np.ndarray]:
    images = rng(10).uniform(0, 1, (count, 28, 28, channels)).astype(np.float32)
    return {"templates": images, "template_scales": np.full(count, 0.2)}


def augmented_arrays(count: int = 12, mixed: bool = True) -> dict[str, np.ndarray]:
    draw = rng(12)
    before, after = draw.integers(0, 256, (2, count, 32, 32, 3)).astype(np.uint8)
    shares = 0.7 * np.eye(10)[draw.integers(10, size=count)]
    shares += 0.3 * np.roll(shares, 1, axis=0) / 0.7
    found = {"augmented_from": before, "augmented": after}
    return found | ({"augmented_shares": shares.astype(np.float32)} if mixed else {})


def neighbor_arrays(queries: int = 10, similar: int = 10) -> dict[str, np.ndarray]:
    """The nearest training images of some others."""
    draw = rng(11)
    true = np.arange(queries)
    return {
        "queries": draw.integers(0, 256, (queries, 32, 32, 3)).astype(np.uint8),
        "queries_true": true,
        "queries_predicted": np.where(draw.uniform(size=queries) < 0.5, true, draw.integers(queries, size=queries)),
        "similar": draw.integers(0, 256, (queries, similar, 32, 32, 3)).astype(np.uint8),
        "similar_true": draw.integers(queries, size=(queries, similar)),
    }


def training_events(epochs: int = 20, per_epoch: int = 30, *, lr: Callable[[float], float] | None = None) -> list[dict]:
    """A net that learns, then overfits."""
    draw = rng(4)
    events: list[dict] = []
    for step in range(1, epochs * per_epoch + 1):
        done = step / (epochs * per_epoch)
        place = {"step": step, "epoch": step / per_epoch, "samples": 32 * step, "seconds": 0.01 * step}
        loss = 2.0 * np.exp(-5 * done) + 0.05 + 0.1 * abs(draw.standard_normal()) * np.exp(-2 * done)
        rate = lr(done) if lr else 0.01
        events.append({"event": "train", **place, "loss": float(loss), "lr": rate})
        if step % per_epoch == 0:
            fit = float(np.exp(-5 * done))
            train = {"accuracy": 1 - 0.6 * fit, "cross_entropy": 0.02 + 1.5 * fit}
            val = {"accuracy": 0.93 - 0.55 * fit - 0.03 * done, "cross_entropy": 0.2 + 1.3 * fit + 0.25 * done**2}
            events.append({"event": "eval", **place, "metrics": {"train": train, "val": val}})
    return [*events, copy.deepcopy({**events[-1], "event": "final"})]


def write_sweep(path: Path, points: Sequence[Mapping[str, Any]], **state: Any) -> Path:
    """A sweep folder; ``points`` need ``overrides`` and ``metrics`` only. ``best`` is chosen by validation mse."""
    path.mkdir(parents=True, exist_ok=True)
    full = []
    for index, point in enumerate(points):
        identity = f"{index:03d}"
        defaults = {"id": identity, "folder": f"points/{identity}", "status": "done", "parameters": 3, "seconds": 0.1}
        full.append({**defaults, "error": None, **point})
        (path / full[-1]["folder"]).mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(key for point in full for key in point["overrides"]))
    kind = state.pop("axis_kind", "grid")
    values = {key: list(dict.fromkeys(str(point["overrides"].get(key)) for point in full)) for key in paths}
    record = {
        "kind": "sweep",
        "name": "polynomial-overfitting",
        "status": "done",
        "config": {"name": "polynomial-overfitting", "model": {"name": "polynomial"}},
        "axes": [{"kind": kind, "path": key, "label": key, "values": values[key]} for key in paths],
        "metrics": ["half_sse", "mse"],
        "select": {"metric": "mse", "split": "val", "higher_is_better": False},
        "points": full,
        "groups": [],
        "best": None,
        "one_standard_error": None,
        "resample": None,
    }
    (path / "sweep.json").write_text(json.dumps({**record, **state}))
    return path


def choice(overrides: Mapping[str, Any], value: float = 0.0, se: float | None = None) -> dict[str, Any]:
    """A record as ``best`` and ``one_standard_error`` are."""
    return {"overrides": dict(overrides), "points": [], "metric": "mse", "split": "val", "value": value, "se": se}


def degree_sweep(path: Path, degrees: Sequence[int] = range(1, 10), *, runs: bool = True) -> Path:
    """Error against degree, with the runs' folders."""
    points = []
    for index, degree in enumerate(degrees):
        arrays = regression_arrays(degree, beyond=True, samples=24)
        metrics = {}
        for split in ("train", "val", "test"):
            error = arrays[f"{split}_y"] - arrays[f"{split}_output"]
            metrics[f"{split}.mse"] = float(np.mean(error**2))
            metrics[f"{split}.half_sse"] = float(np.sum(error**2) / 2)
        points.append({"overrides": {"model.degree": degree}, "metrics": metrics})
        if runs:
            model = f"{{name: polynomial, degree: {degree}}}"
            write_run(path / "points" / f"{index:03d}", model=model, arrays=arrays, facts=REGRESSION)
    best = min(points, key=lambda point: point["metrics"]["val.mse"])
    return write_sweep(path, points, best=choice(best["overrides"], best["metrics"]["val.mse"]))


def fold_sweep(path: Path) -> Path:
    """Cross-validation over a penalty: five folds each, with means, standard errors and both choices."""
    draw = rng(5)
    penalties = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]
    points, groups = [], []
    for penalty in penalties:
        level = 1.0e-3 + 2e-4 * (np.log10(penalty) + 3.2) ** 2
        own = []
        for fold in range(5):
            error = float(level * (1 + 0.2 * draw.standard_normal()))
            metrics = {"train.mse": 0.7 * level, "val.mse": error, "val.r2": 1 - 100 * error}
            overrides = {"optimizer.ridge": penalty, "data.kfold": {"folds": 5, "fold": fold}}
            own.append({"overrides": overrides, "metrics": metrics})
        points += own
        identities = [f"{len(points) - 5 + fold:03d}" for fold in range(5)]
        columns = {key: [point["metrics"][key] for point in own] for key in own[0]["metrics"]}
        groups.append(
            {
                "overrides": {"optimizer.ridge": penalty},
                "points": identities,
                "complete": True,
                "parameters": 10,
                "mean": {key: float(np.mean(values)) for key, values in columns.items()},
                "se": {key: float(np.std(values, ddof=1) / np.sqrt(5)) for key, values in columns.items()},
                "n": dict.fromkeys(columns, 5),
            }
        )
    best = min(groups, key=lambda group: group["mean"]["val.mse"])
    limit = best["mean"]["val.mse"] + best["se"]["val.mse"]
    simplest = [group for group in groups if group["mean"]["val.mse"] <= limit][-1]
    return write_sweep(
        path,
        points,
        groups=groups,
        metrics=["mse", "r2"],
        best=choice(best["overrides"], best["mean"]["val.mse"], best["se"]["val.mse"]),
        one_standard_error=choice(simplest["overrides"], simplest["mean"]["val.mse"], simplest["se"]["val.mse"]),
    )


def learning_sweep(path: Path, degrees: Sequence[int] = (9,)) -> Path:
    """Error against training samples, for one or more degrees."""
    points = []
    for degree in degrees:
        for samples in (12, 20, 50, 120, 350, 600):
            gap = 0.009 * (degree + 1) / samples * 10
            bias = 0.002 if degree < 3 else 0
            overrides = {"data.limit.train": samples} | ({"model.degree": degree} if len(degrees) > 1 else {})
            metrics = {"train.mse": 0.0009 * (1 - min(gap, 0.9)) + bias, "val.mse": 0.0009 + bias + gap / 10}
            points.append({"overrides": overrides, "metrics": {**metrics, "test.mse": 1.1 * metrics["val.mse"]}})
    return write_sweep(path, points, best=choice(points[-1]["overrides"], points[-1]["metrics"]["val.mse"]))


def grid_sweep(path: Path, first: Mapping[str, Sequence[Any]], **state: Any) -> Path:
    """Accuracy over the product of any axes, best in the middle of each."""
    combinations: list[dict[str, Any]] = [{}]
    for key, values in first.items():
        combinations = [{**done, key: value} for done in combinations for value in values]
    points = []
    for overrides in combinations:
        off = sum(
            abs(list(first[key]).index(value) - len(first[key]) / 2) / len(first[key])
            for key, value in overrides.items()
        )
        accuracy = 0.95 - 0.5 * off / len(first)
        points.append(
            {"overrides": overrides, "metrics": {"train.accuracy": accuracy + 0.03, "val.accuracy": accuracy}}
        )
    best = max(points, key=lambda point: point["metrics"]["val.accuracy"])
    select = {"metric": "accuracy", "split": "val", "higher_is_better": True}
    chosen = choice(best["overrides"], best["metrics"]["val.accuracy"])
    return write_sweep(path, points, metrics=["accuracy"], select=select, **{"best": chosen, **state})


def random_sweep(path: Path, samples: int = 40) -> Path:
    """Random search over a rate, a width and an optimizer."""
    draw = rng(6)
    points = []
    for _ in range(samples):
        rate, width = float(f"{10 ** draw.uniform(-4, 0):.3g}"), int(draw.integers(8, 256))
        name = str(draw.choice(["sgd", "adam", "rmsprop"]))
        accuracy = 0.9 - 0.08 * (np.log10(rate) + 2) ** 2 + 0.03 * draw.standard_normal()
        overrides = {"optimizer.lr": rate, "model.width": width, "optimizer.name": name}
        points.append({"overrides": overrides, "metrics": {"val.accuracy": float(accuracy)}})
    best = max(points, key=lambda point: point["metrics"]["val.accuracy"])
    select = {"metric": "accuracy", "split": "val", "higher_is_better": True}
    return write_sweep(
        path, points, metrics=["accuracy"], select=select, best=choice(best["overrides"]), axis_kind="random"
    )


def searched(path: Path, pruner: bool = True) -> Path:
    """A search over the same, of which a pruner ends each third trial early and one trial diverges."""
    random_sweep(path)
    state = json.loads((path / "sweep.json").read_text())
    trials: list[dict[str, Any]] = []
    for number, point in enumerate(state["points"]):
        ends = pruner and number % 3 == 2
        point["status"] = "pruned" if ends else "done"
        value = point["metrics"]["val.accuracy"]
        reports = [[10 * k, value * k / 5, ends and k == 2] for k in range(1, 3 if ends else 6)] if pruner else []
        trials.append({"params": {}, "after": number, "reports": reports})
    state["points"][4] |= {"status": "diverged", "metrics": {}}
    shares = {"optimizer.lr": 0.7, "model.width": 0.2, "optimizer.name": 0.1} if pruner else {}
    state["search"] = {"trials": trials, "told": list(range(len(trials))), "importance": shares}
    (path / "sweep.json").write_text(json.dumps(state))
    return path


def curve_sweep(path: Path, axis: str = "optimizer.name", values: Sequence[Any] = ("sgd", "adam", "rmsprop")) -> Path:
    """Runs with histories of their own."""
    points = []
    for index, value in enumerate(values):
        events = training_events()
        for event in events:
            if event["event"] == "train":
                event["loss"] *= 1 + 0.4 * index
            else:
                event["metrics"]["val"]["accuracy"] -= 0.03 * index
        accuracy = events[-1]["metrics"]["val"]["accuracy"]
        write_run(path / "points" / f"{index:03d}", name="net", events=events)
        points.append({"overrides": {axis: value}, "metrics": {"val.accuracy": accuracy, "train.accuracy": 0.99}})
    select = {"metric": "accuracy", "split": "val", "higher_is_better": True}
    return write_sweep(path, points, metrics=["accuracy"], select=select, best=choice(points[0]["overrides"]))


def resample_sweep(path: Path, degrees: Sequence[int] = range(1, 10), fits: int = 100) -> Path:
    """Bias and variance of polynomials over training sets drawn anew."""
    draw = rng(7)
    x = np.linspace(0, 1, 80)
    curve = cubic(x)
    points, records, arrays = [], [], {"x": x[:, None]}
    for index, degree in enumerate(degrees):
        outputs = []
        for _ in range(fits):
            inputs = draw.uniform(0, 1, 20)
            noisy = cubic(inputs) + 0.03 * draw.standard_normal(20)
            outputs.append(np.polynomial.Polynomial.fit(inputs, noisy, degree, domain=[0, 1])(x))
        stack = np.array(outputs)
        bias2, variance = float(np.mean((stack.mean(axis=0) - curve) ** 2)), float(np.mean(stack.var(axis=0)))
        total = bias2 + variance + 0.0009
        record = {"bias2": bias2, "bias2_se": variance / fits, "variance": variance, "noise": 0.0009}
        record |= {"expected": total, "mse": 1.02 * total}
        records.append({"id": f"{index:03d}", "fits": fits, **record})
        arrays |= {f"{index:03d}.outputs": stack[..., None], f"{index:03d}.curve": curve[:, None]}
        points.append({"overrides": {"model.degree": degree}, "metrics": {"train.mse": 0.0009 / degree}})
    write_sweep(path, points, resample={"task": "regression", "resamples": fits, "points": records})
    np.savez(path / "resample.npz", **arrays)
    return path


def estimator_sweep(path: Path, sizes: Sequence[int] = (5, 10, 20, 40, 80)) -> Path:
    """Sample mean and two sample variances over many samples, against their formulas."""
    draw = rng(8)
    sigma2 = 4.0
    points, records = [], []
    for index, m in enumerate(sizes):
        theory = {
            "sample_mean": (3.0, 0.0, sigma2 / m),
            "variance_biased": (sigma2, -sigma2 / m, 2 * sigma2**2 * (m - 1) / m**2),
            "variance_unbiased": (sigma2, 0.0, 2 * sigma2**2 / (m - 1)),
        }
        estimates = {}
        for name, (truth, bias, variance) in theory.items():
            seen = float(variance * (1 + 0.03 * draw.standard_normal()))
            off = float(bias + 0.02 * draw.standard_normal())
            formula = {"bias": bias, "variance": variance, "mse": variance + bias**2}
            estimates[name] = {"truth": truth, "bias": off, "variance": seen, "mse": seen + off**2, "theory": formula}
        records.append({"id": f"{index:03d}", "estimates": estimates})
        points.append({"overrides": {"data.samples": m} if len(sizes) > 1 else {}, "metrics": {}})
    resample = {"task": "estimation", "resamples": 2000, "points": records}
    return write_sweep(path, points, name="estimators", metrics=[], resample=resample)


def write_explanations(
    path: Path,
    count: int,
    *,
    layers: int,
    channels: int,
    label: str,
    methods: Sequence[str] = ("saliency", "smooth_grad", "integrated_gradients", "grad_cam", "occlusion"),
    filters: tuple[int, ...] = (12, 5, 5, 3),
) -> None:
    """The files of ``explain/`` of so many images and layers."""
    draw = rng(5)
    images = draw.integers(0, 256, (count, 12, 10, channels)).astype(np.uint8)
    names = [[f"blocks.{i}.activation", "6 x 5 x 16"] for i in range(layers)]
    says = [[label, "true: dog", "for: cat"]] * count
    maps = {f"map_{method}": draw.normal(size=(count, 12, 10)) for method in methods}
    steps = {f"map_{method}": draw.normal(size=(1 + layers, 12, 10)) for method in methods}
    alike = {f"alike_{method}": np.linspace(1, 0.9 / len(method), 1 + layers) for method in methods}
    similar = draw.integers(0, 256, (count, 4, 12, 10, channels)).astype(np.uint8)
    activations = {"images": images}
    for i in range(layers):
        activations |= {f"maps_{i}": draw.normal(size=(count, 6 - i, 5, 4 + i)), f"channels_{i}": np.arange(4 + i)}
    neighbors = {"images": images, "similar": similar, "true": np.arange(count) % 3}
    neighbors["similar_true"] = draw.integers(0, 3, (count, 4))
    points = {"labels": draw.integers(0, 3, 90), "pca": draw.normal(size=(90, 2)), "variance": np.array([0.6, 0.1])}
    points |= {"tsne": draw.normal(size=(90, 2))} if layers > 1 else {}
    bounds = np.array([[(4 - i, 9 + i), (-i, 5 + i)] for i in range(layers)])
    field = {"images": images[:1], "bounds": bounds, "used": draw.random((12, 10))}
    files: dict[str, tuple[dict, dict]] = {
        "filters": ({"filters": draw.normal(size=filters)}, {"layer": "blocks.0"}),
        "activation_maps": (activations, {"images": says, "maps": names}),
        "attributions": ({"images": images, **maps}, {"images": says, "maps": [[each] for each in methods]}),
        "class_visualization": ({"images": images}, {"images": says}),
        "feature_neighbors": (neighbors, {"images": says}),
        "embedding": (points, {}),
        "receptive_field": (field, {"maps": names}),
        "randomization": ({"images": images[:1], **steps, **alike}, {"layers": [each[:1] for each in names]}),
    }
    (path / "explain").mkdir()
    for name, (arrays, facts) in files.items():
        np.savez(path / "explain" / f"{name}.npz", facts=json.dumps(facts), **arrays)
