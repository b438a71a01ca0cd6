"""The workloads on a GPU: ours, PyTorch eager, PyTorch with the whole step in a CUDA graph, and PyTorch compiled.

The sides take turns, each in a process of its own that goes through all workloads, with the data on the device. PyTorch
has its batch ready; ours takes it out of a set of many copies, as in a run. Of a step's time the median over blocks of
steps counts, the device waited for at the ends of a block; of the rounds the
median. In the rows called float32 TF32 is off for both, in those called tf32 it is on for both. Ours comes first, so
that its times are there whatever becomes of a peer; compiling, which can take minutes, comes last and has a limit. That
all compute the same is checked by the losses of their first steps from the same weights.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[2])]

from processes import answer, in_turn, python  # noqa: E402
from workloads import WORKLOADS, Workload  # noqa: E402

BLOCK, MIN_BLOCKS = int(os.environ.get("DLCOURSE_BENCH_BLOCK", "64")), 5
"""Steps a block; the environment may ask for fewer, where the device is a stand-in that takes long."""
COPIES = 2 * BLOCK
"""Of the batch, in the set from which ours takes it: so many steps an epoch."""
COMPARED = 4
"""First steps, whose losses have to agree."""
PEERS = ("eager", "compiled", "graph")
LIMIT, COMPILE_LIMIT = 60.0, 90.0
"""Seconds for one workload of one side; compiled has to compile first."""
TOLERANCE = {"float32": 2e-3, "tf32": 1e-2}
"""Of a loss, relative. Sums come in another order, which the steps before have carried on; TF32's factors are rounded
to 10 bits, 5e-4 each, and not by all in the same products."""
SMALL = Workload("mlp100", 128, (784,), 10, "sgd", "784-100-10, ReLU")
ALL = {"softmax": replace(WORKLOADS["softmax"], batch=256), "mlp100": SMALL} | {
    name: workload for name, workload in WORKLOADS.items() if name != "softmax"
}


def main(args: argparse.Namespace) -> int:
    """Run all and print the table; the exit status is 1 where losses differ or ours failed. ``args`` are of
    ``scripts/bench``: the numbers go to its file after each side's turn, and after its budget nothing more is begun."""
    names, until = args.only or list(ALL), time.monotonic() + args.budget
    precisions, sides = args.precision or list(TOLERANCE), args.side or ["ours", *PEERS]
    cells: dict[tuple[str, str, str], list[dict]] = {}
    for side, precision in turns(sides, precisions, args.rounds):
        left = [name for name in names if side != "compiled" or name in (args.compile or names)]
        # A side that failed once does not get better; nor does one that is slow.
        left = [name for name in left if not any("error" in run for run in cells.get((name, precision, side), []))]
        command = python(str(Path(__file__).resolve()), side, precision, str(args.seconds))
        limit = COMPILE_LIMIT if side == "compiled" else LIMIT
        for name, found in in_turn(command, left, limit, until):
            cells.setdefault((name, precision, side), []).append(found)
            if "error" in found:
                print(f"{name} in {precision}, {side}: {found['error']}", flush=True)
        rows = [row(name, precision, cells) for precision in precisions for name in names]
        if args.json:
            args.json.write_text(json.dumps({"rows": rows, "table": table(rows)}, indent=1) + "\n")
    print("\n".join(table(rows)))
    return 0 if all("ours" in each["ms"] and not each["differ"] for each in rows) else 1


def turns(sides: Sequence[str], precisions: Sequence[str], rounds: int) -> list[tuple[str, str]]:
    """Side and precision, in the order of their turns: ours first, then all in turn, compiled last."""
    quick = [(side, each) for side in ("ours", "eager", "graph") if side in sides for each in precisions]
    return quick * rounds + [("compiled", each) for each in precisions if "compiled" in sides]


