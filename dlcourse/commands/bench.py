"""``dlcourse bench CONFIG``: how long a training step takes, where, and against what bound."""

import argparse

HELP = "time a config's training step"
EXAMPLES = "example:\n  dlcourse bench configs/04_fully_connected/mnist_two_layer.yaml --seconds 10\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="the experiment's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="instead of what the config says")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="how long to time (default: 4)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> int:
    import dataclasses
    import json

    from dlcourse import backend
    from dlcourse.config import resolve
    from dlcourse.experiment.benchmark import time_steps
    from dlcourse.text import table

    config = resolve(args.config, args.overrides)
    with backend.use(backend.get(args.device or config.data["device"])) as device:
        found = time_steps(config, device, args.seconds)
    if args.json:
        print(json.dumps({"device": device.name, **dataclasses.asdict(found), "gemm_share": found.gemm_share}))
        return 0
    median, low, high = found.milliseconds
    rows = [
        ["a step", f"{median:.3f} ms", f"median of {found.steps}; {low:.3f} to {high:.3f}"],
        ["samples a second", f"{1e3 * found.samples / median:,.0f}", f"batches of {found.samples}, on {device.name}"],
        ["loader", f"{100 * found.loader_share:.1f} %", "of that time, waiting for the batch"],
        *([f"  {phase}", f"{spent:.3f} ms", ""] for phase, spent in found.phases.items()),
        ["arithmetic", f"{found.gflops:.3f} GFLOP", "a step, forward and backward, by the layers that count theirs"],
        ["matrix product", f"{found.gemm_rate:,.0f} GFLOP/s", "a large one, measured now"],
        ["share of that bound", f"{100 * found.gemm_share:.0f} %", "the arithmetic at that rate / the step's time"],
    ]
    if found.page_faults is not None:
        rows.append(["fresh pages", f"{found.page_faults:.1f}", "of 4 KiB a step, from the system"])
    print(table(rows, left=(True, False, True)))
    return 0
