"""What `dlcourse devices` finds: driver, CuPy, NVRTC, cuBLAS, one kernel, one GEMM; and which of its steps failed."""

import json

from processes import last_line, python, run

from gpu.part import Outcome, Task

CODE = (
    "import dataclasses, json; from dlcourse.backend.diagnostics import inspection; "
    "print(json.dumps(dataclasses.asdict(inspection.inspect())))"
)


def check(task: Task) -> Outcome:
    done = run(python("-c", CODE), task.left, quiet=True)
    if done.returncode:
        return {"status": "failed", "detail": last_line(done.stderr)}
    report = json.loads(last_line(done.stdout))
    for each in report["cpu"] + report["cuda"]:
        print(f"{each['name']:<13} {each['state']:<9} {each['detail']}")
    failures = [f"{each['name']}: {each['detail']}" for each in report["cuda"] if each["state"] == "failed"]
    detail = f"auto chooses {report['auto']}: {report['why']}"
    return {
        "status": "failed" if failures else "passed", "detail": detail, "failures": failures, "report": report,
    }  # fmt: skip