def row(name: str, precision: str, cells: dict[tuple[str, str, str], list[dict]]) -> dict[str, Any]:
    """One row: what each side took, why one has no number, and whose losses differ from ours."""
    runs = {side: cells.get((name, precision, side), []) for side in ("ours", *PEERS)}
    made = {side: [run for run in found if "error" not in run] for side, found in runs.items()}
    made = {side: found for side, found in made.items() if found}
    losses = {side: found[0]["losses"] for side, found in made.items()}
    return {
        "name": name,
        "precision": precision,
        "ms": {side: statistics.median(run["ms"] for run in found) for side, found in made.items()},
        "errors": {side: run["error"] for side, found in runs.items() for run in found if "error" in run},
        "late": [side for side, found in runs.items() if any(run.get("late") for run in found)],
        "losses": losses,
        "differ": differing(losses, TOLERANCE[precision]),
        "about": {side: found[0]["about"] for side, found in made.items()},
    }


def differing(losses: dict[str, list[float]], tolerance: float) -> list[str]:
    """The peers whose losses are not ours; none where ours, or the peer, has none."""
    ours = losses.get("ours", [])
    return [
        side
        for side in PEERS
        if any(not abs(a - b) <= tolerance * abs(b) for a, b in zip(ours, losses.get(side, []), strict=False))
    ]


def table(rows: list[dict]) -> list[str]:
    """The lines of the table: microseconds a step, and how many times ours a peer takes."""
    about = {side: text for each in rows for side, text in each["about"].items()}
    lines = [f"{side}: {text}" for side, text in about.items()]
    ratios = " | ".join(f"{side} / ours" for side in PEERS)
    lines += [f"| workload | precision | ours us | {' | '.join(PEERS)} | {ratios} | losses |", "|---" * 10 + "|"]
    for each in rows:
        ms, ours = each["ms"], each["ms"].get("ours")
        times = [cell(each, side) for side in ("ours", *PEERS)]
        ratios = [f"{ms[side] / ours:.2f}" if ours and side in ms else "-" for side in PEERS]
        compared = [side for side in PEERS if side in each["losses"] and "ours" in each["losses"]]
        losses = f"DIFFER: {', '.join(each['differ'])}" if each["differ"] else "same" if compared else "-"
        lines.append(f"| {' | '.join([each['name'], each['precision'], *times, *ratios, losses])} |")
    return lines


def cell(row: dict, side: str) -> str:
    """A time, or why there is none."""
    if side in row["ms"]:
        return f"{1e3 * row['ms'][side]:.1f}"
    if side in row["late"]:
        late = row["errors"][side]
        return "compile took too long" if side == "compiled" and late.startswith("not done") else late
    return "failed" if side in row["errors"] else "-"


def work(side: str, precision: str, seconds: str, *names: str) -> int:
    """The inside of one process."""
    for name in names:
        advance, wait, about = (ours if side == "ours" else peer)(ALL[name], side, precision)
        losses = [float(advance(1)) for _ in range(COMPARED)]
        # Ours finds out how many steps it may take at once; its epoch ends with it, so that no block is cut by an end.
        advance(COPIES - COMPARED)
        wait()
        times, began = [], time.perf_counter()
        while time.perf_counter() - began < float(seconds) or len(times) < MIN_BLOCKS:
            start = time.perf_counter()
            advance(BLOCK)
            wait()
            times.append((time.perf_counter() - start) / BLOCK)
        answer(ms=1e3 * statistics.median(times), losses=losses, about=about)
    return 0


