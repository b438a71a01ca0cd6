"""Closed forms against scikit-learn: a sweep of polynomials and nearest neighbors, each side in its own processes.

The polynomial sweep: 200 training sets of 100 points drawn anew, 5 folds, degrees 1 to 15; R^2 of each of the 15,000
fits on its held-out fold. scikit-learn's side is Pipeline(PolynomialFeatures, LinearRegression) in cross_val_score,
inputs in [-1, 1] so that raw powers serve it, and our folds. Ours is timed twice: the fits from configs that are
checked already (drawing the data included), and ``run_sweep`` whole, with the check of 15,000 configs, tables, files.

The neighbors: 5,000 images of 32 x 32 x 3 known, 500 asked, k = 10, by Euclidean distance.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2])]

DEGREES, FOLDS, RESAMPLES, SAMPLES = range(1, 16), 5, 200, 100
CONFIG = {
    "name": "bench",
    "precision": "float64",
    "device": "cpu",
    "data": {"name": "polynomial_curve", "samples": SAMPLES},
    "model": {"name": "polynomial", "degree": 1},
    "loss": "mse",
    "optimizer": "least_squares",
    "metrics": ["r2"],
    "sweep": {
        "grid": {"data.seed": list(range(RESAMPLES)), "model.degree": list(DEGREES)},
        "kfold": FOLDS,
    },
}
SHORT = 1.0
"""Seconds: what takes less is repeated, and its first run, which loads libraries, left out."""

TASKS = {
    "polynomial fits 15 x 5 x 200": ("fits", 1e-6),
    "polynomial sweep 15 x 5 x 200, whole": ("sweep", 1e-6),
    "nearest neighbors 5,000 / 500, k = 10": ("neighbors", 1e-6),
}
"""By name: the function on either side, and how far the results may differ (relative to 1 + |peer's|)."""


def gap(ours: np.ndarray, peer: np.ndarray) -> float:
    """The largest difference of the results, relative to 1 + |peer's|."""
    return float(np.max(np.abs(ours - peer) / (1 + np.abs(peer))))


def row(name: str, ours: list[float], peer: list[float], difference: float, allowed: float) -> dict:
    """Medians in seconds, the median of the rounds' ratios, and whether both gave the same."""
    ratios = [p / o for o, p in zip(ours, peer, strict=True)]
    return {
        "name": name,
        "ours_s": statistics.median(ours),
        "peer_s": statistics.median(peer),
        "ratio": statistics.median(ratios),
        "difference": difference,
        "agree": difference <= allowed,
    }


def table(rows: list[dict]) -> str:
    """As Markdown."""
    lines = ["| closed form | ours s | scikit-learn s | ratio | largest difference |", "|---|---|---|---|---|"]
    for r in rows:
        mark = "" if r["agree"] else " (NOT THE SAME)"
        lines.append(
            f"| {r['name']} | {r['ours_s']:.3f} | {r['peer_s']:.3f} | {r['ratio']:.1f} | {r['difference']:.1e}{mark} |"
        )
    return "\n".join(lines)


def measure(rounds: int) -> list[dict]:
    """Every task, ours and the peer's in turn; empty with a word where scikit-learn is missing."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        print("closed forms: scikit-learn is not installed, so there is nothing to compare with", file=sys.stderr)
        return []
    rows = []
    for name, (task, allowed) in TASKS.items():
        times: dict[str, list[float]] = {"ours": [], "sklearn": []}
        with tempfile.TemporaryDirectory() as folder:
            difference = 0.0
            for _ in range(rounds):
                for side, found in times.items():
                    found.append(_child(side, task, f"{folder}/{side}.npy"))
                difference = max(difference, gap(np.load(f"{folder}/ours.npy"), np.load(f"{folder}/sklearn.npy")))
        rows.append(row(name, times["ours"], times["sklearn"], difference, allowed))
    return rows


def _child(side: str, task: str, file: str) -> float:
    done = subprocess.run([sys.executable, __file__, side, task, file], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} on {task} failed:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def _ours_fits() -> Callable[[], np.ndarray]:
    from dlcourse.config import resolve
    from dlcourse.sweeps import closed_form, expand

    configs = [point.config.data for point in expand(resolve(CONFIG))]
    return lambda: np.array([outcome["metrics"]["val.r2"] for outcome in closed_form.solve(configs)])


def _ours_sweep() -> Callable[[], np.ndarray]:
    from dlcourse.sweeps import run_sweep

    def run() -> np.ndarray:
        with tempfile.TemporaryDirectory() as out:
            found = run_sweep(CONFIG, out=out, quiet=True, plots=False, stack=True)
        return np.array([point.metrics["val.r2"] for point in found.points])

    return run


def _sklearn_fits() -> Callable[[], np.ndarray]:
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    from dlcourse.data import prepare

    sets = []
    for seed in range(RESAMPLES):
        section = {**CONFIG["data"], "seed": seed}
        splits = [prepare({**section, "kfold": {"folds": FOLDS, "fold": f}}, 0).splits for f in range(FOLDS)]
        data = prepare(section, 0).dataset
        x = 2 * (data.x - data.x.min()) / np.ptp(data.x) - 1
        sets.append((x, data.y[:, 0], [(p["train"].index, p["val"].index) for p in splits]))

    def run() -> np.ndarray:
        scores = []
        for x, y, folds in sets:
            for degree in DEGREES:
                pipeline = make_pipeline(PolynomialFeatures(degree, include_bias=False), LinearRegression())
                scores.append(cross_val_score(pipeline, x, y, cv=folds, scoring="r2"))
        return np.concatenate(scores)

    return run


def _images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    known, asked = (rng.normal(size=(n, 32, 32, 3)).astype(np.float32) for n in (5000, 500))
    return known, rng.integers(0, 10, 5000), asked


def _ours_neighbors() -> Callable[[], np.ndarray]:
    from dlcourse import models
    from dlcourse.autograd import Tensor, no_grad

    known, labels, asked = _images()

    def run() -> np.ndarray:
        model = models.KNN((32, 32, 3), 10, k=10, metric="l2")
        model.fit(known, labels)
        with no_grad():
            return np.asarray(model(Tensor(asked)).data)

    return run


def _sklearn_neighbors() -> Callable[[], np.ndarray]:
    from sklearn.neighbors import KNeighborsClassifier

    known, labels, asked = _images()

    def run() -> np.ndarray:
        model = KNeighborsClassifier(10, algorithm="brute").fit(known.reshape(5000, -1), labels)
        return model.predict_proba(asked.reshape(500, -1))

    return run


SIDES = {
    ("ours", "fits"): _ours_fits,
    ("ours", "sweep"): _ours_sweep,
    ("ours", "neighbors"): _ours_neighbors,
    ("sklearn", "fits"): _sklearn_fits,
    ("sklearn", "sweep"): _sklearn_fits,
    ("sklearn", "neighbors"): _sklearn_neighbors,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=["ours", "sklearn"])
    parser.add_argument("task")
    parser.add_argument("file", help="where the results go")
    args = parser.parse_args()
    run = SIDES[args.side, args.task]()
    times = []
    while len(times) < (4 if times and times[0] < SHORT else 1):
        began = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - began)
    spent = statistics.median(times[1:] or times)  # a short one is timed warm
    np.save(args.file, found)
    print(spent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
