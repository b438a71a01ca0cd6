"""Ours against PyTorch on classic workloads, in turn, each run in its own process; medians and ratios.

First both compute the loss and the gradients from the same weights, and have to agree. Then, round by round, ours and
the peer's run one after the other, so that a machine that drifts drifts under both; the ratio (peer's time / ours,
above 1 we are faster) is the median of the rounds' ratios. Of the peer's variants (memory layouts, compiled) the
fastest counts. The ratio of the processor times of all threads stands beside it: on a machine that others use too it
says more, with one thread (``OMP_NUM_THREADS=1``), where no thread spins.
"""

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

from workloads import WORKLOADS, Workload, timed  # noqa: E402

MODULES = {"ours": "ours", "pytorch": "pytorch", "jax": "jax_peer"}
"""The file of each side."""

WITH_JAX = "softmax", "mlp"
"""Workloads that JAX is a second peer of, where it is installed."""

CHECKED = 80
"""Samples of a batch in the comparison: convolutions in float64 take long."""

TOLERANCE = {"float64": (1e-10, 1e-7), "float32": (1e-5, 5e-2)}
"""Relative, of the loss and of each parameter's gradient by its norm. In float32 the order of sums decides on which
side of a kink (ReLU, the larger of two in a pooling) a number near it falls, and each such flip moves a gradient:
PyTorch's own float32 gradients of vgg differ from its float64 ones by 1e-3. What shows a wrong formula is float64."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: ours and PyTorch's on a GPU")
    names = [*WORKLOADS, "mlp100"]  # the smallest net is for GPUs, where launches are what a step costs
    parser.add_argument("--only", choices=names, action="append", help="this workload (may be given several times)")
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each timing (default %(default)s)")
    parser.add_argument("--budget", type=float, default=float("inf"), help="on a GPU: seconds, then it comes to an end")
    parser.add_argument(
        "--side", choices=["ours", "eager", "graph", "compiled"], action="append", help="on a GPU: only it"
    )
    parser.add_argument("--precision", choices=["float32", "tf32"], action="append", help="on a GPU: only this one")
    parser.add_argument("--compile", choices=names, action="append", help="on a GPU: torch.compile of this one only")
    parser.add_argument("--compiled", action="store_true", help="try torch.compile too (minutes)")
    parser.add_argument("--numpy", action="store_true", help="ours with NumPy alone as a third column")
    parser.add_argument("--also", action="store_true", help="closed forms against scikit-learn, after the workloads")
    parser.add_argument("--sweeps", action="store_true", help="stacked sweeps alone, by processor time (minutes)")
    parser.add_argument("--ranks", action="store_true", help="several ranks alone: equality, failure, speed (minutes)")
    parser.add_argument("--steps", type=int, help="of each run of --sweeps (default: 1,500)")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--worker", nargs=3, metavar=("SIDE", "WORKLOAD", "VARIANT"), help=argparse.SUPPRESS)
    parser.add_argument("--check", nargs=3, metavar=("SIDE", "FILE", "PRECISION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(*args.worker, seconds=args.seconds)
    if args.check:
        return check(*args.check, WORKLOADS[args.only[0]])
    if args.device == "cuda":
        import gpu

        return gpu.main(args)
    if args.sweeps or args.ranks:
        return measure_many(args)
    if "mlp100" in (args.only or []):
        parser.error("mlp100 is for --device cuda")
    chosen = [WORKLOADS[name] for name in args.only or WORKLOADS]
    rows = [measure(workload, args) for workload in chosen]
    about = {"machine": machine(), "ours": rows[0]["ours_about"], "peer": rows[0]["peer_about"]}
    print_table(rows, about, args.numpy)
    also = []
    if args.also:
        import closed_form

        also = closed_form.measure(args.rounds)
        print("\n" + closed_form.table(also))
    if args.json:
        found = {"about": about, "rounds": args.rounds, "rows": rows, "also": also}
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(row["agree"] for row in rows + also) else 1


def measure_many(args: argparse.Namespace) -> int:
    """Many models at once, and many processes for one."""
    found = {}
    if args.sweeps:
        import sweeps

        found["sweeps"] = sweeps.measure(args.steps)
        print(sweeps.table(found["sweeps"]))
    if args.ranks:
        import ranks

        found["ranks"] = ranks.measure(args.rounds)
        print(f"\n{ranks.table(found['ranks'])}" if found["ranks"] else "")
    if args.json:
        args.json.write_text(json.dumps({"about": {"machine": machine()}, **found}, indent=1) + "\n")
    return 0 if all(row["agree"] is not False for rows in found.values() for row in rows) else 1


def measure(workload: Workload, args: argparse.Namespace) -> dict:
    """One row: agreement first, then the rounds."""
    differences = {precision: compare(workload, precision) for precision in TOLERANCE}
    agree = all(
        gap <= limit for name, gaps in differences.items() for gap, limit in zip(gaps, TOLERANCE[name], strict=True)
    )
    if not agree:
        print(f"{workload.name}: loss or gradients differ: {differences}", file=sys.stderr)
    import pytorch

    short = ["--seconds", str(min(1.0, args.seconds))]
    names = pytorch.variants(workload, args.compiled)
    variant = names[0]
    if len(names) > 1:
        variant = min(names, key=lambda name: child("pytorch", workload, name, short)["ms"])
    ours, peer, alone, other = [], [], [], []
    with_jax = workload.name in WITH_JAX and importlib.util.find_spec("jax")
    for _ in range(args.rounds):
        ours.append(child("ours", workload, "-", ["--seconds", str(args.seconds)]))
        peer.append(child("pytorch", workload, variant, ["--seconds", str(args.seconds)]))
        if with_jax:
            other.append(child("jax", workload, "-", ["--seconds", str(args.seconds)]))
        if args.numpy:
            alone.append(child("ours", workload, "numpy", ["--seconds", str(args.seconds)]))
    row = {
        "name": workload.name,
        "agree": agree,
        "differences": differences,
        "ours_ms": middle(ours, "ms"),
        "peer_ms": middle(peer, "ms"),
        "ratio": ratio(peer, ours),
        "cpu_ratio": ratio(peer, ours, "cpu_ms"),
        "faults": middle(ours, "faults"),
        "ours_mb": middle(ours, "peak_mb"),
        "peer_mb": middle(peer, "peak_mb"),
        "variant": variant,
        "ours_about": ours[0]["about"],
        "peer_about": peer[0]["about"],
        "all_ours_ms": [run["ms"] for run in ours],
        "all_peer_ms": [run["ms"] for run in peer],
    }
    if other:
        row |= {"jax_ms": middle(other, "ms"), "jax_ratio": ratio(other, ours), "jax_about": other[0]["about"]}
        print(f"{workload.name}: JAX {row['jax_ms']:.2f} ms, ratio {row['jax_ratio']:.2f}", flush=True)
    if alone:
        row |= {
            "numpy_ms": middle(alone, "ms"),
            "numpy_ratio": ratio(peer, alone),
            "numpy_cpu_ratio": ratio(peer, alone, "cpu_ms"),
        }
    print(f"{workload.name}: {row['ours_ms']:.2f} ms, peer {row['peer_ms']:.2f}, ratio {row['ratio']:.2f}", flush=True)
    return row


def middle(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def ratio(peer: list[dict], ours: list[dict], key: str = "ms") -> float:
    return statistics.median(p[key] / o[key] for p, o in zip(peer, ours, strict=True))


def child(side: str, workload: Workload, variant: str, options: list[str]) -> dict:
    """The numbers of one process of its own."""
    environment = dict(os.environ)
    if variant == "numpy":
        environment |= {"DLCOURSE_ONEDNN": "0", "DLCOURSE_MKL": "0"}
    command = [sys.executable, str(HERE), "--worker", side, workload.name, variant, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{side} on {workload.name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def work(side: str, name: str, variant: str, seconds: float) -> int:
    """The inside of such a process."""
    module = importlib.import_module(MODULES[side])
    step = module.step(WORKLOADS[name], *([variant] if side == "pytorch" else []))
    print(json.dumps(timed(step, seconds) | {"about": module.versions()}))
    return 0


def compare(workload: Workload, precision: str) -> tuple[float, float]:
    """The relative differences of the loss and of the gradients, from the same weights and batch."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        for side in ("ours", "pytorch"):
            command = [sys.executable, str(HERE), "--check", side, folder, precision, "--only", workload.name]
            subprocess.run(command, check=True)
        found = np.load(f"{folder}/ours.npz"), np.load(f"{folder}/pytorch.npz")
        loss = abs(float(found[0]["loss"]) / float(found[1]["loss"]) - 1)
        pairs = [(found[0][key], found[1][key]) for key in found[0].files if key.startswith("grad")]
    return loss, max(float(np.linalg.norm(a - b) / (np.linalg.norm(b) + 1e-12)) for a, b in pairs)