def ours(workload: Workload, side: str, precision_name: str) -> tuple[Callable, Callable, str]:
    import numpy as np
    import ours as cpu_side

    import dlcourse as dl
    from dlcourse import models, nn
    from dlcourse.backend import current, precision, random
    from dlcourse.data import Loader, Split
    from dlcourse.data.normalizer import Normalizer
    from dlcourse.training.step import TrainStep

    device = dl.set_device("cuda")
    precision.use(precision_name)
    random.manual_seed(0)
    if workload.name == "mlp100":
        net = models.MLP(workload.shape, workload.classes, [100])
    else:
        net = cpu_side.model(workload)
    named = {name: p.data for name, p in net.named_parameters()}
    start(named, lambda p, w: p.__setitem__(..., current().asarray(w)))
    step = TrainStep(net, nn.CrossEntropyLoss(), cpu_side.optimizer(workload, net.parameters()))
    x, y = (np.tile(a, (COPIES, *[1] * (a.ndim - 1))) for a in workload.data())
    batch, unchanged = workload.batch, Normalizer(0.0, 1.0)
    loader = Loader(Split(x, y, np.arange(len(x))), unchanged, device, "float32", batch, seed=0, shuffle=False)
    properties = device.xp.cuda.runtime.getDeviceProperties(0)
    driver = device.xp.cuda.runtime.driverGetVersion()
    about = f"{properties['name'].decode()}, CUDA {driver}, CuPy {device.xp.__version__}"

    def advance(count: int) -> object:
        end, loss = step.step + count, None
        while step.step < end:
            loss = step.runner.advance(step, loader, end - step.step)[-1]
        return loss

    return advance, dl.synchronize, about


def repeated(step: Callable) -> Callable:
    """``advance(count)``: so many steps, one after another; returns the last one's loss."""

    def advance(count: int) -> object:
        loss = None
        for _ in range(count):
            loss = step()
        return loss

    return advance


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


def peer(workload: Workload, side: str, precision: str) -> tuple[Callable, Callable, str]:
    import torch

    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.compiler.reset()  # of the workload before
    net, x, y, optimizer = peers_parts(workload, "cuda")
    update = peers_update(net, x, y, optimizer, torch.compile(net) if side == "compiled" else net)
    about = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    if side != "graph":
        return repeated(update), torch.cuda.synchronize, about
    for group in optimizer.param_groups:
        group["capturable"] = True
    put_back = keep(net, optimizer)
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
    put_back()

    def replay() -> torch.Tensor:
        graph.replay()
        return loss

    return repeated(replay), torch.cuda.synchronize, about


def peers_parts(workload: Workload, device: str) -> tuple[Any, Any, Any, Any]:
    """PyTorch's net with the same initial weights as ours, the batch and the optimizer."""
    import pytorch
    import torch

    if workload.name == "mlp100":
        net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    else:
        net = pytorch.MODELS[workload.name]()

    def put(parameter: torch.Tensor, weights: Any) -> None:
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(weights))

    # A kernel of a convolution is drawn as ours lies, (O, kh, kw, C), and turned.
    start({name: p.permute(0, 2, 3, 1) if p.ndim == 4 else p for name, p in net.named_parameters()}, put)
    net = net.to(device)
    x, y = (a.to(device) for a in pytorch.batch(workload))
    if x.ndim == 4:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    return net, x, y, pytorch.OPTIMIZERS[workload.optimizer](net.parameters())


def peers_update(net: Any, x: Any, y: Any, optimizer: Any, run: Callable) -> Callable[[], Any]:
    """One whole step as PyTorch's users write it; ``run`` is the net, or the net compiled."""
    import pytorch

    def update() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = pytorch.cost(run, x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return update


def keep(net: Any, optimizer: Any) -> Callable[[], None]:
    """A function that puts weights, statistics and the optimizer's state back to what they are now, where they lie.

    A graph is recorded after some warm-up steps, and its replays have to begin where the other sides begin. The state
    of each of these optimizers, the step number too, is zeros before the first step.
    """
    import torch

    held = [(tensor, tensor.detach().clone()) for tensor in (*net.parameters(), *net.buffers())]

    @torch.no_grad()
    def put_back() -> None:
        for tensor, before in held:
            tensor.copy_(before)
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor):
                    value.zero_()

    return put_back


if __name__ == "__main__":
    sys.exit(work(*sys.argv[1:]))
