"""What each part of gpu_check judges: right results pass, wrong ones fail and are named, and it runs what it says."""

import os
import stat
from pathlib import Path

import pytest

import dlcourse
from dlcourse.backend.cuda.program import families
from dlcourse.config import resolve

ROOT = Path(__file__).resolve().parents[2]
SOFTMAX = "softmax"


def only(lib, monkeypatch: pytest.MonkeyPatch, part: str, *names: str):
    """The part's module, its nets only these."""
    module, nets = lib(part), lib("gpu.nets")
    monkeypatch.setattr(module, "nets", lambda folder: {name: nets.nets(folder)[name] for name in names})
    return module


def answered(**values) -> dict:
    """What ``gpu.training`` answers."""
    found = {"losses": [2.0, 1.0], "steps": [5, 10], "weights": {"a": "1", "b": "2"}, "graphs": 0, "notes": []}
    return found | {"eager": False} | values


@pytest.mark.parametrize(
    "name", ["compiled", "captured", "stacked", "parity", "configs", "precision", "cudnn", "sanitizer", "bench"]
)
def test_what_needs_a_gpu_says_so(lib, task, name) -> None:
    assert lib(f"gpu.{name}").check(task(gpu=False)) == {"status": "skipped", "detail": "no GPU"}


def test_packages_and_devices_run_without_a_gpu(lib, task) -> None:
    assert lib("gpu.packages").check(task(gpu=False))["versions"]["numpy"]
    assert lib("gpu.devices").check(task(gpu=False))["report"]["cpu"]


# compiled


