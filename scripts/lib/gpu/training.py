"""Trains configs, one after another, and says what came of each: `python -m gpu.training SPEC ...`, for `in_turn`.

A spec is JSON: ``config``, ``device``, and ``capture`` (false: every step eager). Its answer has the ``losses`` at
the log points, a hash of each array of the model (``weights``), the ``metrics``, how long a step took (``ms``),
its ``notes``, how many CUDA graphs were captured (``graphs``) and whether recording was given up
(``eager``). Where the config, or a file that it names, is refused it has ``error`` and ``refused``.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import answer

import dlcourse
from dlcourse import backend
from dlcourse.backend import capture, determinism
from dlcourse.errors import DlcourseError


def main() -> int:
    if determinism.demanded():
        determinism.demand()
    recorders = watch_recording()
    for text in sys.argv[1:]:
        del recorders[:]
        try:
            found = train(json.loads(text))
        except DlcourseError as error:
            if error.exit_code != 2:
                raise
            answer(error=str(error).splitlines()[0], refused=True)
        else:
            graphs = sum(len(each.graphs) for each in recorders)
            answer(**found, graphs=graphs, eager=any(each.refused for each in recorders))
    return 0


def train(spec: dict[str, Any]) -> dict[str, Any]:
    os.environ[capture.SWITCH] = "1" if spec.get("capture", True) else "0"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = dlcourse.run(spec["config"], device=spec["device"], folder=run, quiet=True, plots=False)
        notes = re.findall(r" note: (.*)", (run / "log.txt").read_text(encoding="utf-8"))
    lines = [line for line in result.history if line["event"] == "train"]
    arrays = {name: backend.to_host(array) for name, array in result.model.state_dict().items()}
    later = lines[len(lines) // 4 :]  # without the first ones, in which kernels are compiled and steps captured
    taken = later[-1]["step"] - later[0]["step"]
    return {
        "losses": [line["loss"] for line in lines],
        "steps": [line["step"] for line in lines],
        "weights": {name: hashlib.sha256(array.tobytes()).hexdigest()[:16] for name, array in arrays.items()},
        "metrics": result.metrics,
        "ms": 1e3 * (later[-1]["seconds"] - later[0]["seconds"]) / taken if taken else None,
        "notes": notes,
    }


def watch_recording() -> list[Any]:
    """A list that every recorder of steps made from now on joins; the trainer does not show its own."""
    from dlcourse.backend.cuda import graph

    made: list[Any] = []

    class Watched(graph.CapturedSteps):
        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **options)
            made.append(self)

    graph.CapturedSteps = Watched
    return made


if __name__ == "__main__":
    sys.exit(main())
