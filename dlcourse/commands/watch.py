"""``dlcourse watch RUNS``: a page on this machine with the curves of runs while they grow."""

import argparse
from pathlib import Path

HELP = "show the curves of running and finished runs on a page of this machine"
EXAMPLES = """\
examples:
  dlcourse watch                              all runs in runs/; open the address that it prints, end it with Ctrl-C
  dlcourse watch runs/spirals other/runs      some of them
  dlcourse watch --port 8000                  on a machine far away: ssh -L 8000:127.0.0.1:8000 HOST, and the same there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "folders of runs, of sweeps, or that hold any of them (default: runs)"
    parser.add_argument("runs", nargs="*", metavar="RUNS", type=Path, help=about)
    parser.add_argument("--port", type=int, metavar="N", help="the port (default: one that is free)")


def main(args: argparse.Namespace) -> int:
    from dlcourse.errors import UserError
    from dlcourse.plots.live_runs import LiveRuns
    from dlcourse.plots.live_server import LiveServer

    roots = args.runs or [Path("runs")]
    for root in roots:
        if not root.is_dir():
            hint = "" if args.runs else "; name one, or run something first: dlcourse run spirals"
            raise UserError(f"{root}: no such folder{hint}")
    if args.port is not None and not 0 <= args.port < 65536:
        raise UserError(f"--port {args.port}: a port is a number from 1 to 65535, or 0 for any that is free")
    with LiveServer(LiveRuns(roots), args.port) as server:
        print(f"{server.url} shows {', '.join(map(str, roots))}; Ctrl-C ends it", flush=True)
        server.serve_forever(poll_interval=0.2)
    return 0