def test_sources_that_do_not_compile_are_named(lib, task, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what does not run then is no failure yet: a later part will say more."""
    compiled, asked = lib("gpu.compiled"), []

    def side_by_side(commands, width, until, **options):
        asked.append(list(commands))
        return {"norm": "error: no such type"} if "norm" in commands else {"gpt in float64": "out of memory"}

    monkeypatch.setattr(compiled, "side_by_side", side_by_side)
    outcome = compiled.check(task(True))
    assert outcome["status"] == "failed" and outcome["failures"] == ["norm.cu: error: no such type"]
    assert asked[0] == families() and "cnn in float32" in asked[1] and "PyTorch" in asked[1]
    assert outcome["unwarmed"] == {"gpt in float64": "out of memory"}


def test_a_source_is_compiled_before_its_first_launch(lib, stand_in) -> None:
    processes, compiled = lib("processes"), lib("gpu.compiled")
    assert processes.run(processes.python("-c", compiled.COMPILE, "hold"), 60, quiet=True, cwd=ROOT).returncode == 0


# captured


def test_recorded_steps_have_to_be_recorded_and_the_same(lib) -> None:
    verdict = lib("gpu.captured").verdict
    captured = answered(graphs=1)
    assert verdict(answered(), captured) is None
    assert "differ in b" in verdict(answered(), captured | {"weights": {"a": "1", "b": "3"}})
    assert "loss from step 10" in verdict(answered(), captured | {"losses": [2.0, 1.5]})
    refused = captured | {"eager": True, "notes": ["it could not be captured (cuBLAS)"]}
    assert verdict(answered(), refused) == "not captured: it could not be captured (cuBLAS)"
    assert verdict(answered(), answered()) == "not captured: no note says why"
    assert "captured: out of memory" in verdict(answered(), {"error": "out of memory"})
    assert "eager steps were captured" in verdict(captured, captured)


def test_captured_runs_both_ways(lib, task, stand_in, monkeypatch) -> None:
    outcome = only(lib, monkeypatch, "gpu.captured", SOFTMAX).check(task(True, 200))
    assert outcome["status"] == "passed", outcome


def test_a_step_that_is_refused_does_not_pass_for_recorded(lib, task, stand_in, monkeypatch) -> None:
    stand_in("def refuse(*_): raise RuntimeError('not today')\ntests.fake_cupy.capture.Stream.begin_capture = refuse")
    outcome = only(lib, monkeypatch, "gpu.captured", SOFTMAX).check(task(True, 200))
    assert outcome["status"] == "failed"
    assert outcome["failures"][0].startswith("softmax: not captured:") and "not today" in outcome["failures"][0]


# stacked


def test_a_stack_is_recorded_and_the_same_as_each_by_itself(lib, task, stand_in, monkeypatch) -> None:
    stacked = lib("gpu.stacked")
    monkeypatch.setattr(stacked, "REPLICAS", 2)
    monkeypatch.setattr(stacked, "BLOCK", 1)
    monkeypatch.setattr(stacked, "WORKLOADS", {"softmax": {"batch": 4, "inputs": 6, "hidden": None, "classes": 3}})
    outcome = stacked.check(task(True, 200))
    assert outcome["status"] == "passed", outcome
    assert outcome["results"]["softmax"]["graphs"] and len(outcome["table"]) == 3
    right = outcome["results"]["softmax"]
    assert stacked.verdict(right | {"graphs": 0, "notes": ["cuBLAS"]}) == "not captured: cuBLAS"
    assert "differ from those of one" in stacked.verdict(right | {"difference": 0.1})
    assert stacked.verdict({"error": "out of memory"}) == "out of memory"


# parity


def test_parity_is_judged_step_by_step(lib) -> None:
    parity = lib("gpu.parity")
    on_cpu = answered(losses=[1.0] * 100, steps=list(range(1, 101)))

    def off(step: int, by: float) -> dict:
        return on_cpu | {"losses": [1.0 + by if index + 1 == step else 1.0 for index in range(100)]}

    problem, gaps = parity.verdict(on_cpu, off(50, 1e-3), parity.LIMITS["float32"])
    assert problem is None and gaps == pytest.approx([0, 0, 1e-3])
    assert parity.verdict(on_cpu, off(50, 5e-2), parity.LIMITS["float32"])[0].startswith("step 50: 5.0e-02 off")
    assert parity.verdict(on_cpu, off(10, 1e-3), parity.LIMITS["float32"])[0].startswith("step 10:")
    assert parity.verdict(on_cpu, off(50, 1e-8), parity.LIMITS["float64"])[0].startswith("step 50:")
    assert parity.verdict(on_cpu, off(50, float("nan")), parity.LIMITS["float32"])[0].startswith("step 50:")
    assert "on the GPU: died" in parity.verdict(on_cpu, {"error": "died"}, parity.LIMITS["float32"])[0]


def test_parity_runs_on_both_devices_in_both_precisions(lib, task, stand_in, monkeypatch) -> None:
    parity = only(lib, monkeypatch, "gpu.parity", SOFTMAX)
    monkeypatch.setattr(parity, "STEPS", 12)
    outcome = parity.check(task(True, 200))
    assert outcome["status"] == "passed", outcome
    assert "2 of 2 agree over 12 steps" in outcome["detail"] and len(outcome["table"]) == 3
    assert "2 computed on this CPU" in outcome["detail"], "the reference is of 100 steps"


def test_parity_asks_a_cpu_only_for_what_its_reference_lacks(lib, task, monkeypatch) -> None:
    parity = only(lib, monkeypatch, "gpu.parity", SOFTMAX)
    losses, asked = [1.0] * parity.STEPS, []
    monkeypatch.setattr(parity.reference, "saved", lambda kind, sources: {"softmax in float32": losses})

    def trained(task, groups, limit):
        asked.extend(list(group) for group in groups)
        return [{name: answered(losses=losses) for name in group} for group in groups]

    monkeypatch.setattr(parity, "trained_side_by_side", trained)
    outcome = parity.check(task(True))
    assert outcome["status"] == "passed" and "; 1 computed on this CPU" in outcome["detail"]
    assert asked == [
        [("softmax in float32", "cuda")],
        [("softmax in float64", "cuda"), ("softmax in float64", "cpu")],
    ]


def test_parity_finds_a_gpu_that_computes_something_else(lib, task, stand_in, monkeypatch) -> None:
    """Its losses are a thousandth too large, less than what float32 may differ by at step 100."""
    parity = only(lib, monkeypatch, "gpu.parity", SOFTMAX)
    monkeypatch.setattr(parity, "STEPS", 3)
    stand_in(
        "import dlcourse.backend.cuda.loss as loss\n"
        "from dlcourse.backend.kernels import Implementation\n"
        "from dlcourse.backend.kernels.loss import softmax_cross_entropy as kernel\n"
        "real = kernel.overrides['cuda'][0].function\n"
        "def wrong(*given):\n"
        "    found = real(*given)\n"
        "    return (found[0] * 1.001, *found[1:])\n"
        "kernel.add('cuda', Implementation(wrong, half=False, priority=1))"
    )
    outcome = parity.check(task(True, 200))
    assert outcome["status"] == "failed" and "step 1: 1.0e-03 off" in outcome["failures"][0]


# what a CPU has computed before

STALE = "scripts/lib/gpu/reference.json does not fit the code any more: scripts/gpu_check --reference"


def test_a_reference_fits_what_it_was_computed_from(lib, tmp_path: Path) -> None:
    reference, file = lib("gpu.reference"), tmp_path / "reference.json"
    sources = {"a": "one", "b": "two"}
    assert reference.saved("parity", sources, file) == {}
    reference.keep("parity", sources, {"a": [1.0, 2.5], "b": [float("nan")]}, file)
    reference.keep("configs", sources, {"a": {"mse": 1.0}}, file)
    assert reference.saved("configs", sources, file) == {"a": {"mse": 1.0}}
    assert reference.saved("parity", sources | {"b": "three", "c": "four"}, file) == {"a": [1.0, 2.5]}


def test_the_reference_is_of_these_configs(lib, tmp_path: Path) -> None:
    """Those that need files which are not everywhere are in it, too, where it was written."""
    parity, configs, reference = lib("gpu.parity"), lib("gpu.configs"), lib("gpu.reference")
    made = parity.configs(tmp_path)
    assert set(reference.saved("parity", parity.sources(made, str(tmp_path)))) == set(made), STALE
    assert set(reference.saved("configs", configs.sources())) == set(configs.sources()), STALE


def test_the_code_still_gives_the_reference(lib, tmp_path: Path) -> None:
    """The first losses of each net, before the schedules depend on how many steps there are, and two configs."""
    parity, configs, reference = lib("gpu.parity"), lib("gpu.configs"), lib("gpu.reference")
    made = parity.configs(tmp_path)
    expected = reference.saved("parity", parity.sources(made, str(tmp_path)))
    for label, config in made.items():
        if config["precision"] == "float64":
            short = config | {"train": config["train"] | {"steps": 4, "evaluate": []}}
            result = dlcourse.run(short, device="cpu", folder=tmp_path / label, quiet=True, plots=False)
            losses = [line["loss"] for line in result.history if line["event"] == "train"]
            assert losses == pytest.approx(expected[label][:4], rel=1e-9), STALE
    for name, found in reference.saved("configs", configs.sources()).items():
        if name.endswith(("polynomial_overfitting.yaml", "spirals.yaml")):
            config = resolve(ROOT / name, {"sweep": None})
            result = dlcourse.run(config, device="cpu", quiet=True, plots=False, fast_dev_run=True)
            metrics = {
                f"{split}.{key}": value for split, named in result.metrics.items() for key, value in named.items()
            }
            assert configs.difference(found, {"metrics": metrics}) is None, STALE


# deterministic


def test_runs_repeat_on_the_cpu(lib, task, monkeypatch) -> None:
    part = only(lib, monkeypatch, "gpu.deterministic", "cnn")
    monkeypatch.setattr(part, "NETS", ("cnn",))
    monkeypatch.setattr(part, "STEPS", 3)
    outcome = part.check(task(False))
    assert outcome["status"] == "passed", outcome
    assert "with --deterministic 1 of 1" in outcome["detail"] and "without 1 of 1" in outcome["detail"]


@pytest.mark.parametrize(("demanded", "status"), [("1", "failed"), ("0", "passed")])
def test_a_difference_counts_where_repeating_was_demanded(lib, task, monkeypatch, demanded, status) -> None:
    part = lib("gpu.deterministic")
    losses = iter(range(100))

    def trained(task, groups, limit, env):
        differs = env["DLCOURSE_DETERMINISTIC"] == demanded
        return [{name: answered(losses=[2.0, next(losses) if differs else 1.0]) for name in group} for group in groups]

    monkeypatch.setattr(part, "trained_side_by_side", trained)
    outcome = part.check(task(True))
    assert outcome["status"] == status
    assert f"{'with --deterministic' if demanded == '1' else 'without'} 0 of 3" in outcome["detail"]
    if status == "failed":
        assert outcome["failures"][0] == "cnn with --deterministic: differ in loss from step 10 on"


# configs


def test_configs_are_judged_by_relative_and_absolute_difference(lib) -> None:
    configs = lib("gpu.configs")
    nan = float("nan")
    for a, b, same in [(1, 1.001, True), (1, 1.01, False), (0, 5e-5, True), (0, 1e-2, False), (nan, nan, True)]:
        assert configs.close(a, b) is same
    one, two, none = ({"metrics": metrics} for metrics in ({"val.mse": 1.0}, {"val.mse": 2.0}, {}))
    assert configs.difference(one, one) is None
    assert configs.difference(one, two) == "val.mse: CPU 1.0, GPU 2.0"
    assert configs.difference(one, none) == "val.mse: CPU 1.0, GPU None"
    assert configs.difference({"metrics": {}}, {"error": "out of memory"}) == "on the GPU: out of memory"


def test_a_config_that_is_off_is_named_and_one_without_files_left_out(lib, task, monkeypatch) -> None:
    configs = lib("gpu.configs")

    def one_step(task, device, paths):
        found = {path: {"metrics": {"mse": 1.0 + (device == "cuda" and "rent_line." in path)}} for path in paths}
        return found | {path: {"left_out": "no file"} for path in paths if "cifar" in path}

    monkeypatch.setattr(configs, "one_step", one_step)
    monkeypatch.setattr(configs.reference, "saved", lambda kind, sources: {})
    outcome = configs.check(task(True))
    assert outcome["status"] == "failed"
    assert outcome["failures"] == ["configs/02_machine_learning/rent_line.yaml: mse: CPU 1.0, GPU 2.0"]
    assert all("cifar" in name for name in outcome["left_out"])
    monkeypatch.setattr(configs, "one_step", lambda task, device, paths: dict.fromkeys(paths, {"left_out": "no file"}))
    assert configs.check(task(True))["status"] == "failed"


def test_one_step_really_runs_a_config_and_leaves_out_one_whose_files_are_not_here(
    lib, task, tmp_path, monkeypatch
) -> None:
    """Nothing is downloaded: without a network that may take long, and is an error of another kind."""
    monkeypatch.delenv("DLCOURSE_DATA", raising=False)
    monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path))
    configs = lib("gpu.configs")
    folder = "configs/02_machine_learning"
    path, file = f"{folder}/polynomial_overfitting.yaml", f"{folder}/rent_hyderabad.yaml"
    download = "configs/03_classification/mnist_softmax.yaml"
    found = configs.one_step(task(False), "cpu", [file, download, path])
    assert "left_out" in found[file] and "left_out" in found[download] and "val.mse" in found[path]["metrics"]
    assert "cuda:99" in configs.one_step(task(False), "cuda:99", [path])[path]["error"]


# precision


def test_a_precision_is_judged_beside_float32(lib, task, monkeypatch) -> None:
    part = lib("gpu.precision")
    monkeypatch.delenv("DLCOURSE_DATA", raising=False)
    reached = {"float32": 0.9, "tf32": 0.89, "fp16": 0.5, "bf16": None}

    def trained(task, specs, limit):
        for name, precision in specs:
            accuracy = reached[precision]
            found = answered(ms=1.0, metrics={"val": {"accuracy": accuracy}})
            yield (name, precision), found if accuracy else {"error": "precision: no such value", "refused": True}

    monkeypatch.setattr(part, "trained", trained)
    outcome = part.check(task(True))
    assert outcome["status"] == "failed"
    assert outcome["failures"] == ["fp16 on synthetic: accuracy 0.5000, more than 0.05 below float32's"]
    assert "3 of 4 runs; not there: bf16 on synthetic" in outcome["detail"] and len(outcome["table"]) == 5


def test_a_precision_that_no_config_takes_is_refused_not_broken(lib, task) -> None:
    nets, precision = lib("gpu.nets"), lib("gpu.precision")
    specs = {"odd": {"config": precision.SYNTHETIC | {"precision": "float7"}, "device": "cpu"}}
    ((_, found),) = nets.trained(task(False), specs, 60.0)
    assert found["refused"] and "float7" in found["error"]


# profile


def test_profile_shows_its_table(lib, task) -> None:
    outcome = lib("gpu.profile").check(task(False))
    assert outcome["status"] == "passed" and "where the time goes" in outcome["table"][0]


# sanitizer

RACE = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at layer_norm_float+0x130 in source.cu:12
=========     and Read access at layer_norm_float+0x1a0 in source.cu:14 [4 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""


def test_reports_name_their_kernels(lib) -> None:
    verdict = lib("gpu.sanitizer").verdict
    assert verdict(86, RACE, "") == "1 reports in layer_norm_float"
    assert verdict(None, RACE, "") == "1 reports in layer_norm_float"
    wrong = "=========     at 0x1f0 in attention_float(const float *, int)+0x2e0\n========= ERROR SUMMARY: 3 errors\n"
    assert verdict(86, wrong, "") == "3 reports in attention_float"
    assert verdict(0, "========= ERROR SUMMARY: 0 errors\n", "") is None
    assert verdict(1, "========= ERROR SUMMARY: 0 errors\n", "2 failed\n") == "exit code 1: 2 failed"


def test_the_sanitizer_is_found_on_path_and_runs_the_kernels_tests(lib, task, tmp_path, monkeypatch) -> None:
    """A program of its name that writes a report for one of the tools."""
    program = tmp_path / "compute-sanitizer"
    (tmp_path / "report").write_text(RACE)
    # compute-sanitizer --tool TOOL --log-file FILE ...
    program.write_text(f'#!/bin/bash\nif [[ $2 == racecheck ]]; then cp {tmp_path}/report "$4"; exit 86; fi\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    part = lib("gpu.sanitizer")
    assert part.find() == str(program)
    outcome = part.check(task(True))
    assert outcome["status"] == "failed"
    assert outcome["failures"] == ["racecheck: 1 reports in layer_norm_float"]
    assert outcome["detail"] == "2 of 3 tools found nothing"


def test_the_sanitizer_is_not_asked_for_in_vain(lib) -> None:
    """What it runs are tests that there are."""
    processes, part = lib("processes"), lib("gpu.sanitizer")
    command = ["-m", "pytest", "-q", "--collect-only", "--device=cpu", part.TESTS, "-k", part.CHOSEN]
    done = processes.run(processes.python(*command), 60, quiet=True, cwd=ROOT)
    for kernel in ("layer_norm", "batch_norm", "conv2d", "softmax_cross_entropy", "max_pool2d", "attention"):
        assert f"-{kernel}-" in done.stdout
    assert "float64" not in done.stdout


def test_a_missing_sanitizer_is_no_failure(lib, task, monkeypatch) -> None:
    part = lib("gpu.sanitizer")
    monkeypatch.setattr(part, "find", lambda: None)
    assert part.check(task(True))["status"] == "skipped"
