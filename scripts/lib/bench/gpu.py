"""The workloads on a GPU: ours, PyTorch eager, compiled, and PyTorch with the whole step in a CUDA graph.

Every side runs in a process of its own, in turn, with the data on the device and TF32 off; of a step's time the median
over blocks of steps counts, the device waited for at the ends of a block. That both compute the same is checked first,
by the losses of the first steps from the same weights.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

from workloads import WORKLOADS, Workload  # noqa: E402

BLOCK, LEAST_BLOCKS = 20, 5
PEERS = ("eager", "compiled", "graph")
SMALL = Workload("mlp100", 128, (784,), 10, "sgd", "784-100-10, ReLU")
ALL = {"softmax": replace(WORKLOADS["softmax"], batch=256), "mlp100": SMALL} | {
    name: workload for name, workload in WORKLOADS.items() if name != "softmax"
}


def main(only: list[str], rounds: int, seconds: float, path: Path | None) -> int:
    """Run all and print the table; the exit status is 1 where losses differ."""
    rows = [measure(name, rounds, seconds) for name in only or ALL]
    print_table(rows)
    if path:
        path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    return 0 if all(row["agree"] for row in rows) else 1


def measure(name: str, rounds: int, seconds: float) -> dict:
    """One row; a side that fails is named in it and hides no other."""
    runs: dict[str, list] = {}
    errors: dict[str, str] = {}
    for _ in range(rounds):
        for side in ("ours", *PEERS):
            if side in errors:
                continue
            command = [sys.executable, str(Path(__file__).resolve()), side, name, str(seconds)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=180)
                runs.setdefault(side, []).append(json.loads(done.stdout.splitlines()[-1]))
            except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
                lines = done.stderr.strip().splitlines() if not isinstance(error, subprocess.TimeoutExpired) else []
                errors[side] = lines[-1] if lines else repr(error)
    ms = {side: statistics.median(run["ms"] for run in made) for side, made in runs.items()}
    about = {side: made[0]["about"] for side, made in runs.items()}
    losses = {side: made[0]["losses"] for side, made in runs.items() if side in ("ours", "eager")}
    agree = len(losses) == 2 and all(
        abs(a - b) <= 2e-3 * abs(b) for a, b in zip(losses["ours"], losses["eager"], strict=True)
    )
    return {"name": name, "ms": ms, "errors": errors, "losses": losses, "agree": agree, "about": about}


def print_table(rows: list[dict]) -> None:
    for side, about in next((row["about"] for row in rows if row["about"]), {}).items():
        print(f"{side}: {about}")
    ratios = " | ".join(f"{side} / ours" for side in PEERS)
    print(f"\n| workload | ours us | {' | '.join(PEERS)} | {ratios} | losses |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ms = row["ms"]
        times = [f"{1e3 * ms[side]:.1f}" if side in ms else "failed" for side in ("ours", *PEERS)]
        ours = ms.get("ours")
        ratios = [f"{ms[side] / ours:.2f}" if ours and side in ms else "-" for side in PEERS]
        losses = "same" if row["agree"] else "DIFFER"
        print(f"| {row['name']} | {' | '.join(times)} | {' | '.join(ratios)} | {losses} |")
    for row in rows:
        for side, error in row["errors"].items():
            print(f"{row['name']}, {side}: {error}")


def work(side: str, name: str, seconds: float) -> int:
    """The inside of one process."""
    step, wait, about = (ours if side == "ours" else peer)(ALL[name], side)
    losses = [float(step()) for _ in range(4)]
    for _ in range(10):
        step()
    wait()
    times, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds or len(times) < LEAST_BLOCKS:
        start = time.perf_counter()
        for _ in range(BLOCK):
            step()
        wait()
        times.append((time.perf_counter() - start) / BLOCK)
    print(json.dumps({"ms": 1e3 * statistics.median(times), "losses": losses, "about": about}))
    return 0


def ours(workload: Workload, side: str) -> tuple[Callable, Callable, str]:
    import ours as cpu_side

    import dlcourse as dl
    from dlcourse import models, nn
    from dlcourse.backend import current, random
    from dlcourse.training.step import TrainStep

    device = dl.set_device("cuda")
    random.manual_seed(0)
    if workload.name == "mlp100":
        net = models.MLP(workload.shape, workload.classes, [100])
    else:
        net = cpu_side.model(workload)
    named = {name: p.data for name, p in net.named_parameters()}
    start(named, lambda p, w: p.__setitem__(..., current().asarray(w)))
    step = TrainStep(net, nn.CrossEntropyLoss(), cpu_side.optimizer(workload, net.parameters()))
    x, y = (device.asarray(a) for a in workload.data())
    properties = device.xp.cuda.runtime.getDeviceProperties(0)
    driver = device.xp.cuda.runtime.driverGetVersion()
    about = f"{properties['name'].decode()}, CUDA {driver}, CuPy {device.xp.__version__}"
    return lambda: step(x, y).data, dl.synchronize, about


def start(parameters: dict, put: Callable) -> None:
    """The same initial weights for both, by each parameter's place: biases 0, gains as they are, others normal."""
    import numpy as np

    for index, (name, parameter) in enumerate(parameters.items()):
        shape = tuple(parameter.shape)
        if "bias" in name.rpartition(".")[2]:
            put(parameter, np.zeros(shape, "float32"))
        elif len(shape) > 1:
            scale = 0.5 * float(np.prod(shape[1:])) ** -0.5
            put(parameter, (scale * np.random.default_rng(index).normal(size=shape)).astype("float32"))


def peer(workload: Workload, side: str) -> tuple[Callable, Callable, str]:
    import pytorch
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if workload.name == "mlp100":
        net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    else:
        net = pytorch.MODELS[workload.name]()

    def put(parameter: torch.Tensor, weights: object) -> None:
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(weights))

    # A kernel of a convolution is drawn as ours lies, (O, kh, kw, C), and turned.
    start({name: p.permute(0, 2, 3, 1) if p.ndim == 4 else p for name, p in net.named_parameters()}, put)
    net = net.cuda()
    x, y = (a.cuda() for a in pytorch.batch(workload))
    if x.ndim == 4:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = pytorch.OPTIMIZERS[workload.optimizer](net.parameters())
    run = torch.compile(net) if side == "compiled" else net

    def update() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = pytorch.cost(run, x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    about = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    if side != "graph":
        return update, torch.cuda.synchronize, about
    for group in optimizer.param_groups:
        group["capturable"] = True
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss = update()

    def replay() -> torch.Tensor:
        graph.replay()
        return loss

    return replay, torch.cuda.synchronize, about


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], sys.argv[2], float(sys.argv[3])))