def check(side: str, folder: str, precision: str, workload: Workload) -> int:
    """Write one side's loss and gradients; ours makes the weights, the peer reads them."""
    import numpy as np

    weights, workload = None, replace(workload, batch=min(workload.batch, CHECKED))
    if side != "ours":
        held = np.load(f"{folder}/ours.npz")
        weights = [held[key] for key in held.files if key.startswith("weight")]
    loss, weights, grads = importlib.import_module(MODULES[side]).gradients(workload, weights, precision)
    arrays = {f"weight{i:03}": w for i, w in enumerate(weights)} | {f"grad{i:03}": g for i, g in enumerate(grads)}
    np.savez(f"{folder}/{side}.npz", loss=loss, **arrays)
    return 0


def machine() -> str:
    """Processor and cores; a virtual machine may hide the model's name, but hardly its numbers."""
    from dlcourse.resources import cores, processor

    text = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    about = {name.strip(): value.strip() for name, _, value in lines}
    numbers = [f"{what} {about[key]}" for what, key in (("family", "cpu family"), ("model", "model")) if key in about]
    return ", ".join([processor(), *numbers, f"{cores()} cores"])


def print_table(rows: list[dict], about: dict, numpy: bool) -> None:
    print(f"\n{about['machine']}\nours: {about['ours']}\npeer: {about['peer']}\n")
    print("| workload | ours ms | peer ms | ratio | CPU time | NumPy alone | CPU time | MB, ours / peer | faults |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        alone = f"{row['numpy_ratio']:.2f} | {row['numpy_cpu_ratio']:.2f}" if numpy else "- | -"
        print(
            f"| {row['name']} | {row['ours_ms']:.2f} | {row['peer_ms']:.2f} | {row['ratio']:.2f} "
            f"| {row['cpu_ratio']:.2f} | {alone} | {row['ours_mb']:.0f} / {row['peer_mb']:.0f} | {row['faults']:.0f} |"
        )
    print("\nthe ratios as the README's row for a machine:")
    print(f"| peer / ours | {' | '.join(row['name'] for row in rows)} |")
    print(f"| {about['machine']} | {' | '.join(format(row['ratio'], '.2f') for row in rows)} |")


if __name__ == "__main__":
    sys.exit(main())
