"""A built wheel, installed outside the clone, holds all that the program needs at run time.

Nothing is downloaded: the wheel goes into an environment of its own that sees what is installed here through a .pth
file.
"""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import dlcourse
from dlcourse.resources import configs_folder

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/02_machine_learning/rent_line.yaml"

needs_tools = pytest.mark.skipif(
    any(importlib.util.find_spec(tool) is None for tool in ("hatchling", "pip")),
    reason="hatchling or pip, which build and install the wheel, is not installed",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built by its own build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("dlcourse-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; the packages it needs are seen where they lie, the clone is not."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    # A path named in a .pth file is searched, but its own .pth files (an editable dlcourse among them) are not read.
    (site / "needs.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--quiet", str(wheel)], check=True, capture_output=True, timeout=120)
    return folder


def start(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(installed / "bin" / arguments[0]), *arguments[1:]]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=240)


@needs_tools
def test_the_wheel_holds_every_file_of_the_package_and_every_config(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    saved = {".py", ".typed", ".html", ".jinja", ".j2", ".css", ".cu", ".cuh", ".h", ".yaml", ".json"}
    package = [path for path in (ROOT / "dlcourse").rglob("*") if path.suffix in saved]
    configs = [path for path in (ROOT / "configs").rglob("*") if path.suffix in (".yaml", ".py")]
    assert len(package) > 50 and len(configs) > 5
    missing = {str(path.relative_to(ROOT)) for path in package} - names
    missing |= {f"dlcourse/{path.relative_to(ROOT)}" for path in configs} - names
    assert not missing
    strangers = {name.split("/")[0] for name in names} - {"dlcourse", f"dlcourse-{dlcourse.__version__}.dist-info"}
    assert not strangers


@needs_tools
def test_an_installed_wheel_runs_an_experiment_from_anywhere(installed: Path, tmp_path: Path) -> None:
    where = start(installed, tmp_path, "python", "-c", "import dlcourse.resources as r; print(r.configs_folder())")
    folder = Path(where.stdout.strip())
    assert folder.is_relative_to(installed), where
    done = start(installed, tmp_path, "dlcourse", "run", str(folder.parent / CONFIG), "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (tmp_path / "runs").rglob("result.json")
    assert '"done"' in result.read_text()
    assert (result.parent / "report.html").stat().st_size > 10_000


def test_configs_are_found_beside_the_package_in_a_clone() -> None:
    assert configs_folder() == ROOT / "configs"


def test_the_metadata_is_complete() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT" and (ROOT / "LICENSE").is_file() and (ROOT / project["readme"]).is_file()
    assert project["scripts"] == {"dlcourse": "dlcourse.__main__:main"}
    expected = {
        "cpu",
        "mkl",
        "cuda12",
        "cuda13",
        "cudnn",
        "dask",
        "digits",
        "notebook",
        "tensorboard",
        "onnx",
        "search",
        "dev",
        "ci",
        "mpi",
        "foolbox",
    }
    assert set(project["optional-dependencies"]) == expected
